"""A hold on a thread when something goes wrong in the middle: what it knows is recorded, and nothing else is said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.hold import FAILURES_IN_ROW_MAX, STORE_RETRY_SECONDS, Hold
from bot.memory import Remembered
from store.base import LeaseLost, NotReplicated, StoreUnavailable
from store.events import Event, HandedToHuman, StepChosen, ToolInterrupted, ToolNotBegun, ToolStarted
from store.memory import MemoryStore
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.clock import Clock
from tests.fakes.servers import Server
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import LEASE_SECONDS, Look, Push, Touch, World, done, killed
from tests.telling.story import message, opened


async def hold(world: World) -> Hold | None:
    """A worker that knows nothing claims the thread, if it is due, and works on it until it lets it go."""
    for lease in await world.store.claim(1, LEASE_SECONDS):
        found = Hold(world.store, world.loop, lease, Remembered(Thread(lease.thread_id)), clock=world.clock)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await found.run()
        world.thread = await world.store.load(lease.thread_id)
        return found
    return None


async def approved(world: World) -> None:
    world.model.answers(Push(target="prod"))
    world.model.otherwise = lambda _: done()
    await world.say("push it to prod")
    await world.run()
    await world.approve()


async def test_a_start_whose_answer_was_lost_did_not_begin_and_begins_again() -> None:
    world = World()
    await approved(world)

    async def lost() -> None:
        raise StoreUnavailable("no answer within 10 s")

    world.store.after(ToolStarted, lost)
    await hold(world)
    assert world.desk.ran == ["push(target: prod)"]
    assert world.kinds.count("tool_started") == 2
    assert world.kinds.count("tool_not_begun") == 1
    assert not [line for line in world.lines if "Did it happen?" in line]


async def test_a_start_that_was_not_confirmed_when_the_worker_had_to_end_did_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    waits = asyncio.Event()

    class Unconfirmed(MemoryStore):
        async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
            now = await super().append(thread, *events, **how)
            if how.get("confirm"):
                waits.set()
                raise NotReplicated("The replica did not confirm the write in time.")
            return now

    world = World(store=Unconfirmed(clock), clock=clock)
    await approved(world)
    worker = world.worker(grace_seconds=0.01)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await waits.wait()
        worker.stop()
        await running
    world.loop.draining = False
    monkeypatch.setattr("agent.perform.turn.CONFIRM_SECONDS_MAX", 0.0)
    await hold(world)
    assert world.desk.ran == []
    assert not [line for line in world.lines if "Did it happen?" in line]
    assert any("It was not begun." in line for line in world.lines)


async def test_a_worker_that_lost_its_lease_says_nothing_of_a_start_of_another() -> None:
    """It stands still just before its start; another begins the call; its own append is refused."""
    clock = Clock()
    world = World(clock=clock)
    await approved(world)
    runs, end = asyncio.Event(), asyncio.Event()
    other: list[asyncio.Task[Hold | None]] = []

    async def running() -> None:
        runs.set()
        await end.wait()

    async def frozen() -> None:
        clock.advance(LEASE_SECONDS + 1)
        world.desk.during("push", running)
        other.append(asyncio.create_task(hold(world)))
        await runs.wait()
        raise NotReplicated("There is no replica.")

    world.store.before(ToolStarted, frozen)
    await hold(world)
    end.set()
    await other[0]
    assert world.desk.ran == ["push(target: prod)"]
    assert not any(isinstance(event, ToolNotBegun) for event in world.thread.events)
    assert world.thread.status == "done"


async def test_an_outcome_that_the_store_does_not_take_before_the_worker_ends_is_in_its_log() -> None:
    world = World()
    world.model.answers(Touch())
    away = asyncio.Event()
    append = world.store.real.append

    async def refused(thread: Thread, *events: Event, **how: Any) -> Thread:
        if away.is_set():
            raise StoreUnavailable("gone for lunch")
        return await append(thread, *events, **how)

    world.store.real.append = refused  # type: ignore[method-assign]

    async def goes_away() -> None:
        away.set()

    world.desk.during("touch", goes_away)
    await world.say("touch it")
    worker = world.worker(grace_seconds=0.01)
    with capture_logs() as lines:
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await away.wait()
            worker.stop()
            await running
    (dropped,) = [line for line in lines if line["event"] == "fact_dropped"]
    assert '"kind":"tool_finished"' in dropped["events"][0]


async def test_an_outcome_that_the_store_takes_at_last_is_not_lost_when_the_worker_ends() -> None:
    world = World()
    world.model.answers(Touch(), done())
    tries = 0
    append = world.store.real.append
    ended = asyncio.Event()

    async def refused_at_first(thread: Thread, *events: Event, **how: Any) -> Thread:
        nonlocal tries
        if events[0].kind == "tool_finished":
            tries += 1
            ended.set()
            if tries == 1:
                raise StoreUnavailable("gone for lunch")
        return await append(thread, *events, **how)

    world.store.real.append = refused_at_first  # type: ignore[method-assign]
    await world.say("touch it")
    worker = world.worker(grace_seconds=0.0)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended.wait()
        worker.stop()
        await running
    thread = await world.store.load(world.thread.id)
    assert thread.events[-1].kind == "tool_finished"


async def test_a_bug_in_which_people_cannot_even_be_told_ends_in_rest() -> None:
    world = World()
    world.model.otherwise = lambda _: done()
    await world.say("hello")
    rounds = 0

    async def broken(*_: object, **__: object) -> Thread:
        nonlocal rounds
        rounds += 1
        raise ZeroDivisionError("a mistake of ours")

    world.store.append = broken  # type: ignore[method-assign]
    await hold(world)
    assert rounds <= FAILURES_IN_ROW_MAX + 1
    assert await world.store.due_in_seconds() is None


async def test_a_bug_in_reading_a_thread_ends_in_rest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def paused(seconds: float) -> None:
        if seconds < LEASE_SECONDS / 3:  # the time to the next renewal
            pauses.append(seconds)
            seconds = 0
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", paused)
    await world.say("hello")
    rounds = 0

    async def broken(thread: Thread) -> Thread:
        nonlocal rounds
        rounds += 1
        raise ZeroDivisionError("a mistake of ours")

    (lease,) = await world.store.claim(1, LEASE_SECONDS)
    known = Remembered(world.thread)
    world.store.refresh = broken  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await Hold(world.store, world.loop, lease, known, clock=world.clock).run()
    assert rounds == FAILURES_IN_ROW_MAX + 1
    assert pauses == [0, *[STORE_RETRY_SECONDS] * FAILURES_IN_ROW_MAX]
    assert await world.store.due_in_seconds() is None


async def test_of_a_call_of_a_worker_that_fell_silent_people_hear_when_where_and_that_it_may_go_on() -> None:
    world = World()
    await approved(world)
    world.desk.during("push", killed)
    await world.run()
    await hold(world)
    (why,) = [event.why for event in world.thread.events if isinstance(event, ToolInterrupted)]
    (started,) = [event for event in world.thread.events if isinstance(event, ToolStarted)]
    assert why == (
        f"it began at 2026-11-20 09:00 UTC on {started.host}, nothing has been heard of it for {LEASE_SECONDS:.0f} s, "
        "and it may still be going on there"
    )


async def test_after_a_loss_new_ids_are_none_that_were_taken() -> None:
    """The log is shorter than what was remembered of it, and ids hold numbers."""
    clock = Clock()
    store = MemoryStore(clock)
    world = World(store=store, clock=clock)
    world.model.answers(Touch(), Look(), done(), done())
    await world.say("touch it and look")
    await world.run()
    known = world.thread
    log = store._logs[known.id]
    for event in known.events[2:]:
        log.ids.remove(event.id)
    del log.lines[2:]
    lease = await world.claim()
    found = Hold(world.store, world.loop, lease, Remembered(known), clock=clock)
    await found.run()
    await world.say("go on")
    await hold(world)
    steps = [event.step for event in world.thread.events if isinstance(event, StepChosen)]
    assert len(set(steps)) == len(steps) == 4
    assert world.thread.number > known.version


async def test_nothing_is_confirmed_of_an_append_that_wrote_nothing(server: Server) -> None:
    """There is no replica: what is refused is refused for its own reason."""
    store = await RedisStore.open(server.url, "bot", confirms="replica", command_seconds=0.4)
    try:
        with pytest.raises(NotReplicated, match="It is written all the same and will be worked on, so do not send it"):
            await store.post("t1", opened(), message())
        thread = await store.load("t1")
        (lease,) = await store.claim(1, LEASE_SECONDS)
        with pytest.raises(NotReplicated):
            await store.append(thread, message("m2"), if_unmoved=True, lease=lease, confirm=True)
        await store.hand_back(lease)
        with pytest.raises(LeaseLost):
            await store.append(await store.load("t1"), message("m3"), if_unmoved=True, lease=lease, confirm=True)
    finally:
        await store.aclose()


async def test_a_note_that_is_set_again_is_no_more_confirmed_than_the_first_time(server: Server) -> None:
    """There is no replica. A lock whose holder takes it twice, say: the second try promises no less."""
    store = await RedisStore.open(server.url, "bot", confirms="replica", command_seconds=0.4)
    try:
        for _ in range(2):
            with pytest.raises(NotReplicated):
                await store.set_note("lock", "mine", expected="")
        assert not await store.set_note("lock", "theirs", expected="")
        assert await store.get_note("lock") == "mine"
    finally:
        await store.aclose()


async def test_a_server_that_cannot_confirm_is_no_confirmation(server: Server) -> None:
    """The disk of a server without an append-only file."""
    server.command("CONFIG", "SET", "appendonly", "no")
    store = await RedisStore.open(server.url, "bot", confirms="disk")
    try:
        with pytest.raises(NotReplicated, match="cannot confirm by its disk"):
            await store.append(Thread("t1"), opened(), message(), confirm=True)
        assert (await store.load("t1")).version == 2
    finally:
        await store.aclose()


async def test_a_worker_deaths_hand_over_is_recorded_beside_an_id_from_before_a_loss() -> None:
    world = World()
    await world.say("hello")
    lost = HandedToHuman(id="h9/handed", at=world.clock(), limit="x", reason="from before")
    await world.log(lost)
    lease = await world.claim()
    lease.claims = 9
    world.model.otherwise = lambda _: done()
    await Hold(world.store, world.loop, lease, Remembered(Thread(lease.thread_id)), clock=world.clock).run()
    assert sum("workers died" in line for line in world.lines) == 1
