"""Shelves in Redis: a sorted set of names for each shelf, and a string of its own for each text, which expires.

The script that keeps a text also takes away what is too old and what is too many, so a shelf never grows. It decides
nothing about what is kept.
"""

from __future__ import annotations

from math import ceil
from typing import cast

from store.redis.connection import Confirmation, Connection
from store.redis.keys import Keys
from store.redis.scripts import SHELVE
from store.shelves import Keep, Kept


class RedisShelves:
    def __init__(self, redis: Connection, keys: Keys, confirms: Confirmation) -> None:
        self._redis = redis
        self._keys = keys
        self._confirms: Confirmation = confirms

    async def shelve(self, shelf: str, name: str, text: str, *, expected: str, keep: Keep) -> bool:
        args = [name, text, expected, ceil(keep.seconds * 1000), keep.count]
        async with self._redis.errors():
            return bool(
                await self._redis.run(
                    SHELVE, keys=[self._keys.shelf(shelf)], args=args, confirm=self._confirms, is_written=bool
                )
            )

    async def shelved(self, shelf: str, name: str) -> str:
        async with self._redis.errors():
            text = cast(bytes | None, await self._redis.client.get(self._keys.shelved(shelf, name)))
        return text.decode() if text else ""

    async def newest(self, shelf: str, limit: int) -> list[Kept]:
        async with self._redis.errors():
            found = await self._redis.client.zrevrange(self._keys.shelf(shelf), 0, limit - 1)
            names = [cast(bytes, name).decode() for name in found]
            keys = [self._keys.shelved(shelf, name) for name in names]
            texts = cast(list[bytes | None], await self._redis.client.mget(keys)) if keys else []
        # One that has expired may still be in the order.
        return [Kept(name, text.decode()) for name, text in zip(names, texts, strict=True) if text]
