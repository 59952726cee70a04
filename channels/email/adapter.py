"""The way in: what a mail means to us, and to which thread it belongs. Where it goes is the desk.

From a mail to a thread, in this order: a Message-ID of ours in In-Reply-To or References, told by its signature; the
Message-ID of somebody's mail that opened a thread; a signed plus-address of ours; else it opens a thread of its own.
A forged reference leads nowhere, and to write into a thread is to be allowed to write to us at all.

What nobody answers is logged and left unread: robots, ourselves, people who are not allowed, too much of one sender.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from pydantic import JsonValue

from channels.base import Earlier
from channels.email.channel import NAME
from channels.email.imap import Fetched
from channels.email.letters import Writer
from channels.email.parse import Mail, parse
from channels.email.replies import Verdict, verdict
from channels.email.senders import AllowedSenders, alignment
from store.events import Attachment, Person, Place
from store.text import one_line

log = structlog.get_logger(__name__)

MAILS_MAX = 60
"""Of one sender within WINDOW_SECONDS: two robots that do not know each other stop here."""
WINDOW_SECONDS = 3600.0
QUOTED_CHARS_MAX = 20_000
ADDRESS_CHARS_MAX = 150
LOOKED_UP_MAX = 8
"""Of the mails that a mail answers, so many are looked for as the opening ones of a thread."""


@dataclass(frozen=True, slots=True)
class Received:
    """A mail for the desk."""

    sender: Person
    text: str
    event_id: str
    subject: str
    attachments: tuple[Attachment, ...]
    quoted: str
    origin: Mapping[str, JsonValue]


class Desk(Protocol):
    """Where everything ends that people do by mail: durable when a call returns."""

    async def too_many(self, sender: str, mail: str) -> bool:
        """Whether this sender wrote more than MAILS_MAX within WINDOW_SECONDS, `mail` included."""

    async def written(self, place: Place, mail: Received, *, agent: str, before: Sequence[Earlier]) -> None:
        """A mail that opens a thread, or goes on with the one that another of the same place has opened."""

    async def reply(self, thread_id: str, mail: Received) -> bool:
        """False: there is no such thread."""

    async def opened_by(self, place: Place) -> str | None:
        """The address of who opened the thread at this place; None: there is none."""

    async def decided(self, thread_id: str, by: Person, *, approved: bool, reason: str, card: str, proof: str) -> bool:
        """A decision on the request that the mail `card` showed. False: that mail showed none."""

    async def bounced(self, thread_id: str, message_id: str, *, recipient: str, error: str, event_id: str) -> bool:
        """A mail of ours came back. False: we did not send it."""

    def agent_of(self, addresses: Sequence[str]) -> str:
        """Which agent answers at the first of these addresses that the team's routes know."""


