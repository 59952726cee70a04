"""The way in: watches a mailbox, and hands over each new mail once it is sure to be kept.

How far it has read (UIDVALIDITY and UID) stands in the store, and moves on only after a mail's event is durable. So a
mail may be handed over twice, after a crash or by several processes that watch the same mailbox; it is the same event
then. Nothing is ever deleted: the mailbox keeps every mail as it came. What was taken in is marked as read; what is
left unread is what nobody answered, a robot's mail or a stranger's.
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
"""Each over a connection of its own."""
LOOK_BACK_DAYS = 2
"""Where a mailbox was made anew (another UIDVALIDITY), mail that came so long before the last look is read again."""

FirstStart = Literal["new", "unread", "all"]
"""What is read when there is no progress yet: what comes from now on, what is unread, or everything."""


class Notes(Protocol):
    """As in `store.base.Store`."""

    async def get_note(self, name: str) -> str: ...

    async def set_note(self, name: str, text: str, *, expected: str) -> bool: ...


Takes = Callable[[Fetched], Awaitable[bool]]
"""Durable when it returns. True: it was taken in. False: nobody will answer it."""


@dataclass(frozen=True, slots=True)
class Progress:
    validity: int
    uid: int
    """Everything up to it was read."""
    day: str
    """When that was, ISO."""

    def __str__(self) -> str:
        return json.dumps([self.validity, self.uid, self.day])

    @classmethod
    def parse(cls, text: str) -> Progress | None:
        return cls(*json.loads(text)) if text else None


def _now() -> datetime:
    return datetime.now(UTC)


class Mailbox:
    def __init__(
        self,
        server: MailServer,
        notes: Notes,
        take: Takes,
        *,
        first_start: FirstStart = "new",
        pace: Pace = PACE,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._server = server
        self._notes = notes
        self._take = take
        self._first_start = first_start
        self._pace = pace
        self._clock = clock
        self._name = f"email/{server.user}@{server.where}/{server.folder}"
        self._failures: dict[int, int] = {}
        """How often the server did not give a mail, by UID."""
        self.listening = asyncio.Event()
        """Set while it would hear of a new mail."""

    async def watch(self) -> None:
        """Goes on until it is cancelled, whatever becomes of the server."""
        failures = 0
        while True:
            try:
                async with connected(self._server, self._pace) as connection:
                    async for _ in self._looks(connection):
                        failures = 0
            except ImapError as error:
                failures += 1
                delay = min(2.0 ** (failures - 1), RECONNECT_SECONDS_MAX)
                log.warning("mailbox_lost", where=self._server.where, error=str(error), again_in_seconds=delay)
            except StoreUnavailable as error:
                delay = STORE_RETRY_SECONDS
                log.warning("mail_waits_for_store", error=str(error), again_in_seconds=delay)
            except Exception:
                # A mistake of ours; without this, nobody would read mail until the next start.
                delay = RECONNECT_SECONDS_MAX
                log.exception("mailbox_not_understood", where=self._server.where, again_in_seconds=delay)
            finally:
                self.listening.clear()
            await asyncio.sleep(delay)

    async def _looks(self, connection: ImapConnection) -> AsyncIterator[None]:
        selected = await connection.select()
        while True:
            await self.catch_up(connection, selected)
            self.listening.set()
            yield
            if connection.has_idle:
                await connection.idle()
            else:
                await connection.rest()

    async def catch_up(self, connection: ImapConnection, selected: Selected) -> None:
        """Everything that is there and was not read yet, oldest first."""
        known = await self._notes.get_note(self._name)
        progress = Progress.parse(known)
        if not progress or progress.validity != selected.validity:
            uids = await (self._anew(connection, progress) if progress else self._first(connection))
            for uid in uids:
                await self._read(connection, uid)
            # Only now: what was chosen to be read must not be everything that came since, if we die in the middle.
            last = max(*uids, selected.next_uid - 1) if uids else selected.next_uid - 1
            known, progress = await self._advance(known, Progress(selected.validity, last, self._today()))
        # Until there is none: what comes while we read, the server tells us then, and IDLE does not say it again.
        while uids := await connection.since(progress.uid):
            for uid in uids:
                await self._read(connection, uid)
                known, progress = await self._advance(known, replace(progress, uid=max(uid, progress.uid)))

    async def _first(self, connection: ImapConnection) -> list[int]:
        match self._first_start:
            case "new":
                uids = []
            case "unread":
                uids = await connection.search("UNSEEN")
            case "all":
                uids = await connection.search("ALL")
        log.info("mailbox_first_seen", folder=self._server.folder, reads=len(uids))
        return uids

    async def _anew(self, connection: ImapConnection, before: Progress) -> list[int]:
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
            # It stays there, unread. All that came after it must not wait for it for ever.
            log.error("mail_not_readable", uid=uid, error=str(error), tries=self._failures.pop(uid))
            return
        if mail is None:
            log.info("mail_gone", uid=uid)
        elif await self._taken(mail):
            await connection.mark_seen(uid)

    async def _taken(self, mail: Fetched) -> bool:
        try:
            return await self._take(mail)
        except StoreUnavailable:
            raise
        except Exception:
            # A mistake of ours must not keep all later mail out. This one stays unread, for a person to look at.
            log.exception("mail_not_understood", uid=mail.uid, size_bytes=mail.size_bytes)
            return False

    async def _advance(self, known: str, progress: Progress) -> tuple[str, Progress]:
        """Another process may have got further meanwhile; never back."""
        while True:
            progress = replace(progress, day=self._today())
            if known == str(progress) or await self._notes.set_note(self._name, str(progress), expected=known):
                return str(progress), progress
            known = await self._notes.get_note(self._name)
            theirs = Progress.parse(known)
            if theirs and theirs.validity == progress.validity and theirs.uid >= progress.uid:
                return known, theirs

    def _today(self) -> str:
        return self._clock().date().isoformat()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""RFC 3501's, whatever the locale says."""
