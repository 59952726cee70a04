"""The store on Redis or Valkey: a list for each log, and one sorted set that says which thread is due when.

Every key of a thread carries the hash tag of its shard, so that the log, the ids that deduplicate it, the lease and the
wake-up are changed by one script, atomically, on a single server and on a cluster alike. There is no moment between an
append and its wake-up in which a crash could lose the latter, hence no outbox and no sweep.

A held thread stays in the sorted set at the time when its lease ends. So a dead worker's threads come back by
themselves, and a claim needs no second structure. Time is the server's, one clock for all workers.

Not here: what a thread means (`store.thread`), and anything but JSON. Nothing read from Redis is ever executed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, cast
from zlib import crc32

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from store.base import Lease, LeaseLost, StoreUnavailable, ThreadDiverged, ThreadMoved, UnknownThread
from store.codec import decode_all, encode
from store.events import Event
from store.thread import Thread

SHARDS = 8
"""Fixed for good: a thread's keys are found by it. A cluster spreads threads over at most this many slots."""

CONNECTIONS_MAX = 512
COMMAND_SECONDS_MAX = 10.0
FOLLOW_POLL_SECONDS = 1.0
"""How long a missed notification can delay a follower."""


class Keys:
    """Every name that we use in Redis."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.bell = f"{prefix}:bell"

    def shard(self, thread_id: str) -> int:
        return crc32(thread_id.encode()) % SHARDS

    def log(self, thread_id: str) -> str:
        return f"{self._tag(self.shard(thread_id))}:log:{thread_id}"

    def ids(self, thread_id: str) -> str:
        return f"{self._tag(self.shard(thread_id))}:ids:{thread_id}"

    def due(self, shard: int) -> str:
        """Sorted set: thread id -> when to look at it (ms)."""
        return f"{self._tag(shard)}:due"

    def leases(self, shard: int) -> str:
        """Hash: thread id -> token of its holder."""
        return f"{self._tag(shard)}:leases"

    def tries(self, shard: int) -> str:
        """Hash: thread id -> claims since it was last released in order."""
        return f"{self._tag(shard)}:tries"

    def fence(self, shard: int) -> str:
        """Counter that the tokens come from."""
        return f"{self._tag(shard)}:fence"

    def threads(self, shard: int) -> str:
        """Sorted set: thread id -> when it last moved (ms)."""
        return f"{self._tag(shard)}:threads"

    def moved(self, thread_id: str) -> str:
        """Channel that hears of every append to the thread."""
        return f"{self._prefix}:moved:{thread_id}"

    @property
    def notes(self) -> str:
        """Hash: what channels have noted, by its name."""
        return f"{self._prefix}:notes"

    def tally(self, name: str) -> str:
        """Sorted set: member -> when it was counted (ms)."""
        return f"{self._prefix}:tally:{name}"

    def _tag(self, shard: int) -> str:
        return f"{self._prefix}:{{{shard}}}"


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

_APPEND = _Script(
    _NOW
    + """
-- KEYS log ids due leases threads   ARGV thread known if_unmoved token bell moved (id line)*
-- known -1: it was not read, and is not to be read now; -2: nor is it to be opened.
local thread, known = ARGV[1], tonumber(ARGV[2])
if ARGV[4] ~= '' and redis.call('HGET', KEYS[4], thread) ~= ARGV[4] then return {'lease lost', {}} end
local length = redis.call('LLEN', KEYS[1])
if known == -2 and length == 0 then return {'unknown', {}} end
if length < known then return {'diverged', {}} end
if ARGV[3] == '1' and length ~= known then return {'moved', redis.call('LRANGE', KEYS[1], known, -1)} end
local added = false
for i = 7, #ARGV, 2 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i + 1])
    added = true
  end
end
if added then
  redis.call('ZADD', KEYS[5], now, thread)
  redis.call('PUBLISH', ARGV[6], '')
  if ARGV[4] == '' and redis.call('HEXISTS', KEYS[4], thread) == 0 then
    redis.call('ZADD', KEYS[3], now, thread)
    redis.call('PUBLISH', ARGV[5], '')
  end
end
return {'ok', known < 0 and {} or redis.call('LRANGE', KEYS[1], known, -1)}
"""
)
_TAIL = _Script("return {redis.call('LLEN', KEYS[1]), redis.call('LRANGE', KEYS[1], ARGV[1], -1)}")
_CLAIM = _Script(
    _NOW
    + """
-- KEYS due leases fence tries   ARGV limit lease_ms only
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if ARGV[3] ~= '' then
  local at = redis.call('ZSCORE', KEYS[1], ARGV[3])
  due = (at and tonumber(at) <= now) and {ARGV[3]} or {}
