"""Calls to Slack that may fail without harm, because what matters is durable already or can do without them.

Slack waits 3 seconds for us to acknowledge, so each of them gets a part of that; whatever fails is logged, and nothing
is raised. A call whose failure matters is not made through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import structlog

from channels.slack.refusals import CALL_FAILED, in_words

log = structlog.get_logger(__name__)

WAIT_SECONDS_MAX = 1.5

T = TypeVar("T")


async def tried(method: str, call: Awaitable[object]) -> bool:
    """Whether it was done in time."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await call
    except CALL_FAILED as error:
        log.warning("slack_call_failed", method=method, error=in_words(error))
        return False
    return True


async def in_time(method: str, call: Awaitable[T], otherwise: T) -> T:
    """What it gives; `otherwise` where it fails, or takes too long."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await call
    except CALL_FAILED as error:
        log.warning("slack_call_failed", method=method, error=in_words(error))
        return otherwise


class Later:
    """Calls that nobody waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
