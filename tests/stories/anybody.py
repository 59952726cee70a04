"""People who do what they like, over the real loop and inbox: what must hold whatever they do.

A state machine for Hypothesis. After each move it reads what was appended, event by event, and asks whether that was
allowed when it was written; at the end everybody stops interfering, and the thread has to come to rest with everything
told. What was reached on the way is counted, so that a test can insist on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar, TypeGuard, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.context.window import Context
from agent.definition import Limits, no_plan
from agent.model.base import ModelFailure
from agent.steps import Step
from channels.base import SendFailed
from channels.inbound import Refused
from store.authority.binding import digest_of
from store.deliveries import MessageFailed, MessageSent
from store.events import (
    CRON,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    MessageReceived,
    StepChosen,
    ThreadCancelled,
    ThreadReopened,
    ToolFinished,
    ToolStarted,
    TriggerReceived,
    WorkStopped,
)
from store.index import counted
from store.state import StepState
from store.thread import Thread
from store.values import Person
from tests.telling.edits import assert_an_open_edit_holds
from tests.telling.keys import assert_reads_back
from tests.telling.playbook import (
    NOTHING,
    Broken,
    BrokenLook,
    Flaky,
    Hook,
    Line,
    Look,
    Push,
    Rollout,
    Slow,
    Touch,
    World,
    ask,
    done,
    killed,
    update,
    withdraw,
)
from tests.telling.story import ANN, BOB, EVE

T = TypeVar("T")

TIGHT = Limits(context_chars_max=1_500, part_chars_max=300)
"""A context that has to be compacted again and again."""

MODEL_SAYS: list[Line] = [
    *(Look(), Touch(), Push(target="prod"), Push(target="staging"), Push(target="nowhere"), Slow()),
    *(Flaky(how="left"), Flaky(how="right"), Broken(), BrokenLook()),
    *(done(), ask("Which?"), update("It goes on."), NOTHING, withdraw()),
    ModelFailure("invalid", "No step in it."),
    ModelFailure("unavailable", "503", retry_after_seconds=20),
]
PEOPLE = (ANN, BOB, EVE)


def look_when_spoken_to(now: Thread) -> Step | None:
    """Code looks once for each message, before the model is asked."""
    words = sum(isinstance(event, MessageReceived) for event in now.events)
    return Look() if sum(step.chosen.by == "code" for step in now.state.steps.values()) < words else None


class AnybodyDoesAnything(RuleBasedStateMachine):
    """The real loop and inbox; people, the model, the channel, the clock and death do what Hypothesis likes."""

    reached: ClassVar[Counter[str]] = Counter()
    runner: ClassVar[asyncio.Runner]
    opener: ClassVar[Person] = ANN
    """Who opens the thread, and so is behind everything in it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Thread("")
        self.unsent: set[str] = set()
        self.prompts = [""]
        self.prompted: dict[int, str] = {}
        """What the model was shown, by how many events there were."""
        self.texts: dict[str, Person] = {}
        """Everything that was said here, by a word that stands in nothing else, and who is to be held for its author.
        """

    def text_of(self, author: Person) -> str:
        """A text that nobody has written before."""
        text = f"word{len(self.texts):04}."
        self.texts[text] = author
        return text

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        """Like `Runner.run`, which for each call sets the handler of Ctrl-C anew and describes the whole task twice."""
        return self.runner.get_loop().run_until_complete(what)

    def do(self, what: Awaitable[object]) -> None:
        async def act() -> None:
            with contextlib.suppress(Refused):
                await what

        self.wait(act())

    def person(self, does: str, by: Person) -> Hook:
        world = self.world

        async def act() -> None:
            # Where a stranger has spoken, everything that acts needs an approval: in some stories they do not.
            writes = by if by.trust == "verified" or self.strangers else BOB
            with contextlib.suppress(Refused):
                match does:
                    case "speaks":
                        await world.say(f"by the way, {self.text_of(writes)}", by=writes)
                    case "approves":
                        await world.approve(by=by)
                    case "approves what is gone":
                        await world.approve(by=by, step_id=next(iter(self.seen.state.steps), "s1"))
                    case "approves something else":
                        await world.approve(by=by, digest="0123456789")
                    case "rejects":
                        await world.reject(f"not now, {self.text_of(by)}", by=by)
                    case "answers":
                        await world.answer(f"yes, {self.text_of(writes)}", by=writes)
                    case "pauses":
                        await world.pause()
                    case "resumes":
                        await world.resume()
                    case "stops":
                        await world.stop()
                    case "cancels":
                        await world.cancel(self.text_of(writes), writes)

        return act

    does = st.sampled_from(
        (
            *("speaks", "speaks", "approves", "approves", "approves what is gone", "approves something else"),
            *("rejects", "answers", "pauses", "resumes", "resumes", "stops"),
        )
    )
    points = st.integers(1, 8)

    def make_world(self, **more: Any) -> World:
        return World(**more)

    @initialize(planned=st.booleans(), tight=st.booleans(), strangers=st.booleans())
    def begins(self, planned: bool, tight: bool, strangers: bool) -> None:
        self.strangers = strangers
        limits = TIGHT if tight else Limits()
        self.world = self.make_world(plan=look_when_spoken_to if planned else no_plan, limits=limits)
        self.world.model.otherwise = lambda _: done()
        self.world.model.asked = self.check_prompt
        self.says("hello", self.opener)

    def says(self, text: str, by: Person, **more: Any) -> None:
        self.do(self.world.say(f"{text}, {self.text_of(by)}", by=by, **more))

    @rule(does=does, by=st.sampled_from(PEOPLE))
    def a_person_acts(self, does: str, by: Person) -> None:
        self.do(self.person(does, by)())

    @rule(does=does, by=st.sampled_from(PEOPLE), point=points)
    def a_person_acts_in_between(self, does: str, by: Person, point: int) -> None:
        self.world.store.before(self.world.store.appends + point, self.person(does, by))

    @rule(does=does, by=st.sampled_from(PEOPLE), intent=st.sampled_from(["look", "touch", "push", "slow", "broken"]))
    def a_person_acts_while_a_tool_runs(self, does: str, by: Person, intent: str) -> None:
        self.world.desk.during(intent, self.person(does, by))

    @rule(does=does, by=st.sampled_from(PEOPLE), line=st.sampled_from(MODEL_SAYS))
    def a_person_acts_while_the_model_thinks(self, does: str, by: Person, line: Any) -> None:
        async def think(_: str) -> Any:
            await self.person(does, by)()
            return line

        self.world.model.answers(think)

    @rule(lines=st.lists(st.sampled_from(MODEL_SAYS), min_size=1, max_size=4))
    def the_model_will_say(self, lines: list[Line]) -> None:
        self.world.model.answers(*lines)

    @rule(point=points, before=st.booleans())
    def the_worker_will_die(self, point: int, before: bool) -> None:
        store = self.world.store
        (store.before if before else store.after)(store.appends + point, killed)

    @rule(intent=st.sampled_from(["look", "touch", "push", "slow"]))
    def the_worker_will_die_in_a_tool(self, intent: str) -> None:
        self.world.desk.during(intent, killed)

    @rule(times=st.integers(1, 3))
    def the_channel_will_fail(self, times: int) -> None:
        self.world.channel.next(*[SendFailed("slow down", 5)] * times)

    @rule()
    def a_worker_runs(self) -> None:
        self.runs()

    @rule(lines=st.lists(st.sampled_from(MODEL_SAYS), min_size=1, max_size=4), by=st.sampled_from(PEOPLE))
    def somebody_asks_for_something(self, lines: list[Line], by: Person) -> None:
        self.world.model.answers(*lines)
        self.says("do it", by)
        self.runs()

    @rule(by=st.sampled_from(PEOPLE), verdict=st.sampled_from(["approves", "rejects", "takes it back"]))
    def somebody_asks_for_a_push_and_somebody_decides(self, by: Person, verdict: str) -> None:
        self.world.model.answers(Push(target="prod"))
        self.says("push it", by)
        self.runs()
        if verdict == "takes it back":
            self.world.model.answers(withdraw())
            verdict = "speaks"
        self.do(self.person(verdict, by)())

    @rule(does=does, by=st.sampled_from(PEOPLE))
    def somebody_acts_before_code_asks_and_a_push_that_waits_is_approved(self, does: str, by: Person) -> None:
        for step in (Rollout(), Push(target="prod")):
            self.world.model.answers(step)
            self.says("do it", ANN)
            self.runs()
        self.world.desk.during("rollout", self.person(does, by))
        self.world.clock.advance(10)
        self.runs()
        self.reached["an approval while code asks"] += self.code_asks_over_words
        self.do(self.person("approves", BOB)())
        self.runs()

    @property
    def code_asks_over_words(self) -> bool:
        """There are words that the model has not read, while a question of code's own waits and so does a request."""
        now = self.world.thread
        asked = now.step(now.state.question)
        return now.pending is not None and bool(asked and asked.chosen.by == "code") and not all_words_were_read(now)

    @rule(seconds=st.sampled_from([5, 20, 60]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)
        self.runs()

    @precondition(lambda self: self.seen.version > 25)
    @rule(by=st.sampled_from((ANN, ANN, EVE)))
    def somebody_cancels(self, by: Person) -> None:
        self.do(self.person("cancels", by)())

    def runs(self) -> None:
        appends = self.world.store.appends
        self.do(self.world.run())
        assert self.world.store.appends - appends < 400, "it does not come to rest"

    @invariant()
    def every_event_was_allowed_when_it_was_written(self) -> None:
        async def now() -> Thread:
            return await self.world.store.load(self.world.thread.id)

        log = self.wait(now())
        before = self.seen if self.seen.exists else Thread(log.id)
        for new in log.events[before.version :]:
            self.check(before, new)
            after = before.extended([new])
            assert_an_open_edit_holds(before, after, new)
            before = after
            self.unsent |= set(before.state.outbox)
            self.reached[new.kind] += 1
            if begins(new):
                self.reached[f"{before.state.steps[new.step].chosen.intent} started"] += 1
        self.seen = before
        self.reached[log.status] += 1
        for step in log.state.steps.values():
            self.reached[f"step {step.status}"] += 1
            ran = self.world.desk.keys[f"{log.id}/{step.id}"]
            starts = [e for e in log.events if begins(e) and e.step == step.id]
            assert ran <= len(starts), f"{step.id} ran without being written down first"
            if step.chosen.intent in ("touch", "push", "broken"):
                assert len(starts) <= 1, f"{step.id} was started twice"

    def check(self, before: Thread, new: Event) -> None:
        assert_reads_back(new)
        state = before.state
        if isinstance(new, StepChosen):
            assert new.v == (2 if new.seen or new.holds else 1), f"{new.id} is misread by an older version"
        match new:
            case ToolStarted():
                step = state.steps[new.step]
                assert not state.stopped or step.attempt, f"{new.id} was begun after a stop"
                assert not was_cancelled(before, new.step), f"{new.id}, which was cancelled"
                assert may_begin(before), f"{new.id} while {before.status}"
                doubted = step.chosen.acts and step.chosen.by == "model" and self.is_doubtful(before, step.chosen)
                self.reached["doubted and started"] += doubted
                repeated = step.chosen.acts and step.chosen.by == "model" and repeats(before, step.chosen)
                self.reached["repeated and started"] += repeated
                if step.chosen.intent == "push" or doubted or repeated:
                    request, decision = step.request, step.request.decision if step.request else None
                    if step.status != "due":  # Otherwise it goes on with what began while the rules allowed it.
                        self.check_approval(before, step, new)
                    assert request is not None
                    assert decision is not None
                    assert decision.approved
                    assert decision.by.trust == "verified"
                    asked = request.asked
                    seen = digest_of(before.id, step.chosen, asked)
                    assert seen == decision.digest == request.digest
                    assert step.status == ("approved" if new.attempt == 1 else "due")
                if step.chosen.acts:
                    assert all_words_were_read(before), f"{new.id} before the words were read"
            case StepChosen(by="model") | StepChosen(begun=True) | ApprovalRequested():
                assert not was_cancelled(before, new.step), f"{new.id}, which was cancelled"
                assert words_came_after_the_reopening(before), f"{new.id} with no word since it was reopened"
                assert not before.state.stopped or not isinstance(new, ApprovalRequested), f"{new.id} after a stop"
                assert not (before.state.stopped and isinstance(new, StepChosen) and new.by == "model")
                assert may_begin(before), f"{new.id} while {before.status}"
                if isinstance(new, StepChosen) and new.by == "model":
                    self.check_seen(before, new)
                assert not (isinstance(new, StepChosen) and new.begun and new.acts), f"{new.id} was begun at once"
            case MessageSent():
                assert new.key in state.outbox, f"{new.key} was sent, and was not in the outbox"
                assert any(
                    f"{before.id}/{new.key}" in channel.sent
                    for channel in (self.world.channel, *self.world.rooms.values())
                )
            case _:
                pass

    def authors(self, before: Thread, chosen: StepChosen) -> list[Person]:
        """Whose words the model had before its eyes when it chose this, and who changed the call since."""
        if chosen.by == "person":
            assert chosen.editor
            return [*self.authors(before, before.state.steps[chosen.edits].chosen), chosen.editor]
        prompt = self.prompted[chosen.seen or before.events.index(chosen)]
        return [author for text, author in self.texts.items() if text in prompt]

    def is_doubtful(self, before: Thread, chosen: StepChosen) -> bool:
        """Whether it was chosen after words that nobody vouches for, or for a schedule alone."""
        if any(author.trust != "verified" for author in self.authors(before, chosen)):
            return True
        for event in reversed(before.events[: before.events.index(chosen)]):
            match event:
                case TriggerReceived():
                    return event.source == CRON
                case MessageReceived() if event.sender.trust == "verified" and event.sender.address != "api":
                    return False
                case _:
                    pass
        return False

    def check_seen(self, before: Thread, new: StepChosen) -> None:
        """What was written while the model thought stays unread, and nothing that acts stands over it.

        A decision that came to nothing is nothing to read.
        """
        seen = new.seen or before.version
        assert seen in self.prompted, f"{new.id} answers no prompt"
        later = before.events[seen:]
        unseen = [event for event in later if not isinstance(event, ApprovalDecided) or counted(before, event)]
        assert all(isinstance(event, MessageReceived) for event in unseen)
        assert not (unseen and (new.acts or new.intent == "withdraw_request")), f"{new.id} stands over unread words"
        assert before.extended([new]).state.unread == bool(unseen)
        self.reached["stood over words"] += bool(unseen)

    def check_approval(self, before: Thread, step: StepState, new: ToolStarted) -> None:
        """What else must hold of an approval by which something begins."""

    async def check_prompt(self, prompt: str) -> None:
        """It is what a fresh reading of the log gives; and it only grew at its end, or was compacted."""
        log = await self.world.store.load(self.world.thread.id)
        assert prompt == Context(self.world.agent).render(log)
        self.prompted[log.version] = prompt
        newest = next(e for e in reversed(log.events) if isinstance(e, MessageReceived))
        assert (log.state.edits.texts.get(newest.id) or newest.text) in prompt
        before, _, _ = self.prompts[-1].rpartition("\n\n<now>\n")
        if self.world.agent.limits is TIGHT:
            assert len(prompt) <= TIGHT.context_chars_max
            self.reached["compacted"] += "<left_out>" in prompt
        else:
            assert prompt.startswith(before)
        self.prompts.append(prompt)

    def teardown(self) -> None:
        """Everybody stops interfering: it comes to rest, and everything was told once."""
        if not hasattr(self, "world"):
            return
        self.world.store.forget()
        self.world.channel.forget()
        for _ in range(40):
            self.runs()
            if self.world.at_rest and not self.world.thread.timers:
                break
            self.world.clock.advance(600)
        self.every_event_was_allowed_when_it_was_written()
        end = self.world.thread
        assert end.timers == {}
        assert not end.state.outbox
        given_up = {e.key for e in end.events if isinstance(e, MessageFailed) and not e.retry_at}
        sent = Counter(e.key for e in end.events if isinstance(e, MessageSent))
        assert self.unsent == sent.keys() | given_up
        assert set(sent.values()) <= {1}
        assert end.turn not in ("agent", "clock") or end.state.handed_to_human
        asked = end.step(end.state.question)
        waits = asked is not None and asked.chosen.by == "code"
        assert not may_begin(end) or waits or all_words_were_read(end), "it rests, and has not read what was written"


def begins(event: Event) -> TypeGuard[ToolStarted | StepChosen]:
    return isinstance(event, ToolStarted) or (isinstance(event, StepChosen) and event.begun)


def may_begin(before: Thread) -> bool:
    return not (before.state.cancelled or before.state.paused or before.state.handed_to_human)


def repeats(before: Thread, chosen: StepChosen) -> bool:
    """Whether the same call was begun already after the last words that came before this choice."""
    events = before.events[: before.events.index(chosen)]
    words = [n for n, event in enumerate(events) if isinstance(event, MessageReceived | TriggerReceived)]
    turn = events[words[-1] + 1 :] if words else events
    same = {
        event.step
        for event in turn
        if isinstance(event, StepChosen) and event.by == "model" and event.intent == chosen.intent
        if event.arguments == chosen.arguments
    }
    failed = {event.step for event in before.events if isinstance(event, ToolFinished) and event.error}
    return any(isinstance(event, ToolStarted) and event.step in same - failed for event in turn)


def was_cancelled(before: Thread, step_id: str) -> bool:
    """Whether the thread was cancelled after the step was chosen."""
    for past in reversed(before.events):
        match past:
            case ThreadCancelled():
                return step_id in before.state.steps
            case StepChosen() if past.step == step_id:
                return False
            case _:
                pass
    return False


def words_came_after_the_reopening(before: Thread) -> bool:
    for past in reversed(before.events):
        match past:
            case MessageReceived() | TriggerReceived():
                return True
            case ThreadReopened():
                return False
            case _:
                pass
    return True


def all_words_were_read(before: Thread) -> bool:
    for index, past in reversed(list(enumerate(before.events))):
        match past:
            case StepChosen(by="model", seen=seen):
                return not any(isinstance(event, MessageReceived) for event in before.events[seen or index :])
            case ThreadReopened() | WorkStopped():
                return True  # What was written before is not acted on, and people know.
            case MessageReceived():
                return False
            case _:
                pass
    return True
