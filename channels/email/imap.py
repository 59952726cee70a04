"""One IMAP connection. It wraps aioimaplib 2.0.3 and guards against each of the library's weaknesses:

- A lost connection does not end a pending call, so every call also waits for the loss of the connection.
- A call that timed out leaves the connection unusable, so after any error the connection is closed.
- A refused login or SELECT raises nothing, so the status of every response is checked.
- A push that arrives with the end of IDLE is lost, so IDLE only says when to poll, and polling goes by UID.
- `idle_start` may hang, and its wait may last 29 minutes, so `Pace` bounds both.
- The parser recurses once per line of a read, so mails are fetched one at a time.
- The parser strips `* ` from untagged lines, so only literals (`BODY.PEEK[]`) and numbers are read.
- A server that refuses an access token first says why, and waits: `TokenLogin` answers it.

TLS uses `IMAP4`, which accepts both an SSL context and a callback for a lost connection; `IMAP4_SSL` does not.
This module never decides what to do with a mail, and it never reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aioimaplib
import structlog

from channels.base import ChannelUnavailable
from channels.email.remembered import FIELDS, HEAD_BYTES_MAX, fingerprint_of
from channels.email.servers import AccessTokens, LoginRefused, MailServer, TokenUnavailable
from channels.email.xoauth2 import TokenLogin
from store.text import one_line

log = structlog.get_logger(__name__)

LOGOUT_SECONDS_MAX = 3.0
FETCH_SECONDS_MAX = 1_800.0
MAIL_BYTES_MAX = 10_000_000
"""A larger mail is read up to here; its text usually comes first."""

HEADS_AT_ONCE = 25
"""The parser recurses once per line of a response, so not all heads are fetched at once."""
_HEAD_FIELDS = " ".join(FIELDS).upper()

_FETCHED = re.compile(rb"\d+ FETCH \(.*", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """Timeouts and intervals, in seconds."""

    call: float = 30.0
    """Timeout of any call but FETCH."""
    fetch: float = 120.0
    """Longest silence during a FETCH."""
    idle: float = 60.0
    """Duration of one IDLE: if a push is lost, the mail is found after this long."""
    poll: float = 10.0
    """Polling interval if the server does not support IDLE."""
    login: float = 5.0
    """Between two looks for a new login, where the old one is refused. Each is a read of the store."""


PACE = Pace()


class ImapError(Exception):
    """The connection is unusable. The message is one line."""


class ImapLoginRefused(ImapError):
    """The server does not let us in."""


class MailUnreadable(Exception):
    """The connection works, but the server does not return this mail. The message is one line."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The state of the folder at SELECT."""

    validity: int
    """UIDVALIDITY. UIDs are comparable only while it stays the same."""
    next_uid: int


@dataclass(frozen=True, slots=True)
class Fetched:
    uid: int
    raw: bytes
    size_bytes: int
    """Size of the whole mail; `raw` may be shorter."""
    validity: int = 0
    """UIDVALIDITY of its folder."""


