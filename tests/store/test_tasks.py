"""The list of tasks: what has become of each, computed from the steps that follow it."""

from __future__ import annotations

import pytest

from store.events import Event
from store.tasks import TaskState, tasks_of
from store.thread import Thread
from tests.telling.story import (
    approved,
    cancelled,
    chosen,
    failed,
    finished,
    forked,
    interrupted,
    listed,
    message,
    not_sent,
    rejected,
    requested,
    sent,
    started,
    thread,
    waits,
    withdrew,
)

LIST = (message(), listed("s1", ("Backend", "push"), ("Frontend", "push"), ("Tests", "look")), sent("s1/say"))
PUSH = chosen("s2", "push", acts=True)


def states(now: Thread) -> list[TaskState]:
    return [task.state for task in tasks_of(now.state, "s1")]


def updates(now: Thread) -> list[str]:
    return [key for key, unsent in now.state.outbox.items() if unsent.kind == "tasks_moved"]


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "to_do"),
        ((chosen("s2", "ask"),), "to_do"),
        ((PUSH,), "under_way"),
        ((PUSH, requested("s2")), "waiting_for_approval"),
        ((PUSH, requested("s2"), approved("s2")), "under_way"),
        ((PUSH, requested("s2"), rejected("s2")), "not_done"),
        ((PUSH, requested("s2"), withdrew("s3")), "to_do"),
        ((PUSH, started("s2")), "under_way"),
        ((PUSH, started("s2"), waits("s2")), "under_way"),
        ((PUSH, started("s2"), failed("s2")), "not_done"),
        ((PUSH, started("s2"), interrupted("s2")), "not_done"),
        ((PUSH, cancelled()), "not_done"),
        ((PUSH, started("s2"), finished("s2")), "done"),
    ],
)
def test_a_task_is_as_far_as_its_step(events: tuple[Event, ...], state: TaskState) -> None:
    assert states(thread(*LIST, *events)) == [state, "to_do", "to_do"]


def test_a_task_that_failed_is_that_of_the_next_try_and_two_alike_are_done_one_after_the_other() -> None:
    failing = (PUSH, started("s2"), failed("s2"), chosen("s3", "push", acts=True, target="prod"), started("s3"))
    assert states(thread(*LIST, *failing)) == ["under_way", "to_do", "to_do"]
    second = (finished("s3"), chosen("s4", "push", acts=True, target="b"), started("s4"), finished("s4"))
    assert states(thread(*LIST, *failing, *second)) == ["done", "done", "to_do"]


def test_each_change_is_shown_and_only_the_newest_is_still_to_be_sent() -> None:
    now = thread(*LIST, PUSH)
    assert updates(now) == ["s1/tasks/4"]
    now = now.extended([requested("s2"), approved("s2"), started("s2"), finished("s2")])
    assert updates(now) == ["s1/tasks/8"]
    assert updates(now.extended([sent("s1/tasks/8")])) == []


def test_what_changes_no_task_is_not_shown_again() -> None:
    assert updates(thread(*LIST, message("m2"), chosen("s2", "ask"))) == []
    assert updates(thread(*LIST, PUSH, sent("s1/tasks/4"), started("s2"))) == [], "under way it was already"


def test_a_list_of_which_everything_is_done_is_followed_no_more() -> None:
    done = (PUSH, started("s2"), finished("s2"), chosen("s3", "push", acts=True, target="b"), started("s3"))
    rest = (finished("s3"), chosen("s4", "look"), started("s4"), finished("s4"))
    now = thread(*LIST, *done, *rest)
    assert (states(now), now.state.tasks) == (["done"] * 3, "")
    assert len(updates(now)) == 1, "the end is shown"


def test_a_list_that_could_not_be_sent_is_not_followed() -> None:
    now = thread(*LIST[:-1], not_sent("s1/say", 30, None).model_copy(update={"elsewhere": True}), PUSH)
    assert (updates(now), now.state.tasks) == ([], "")


def test_a_new_list_takes_the_place_of_the_one_before() -> None:
    now = thread(*LIST, listed("s2"), chosen("s3", "look"), started("s3"), finished("s3"))
    assert now.state.tasks == "s2"
    assert [key.partition("/")[0] for key in updates(now)] == ["s2"]


def test_a_copy_follows_no_list_of_its_source() -> None:
    now = thread(*LIST, forked(), PUSH)
    assert (updates(now), now.state.tasks) == ([], "")
