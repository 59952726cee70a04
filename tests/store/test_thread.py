"""The fold: what a list of events means, told as short stories."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.events import KINDS, ApprovalDecided, Event
from store.state import OPEN, Request, State, StepState
from store.thread import Thread, ThreadStatus, Turn
from store.values import Person, Place, Trust
from tests.matrices import examples
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    LATER,
    PLACE,
    approved,
    asked,
    came_back,
    cancelled,
    choice_failed,
    chosen,
    deleted,
    done,
    edited,
    failed,
    finished,
    fired,
    forked,
    from_the_future,
    granted,
    handed_over_to,
    handed_to_human,
    interrupted,
    looks_again,
    message,
    not_sent,
    nothing_to_do,
    opened,
    paused,
    refused,
    rejected,
    requested,
    resumed,
    revoked,
    sent,
    started,
    thread,
    told,
    trigger,
    waits,
    withdrew,
)

CARD = (message(), chosen("s1", acts=True), requested("s1"))
"""A request that stands."""
SHOWN = (*CARD, sent("s1/card"))
"""A request whose card the people have seen."""
RUNNING = (message(), chosen("s1"), started("s1"))


def step(of: Thread, step_id: str = "s1") -> StepState:
    return of.state.steps[step_id]


def unsent(of: Thread) -> list[str]:
    return list(of.state.outbox)


def timers(of: Thread) -> dict[str, datetime]:
    return {str(key): at for key, at in of.timers.items()}


def but_for_outcomes(of: Thread) -> State:
    """The state, as if nobody had tried to decide: that is on record, and changes nothing else."""
    state = of.state.copy()
    for step_id, one in state.steps.items():
        if one.request:
            state.steps[step_id] = one._replace(request=one.request._replace(outcomes={}))
    return state


def request_of(step: StepState) -> Request:
    assert step.request
    return step.request


# The thread itself


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


# Messages and triggers


@pytest.mark.parametrize("event", [message("m2"), trigger("cron/2"), handed_over_to("verify")])
def test_what_comes_from_outside_is_news_and_begins_a_turn(event: Event) -> None:
    before = thread(message(), choice_failed(), choice_failed(2), chosen("s1"), refused("s1"), asked("s2"))
    assert (before.state.errors_in_row, before.state.steps_in_turn, before.state.question) == (3, 2, "s2")
    after = before.extended([event])
    assert (after.state.errors_in_row, after.state.steps_in_turn, after.state.question) == (0, 0, "")
    assert after.state.news


def test_a_message_takes_the_thread_back_from_a_person() -> None:
    assert not thread(message(), handed_to_human(), message("m2")).state.handed


def test_a_message_asks_the_model_again_before_its_timer() -> None:
    now = thread(message(), choice_failed(reason="unavailable", retry_at=LATER), message("m2"))
    assert (now.status, timers(now)) == ("working", {})


def test_a_message_does_not_begin_anything_by_itself() -> None:
    now = thread(*CARD, message("m2", "yes, go ahead!"))
    assert step(now).status == "requested"
    assert now.pending == step(now).request


def test_another_agent_goes_on_without_the_step_that_had_not_begun() -> None:
    now = thread(message(), chosen("s1", "hand_over", agent="verify"), handed_over_to("verify"))
    assert (now.agent, step(now).status, now.status) == ("verify", "finished", "working")


# Choosing


def test_a_new_step_supersedes_the_one_that_has_not_begun() -> None:
    now = thread(message(), chosen("s1", tag="v2"), message("m2", "v3!"), chosen("s2", tag="v3"))
    assert (step(now).status, step(now, "s2").status) == ("superseded", "chosen")
    assert [s.id for s in now.open_steps()] == ["s2"]


def test_choosing_a_step_again_changes_nothing() -> None:
    before = thread(*RUNNING)
    again = chosen("s1", tag="v9").model_copy(update={"id": "s1/chosen/again"})
    assert before.extended([again]).state == before.state


def test_a_new_step_that_acts_supersedes_the_request_and_its_card_is_closed() -> None:
    now = thread(*SHOWN, message("m2"), chosen("s2", acts=True, tag="v4"))
    assert (step(now).status, unsent(now)) == ("superseded", ["s1/closed"])
    late = step(thread(*SHOWN, chosen("s2", acts=True, tag="v4"), approved("s1")))
    assert (late.status, request_of(late).decision) == ("superseded", None)
    assert [*request_of(late).outcomes.values()] == ["too_late"]


def test_a_new_step_that_acts_supersedes_what_was_approved_and_has_not_begun() -> None:
    assert step(thread(*SHOWN, approved("s1"), chosen("s2", acts=True, tag="v4"))).status == "superseded"


@pytest.mark.parametrize(
    "second", [chosen("s2", "list_tags"), asked("s2"), done("s2"), told("s2"), nothing_to_do("s2")]
)
def test_a_step_that_only_looks_or_speaks_leaves_the_request_standing(second: Event) -> None:
    now = thread(*SHOWN, message("m2"), second)
    assert now.pending == step(now).request


def test_a_step_that_acts_leaves_alone_what_runs_or_waits() -> None:
    assert step(thread(*RUNNING, chosen("s2", acts=True))).status == "running"
    assert step(thread(*RUNNING, waits("s1"), chosen("s2", acts=True, tag="v4"))).status == "waiting"


def test_the_same_call_again_keeps_the_request_and_says_so() -> None:
    now = thread(
        message(),
        chosen("s1", acts=True, tag="v3"),
        requested("s1"),
        sent("s1/card"),
        chosen("s2", acts=True, tag="v3"),
    )
    assert (step(now).status, step(now, "s2").status) == ("requested", "duplicate")
    assert now.state.outbox["s2/notice"].step == "s1"
    assert now.status == "waiting_for_approval"


@pytest.mark.parametrize(
    ("status", "until_then"),
    [
        ("approved", (*SHOWN, approved("s1"), sent("s1/settled"))),
        ("waiting", (*RUNNING, waits("s1"))),
        ("due", (*RUNNING, waits("s1"), fired("s1/wait/1"))),
    ],
)
def test_the_same_call_again_keeps_what_is_under_way(status: str, until_then: tuple[Event, ...]) -> None:
    now = thread(*until_then, message("m2"), chosen("s2"))
    assert (step(now).status, step(now, "s2").status, unsent(now)) == (status, "duplicate", [])


def test_the_same_call_after_it_has_ended_is_a_new_one() -> None:
    assert step(thread(*RUNNING, finished("s1"), chosen("s2")), "s2").status == "chosen"


def test_a_call_with_other_arguments_is_another_call() -> None:
    now = thread(message(), chosen("s1", acts=True, tag="v3"), requested("s1"), chosen("s2", acts=True, tag="v4"))
    assert (step(now).status, step(now, "s2").status) == ("superseded", "chosen")


def test_a_request_is_withdrawn_and_the_model_goes_on() -> None:
    now = thread(*SHOWN, message("m2", "never mind"), withdrew("s2"))
    assert (step(now).status, unsent(now), now.status, now.pending) == ("withdrawn", ["s1/closed"], "working", None)


def test_a_withdrawn_request_cannot_be_approved() -> None:
    assert step(thread(*SHOWN, withdrew("s2"), approved("s1"))).status == "withdrawn"


def test_what_was_approved_can_be_withdrawn_until_it_begins() -> None:
    assert step(thread(*SHOWN, approved("s1"), withdrew("s2"))).status == "withdrawn"
    assert step(thread(*SHOWN, approved("s1"), started("s1"), withdrew("s2"))).status == "running"


def test_a_failed_choice_counts_as_an_error_and_a_good_one_does_not_forgive_it() -> None:
    now = thread(message(), choice_failed(), choice_failed(2), chosen("s1"))
    assert (now.state.errors_in_row, now.state.choice_failures) == (2, 2)


def test_an_outdated_choice_is_no_error() -> None:
    now = thread(message(), choice_failed(reason="outdated"))
    assert (now.state.errors_in_row, now.state.choice_failures, now.status) == (0, 0, "working")


def test_news_for_the_people_is_told_and_the_agent_goes_on() -> None:
    now = thread(message(), told("s1"))
    assert (step(now).status, unsent(now), now.state.news, now.open_steps()) == ("complete", ["s1/say"], True, [])


# Settling


def test_the_first_valid_decision_settles_the_request() -> None:
    now = thread(*CARD, approved("s1", by=ANN), rejected("s1", by=BOB))
    assert step(now).status == "approved"
    assert request_of(step(now)).decision == approved("s1", by=ANN)
    now = thread(*CARD, rejected("s1", by=BOB), approved("s1", by=ANN))
    assert step(now).status == "rejected"
    assert request_of(step(now)).decision == rejected("s1", by=BOB)


def test_a_decision_on_another_digest_changes_nothing() -> None:
    before = thread(*CARD)
    assert but_for_outcomes(before.extended([approved("s1", digest="what was shown before")])) == before.state


@pytest.mark.parametrize("trust", ["unverified", "third_party", "forwarded"])
def test_a_decision_by_somebody_who_may_be_anybody_changes_nothing(trust: Trust) -> None:
    before = thread(*CARD)
    somebody = Person(name="Ann", address="U1", trust=trust)
    assert but_for_outcomes(before.extended([approved("s1", by=somebody), rejected("s1", by=somebody)])) == before.state


def test_an_invalid_decision_does_not_stand_in_the_way_of_a_valid_one() -> None:
    now = thread(*CARD, rejected("s1", by=EVE), approved("s1", by=BOB, digest="other"), approved("s1", by=ANN))
    assert request_of(step(now)).decision == approved("s1", by=ANN)


@pytest.mark.parametrize(
    "until_then",
    [
        (message(),),
        (message(), chosen("s1", acts=True)),
        RUNNING,
        (*RUNNING, interrupted("s1")),
        (*RUNNING, finished("s1")),
        (*CARD, refused("s1")),
        (*CARD, cancelled()),
        (*CARD, forked()),
    ],
)
def test_a_decision_without_a_request_that_stands_changes_nothing(until_then: tuple[Event, ...]) -> None:
    before = thread(*until_then)
    assert but_for_outcomes(before.extended([approved("s1"), rejected("s1")])) == before.state


def test_a_decision_given_before_its_request_does_not_count_for_it() -> None:
    assert step(thread(message(), chosen("s1"), approved("s1"), requested("s1"))).status == "requested"


def test_a_rejection_is_news_for_the_model_and_an_approval_is_not() -> None:
    assert thread(*CARD, rejected("s1")).state.news
    assert not thread(*CARD, approved("s1")).state.news


def test_a_decision_begins_a_turn_and_takes_the_thread_back_from_a_person() -> None:
    now = thread(message(), choice_failed(), *CARD[1:], handed_to_human(), approved("s1")).state
    assert (now.steps_in_turn, now.errors_in_row, now.handed) == (0, 0, False)


def test_both_the_card_and_its_settlement_are_to_be_sent() -> None:
    assert unsent(thread(*CARD, approved("s1"))) == ["s1/card", "s1/settled"]


# Running


def test_a_tool_that_finished_is_news_and_its_result_is_kept() -> None:
    now = thread(*RUNNING, finished("s1", result={"sha": "3f2a"}))
    assert (step(now).status, step(now).result, now.state.news, now.open_steps()) == (
        "finished",
        {"sha": "3f2a"},
        True,
        [],
    )


def test_errors_are_counted_until_a_tool_succeeds() -> None:
    story = (*RUNNING, failed("s1"), chosen("s2"), refused("s2"), chosen("s3"), started("s3"))
    assert thread(*story).state.errors_in_row == 2
    assert thread(*story, failed("s3")).state.errors_in_row == 3
    assert thread(*story, finished("s3")).state.errors_in_row == 0


def test_a_tool_that_finished_after_its_interruption_was_noted_has_finished() -> None:
    now = thread(*RUNNING, interrupted("s1"), asked("s2"), finished("s1"))
    assert (step(now).status, now.state.news) == ("finished", True)


def test_an_interruption_that_is_noted_after_the_end_changes_nothing() -> None:
    before = thread(*RUNNING, finished("s1"))
    assert before.extended([interrupted("s1")]).state == before.state


def test_a_tool_that_was_not_started_cannot_finish() -> None:
    before = thread(*CARD)
    assert before.extended([finished("s1"), interrupted("s1"), waits("s1")]).state == before.state


def test_a_tool_ends_once() -> None:
    before = thread(*RUNNING, finished("s1"))
    late = failed("s1").model_copy(update={"id": "s1/finished/again"})
    assert before.extended([late]).state == before.state


def test_restarts_are_counted_until_the_tool_tells_something() -> None:
    again = (*RUNNING, started("s1", 2), started("s1", 3))
    assert (step(thread(*again)).attempt, step(thread(*again)).restarts) == (3, 2)
    looked = thread(*again, waits("s1", 3), fired("s1/wait/3"), started("s1", 4))
    assert (step(looked).attempt, step(looked).restarts) == (4, 0)


def test_the_wait_of_an_attempt_that_was_given_up_does_not_stop_the_next() -> None:
    now = thread(*RUNNING, started("s1", 2), waits("s1", 1))
    assert (step(now).status, timers(now)) == ("running", {})


@pytest.mark.parametrize("later", [(), (fired("s1/wait/2"),)])
def test_the_end_of_an_attempt_that_was_given_up_counts_while_the_next_one_waits(later: tuple[Event, ...]) -> None:
    # Its id is taken: an end that were dropped here could never be written again.
    now = thread(*RUNNING, started("s1", 2), waits("s1", 2), *later, finished("s1"))
    assert (step(now).status, timers(now), now.status) == ("finished", {}, "working")


def test_a_refused_step_is_news_and_an_error() -> None:
    now = thread(message(), chosen("s1"), refused("s1"))
    assert (step(now).status, now.state.news, now.state.errors_in_row, unsent(now)) == ("refused", True, 1, [])


def test_the_card_of_a_refused_step_is_closed() -> None:
    assert unsent(thread(*SHOWN, approved("s1"), sent("s1/settled"), refused("s1"))) == ["s1/closed"]


# Timers


def test_a_waiting_step_has_a_timer_and_is_due_when_it_fires() -> None:
    now = thread(*RUNNING, waits("s1"))
    assert timers(now) == {"s1/wait/1": LATER}
    now = now.extended([fired("s1/wait/1")])
    assert (step(now).status, timers(now)) == ("due", {})


def test_a_timer_of_an_earlier_wait_does_not_end_the_next() -> None:
    now = thread(*RUNNING, waits("s1"), fired("s1/wait/1"), started("s1", 2), waits("s1", 2), fired("s1/wait/1"))
    assert (step(now).status, timers(now)) == ("waiting", {"s1/wait/2": LATER})


def test_each_time_that_the_model_is_unavailable_has_a_timer_of_its_own() -> None:
    down = thread(message(), choice_failed(reason="unavailable", retry_at=LATER))
    assert timers(down) == {"choice/1": LATER}
    again = down.extended([fired("choice/1"), choice_failed(2, reason="unavailable", retry_at=LATER)])
    assert timers(again) == {"choice/2": LATER}
    assert timers(again.extended([fired("choice/1")])) == {"choice/2": LATER}
    assert timers(again.extended([fired("choice/2")])) == {}


def test_a_message_that_was_not_sent_waits_for_its_timer_and_is_unsent_again() -> None:
    now = thread(*CARD, not_sent("s1/card"))
    assert timers(now) == {"s1/card/send/1": LATER}
    now = now.extended([fired("s1/card/send/1")])
    assert (timers(now), unsent(now), now.state.outbox["s1/card"].failures) == ({}, ["s1/card"], 1)
    now = now.extended([not_sent("s1/card", 2), fired("s1/card/send/1")])
    assert timers(now) == {"s1/card/send/2": LATER}


@pytest.mark.parametrize(
    "timer", ["", "/", "choice", "choice/", "choice/9", "s1/wait/7", "s9/wait/1", "s1/card/send/1"]
)
def test_a_timer_that_nobody_waits_for_changes_nothing(timer: str) -> None:
    before = thread(*CARD)
    assert before.extended([fired(timer or " ")]).state == before.state


def test_a_paused_thread_keeps_waiting_for_tools_but_does_not_ask_the_model() -> None:
    down = choice_failed(reason="unavailable", retry_at=LATER)
    assert timers(thread(message(), down, paused())) == {}
    assert timers(thread(message(), down, paused(), resumed())) == {"choice/1": LATER}
    assert timers(thread(*RUNNING, waits("s1"), paused())) == {"s1/wait/1": LATER}


def test_a_cancelled_thread_waits_for_nothing_but_what_it_has_to_tell() -> None:
    now = thread(*RUNNING, waits("s1"), cancelled(), not_sent("cancel/1/notice"))
    assert timers(now) == {"cancel/1/notice/send/1": LATER}


# What people have to be told

OWED: list[tuple[str, str, tuple[Event, ...]]] = [
    ("s1/say", "words", (message(), done("s1"))),
    ("s1/say", "words", (message(), told("s1"))),
    ("s1/say", "question", (message(), asked("s1"))),
    ("s1/card", "card", CARD),
    ("s1/settled", "settled", (*SHOWN, approved("s1"))),
    ("s1/settled", "settled", (*SHOWN, rejected("s1"))),
    ("s1/closed", "settled", (*SHOWN, withdrew("s2"))),
    ("s2/notice", "notice", (*SHOWN, chosen("s2"))),
    ("h1/handed/say", "handed", (message(), handed_to_human())),
    ("cancel/1/notice", "notice", (message(), cancelled())),
    ("m2/notice", "notice", (message(), paused(), message("m2"))),
    ("m2/notice", "notice", (message(), cancelled(), sent("cancel/1/notice"), message("m2"))),
    ("m1/notice", "notice", (message(clipped_from=60_000),)),
]


@pytest.mark.parametrize(("key", "what", "events"), OWED)
def test_what_is_unsent_stays_so_until_it_was_sent(key: str, what: str, events: tuple[Event, ...]) -> None:
    now = thread(*events)
    assert unsent(now) == [key]
    assert (now.state.outbox[key].kind, now.state.outbox[key].event) == (what, now.version - 1)
    assert unsent(now.extended([sent("another")])) == [key]
    assert unsent(now.extended([sent(key)])) == []


@pytest.mark.parametrize("silent", [nothing_to_do("s1"), chosen("s1"), withdrew("s1")])
def test_steps_that_say_nothing_owe_nothing(silent: Event) -> None:
    assert unsent(thread(message(), silent)) == []


def test_what_cannot_be_sent_at_all_is_given_up() -> None:
    assert unsent(thread(*CARD, not_sent("s1/card", retry_at=None))) == []


def test_who_asked_is_told_elsewhere_of_what_cannot_be_sent() -> None:
    failed_for_good = not_sent("s1/card", retry_at=None).model_copy(update={"elsewhere": True})
    assert unsent(thread(*CARD, failed_for_good)) == ["s1/card/undelivered"]


def test_a_request_that_nobody_was_shown_cannot_be_decided() -> None:
    failed_for_good = not_sent("s1/card", retry_at=None).model_copy(update={"elsewhere": True})
    assert thread(*CARD, failed_for_good, approved("s1")).state.steps["s1"].status == "refused"


def test_an_edit_counts_until_the_model_has_chosen_a_step() -> None:
    first = thread(message("m1", "deploy v1"), edited("m1", "deploy v2"))
    assert first.state.edits.texts == {"m1": "deploy v2"}
    late = first.extended([chosen("s1"), edited("m1", "deploy v3"), deleted("m1")])
    assert late.state.edits.texts == {"m1": "deploy v2"}
    assert thread(message(), deleted("m1")).state.edits.texts == {"m1": None}


def test_an_edit_of_a_message_that_is_not_here_counts_when_that_comes() -> None:
    early = thread(message(), edited("m2"))
    assert early.state.edits.texts == {}
    assert early.extended([message("m2")]).state.edits.texts == {"m2": "deploy v4, please"}


def test_what_was_not_sent_lets_the_others_go_first() -> None:
    assert unsent(thread(*CARD, approved("s1"), not_sent("s1/card"))) == ["s1/settled", "s1/card"]


def test_a_failure_that_is_noted_after_the_message_went_out_changes_nothing() -> None:
    assert unsent(thread(*SHOWN, not_sent("s1/card"))) == []


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

_STEPS = ("s1", "s2", "s3")
_GOVERNED: dict[str, Any] = {
    "group": "release",
    "quorum": 2,
    "then": "leads",
    "remind_at": LATER,
    "widen_at": LATER,
    "expires_at": LATER + timedelta(hours=1),
    "asks": (Place(channel="room", address="/C1/"),),
    "then_asks": (Place(channel="room", address="/U9/"),),
}
_KEYS = (
    "s1/card/at/1",
    "s1/settled/at/2",
    "s1/reminder/remind",
    "s1/say",
    "s1/card",
    "s1/settled",
    "s1/closed",
    "s2/card",
    "s2/notice",
    "m1/notice",
    "h1/handed/say",
)
ANYTHING: list[Event] = [
    *(message(name, clipped_from=clipped) for name in ("m1", "m2") for clipped in (0, 60_000)),
    *(event for step in _STEPS for event in (asked(step), done(step), told(step), nothing_to_do(step), withdrew(step))),
    *(chosen(step, intent, acts=acts) for step in _STEPS for intent in ("push", "look") for acts in (True, False)),
    *(choice_failed(1, reason, at) for reason in ("invalid", "unavailable", "outdated") for at in (None, LATER)),
    *(requested(step, digest) for step in _STEPS for digest in ("d1", "d2")),
    *(requested(step, "d1", **_GOVERNED) for step in _STEPS[:2]),
    *(approved("s1", by, "d1", groups=("release",)) for by in (ANN, BOB)),
    *(fired(f"{step}/{rung}/0") for step in _STEPS[:2] for rung in ("remind", "widen", "expire", "elope")),
    *(event for step in _STEPS for event in (looks_again(step), looks_again(step, intent="set_reminder"))),
    *(granted(), revoked()),
    *(answer("s1", by, digest) for answer in (approved, rejected) for by in (ANN, EVE) for digest in ("d1", "d2")),
    *(started(step, attempt, repeatable=attempt == 2) for step in _STEPS for attempt in (1, 2)),
    *(waits(step, attempt) for step in _STEPS for attempt in (1, 2)),
    *(event for step in _STEPS for event in (finished(step), failed(step), interrupted(step), refused(step))),
    *(fired(f"{key}/send/{attempt}") for key in _KEYS for attempt in (1, 2)),
    *(fired(timer) for timer in ("s1/wait/1", "s1/wait/2", "s2/wait/1", "choice/1", "choice/2", "/send/", "x", "/")),
    *(event for key in _KEYS for event in (sent(key), not_sent(key), not_sent(key, 2), not_sent(key, 2, None))),
    *(came_back(key) for key in ("s1/say", "s1/card/undelivered")),
    *(trigger(), opened(), handed_over_to("verify"), handed_to_human(), paused(), resumed(), cancelled(), forked()),
    *(event for name in ("m1", "m2") for event in (edited(name), deleted(name))),
    from_the_future(),
]
_any_story = st.lists(st.sampled_from(ANYTHING), max_size=30).map(lambda events: (opened(), message(), *events))


def test_the_random_stories_hold_every_kind_of_event() -> None:
    assert {event.kind for event in ANYTHING} == {*KINDS, from_the_future().kind}


def test_a_message_that_came_back_is_told_elsewhere_once_and_wakes_no_model() -> None:
    thread = Thread("t1").extended([opened(), message(), done("s1"), sent("s1/say"), came_back("s1/say")])
    assert unsent(thread) == ["bounce/s1/say/1/undelivered"]
    assert not thread.state.news
    # What was told elsewhere and came back too is the end of it.
    again = thread.extended([sent("bounce/s1/say/1/undelivered"), came_back("bounce/s1/say/1/undelivered")])
    assert unsent(again) == []


@pytest.mark.parametrize("by_message", [True, False])
def test_who_decides_by_a_message_that_settles_nothing_is_told_so(by_message: bool) -> None:
    yes: Event = approved("s1", ANN, "d1")
    late: Event = rejected("s1", EVE, "d1").model_copy(update={"by_message": by_message})
    events: list[Event] = [opened(), message(), chosen("s1", acts=True), requested("s1", "d1"), yes, late]
    thread = Thread("t1").extended(events)
    assert (f"{late.id}/notice" in unsent(thread)) is by_message
    assert request_of(thread.state.steps["s1"]).decision == yes
    # The one that settles it is told by the settlement.
    first = Thread("t1").extended([*events[:4], yes.model_copy(update={"by_message": True})])
    assert unsent(first) == ["s1/card", "s1/settled"]


def test_one_unproven_message_makes_the_whole_thread_unproven() -> None:
    thread = Thread("t1").extended(
        [opened(), message(by=ANN), message("m2", by=EVE.model_copy(update={"trust": "third_party"}))]
    )
    assert not thread.state.unverified
    thread = thread.extended([message("m3", by=EVE.model_copy(update={"trust": "unverified"})), message("m4", by=ANN)])
    assert thread.state.unverified


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
@given(_any_story, st.integers(0, 32))
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


@given(_any_story)
def test_nothing_is_approved_but_by_a_verified_person_on_the_digest_of_the_request(events: tuple[Event, ...]) -> None:
    for now in Thread("t1").extended(events).state.steps.values():
        if now.status in {"approved", "rejected"}:
            assert now.request is not None
            decision = now.request.decision
            assert decision is not None
            assert (decision.digest, decision.by.trust) == (now.request.digest, "verified")


# Who may decide, and until when


def governed(**terms: Any) -> Thread:
    """A request under terms, its card out everywhere."""
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", "d1", **terms))
    return waiting.extended([sent(key) for key in waiting.state.outbox])


def member(person: Person, key: str) -> Person:
    return person.model_copy(update={"member": key})


def yes(by: Person, *groups: str, at: datetime = AT) -> ApprovalDecided:
    return approved("s1", by, "d1", groups=groups, at=at)


def test_it_takes_as_many_people_as_the_terms_say() -> None:
    one = governed(group="release", quorum=2).extended([yes(ANN, "release")])
    assert one.status == "waiting_for_approval"
    assert unsent(one) == ["s1/votes/5"]
    two = one.extended([yes(BOB, "release")])
    assert (two.status, two.state.steps["s1"].status) == ("working", "approved")
    assert request_of(two.state.steps["s1"]).decision == two.events[-1]
    assert [vote.by for vote in request_of(two.state.steps["s1"]).votes] == [ANN, BOB]


def test_two_addresses_of_a_person_are_one_vote() -> None:
    slack, mail = (member(Person(name="Ann", address=a, trust="verified"), "ann") for a in ("U1", "ann@example.com"))
    both = governed(group="release", quorum=2).extended([yes(slack, "release"), yes(mail, "release")])
    assert both.status == "waiting_for_approval"
    assert len(request_of(both.state.steps["s1"]).votes) == 1


def test_who_has_approved_may_still_reject() -> None:
    changed = governed(group="release", quorum=2).extended(
        [yes(ANN, "release"), rejected("s1", ANN, "d1", groups=("release",))]
    )
    assert changed.state.steps["s1"].status == "rejected"


@pytest.mark.parametrize(
    ("group", "who", "groups", "counts"),
    [
        ("release", ANN, ("release",), True),
        ("release", ANN, ("leads", "release"), True),
        ("release", ANN, ("leads",), False),
        ("release", ANN, (), False),
        ("release", EVE, ("release",), False),
        ("anyone", ANN, (), True),
        ("anyone", EVE, (), False),
        ("team", ANN, (), False),
        ("team", member(ANN, "ann"), (), True),
        ("", ANN, ("",), False),
    ],
)
def test_only_the_group_may_decide(group: str, who: Person, groups: tuple[str, ...], counts: bool) -> None:
    for verdict in (approved, rejected):
        after = governed(group=group).extended([verdict("s1", who, "d1", groups=groups)])
        assert (request_of(after.state.steps["s1"]).decision is not None) is counts


def test_who_asked_for_it_may_reject_it_but_not_approve_it() -> None:
    ann = member(ANN, "ann")
    asked_by_ann = governed(group="release", requester_may=False, requesters=("ann", "u7"))
    assert asked_by_ann.extended([yes(ann, "release")]).status == "waiting_for_approval"
    assert asked_by_ann.extended([yes(BOB, "release")]).state.steps["s1"].status == "approved"
    seven = Person(name="Seven", address="U7", trust="verified")
    assert asked_by_ann.extended([yes(seven, "release")]).status == "waiting_for_approval"
    withdrawn = asked_by_ann.extended([rejected("s1", ann, "d1", groups=("release",))])
    assert withdrawn.state.steps["s1"].status == "rejected"


def test_a_policy_that_cannot_be_read_lets_nobody_decide() -> None:
    request = requested("s1", "d1").model_copy(update={"policy": {"quorum": "many"}})
    waiting = thread(message(), chosen("s1", acts=True), request)
    after = waiting.extended([yes(ANN, "release", ""), rejected("s1", ANN, "d1")])
    assert after.status == "waiting_for_approval"


def test_a_request_that_nobody_decides_goes_up_its_ladder_and_expires() -> None:
    remind, widen, expire = (AT + timedelta(minutes=n) for n in (30, 60, 240))
    waiting = governed(
        group="release",
        then="leads",
        remind_at=remind,
        widen_at=widen,
        expires_at=expire,
        asks=(Place(channel="room", address="/C1/"),),
        then_asks=(Place(channel="room", address="/U9/"),),
    )
    assert timers(waiting) == {"s1/remind/0": remind, "s1/widen/0": widen, "s1/expire/0": expire}
    lead = yes(BOB, "leads")
    assert waiting.extended([lead]).status == "waiting_for_approval"

    reminded = waiting.extended([fired("s1/remind/0")])
    assert unsent(reminded) == ["s1/reminder/remind", "s1/reminder/remind/at/1"]
    assert "s1/remind/0" not in timers(reminded)

    widened = reminded.extended([*map(sent, unsent(reminded)), fired("s1/widen/0")])
    assert unsent(widened) == ["s1/reminder/widen", "s1/reminder/widen/at/1", "s1/card/at/2"]
    place = widened.state.outbox["s1/card/at/2"].place
    assert place
    assert place.address == "/U9/"
    assert widened.extended([lead]).state.steps["s1"].status == "approved"

    expired = widened.extended([*map(sent, unsent(widened)), fired("s1/expire/0")])
    assert expired.state.steps["s1"].status == "expired"
    assert unsent(expired) == ["s1/settled", "s1/settled/at/1", "s1/settled/at/2"]
    assert (expired.status, timers(expired)) == ("working", {})
    # What comes after it changes nothing.
    late = expired.extended([lead, fired("s1/expire/0"), fired("s1/widen/0")])
    assert but_for_outcomes(late).steps == expired.state.steps


def test_nobody_decides_after_the_time_even_where_no_timer_has_fired() -> None:
    expires = AT + timedelta(minutes=10)
    waiting = governed(group="release", expires_at=expires)
    assert waiting.extended([yes(ANN, "release", at=expires)]).status == "waiting_for_approval"
    assert waiting.extended([rejected("s1", ANN, "d1", groups=("release",), at=expires)]).pending is not None
    just = yes(ANN, "release", at=expires - timedelta(microseconds=1))
    assert waiting.extended([just]).state.steps["s1"].status == "approved"


def test_a_card_that_cannot_be_shown_in_one_place_stands_in_the_others() -> None:
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", asks=(Place(channel="room", address="/C1/"),)))
    lost_there = waiting.extended([not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})])
    assert lost_there.pending is not None
    assert "s1/card/at/1/undelivered" in lost_there.state.outbox
    settled = lost_there.extended([sent("s1/card"), approved("s1")])
    assert "s1/settled" in unsent(settled)
    assert "s1/settled/at/1" not in unsent(settled)
    lost_everywhere = lost_there.extended([not_sent("s1/card", 30, None).model_copy(update={"elsewhere": True})])
    assert lost_everywhere.state.steps["s1"].status == "refused"


def test_what_was_to_follow_a_card_that_will_never_be_there_is_forgotten_with_it() -> None:
    lost_there = not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})
    room = (Place(channel="room", address="/C1/"),)
    terms = {"group": "release", "quorum": 2, "remind_at": AT + timedelta(minutes=30)}
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", "d1", asks=room, **terms), sent("s1/card"))
    counted = waiting.extended([yes(ANN, "release"), fired("s1/remind/0")])
    assert unsent(counted) == [
        *("s1/card/at/1", "s1/votes/5", "s1/votes/5/at/1", "s1/reminder/remind", "s1/reminder/remind/at/1")
    ]
    # "1 of 2" and "still waiting" would stand alone in a room where the request never was.
    assert unsent(counted.extended([lost_there])) == ["s1/votes/5", "s1/reminder/remind", "s1/card/at/1/undelivered"]
    # So would "rejected"; how it ended, the thread itself still says.
    settled = waiting.extended([rejected("s1", ANN, "d1", groups=("release",))])
    assert unsent(settled) == ["s1/card/at/1", "s1/settled", "s1/settled/at/1"]
    assert unsent(settled.extended([lost_there])) == ["s1/settled", "s1/card/at/1/undelivered"]
    lost_here = not_sent("s1/card", 30, None).model_copy(update={"elsewhere": True})
    nowhere = thread(*waiting.events[:-1], rejected("s1", ANN, "d1", groups=("release",)), lost_here, lost_there)
    assert unsent(nowhere) == ["s1/settled", "s1/card/undelivered", "s1/card/at/1/undelivered"]


def test_what_a_standing_approval_settles_is_told_and_asks_nobody() -> None:
    request = requested("s1", "d1", group="release", quorum=3, standing="g1")
    by_grant = approved("s1", ANN, "d1", standing="g1")
    settled = thread(message(), chosen("s1", acts=True), request, by_grant)
    assert settled.state.steps["s1"].status == "approved"
    assert unsent(settled) == ["s1/settled"]
    for wrong in (approved("s1", ANN, "d1", standing="g2"), approved("s1", ANN, "d1", groups=("release",))):
        assert thread(message(), chosen("s1", acts=True), request, wrong).pending is not None
    # Nor does one settle a request that names none.
    assert governed(group="anyone").extended([by_grant]).pending is not None


def test_the_agent_looks_again_when_the_time_has_come() -> None:
    asleep = thread(message(), looks_again("s1"))
    assert (asleep.status, asleep.turn, timers(asleep)) == ("waiting", "clock", {"s1/wait/0": LATER})
    awake = asleep.extended([fired("s1/wait/0")])
    assert (awake.status, awake.state.steps["s1"].status, timers(awake)) == ("working", "finished", {})
    spoken_to = asleep.extended([message("m2")])
    assert (spoken_to.status, timers(spoken_to)) == ("working", {"s1/wait/0": LATER})


def test_a_reminder_is_for_later_and_what_is_under_way_goes_on() -> None:
    reminded = thread(message(), looks_again("s1", intent="set_reminder"))
    assert (reminded.status, timers(reminded)) == ("working", {"s1/wait/0": LATER})
    done_for_now = reminded.extended([done("s2"), sent("s2/say")])
    assert (done_for_now.status, done_for_now.turn) == ("done", "nobody")
    assert timers(done_for_now) == {"s1/wait/0": LATER}
    assert done_for_now.extended([fired("s1/wait/0")]).status == "working"


def test_a_schedule_is_nobody_who_asked_for_anything() -> None:
    begun = thread(trigger())
    assert begun.state.unattended
    assert begun.extended([message(by=EVE)]).state.unattended
    assert not begun.extended([message(by=EVE), message("m2", by=ANN)]).state.unattended


def test_a_thread_that_we_open_is_held_at_its_first_message() -> None:
    there = Place(channel="room", address="T1/C1/1.1")
    moved = thread(trigger(), asked("s1"), sent("s1/say").model_copy(update={"place": there}))
    assert moved.place == there
