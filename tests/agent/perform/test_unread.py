"""What has arrived and no worker can read: it is left to others for a while, people are told, and a person goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from agent.loop import Postponed, due_now
from agent.perform.unserved import UNSERVED_SECONDS_MAX
from agent.steps import Step, as_question
from bot.deciding import OLDER_CLICK_UNREAD
from channels.inbound import Refused
from store.arrivals import Arrived, ClickArrived, MessageArrived
from store.events import Event, MessageReceived, ThreadUnserved, ToolFinished
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Place
from tests.agent.pushing import asked_to_push
from tests.agent.watching import Watch, watches_what_was_touched
from tests.fakes.clock import Clock
from tests.patience import PATIENCE_SECONDS
from tests.telling.arrivals import Does, PlainReader, click, write
from tests.telling.playbook import LEASE_SECONDS, TOOLS, Look, RecordingChannel, Touch, World, done
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    arrived,
    cancelled,
    chosen,
    click_read,
    clicked,
    message,
    offered,
    opened,
    requested,
    unserved,
)


class NewerReader(PlainReader):
    """Of the newer version."""

    def understands(self, arrived: Arrived, /) -> bool:
        return True


class Followed(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.is_followed = asyncio.Event()

    def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        self.is_followed.set()
        return super().follow(thread)


LONG = UNSERVED_SECONDS_MAX
NO_READER = (
    "No worker here can read what arrives through terminal: one has to run where terminal is set up "
    "(`bot doctor` says what is missing)."
)
NEWER = (
    "It arrived through terminal in a form that this version of me does not know: a worker of the newer version has "
    "to run."
)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.deciding.CLICKS_SECONDS_MAX", 0.0)


def lists(world: World, what: str, why: str) -> str:
    return f"noted: I cannot read what arrived in this conversation ({world.thread.id}): {what}. {why}"


async def told_of_message(world: World) -> str:
    """A message arrives that nobody here can read, and people are told."""
    await write(world, "no, wait!")
    assert await world.run_unserved() == []
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    return told


async def test_it_is_left_to_others_for_a_while_and_then_people_are_told_once() -> None:
    world = World()
    world.model.answers(done("Hello."), done("I wait."))
    await world.say("hello")
    await world.run()
    told = await told_of_message(world)
    assert told.startswith(lists(world, "a message", NO_READER))
    for way_on in ("bot send", "bot cancel", "I read it by myself"):
        assert way_on in told
    assert await world.run_unserved(left_alone_seconds=LONG) == []
    assert world.thread.status == "handed_to_human"
    assert world.left_alone, "it stays due for a worker that can read it"
    world.worker_becomes(reader=PlainReader())
    assert await world.run() == ["said: I wait."]
    assert not world.thread.aside


async def test_a_notice_that_was_not_sent_is_not_sent_any_more_once_it_is_read() -> None:
    world = World()
    world.model.answers(done("Hello."), done("I wait."))
    await world.say("hello")
    await world.run()
    await write(world, "no, wait!")
    world.channel.fails_with = OSError("unreachable")
    assert await world.run_unserved(left_alone_seconds=LONG) == []
    world.channel.fails_with = None
    world.worker_becomes(reader=PlainReader())
    assert await world.run() == ["said: I wait."]


async def test_what_a_newer_version_wrote_is_told_and_what_others_click_is_judged() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world, done("It is out."))
    await click(world, "rejects", EVE, future=True)
    assert await world.run_unserved() == []
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert told.startswith(lists(world, "a click on the request", NEWER))
    assert "who pressed it, nor whether it approves or rejects" in told
    await click(world, "approves", BOB)
    assert "ran: push(target: prod)" in await world.run_unserved()


async def test_a_click_that_nobody_can_read_holds_up_an_approval_by_another_way_only_until_people_are_told() -> None:
    world = World()
    await asked_to_push(world, done("It is out."))
    await click(world, "rejects", EVE)
    with pytest.raises(Refused, match="not known yet who"):
        await world.approve()
    await world.run_unserved()
    with pytest.raises(Refused, match="not known yet who"):
        await world.approve()
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert told.startswith(lists(world, "a click on the request", NO_READER))
    assert world.thread.status == "waiting_for_approval"
    await world.approve()
    assert (await world.run_unserved())[:2] == ["settled: push approved by Ann", "ran: push(target: prod)"]


async def test_another_click_after_that_holds_it_up_anew_and_is_told_too() -> None:
    world = World()
    await asked_to_push(world)
    for _ in range(2):
        await click(world, "rejects", BOB)
        with pytest.raises(Refused, match="not known yet who"):
            await world.approve()
        await world.run_unserved()
        assert len(await world.run_unserved(left_alone_seconds=LONG)) == 1
    assert (await world.approve()).outcome == "settled"


async def test_an_approval_that_was_clicked_before_people_were_told_of_an_older_click_decides_nothing() -> None:
    reader = PlainReader()
    world = World(reader=reader)
    await asked_to_push(world, done("As you wish."))
    await click(world, "rejects", EVE, future=True)
    await click(world, "approves", BOB)
    await world.run_unserved()
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert told.startswith(lists(world, "a click on the request", NEWER))
    assert world.thread.status == "waiting_for_approval"
    assert reader.told == [OLDER_CLICK_UNREAD]
    await click(world, "approves", BOB)
    assert (await world.run_unserved())[:2] == ["settled: push approved by Bob", "ran: push(target: prod)"]


async def test_an_approval_that_waits_for_an_older_click_does_not_count_when_that_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.deciding.CLICKS_SECONDS_MAX", PATIENCE_SECONDS)
    clock = Clock()
    store = Followed(clock)
    world = World(store=store, clock=clock)
    await asked_to_push(world)
    await click(world, "rejects", EVE)
    approves = asyncio.create_task(world.inbox.decide(world.thread.id, BOB, approved=True, digest=world.digest))
    await store.is_followed.wait()
    await world.run_unserved()
    await world.run_unserved(left_alone_seconds=LONG)
    with pytest.raises(Refused, match="I cannot read that click"):
        await approves
    assert world.desk.ran == []
    assert (await world.approve(BOB)).outcome == "settled"


async def test_a_rejection_that_a_newer_version_reads_later_wins_over_a_younger_approval() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world, done("As you wish."))
    await click(world, "rejects", ANN, future=True)
    await click(world, "approves", BOB)
    await world.run_unserved()
    await world.run_unserved(left_alone_seconds=LONG)
    world.worker_becomes(reader=NewerReader())
    assert await world.run() == ["settled: push rejected by Ann", "said: As you wish."]
    assert world.desk.ran == []


@pytest.mark.parametrize("does", ["approves", "rejects", "answers", "stops"])
async def test_what_was_clicked_before_people_were_told_of_a_message_lets_nothing_begin(does: Does) -> None:
    world = World(reader=PlainReader())
    if does == "answers":
        world.model.answers(as_question("Shall I?", yes_no=True))
        await world.say("push it")
        await world.run()
    else:
        await asked_to_push(world)
    await write(world, "no, wait!", future=True)
    await click(world, does, BOB, about=world.thread.state.question)
    await world.run_unserved()
    lines = await world.run_unserved(left_alone_seconds=LONG)
    assert lists(world, "a message", NEWER) in lines[0]
    assert (world.desk.ran, world.thread.state.held_back) == ([], True)
    await world.inbox.say(world.thread.id, BOB, "go on")
    assert not (await world.store.load(world.thread.id)).state.held_back


async def test_what_was_written_before_people_were_told_lets_nothing_begin() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world)
    await world.approve(BOB)
    await write(world, "no, wait!", future=True)
    await write(world, "when will it be out?")
    await world.run_unserved()
    await world.run_unserved(left_alone_seconds=LONG)
    assert await world.run_unserved() == []
    assert (world.desk.ran, world.thread.state.held_back) == ([], True)


async def test_a_rejection_is_judged_by_a_worker_that_can_read_it_later() -> None:
    world = World()
    await asked_to_push(world, done("As you wish."))
    await click(world, "rejects", BOB)
    await world.run_unserved(left_alone_seconds=LONG)
    world.worker_becomes(reader=PlainReader())
    assert await world.run() == ["settled: push rejected by Bob", "said: As you wish."]
    assert world.desk.ran == []


async def test_a_rejection_that_comes_too_late_is_told_whoever_clicked() -> None:
    reader = PlainReader()
    world = World()
    await asked_to_push(world, done("It is out."))
    await click(world, "rejects", BOB)
    await world.run_unserved(left_alone_seconds=LONG)
    await world.approve()
    await world.run_unserved()
    world.worker_becomes(reader=reader)
    await world.run()
    assert len(reader.told) == 1
    assert reader.told[0].startswith("Already approved")


async def test_what_was_approved_before_waits_for_a_person_whom_somebody_vouches_for() -> None:
    world = World()
    await asked_to_push(world)
    await world.approve(BOB)
    await click(world, "stops", ANN)
    assert await world.run_unserved() == ["settled: push approved by Bob"], "telling goes on"
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert told.startswith(lists(world, "a stop", NO_READER))
    assert world.desk.ran == []
    await world.say("go on", by=EVE)
    assert await world.run_unserved() == []
    world.model.answers(done("I go on."), done("It is out."))
    await world.say("go on", by=ANN)
    world.clock.advance(60)
    assert await world.run_unserved() == ["said: I go on.", "ran: push(target: prod)", "said: It is out."]


async def test_what_has_begun_goes_on_meanwhile_and_is_followed_to_its_end() -> None:
    def plan(thread: Thread) -> Step | None:
        step = watches_what_was_touched(thread)
        return step if isinstance(step, Watch) else None

    world = World(plan=plan, tools=(*TOOLS, Watch))
    world.model.answers(Touch())
    await world.say("touch it")
    world.store.before(ToolFinished, lambda: write(world, "no, wait!"))
    lines = await world.run_unserved()
    lines += await world.run_unserved(left_alone_seconds=LONG)
    for _ in range(2):
        world.clock.advance(60)
        lines += await world.run_unserved()
    assert [line for line in lines if not line.startswith("noted")] == ["ran: touch", *["ran: watch"] * 3]
    assert world.thread.state.held_back, "the model is not asked about it"


async def test_what_nobody_can_begin_after_that_is_told_as_well() -> None:
    world = World()
    await asked_to_push(world)
    await click(world, "rejects", BOB)
    await world.run_unserved(left_alone_seconds=LONG)
    older = World(tools=(Look,), store=world.store.real)
    older.thread = world.thread
    await older.approve()
    await older.run_unserved()
    (told,) = await older.run_unserved(left_alone_seconds=LONG)
    assert told.startswith("noted: I cannot go on yet: No worker here can run push.")


async def test_cancelling_ends_it() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.run()
    await told_of_message(world)
    await world.cancel()
    assert await world.run_unserved() == ["noted: Cancelled by Ann. I will not start anything else."]
    assert (world.left_alone, world.thread.aside, world.thread.arrived) == (None, [], None)


async def test_what_nobody_can_read_in_a_cancelled_thread_ends_without_a_word() -> None:
    world = World()
    await asked_to_push(world)
    await world.cancel()
    await world.run()
    await click(world, "approves", BOB)
    assert await world.run_unserved() == []
    assert await world.run_unserved(left_alone_seconds=LONG) == []
    assert await world.run_unserved() == []
    assert (world.left_alone, world.thread.aside, world.thread.arrived) == (None, [], None)
    assert world.thread.status == "cancelled"


async def test_who_writes_to_a_cancelled_thread_that_nobody_here_can_read_hears_of_it() -> None:
    world = World()
    await asked_to_push(world)
    await world.cancel()
    await world.run()
    await write(world, "go on, please")
    assert await world.run_unserved() == []
    [told] = await world.run_unserved(left_alone_seconds=LONG)
    assert "I cannot read what arrived" in told
    assert [type(one) for one in world.thread.aside] == [MessageArrived]
    assert (world.thread.status, world.thread.state.held_back) == ("cancelled", False)


def test_what_is_offered_to_a_question_is_set_aside_no_more() -> None:
    thread = Thread("t1").extended((opened(), message(), arrived("w1"), unserved("w1")))
    assert thread.aside
    assert not thread.state.unserved, "that a step cannot be served is something else"
    after = thread.extended([offered("w1")])
    assert (after.aside, after.state.held_back) == ([], False)


async def test_how_long_it_was_left_alone_is_counted_for_each_arrival() -> None:
    """Another worker reads what arrives, and this one sees the thread first each time."""
    world = World()
    world.model.answers(done("Hello."), done("Again."))
    await world.say("hello")
    await world.run()
    await write(world, "one")
    await world.run_unserved()
    left = world.left_alone
    world.worker_becomes(reader=PlainReader())
    assert await world.run() == ["said: Again."]
    world.worker_becomes()
    world.clock.advance(LONG)
    await write(world, "two")
    assert await world.run_unserved(left=left) == []


async def test_people_are_told_where_this_worker_can_reach_them() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.run()
    await write(world, "no, wait!")
    desk = RecordingChannel(world.lines, "mail")
    world.worker_becomes(channels={"mail": desk}, alerts=Place(channel="mail", address="ops@example.com"))
    assert await world.run_unserved() == []
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert told.startswith("mail: " + lists(world, "a message", NO_READER))
    assert [len(so_far) for so_far in desk.so_far.values()] == [1], "the conversation is not for people elsewhere"


async def test_a_service_that_does_not_answer_for_long_is_told_as_well() -> None:
    reader = PlainReader()
    world = World(reader=reader)
    world.model.answers(done("Hello."), done("I wait."))
    await world.say("hello")
    await world.run()
    reader.is_silent = True
    await write(world, "no, wait!")
    world.clock.advance(60)
    assert await world.run_unserved() == []
    (told,) = await world.run_unserved(left_alone_seconds=LONG)
    assert "terminal does not answer" in told
    assert await world.run_unserved(left_alone_seconds=LONG) == []
    reader.is_silent = False
    assert await world.run() == ["said: I wait."]


async def test_what_waits_for_the_same_service_is_told_together() -> None:
    reader = PlainReader()
    world = World(reader=reader)
    world.model.answers(done("Hello."), done("I wait."))
    await world.say("hello")
    await world.run()
    reader.is_silent = True
    for text in ("no, wait!", "please", "wait"):
        await write(world, text)
    world.clock.advance(60)
    await write(world, "it is urgent")
    assert await world.run_unserved() == []
    with pytest.raises(Postponed):
        await world.run_unserved(left_alone_seconds=LONG)
    world.clock.advance(LEASE_SECONDS)
    world.thread = await world.store.load(world.thread.id)
    assert len(world.thread.aside) == 3
    assert [line for line in world.lines if "I cannot read" in line] == [world.lines[-1]]
    assert "3 messages" in world.lines[-1]
    reader.is_silent = False
    assert await world.run() == ["said: I wait."]
    texts = [event.text for event in world.thread.events if isinstance(event, MessageReceived)]
    assert texts[1:] == ["no, wait!", "please", "wait", "it is urgent"]


def test_what_a_request_waits_for_goes_on_once_it_is_set_aside() -> None:
    expires = AT + timedelta(hours=1)
    before = (opened(), message(), chosen("s1", acts=True), requested("s1", expires_at=expires), clicked())
    aside = unserved("c1/arrived")
    found = [
        [key.kind for key in due_now(Thread("t1").extended(events), expires)] for events in (before, (*before, aside))
    ]
    assert found == [[], ["expire"]]


def test_only_what_is_set_aside_holds_back_and_until_all_of_it_is_read() -> None:
    before = (opened(), message(), arrived("w1"), clicked("c1"), unserved("w1", "c1/arrived"), clicked("c2"))
    thread = Thread("t1").extended(before)
    assert [type(one) for one in thread.aside] == [MessageArrived, ClickArrived]
    assert [one.id for one in thread.unread] == ["c2/arrived"]
    assert thread.state.held_back
    read: list[Event] = [message("w1", by=EVE), click_read("c1")]
    assert [thread.extended(read[:n]).state.held_back for n in (0, 1, 2)] == [True, True, False]
    assert not thread.extended([cancelled()]).aside
    assert thread.extended([cancelled()]).unread, "a worker that can read it says what came of it"


def test_a_notice_of_an_older_version_sets_nothing_aside() -> None:
    thread = Thread("t1").extended((opened(), message(), arrived("w1"), unserved()))
    assert isinstance(thread.events[-1], ThreadUnserved)
    assert (thread.aside, thread.state.held_back) == ([], False)
    assert thread.arrived
