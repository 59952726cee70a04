"""Says now and then that the model still thinks, so that nobody takes a slow model for a dead program.

It ends nothing: the model has its own time limit, and whoever waits may leave at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

SOON_SECONDS = 3.0
"""On a terminal, whose reader watches it."""
FIRST_SECONDS = 20.0
AGAIN_SECONDS = 60.0
LOOK_SECONDS = 1.0


async def tell_while_thinking(
    asked: Callable[[], int | None],
    say: Callable[[str], None],
    *,
    first_seconds: float = FIRST_SECONDS,
    seconds: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Runs until it is cancelled. `asked`: the number of what the model thinks about now; None: it does not think."""
    about, since, next_at = asked(), seconds(), first_seconds
    while True:
        await sleep(LOOK_SECONDS)
        if (now := asked()) != about:
            about, since, next_at = now, seconds(), first_seconds
        passed = seconds() - since
        if about is not None and passed >= next_at:
            say(_told(passed))
            next_at = FIRST_SECONDS if passed < FIRST_SECONDS else passed + AGAIN_SECONDS - passed % AGAIN_SECONDS


def _told(seconds: float) -> str:
    if seconds < FIRST_SECONDS:
        return "The model thinks."
    time = f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min"
    return f"The model still thinks, for {time} now. You lose nothing if you stop here."
