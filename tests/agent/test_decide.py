"""What is to be done next: each rule by an example, then any events in any order, then people who do what they like."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import structlog
from hypothesis import Phase, event, find, given, settings
from hypothesis import strategies as st

from agent.decide import (
    Action,
    AskModel,
    CannotServe,
    ChangeAgent,
    ChooseStep,
    HandToHuman,
    NoteInterruption,
    ReadArrival,
    RefuseStep,
    RequestApproval,
    RunTool,
    Say,
    decide,
)
from agent.definition import Agent, Limits
from agent.steps import HandOver
from store.events import Event
from store.thread import Thread
from store.values import Person
from tests.matrices import examples, explore
from tests.stories.anybody import AnybodyDoesAnything
from tests.telling.anything import ANYTHING
from tests.telling.playbook import (
    TOOLS,
    Look,
    Push,
    Touch,
    ops,
)
from tests.telling.story import (
    EVE,
    LATER,
    approved,
    asked,
    cancelled,
    choice_failed,
    chosen,
    failed,
    finished,
    fired,
    forked,
    from_the_future,
    handed_over_to,
    handed_to_human,
    message,
    not_sent,
    nothing_to_do,
    paused,
    refused,
    rejected,
    reopened,
    requested,
    resumed,
    sent,
    started,
    thread,
    trigger,
    unavailable,
    waits,
)
from tests.telling.story import done as said_done
from tests.telling.story import told as heard

OPS = ops()


def look(step: str) -> Event:
    return chosen(step, "look")


def touch(step: str) -> Event:
    return chosen(step, "touch", acts=True)


def push(step: str) -> Event:
    return chosen(step, "push", acts=True, target="prod")


def next_action(*events: Event, agent: Agent = OPS) -> Action | None:
    return decide(agent, thread(*events))


def kind_of(*events: Event, agent: Agent = OPS) -> type[Action] | None:
    action = next_action(*events, agent=agent)
    return None if action is None else type(action)


REQUESTED = (message(), push("s1"), requested("s1"), sent("s1/card"))
APPROVED = (*REQUESTED, approved("s1"), sent("s1/settled"))
WAITING = (message(), chosen("s1", "slow"), started("s1", repeatable=True), waits("s1"))
DUE = (*WAITING, fired("s1/wait/1"))
RUNNING = (message(), touch("s1"), started("s1"))
NOTICES = ("cancel/1/notice", "m2/notice", "reopen/1/notice", "s1/closed")
LOOKING = (message(), look("s1"), started("s1", repeatable=True))


# Whose turn it is


@pytest.mark.parametrize(
    "events",
    [
        (),
        REQUESTED,
        WAITING,
        (message(), asked("s1"), sent("s1/say")),
        (message(), said_done("s1"), sent("s1/say")),
        (message(), nothing_to_do("s1")),
        (message(), choice_failed(reason="unavailable", retry_at=LATER)),
        (*APPROVED, forked()),
    ],
)
def test_when_it_is_somebody_elses_turn_there_is_nothing_to_do(events: tuple[Event, ...]) -> None:
    assert next_action(*events) is None


def test_a_thread_that_does_not_exist_has_nothing_to_do() -> None:
    assert decide(OPS, Thread("t1")) is None


def test_a_thread_that_a_newer_version_wrote_is_left_alone() -> None:
    action = next_action(message(), from_the_future())
    assert isinstance(action, CannotServe)
    assert action.step is None


def test_a_message_is_for_the_model() -> None:
    assert next_action(message()) == AskModel()
    assert next_action(trigger()) == AskModel()


# The rules of order


@pytest.mark.parametrize(
    "events",
    [
        (*RUNNING, paused(), message("m2")),
        (*APPROVED, message("m2", clipped_from=60_000)),
        (message(), push("s1"), requested("s1"), approved("s1")),
        (*RUNNING, cancelled()),
        (message(), handed_to_human()),
    ],
)
def test_people_are_told_what_they_are_owed_before_anything_else(events: tuple[Event, ...]) -> None:
    assert kind_of(*events) is Say


def test_what_was_owed_first_is_told_first() -> None:
    action = next_action(message(), push("s1"), requested("s1"), approved("s1"))
    assert isinstance(action, Say)
    assert action.key == "s1/card"


def test_what_could_not_be_sent_holds_nothing_up_until_its_timer() -> None:
    later = (message(), push("s1"), requested("s1"), not_sent("s1/card"), approved("s1"), sent("s1/settled"))
    assert kind_of(*later) is RunTool
    action = next_action(*later, fired("s1/card/send/1"))
    assert isinstance(action, Say)
    assert action.key == "s1/card"


def test_an_interruption_is_settled_before_words_are_read() -> None:
    assert kind_of(*RUNNING, message("m2")) is NoteInterruption
    assert kind_of(*LOOKING, message("m2")) is RunTool


@pytest.mark.parametrize("before", [APPROVED, (message(), touch("s1")), (message(), push("s1"))])
def test_words_are_read_before_anything_begins(before: tuple[Event, ...]) -> None:
    assert next_action(*before, message("m2", "no, wait!")) == AskModel()


def test_words_that_code_has_answered_with_a_look_are_still_read_before_anything_begins() -> None:
    by_code = chosen("s2", "look").model_copy(update={"by": "code"})
    looked = (started("s2", repeatable=True), finished("s2"))
    before = (*APPROVED, message("m2", "no, wait!"), by_code)
    action = next_action(*before)
    assert isinstance(action, RunTool)
    assert action.step.id == "s2"
    assert next_action(*before, *looked) == AskModel()


def test_words_during_a_tool_are_read_also_where_code_waits_next() -> None:
    wait = chosen("s2", "slow").model_copy(update={"by": "code"})
    before = (*RUNNING, message("m2", "stop!"), finished("s1"), wait, started("s2", repeatable=True), waits("s2"))
    assert next_action(*before) == AskModel()


def test_what_was_approved_begins_once_the_words_were_read() -> None:
    action = next_action(*APPROVED, message("m2", "nice!"), nothing_to_do("s2"))
    assert isinstance(action, RunTool)
    assert (action.step.id, action.attempt) == ("s1", 1)


def test_what_is_due_looks_again() -> None:
    action = next_action(*DUE)
    assert isinstance(action, RunTool)
    assert (action.step.id, action.attempt) == ("s1", 2)


def test_a_chosen_tool_runs_or_asks_for_approval_as_its_class_says() -> None:
    run = next_action(message(), touch("s1"))
    request = next_action(message(), push("s1"))
    assert isinstance(run, RunTool)
    assert isinstance(request, RequestApproval)
    assert (run.tool, run.attempt, request.tool) == (Touch(), 1, Push(target="prod"))


def test_what_is_to_be_told_keeps_its_order_while_the_first_of_it_waits() -> None:
    waits = (message(), heard("s1"), not_sent("s1/say"), said_done("s2"))
    assert not isinstance(next_action(*waits), Say)
    assert isinstance(first := next_action(*waits, fired("s1/say/send/1")), Say)
    assert first.key == "s1/say"
    # Given up, it holds back nothing.
    assert isinstance(next_action(message(), heard("s1"), not_sent("s1/say", retry_at=None), said_done("s2")), Say)


def test_what_acts_needs_an_approval_where_anybody_may_have_spoken() -> None:
    assert isinstance(next_action(message(by=EVE), touch("s1")), RequestApproval)
    assert isinstance(next_action(message(by=EVE), message("m2"), touch("s1")), RequestApproval)
    assert isinstance(next_action(message(by=EVE), look("s1")), RunTool)
    # What code chose follows from the log and its own rules, not from somebody's words.
    by_code = chosen("s1", "touch", acts=True).model_copy(update={"by": "code"})
    assert isinstance(next_action(message(by=EVE), by_code), RunTool)


def test_what_only_code_chooses_runs_by_no_other_choice() -> None:
    class Sweep(Look):
        by_code: ClassVar[bool] = True

    agent = ops(tools=(*TOOLS, Sweep))
    by_model = chosen("s1", "sweep")
    assert isinstance(next_action(message(), by_model, agent=agent), RefuseStep)
    assert isinstance(next_action(message(), by_model.model_copy(update={"by": "code"}), agent=agent), RunTool)


def test_a_rejection_is_for_the_model() -> None:
    assert next_action(*REQUESTED, rejected("s1"), sent("s1/settled")) == AskModel()


@pytest.mark.parametrize("by", [EVE, Person(name="Ann", address="U1", trust="forwarded")])
def test_a_decision_by_somebody_who_may_be_anybody_begins_nothing(by: Person) -> None:
    assert next_action(*REQUESTED, approved("s1", by=by)) is None


def test_a_decision_on_something_else_begins_nothing() -> None:
    assert next_action(*REQUESTED, approved("s1", digest="digest of another call")) is None


# Interruptions


def test_a_tool_that_cannot_be_repeated_is_not_repeated() -> None:
    action = next_action(*RUNNING)
    assert isinstance(action, NoteInterruption)
    assert action.step.id == "s1"


def test_a_repeatable_tool_is_started_again_and_not_for_ever() -> None:
    events = list(LOOKING)
    for attempt in (2, 3):
        action = next_action(*events)
        assert isinstance(action, RunTool)
        assert action.attempt == attempt
        events.append(started("s1", attempt, repeatable=True))
    refusal = next_action(*events)
    assert isinstance(refusal, RefuseStep)
    assert refusal.error == "look was interrupted 3 times."


def test_a_tool_that_is_no_longer_repeatable_is_not_started_again_but_asked_about() -> None:
    assert kind_of(message(), touch("s1"), started("s1", repeatable=True)) is NoteInterruption


def test_a_tool_that_this_worker_does_not_have_is_left_to_others_also_after_an_interruption() -> None:
    assert kind_of(message(), chosen("s1", "gone"), started("s1", repeatable=True)) is CannotServe


def test_what_would_be_repeated_is_asked_about_once_its_thread_is_cancelled() -> None:
    touching = (message(), touch("s1"), started("s1", repeatable=True))
    assert kind_of(*touching, cancelled(), sent("cancel/1/notice")) is NoteInterruption
    assert next_action(*touching, paused()) is None, "it is repeated later"


@pytest.mark.parametrize("rest", [paused(), cancelled(), handed_to_human()])
def test_an_interruption_is_noted_also_where_nothing_may_begin(rest: Event) -> None:
    told = (sent("cancel/1/notice"), sent("h1/handed/say"))
    assert kind_of(*RUNNING, rest, *told) is NoteInterruption
    assert next_action(*LOOKING, rest, *told) is None


# Steps that cannot begin


@pytest.mark.parametrize(
    ("intent", "arguments", "error"),
    [
        ("explode", {}, "Unknown intent 'explode'. Known are: look, touch, push"),
        ("push", {}, "Invalid push: target: Field required."),
        ("push", {"target": "prod", "force": True}, "Invalid push: force: Extra inputs are not permitted."),
        ("push", {"intent": "look", "target": "prod"}, "Invalid push: "),
    ],
)
def test_a_step_that_the_agent_does_not_have_is_left_to_others(
    intent: str, arguments: dict[str, Any], error: str
) -> None:
    event = chosen("s1", intent).model_copy(update={"arguments": arguments})
    action = next_action(message(), event)
    assert isinstance(action, CannotServe)
    assert action.step
    assert action.error.startswith(error)


def test_a_call_that_a_person_edited_into_nonsense_is_refused() -> None:
    event = chosen("s1", "push").model_copy(update={"arguments": {"force": True}, "by": "person"})
    assert isinstance(next_action(message(), event), RefuseStep)


def test_an_approved_step_that_the_agent_does_not_have_is_left_to_others() -> None:
    assert kind_of(*APPROVED, agent=ops(tools=(Look,))) is CannotServe


# What code chooses


def test_code_chooses_before_the_model_does() -> None:
    agent = ops(plan=lambda now: None if now.state.steps else Look())
    assert next_action(message(), agent=agent) == ChooseStep(Look())
    assert next_action(message(), look("s1"), started("s1"), finished("s1"), agent=agent) == AskModel()


def test_code_is_asked_once_more_when_the_agent_is_done() -> None:
    over = (message(), said_done("s1"), sent("s1/say"))
    agent = ops(plan=lambda now: Look() if now.state.current == "s1" else None)
    assert next_action(*over, agent=agent) == ChooseStep(Look())
    assert next_action(*over, paused(), agent=agent) is None
    assert next_action(*over, cancelled(), sent("cancel/1/notice"), agent=agent) is None
    assert next_action(message(), asked("s1"), sent("s1/say"), agent=agent) is None


def test_code_is_held_to_the_limits_too() -> None:
    agent = ops(plan=lambda _: Look(), limits=Limits(steps_per_turn=1))
    for events in (
        (message(), said_done("s1"), sent("s1/say")),
        (message(), look("s1"), started("s1"), finished("s1")),
    ):
        action = next_action(*events, agent=agent)
        assert isinstance(action, HandToHuman)
        assert action.limit == "steps_per_turn"


def test_code_hands_the_thread_over_to_another_agent() -> None:
    hand_over = HandOver(agent="night", reason="It is late.")
    agent = ops(plan=lambda now: None if now.state.steps else hand_over)
    assert next_action(message(), agent=agent) == ChooseStep(hand_over)
    event = chosen("s1", "hand_over", agent="night", reason="It is late.")
    assert next_action(message(), event, agent=agent) == ChangeAgent("night", "It is late.")
    assert next_action(message(), event, handed_over_to("night"), agent=ops(name="night")) == AskModel()


def test_the_model_is_not_offered_to_hand_over() -> None:
    assert "hand_over" not in OPS.steps


# Limits


@pytest.mark.parametrize(
    ("limits", "events", "limit"),
    [
        (Limits(errors_in_row=2), (look("s1"), started("s1"), failed("s1"), choice_failed(1)), "errors_in_row"),
        (Limits(), (unavailable(1), unavailable(2, after_seconds=900)), "unavailable_seconds"),
        (Limits(), (unavailable(1), unavailable(2), unavailable(3), unavailable(4, after_seconds=899)), ""),
        (Limits(steps_per_turn=1), (look("s1"), started("s1"), finished("s1")), "steps_per_turn"),
        (Limits(events_per_thread=4), (look("s1"), started("s1")), ""),
        (Limits(events_per_thread=5), (look("s1"), started("s1"), finished("s1")), "events_per_thread"),
    ],
)
def test_whoever_reaches_a_limit_is_handed_to_a_person_by_its_name(
    limits: Limits, events: tuple[Event, ...], limit: str
) -> None:
    agent = ops(limits=limits)
    assert not isinstance(next_action(message(), *events[:-1], agent=agent), HandToHuman)
    action = next_action(message(), *events, agent=agent)
    if limit:
        assert isinstance(action, HandToHuman)
        assert action.limit == limit
        assert hasattr(limits, limit)


def test_the_person_is_told_the_last_error() -> None:
    action = next_action(message(), *(choice_failed(n) for n in (1, 2, 3)))
    assert isinstance(action, HandToHuman)
    assert action.reason == "There were 3 errors in a row. The last one: no step in it"


def test_a_tool_that_waits_for_ever_reaches_the_limit_of_events() -> None:
    agent = ops(limits=Limits(events_per_thread=len(DUE) + 1))
    assert kind_of(*DUE, agent=agent) is HandToHuman
    assert next_action(*DUE, handed_to_human(), sent("h1/handed/say"), agent=agent) is None


@pytest.mark.parametrize("before", [APPROVED, (message(), touch("s1")), DUE, LOOKING, (message(),)])
def test_who_was_handed_to_a_person_begins_nothing_until_somebody_speaks(before: tuple[Event, ...]) -> None:
    """Above all not what was approved before words that were never read."""
    handed = (*before, handed_to_human(), sent("h1/handed/say"))
    assert next_action(*handed) is None
    assert next_action(*handed, message("m2")) is not None


def test_an_approval_takes_the_thread_back_from_a_person() -> None:
    handed = (*REQUESTED, handed_to_human(), sent("h1/handed/say"))
    assert kind_of(*handed, approved("s1"), sent("s1/settled")) is RunTool


# Paused and cancelled


@pytest.mark.parametrize("before", [APPROVED, (message(), touch("s1")), DUE, LOOKING, (message(),)])
def test_nothing_begins_while_paused_and_everything_after(before: tuple[Event, ...]) -> None:
    assert next_action(*before, paused()) is None
    assert next_action(*before, paused(), resumed()) == next_action(*before)


@pytest.mark.parametrize("before", [APPROVED, (message(), touch("s1")), DUE, LOOKING, (message(),)])
def test_nothing_begins_after_it_was_cancelled(before: tuple[Event, ...]) -> None:
    over = (*before, cancelled(), sent("cancel/1/notice"), sent("s1/closed"))
    assert next_action(*over) is None
    assert next_action(*over, message("m2"), sent("m2/notice")) is None
    assert next_action(*over, resumed(), approved("s1")) is None


@pytest.mark.parametrize("before", [APPROVED, REQUESTED, (message(), touch("s1")), DUE, (message(),)])
def test_nothing_of_before_begins_after_it_was_reopened_and_the_next_words_are_read(before: tuple[Event, ...]) -> None:
    again = (*before, cancelled(), message("m2"), reopened(), *map(sent, NOTICES))
    assert next_action(*again) is None
    assert next_action(*again, approved("s1")) is None
    assert isinstance(next_action(*again, approved("s1"), message("m3")), AskModel)


def test_what_ran_when_it_was_cancelled_is_noted_after_the_reopening_and_nothing_follows_from_it() -> None:
    again = (*RUNNING, cancelled(), reopened(), *map(sent, NOTICES))
    assert isinstance(next_action(*again), NoteInterruption), "its worker is gone: people are asked what happened"
    assert next_action(*again, finished("s1")) is None
    assert next_action(*again, failed("s1")) is None
    assert next_action(*again, waits("s1")) is None
    assert next_action(*again, waits("s1"), fired("s1/wait/1")) is None
    assert isinstance(next_action(*again, finished("s1"), message("m3")), AskModel)


def test_a_repeatable_tool_that_was_cancelled_is_not_repeated_after_the_reopening() -> None:
    again = (*LOOKING, cancelled(), reopened(), *map(sent, NOTICES))
    assert isinstance(next_action(*again), RefuseStep)
    assert next_action(*again, refused("s1")) is None


def test_what_ended_while_it_was_cancelled_begins_nothing_after_the_reopening() -> None:
    for meanwhile in (finished("s1"), waits("s1"), failed("s1")):
        assert next_action(*RUNNING, cancelled(), meanwhile, reopened(), *map(sent, NOTICES)) is None
    said: tuple[Event, ...] = (message(), said_done("s1"), sent("s1/say"), cancelled(), reopened())
    assert next_action(*said, *map(sent, NOTICES), agent=ops(plan=lambda _: Look())) is None, "nor does the plan go on"
    due = (*RUNNING, cancelled(), waits("s1"), fired("s1/wait/1"))
    assert next_action(*due, reopened(), *map(sent, NOTICES)) is None


def test_only_a_cancelled_thread_can_be_reopened() -> None:
    for before in (APPROVED, (*APPROVED, paused()), RUNNING):
        assert next_action(*before, reopened()) == next_action(*before)


# Any events in any order

_CALLS = [call(step) for call in (look, touch, push) for step in ("s1", "s2", "s3")]
_any_story = st.tuples(
    st.sampled_from([(), REQUESTED, APPROVED, WAITING, DUE, RUNNING, LOOKING]),
    st.lists(st.sampled_from([*ANYTHING, *_CALLS, *_CALLS]), max_size=20),
).map(lambda parts: [*parts[0], *parts[1]])
PLANNED = ops(plan=lambda now: Look() if now.version % 2 else None, limits=Limits(steps_per_turn=3))
STRANGER = ops(tools=(Look,))


@examples(400)
@given(_any_story, st.sampled_from([OPS, PLANNED, STRANGER]))
def test_whatever_happened_there_is_an_answer_and_it_is_always_the_same(events: list[Event], agent: Agent) -> None:
    now = thread(*events)
    before = copy.deepcopy(now.state)
    first = decide(agent, now)
    assert first == decide(agent, now)
    assert now.state == before
    assert first == decide(agent, Thread("t1").extended(now.events))
    event(f"action {type(first).__name__}")
    state = now.state
    if state.unreadable:
        assert isinstance(first, CannotServe | Say)
        return
    if (state.paused or state.cancelled or state.handed_to_human) and first is not None:
        assert isinstance(first, Say | ReadArrival | NoteInterruption | RefuseStep)
        assert not isinstance(first, RefuseStep) or first.step.status == "running"
    if state.news or state.unread:
        assert not (isinstance(first, RunTool) and first.step.status == "approved")
    if isinstance(first, RunTool) and first.tool.needs_approval():
        decision = first.step.request.decision if first.step.request else None
        assert decision is None or decision.approved


@pytest.mark.parametrize(
    "kind",
    [
        Say,
        ReadArrival,
        AskModel,
        ChooseStep,
        RequestApproval,
        RunTool,
        NoteInterruption,
        RefuseStep,
        HandToHuman,
        type(None),
    ],
)
def test_any_events_in_any_order_reach_every_action(kind: type[Action]) -> None:
    find(
        st.tuples(_any_story, st.sampled_from([OPS, PLANNED, STRANGER])),
        lambda found: isinstance(decide(found[1], thread(*found[0])), kind),
        settings=settings(max_examples=20_000, phases=[Phase.generate], database=None),
    )


# People who do what they like


@pytest.fixture
def stage() -> Iterator[None]:
    with asyncio.Runner() as runner, structlog.testing.capture_logs():
        AnybodyDoesAnything.runner = runner
        yield


@pytest.mark.hypothesis
@pytest.mark.usefixtures("stage")
def test_whatever_people_do_nothing_happens_that_was_not_allowed() -> None:
    interesting = {
        *("tool_waiting", "tool_interrupted", "step_refused", "choice_failed", "timer_fired", "message_failed"),
        *("push started", "touch started", "slow started", "compacted", "stood over words"),
        *("an approval while code asks", "repeated and started"),
        *("paused", "waiting_for_approval", "waiting_for_answer", "waiting", "done", "cancelled", "handed_to_human"),
        *("thread_reopened", "work_stopped"),
        *(f"step {status}" for status in ("finished", "failed", "rejected", "refused", "interrupted", "superseded")),
        *(f"step {status}" for status in ("withdrawn", "cancelled", "complete", "duplicate", "waiting", "requested")),
    }
    explore(AnybodyDoesAnything, interesting, AnybodyDoesAnything.reached)
