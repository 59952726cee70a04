"""What people write while nobody listens to Slack is found afterwards, acted on once, and not at all if it is old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.desks.slack import SlackDesk
from bot.inbox import Inbox
from channels.slack import sweep
from channels.slack.absence import ABSENT_SECONDS, Absences, Watch
from channels.slack.place import place_of
from store.events import MessageReceived
from store.memory import MemoryStore
from store.values import Place
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import SlackServer
from tests.store.threads import thread_ids
from tests.telling.playbook import done


class Notes(MemoryStore):
    """A store that says when a reading ends."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = Watch()
        self.ended: list[bool] = []
        """Of each reading that has ended: whether all was read."""
        self.slack: SlackServer | None = None

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        is_set = await super().set_note(name, text, expected=expected)
        if is_set and name.startswith("slack/listened/") and self.slack:
            before, self.watched = self.watched, Watch.parse(text)
            if before.by and not self.watched.by:
                self.ended.append(not self.watched.reading)
            self.slack.changes.tell()
        return is_set


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        store = Notes()
        store.slack = it.slack
        it.store, it.inbox = store, Inbox(store)
        it.model.otherwise = lambda _: done("I was away.")
        yield it


async def was_there(office: Office) -> None:
    """It listened, and ended. What is said from now on is said while nobody listens."""
    async with office.open():
        await caught_up(office)
    office.slack.drop(1_000)


async def caught_up(office: Office, times: int = 1) -> None:
    store = office.store
    assert isinstance(store, Notes)
    await office.slack.wait_for(lambda: len(store.ended) >= times)
    assert all(store.ended)


async def test_a_mention_is_answered_afterwards_once(office: Office) -> None:
    await was_there(office)
    asked = await office.slack.mention("deploys", "ana", "are you there?")
    async with office.open():
        await office.says("I was away.", asked)
    async with office.open():
        await caught_up(office, 3)
        thread = await office.thread(asked)
    assert [event.text for event in kinds(thread, MessageReceived)] == ["are you there?"]
    assert len(office.model.prompts) == 1


async def test_what_came_live_since_hides_nothing_that_came_before_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root is too old for the channel's history, and something newer is known of the thread."""
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "hello")
        await office.says("I was away.", asked)
        await office.until(asked, "done")
        await caught_up(office)
    office.slack.drop(1_000)
    await office.slack.say("deploys", "ana", "please do not deploy", asked)
    place = (await office.thread(asked)).place

    async def only_threads(self: object, found: object, channel: str) -> None: ...

    async def with_newer(self: object) -> dict[Place, str]:
        return {place: "9999999999.000000"}

    monkeypatch.setattr(sweep.Sweep, "_channel", only_threads)
    monkeypatch.setattr(SlackDesk, "places_to_sweep", with_newer)
    async with office.open():
        await caught_up(office, 2)
        thread = await office.until(asked, "done")
    assert [event.text for event in kinds(thread, MessageReceived)] == ["hello", "please do not deploy"]


async def test_a_late_event_of_what_was_found_is_the_same_message(office: Office) -> None:
    await was_there(office)
    office.slack.deliveries.drop(-1_000)
    late = asyncio.Event()
    office.slack.delay(2, until=late)
    asked = await office.slack.mention("deploys", "ana", "are you there?")
    async with office.open():
        await office.says("I was away.", asked)
        late.set()
        await office.slack.acknowledged(asked)
        thread = await office.until(asked, "done")
    assert len(kinds(thread, MessageReceived)) == 1


async def test_a_mention_that_was_edited_in_is_answered(office: Office) -> None:
    async with office.open():
        said = await office.slack.say("deploys", "ana", "deploy v1")
        await office.slack.acknowledged(said)
        await caught_up(office)
    office.slack.drop(1_000)
    await office.slack.edit(said, f"<@{office.slack.workspace.bot.id}> deploy v1")
    async with office.open():
        await office.says("I was away.", said)
        thread = await office.thread(said)
    assert [event.text for event in kinds(thread, MessageReceived)] == ["deploy v1"]


async def test_a_mention_in_a_thread_of_others_is_answered_there(office: Office) -> None:
    async with office.open():
        began = await office.slack.say("deploys", "ben", "v7 is broken")
        await caught_up(office)
    office.slack.drop(1_000)
    await office.slack.say("deploys", "ben", "really", began)
    asked = await office.slack.mention("deploys", "ana", "what now?", began)
    async with office.open():
        await office.says("I was away.", asked)
        thread = await office.thread(asked)
    assert [event.text for event in kinds(thread, MessageReceived)] == ["v7 is broken", "really", "what now?"]


