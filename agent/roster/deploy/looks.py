"""Look-ups that the threads of one process share: each is made once at a time, and serves for a while.

Many threads that begin together need the same tags, commits and targets, and each look-up starts processes. What is
about to act never uses this: it looks for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")
Key = tuple[str, ...]
KEPT_MAX = 2_000
"""How many results are kept."""
AT_ONCE_MAX = 8
"""How many look-ups of processes run at once."""


class Looks:
    """One for all threads of an agent. A failed look-up is not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[float, object]] = OrderedDict()
        """By key: when it was begun, and what it found."""
        self._under_way: dict[Key, asyncio.Task[Any]] = {}
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def get(self, key: Key, look: Callable[[], Awaitable[T]], fresh_seconds: float) -> T:
        """What `look` finds, or found for anybody not longer ago than `fresh_seconds`."""
        began, found = self._kept.get(key, (float("-inf"), None))
        if self._clock() - began <= fresh_seconds:
            return cast(T, found)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._look(key, look, self._clock()))
            task.add_done_callback(lambda done: self._ended(key, done))
        # Whoever asks may be cancelled; the others still wait for it.
        return cast(T, await asyncio.shield(task))

    def drop(self, *beginning: str) -> None:
        """Forget what was found, and what is being looked up, under the keys that begin so."""
        for keys in (self._kept, self._under_way):
            for key in [key for key in keys if key[: len(beginning)] == beginning]:
                del keys[key]

    async def _look(self, key: Key, look: Callable[[], Awaitable[object]], began: float) -> object:
        async with self._room:
            found = await look()
        if self._under_way.get(key) is asyncio.current_task():  # Not dropped meanwhile.
            self._kept[key] = (began, found)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return found

    def _ended(self, key: Key, task: asyncio.Task[Any]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # It was raised to whoever waited, if anybody still did.
