"""Streams a thread's events as server-sent events, and counts the streams that are open.

A disconnected client resumes by the index of the last event that it received. No state is kept for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator

import structlog

from store.base import Store, StoreUnavailable, ThreadDiverged
from store.thread import Thread

HEARTBEAT_SECONDS = 15.0
STREAMS_MAX = 100
"""The most open streams of one process: each holds a connection to the store."""
STREAMS_PER_CALLER_MAX = 25

_log = structlog.get_logger()


class TooManyStreams(Exception):
    """The text is one line."""


class Streams:
    """Counts streams from before anything is done for them until they have ended."""

    def __init__(self, most: int = STREAMS_MAX, most_per_caller: int = STREAMS_PER_CALLER_MAX) -> None:
        self._most, self._most_per_caller = most, most_per_caller
        self._of: Counter[str] = Counter()

    @property
    def open(self) -> int:
        return self._of.total()

    @contextlib.contextmanager
    def one_of(self, caller: str) -> Iterator[None]:
        """Raises TooManyStreams."""
        if self.open >= self._most:
            raise TooManyStreams("Too many streams are open.")
        if self._of[caller] >= self._most_per_caller:
            raise TooManyStreams(
                f"You have {self._most_per_caller} open streams, which is all that one caller may have."
            )
        self._of[caller] += 1
        try:
            yield
        finally:
            self._of[caller] -= 1
            if not self._of[caller]:
                del self._of[caller]


async def server_sent(
    store: Store, thread: Thread, first: int, *, stopping: asyncio.Event, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[str]:
    """The events from index `first` on, each with its index as id, without end.

    The stream ends when the server stops or the store fails; clients reconnect by themselves.
    """
    latest, moved = thread, asyncio.Event()

    async def follow() -> None:
        # A separate task, so that the subscription is closed cleanly however the stream ends.
        nonlocal latest
        try:
            async with contextlib.aclosing(store.follow(thread)) as follower:
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