async def test_a_direct_message_of_somebody_who_wrote_before_is_answered(office: Office) -> None:
    async with office.open():
        said = await office.slack.dm("ana", "hello")
        await office.says("I was away.", said)
        await office.until(said, "done")
    office.slack.drop(1_000)
    again = await office.slack.dm("ana", "are you there?")
    async with office.open():
        await office.says("I was away.", again)


async def test_what_others_and_programs_say_starts_nothing(office: Office) -> None:
    await was_there(office)
    await office.slack.say("deploys", "ana", "lunch?")
    await office.slack.post_as_bot("deploys", "robot", f"<@{office.slack.workspace.bot.id}> build failed")
    async with office.open():
        await caught_up(office, 2)
    assert await thread_ids(office.store) == []


async def test_what_was_said_before_the_first_start_starts_nothing(office: Office) -> None:
    office.slack.workspace.clock = lambda: datetime.now(UTC).timestamp() - 3_600
    await office.slack.mention("deploys", "ana", "are you there?")
    office.slack.drop(1_000)
    async with office.open():
        await caught_up(office)
    assert await thread_ids(office.store) == []


@pytest.mark.parametrize("to_alerts", [True, False])
async def test_what_is_older_than_a_day_is_told_and_not_acted_on(office: Office, to_alerts: bool) -> None:
    await was_there(office)
    await long_ago(office, timedelta(days=3))
    office.slack.workspace.clock = lambda: datetime.now(UTC).timestamp() - 2 * 86_400
    old = [await office.slack.mention("deploys", "ana", f"deploy v{n}") for n in range(2)]
    office.slack.workspace.clock = lambda: datetime.now(UTC).timestamp()
    new = await office.slack.mention("deploys", "ben", "are you there?")
    await alerts_in(office, "random" if to_alerts else "")
    async with office.open():
        await office.says("I was away.", new)
        where = office.slack.workspace.channel("random") if to_alerts else office.slack.workspace.im("ana")
        told = await office.slack.said("There were 2 messages for me in Slack while I was away", where)
        await caught_up(office, 2)
    assert "older than a day" in office.slack.text_of(told)
    assert f"archives/{old[0].channel}/p{old[0].ts.replace('.', '')}" in office.slack.text_of(told)
    assert len(await thread_ids(office.store)) == 1


