"""Lists over the store on Redis: reads the rows of all shards, newest first, and computes anew those that are not true.

A row is true if its log still has the length that it was computed from; one script looks at both. A release writes the
row, an append makes it untrue by growing the log, and a reader that had to compute a row writes it back. So a list is
right beside workers of versions that know no rows, over stores without rows, and after every crash; rows that are
missing cost time, never an answer. No thread is looked for by a window: the whole index is read, in small pieces.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, get_args

from store.pages import PAGE_MAX, Cursor, Page
from store.redis.connection import Connection
from store.redis.keys import SHARDS, Keys
from store.redis.scripts import LIST
from store.rows import EVERY_THREAD, FORMAT, Filter, Row, decode
from store.status import ThreadStatus

if TYPE_CHECKING:
    from store.thread import Thread

SCAN_MAX = 500
"""Threads that one script looks at, so that it blocks the server for about a millisecond."""
FOUND_MIN = 8
FOUND_MAX = 200
"""Rows that one script returns at most."""


class _Found(NamedTuple):
    changed: float
    thread_id: str
    row: Row


@dataclass(slots=True)
class _Shard:
    """How far the reading of one shard has come."""

    number: int
    changed: float
    after: str = ""
    ended: bool = False
    reads: int = 0
    found: deque[_Found] = field(default_factory=deque)


class RedisIndex:
    def __init__(self, redis: Connection, keys: Keys, *, scan_max: int = SCAN_MAX) -> None:
        self._redis = redis
        self._keys = keys
        self._scan_max = scan_max

    async def page(self, wanted: Filter = EVERY_THREAD, *, limit: int = 50, after: str = "") -> Page:
        limit, cursor = min(limit, PAGE_MAX), Cursor.parse(after)
        shown: dict[str, _Found] = {}
        while True:
            reading = _Reading(self, wanted, max(FOUND_MIN, limit // SHARDS * 5 // 4), cursor)
            async for found in reading.all():
                if found.thread_id not in shown and len(shown) == limit:
                    return _page(shown, str(cursor))
                shown[found.thread_id] = found
                cursor = reading.after(found)
            if reading.was_atomic:
                return _page(shown, "")
            # Threads may have moved from a part that was not read to one that was: read what changed meanwhile.
            cursor = Cursor(floor=reading.began)

    def load_each(self, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
        # Not at the top: a list reads rows, and the events take as long to import as all that it needs.
        from store.redis.indexing import loaded

        return loaded(self._redis, self._keys, thread_ids)

    async def computed(self, thread_ids: Sequence[str]) -> dict[str, Row]:
        """The rows of these threads, computed from their logs and kept."""
        if not thread_ids:
            return {}
        # Not at the top: most rows are true. See `load_each`.
        from store.redis.indexing import compute

        return await compute(self._redis, self._keys, thread_ids)

    async def rebuild(self) -> int:
        """Compute the row of every thread anew. Returns how many there were."""
        count = 0
        for number in range(SHARDS):
            shard = _Shard(number, 0)
            while not shard.ended:
                found, _ = await self.read(shard, "", 0, FOUND_MAX, row_format="")
                count += len(await self.computed([thread_id for thread_id, _, _ in found]))
        return count

    async def read(
        self, shard: _Shard, statuses: str, floor: float, found_max: int, *, row_format: str = str(FORMAT)
    ) -> tuple[list[tuple[str, float, bytes]], float]:
        """Read on in the shard: the threads found, each with its last change and its row; and the server's time."""
        keys, number = self._keys, shard.number
        changed = _text(shard.changed) if shard.changed else ""
        async with self._redis.errors():
            now, ended, after, reached, found = await self._redis.run(
                LIST,
                keys=[keys.threads(number), keys.rows(number)],
                args=[
                    row_format,
                    statuses,
                    changed,
                    shard.after,
                    _text(floor),
                    self._scan_max,
                    min(found_max, FOUND_MAX),
                    keys.logs(number),
                ],
            )
        shard.ended, shard.after, shard.reads = bool(ended), after.decode(), shard.reads + 1
        shard.changed = float(reached or 0)
        return [(thread_id.decode(), float(score), row) for thread_id, score, row in found], float(now)


class _Reading:
    """One reading of all shards, from a cursor down to its floor."""

    def __init__(self, rows: RedisIndex, wanted: Filter, found_max: int, cursor: Cursor) -> None:
        self._index = rows
        self._wanted = wanted
        self._statuses = _statuses(wanted.wants)
        self._found_max = found_max
        self._cursor = cursor
        self.floor = cursor.floor
        self.began = cursor.began
        self._shards = [_Shard(number, cursor.changed) for number in range(SHARDS)]

    @property
    def was_atomic(self) -> bool:
        """Each shard was read by one script, so no thread can have moved past it."""
        return not self._cursor.changed and all(shard.reads == 1 for shard in self._shards)

    def after(self, last: _Found) -> Cursor:
        """From where the next page goes on after this thread."""
        return Cursor(self.floor, self.began, last.changed, last.thread_id)

    async def all(self) -> AsyncIterator[_Found]:
        """Every thread that the filter takes, by its last change, newest first."""
        while True:
            while empty := [shard for shard in self._shards if not shard.found and not shard.ended]:
                await asyncio.gather(*map(self._read, empty))
            full = [shard for shard in self._shards if shard.found]
            if not full:
                return
            newest = max(full, key=lambda shard: (shard.found[0].changed, shard.found[0].thread_id.encode()))
            yield newest.found.popleft()

    async def _read(self, shard: _Shard) -> None:
        found, now = await self._index.read(shard, self._statuses, self.floor, self._found_max)
        if not self._cursor.began:
            # The earliest, should the clocks of a cluster's nodes differ.
            self.began = min(self.began or now, now)
        found = [one for one in found if not self._cursor.is_past(one[1], one[0])]
        computed = await self._index.computed([thread_id for thread_id, _, line in found if not line])
        for thread_id, changed, line in found:
            row = decode(thread_id, line) if line else computed.get(thread_id)
            if row and self._wanted.takes(row):
                shard.found.append(_Found(changed, thread_id, row))


def _page(shown: dict[str, _Found], after: str) -> Page:
    newest_first = sorted(shown.values(), key=lambda one: (one.changed, one.thread_id.encode()), reverse=True)
    return Page(tuple(found.row for found in newest_first), after)


def _statuses(wants: Callable[[ThreadStatus], bool]) -> str:
    every = get_args(ThreadStatus)
    wanted = [status for status in every if wants(status)]
    return "" if len(wanted) == len(every) else f" {' '.join(wanted)} "


def _text(time: float) -> str:
    return f"{time:.17g}"
