"""Runs while we listen: says in the store that somebody does, and has read what was missed.

Over a socket, we listen while it is connected. Over HTTP, we listen while the process runs and the store takes the
note, as far as can be told here; so what was posted is also read from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from channels.slack.absence import Absences
from channels.slack.sweep import Sweep
from store.base import StoreUnavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
SWEEP_LOOK_SECONDS = 60.0
SWEEP_AGAIN_SECONDS = 60.0
"""After a place could not be read; longer each time."""
READ_AGAIN_SECONDS = 3_600.0
"""Over HTTP, what was posted is read so often."""


@contextlib.asynccontextmanager
async def keeping_up(sweep: Sweep, absences: Absences, socket: SocketModeClient | None) -> AsyncIterator[None]:
    """`socket`: None over HTTP."""
    missed = asyncio.Event()
    tasks = [
        asyncio.create_task(_listens(absences, socket, missed), name="slack presence"),
        asyncio.create_task(_keep_up(sweep, missed), name="slack sweep"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listens(absences: Absences, socket: SocketModeClient | None, missed: asyncio.Event) -> None:
    """Say in the store again and again that somebody listens. Sets `missed` if there was a time when nobody did."""
    was_away = True
    while True:
        is_away = socket is not None and not await socket.is_connected()
        if is_away and socket:
            # The SDK would reuse a URL whose ticket expires after half a minute.
            socket.wss_uri = None
        elif not is_away:
            try:
                # Over HTTP, nobody here can tell whether Slack reaches us.
                again = 0 if socket else READ_AGAIN_SECONDS
                if await absences.present(was_away=was_away, read_again_seconds=again):
                    missed.set()
            except StoreUnavailable as error:
                log.warning("sweep_failed", error=str(error))
                is_away = True
        was_away = is_away
        await asyncio.sleep(LOOK_SECONDS)


async def _keep_up(sweep: Sweep, missed: asyncio.Event) -> None:
    """Read what was missed, also what another process did not read to its end. Never raises."""
    failed = 0
    while True:
        seconds = SWEEP_AGAIN_SECONDS * 2 ** min(failed - 1, 4) if failed else SWEEP_LOOK_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await missed.wait()
        missed.clear()
        failed = 0 if await sweep.catch_up() else failed + 1