class ImapConnection:
    """Made by `connected`. Every method raises ImapError, after which the connection must be closed."""

    def __init__(self, server: MailServer, pace: Pace) -> None:
        self._server = server
        self._pace = pace
        self._idle_refused = False
        self._validity = 0
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client = aioimaplib.IMAP4(
            host=server.host,
            port=server.port,
            timeout=pace.fetch,
            conn_lost_cb=self._on_lost,
            ssl_context=server.tls(),
        )

    async def log_in(self) -> None:
        """Raises LoginRefused too, where the server is opened with access tokens."""
        await self._call("connecting", self._client.wait_hello_from_server())
        if self._server.tokens:
            await self._log_in_by_token(self._server.tokens)
        else:
            answer = await self._call(
                "logging in", self._client.login(_quoted(self._server.user), self._server.password)
            )
            if answer.result != "OK":
                raise ImapLoginRefused(f"logging in: the server says {answer.result} {_status_text(answer)}")
        # The server may offer more capabilities after the login.
        await self._call("CAPABILITY", self._client.protocol.capability())

    async def _log_in_by_token(self, tokens: AccessTokens) -> None:
        try:
            token = await tokens.token()
        except TokenUnavailable as error:
            raise ImapError(f"no access token: {error}") from error
        login = TokenLogin(self._client.protocol, self._server.user, token)
        answer = await self._call("logging in", login.run())
        if answer.result != "OK":
            tokens.rejected(token)
            said = f"{answer.result} {_status_text(answer)}{login.reason and f' ({login.reason})'}"
            raise ImapLoginRefused(f"logging in as {self._server.user}: the server says {said}")

    @property
    def has_idle(self) -> bool:
        return bool(self._client.has_capability("IDLE")) and not self._idle_refused

    async def select(self) -> Selected:
        lines = await self._ok("SELECT", self._client.select(_quoted(self._server.folder)))
        response = b"\n".join(bytes(line) for line in lines)
        validity = re.search(rb"UIDVALIDITY (\d+)", response)
        next_uid = re.search(rb"UIDNEXT (\d+)", response)
        if not validity:
            raise ImapError(f"the folder {self._server.folder!r} has no UIDVALIDITY")
        self._validity = int(validity[1])
        if next_uid:
            return Selected(self._validity, int(next_uid[1]))
        return Selected(self._validity, max(await self.search("ALL"), default=0) + 1)

    async def search(self, criteria: str) -> list[int]:
        """The UIDs found, in ascending order."""
        lines = await self._ok("SEARCH", self._client.uid_search(criteria, charset=None))
        found = set[int]()
        for line in lines:
            words = bytes(line).split()
            if words[:1] == [b"SEARCH"]:
                words = words[1:]
            if all(word.isdigit() for word in words):
                found.update(int(word) for word in words)
        return sorted(found)

    async def uids_after(self, uid: int) -> list[int]:
        # `n:*` always includes the newest mail, even if its UID is below n.
        return [found for found in await self.search(f"UID {uid + 1}:*") if found > uid]

    async def fetch(self, uid: int) -> Fetched | None:
        """None: the mail is gone. Raises MailUnreadable if it exists but the server does not return it."""
        parts = f"(UID RFC822.SIZE BODY.PEEK[]<0.{MAIL_BYTES_MAX}>)"
        # `Pace.fetch` limits only the silence: a large mail may take long.
        answer = await self._call("FETCH", self._client.uid("fetch", str(uid), parts), FETCH_SECONDS_MAX)
        if answer.result != "OK":
            raise MailUnreadable(f"FETCH {uid}: the server says {answer.result} {_status_text(answer)}")
        exists = False
        for found, response, literal in _fetched(answer.lines[:-1]):
            if found != uid:
                continue  # Responses about other mails may come in between.
            exists = True
            if literal is not None:
                size = _SIZE.search(response)
                return Fetched(uid, literal, int(size[1]) if size else len(literal), self._validity)
        if exists:
            raise MailUnreadable(f"FETCH {uid}: the server gives no body")
        return None

    async def fingerprints(self, uids: Sequence[int]) -> dict[int, str]:
        """By UID. A mail is left out if it is gone, or if the server does not return its head."""
        found = await self._heads(uids, f"HEADER.FIELDS ({_HEAD_FIELDS})")
        return {uid: fingerprint_of(head) for uid, head in found.items()}

    async def heads(self, uids: Sequence[int]) -> dict[int, bytes]:
        """All headers of each mail, up to HEAD_BYTES_MAX, by UID. A mail is left out as in `fingerprints`."""
        return await self._heads(uids, "HEADER")

    async def _heads(self, uids: Sequence[int], section: str) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for at in range(0, len(uids), HEADS_AT_ONCE):
            asked = ",".join(map(str, uids[at : at + HEADS_AT_ONCE]))
            parts = f"(UID BODY.PEEK[{section}]<0.{HEAD_BYTES_MAX}>)"
            answer = await self._call("FETCH", self._client.uid("fetch", asked, parts), FETCH_SECONDS_MAX)
            if answer.result != "OK":
                raise ImapError(f"FETCH of heads: the server says {answer.result} {_status_text(answer)}")
            found |= {uid: head for uid, _, head in _fetched(answer.lines[:-1]) if head is not None}
        return {uid: found[uid] for uid in uids if uid in found}

    async def mark_seen(self, uid: int) -> None:
        """Mark the mail as read, for people who open the mailbox. If the server refuses, this only logs it."""
        answer = await self._call("STORE", self._client.uid("store", str(uid), "+FLAGS.SILENT", r"(\Seen)"))
        if answer.result != "OK":
            log.info("mail_not_marked", uid=uid, answer=f"{answer.result} {_status_text(answer)}")

    async def delete(self, uid: int) -> None:
        """Remove one mail. If the server can only remove all mails marked as deleted, it stays, marked.

        Raises ImapError also if the server refuses.
        """
        await self._ok("STORE", self._client.uid("store", str(uid), "+FLAGS.SILENT", r"(\Seen \Deleted)"))
        if self._client.has_capability("UIDPLUS"):
            await self._ok("EXPUNGE", self._client.uid("expunge", str(uid)))

    async def idle(self) -> None:
        """Wait for a push from the server, for at most `Pace.idle`. Spurious returns are possible."""
        seconds = self._pace.idle
        try:
            idling = await self._call("IDLE", self._client.idle_start(timeout=seconds + self._pace.call))
        except ImapError as error:
            if isinstance(error.__cause__, aioimaplib.Abort) and not self._lost.done():
                self._idle_refused = True  # the server advertises IDLE but refuses it: poll from now on
                return
            raise
        try:
            with contextlib.suppress(TimeoutError):
                await self._unless_lost(asyncio.wait_for(self._client.wait_server_push(), seconds))
        finally:
            if self._client.has_pending_idle() and not self._lost.done():
                with contextlib.suppress(RuntimeError, OSError):  # uvloop raises if the transport is closed
                    self._client.idle_done()
        await self._call("the end of IDLE", idling)
        if self._lost.done():
            raise ImapError(self._lost.result())
        self._drop_old_pushes()

    async def poll_pause(self) -> None:
        """Wait for `Pace.poll`, on a server without IDLE."""
        with contextlib.suppress(TimeoutError):
            await self._unless_lost(asyncio.wait_for(asyncio.Event().wait(), self._pace.poll))

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
            raise ImapError(f"{what}: the server says {answer.result} {_status_text(answer)}")
        return list(answer.lines)

    async def _call(self, what: str, call: Awaitable[T], seconds: float = 0.0) -> T:
        seconds = seconds or self._pace.call
        try:
            async with asyncio.timeout(seconds):
                return await self._unless_lost(call)
        except TimeoutError:
            raise ImapError(f"{what}: no answer within {seconds:g} s") from None
        except ImapError as error:
            raise ImapError(f"{what}: {error}") from None
        except (aioimaplib.AioImapException, OSError, ValueError, RuntimeError) as error:
            raise ImapError(f"{what}: {one_line(str(error), 200) or type(error).__name__}") from error

    async def _unless_lost(self, call: Awaitable[T]) -> T:
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
    """A connection that has logged in. Raises ImapError, LoginRefused."""
    connection = ImapConnection(server, pace)
    politely = False
    try:
        await connection.log_in()
        yield connection
        politely = True
    finally:
        await connection.close(politely=politely)


