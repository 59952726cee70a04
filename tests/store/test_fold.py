"""The fold: what messages, choices, decisions and runs mean, told as short stories."""

from __future__ import annotations

import pytest

from store.events import Event, EventsLost
from store.thread import Thread
from store.values import Person, Trust
from tests.store.stories import CARD, RUNNING, SHOWN, but_for_outcomes, request_of, step, timers, unsent
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    LATER,
    approved,
    asked,
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
    handed_over_to,
    handed_to_human,
    interrupted,
    message,
    not_begun,
    nothing_to_do,
    opened,
    refused,
    rejected,
    requested,
    resumed,
    sent,
    started,
    thread,
    told,
    trigger,
    unavailable,
    waits,
    withdrew,
)


@pytest.mark.parametrize("event", [message("m2"), trigger("cron/2"), handed_over_to("verify")])
def test_what_comes_from_outside_is_news_and_begins_a_turn(event: Event) -> None:
    before = thread(message(), choice_failed(), choice_failed(2), chosen("s1"), refused("s1"), asked("s2"))
    assert (before.state.errors_in_row, before.state.steps_in_turn, before.state.question) == (3, 2, "s2")
    after = before.extended([event])
    assert (after.state.errors_in_row, after.state.steps_in_turn, after.state.question) == (0, 0, "")
    assert after.state.news


def test_a_message_takes_the_thread_back_from_a_person() -> None:
    assert not thread(message(), handed_to_human(), message("m2")).state.handed_to_human


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


OUTAGE = (unavailable(1), unavailable(2, after_seconds=30))


def test_an_unavailable_model_is_no_error_in_a_row_but_has_been_away_for_some_time() -> None:
    now = thread(message(), choice_failed(), *OUTAGE).state
    assert (now.errors_in_row, now.unavailable_since, now.unavailable_seconds) == (1, AT, 30)


def test_in_an_older_log_an_unavailable_model_is_an_error_in_a_row() -> None:
    now = thread(message(), *(choice_failed(n, "unavailable", LATER) for n in (1, 2, 3))).state
    assert (now.errors_in_row, now.unavailable_since, now.unavailable_seconds) == (3, None, 0)


@pytest.mark.parametrize(
    "end", [done("s1"), choice_failed(3), choice_failed(3, "outdated"), handed_to_human(), resumed(), cancelled()]
)
def test_the_time_without_a_model_ends_with_any_answer_and_where_nobody_asks(end: Event) -> None:
    now = thread(message(), *OUTAGE, end).state
    assert (now.unavailable_since, now.unavailable_seconds) == (None, 0)


def test_a_message_does_not_end_the_time_without_a_model() -> None:
    assert thread(message(), *OUTAGE, message("m2")).state.unavailable_seconds == 30


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
    assert (now.steps_in_turn, now.errors_in_row, now.handed_to_human) == (0, 0, False)


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


@pytest.mark.parametrize("trust", ["unverified", "third_party", "forwarded"])
def test_one_unproven_message_makes_the_whole_thread_unproven(trust: Trust) -> None:
    proven = Thread("t1").extended([opened(), message(by=ANN)])
    assert not proven.state.words.doubtful
    unproven = proven.extended([message("m3", by=EVE.model_copy(update={"trust": trust})), message("m4", by=ANN)])
    assert unproven.state.words.doubtful


def test_a_schedule_is_nobody_who_asked_for_anything() -> None:
    begun = thread(trigger())
    assert begun.state.words.unattended
    assert begun.extended([message(by=EVE)]).state.words.unattended
    assert not begun.extended([message(by=EVE), message("m2", by=ANN)]).state.words.unattended
    assert not begun.extended([message(by=ANN)]).state.words.doubtful


def test_numbers_go_on_from_where_those_of_lost_events_may_have_ended() -> None:
    lost = EventsLost(id="lost/0a1b2c3d4e5f", at=AT, restored=2, numbered_from=20)
    now = thread(message(), lost)
    assert now.number == 20
    assert now.extended([done("s20")]).number == 21
    assert thread(message(), lost.model_copy(update={"numbered_from": 1})).number == 3


def test_what_was_not_begun_can_begin_again_as_often_as_it_was_not() -> None:
    now = thread(*CARD, approved("s1"), started("s1"), not_begun("s1"))
    assert (step(now).status, step(now).attempt, step(now).starts) == ("approved", 0, 1)
    now = now.extended([started("s1", 1).model_copy(update={"id": "s1/started/2"}), not_begun("s1", 2)])
    assert (step(now).status, step(now).attempt, step(now).starts) == ("approved", 0, 2)


def test_what_has_begun_stays_asked_about_where_only_its_next_look_was_not_begun() -> None:
    begun = (message(), chosen("s1", "slow", acts=True), started("s1"))
    question = asked("s1q").model_copy(update={"by": "code"})
    looked = thread(*begun, waits("s1"), fired("s1/wait/1"), started("s1", 2), interrupted("s1"), question)
    looked = looked.extended([not_begun("s1", 2)])
    assert (step(looked).status, looked.state.question) == ("interrupted", "s1q")
    at_first = thread(*begun, interrupted("s1"), question, not_begun("s1"))
    assert (step(at_first).status, at_first.state.question) == ("refused", "")


def test_in_a_cancelled_thread_what_was_not_begun_is_cancelled() -> None:
    assert step(thread(*CARD, approved("s1"), started("s1"), cancelled(), not_begun("s1"))).status == "cancelled"


def test_where_code_finds_nothing_to_answer_the_words_are_read() -> None:
    heard = thread(message(), chosen("s1").model_copy(update={"by": "code"}))
    assert heard.state.unread, "a step of code answers nobody"
    read = heard.extended([nothing_to_do("s2").model_copy(update={"by": "code"})])
    assert not read.state.unread
    assert read.extended([message("m2")]).state.unread
