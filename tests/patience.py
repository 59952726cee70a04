"""How long the tests wait for what has to happen, and how they wait for what tells nobody.

A deadline only ends a test that hangs: it proves nothing, and on a busy machine nothing may fail by it. So there is
one, far above what anything takes. Wait for an event where there is one, and look again and again only where another
process or a server brings it about.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE_SECONDS = 120.0
STORY_SECONDS_MAX = 2 * PATIENCE_SECONDS
"""For a story of many steps. pytest's own limit for a test is above it."""
LOOK_SECONDS = 0.01
T = TypeVar("T")


async def eventually(look: Callable[[], T | Awaitable[T]], what: str = "it", seconds: float = PATIENCE_SECONDS) -> T:
    """What it gives as soon as that is something."""
    deadline = time.monotonic() + seconds
    while True:
        looked = look()
        found = await looked if inspect.isawaitable(looked) else looked
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        await asyncio.sleep(LOOK_SECONDS)


async def reached_in(story: asyncio.Task[None], point: asyncio.Task[object]) -> None:
    """Wait until the point of a story is reached. People may see the last of it a moment sooner than we hear of it."""
    await asyncio.wait({story, point}, return_when=asyncio.FIRST_COMPLETED)
    if story.done():
        story.result()
    await point


def wait_until(look: Callable[[], T], what: str = "it", seconds: float = PATIENCE_SECONDS) -> T:
    """The same, for threads and fixtures that have no loop."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(LOOK_SECONDS)
    return found
