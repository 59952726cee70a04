"""What was under way in a thread that was cancelled and goes on: told where it goes on, so the prompt only grows."""

from __future__ import annotations

import pytest

from store.events import Event
from tests.agent.context.prompts import data_of, prompt_of, tags
from tests.telling.story import (
    cancelled,
    chosen,
    failed,
    finished,
    message,
    reopened,
    started,
    waits,
)

BEFORE = (message(), chosen("s1", "slow", n=1), started("s1"), waits("s1"))
AGAIN = (cancelled(), reopened(), message("m2", "go on"))


def body(prompt: str) -> str:
    return prompt.rpartition("\n\n<now>\n")[0]


def test_it_is_told_where_the_thread_was_reopened() -> None:
    prompt = prompt_of(*BEFORE, *AGAIN)
    assert tags(prompt) == ["message", "cancelled", "reopened", "message", "now"]
    assert data_of(prompt, "reopened")["nobody_follows_any_more"] == ["slow n=1"]


@pytest.mark.parametrize("late", [(), (finished("s1"),), (failed("s1"),)])
def test_what_was_said_before_stays_as_it_was(late: tuple[Event, ...]) -> None:
    first = body(prompt_of(*BEFORE))
    after = body(prompt_of(*BEFORE, *AGAIN))
    assert after.startswith(first)
    assert body(prompt_of(*BEFORE, *AGAIN, *late, message("m3", "and?"))).startswith(after)


def test_what_had_ended_or_never_begun_was_not_under_way() -> None:
    ended = (message(), chosen("s1", "slow", n=1), started("s1"), finished("s1"))
    assert "nobody_follows_any_more" not in prompt_of(*ended, chosen("s2", "touch"), *AGAIN)


def test_what_was_left_before_is_not_told_twice() -> None:
    twice = (cancelled().model_copy(update={"id": "cancel/2"}), reopened(2), message("m3"))
    assert prompt_of(*BEFORE, *AGAIN, *twice).count("nobody_follows_any_more") == 1
