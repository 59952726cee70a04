"""A thread: whose turn it is, how it rests and is copied, and that any events in any order mean one thing."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.events import KINDS, Event
from store.state import OPEN
from store.status import ThreadStatus, Turn
from store.thread import Thread
from store.values import Place
from tests.matrices import examples
from tests.store.stories import CARD, RUNNING, SHOWN, step, timers, unsent
from tests.telling.anything import ANYTHING, any_story
from tests.telling.story import (
    LATER,
    PLACE,
    approved,
    asked,
    cancelled,
    choice_failed,
    chosen,
    done,
    failed,
    finished,
    fired,
    forked,
    from_the_future,
    handed_to_human,
    interrupted,
    message,
    not_sent,
    nothing_to_do,
    opened,
    paused,
    refused,
    rejected,
    resumed,
    sent,
    started,
    thread,
    told,
    trigger,
    waits,
)


def test_a_thread_without_events_does_not_exist() -> None:
    nothing = Thread("t1")
    assert (nothing.exists, nothing.version, nothing.status, nothing.turn) == (False, 0, "done", "nobody")


def test_the_first_event_tells_agent_and_place() -> None:
    new = thread()
    assert (new.exists, new.version, new.agent, new.place) == (True, 1, "deploy", PLACE)


def test_an_extended_thread_leaves_the_one_before_as_it_was() -> None:
    before = thread(*CARD)
    after = before.extended([approved("s1"), sent("s1/card")])
    assert (before.version, step(before).status, unsent(before)) == (4, "requested", ["s1/card"])
    assert (after.version, step(after).status, unsent(after)) == (6, "approved", ["s1/settled"])


def test_extending_by_nothing_changes_nothing() -> None:
    before = thread(message())
    assert before.extended([]) is before


# Who moves next

STATUSES: list[tuple[ThreadStatus, Turn, tuple[Event, ...]]] = [
    ("done", "nobody", ()),
    ("working", "agent", (message(),)),
    ("working", "agent", (trigger(),)),
    ("working", "agent", (message(), chosen("s1"))),
    ("waiting_for_approval", "human", CARD),
    ("waiting_for_approval", "human", (*CARD, message("m2"), nothing_to_do("s2"))),
    ("working", "agent", (*CARD, message("m2"))),
    ("working", "agent", (*CARD, approved("s1"))),
    ("working", "agent", (*CARD, rejected("s1"))),
    ("working", "agent", (*CARD, approved("s1"), started("s1"))),
    ("working", "agent", RUNNING),
    ("waiting", "clock", (*RUNNING, waits("s1"))),
    ("working", "agent", (*RUNNING, waits("s1"), fired("s1/wait/1"))),
    ("working", "agent", (*RUNNING, finished("s1"))),
    ("working", "agent", (*RUNNING, failed("s1"))),
    ("done", "nobody", (*RUNNING, finished("s1"), done("s2"))),
    ("done", "nobody", (*RUNNING, interrupted("s1"))),
    ("waiting_for_answer", "human", (*RUNNING, interrupted("s1"), asked("s2"))),
    ("waiting_for_answer", "human", (message(), asked("s1"))),
    ("working", "agent", (message(), asked("s1"), message("m2", answers="s1"))),
    ("done", "nobody", (message(), nothing_to_do("s1"))),
    ("working", "agent", (message(), told("s1"))),
    ("done", "nobody", (message(), told("s1"), done("s2"))),
    ("working", "agent", (message(), choice_failed())),
    ("waiting", "clock", (message(), choice_failed(reason="unavailable", retry_at=LATER))),
    ("working", "agent", (message(), choice_failed(reason="unavailable", retry_at=LATER), fired("choice/1"))),
    ("handed_to_human", "human", (message(), handed_to_human())),
    ("handed_to_human", "human", (*CARD, handed_to_human())),
    ("working", "agent", (message(), handed_to_human(), message("m2"))),
    ("paused", "human", (message(), paused())),
    ("working", "agent", (message(), paused(), resumed())),
    ("cancelled", "nobody", (message(), cancelled())),
    ("cancelled", "nobody", (message(), paused(), cancelled(), resumed())),
    ("unreadable", "human", (message(), from_the_future())),
    ("unreadable", "human", (message(), from_the_future(), cancelled())),
    ("done", "nobody", (*CARD, forked())),
]


@pytest.mark.parametrize(("status", "turn", "events"), STATUSES)
def test_every_story_leaves_it_to_somebody(status: ThreadStatus, turn: Turn, events: tuple[Event, ...]) -> None:
    now = thread(*events)
    assert (now.status, now.turn) == (status, turn)


# Resting, cancelling, forking


def test_pausing_and_resuming_leave_everything_as_it_was() -> None:
    before = thread(*CARD, message("m2"))
    between = before.extended([paused()])
    assert (between.state.paused, step(between).status, between.state.news) == (True, "requested", True)
    assert between.extended([resumed()]).state == before.state


def test_a_request_can_be_decided_while_paused() -> None:
    now = thread(*CARD, paused(), approved("s1"))
    assert (now.status, step(now).status) == ("paused", "approved")


def test_a_person_who_was_handed_the_thread_sees_nothing_begun_by_news() -> None:
    now = thread(message(), choice_failed(reason="unavailable", retry_at=LATER), handed_to_human())
    assert (now.state.news, timers(now), now.state.errors_in_row, now.state.steps_in_turn) == (False, {}, 0, 0)


@pytest.mark.parametrize(
    "until_then",
    [
        (message(), chosen("s1")),
        SHOWN,
        (*SHOWN, approved("s1"), sent("s1/settled")),
        (*RUNNING, waits("s1")),
        (*RUNNING, waits("s1"), fired("s1/wait/1")),
    ],
)
def test_cancelling_ends_what_has_not_begun(until_then: tuple[Event, ...]) -> None:
    now = thread(*until_then, cancelled())
    assert (step(now).status, now.open_steps(), timers(now)) == ("cancelled", [], {})
    assert unsent(now) == [*(["s1/closed"] if step(now).request else []), "cancel/1/notice"]


def test_what_runs_when_the_thread_is_cancelled_is_still_noted_when_it_ends() -> None:
    now = thread(*RUNNING, cancelled())
    assert (step(now).status, now.status) == ("running", "cancelled")
    assert step(now.extended([finished("s1")])).status == "finished"
    assert step(now.extended([interrupted("s1")])).status == "interrupted"


def test_a_message_does_not_revive_a_cancelled_thread() -> None:
    now = thread(message(), asked("s1"), cancelled(), message("m2"))
    assert (now.status, now.state.news, now.state.question) == ("cancelled", False, "")


@pytest.mark.parametrize(
    "copied",
    [
        (message(),),
        (message(), done("s1")),
        (message(), asked("s1")),
        (message(), chosen("s1")),
        CARD,
        (*CARD, approved("s1")),
        RUNNING,
        (*RUNNING, waits("s1")),
        (*CARD, paused()),
        (message(), handed_to_human()),
        (message(), cancelled()),
        (message(), choice_failed(reason="unavailable", retry_at=LATER)),
        (*CARD, not_sent("s1/card")),
    ],
)
def test_a_fork_begins_at_rest(copied: tuple[Event, ...]) -> None:
    now = thread(*copied, forked())
    assert (now.status, now.turn, now.open_steps(), timers(now), unsent(now)) == ("done", "nobody", [], {}, [])
    # Nor does it look as if the agent had just said that it is done, which would ask the agent's plan for more.
    assert now.state.current == ""


def test_what_ran_in_the_source_of_a_fork_ends_there_alone() -> None:
    before = thread(*RUNNING, forked())
    assert before.extended([finished("s1"), waits("s1")]).state == before.state


def test_a_fork_goes_on_with_the_next_message() -> None:
    now = thread(*CARD, forked(), message("m2"), chosen("s7"))
    assert (now.status, step(now).status, step(now, "s7").status) == ("working", "superseded", "chosen")


# Any events in any order


def test_the_random_stories_hold_every_kind_of_event() -> None:
    assert {event.kind for event in ANYTHING} == {*KINDS, from_the_future().kind}


def _probe(now: Thread) -> None:
    """Everything that a thread tells can be told."""
    assert (now.status, now.turn) is not None
    assert now.pending is None or step(now, now.pending.step).status == "requested"
    assert all(step.status in OPEN for step in now.open_steps())
    assert len({step.id for step in now.open_steps()}) == len(now.open_steps())
    assert {step.id for step in now.open_steps()} == {s.id for s in now.state.steps.values() if s.status in OPEN}
    assert timers(now) is not None
    assert all(one.event < now.version for _, one in now.state.outbox.items())


@examples(500)
@given(any_story, st.integers(0, 32))
@example((opened(), chosen("s1"), refused("s1"), chosen("s2"), chosen("s1")), 3)
def test_any_events_in_any_order_mean_the_same_however_the_log_is_cut(events: tuple[Event, ...], cut: int) -> None:
    whole = Thread("t1").extended(events)
    one_by_one = Thread("t1")
    for event in events:
        one_by_one = one_by_one.extended([event])
        _probe(one_by_one)
    in_two = Thread("t1").extended(events[:cut]).extended(events[cut:])
    for other in (one_by_one, in_two):
        assert other.events == whole.events
        assert other.state == whole.state
        assert unsent(other) == unsent(whole)


@given(any_story)
def test_nothing_is_approved_but_by_a_verified_person_on_the_digest_of_the_request(events: tuple[Event, ...]) -> None:
    for now in Thread("t1").extended(events).state.steps.values():
        if now.status in {"approved", "rejected"}:
            assert now.request is not None
            decision = now.request.decision
            assert decision is not None
            assert (decision.digest, decision.by.trust) == (now.request.digest, "verified")


def test_a_thread_that_we_open_is_held_at_its_first_message() -> None:
    there = Place(channel="room", address="T1/C1/1.1")
    moved = thread(trigger(), asked("s1"), sent("s1/say").model_copy(update={"place": there}))
    assert moved.place == there