end
local claims = {}
for _, thread in ipairs(due) do
  local token = redis.call('INCR', KEYS[3])
  redis.call('HSET', KEYS[2], thread, token)
  redis.call('ZADD', KEYS[1], now + ARGV[2], thread)
  claims[#claims + 1] = {thread, token, redis.call('HINCRBY', KEYS[4], thread, 1)}
end
return claims
"""
)
_RENEW = _Script(
    _NOW
    + """
-- KEYS due leases   ARGV thread token lease_ms
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
"""
)
_RELEASE = _Script(
    _NOW
    + """
-- KEYS due leases tries log   ARGV thread token seen wake_in_ms bell
-- seen -1: whatever it holds. wake_in_ms -1: not until it moves.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 1 end
if ARGV[3] ~= '-1' and redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[3]) then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
local wake_in = tonumber(ARGV[4])
if wake_in < 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + wake_in, ARGV[1])
  redis.call('PUBLISH', ARGV[5], '')
end
return 1
"""
)
_WAKE = _Script(
    _NOW
    + """
-- KEYS due leases log   ARGV thread bell
if redis.call('EXISTS', KEYS[3]) == 1 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PUBLISH', ARGV[2], '')
end
"""
)


_NOTE = _Script(
    """
-- KEYS notes   ARGV name text instead_of
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
)
_TALLY = _Script(
    _NOW
    + """
-- KEYS tally   ARGV member window_ms
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What `bot doctor` looks at. A setting that the server does not tell is empty."""

    version: str
    time: float
    """The server's clock, seconds since the epoch."""
    appendonly: str
    appendfsync: str
    maxmemory_policy: str


class RedisStore:
    """Shared by any number of processes. Open it with `RedisStore.open`, close it with `aclose`."""

    def __init__(self, client: redis.asyncio.Redis, where: str, prefix: str = "bot") -> None:
        self._client = client
        self.where = where
        self.keys = Keys(prefix)
        self._bell = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, prefix: str = "bot") -> RedisStore:
        """Connects and asks for a PING. Raises StoreUnavailable."""
        where = _without_password(url)
        try:
            # Blocking: a call beyond the limit waits for a connection instead of failing.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_MAX,
                timeout=COMMAND_SECONDS_MAX,
                # `_errors` has the time limit. redis-py's own rests on asyncio.wait_for, which up to Python 3.11 can
                # swallow a cancellation and costs a task for each command.
                socket_timeout=None,
                socket_connect_timeout=COMMAND_SECONDS_MAX,
                # Every script may be run twice: an append knows its ids, and a claim that got lost runs out.
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
                retry_on_error=[RedisConnectionError, RedisTimeoutError, BusyLoadingError],
            )
        except ValueError:
            raise StoreUnavailable(_not_a_url(where)) from None
        store = cls(redis.asyncio.Redis.from_pool(pool), where, prefix)
        try:
            async with store._errors():
                await store._client.ping()
        except StoreUnavailable:
            await store.aclose()
            raise
        except TypeError:  # a parameter of the URL that no connection knows
            await store.aclose()
            raise StoreUnavailable(_not_a_url(where)) from None
        return store

    async def append(
        self, thread: Thread, *events: Event, if_unmoved: bool = False, lease: Lease | None = None
    ) -> Thread:
        token = lease.token if lease else ""
        outcome, tail = await self._appended(thread.id, thread.version, events, if_unmoved=if_unmoved, token=token)
        if outcome == b"lease lost":
            raise LeaseLost(thread.id)
        if outcome == b"diverged":
            raise ThreadDiverged(thread.id)
        # Ours are read back too: what was appended is what the log says, to the last half surrogate.
        now = thread.extended(decode_all(tail))
        if outcome == b"moved" and not {event.id for event in events} <= {e.id for e in now.events[thread.version :]}:
            raise ThreadMoved(now)
        return now

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> bool:
        outcome, _ = await self._appended(thread_id, -1 if opens else -2, events)
        return outcome == b"ok"

    async def exists(self, thread_id: str) -> bool:
        async with self._errors():
            return bool(await self._client.exists(self.keys.log(thread_id)))

    async def _appended(
        self, thread_id: str, known: int, events: Sequence[Event], *, if_unmoved: bool = False, token: int | str = ""
    ) -> tuple[bytes, list[bytes]]:
        keys, shard = self.keys, self.keys.shard(thread_id)
        args: list[Any] = [thread_id, known, int(if_unmoved), token, keys.bell, keys.moved(thread_id)]
        for event in events:
            args += (event.id, encode(event))
        async with self._errors():
            outcome, tail = await self._run(
                _APPEND,
                keys=[
                    keys.log(thread_id),
                    keys.ids(thread_id),
                    keys.due(shard),
                    keys.leases(shard),
                    keys.threads(shard),
                ],
                args=args,
            )
        return outcome, tail

    async def load(self, thread_id: str) -> Thread:
        thread = await self.refresh(Thread(thread_id))
        if not thread.exists:
            raise UnknownThread(thread_id)
        return thread

    async def refresh(self, thread: Thread) -> Thread:
        async with self._errors():
            length, tail = await self._run(_TAIL, keys=[self.keys.log(thread.id)], args=[thread.version])
        if length < thread.version:
            raise ThreadDiverged(thread.id)
        return thread.extended(decode_all(tail))

    async def recent(self, limit: int = 50) -> list[str]:
        found: list[tuple[bytes, float]] = []
        async with self._errors():
            for shard in range(SHARDS):
                newest = await self._client.zrange(self.keys.threads(shard), 0, limit - 1, desc=True, withscores=True)
                found += cast(list[tuple[bytes, float]], newest)
        return [thread_id.decode() for thread_id, _ in sorted(found, key=lambda row: -row[1])[:limit]]

    async def follow(self, thread: Thread) -> AsyncIterator[Thread]:
        async with self._client.pubsub(ignore_subscribe_messages=True) as notices:
            async with self._errors():
                await notices.subscribe(self.keys.moved(thread.id))
            while True:
                while (now := await self.refresh(thread)).version == thread.version:
                    async with self._errors():
                        await notices.get_message(timeout=FOLLOW_POLL_SECONDS)
                thread = now
                yield thread

    async def claim(self, limit: int, lease_seconds: float, only: str = "") -> list[Lease]:
        if only:
            shards = [self.keys.shard(only)]
        else:
            # The shard whose thread is due longest comes first, so that none starves when there is more than we take.
            heads = await self._heads()
            shards = sorted((s for s, (at, now) in heads.items() if at <= now), key=lambda s: heads[s][0])
        leases: list[Lease] = []
        for shard in shards:
            if len(leases) >= limit:
                break
            async with self._errors():
                claims = await self._run(
                    _CLAIM,
                    keys=[
                        self.keys.due(shard),
                        self.keys.leases(shard),
                        self.keys.fence(shard),
                        self.keys.tries(shard),
                    ],
                    args=[limit - len(leases), int(lease_seconds * 1000), only],
                )
            leases += (Lease(thread_id.decode(), token, tries) for thread_id, token, tries in claims)
        return leases

    async def renew(self, lease: Lease, lease_seconds: float) -> bool:
        shard = self.keys.shard(lease.thread_id)
        async with self._errors():
            return bool(
                await self._run(
                    _RENEW,
                    keys=[self.keys.due(shard), self.keys.leases(shard)],
                    args=[lease.thread_id, lease.token, int(lease_seconds * 1000)],
                )
            )

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        wake_in_ms = -1 if wake_in_seconds is None else max(ceil(wake_in_seconds * 1000), 0)
        return await self._let_go(lease, seen.version, wake_in_ms)

    async def hand_back(self, lease: Lease) -> None:
        await self._let_go(lease, -1, 0)

    async def _let_go(self, lease: Lease, seen: int, wake_in_ms: int) -> bool:
        shard = self.keys.shard(lease.thread_id)
        async with self._errors():
            return bool(
                await self._run(
                    _RELEASE,
                    keys=[
                        self.keys.due(shard),
                        self.keys.leases(shard),
                        self.keys.tries(shard),
                        self.keys.log(lease.thread_id),
                    ],
                    args=[lease.thread_id, lease.token, seen, wake_in_ms, self.keys.bell],
                )
            )

    async def due_in_seconds(self) -> float | None:
        heads = await self._heads()
        return min((max(at - now, 0) / 1000 for at, now in heads.values()), default=None)

    async def _heads(self) -> dict[int, tuple[float, float]]:
        """For each shard that has one: its next due time, and the server's time (ms)."""
        async with self._errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            for shard in range(SHARDS):
                pipe.zrange(self.keys.due(shard), 0, 0, withscores=True)
            (seconds, micros), *heads = await pipe.execute()
        now = seconds * 1000 + micros // 1000
        return {shard: (head[0][1], now) for shard, head in enumerate(heads) if head}

    async def work_arrived(self, timeout_seconds: float) -> None:
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="store bell")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._bell.wait()
        self._bell.clear()

    async def _listen(self) -> None:
        # A notice that gets lost costs its worker a poll interval, nothing else; so any trouble means: listen again.
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as notices:
                    await notices.subscribe(self.keys.bell)
                    self._bell.set()
                    while True:
                        if await notices.get_message(timeout=COMMAND_SECONDS_MAX):
                            self._bell.set()
            except (RedisError, OSError):
                await asyncio.sleep(0.5)

    async def wake(self, thread_id: str) -> None:
        shard = self.keys.shard(thread_id)
        async with self._errors():
            await self._run(
                _WAKE,
                keys=[self.keys.due(shard), self.keys.leases(shard), self.keys.log(thread_id)],
                args=[thread_id, self.keys.bell],
            )

    async def recall(self, name: str) -> str:
        async with self._errors():
            told = cast(bytes | None, await self._client.hget(self.keys.notes, name))
        return told.decode() if told else ""

    async def note(self, name: str, text: str, *, instead_of: str) -> bool:
        async with self._errors():
            outcome = await self._run(_NOTE, keys=[self.keys.notes], args=[name, text, instead_of])
        # It may have been run twice, the answer to the first having got lost.
        return bool(outcome) or await self.recall(name) == text

    async def tally(self, name: str, member: str, window_seconds: float) -> int:
        async with self._errors():
            return int(await self._run(_TALLY, keys=[self.keys.tally(name)], args=[member, int(window_seconds * 1000)]))

    async def facts(self) -> ServerFacts:
        """How the server is set up."""
        told: dict[str, str] = {}
        async with self._errors():
            info = await self._client.info("server")
            seconds, micros = await self._client.time()
            with contextlib.suppress(ResponseError):  # managed servers close CONFIG
                for pattern in ("append*", "maxmemory-policy"):
                    told |= cast(dict[str, str], await self._client.config_get(pattern))
        return ServerFacts(
            version=str(info.get("valkey_version") or info.get("redis_version") or "unknown"),
            time=seconds + micros / 1e6,
            appendonly=told.get("appendonly", ""),
            appendfsync=told.get("appendfsync", ""),
            maxmemory_policy=told.get("maxmemory-policy", ""),
        )

    async def aclose(self) -> None:
        if self._listener:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await self._client.aclose()

    async def _run(self, script: _Script, keys: list[str], args: list[Any]) -> Any:
        """One script, in one round trip.

        Straight on a connection of the pool: `execute_command` and its packing in Python cost half as much again, and
        this is the road that every step takes three times.
        """
        pool = self._client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        command = hiredis.pack_command(("EVALSHA", script.sha, len(keys), *keys, *args))

        async def call() -> Any:
            try:
                await connection.send_packed_command([command], check_health=False)
                return await connection.read_response()
            except NoScriptError:
                whole = hiredis.pack_command(("EVAL", script.text, len(keys), *keys, *args))
                await connection.send_packed_command([whole], check_health=False)
                return await connection.read_response()

        try:
            return await connection.retry.call_with_retry(call, lambda error: connection.disconnect())
        finally:
            await pool.release(connection)

    @contextlib.asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """Raises StoreUnavailable for whatever goes wrong, and after COMMAND_SECONDS_MAX."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                yield
        except (RedisError, OSError) as error:
            raise StoreUnavailable(_explain(error, self.where)) from error


_SCHEME = re.compile(r"^\w+://")


def _without_password(url: str) -> str:
    """Cut as text, since a URL parser ends at a `/` or `?` that somebody forgot to escape in the password."""
    rest = _SCHEME.sub("", url)
    scheme = url.removesuffix(rest)
    rest, _, parameters = rest.partition("?")
    return f"{scheme}…" if "@" in parameters else scheme + rest.rpartition("@")[2]


def _not_a_url(where: str) -> str:
    return (
        f"REDIS_URL {where!r} is not a Redis URL. It begins with redis://, rediss:// or unix://; "
        "in a password, / ? # and @ are written %2F %3F %23 %40."
    )


def _explain(error: RedisError | OSError, where: str) -> str:
    text = " ".join(str(error).split()) or f"no answer within {COMMAND_SECONDS_MAX:g} s"
    match error:
        case NoScriptError():
            return f"Redis at {where} lost our scripts and would not take them again: {text}"
        case _ if isinstance(error.__cause__ or error, AuthenticationError):
            return f"Redis at {where} does not let us in. Correct the user and the password in REDIS_URL."
        case RedisConnectionError() | RedisTimeoutError() | OSError():
            return f"Cannot reach Redis at {where}: {text.rstrip('.')}. Start it, or correct REDIS_URL."
        case OutOfMemoryError():
            return f"Redis at {where} is full and takes no writes ({text}). Give it memory; nothing was lost."
        case ReadOnlyError():
            return f"Redis at {where} is a read-only replica. Point REDIS_URL at the primary."
        case _:
            return f"Redis at {where} refused: {text}"
