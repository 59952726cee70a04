"""Streams a thread's events as server-sent events.

A disconnected client resumes by the index of the last event that it received. No state is kept for it.
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
    """The events from index `first` on, each with its index as id, without end.

    The stream ends when the server stops or the store fails; clients reconnect by themselves.
    """
    latest, moved = thread, asyncio.Event()

    async def follow() -> None:
        # A separate task, so that the subscription is closed cleanly however the stream ends.
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
