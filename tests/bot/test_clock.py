"""The role `clock`: however many keep it, and whatever happens to them, each due time fires once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import Clock as Cron
from bot.inbox import Inbox
from bot.team.calendar import schedules_of, shipped
from bot.team.file import Team
from bot.team.hours import Hours
from bot.team.problems import SettingsError
from bot.team.schedules import GRACE, Schedule, ScheduleTable
from store.base import Store, StoreUnavailable
from store.events import Event, ThreadOpened, TriggerReceived
from store.memory import MemoryStore
from store.thread import Thread
from tests.fakes.clock import Clock
from tests.fakes.servers import Server, opened_store
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.stories.program import Bot
from tests.telling.playbook import ops

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def schedule(name: str = "monday", cron: str = "0 9 * * MON", **more: Any) -> Schedule:
    table = {"cron": cron, "time_zone": "Europe/Berlin", "agent": "ops", "place": "terminal:ops", "ask": "Deploy?"}
    return Schedule(name, ScheduleTable.model_validate(table | more), Hours())


def keeping(store: Store, clock: Clock, *schedules: Schedule) -> Cron:
    return Cron(store, Inbox(store, clock=clock), schedules or [schedule()], clock=clock)


async def threads(store: Store) -> list[Thread]:
    return [await store.load(thread_id) for thread_id in reversed(await thread_ids(store))]


def triggers(found: Sequence[Thread]) -> list[str]:
    """What they were opened for, in order: `NAME@DUE`. Each thread has one trigger, and nothing else."""
    for thread in found:
        assert [type(event) for event in thread.events] == [ThreadOpened, TriggerReceived]
    return sorted(thread.place.address.partition("/")[2] for thread in found)


@pytest.fixture
def clock() -> Clock:
    return Clock(MONDAY - HOUR)


async def test_it_opens_a_thread_at_the_place_with_the_trigger_in_it(store: Store, clock: Clock) -> None:
    cron = keeping(store, clock)
    assert await cron.turn() == 30.0
    clock.now = MONDAY - timedelta(seconds=12)
    assert await cron.turn() == 12.0
    assert await threads(store) == []
    clock.now = MONDAY
    await cron.turn()
    (thread,) = await threads(store)
    assert triggers([thread]) == ["monday@2026-11-23T08:00:00Z"]
    assert (thread.agent, thread.place.channel) == ("ops", "terminal")
    trigger = thread.events[1]
    assert isinstance(trigger, TriggerReceived)
    assert (trigger.source, trigger.name, trigger.data) == ("cron", "monday", {"ask": "Deploy?"})
    await cron.turn()
    assert await threads(store) == [thread]


async def test_the_first_start_never_fires_the_past(store: Store, clock: Clock) -> None:
    clock.now = MONDAY + timedelta(seconds=1)
    cron = keeping(store, clock, schedule(), schedule("once", missed="once"))
    for _ in range(3):
        await cron.turn()
    assert await threads(store) == []


async def test_what_was_due_while_nobody_ran(store: Store, clock: Clock) -> None:
    kept = (schedule("forgets"), schedule("makes_up", missed="once"))
    await keeping(store, clock, *kept).turn()
    clock.now = MONDAY + timedelta(days=21, hours=3)
    await keeping(store, clock, *kept).turn()
    assert triggers(await threads(store)) == ["makes_up@2026-12-14T08:00:00Z"]


async def test_a_short_stop_misses_nothing(store: Store, clock: Clock) -> None:
    await keeping(store, clock).turn()
    clock.now = MONDAY + GRACE
    await keeping(store, clock).turn()
    assert triggers(await threads(store)) == ["monday@2026-11-23T08:00:00Z"]


async def test_a_schedule_that_was_changed_does_not_reach_back(store: Store, clock: Clock) -> None:
    await keeping(store, clock).turn()
    clock.now = MONDAY + 4 * HOUR
    await keeping(store, clock).turn()
    clock.advance(30)
    await keeping(store, clock, schedule(cron="0 10 * * *", missed="once")).turn()
    assert triggers(await threads(store)) == []


async def test_a_note_that_cannot_be_read_is_begun_anew(store: Store, clock: Clock) -> None:
    await store.set_note("cron/monday", "2026-11-23 whenever", expected="")
    cron = keeping(store, clock)
    await cron.turn()
    clock.now = MONDAY
    await cron.turn()
    assert triggers(await threads(store)) == ["monday@2026-11-23T08:00:00Z"]


# Many of them, and their deaths


async def test_ten_that_keep_one_schedule_fire_it_once(server: Server, clock: Clock) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened_store(server.url, "ten")) for _ in range(10)]
        crons = [keeping(store, clock) for store in stores]
        await asyncio.gather(*(cron.turn() for cron in crons))
        clock.now = MONDAY
        await asyncio.gather(*(cron.turn() for cron in crons))
        await asyncio.gather(*(cron.turn() for cron in crons))
        assert triggers(await threads(stores[0])) == ["monday@2026-11-23T08:00:00Z"]


class Dies(BaseException):
    """As a process does: nothing of ours catches it."""


class Dying(Inbox):
    """The process dies before or after the post reaches the store."""

    def __init__(self, store: Store, clock: Clock, when: str) -> None:
        super().__init__(store, clock=clock)
        self.when = when

    async def trigger(self, *args: Any, **more: Any) -> str:
        if self.when == "before":
            raise Dies
        await super().trigger(*args, **more)
        raise Dies


async def test_ten_of_which_most_are_killed_in_between_fire_it_once(server: Server, clock: Clock) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened_store(server.url, "ten")) for _ in range(10)]
        await keeping(stores[0], clock).turn()
        clock.now = MONDAY
        crons = [Cron(store, Dying(store, clock, when), [schedule()], clock=clock)
                 for store, when in zip(stores, ["before", "after"] * 5, strict=True)]  # fmt: skip
        died = await asyncio.gather(*(cron.turn() for cron in crons), return_exceptions=True)
        assert all(isinstance(one, Dies) for one in died)
        assert triggers(await threads(stores[0])) == ["monday@2026-11-23T08:00:00Z"]
        assert await stores[0].get_note("cron/monday") == (MONDAY - HOUR).isoformat(), "nobody came to note it"
        clock.advance(60)
        for store in stores:
            await keeping(store, clock).turn()
        assert triggers(await threads(stores[0])) == ["monday@2026-11-23T08:00:00Z"]


async def test_one_that_is_killed_before_the_post_leaves_it_to_the_next(clock: Clock) -> None:
    store = MemoryStore(clock)
    await keeping(store, clock).turn()
    clock.now = MONDAY
    with pytest.raises(Dies):
        await Cron(store, Dying(store, clock, "before"), [schedule()], clock=clock).turn()
    assert await threads(store) == []
    clock.advance(200)
    await keeping(store, clock).turn()
    assert triggers(await threads(store)) == ["monday@2026-11-23T08:00:00Z"]


class Away(MemoryStore):
    """It cannot be reached while `away`."""

    away = False

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        if self.away:
            raise StoreUnavailable("Redis cannot be reached.")
        return await super().post(thread_id, *events, opens=opens)


async def test_a_store_that_is_away_is_tried_again(clock: Clock) -> None:
    store = Away(clock)
    cron = keeping(store, clock)
    await cron.turn()
    clock.now, store.away = MONDAY, True
    assert await cron.turn() == 2.0
    store.away = False
    clock.advance(2)
    await cron.turn()
    assert triggers(await threads(store)) == ["monday@2026-11-23T08:00:00Z"]


async def test_a_real_store_that_dies_and_comes_back_loses_no_firing(server: Server, clock: Clock) -> None:
    async with opened_store(server.url, "back") as store:
        cron = keeping(store, clock)
        await cron.turn()
        clock.now = MONDAY
        server.kill()
        assert await cron.turn() == 2.0
        server.start()
        await cron.turn()
        assert triggers(await threads(store)) == ["monday@2026-11-23T08:00:00Z"]


async def test_it_sleeps_until_it_is_told_to_stop(clock: Clock) -> None:
    store, stopping = MemoryStore(clock), asyncio.Event()
    clock.now = MONDAY - timedelta(seconds=20)
    running = asyncio.create_task(keeping(store, clock).run(stopping))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await store.get_note("cron/monday"):  # noqa: ASYNC110 - the other task brings it about
            await asyncio.sleep(0)
        assert not running.done()
        stopping.set()
        await running


# Clocks that jump


MOVES = st.lists(
    st.tuples(
        st.one_of(st.integers(-400, 400), st.integers(-20_000, 20_000)),
        st.booleans(),
    ),
    max_size=40,
)
"""How many minutes the clock moves, and whether another process is the one that looks."""


@given(moves=MOVES, missed=st.sampled_from(["skip", "once"]))
async def test_however_the_clock_jumps_each_due_time_fires_once_at_most(
    moves: list[tuple[int, bool]], missed: str
) -> None:
    clock = Clock(MONDAY)
    store = MemoryStore(clock)
    crons = [keeping(store, clock, schedule(cron="*/7 3-9 * * *", missed=missed)) for _ in range(2)]
    await crons[0].turn()
    for minutes, other in moves:
        clock.advance(minutes * 60)
        await crons[other].turn()
    found = triggers(await threads(store))
    assert len(found) == len(set(found))


@given(steps=st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
async def test_of_what_is_made_up_for_the_newest_is_never_lost(steps: list[int]) -> None:
    clock = Clock(MONDAY)
    store = MemoryStore(clock)
    daily = schedule(cron="30 2 * * *", missed="once")
    await keeping(store, clock, daily).turn()
    for minutes in steps:
        before = clock.now
        clock.advance(minutes * 60)
        await keeping(store, clock, daily).turn()
        due = _between(daily, before, clock.now)
        if due:
            assert f"monday@{due[-1]:%Y-%m-%dT%H:%M:%SZ}" in triggers(await threads(store))


def _between(some: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    for due in some.dues(after):
        if due > until:
            break
        found.append(due)
    return found


# Which schedules there are


def test_an_agents_folder_brings_schedules_and_the_team_file_goes_before_them(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "schedules.toml").write_text(
        '[schedules.monday]\ncron = "0 8 * * MON"\ntime_zone = "UTC"\nplace = "terminal:ops"\nsay = "theirs"\n'
        '[schedules.daily]\ncron = "0 8 * * *"\ntime_zone = "UTC"\nplace = "terminal:ops"\nsay = "daily"\n'
    )
    team = Team(schedules={"monday": schedule().table})
    schedules = schedules_of(team, {"ops": ops()}, {"ops": tmp_path / "ops"}, {"terminal": None})
    found = {one.name: one.table for one in schedules}
    assert {name: (table.agent, table.data) for name, table in found.items()} == {
        "monday": ("ops", {"ask": "Deploy?"}),
        "daily": ("ops", {"say": "daily"}),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('alerts = "slack:C0123"', "alerts is not allowed here"),
        (
            '[schedules.a]\ncron = "0 8 * * MON"\ntime_zone = "UTC"\nplace = "terminal:ops"\nsay = "x"\nagent = "b"\n',
            "schedules.a.agent is not allowed here; it is ops.",
        ),
        ('[schedules.a]\ncron = "daily"', "schedules.a.cron must have five fields"),
    ],
)
def test_what_is_wrong_in_an_agents_folder_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "schedules.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        shipped(path, "ops")
    assert words in caught.value.problems[0]


# As people run it


MONTHLY = """
[schedules.monthly]
cron = "0 9 1 * *"
time_zone = "Europe/Berlin"
agent = "deploy"
place = "terminal:ops"
opening = "waiting_commits"
"""


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    bot = Bot(tmp_path).with_site(template)
    team = tmp_path / "bot.toml"
    team.write_text(team.read_text() + MONTHLY)
    return bot


async def test_schedules_are_listed_and_fired_by_hand(bot: Bot) -> None:
    async with bot.kept():
        (listed,) = (await bot.run("schedules", "--json")).succeeded().document
        assert [at[8:16] for at in listed["next"]] == ["01T09:00"] * 3
        assert (listed["name"], listed["opening"], listed["time_zone"]) == (
            "monthly",
            "waiting_commits",
            "Europe/Berlin",
        )
        assert "opening: waiting_commits" in (await bot.run("schedules")).succeeded().out
        ids = {(await bot.run("schedules", "run", "monthly")).succeeded().out.strip() for _ in range(2)}
        assert len(ids) == 2, "each is a firing of its own"
        shown = (await bot.run("show", ids.pop(), "--json")).succeeded().document
        assert shown["events"][1]["data"] == {"opening": "waiting_commits"}
    (await bot.run("schedules", "run", "weekly")).failed("no schedule 'weekly'", "monthly")


async def test_a_process_may_have_the_role_clock_alone(bot: Bot) -> None:
    async with bot.started("run", "clock") as process:
        await process.told("Schedules: monthly.")
        process.signal(signal.SIGTERM)
        assert await process.ends() == 0
        assert process.texts[-1] == "Stopped."