class EmailAdapter:
    def __init__(
        self,
        desk: Desk,
        writer: Writer,
        allowed: AllowedSenders,
        *,
        authserv_id: str = "",
    ) -> None:
        self._desk = desk
        self._writer = writer
        self._allowed = allowed
        self._authserv_id = authserv_id

    async def take(self, fetched: Fetched) -> bool:
        """True: it was taken in, durably. False: nobody will answer it."""
        mail = parse(fetched.raw)
        if mail.bounce:
            return await self._bounced(mail)
        why = self._why_not(mail)
        mail_id = event_id_of(mail)
        if not why and await self._desk.too_many(mail.sender, mail_id):
            why = f"more than {MAILS_MAX} mails within {WINDOW_SECONDS / 60:g} minutes"
        if why:
            sender = one_line(mail.sender, 200)
            log.warning("mail_not_answered", why=why, sender=sender, uid=fetched.uid, message_id=mail.message_id[:200])
            return False
        await self._received(mail, mail_id, fetched)
        return True

    def _why_not(self, mail: Mail) -> str:
        if mail.robot:
            return mail.robot
        if self._writer.is_ours(mail.sender) or self._writer.signer.thread_of_message(mail.message_id):
            return "it is our own"
        if not self._allowed.allow(mail.sender):
            return "its sender is not in EMAIL_ALLOWED_SENDERS"
        return ""

    async def _received(self, mail: Mail, mail_id: str, fetched: Fetched) -> None:
        aligned = alignment(mail.authentication, self._authserv_id, mail.sender)
        sender = Person(
            name=f"{mail.name} <{mail.sender}>" if mail.name else mail.sender,
            address=mail.sender,
            trust="verified" if aligned == "aligned" else "unverified",
        )
        if await self._decides(mail, sender):
            return
        left_out = fetched.size_bytes - len(fetched.raw)
        cut = [
            Attachment(
                name=f"(the rest of the mail, beyond {len(fetched.raw):,} bytes, was not read)", size_bytes=left_out
            )
        ]
        received = Received(
            sender=sender,
            text=mail.text,
            event_id=mail_id,
            subject=mail.subject,
            attachments=(*mail.attachments, *(cut if left_out > 0 else [])),
            quoted=mail.quoted[:QUOTED_CHARS_MAX],
            origin={
                "message_id": mail.message_id,
                "references": [*mail.references] or [*mail.in_reply_to],
                "to": [*mail.to],
                "cc": [*mail.cc],
                "from": aligned,
            },
        )
        for thread_id in self._threads_of(mail):
            if await self._desk.reply(thread_id, received):
                return
        place, is_new = await self._place_of(mail, mail_id)
        before = []
        if is_new and received.quoted:
            # What it answers or passes on, and we have not seen.
            before = [Earlier("quoted in the mail", "", received.quoted, f"{mail_id} quoted")]
        agent = self._desk.agent_of(mail.recipients)
        await self._desk.written(place, received, agent=agent, before=before)

    async def _decides(self, mail: Mail, sender: Person) -> bool:
        given: Verdict | None = verdict(mail.text)
        card = mail.in_reply_to[0] if len(mail.in_reply_to) == 1 else ""
        thread_id = self._writer.signer.thread_of_message(card)
        if not given or not thread_id or mail.attachments:
            return False
        return await self._desk.decided(
            thread_id,
            sender,
            approved=given.approved,
            reason=given.reason,
            card=card,
            proof=f"mail {mail.message_id} of {sender.address}, {sender.trust}",
        )

    def _threads_of(self, mail: Mail) -> list[str]:
        """Those that it names with a signature of ours, what counts most first."""
        named = [*mail.in_reply_to, *reversed(mail.references)]
        found = [self._writer.signer.thread_of_message(one) for one in named]
        found += [self._writer.signer.thread_of_address(one) for one in mail.recipients if self._writer.is_ours(one)]
        return list(dict.fromkeys(filter(None, found)))

    async def _place_of(self, mail: Mail, mail_id: str) -> tuple[Place, bool]:
        """That of the thread which one of the mails it answers has opened; else a new one."""
        for one in dict.fromkeys(
            (*mail.in_reply_to[:1], *mail.references[:1], *reversed(mail.references[-LOOKED_UP_MAX:]))
        ):
            if await self._desk.opened_by(place := place_of(one)) is not None:
                return place, False
        own = place_of(mail.message_id or mail_id)
        opener = await self._desk.opened_by(own)
        # Somebody else's mail with the same Message-ID is not the same mail.
        if opener not in (None, mail.sender):
            own = place_of(f"{mail.message_id} {mail.sender}")
            opener = await self._desk.opened_by(own)
        return own, opener is None

    async def _bounced(self, mail: Mail) -> bool:
        bounce = mail.bounce
        assert bounce is not None
        for one in bounce.originals:
            thread_id = self._writer.signer.thread_of_message(one)
            if thread_id and await self._desk.bounced(
                thread_id, one, recipient=bounce.recipient, error=bounce.error, event_id=event_id_of(mail)
            ):
                return True
        log.warning("mail_not_answered", why="a report of a mail that is not ours", message_id=mail.message_id[:200])
        return False


def place_of(message_id: str) -> Place:
    """Of the thread that this mail opens."""
    if len(message_id) > ADDRESS_CHARS_MAX:
        message_id = hashlib.sha256(message_id.encode(errors="replace")).hexdigest()
    return Place(channel=NAME, address=message_id)


def event_id_of(mail: Mail) -> str:
    """Two copies of one mail are one; mails of two senders never are, whatever they call them."""
    return f"{mail.message_id or mail.digest} {mail.sender}"
