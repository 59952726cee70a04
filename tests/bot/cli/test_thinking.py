"""What a person is told while the model thinks, with a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bot.cli.thinking import tell_while_thinking


async def told(passed: int, asked: Callable[[float], int | None], first_seconds: float = 20.0) -> list[str]:
    """What is said within so many seconds; `asked`: what the model thinks about at that second."""
    now, said = 0.0, list[str]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now > passed:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await tell_while_thinking(
            lambda: asked(now), said.append, first_seconds=first_seconds, seconds=lambda: now, sleep=sleep
        )
    return said


async def test_nothing_is_said_of_a_quick_answer_or_when_it_does_not_think() -> None:
    assert await told(19, lambda now: 1) == []
    assert await told(600, lambda now: None) == []
    assert await told(600, lambda now: int(now // 15)) == [], "each question has its own time"


async def test_it_says_that_it_still_thinks_and_never_gives_up() -> None:
    ending = " now. You lose nothing if you stop here."
    assert await told(200, lambda now: 1) == [
        f"The model still thinks, for {time}{ending}" for time in ("20 s", "1 min", "2 min", "3 min")
    ]
    assert len(await told(3_600, lambda now: 1)) == 61


async def test_whoever_watches_a_terminal_is_told_sooner() -> None:
    assert await told(19, lambda now: 1, 3.0) == ["The model thinks."]
    assert (await told(60, lambda now: 1, 3.0))[1:] == [
        f"The model still thinks, for {time} now. You lose nothing if you stop here." for time in ("20 s", "1 min")
    ]
