"""One IMAP connection, by aioimaplib, with a guard around each of the library's weak points (2.0.3):

- a broken connection resolves no pending call, so each waits for the loss of the connection as well;
- a call that times out leaves the connection unusable: whatever goes wrong, it is dropped and made anew;
- a refused login or SELECT raises nothing: every answer's status is looked at;
- what arrives together with the end of IDLE is dropped: IDLE only says when to look, and one looks by UID;
- `idle_start` may hang and its wait may sleep for 29 minutes: both are bounded, by `Pace`;
- it recurses once for each line of one read: mails are fetched one at a time;
- it takes `* ` out of untagged lines: only literals are read (`BODY.PEEK[]`), beside numbers.

TLS goes through `IMAP4`, which takes a context as well as the callback for a lost connection; `IMAP4_SSL` does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import aioimaplib
import structlog

from channels.base import ChannelUnavailable
from channels.email.servers import MailServer
from store.text import one_line

log = structlog.get_logger(__name__)

LOGOUT_SECONDS_MAX = 3.0
FETCH_SECONDS_MAX = 1_800.0
MAIL_BYTES_MAX = 10_000_000
"""Of a larger mail, so much is read; most have their text at the beginning."""

_FETCHED = re.compile(rb"\d+ FETCH \(.*", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds."""

    call: float = 30.0
    """The longest that a server may take to answer, beside sending a mail."""
    fetch: float = 120.0
    """The longest silence while it sends a mail."""
    idle: float = 60.0
    """How long one IDLE lasts, and so how late a mail may be seen whose notice got lost."""
    poll: float = 10.0
    """Between two looks, where the server has no IDLE."""


PACE = Pace()


class ImapError(Exception):
    """The connection is of no use any more. One line."""


class MailUnreadable(Exception):
    """The connection is good, and the server does not give this mail. One line."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The folder as it is now."""

    validity: int
    """UIDVALIDITY: UIDs mean something only together with it."""
    next_uid: int


@dataclass(frozen=True, slots=True)
class Fetched:
    uid: int
    raw: bytes
    size_bytes: int
    """Of the whole mail, which may be more than was read."""


