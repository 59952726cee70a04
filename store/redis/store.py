"""The store on Redis or Valkey: a list for each log, and sorted sets that say when each thread is due.

All keys of a thread carry the hash tag of its shard, so one script changes the log, the event ids, the lease and the
wake-up atomically, on a single server and on a cluster. A crash cannot fall between an append and its wake-up, so no
sweep has to repair it.

A held thread stays in the sorted set, due when its lease ends. The threads of a dead worker therefore become due by
themselves, and a claim needs no second structure. Time is the server's: one clock for all workers.

What a thread means belongs to `store.thread`. Nothing but JSON is stored, and nothing read from Redis is executed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from math import ceil
from typing import Any, cast

from redis.exceptions import RedisError

from store import rows
from store.base import Lease, LeaseLost, NotReplicated, Server, ThreadDiverged, ThreadMoved, UnknownThread, boot_seconds
from store.codec import as_read, decode_all, encode
from store.events import Event
from store.index import row_of
from store.marks import mark
from store.pages import Page
from store.redis.connection import COMMAND_SECONDS, Confirmation, Connection
from store.redis.facts import ServerFacts
from store.redis.index import RedisIndex
from store.redis.keys import PREFIX, SHARDS, Keys
from store.redis.known import KnownIds, is_in_the_log_alone
from store.redis.scripts import APPEND, CLAIM, COUNT_DISTINCT, RELEASE, RENEW, SET_NOTE, TAIL, WAKE
from store.redis.shelves import RedisShelves
from store.redis.shorthand import shortened
from store.rows import EVERY_THREAD, Filter
from store.shelves import Keep, Kept
from store.tail import Tail
from store.thread import Thread

FOLLOW_POLL_SECONDS = 1.0
"""The longest delay that a missed notification causes a follower."""
FOLLOWERS_CONNECTIONS_MAX = 160
"""A follower holds one, and needs another for a moment when there is news."""


class RedisStore:
    """Shared by any number of processes. Open it with `RedisStore.open`, close it with `aclose`."""

    def __init__(self, redis: Connection, prefix: str = PREFIX, confirms: Confirmation = "") -> None:
        """`confirms`: what an append that asks for it, and every post, waits for (DURABLE_BEFORE_ACTING)."""
        self._redis = redis
        # Each follower holds a connection for as long as it likes: never one that a worker waits for.
        self._followers = redis.beside(FOLLOWERS_CONNECTIONS_MAX)
        self._confirms: Confirmation = confirms
        self.where = redis.where
        self.keys = Keys(prefix)
        self._index = RedisIndex(redis, self.keys)
        self._shelves = RedisShelves(redis, self.keys, confirms)
        self._known_ids = KnownIds()
        self._woken = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, url: str, prefix: str = PREFIX, *, confirms: Confirmation = "", command_seconds: float = COMMAND_SECONDS
    ) -> RedisStore:
        """Connects and asks for a PING. Raises StoreUnavailable."""
        return cls(await Connection.open(url, command_seconds), prefix, confirms)

    @property
    def server(self) -> Server:
        return self._redis.server

    async def append(
        self,
        thread: Thread,
        *events: Event,
        if_unmoved: bool = False,
        lease: Lease | None = None,
        confirm: bool = False,
    ) -> Thread:
        new = self._known_ids.without_known(events, thread)
        token, expected = lease.token if lease else "", _Expected(thread, new)
        outcome, tail = await self._appended(
            thread.id,
            thread.version,
            new,
            mark=thread.mark,
            if_unmoved=if_unmoved,
            token=token,
            confirm=confirm,
            meanwhile=expected.compute,
        )
        if outcome == b"lease lost":
            raise LeaseLost(thread.id)
        if outcome == b"diverged":
            raise ThreadDiverged(thread.id)
        now = expected.if_it_is(tail)
        if outcome == b"moved" and not {event.id for event in events} <= {e.id for e in now.events[thread.version :]}:
            raise ThreadMoved(now)
        return now

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        # Confirmed, because whoever sent it will not send it again.
        try:
            outcome, new = await self._appended(thread_id, -1 if opens else -2, events, confirm=True)
        except NotReplicated as error:
            text = f"{error} It is written all the same and will be worked on, so do not send it again."
            raise NotReplicated(text) from error
        return frozenset(event_id.decode() for event_id in new) if outcome == b"ok" else None

    async def exists(self, thread_id: str) -> bool:
        async with self._redis.errors():
            return bool(await self._redis.client.exists(self.keys.log(thread_id)))

    async def _appended(
        self,
        thread_id: str,
        known: int,
        events: Sequence[Event],
        *,
        mark: str = "",
        if_unmoved: bool = False,
        token: str = "",
        confirm: bool = False,
        meanwhile: Callable[[list[bytes]], None] = lambda _: None,
    ) -> tuple[bytes, list[bytes]]:
        """The outcome, and the lines from `known` on; without `known`, the ids that were new.

        `meanwhile`: called with the events' lines while the server works. If they are the answer, it is that list.
        """
        confirms: Confirmation = self._confirms if confirm else ""
        lines = [encode(event) for event in events]
        forms, args = "", list[Any]([""])
        for event, line in zip(events, lines, strict=True):
            if known >= 0 and is_in_the_log_alone(event):
                forms, args = f"{forms}-", [*args, shortened(line)]
            else:
                forms, args = f"{forms}+", [*args, event.id, shortened(line)]
        args[0] = f"{known} {mark} {int(if_unmoved)} {int(bool(confirms))} {token} {forms}"
        async with self._redis.errors():
            outcome, tail = await self._redis.run(
                APPEND,
                keys=[self.keys.log(thread_id)],
                args=args,
                confirm=confirms,
                is_written=lambda answer: _are_written(events, answer),
                meanwhile=lambda: meanwhile(lines),
            )
        return outcome, lines if tail == 1 else tail

    async def load(self, thread_id: str) -> Thread:
        thread = await self.refresh(Thread(thread_id))
        if not thread.exists:
            raise UnknownThread(thread_id)
        return thread

    async def refresh(self, thread: Thread) -> Thread:
        return await self._refreshed(thread, self._redis)

    async def _refreshed(self, thread: Thread, redis: Connection) -> Thread:
        async with redis.errors():
            args = [thread.version, thread.mark]
            tail = await redis.run(TAIL, keys=[self.keys.log(thread.id)], args=args)
        if tail is None:
            raise ThreadDiverged(thread.id)
        return _extended(thread, tail)

    async def page(self, wanted: Filter = EVERY_THREAD, *, limit: int = 50, after: str = "") -> Page:
        return await self._index.page(wanted, limit=limit, after=after)

    def load_each(self, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
        return self._index.load_each(thread_ids)

    async def reindex(self) -> int:
        return await self._index.rebuild()

    async def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        redis = self._followers
        async with redis.client.pubsub(ignore_subscribe_messages=True) as notices:
            async with redis.errors():
                await notices.subscribe(self.keys.moved(thread.id))
            while True:
                while (now := await self._refreshed(thread, redis)).version == thread.version:
                    async with redis.errors():
                        await notices.get_message(timeout=FOLLOW_POLL_SECONDS)
                thread = now
                yield thread

    async def claim(
        self,
        limit: int,
        lease_seconds: float,
        only: str = "",
        *,
        skip: Collection[str] = (),
        expired: bool = True,
    ) -> list[Lease]:
        skips = self._by_shard(skip)
        if only:
            shards = [self.keys.shard(only)]
        else:
            # The longest overdue shard comes first, so that none starves while there is more work than we claim.
            heads = await self._heads(skips)
            shards = sorted((s for s, (at, now) in heads.items() if at <= now), key=lambda s: heads[s][0])
        leases: list[Lease] = []
        token, good_until = secrets.token_urlsafe(8), boot_seconds() + lease_seconds
        for shard in shards:
            if len(leases) >= limit:
                break
            async with self._redis.errors():
                claimed = await self._redis.run(
                    CLAIM,
                    keys=[self.keys.due(shard)],
                    args=[
                        token,
                        limit - len(leases),
                        int(lease_seconds * 1000),
                        only,
                        int(expired),
                        *skips.get(shard, ()),
                    ],
                )
            for name, count, length, lines in claimed:
                tail = Tail(length, tuple(lines))
                leases.append(Lease(name.decode(), token, count, lease_seconds, good_until, tail=tail))
        return leases

    async def renew(self, lease: Lease) -> bool:
        sent_at = boot_seconds()
        async with self._redis.errors():
            is_ours = await self._redis.run(
                RENEW,
                keys=[self.keys.log(lease.thread_id)],
                args=[lease.token, int(lease.seconds * 1000)],
            )
        if is_ours:
            lease.good_until = sent_at + lease.seconds
        else:
            lease.lose()
        return bool(is_ours)

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        wake_in_ms = -1 if wake_in_seconds is None else max(ceil(wake_in_seconds * 1000), 0)
        row = rows.encode(row_of(seen)) if seen.exists else b""
        return await self._let_go(lease, seen.version, seen.mark, wake_in_ms, row)

    async def hand_back(self, lease: Lease) -> None:
        await self._let_go(lease, -1, "", 0)

    async def _let_go(self, lease: Lease, seen: int, mark: str, wake_in_ms: int, row: bytes = b"") -> bool:
        args: list[Any] = [f"{seen} {mark} {wake_in_ms} {lease.token}", *([row] if row else [])]
        async with self._redis.errors():
            return bool(await self._redis.run(RELEASE, keys=[self.keys.log(lease.thread_id)], args=args))

    async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
        heads = await self._heads(self._by_shard(skip))
        return min((max(at - now, 0) / 1000 for at, now in heads.values()), default=None)

    def _by_shard(self, thread_ids: Collection[str]) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for thread_id in thread_ids:
            found.setdefault(self.keys.shard(thread_id), set()).add(thread_id)
        return found

    async def _heads(self, skips: Mapping[int, Collection[str]]) -> dict[int, tuple[float, float]]:
        """For each shard that has one: its next due time, and the server's time (ms)."""
        first = (("ZRANGE", self.keys.due(n), 0, len(skips.get(n, ())), "WITHSCORES") for n in range(SHARDS))
        async with self._redis.errors():
            (seconds, micros), *shards = await self._redis.run_commands([("TIME",), *first])
        now = int(seconds) * 1000 + int(micros) // 1000
        heads: dict[int, tuple[float, float]] = {}
        for shard, first in enumerate(shards):
            skip = skips.get(shard, ())
            head = next((at for name, at in _scored(first) if name.decode() not in skip), None)
            if head is not None:
                heads[shard] = (head, now)
        return heads

    async def work_arrived(self, timeout_seconds: float) -> None:
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="store wake channel")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _listen(self) -> None:
        # A lost notification only delays a worker by one poll interval, so after any error just subscribe again.
        while True:
            try:
                async with self._redis.client.pubsub(ignore_subscribe_messages=True) as notices:
                    await notices.subscribe(self.keys.wake_channel)
                    self._woken.set()
                    while True:
                        if await notices.get_message(timeout=COMMAND_SECONDS):
                            self._woken.set()
            except (RedisError, OSError):
                await asyncio.sleep(0.5)

    async def wake(self, thread_id: str) -> None:
        async with self._redis.errors():
            await self._redis.run(WAKE, keys=[self.keys.log(thread_id)], args=[])

    async def get_note(self, name: str) -> str:
        async with self._redis.errors():
            text = cast(bytes | None, await self._redis.client.hget(self.keys.notes, name))
        return text.decode() if text else ""

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        async with self._redis.errors():
            return bool(
                await self._redis.run(
                    SET_NOTE,
                    keys=[self.keys.notes],
                    args=[name, text, expected],
                    confirm=self._confirms,
                    is_written=bool,
                )
            )

    async def shelve(self, shelf: str, name: str, text: str, *, expected: str, keep: Keep) -> bool:
        return await self._shelves.shelve(shelf, name, text, expected=expected, keep=keep)

    async def shelved(self, shelf: str, name: str) -> str:
        return await self._shelves.shelved(shelf, name)

    async def newest(self, shelf: str, limit: int) -> list[Kept]:
        return await self._shelves.newest(shelf, limit)

    async def count_distinct(self, name: str, member: str, window_seconds: float) -> int:
        async with self._redis.errors():
            return int(
                await self._redis.run(
                    COUNT_DISTINCT, keys=[self.keys.counted(name)], args=[member, int(window_seconds * 1000)]
                )
            )

    async def facts(self) -> ServerFacts:
        """How the server is set up."""
        return await self._redis.facts()

    async def time(self) -> float:
        """The server's clock, seconds since the epoch."""
        return await self._redis.time()

    async def aclose(self) -> None:
        if self._listener:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await self._followers.aclose()
        await self._redis.aclose()


