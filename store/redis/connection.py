"""The connection to Redis: opens the client and runs scripts.

Every call has a time limit, and every failure is a StoreUnavailable, in the words of `store.redis.explaining`. This
module knows no thread and no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import str_if_bytes

from store.base import NotReplicated, Server, StoreAway, StoreUnavailable, boot_seconds
from store.redis.explaining import cannot_write, explained, is_away
from store.redis.facts import ServerFacts, read_facts
from store.redis.scripts import Script

CONNECTIONS_MAX = 512
HELD_MAX = 64
"""Connections kept out of the pool for the next calls, and at most half of the pool."""
COMMAND_SECONDS = 10.0
"""How long a command may take, if nobody says otherwise."""

Confirmation = Literal["", "disk", "replica"]
"""What is waited for after a write that something outside will follow: nothing more than the server's answer, its disk,
or one replica."""

_Call = Callable[[redis.asyncio.Connection], Awaitable[Any]]


class Connection:
    """Open it with `Connection.open`, close it with `aclose`."""

    def __init__(
        self,
        url: str,
        command_seconds: float,
        why_away: Callable[[], str] | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """Raises StoreUnavailable if it is not a URL of Redis."""
        self.url = url
        """It may hold a password."""
        self.where = where = _without_password(url)
        """The URL without its password, for people."""
        self.command_seconds = command_seconds
        self.server = Server("", boot_seconds())
        self.why_away = why_away
        try:
            # Blocking: when all connections are in use, a call waits for one instead of failing.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=connections_max,
                timeout=command_seconds,
                # `errors` sets the time limit. redis-py's own uses asyncio.wait_for, which up to Python 3.11 can
                # swallow a cancellation and costs a task for each command.
                socket_timeout=None,
                socket_connect_timeout=command_seconds,
                redis_connect_func=self._connected,
                # Every script may be run twice: see `store.redis.scripts`.
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
                retry_on_error=[RedisConnectionError, RedisTimeoutError, BusyLoadingError],
            )
        except ValueError:
            raise StoreUnavailable(_not_a_url(where)) from None
        self.client = redis.asyncio.Redis.from_pool(pool)
        self._held: list[redis.asyncio.Connection] = []
        self._held_max = min(HELD_MAX, pool.max_connections // 2)

    @classmethod
    async def open(
        cls, url: str, command_seconds: float = COMMAND_SECONDS, why_away: Callable[[], str] | None = None
    ) -> Self:
        """Connects and asks for a PING. Raises StoreUnavailable.

        `why_away`: says why the server does not answer, if the caller knows more about it than this module.
        """
        opened = cls(url, command_seconds, why_away)
        try:
            async with opened.errors():
                await opened._is_ready()
        except StoreUnavailable:
            await opened.aclose()
            raise
        except TypeError:  # a parameter of the URL that no connection knows
            await opened.aclose()
            raise StoreUnavailable(_not_a_url(opened.where)) from None
        return opened

    def beside(self, connections_max: int) -> Connection:
        """Another pool to the same server, whose users cannot starve those of this one. It connects when it is used."""
        return Connection(self.url, self.command_seconds, self.why_away, connections_max)

    async def _connected(self, connection: redis.asyncio.Connection) -> None:
        """For every new connection: which server is it? After a failover it is another."""
        await connection.on_connect()
        for section in ("server", "replication"):
            await connection.send_command("INFO", section)
        info = ""
        for _ in range(2):
            with contextlib.suppress(ResponseError):  # an ACL may close INFO
                info += str_if_bytes(await connection.read_response())
        found = dict(re.findall(r"^(run_id|uptime_in_seconds|second_repl_offset):([\w-]+)", info, re.MULTILINE))
        run_id, promoted = found.get("run_id", ""), int(found.get("second_repl_offset", -1)) >= 0
        if (run_id, promoted) != (self.server.id, self.server.promoted):
            self.server = Server(run_id, boot_seconds() - float(found.get("uptime_in_seconds", 0)), promoted)

    async def _is_ready(self) -> None:
        try:
            await self.client.ping()
        except ResponseError as error:
            # A server with a full disk refuses even a PING, but lets us read.
            if not cannot_write(error):
                raise

    async def run(
        self,
        script: Script,
        keys: list[str],
        args: list[Any],
        confirm: Confirmation = "",
        is_written: Callable[[Any], bool] = lambda _: True,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Any:
        """Run a script in one round trip. Call it inside `errors`.

        `confirm`: raises NotReplicated if what was written (`is_written` sees that in the answer) is not confirmed in
        half of the time that a command may take. The script must write something, also when it runs a second time: only
        that is waited for.

        `meanwhile` is called while the server works. It may be called again, and must not raise.

        It packs the command itself: `execute_command`, which packs in Python, is half as slow again, and every step
        runs three scripts.
        """
        command = hiredis.pack_command(("EVALSHA", script.sha, len(keys), *keys, *args))

        async def call(connection: redis.asyncio.Connection) -> Any:
            try:
                [answer] = await _ask(connection, command, meanwhile=meanwhile)
            except NoScriptError:
                [answer] = await _ask(connection, hiredis.pack_command(("EVAL", script.text, len(keys), *keys, *args)))
            if confirm and is_written(answer):
                await self._confirmed(connection, confirm)
            return answer

        return await self._on_a_connection(call)

    async def run_commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run commands that only read, in one round trip. Call it inside `errors`."""
        packed = b"".join(hiredis.pack_command(command) for command in commands)
        answers: list[Any] = await self._on_a_connection(lambda connection: _ask(connection, packed, len(commands)))
        return answers

    async def _on_a_connection(self, call: _Call) -> Any:
        """Call on a held connection if there is one: a way through the pool and the retries costs as much as the call.

        If it is broken, call on one from the pool, with retries, and hold that one. A connection from which not every
        reply was read is closed: the next call would read them.
        """
        if self._held:
            connection = self._held.pop()
            try:
                answer = await call(connection)
            except (RedisConnectionError, RedisTimeoutError, OSError):
                await self._close(connection)
            except ReadOnlyError:
                # It became a replica. A new connection may lead to the primary.
                await self._close(connection)
                raise
            except (ResponseError, NotReplicated):
                self._held.append(connection)
                raise
            except BaseException:  # It may be cancelled in the middle of a reply.
                await self._close(connection)
                raise
            else:
                self._held.append(connection)
                return answer
        return await self._on_a_pooled_connection(call)

    async def _on_a_pooled_connection(self, call: _Call) -> Any:
        pool = self.client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            answer = await connection.retry.call_with_retry(
                lambda: call(connection), lambda error: connection.disconnect()
            )
        except ReadOnlyError:
            await self._close(connection)
            raise
        except BaseException:
            await pool.release(connection)
            raise
        if len(self._held) < self._held_max:
            self._held.append(connection)
        else:
            await pool.release(connection)
        return answer

    async def _close(self, connection: redis.asyncio.Connection) -> None:
        """Close it and give it back to the pool, which opens it again when it is needed."""
        try:
            await connection.disconnect(nowait=True)
        finally:
            await self.client.connection_pool.release(connection)

    async def _confirmed(self, connection: redis.asyncio.Connection, confirm: Confirmation) -> None:
        millis = int(self.command_seconds * 500)
        waits: tuple[Any, ...] = ("WAITAOF", 1, 0, millis) if confirm == "disk" else ("WAIT", 1, millis)
        try:
            [answer] = await _ask(connection, hiredis.pack_command(waits))
        except ResponseError as error:
            raise NotReplicated(f"Redis at {self.where} cannot confirm by its {confirm}: {error}.") from error
        if (answer[0] if isinstance(answer, list) else answer) < 1:
            raise NotReplicated(f"The {confirm} of Redis at {self.where} did not confirm the write in time.")

    async def time(self) -> float:
        """The server's clock, seconds since the epoch. It may answer while it is loading. Raises StoreUnavailable."""
        async with self.errors():
            seconds, micros = await self.client.time()
        return float(seconds + micros / 1e6)

    async def facts(self) -> ServerFacts:
        """How the server is set up. Raises StoreUnavailable."""
        async with self.errors():
            return await read_facts(self.client)

    def errors(self) -> _Errors:
        """Turns every failure into StoreUnavailable, and limits the block to the time of a command."""
        return _Errors(self)

    def unavailable(self, error: RedisError | OSError) -> StoreUnavailable:
        text = explained(error, self.where, self.command_seconds)
        if not is_away(error):
            return StoreUnavailable(text)
        if self.why_away and not isinstance(error, BusyLoadingError):
            text = self.why_away()
        return StoreAway(text)

    async def aclose(self) -> None:
        while self._held:
            await self._close(self._held.pop())
        await self.client.aclose()