async def check(server: MailServer) -> str:
    """A status line for `bot doctor`. Raises ChannelUnavailable."""
    try:
        async with connected(server) as connection:
            await connection.select()
            pushes = "supports IDLE" if connection.has_idle else f"does not support IDLE: polled every {PACE.poll:g} s"
            secured = "without TLS" if server.security == "none" else "with TLS and a valid certificate"
            return f"the folder {server.folder!r} opens {secured}; the server {pushes}."
    except LoginRefused as error:
        raise ChannelUnavailable(str(error)) from None
    except ImapLoginRefused as error:
        remedy = (
            "Is that who logged in by `bot login email`, or a mailbox that the app may open?"
            if server.tokens
            else "Correct IMAP_URL."
        )
        raise ChannelUnavailable(f"IMAP at {server.where}: {error}. {remedy}") from None
    except ImapError as error:
        raise ChannelUnavailable(f"IMAP at {server.where}: {error}. Correct IMAP_URL.") from None


def _fetched(lines: Sequence[bytes | bytearray]) -> Iterator[tuple[int, bytes, bytes | None]]:
    """The UID of a mail, what is known of it so far and its literal, after each line in which its UID is known.

    The UID may stand before or after the literal. A literal is a bytearray, everything else is bytes.
    """
    response, literal = b"", None
    for line in lines:
        if isinstance(line, bytearray):
            literal = bytes(line)
        elif _FETCHED.match(line):
            response, literal = bytes(line), None
        else:
            response += b" " + bytes(line)
        if uid := _UID.search(response):
            yield int(uid[1]), response, literal


def _status_text(answer: Any) -> str:
    return one_line(b" ".join(bytes(line) for line in answer.lines[-1:]).decode(errors="replace"), 200)


def _quoted(text: str) -> str:
    """A quoted string for a user or a folder; the library quotes only the password."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
