"""Watches a mailbox and passes each new mail to `channels.email.inbound`, at least once.

The read position (UIDVALIDITY and UID) is kept in the store, and advances only after a mail's event is durable. After
a crash, or if several processes watch the mailbox, a mail is passed on twice with the same event id. Mail that was
accepted is marked as read; mail that was ignored stays unread. This module never deletes anything.

If the mailbox was rebuilt (its UIDVALIDITY changed), `channels.email.remembered` says which mail is known. Up to
UNKNOWN_MAX unknown mails are read. More of them are probably old mail that was restored: none is read, and a person is
told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from channels.base import SendFailed
from channels.email.imap import (
    PACE,
    Fetched,
    ImapConnection,
    ImapError,
    ImapLoginRefused,
    MailUnreadable,
    Pace,
    Selected,
    connected,
)
from channels.email.oauth.telling import LoginNews, TellPerson
from channels.email.remembered import RememberedMail, fingerprint_of
from channels.email.servers import LoginRefused, MailServer
from store.base import NoteStore, StoreUnavailable

log = structlog.get_logger(__name__)

RECONNECT_SECONDS_MAX = 60.0
STORE_RETRY_SECONDS = 2.0
REFUSALS_TO_TELL = 5
"""So often in a row, over half a minute, the server refuses the login before a person is told."""
READ_TRIES = 3
"""Attempts to fetch a mail, each on a new connection."""
LOOK_BACK_DAYS = 2
"""After a rebuild, mail since this long before the last poll may be unknown."""
UNKNOWN_MAX = 10
"""If a rebuilt mailbox has more unknown mails, none of them is read."""
REMEMBERED_MAX = 5_000
"""The newest mails of those that the first start does not read."""

FirstStart = Literal["new", "unread", "all"]
"""What to read at the very first start: mail from now on, unread mail, or everything."""


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


@dataclass(frozen=True, slots=True)
class RebuildChoice:
    """What to read of a rebuilt mailbox. Kept in the store, so that every process and every restart does the same."""

    reads: tuple[int, ...]
    """UIDs."""
    left: int
    """How many unknown mails are not read."""
    is_told: bool
    """Whether a person knows of those that are left."""

    def __str__(self) -> str:
        return json.dumps([self.reads, self.left, self.is_told])

    @classmethod
    def parse(cls, text: str) -> RebuildChoice | None:
        if not text:
            return None
        reads, left, is_told = json.loads(text)
        return cls(tuple(reads), left, is_told)


def _now() -> datetime:
    return datetime.now(UTC)


class Mailbox:
    def __init__(
        self,
        server: MailServer,
        notes: NoteStore,
        receive: ReceiveMail,
        tell: TellPerson,
        *,
        first_start: FirstStart = "new",
        pace: Pace = PACE,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._server = server
        self._notes = notes
        self._receive = receive
        self._tell = tell
        self._first_start = first_start
        self._pace = pace
        self._clock = clock
        self._name = f"email/{server.user}@{server.where}/{server.folder}"
        self._remembered = RememberedMail(notes, self._name)
        self._login = LoginNews(notes, self._name, tell)
        self._remembers = False
        """Whether the mail that was there at the first start is remembered."""
        self._may_be_untold = True
        self._failures: dict[int, int] = {}
        """Failed fetches of a mail, by UID."""
        self.validity = 0
        """UIDVALIDITY of the folder, as it was last selected; 0: not yet."""
        self.listening = asyncio.Event()
        """Set while the mailbox is being watched."""

    async def watch(self) -> None:
        """Runs until it is cancelled, and reconnects after every failure."""
        failures = 0
        while True:
            try:
                async with connected(self._server, self._pace) as connection:
                    await self._login.over()
                    async for _ in self._polls(connection):
                        failures = 0
            except LoginRefused as error:
                delay = self._pace.login
                await self._login.refused(error.key, f"{error} Until then I read and send no mail; none is lost.")
            except ImapError as error:
                failures += 1
                if isinstance(error, ImapLoginRefused) and failures >= REFUSALS_TO_TELL:
                    text = f"IMAP at {self._server.where}: {error}. Until somebody repairs it, I read no mail."
                    await self._login.refused("imap", text)
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
        self.validity = selected.validity
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
        is_rebuilt = position is not None and position.validity != selected.validity
        if not is_rebuilt:
            await self._remember_what_is_there(connection, position)
        if not position or is_rebuilt:
            uids = await (
                self._uids_after_rebuild(connection, selected, position)
                if position
                else self._uids_at_first_start(connection)
            )
            for uid in uids:
                await self._read(connection, uid)
            # Save the position only now: after a crash, the same choice of mails must be made again.
            last = max(*uids, selected.next_uid - 1) if uids else selected.next_uid - 1
            known, position = await self._advance(known, ReadPosition(selected.validity, last, self._today()))
        await self._tell_of_left(selected)
        # Repeat until there is no new mail: IDLE does not announce mail that arrived while we were reading.
        while uids := await connection.uids_after(position.uid):
            for uid in uids:
                await self._read(connection, uid)
                known, position = await self._advance(known, replace(position, uid=max(uid, position.uid)))

    async def _uids_at_first_start(self, connection: ImapConnection) -> Sequence[int]:
        match self._first_start:
            case "new":
                uids = []
            case "unread":
                uids = await connection.search("UNSEEN")
            case "all":
                uids = await connection.search("ALL")
        log.info("mailbox_first_seen", folder=self._server.folder, reads=len(uids))
        return uids

    async def _remember_what_is_there(self, connection: ImapConnection, position: ReadPosition | None) -> None:
        """Once per mailbox. Without it, a rebuild would make old mail look new.

        At the first start, mail that is to be read is remembered too: reading it does not depend on that.
        """
        name = f"{self._name} remembers"
        if self._remembers or await self._notes.get_note(name):
            self._remembers = True
            return
        there = await connection.search("ALL")
        uids = [uid for uid in there if not position or uid <= position.uid][-REMEMBERED_MAX:]
        await self._remembered.add((await connection.fingerprints(uids)).values())
        self._remembers = await self._notes.set_note(name, "yes", expected="")

    async def _uids_after_rebuild(
        self, connection: ImapConnection, selected: Selected, before: ReadPosition
    ) -> tuple[int, ...]:
        name = self._rebuild_note(selected)
        choice = RebuildChoice.parse(await self._notes.get_note(name))
        if not choice:
            since = datetime.fromisoformat(before.day) - timedelta(days=LOOK_BACK_DAYS)
            uids = await connection.search(f"SINCE {since.day}-{_MONTHS[since.month - 1]}-{since.year}")
            found = await connection.fingerprints(uids)
            known = await self._remembered.known(found.values())
            # A mail whose head is not returned may be new.
            unknown = tuple(uid for uid in uids if found.get(uid) not in known)
            is_few = len(unknown) <= UNKNOWN_MAX
            choice = RebuildChoice(unknown if is_few else (), 0 if is_few else len(unknown), is_few)
            if not await self._notes.set_note(name, str(choice), expected=""):
                # Another process chose first.
                choice = RebuildChoice.parse(await self._notes.get_note(name)) or choice
            if choice.left:
                await self._remembered.add(found.values())
        self._may_be_untold = True
        log.warning("mailbox_rebuilt", folder=self._server.folder, reads=len(choice.reads), left=choice.left)
        return choice.reads

    async def _tell_of_left(self, selected: Selected) -> None:
        """Tell a person of mail that a rebuild left unread. What fails is tried again at the next poll."""
        if not self._may_be_untold:
            return
        name = self._rebuild_note(selected)
        choice = RebuildChoice.parse(known := await self._notes.get_note(name))
        if choice and not choice.is_told:
            text = (
                f"The mailbox {self._server.user}, folder {self._server.folder}, was rebuilt by its server. It now has "
                f"{choice.left} recent mails that I do not know. I answer none of them, because they may be old mails "
                "that were restored. They are unread in the mailbox. If somebody waits for an answer to one of them, "
                "ask them to write again."
            )
            try:
                await self._tell(f"rebuilt-{selected.validity}", text)
            except SendFailed as error:
                log.warning("mailbox_rebuild_not_told", error=str(error))
                return
            await self._notes.set_note(name, str(replace(choice, is_told=True)), expected=known)
        self._may_be_untold = False

    def _rebuild_note(self, selected: Selected) -> str:
        return f"{self._name} rebuilt {selected.validity}"

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
            return
        is_taken = await self._receives(mail)
        # First, so that after a crash whatever is marked is remembered as well.
        await self._remembered.add([fingerprint_of(mail.raw)])
        if is_taken:
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
