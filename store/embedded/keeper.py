"""Keeps the embedded server running as long as its user stays: a server that was killed is restarted.

    async with embedded(Path(".bot")) as url: ...

Finding, starting and stopping it belong to `store.embedded.server`. This module repeats no command: clients retry.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from store.embedded.server import START_SECONDS_MAX, Connection, EmbeddedRedisError, Home, joined, started

log = structlog.get_logger(__name__)

REVIVAL_SECONDS = 0.5
"""The pause between two starts by one user, so that a crashing server does not load the machine."""
ALIAS_SECONDS = 60.0
"""How often the link to the socket is renewed; cleaners of /tmp delete files that are a few days old."""


@contextlib.asynccontextmanager
async def embedded(home: Path, *, start_seconds_max: float = START_SECONDS_MAX) -> AsyncIterator[str]:
    """The URL of the server under `home`, for redis-py, as `joined` finds or starts it.

    While a killed server restarts (a fraction of a second, plus loading), commands fail: clients have to retry.

    Raises EmbeddedRedisError.
    """
    async with joined(home, start_seconds_max) as (at, connection):
        keeper = asyncio.create_task(_keep_running(at, connection))
        try:
            await asyncio.sleep(0)  # lets the keeper start: once it runs, cancelling it closes the connection
            yield at.url
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])


async def _keep_running(at: Home, connection: Connection) -> None:
    """Restart the server whenever it ends, until cancelled. The idle connection closes when the server ends."""
    clock = asyncio.get_running_loop().time
    while True:
        reader, writer = connection
        rested_at = clock() + REVIVAL_SECONDS
        try:
            while not reader.at_eof():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ALIAS_SECONDS):
                        await reader.read(1)
                at.make_alias()
        except (OSError, EmbeddedRedisError) as error:
            log.warning("embedded_redis_lost", error=str(error))
        finally:
            writer.close()
        why = "The disk is full." if at.is_full() else at.last_log_line()
        log.warning("embedded_redis_ended", home=str(at.path), why=why)
        await asyncio.sleep(max(0.0, rested_at - clock()))
        connection = await _revived(at)


async def _revived(at: Home) -> Connection:
    while True:
        try:
            connection = await started(at, START_SECONDS_MAX)
        except (OSError, EmbeddedRedisError) as error:
            log.error("embedded_redis_not_restarted", error=str(error))
            await asyncio.sleep(REVIVAL_SECONDS)
        else:
            log.info("embedded_redis_restarted", home=str(at.path))
            return connection