class ImapConnection:
    """Use `connected`. Every method raises ImapError, and the connection is to be closed then."""

    def __init__(self, server: MailServer, pace: Pace) -> None:
        self._server = server
        self._pace = pace
        self._takes_idle = True
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client = aioimaplib.IMAP4(
            host=server.host,
            port=server.port,
            timeout=pace.fetch,
            conn_lost_cb=self._on_lost,
            ssl_context=server.tls(),
        )

    async def log_in(self) -> None:
        await self._call("connecting", self._client.wait_hello_from_server())
        await self._ok("logging in", self._client.login(_quoted(self._server.user), self._server.password))
        # The server may offer more to those whom it knows.
        await self._call("CAPABILITY", self._client.protocol.capability())

    @property
    def has_idle(self) -> bool:
        return bool(self._client.has_capability("IDLE")) and self._takes_idle

    async def select(self) -> Selected:
        lines = await self._ok("SELECT", self._client.select(_quoted(self._server.folder)))
        told = b"\n".join(bytes(line) for line in lines)
        validity = re.search(rb"UIDVALIDITY (\d+)", told)
        next_uid = re.search(rb"UIDNEXT (\d+)", told)
        if not validity:
            raise ImapError(f"the folder {self._server.folder!r} has no UIDVALIDITY")
        if next_uid:
            return Selected(int(validity[1]), int(next_uid[1]))
        return Selected(int(validity[1]), max(await self.search("ALL"), default=0) + 1)

    async def search(self, criteria: str) -> list[int]:
        """UIDs, in order."""
        lines = await self._ok("SEARCH", self._client.uid_search(criteria, charset=None))
        found = set[int]()
        for line in lines:
            words = bytes(line).split()
            if words[:1] == [b"SEARCH"]:
                words = words[1:]
            if all(word.isdigit() for word in words):
                found.update(int(word) for word in words)
        return sorted(found)

    async def since(self, uid: int) -> list[int]:
        """UIDs beyond this one."""
        # `n:*` always names the newest one, also where that is older.
        return [found for found in await self.search(f"UID {uid + 1}:*") if found > uid]

    async def fetch(self, uid: int) -> Fetched | None:
        """None: it is not there any more. Raises MailUnreadable where the server has it and does not give it."""
        parts = f"(UID RFC822.SIZE BODY.PEEK[]<0.{MAIL_BYTES_MAX}>)"
        # The client's own limit is one of silence, so that a long mail may come slowly.
        answer = await self._call("FETCH", self._client.uid("fetch", str(uid), parts), FETCH_SECONDS_MAX)
        if answer.result != "OK":
            raise MailUnreadable(f"FETCH {uid}: the server says {answer.result} {_last_words(answer)}")
        # The server may tell of other mails in between. A literal comes as a bytearray, all else as bytes.
        told, literal = b"", None
        is_there = False
        for line in answer.lines[:-1]:
            if isinstance(line, bytearray):
                literal = bytes(line)
            elif _FETCHED.match(line):
                told, literal = bytes(line), None
            else:
                told += b" " + bytes(line)
            found = _UID.search(told)
            is_ours = bool(found) and int(found[1]) == uid if found else False
            is_there = is_there or is_ours
            if is_ours and literal is not None:
                size = _SIZE.search(told)
                return Fetched(uid, literal, int(size[1]) if size else len(literal))
        if is_there:
            raise MailUnreadable(f"FETCH {uid}: the server gives no body")
        return None

    async def mark_seen(self, uid: int) -> None:
        """For people who look into the mailbox; a server that does not let us is told of in the log."""
        answer = await self._call("STORE", self._client.uid("store", str(uid), "+FLAGS.SILENT", r"(\Seen)"))
        if answer.result != "OK":
            log.info("mail_not_marked", uid=uid, answer=f"{answer.result} {_last_words(answer)}")

    async def idle(self) -> None:
        """Returns when something may have happened, and after `Pace.idle` at the latest."""
        seconds = self._pace.idle
        try:
            idling = await self._call("IDLE", self._client.idle_start(timeout=seconds + self._pace.call))
        except ImapError as error:
            if isinstance(error.__cause__, aioimaplib.Abort) and not self._lost.done():
                self._takes_idle = False  # it offers it, and refuses: from now on we ask
                return
            raise
        try:
            with contextlib.suppress(TimeoutError):
                await self._or_lost(asyncio.wait_for(self._client.wait_server_push(), seconds))
        finally:
            if self._client.has_pending_idle() and not self._lost.done():
                with contextlib.suppress(RuntimeError, OSError):  # uvloop writes to no transport that is closed
                    self._client.idle_done()
        await self._call("the end of IDLE", idling)
        if self._lost.done():
            raise ImapError(self._lost.result())
        self._drop_old_pushes()

    async def rest(self) -> None:
        """As `idle`, for a server that has none."""
        with contextlib.suppress(TimeoutError):
            await self._or_lost(asyncio.wait_for(asyncio.Event().wait(), self._pace.poll))

    async def close(self, *, politely: bool) -> None:
        if politely:
            with contextlib.suppress(ImapError):
                await self._call("LOGOUT", self._client.logout(), LOGOUT_SECONDS_MAX)
        if transport := self._client.protocol.transport:
            transport.abort()
        task = self._client._client_task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _drop_old_pushes(self) -> None:
        queue = self._client.protocol.idle_queue
        while not queue.empty():
            queue.get_nowait()

    def _on_lost(self, error: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(one_line(str(error or ""), 200) or "the server closed the connection")

    async def _ok(self, what: str, call: Awaitable[Any], seconds: float = 0.0) -> list[Any]:
        answer = await self._call(what, call, seconds)
        if answer.result != "OK":
            raise ImapError(f"{what}: the server says {answer.result} {_last_words(answer)}")
        return list(answer.lines)

    async def _call(self, what: str, call: Awaitable[T], seconds: float = 0.0) -> T:
        seconds = seconds or self._pace.call
        try:
            async with asyncio.timeout(seconds):
                return await self._or_lost(call)
        except TimeoutError:
            raise ImapError(f"{what}: no answer within {seconds:g} s") from None
        except ImapError as error:
            raise ImapError(f"{what}: {error}") from None
        except (aioimaplib.AioImapException, OSError, ValueError, RuntimeError) as error:
            raise ImapError(f"{what}: {one_line(str(error), 200) or type(error).__name__}") from error

    async def _or_lost(self, call: Awaitable[T]) -> T:
        task = asyncio.ensure_future(call)
        try:
            futures: set[asyncio.Future[Any]] = {task, self._lost}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ImapError(self._lost.result())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(server: MailServer, pace: Pace = PACE) -> AsyncIterator[ImapConnection]:
    """A connection that is logged in. Raises ImapError."""
    connection = ImapConnection(server, pace)
    politely = False
    try:
        await connection.log_in()
        yield connection
        politely = True
    finally:
        await connection.close(politely=politely)


async def check(server: MailServer) -> str:
    """What `bot doctor` says of it. Raises ChannelUnavailable."""
    try:
        async with connected(server) as connection:
            await connection.select()
            pushes = (
                "tells of new mail at once" if connection.has_idle else "has no IDLE, so it is asked every now and then"
            )
            secured = "without TLS" if server.security == "none" else "with TLS, and the certificate is good"
            return f"the folder {server.folder!r} opens, {secured}; the server {pushes}."
    except ImapError as error:
        raise ChannelUnavailable(f"IMAP at {server.where}: {error}. Correct IMAP_URL.") from None


def _last_words(answer: Any) -> str:
    return one_line(b" ".join(bytes(line) for line in answer.lines[-1:]).decode(errors="replace"), 200)


def _quoted(text: str) -> str:
    """The library quotes a password, and no user and no folder."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
