"""The way in: reads a mail, finds the thread that it belongs to, and gives it to the inbox.

From a mail to a thread, in this order: a Message-ID of ours in In-Reply-To or References, told by its signature; the
Message-ID of somebody's mail that opened a thread; a signed plus-address of ours; else it opens a thread of its own.
A forged reference leads nowhere, and to write into a thread is to be allowed to write to us at all.

What nobody answers is logged and left unread: robots, ourselves, people who are not allowed, too much of one sender.
Nothing is said here, and nothing is asked of a mail server: `channels.email.mailbox` brings each mail.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from channels.email.identity.senders import AllowedSenders, alignment
from channels.email.imap import MAIL_BYTES_MAX, Fetched
from channels.email.letters import Writer
from channels.email.parse import Mail, glance, parse
from channels.email.place import NAME, place_of
from channels.email.replies import Verdict, verdict
from channels.inbound import EarlierMessage, InboundMessage, Inbox, Refused
from store.text import one_line
from store.values import Attachment, Person, Place

log = structlog.get_logger(__name__)

MAILS_MAX = 120
"""Of one verified sender within WINDOW_SECONDS: two robots that do not know each other stop here."""
OTHERS_MAX = 60
"""Of everybody together who writes in the name of a domain, and may be anybody."""
WINDOW_SECONDS = 3600.0
QUOTED_CHARS_MAX = 20_000
LOOKED_UP_MAX = 8
"""Of the mails that a mail answers, so many are looked for as the opening ones of a thread."""

_LINK = re.compile(r"/decide/[\w.=-]{20,}")


class Desk(Protocol):
    """What the program alone knows. Each of these raises StoreUnavailable."""

    async def too_many(self, sender: str, mail: str, most: int) -> bool:
        """Whether more came from there within WINDOW_SECONDS than that, `mail` included."""

    async def opened_by(self, place: Place) -> str | None:
        """The address of who opened the thread at this place; None: there is none."""

    async def request_shown(self, thread_id: str, card: str, to: Person) -> tuple[str, str] | None:
        """The step and the digest of the request that the mail `card` showed this person; None: it showed none."""

    async def key_sent(self, thread_id: str, message_id: str) -> str:
        """Under which key a mail of ours was sent; empty: it was not, or too often it was reported as come back."""

    def agent_of(self, addresses: Sequence[str], /) -> str:
        """Which agent answers at the first of these addresses that the team's routes know."""


