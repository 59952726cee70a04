"""Watches a mailbox and passes each new mail to `channels.email.inbound`, at least once.

The read position (UIDVALIDITY and UID) is kept in the store, and advances only after a mail's event is durable. After
a crash, or if several processes watch the mailbox, a mail is passed on twice with the same event id. Mail that was
accepted is marked as read; mail that was ignored stays unread. Nothing is ever deleted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

import structlog

from channels.email.imap import PACE, Fetched, ImapConnection, ImapError, MailUnreadable, Pace, Selected, connected
from channels.email.servers import MailServer
from store.base import StoreUnavailable

log = structlog.get_logger(__name__)

RECONNECT_SECONDS_MAX = 60.0
STORE_RETRY_SECONDS = 2.0
READ_TRIES = 3
"""Attempts to fetch a mail, each on a new connection."""
LOOK_BACK_DAYS = 2
"""If the mailbox was rebuilt (its UIDVALIDITY changed), mail since this long before the last poll is read again."""

FirstStart = Literal["new", "unread", "all"]
"""What to read at the very first start: mail from now on, unread mail, or everything."""


class Notes(Protocol):
    """As in `store.base.Store`."""

    async def get_note(self, name: str) -> str: ...

    async def set_note(self, name: str, text: str, *, expected: str) -> bool: ...


ReceiveMail = Callable[[Fetched], Awaitable[bool]]
"""True: the mail is durable. False: it is ignored. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class ReadPosition:
    validity: int
    uid: int
    """All mail up to this UID was read."""
    day: str
    """The day of the last poll, ISO 8601."""

    def __str__(self) -> str:
        return json.dumps([self.validity, self.uid, self.day])

    @classmethod
    def parse(cls, text: str) -> ReadPosition | None:
        return cls(*json.loads(text)) if text else None


def _now() -> datetime:
    return datetime.now(UTC)


class Mailbox:
    def __init__(
        self,
        server: MailServer,
        notes: Notes,
        receive: ReceiveMail,
        *,
        first_start: FirstStart = "new",
        pace: Pace = PACE,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._server = server
        self._notes = notes
        self._receive = receive
        self._first_start = first_start
        self._pace = pace
        self._clock = clock
        self._name = f"email/{server.user}@{server.where}/{server.folder}"
        self._failures: dict[int, int] = {}
        """Failed fetches of a mail, by UID."""
        self.listening = asyncio.Event()
        """Set while the mailbox is being watched."""

    async def watch(self) -> None:
        """Runs until it is cancelled, and reconnects after every failure."""
        failures = 0
        while True:
            try:
                async with connected(self._server, self._pace) as connection:
                    async for _ in self._polls(connection):
                        failures = 0
            except ImapError as error:
                failures += 1
                delay = min(2.0 ** (failures - 1), RECONNECT_SECONDS_MAX)
                log.warning("mailbox_lost", where=self._server.where, error=str(error), again_in_seconds=delay)
            except StoreUnavailable as error:
                delay = STORE_RETRY_SECONDS
                log.warning("mail_waits_for_store", error=str(error), again_in_seconds=delay)
            except Exception:
                # A bug of ours must not stop the mailbox from being read until the next start.
                delay = RECONNECT_SECONDS_MAX
                log.exception("mailbox_not_understood", where=self._server.where, again_in_seconds=delay)
            finally:
                self.listening.clear()
            await asyncio.sleep(delay)

    async def _polls(self, connection: ImapConnection) -> AsyncIterator[None]:
        selected = await connection.select()
        while True:
            await self.catch_up(connection, selected)
            self.listening.set()
            yield
            if connection.has_idle:
                await connection.idle()
            else:
                await connection.poll_pause()

    async def catch_up(self, connection: ImapConnection, selected: Selected) -> None:
        """Read all mail that was not read yet, oldest first."""
        known = await self._notes.get_note(self._name)
        position = ReadPosition.parse(known)
        if not position or position.validity != selected.validity:
            uids = await (
                self._uids_after_rebuild(connection, position) if position else self._uids_at_first_start(connection)
            )
            for uid in uids:
                await self._read(connection, uid)
            # Save the position only now: after a crash, the same choice of mails must be made again.
            last = max(*uids, selected.next_uid - 1) if uids else selected.next_uid - 1
            known, position = await self._advance(known, ReadPosition(selected.validity, last, self._today()))
        # Repeat until there is no new mail: IDLE does not announce mail that arrived while we were reading.
        while uids := await connection.uids_after(position.uid):
            for uid in uids:
                await self._read(connection, uid)
                known, position = await self._advance(known, replace(position, uid=max(uid, position.uid)))

    async def _uids_at_first_start(self, connection: ImapConnection) -> list[int]:
        match self._first_start:
            case "new":
                uids = []
            case "unread":
                uids = await connection.search("UNSEEN")
            case "all":
                uids = await connection.search("ALL")
        log.info("mailbox_first_seen", folder=self._server.folder, reads=len(uids))
        return uids

    async def _uids_after_rebuild(self, connection: ImapConnection, before: ReadPosition) -> list[int]:
        since = datetime.fromisoformat(before.day) - timedelta(days=LOOK_BACK_DAYS)
        uids = await connection.search(f"SINCE {since.day}-{_MONTHS[since.month - 1]}-{since.year}")
        log.warning("mailbox_made_anew", folder=self._server.folder, reads_again=len(uids))
        return uids

    async def _read(self, connection: ImapConnection, uid: int) -> None:
        try:
            mail = await connection.fetch(uid)
        except MailUnreadable as error:
            self._failures[uid] = self._failures.get(uid, 0) + 1
            if self._failures[uid] < READ_TRIES:
                raise ImapError(str(error)) from error
            # Leave the mail unread, so that it does not block all later mail.
            log.error("mail_not_readable", uid=uid, error=str(error), tries=self._failures.pop(uid))
            return
        if mail is None:
            log.info("mail_gone", uid=uid)
        elif await self._receives(mail):
            await connection.mark_seen(uid)

    async def _receives(self, mail: Fetched) -> bool:
        try:
            return await self._receive(mail)
        except StoreUnavailable:
            raise
        except Exception:
            # A bug of ours must not block all later mail. This one stays unread, for a person to look at.
            log.exception("mail_not_understood", uid=mail.uid, size_bytes=mail.size_bytes)
            return False

    async def _advance(self, known: str, position: ReadPosition) -> tuple[str, ReadPosition]:
        """Save the position, unless another process has saved a later one. It never moves back."""
        while True:
            position = replace(position, day=self._today())
            if known == str(position) or await self._notes.set_note(self._name, str(position), expected=known):
                return str(position), position
            known = await self._notes.get_note(self._name)
            theirs = ReadPosition.parse(known)
            if theirs and theirs.validity == position.validity and theirs.uid >= position.uid:
                return known, theirs

    def _today(self) -> str:
        return self._clock().date().isoformat()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""The names of RFC 3501; `strftime` would follow the locale."""