@pytest.mark.parametrize("to_alerts", [True, False])
async def test_people_are_told_of_a_channel_in_which_more_was_written_than_is_read(
    office: Office, to_alerts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter_reading(monkeypatch)
    await was_there(office)
    not_read = await office.slack.mention("deploys", "ana", "deploy v1")
    for number in range(6):
        await office.slack.say("deploys", "ben", f"lunch {number}?")
    read = await office.slack.mention("deploys", "ben", "are you there?")
    await alerts_in(office, "random" if to_alerts else "")
    async with office.open():
        await office.says("I was away.", read)
        where = office.slack.workspace.channel("random" if to_alerts else "deploys")
        told = await office.slack.said("More was written in a Slack channel while I was away", where)
        await caught_up(office, 2)
    assert "please mention me again" in office.slack.text_of(told)
    assert f"archives/{not_read.channel}" in office.slack.text_of(told)
    assert len(await thread_ids(office.store)) == 1


async def test_people_are_told_of_a_thread_in_which_more_was_written_than_is_read(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "hello")
        await office.says("I was away.", asked)
        await office.until(asked, "done")
        await caught_up(office)
    office.slack.drop(1_000)
    shorter_reading(monkeypatch)
    for number in range(10):
        await office.slack.say("deploys", "ana", f"more {number}", asked)
    async with office.open():
        await office.says("More was written in a Slack thread while I was away", asked)
        await caught_up(office, 2)


async def test_people_are_told_once_of_channels_that_are_not_read_at_all(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PAGE", 1)
    monkeypatch.setattr(sweep, "PAGES_MAX", 1)
    await was_there(office)
    await alerts_in(office, "random")
    async with office.open():
        where = office.slack.workspace.channel("random")
        told = await office.slack.said("I am in more Slack channels than I read", where)
        await caught_up(office, 2)
    assert "please mention me again" in office.slack.text_of(told)


async def test_nobody_is_told_of_more_messages_if_only_those_before_the_absence_are_not_read(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter_reading(monkeypatch)
    office.slack.workspace.clock = lambda: datetime.now(UTC).timestamp() - 3_600
    for number in range(10):
        await office.slack.say("deploys", "ben", f"lunch {number}?")
    office.slack.workspace.clock = lambda: datetime.now(UTC).timestamp()
    await was_there(office)
    asked = await office.slack.mention("deploys", "ben", "are you there?")
    async with office.open():
        await office.says("I was away.", asked)
        await caught_up(office, 2)
    assert not [said for said in office.slack.workspace.messages(asked.channel) if "More was written" in said.text]


def shorter_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAGE", 2)
    monkeypatch.setattr(sweep, "PAGES_MAX", 2)


async def alerts_in(office: Office, channel: str) -> None:
    """`channel`: empty: the team has no place for alerts."""
    if channel:
        await office.slack.join(channel, office.slack.workspace.bot)
        office.alerts = place_of("", office.slack.workspace.channel(channel).id, "")


async def long_ago(office: Office, ago: timedelta) -> None:
    """It listened last so long ago."""
    name = f"slack/listened/{office.slack.workspace.team_id}"
    known = await office.store.get_note(name)
    until = (datetime.now(UTC) - ago).timestamp()
    assert await office.store.set_note(name, f'{{"until": {until}}}', expected=known)


async def test_slack_is_obeyed_when_it_limits_the_rate(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await was_there(office)
    asked = await office.slack.mention("deploys", "ana", "are you there?")
    limited = office.slack.fail("conversations.history", "ratelimited", status=429, retry_after_seconds=1, times=7)
    monkeypatch.setattr(sweep, "HOLD_SECONDS", 0.05)
    async with office.open():
        await office.says("I was away.", asked)
    assert limited.met == 7


async def test_a_place_that_cannot_be_read_is_read_later(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "RETRY_SECONDS", 0.01)
    await was_there(office)
    asked = await office.slack.mention("deploys", "ana", "are you there?")
    office.slack.fail("conversations.history", cut=True, times=1_000)
    store = office.store
    assert isinstance(store, Notes)
    async with office.open():
        await office.slack.wait_for(lambda: store.ended == [True, False])
    office.slack.faults.clear()
    async with office.open():
        await office.says("I was away.", asked)
        await office.slack.wait_for(lambda: store.ended == [True, False, True])


async def test_of_two_processes_one_reads(office: Office) -> None:
    await was_there(office)
    asked = await office.slack.mention("deploys", "ana", "are you there?")
    other = Office(office.slack, office.store, office.inbox)
    async with office.slack.hold("users.conversations", after_effect=False) as gate, office.open():
        await gate.reached()
        async with other.listens():
            await office.slack.connected(2)
            assert len(gate.held) == 1
            gate.release()
            await office.says("I was away.", asked)


# Absences


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notes() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def one(clock: Clock, notes: MemoryStore) -> Absences:
    return Absences(notes, "T1", clock)


async def test_a_silence_is_an_absence_also_where_the_process_lives_on(clock: Clock, one: Absences) -> None:
    assert await one.present(was_away=True), "the threads that it had are read at the first start"
    await one.claim()
    await one.let_go(all_read=True)
    began = clock.now.timestamp()
    clock.passes(ABSENT_SECONDS)
    assert not await one.present(was_away=False)
    clock.passes(ABSENT_SECONDS + 1)
    assert await one.present(was_away=False)
    assert await one.claim() == began + ABSENT_SECONDS


async def test_what_was_missed_while_another_absence_is_read_is_read_next(clock: Clock, one: Absences) -> None:
    await one.present(was_away=True)
    first = await one.claim()
    clock.passes(ABSENT_SECONDS + 1)
    await one.present(was_away=False)
    await one.let_go(all_read=True)
    assert await one.claim() == first, "since it listened last"
    await one.let_go(all_read=True)
    assert await one.claim() is None


async def test_another_process_reads_on_when_the_one_that_reads_dies(
    clock: Clock, notes: MemoryStore, one: Absences
) -> None:
    other = Absences(notes, "T1", clock)
    await one.present(was_away=True)
    since = await one.claim()
    assert since
    assert await other.claim() is None
    clock.passes(60)
    assert await one.hold()
    clock.passes(119)
    assert await other.claim() is None
    clock.passes(2)
    assert await other.claim() == since
    assert not await one.hold()
    await one.let_go(all_read=True)
    assert await other.hold(), "whoever lost the claim ends nothing"


async def test_what_was_not_read_to_its_end_is_read_again(one: Absences) -> None:
    await one.present(was_away=True)
    since = await one.claim()
    await one.let_go(all_read=False)
    assert await one.claim() == since


async def test_over_http_what_was_posted_is_read_again_from_time_to_time(clock: Clock, one: Absences) -> None:
    await one.present(was_away=True)
    await one.claim()
    await one.let_go(all_read=True)
    read = clock.now.timestamp()
    for _ in range(3):
        clock.passes(30)
        assert not await one.present(was_away=False, read_again_seconds=100)
    clock.passes(30)
    assert await one.present(was_away=False, read_again_seconds=100)
    assert await one.claim() == read