class EmailInbound:
    def __init__(
        self,
        inbox: Inbox,
        desk: Desk,
        writer: Writer,
        allowed: AllowedSenders,
        *,
        authserv_id: str = "",
    ) -> None:
        self._inbox = inbox
        self._desk = desk
        self._writer = writer
        self._allowed = allowed
        self._authserv_id = authserv_id

    async def take(self, fetched: Fetched) -> bool:
        """True: it was taken in, durably. False: nobody will answer it."""
        # By its headers first: a stranger's mail costs no more than that.
        mail = glance(fetched.raw)
        why = self._why_not(mail)
        if not why or mail.bounce:
            # In a thread: it may take a second, which nobody else has to wait.
            mail = await asyncio.to_thread(parse, fetched.raw)
            why = self._why_not(mail)
        if mail.bounce:
            why = "" if await self._bounced(mail) else "a report of a mail that is not ours"
        elif not why:
            why = await self._received(mail, fetched)
        if why:
            sender = one_line(mail.sender, 200)
            log.warning("mail_not_answered", why=why, sender=sender, uid=fetched.uid, message_id=mail.message_id[:200])
        return not why

    def _why_not(self, mail: Mail) -> str:
        if mail.robot:
            return mail.robot
        if self._writer.is_ours(mail.sender) or self._writer.signer.thread_of_message(mail.message_id):
            return "it is our own"
        if not self._allowed.allow(mail.sender):
            return "its sender is not in EMAIL_ALLOWED_SENDERS"
        return ""

    async def _received(self, mail: Mail, fetched: Fetched) -> str:
        """Why it was not taken in; empty: it was."""
        mail_id = event_id_of(mail)
        aligned = alignment(mail.authentication, self._authserv_id, mail.sender)
        sender = Person(
            name=f"{mail.name} <{mail.sender}>" if mail.name else mail.sender,
            address=mail.sender,
            trust="verified" if aligned == "aligned" else "unverified",
        )
        left_out = fetched.size_bytes - len(fetched.raw) if len(fetched.raw) >= MAIL_BYTES_MAX else 0
        may_decide = mail.decisive and not left_out
        if may_decide and sender.trust == "verified" and await self._decides(mail, sender):
            return ""
        # Whoever writes in somebody's name must not use up what that person may write.
        counted, most = (
            (sender.address, MAILS_MAX) if aligned == "aligned" else (f"{aligned} {_domain(mail)}", OTHERS_MAX)
        )
        if await self._desk.too_many(counted, mail_id, most):
            return f"more than {most} mails within {WINDOW_SECONDS / 60:g} minutes"
        if may_decide and await self._decides(mail, sender):
            return ""
        message = _message_of(mail, sender, aligned, left_out)
        for thread_id in self._threads_of(mail):
            if await self._inbox.reply(thread_id, NAME, message):
                return ""
        place, is_new = await self._place_of(mail, mail_id, may_join=aligned == "aligned")
        if is_new and message.quoted:
            # What it answers or passes on, and we have not seen.
            earlier = EarlierMessage("quoted in the mail", "", message.quoted, f"{mail_id} quoted")
            message = replace(message, earlier=(earlier,))
        await self._inbox.message(place, message, agent=self._desk.agent_of(mail.recipients))
        return ""

    async def _decides(self, mail: Mail, sender: Person) -> bool:
        given: Verdict | None = verdict(mail.text)
        card = mail.in_reply_to[0] if len(mail.in_reply_to) == 1 else ""
        thread_id = self._writer.signer.thread_of_message(card)
        if not given or not thread_id:
            return False
        shown = await self._desk.request_shown(thread_id, card, sender)
        if shown is None:
            return False
        step, digest = shown
        try:
            await self._inbox.decide(
                thread_id,
                sender,
                approved=given.approved,
                comment=given.reason,
                step_id=step,
                digest=digest,
                proof=f"mail {mail.message_id} of {sender.address}, {sender.trust}",
                by_message=True,
            )
        except Refused:
            return False
        return True

    def _threads_of(self, mail: Mail) -> list[str]:
        """Those that it names with a signature of ours, what counts most first."""
        named = [*mail.in_reply_to, *reversed(mail.references)]
        found = [self._writer.signer.thread_of_message(one) for one in named]
        found += [self._writer.signer.thread_of_address(one) for one in mail.recipients if self._writer.is_ours(one)]
        return list(dict.fromkeys(filter(None, found)))

    async def _place_of(self, mail: Mail, mail_id: str, *, may_join: bool) -> tuple[Place, bool]:
        """Its own where it has one; that of the thread which one of the mails it answers has opened; else a new one.

        `may_join`: anybody can name such a mail, so only those whom we know join a thread that way.
        """
        own = place_of(mail.message_id or mail_id)
        opener = await self._desk.opened_by(own)
        if opener == mail.sender:
            return own, False
        named = dict.fromkeys(
            (*mail.in_reply_to[:1], *mail.references[:1], *reversed(mail.references[-LOOKED_UP_MAX:]))
        )
        for one in named if may_join else ():
            if await self._desk.opened_by(place := place_of(one)) is not None:
                return place, False
        # Somebody else's mail with the same Message-ID is not the same mail.
        if opener is not None:
            own = place_of(f"{mail.message_id} {mail.sender}")
            opener = await self._desk.opened_by(own)
        return own, opener is None

    async def _bounced(self, mail: Mail) -> bool:
        """Anybody can write a report: it counts once for each mail and person, and only for people we write to."""
        bounce = mail.bounce
        assert bounce is not None
        if bounce.recipient and not self._allowed.allow(bounce.recipient):
            return False
        for one in bounce.originals:
            thread_id = self._writer.signer.thread_of_message(one)
            if thread_id and (key := await self._desk.key_sent(thread_id, one)):
                await self._inbox.delivery_failed(
                    thread_id,
                    NAME,
                    key=key,
                    recipient=bounce.recipient,
                    error=bounce.error,
                    event_id=f"bounce {one} {bounce.recipient.lower()}",
                )
                return True
        return False


def _message_of(mail: Mail, sender: Person, aligned: str, unread_bytes: int) -> InboundMessage:
    """`unread_bytes`: of the mail, which is too long to be read whole."""
    cut = Attachment(
        name=f"(the rest of the mail, beyond {MAIL_BYTES_MAX:,} bytes, was not read)", size_bytes=unread_bytes
    )
    return InboundMessage(
        sender=sender,
        text=_without_links(mail.text),
        event_id=event_id_of(mail),
        subject=mail.subject,
        attachments=(*map(_linkless, mail.attachments), *([cut] if unread_bytes else [])),
        quoted=_without_links(mail.quoted[:QUOTED_CHARS_MAX]),
        origin={
            "message_id": mail.message_id,
            "references": [*mail.references] or [*mail.in_reply_to],
            "to": [*mail.to],
            "cc": [*mail.cc],
            "from": aligned,
        },
    )


def _domain(mail: Mail) -> str:
    return mail.sender.rpartition("@")[2]


def _without_links(text: str) -> str:
    """A link decides for whoever holds it: neither the model nor a log gets one from a card that somebody forwards."""
    return _LINK.sub("/decide/(removed)", text)


def _linkless(attachment: Attachment) -> Attachment:
    return attachment.model_copy(update={"text": _without_links(attachment.text)}) if attachment.text else attachment


def event_id_of(mail: Mail) -> str:
    """Two copies of one mail are one; mails of two senders never are, whatever they call them."""
    return f"{mail.message_id or mail.digest} {mail.sender}"
