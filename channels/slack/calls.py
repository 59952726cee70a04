"""Calls to Slack that may fail without harm, because the event is durable already or does not need them.

Slack expects an acknowledgement within 3 seconds, so each call has a shorter timeout. Failures are logged and never
raised. Calls that must succeed do not belong here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import structlog

from channels.slack.refusals import CALL_FAILED, in_words

log = structlog.get_logger(__name__)

WAIT_SECONDS_MAX = 1.5
UNHURRIED_SECONDS_MAX = 15.0
"""Where nobody waits for an acknowledgement."""

T = TypeVar("T")

_wait_seconds = ContextVar("wait_seconds", default=WAIT_SECONDS_MAX)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Within it, each call may take longer: the event is durable, and nobody waits for an acknowledgement."""
    before = _wait_seconds.set(UNHURRIED_SECONDS_MAX)
    try:
        yield
    finally:
        _wait_seconds.reset(before)


def deadline() -> asyncio.Timeout:
    """For one call. Raises TimeoutError when the time is up."""
    return asyncio.timeout(_wait_seconds.get())


async def try_call(method: str, call: Awaitable[object]) -> bool:
    """Whether the call succeeded in time."""
    try:
        async with deadline():
            await call
    except CALL_FAILED as error:
        log.warning("slack_call_failed", method=method, error=in_words(error))
        return False
    return True


async def call_or(method: str, call: Awaitable[T], otherwise: T) -> T:
    """The result of the call; `otherwise` if it fails or times out."""
    try:
        async with deadline():
            return await call
    except CALL_FAILED as error:
        log.warning("slack_call_failed", method=method, error=in_words(error))
        return otherwise


class BackgroundCalls:
    """Calls in the background."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