class _Errors:
    """A class and no generator: every call of the store enters it."""

    __slots__ = ("_connection", "_limit")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._limit = asyncio.timeout(connection.command_seconds)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            error = late
        if isinstance(error, RedisError | OSError):
            raise self._connection.unavailable(error) from error


async def _ask(
    connection: redis.asyncio.Connection,
    packed: bytes,
    replies: int = 1,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Any]:
    """Reads every reply, also after one that is an error."""
    await connection.send_packed_command([packed], check_health=False)
    meanwhile()
    answers: list[Any] = []
    refused: ResponseError | None = None
    for _ in range(replies):
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            refused = refused or error
    if refused:
        raise refused
    return answers


_SCHEME = re.compile(r"^\w+://")


def _without_password(url: str) -> str:
    """Works on the text: a URL parser would stop at an unescaped `/` or `?` in the password."""
    rest = _SCHEME.sub("", url)
    scheme = url.removesuffix(rest)
    rest, _, parameters = rest.partition("?")
    return f"{scheme}…" if "@" in parameters else scheme + rest.rpartition("@")[2]


def _not_a_url(where: str) -> str:
    return (
        f"REDIS_URL {where!r} is not a Redis URL. It begins with redis://, rediss:// or unix://; "
        "in a password, / ? # and @ are written %2F %3F %23 %40."
    )