def _scored(members: list[Any]) -> list[tuple[bytes, float]]:
    """Members with their scores: pairs in RESP3, one after the other in RESP2."""
    pairs = members if members and isinstance(members[0], list) else zip(members[::2], members[1::2], strict=True)
    return [(name, float(score)) for name, score in pairs]


class _Expected:
    """The thread as it will be if nobody else has appended: computed while the server works, which takes as long."""

    def __init__(self, thread: Thread, events: Sequence[Event]) -> None:
        self._thread = thread
        self._events = events
        self._lines: list[bytes] | None = None
        self._after = thread

    def compute(self, lines: list[bytes]) -> None:
        with contextlib.suppress(Exception):  # It is raised by `if_it_is`, when the reply is read.
            if lines:
                self._after = self._thread.extended(map(as_read, self._events, lines), mark(lines[-1]))
            self._lines = lines

    def if_it_is(self, lines: list[bytes]) -> Thread:
        return self._after if lines is self._lines else _extended(self._thread, lines)


def _extended(thread: Thread, tail: list[bytes]) -> Thread:
    return thread.extended(decode_all(tail), mark(tail[-1])) if tail else thread


def _are_written(events: Sequence[Event], answer: tuple[bytes, list[bytes]]) -> bool:
    """Whether the events stand in the log: by this call, or by one whose answer was lost."""
    outcome, tail = answer
    if outcome == b"moved":
        return {event.id for event in events} <= {event.id for event in decode_all(tail)}
    return outcome == b"ok"
