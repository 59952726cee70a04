"""A thread's events as server-sent events, as they come.

A client that was cut off goes on where it was, by the index of the last event that it saw. Nothing is kept for it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import structlog

from store.base import Store, StoreUnavailable, ThreadDiverged
from store.thread import Thread

HEARTBEAT_SECONDS = 15.0

_log = structlog.get_logger()


async def server_sent(
    store: Store, thread: Thread, first: int, *, stopping: asyncio.Event, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> AsyncIterator[str]:
    """Those from the index `first` on, each with its index as its id, without end.

    It ends when we stop, and where the store goes away: the client comes back then by itself.
    """
    latest, moved = thread, asyncio.Event()

    async def follow() -> None:
        # In a task of its own: whatever ends the stream, this one lets go of its subscription in order.
        nonlocal latest
        try:
            async with contextlib.aclosing(store.follow(thread)) as follower:  # type: ignore[type-var]
                async for now in follower:
                    latest = now
                    moved.set()
        except (StoreUnavailable, ThreadDiverged) as error:
            _log.warning("stream_ended", thread=thread.id, why=str(error))
        finally:
            moved.set()

    following = asyncio.create_task(follow())
    stop = asyncio.create_task(stopping.wait())
    stop.add_done_callback(lambda _: following.cancel())
    try:
        while True:
            for index, event in enumerate(latest.events[first:], first):
                yield f"id: {index}\ndata: {json.dumps(event.model_dump(mode='json'))}\n\n"
                first = index + 1
            if following.done():
                if not following.cancelled():
                    following.result()
                return
            try:
                async with asyncio.timeout(heartbeat_seconds):
                    await moved.wait()
            except TimeoutError:
                yield ": still here\n\n"
            moved.clear()
    finally:
        following.cancel()
        stop.cancel()
