"""Loads many threads from Redis, and computes the rows of the index that are missing or no longer true.

`store.redis.index` reads the rows and decides which to compute. This module looks for no thread by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from store.codec import decode_all
from store.index import row_of
from store.marks import mark
from store.redis.connection import Connection
from store.redis.keys import Keys
from store.redis.scripts import SET_ROW
from store.rows import Row, encode
from store.thread import Thread

LOGS_AT_ONCE = 20
"""Logs that one round trip loads."""


async def loaded(redis: Connection, keys: Keys, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
    """These threads, without those that have no events. A few are in memory at a time."""
    for first in range(0, len(thread_ids), LOGS_AT_ONCE):
        some = thread_ids[first : first + LOGS_AT_ONCE]
        async with redis.errors(), redis.client.pipeline(transaction=False) as pipe:
            for thread_id in some:
                pipe.lrange(keys.log(thread_id), 0, -1)
            logs = await pipe.execute()
        for thread_id, lines in zip(some, logs, strict=True):
            if lines:
                yield Thread(thread_id).extended(decode_all(lines), mark(lines[-1]))
                await asyncio.sleep(0)


async def compute(redis: Connection, keys: Keys, thread_ids: Sequence[str]) -> dict[str, Row]:
    """The rows of these threads, computed from their logs and kept."""
    rows = {}
    async for thread in loaded(redis, keys, thread_ids):
        row = rows[thread.id] = row_of(thread)
        if line := encode(row):
            async with redis.errors():
                await redis.run(
                    SET_ROW,
                    keys=[keys.log(thread.id), keys.rows(keys.shard(thread.id))],
                    args=[thread.id, row.version, thread.mark, line],
                )
    return rows
