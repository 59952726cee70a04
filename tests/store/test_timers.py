"""When a thread wants to be looked at again, and what comes of a timer that fires."""

from __future__ import annotations

import pytest

from tests.store.stories import CARD, RUNNING, step, timers, unsent
from tests.telling.story import (
    LATER,
    cancelled,
    choice_failed,
    done,
    fired,
    looks_again,
    message,
    not_sent,
    paused,
    resumed,
    sent,
    started,
    thread,
    waits,
)


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
