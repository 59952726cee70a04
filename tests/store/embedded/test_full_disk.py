"""The embedded server on a full disk: people are told what to free, and nothing acknowledged is lost.

The disk is full for the files of the server only: it inherits a limit for their size from this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.base import StoreAway
from store.embedded.keeper import embedded
from store.embedded.server import why_down
from store.redis.connection import Connection
from store.redis.store import RedisStore
from store.thread import Thread
from tests.patience import PATIENCE_SECONDS
from tests.telling.story import message, opened

ROOM_BYTES = 100_000


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """For what this process starts meanwhile."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def test_a_full_disk_is_told_and_what_was_acknowledged_is_there_when_it_has_room(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with contextlib.AsyncExitStack() as stack:
        with little_room():
            url = await stack.enter_async_context(embedded(home))
            connection = await Connection.open(url, why_away=functools.partial(why_down, home))
            store = RedisStore(connection)
            stack.push_async_callback(store.aclose)
            thread = await store.append(Thread("t1"), opened())
            for number in range(8):
                thread = await store.append(thread, message(f"m{number}", "x" * 10_000))
            with pytest.raises(StoreAway) as refused:
                await store.append(thread, message("too-much", "x" * 30_000))
        assert str(refused.value) == (
            f"The embedded Redis cannot write: the disk of BOT_HOME {str(home)!r} fails, or a quota there is used up. "
            "Free some space there; then it goes on, and nothing acknowledged is lost."
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:  # The server is being started again, with room.
                with contextlib.suppress(StoreAway):
                    found = await store.append(thread, message("later"))
                    break
        assert found.events[: thread.version] == thread.events
        assert found.events[-1].id == "later"
