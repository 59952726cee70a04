"""A stop: what it ends, what goes on, and what the next words find."""

from __future__ import annotations

import pytest

from store.events import Event
from tests.store.stories import step
from tests.telling.story import (
    approved,
    asked,
    cancelled,
    chosen,
    finished,
    fired,
    forked,
    interrupted,
    looks_again,
    message,
    requested,
    started,
    stopped,
    thread,
    trigger,
    waits,
)

REQUESTED = (message(), chosen("s1", acts=True), requested("s1"))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (REQUESTED[:2], "superseded"),
        (REQUESTED, "withdrawn"),
        ((*REQUESTED, approved("s1")), "withdrawn"),
        ((message(), looks_again("s1")), "superseded"),
        ((message(), looks_again("s1", intent="set_reminder")), "waiting"),
        ((*REQUESTED, approved("s1"), started("s1")), "running"),
        ((*REQUESTED, approved("s1"), started("s1"), waits("s1")), "waiting"),
        ((*REQUESTED, approved("s1"), started("s1"), waits("s1"), fired("s1/wait/1")), "due"),
    ],
)
def test_what_has_not_begun_is_ended_and_what_has_begun_goes_on(events: tuple[Event, ...], status: str) -> None:
    assert step(thread(*events, stopped())).status == status


def test_what_was_said_before_is_not_answered_and_the_next_words_are() -> None:
    after = thread(message(), stopped())
    assert (after.status, after.state.unread, after.state.news) == ("done", False, False)
    assert list(after.state.outbox) == ["from/slack/stop:1/notice"]
    again = after.extended([message("m2")])
    assert (again.status, again.state.stopped) == ("working", False)


@pytest.mark.parametrize("moved", [message("m2"), trigger(), forked()])
def test_whatever_moves_the_thread_ends_the_stop(moved: Event) -> None:
    assert not thread(message(), stopped(), moved).state.stopped


def test_a_reminder_that_comes_due_is_heard_of_after_a_stop_too() -> None:
    after = thread(message(), looks_again("s1", intent="set_reminder"), stopped(), fired("s1/wait/0"))
    assert (after.status, after.state.stopped) == ("working", False)


def test_an_open_question_is_closed_but_for_the_one_how_something_ended() -> None:
    assert thread(message(), asked("s1"), stopped()).state.question == ""
    unknown: tuple[Event, ...] = (message(), chosen("s1", acts=True), started("s1"), interrupted("s1"))
    question = chosen("s1q", "request_human_input", question="Did it happen?").model_copy(update={"by": "code"})
    assert thread(*unknown, question, stopped()).status == "waiting_for_answer"


def test_what_ends_after_a_stop_is_news() -> None:
    running = thread(message(), chosen("s1", acts=True), started("s1"), stopped())
    assert running.status == "working"
    assert running.extended([finished("s1")]).state.news


def test_a_cancelled_thread_cannot_be_stopped() -> None:
    over = thread(message(), cancelled())
    assert over.extended([stopped()]).state == over.state
