"""People write while the model thinks: what only talks or looks goes on, and what acts waits until it has read all."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.base import ModelFailure
from agent.perform.listen import listening_seconds
from agent.steps import LookAgain, SetReminder, Step
from channels.inbound import InboundMessage, Refused
from store.base import Lease
from store.choices import ChoiceFailed
from store.events import Event, MessageEdited, StepChosen, ToolStarted
from store.thread import Thread
from tests.agent.pushing import asked_to_push
from tests.matrices import examples
from tests.stories.anybody import all_words_were_read
from tests.telling.playbook import NOTHING, Hook, Line, Look, Push, Rollout, Touch, World, ask, done, update, withdraw
from tests.telling.story import AT, BOB, LATER, PLACE, asked, choice_failed, edited, message, said_over, thread
from tests.telling.story import done as said

EVERY = timedelta(seconds=0.4)
"""Somebody writes this often."""
THINKING_SECONDS = 1.0


class Chatter(World):
    """Bob writes all the time, for so many messages, and the model takes its time."""

    def __init__(self, messages: int) -> None:
        super().__init__()
        self.left = messages
        self.next_word = self.clock.now + EVERY
        self.model.asked = self.think

    async def claim(self) -> Lease:
        self.lease = await super().claim()
        return self.lease

    async def think(self, _: str) -> None:
        await self.time_passes(THINKING_SECONDS)

    async def time_passes(self, seconds: float) -> None:
        ends = self.clock.now + timedelta(seconds=seconds)
        while self.left and self.next_word <= ends:
            self.clock.now, self.next_word = self.next_word, self.next_word + EVERY
            assert await self.store.renew(self.lease)
            self.left -= 1
            await self.inbox.message(PLACE, InboundMessage(BOB, "and another thing", f"b{self.left}"), agent="ops")
        self.clock.now = ends

    @property
    def discarded(self) -> int:
        return sum(isinstance(e, ChoiceFailed) and e.reason == "outdated" for e in self.thread.events)


async def test_steady_talk_does_not_keep_the_agent_from_answering() -> None:
    world = Chatter(messages=50)
    world.model.otherwise = lambda _: done("I hear you.") if world.left else done("That was all.")
    await world.say("how is it?")
    lines = await world.run()
    assert (world.discarded, lines[-1]) == (0, "said: That was all.")
    # 20 seconds of talk, at most two for an answer: one of listening, one of thinking.
    assert 10 <= lines.count("said: I hear you.") <= 20
    assert len(world.model.prompts) == len(lines)


async def test_steady_talk_keeps_back_what_acts_until_people_are_done() -> None:
    world = Chatter(messages=50)
    world.model.otherwise = lambda prompt: done("Touched.") if "<touch>" in prompt else Touch()
    left_when_it_ran: list[int] = []
    world.store.before(ToolStarted, lambda: noted(left_when_it_ran, world.left))
    await world.say("touch it")
    assert await world.run() == ["ran: touch", "said: Touched."]
    assert left_when_it_ran == [0]
    # It listens before it asks again, so no more than one answer in two seconds is thrown away.
    assert 1 <= world.discarded <= 11


async def test_while_people_talk_the_agent_looks_and_tells_and_acts_when_they_are_done() -> None:
    world = Chatter(messages=12)
    world.model.answers(Look(), update("I looked."))
    world.model.otherwise = lambda prompt: done("Touched.") if "<touch>" in prompt else Touch()
    await world.say("look and touch")
    assert await world.run() == ["ran: look", "said: I looked.", "ran: touch", "said: Touched."]


async def noted(where: list[int], what: int) -> None:
    where.append(what)


# What stands


def while_thinking(world: World, line: Step, *hooks: Hook) -> Line:
    async def think(_: str) -> Step:
        for hook in hooks:
            await hook()
        return line

    return think


TALKS_OR_LOOKS = [
    *(done("Fine."), update("So far so good."), ask("Which?"), NOTHING, Look()),
    *(LookAgain(in_minutes=5, reason="tests"), SetReminder(in_minutes=5, note="ask again")),
]


@pytest.mark.parametrize("step", TALKS_OR_LOOKS, ids=lambda step: step.intent)
async def test_what_only_talks_or_looks_stands_and_the_words_are_read_right_after(step: Step) -> None:
    world = World()
    world.model.answers(while_thinking(world, step, lambda: world.say("by the way", by=BOB)), done("I read that."))
    await world.say("how is it?")
    assert (await world.run())[-1] == "said: I read that."
    first, second = (event for event in world.thread.events if isinstance(event, StepChosen))
    assert (first.intent, first.seen, second.seen) == (step.intent, 2, 0)
    assert (first.v, second.v) == (2, 1), "a reader that does not know what was seen must not read the first one"
    assert not [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    assert "by the way" not in world.model.prompts[0]
    assert "by the way" in world.model.prompts[1]


async def test_the_model_meets_what_it_said_before_the_words_that_it_had_not_read() -> None:
    world = World()
    world.model.answers(while_thinking(world, update("Wait."), lambda: world.say("to prod")), done("To prod."))
    await world.say("push")
    await world.run()
    told, words = (world.model.prompts[1].index(text) for text in ("message: Wait.", "text: to prod"))
    assert told < words
    assert world.model.prompts[1].startswith(world.model.prompts[0].partition("\n\n<now>")[0])


@pytest.mark.parametrize("step", [Touch(), Push(target="prod")], ids=lambda step: step.intent)
async def test_what_acts_is_discarded(step: Step) -> None:
    world = World()
    world.model.answers(while_thinking(world, step, lambda: world.say("no, wait!", by=BOB)), done("I wait."))
    await world.say("do it")
    assert await world.run() == ["said: I wait."]
    assert [event.reason for event in world.thread.events if isinstance(event, ChoiceFailed)] == ["outdated"]


async def test_a_request_is_not_taken_back_over_words_that_were_not_read() -> None:
    world = World()
    await asked_to_push(world)
    world.model.answers(while_thinking(world, withdraw(), lambda: world.say("no, keep it!")), done("It stays."))
    await world.say("never mind")
    assert await world.run() == ["said: It stays."]
    assert world.thread.status == "waiting_for_approval"


async def test_over_anything_but_words_no_answer_stands() -> None:
    for hook in ("pause", "cancel"):
        world = World()
        world.model.answers(while_thinking(world, update("So far so good."), getattr(world, hook)))
        await world.say("how is it?")
        assert "said: So far so good." not in await world.run()
    world = World()
    await asked_to_push(world)
    world.model.answers(
        while_thinking(world, update("It waits."), lambda: world.say("hm"), lambda: world.approve(BOB)),
        NOTHING,
        done("It is out."),
    )
    await world.say("how is it?")
    assert await world.run() == ["settled: push approved by Bob", "ran: push(target: prod)", "said: It is out."]


async def test_after_two_discarded_answers_what_talks_stands_over_triggers_too() -> None:
    world = World()

    def triggered(step: Step) -> Line:
        return while_thinking(world, step, lambda: world.trigger("ping"))

    world.model.answers(*[triggered(update(f"Answer {number}.")) for number in (1, 2, 3)], done("I saw all pings."))
    await world.say("how is it?")
    assert await world.run() == ["said: Answer 3.", "said: I saw all pings."]
    world.model.answers(*[triggered(Touch()) for _ in range(4)], done("Not while it pings."))
    await world.say("touch it")
    assert await world.run() == ["said: Not while it pings."]


async def test_an_edit_of_a_message_that_the_model_was_reading_is_read_right_after() -> None:
    world = World()

    async def edit() -> None:
        await world.inbox.edited(world.thread.id, "terminal", event_id="m1", text="push to staging", edit_id="1")

    world.model.answers(while_thinking(world, update("One moment."), edit), done("To staging."))
    await world.say("push to prod")
    assert await world.run() == ["said: One moment.", "said: To staging."]
    assert "push to staging" in world.model.prompts[1]
    assert any(isinstance(event, MessageEdited) for event in world.thread.events)


async def test_words_from_before_a_question_are_read_although_it_waits_for_an_answer() -> None:
    world = World()
    world.model.answers(while_thinking(world, ask("Which target?"), lambda: world.say("prod")), NOTHING)
    await world.say("push")
    assert await world.run() == ["asked: Which target?"]
    assert world.thread.status == "waiting_for_answer"
    world.model.answers(
        while_thinking(world, ask("Which revision?"), lambda: world.say("v3")), lambda _: Push(target="prod")
    )
    await world.say("as I said, prod")
    await world.run()
    assert (world.thread.status, world.thread.state.question) == ("waiting_for_approval", "")


STEPS = [*TALKS_OR_LOOKS, Touch(), Touch(), Push(target="prod"), withdraw()]
MOVES = ("speaks", "speaks", "speaks", "corrects", "triggers", "approves", "pauses")


@examples(240)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.lists(st.sampled_from(MOVES), max_size=2)), max_size=6))
def test_whatever_happens_while_the_model_thinks_nothing_acts_over_unread_words(
    story: list[tuple[Step, list[str]]],
) -> None:
    asyncio.run(play(story))


async def play(story: list[tuple[Step, list[str]]]) -> None:
    world = World()
    for step, moves in story:
        world.model.answers(while_thinking(world, step, *(moved(world, move) for move in moves)))
    world.model.otherwise = lambda _: done()
    for text in ("do it", "and?"):
        await world.say(text)
        await world.run()
        while world.thread.state.paused:
            await world.resume()
            await world.run()
    before = Thread(world.thread.id)
    for event in world.thread.events:
        if isinstance(event, StepChosen) and event.by == "model":
            unseen = before.events[event.seen or before.version :]
            assert not (unseen and (event.acts or event.intent == "withdraw_request"))
            # An edit of what the model has read and acted on is too late.
            written = {one.message if isinstance(one, MessageEdited) else one.id for one in unseen}
            unread = not written.isdisjoint(before.state.edits.fresh)
            assert before.extended([event]).state.unread == unread
        if isinstance(event, ToolStarted) and before.state.steps[event.step].chosen.acts:
            assert all_words_were_read(before)
        before = before.extended([event])
    # Who only chooses what makes no sense ends with a person, and reads no more until they say something.
    assert world.thread.state.handed_to_human or not world.thread.state.unread


def moved(world: World, move: str) -> Hook:
    async def act() -> None:
        with contextlib.suppress(Refused):
            match move:
                case "speaks":
                    await world.say("by the way", by=BOB)
                case "corrects":
                    edit_id = str(len(world.thread.events))
                    await world.inbox.edited(
                        world.thread.id, PLACE.channel, event_id="m1", text="do that", edit_id=edit_id
                    )
                case "triggers":
                    await world.trigger("ping")
                case "approves":
                    await world.approve(BOB)
                case _:
                    await world.pause()

    return act


# An approval, and words that the model has not read


async def rolling_out_and_pushing() -> World:
    """A rollout goes on, and a push waits for its approval."""
    world = World()
    world.model.answers(Rollout(), Push(target="prod"))
    await world.say("roll it out")
    await world.run()
    await world.say("and push it")
    assert await world.run() == ["requested: push(target: prod)"]
    return world


async def test_words_from_before_a_question_of_codes_own_are_read_before_what_was_approved_begins() -> None:
    world = await rolling_out_and_pushing()
    world.desk.during("rollout", lambda: world.say("STOP, do not push"))
    assert await world.advance(10) == ["ran: rollout", "asked: I do not know how rollout ended. Did it happen?"]
    world.model.answers(withdraw(), done("I do not push."))
    assert (await world.approve(BOB)).outcome == "settled"
    lines = await world.run()
    assert "STOP, do not push" in world.model.prompts[-1]
    assert lines == ["settled: push approved by Bob", "settled: push withdrawn by Bob", "said: I do not push."]


async def test_what_was_approved_begins_once_such_words_are_read() -> None:
    world = await rolling_out_and_pushing()
    world.desk.during("rollout", lambda: world.say("thank you"))
    await world.advance(10)
    world.model.answers(done("You are welcome."), done())
    await world.approve(BOB)
    assert "ran: push(target: prod)" in await world.run()
    assert world.thread.step(world.thread.state.question)


async def test_words_from_before_a_hand_over_are_read_before_what_was_approved_begins() -> None:
    world = World()
    await asked_to_push(world)
    world.model.answers(*[ModelFailure("invalid", "No step in it.")] * 3)
    await world.say("STOP, do not push")
    assert "I stopped and need a person" in (await world.run())[-1]
    world.model.answers(withdraw(), done("I do not push."))
    await world.approve(BOB)
    assert "ran: push(target: prod)" not in await world.run()
    assert "STOP, do not push" in world.model.prompts[-1]


async def test_what_was_approved_does_not_begin_while_the_model_cannot_read() -> None:
    world = await rolling_out_and_pushing()
    world.desk.during("rollout", lambda: world.say("STOP, do not push"))
    await world.advance(10)
    world.model.answers(ModelFailure("unavailable", "503", retry_after_seconds=20), withdraw(), done())
    await world.approve(BOB)
    assert await world.run() == ["settled: push approved by Bob"]
    assert "ran: push(target: prod)" not in await world.advance(20)
    assert world.thread.status == "waiting_for_answer"


# What the log says


def test_a_step_clears_only_what_it_had_seen() -> None:
    now = thread(message(), message("m2"), said_over(said("s3"), 2))
    assert (now.state.news, now.state.unread, list(now.state.edits.fresh)) == (True, True, ["m2"])
    then = now.extended([said("s4")])
    assert (then.state.news, then.state.unread, list(then.state.edits.fresh)) == (False, False, [])


def test_a_step_of_an_old_log_had_seen_all() -> None:
    now = thread(message(), message("m2"), said("s3"))
    assert (now.state.news, now.state.unread, now.state.edits.fresh) == (False, False, {})


def test_an_edit_of_a_message_that_was_read_before_it_keeps_the_message_unread() -> None:
    now = thread(message(), edited(), said_over(said("s3"), 2))
    assert (now.state.unread, now.state.unanswered, now.status) == (True, True, "working")


def test_a_question_that_was_asked_over_words_closes_once_they_are_read() -> None:
    question = said_over(asked("s3").model_copy(update={"closes": True}), 2)
    now = thread(message(), message("m2"), question)
    assert (now.state.question, now.state.unanswered) == ("s3", True)
    then = now.extended([said("s4")])
    assert (then.state.question, "s3/answered" in then.state.outbox) == ("", True)


# Listening


def words(*seconds: float, after: tuple[Event, ...] = ()) -> Thread:
    """Messages at these times."""
    return thread(
        *after,
        *(
            message(f"m{number}").model_copy(update={"at": AT + (LATER - AT) * (second / 300)})
            for number, second in enumerate(seconds)
        ),
    )


@pytest.mark.parametrize(
    ("now", "at", "waits"),
    [
        (words(0), 0.0, 0),  # A single message never waits.
        (words(0, 2), 2.0, 0),  # Nor do two that have nothing to do with each other.
        (words(0, 0.4), 0.4, 0.5),
        (words(0, 0.4), 0.7, 0.2),
        (words(0, 0.4, 0.8), 0.8, 0.2),  # One second in all.
        (words(0, 0.4, 0.8, 1.2), 1.2, 0),
        (words(0, 0.4), 60.0, 0),
        (words(0, 0.4), 0.3, 0),  # The clock that stamped the messages is ahead.
        (words(0, after=(choice_failed(1, "outdated"),)), 0.1, 0.4),  # An answer was thrown away just now.
        (words(0, after=(choice_failed(1, "invalid"),)), 0.1, 0),
        (words(0, 0.4).extended([said("s9")]), 0.5, 0),  # Nothing is unread.
    ],
)
def test_how_long_to_listen(now: Thread, at: float, waits: float) -> None:
    moment = AT + (LATER - AT) * (at / 300)
    assert listening_seconds(now, moment) == pytest.approx(waits)


async def test_messages_in_a_row_are_answered_at_once() -> None:
    world = World()
    world.model.answers(done("Both read."))
    await world.say("push")
    world.clock.advance(0.3)
    await world.say("I mean, to prod")
    assert await world.run() == ["said: Both read."]
    assert world.clock.now == AT + timedelta(seconds=0.8)
