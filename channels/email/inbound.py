"""The way in: parses a mail, finds the thread that it belongs to, and appends it to the inbox.

A mail goes to the first thread named by: one of our signed Message-IDs in In-Reply-To or References; one of our signed
plus-addresses; the Message-ID of a mail that opened a thread, or that one answers which never came to us, if the sender
is verified. Otherwise it opens a thread.
A forged reference has no valid signature. Every allowed sender may write into every thread that they can name.

Some mail is ignored, that is logged and left unread: automatic mail, our own, mail from senders who are not allowed or
who exceed the rate limit. This module sends nothing and talks to no mail server; `channels.email.mailbox` fetches.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from channels.email.answered import AnsweredMail
from channels.email.deciding import RequestReplies, ServerProven
from channels.email.decisions import Decision, read_decision
from channels.email.desk import WINDOW_SECONDS, Desk
from channels.email.disclosed import DisclosedAddresses
from channels.email.forwards import passes_on
from channels.email.identity.proof import Identity, Prover
from channels.email.identity.senders import AllowedSenders
from channels.email.imap import MAIL_BYTES_MAX, Fetched
from channels.email.letters import Writer
from channels.email.message import event_id_of, message_of
from channels.email.parse import Mail, parse, parse_headers
from channels.email.place import NAME, place_of
from channels.inbound import EarlierMessage, Inbox
from store.text import one_line
from store.values import Person, Place

log = structlog.get_logger(__name__)

MAILS_MAX = 120
"""Per verified sender and WINDOW_SECONDS. This also ends a loop of two automatic senders."""
OTHERS_MAX = 60
"""For all unverified senders of a domain together, per WINDOW_SECONDS."""
LOOKED_UP_MAX = 8
"""At most this many of a mail's References are looked up as the mail that opened a thread."""


class EmailInbound:
    def __init__(
        self,
        inbox: Inbox,
        desk: Desk,
        writer: Writer,
        allowed: AllowedSenders,
        prover: Prover,
        proof: ServerProven,
        answered: AnsweredMail,
        disclosed: DisclosedAddresses,
    ) -> None:
        self._inbox = inbox
        self._desk = desk
        self._writer = writer
        self._lists = writer.lists
        self._allowed = allowed
        self._prover = prover
        self._proof = proof
        self._answered = answered
        self._disclosed = disclosed
        self._replies = RequestReplies(inbox, desk, writer, proof, disclosed)

    async def receive(self, fetched: Fetched) -> bool:
        """True: the mail is durable, or a test of ours. False: it is ignored. Raises StoreUnavailable."""
        return not await self.why_ignored(fetched)

    async def why_ignored(self, fetched: Fetched) -> str:
        """The same, with the reason; empty: it is durable."""
        # Headers first, so that mail from strangers is cheap. Parsing is bounded, but may take a second, so it is done
        # in a worker thread. The mailbox passes on one mail at a time, so there is one such thread.
        mail = self._lists.with_author(await asyncio.to_thread(parse_headers, fetched.raw))
        if self._writer.signer.is_test_id(mail.message_id):
            log.info("identity_test_received", uid=fetched.uid)
            return ""
        why = self._reason_to_ignore(mail)
        if not why or mail.bounce:
            mail = self._lists.with_author(await asyncio.to_thread(parse, fetched.raw))
            why = self._reason_to_ignore(mail)
        identity = None if why or mail.bounce else await self._identity_of(mail, fetched)
        is_senders = identity is not None and not identity.is_anothers
        await self._disclosed.look_at(mail, fetched.raw if identity else b"", is_senders=is_senders)
        if mail.bounce:
            why = "" if await self._record_bounce(mail) else "a report of a mail that is not ours"
        elif identity:
            why = await self._append(mail, fetched, identity)
        if why:
            sender = one_line(mail.sender, 200)
            log.warning("mail_not_answered", why=why, sender=sender, uid=fetched.uid, message_id=mail.message_id[:200])
        return why

    def _reason_to_ignore(self, mail: Mail) -> str:
        """Empty: none."""
        if why := mail.automatic or self._lists.why_automatic(mail):
            return why
        if self._writer.is_ours(mail.sender) or self._writer.signer.thread_of_message(mail.message_id):
            return "it is our own"
        if not self._allowed.allow(mail.sender):
            return "its sender is not in EMAIL_ALLOWED_SENDERS"
        return ""

    async def _append(self, mail: Mail, fetched: Fetched, identity: Identity) -> str:
        """Append the mail as a decision or as a message. Returns why it was ignored; empty: it was appended."""
        mail_id = event_id_of(mail)
        if not identity.is_verified:
            log.warning("mail_not_verified", sender=mail.sender[:200], why=identity.why)
        sender = Person(
            name=f"{mail.name} <{mail.sender}>" if mail.name else mail.sender,
            address=mail.sender,
            trust="verified" if identity.is_verified else "unverified",
        )
        unread_bytes = fetched.size_bytes - len(fetched.raw) if len(fetched.raw) >= MAIL_BYTES_MAX else 0
        is_complete = mail.text_is_complete and not unread_bytes
        given = await asyncio.to_thread(
            read_decision, mail.text, is_complete=is_complete, name=mail.name, address=mail.sender
        )
        certain = given if isinstance(given, Decision) and identity.may_decide else None
        unproven = await self._replies.why_unproven(mail, fetched.validity) if certain else ""
        if certain and not unproven and await self._replies.decides(mail, certain, sender, identity):
            return ""
        # Unverified mail must not use up the limit of the person whose address it names.
        counted, most = (
            (sender.address, MAILS_MAX)
            if identity.is_verified
            else (f"{identity.alignment} {_domain(mail)}", OTHERS_MAX)
        )
        if await self._desk.exceeds_rate_limit(counted, mail_id, most):
            return f"more than {most} mails within {WINDOW_SECONDS / 60:g} minutes"
        threads = self._threads_of(mail)
        if await self._replies.is_answered(mail, given, sender, identity, threads, is_proven=not unproven):
            return ""
        passed_on = await asyncio.to_thread(passes_on, mail.subject, mail.text, mail.sender, opens=False)
        message = replace(message_of(mail, sender, identity.alignment, unread_bytes), passes_on=passed_on)
        for thread_id in threads:
            if await self._inbox.reply(thread_id, NAME, message):
                return ""
        place, is_new = await self._place_of(mail, mail_id, may_join=identity.is_verified)
        if is_new:
            passed_on = await asyncio.to_thread(passes_on, mail.subject, mail.text, mail.sender, opens=True)
            message = replace(message, passes_on=passed_on)
        if is_new and message.quoted:
            # The new thread does not contain what the mail replies to or forwards.
            earlier = EarlierMessage("quoted in the mail", "", message.quoted, f"{mail_id} quoted")
            message = replace(message, earlier=(earlier,))
        await self._inbox.message(place, message, agent=self._desk.agent_of(mail.recipients))
        return ""

    async def _identity_of(self, mail: Mail, fetched: Fetched) -> Identity:
        is_whole = len(fetched.raw) < MAIL_BYTES_MAX
        identity = await asyncio.to_thread(self._prover.identity_of, mail, fetched.raw, is_whole=is_whole)
        if mail.sender in self._lists:
            why = "a list wrote itself into From"
            identity = replace(identity, is_verified=False, may_decide=False, alignment="unaligned", why=why)
        return await self._unless_only_said(identity, fetched)

    async def _unless_only_said(self, identity: Identity, fetched: Fetched) -> Identity:
        """The word of our server, without a signature or a seal, verifies nobody while the server is not proven."""
        if not identity.is_verified or identity.dkim_domain or identity.sealed_by:
            return identity
        if not await self._proof.why_missing(fetched.validity):
            return identity
        why = "our mail server is not proven to remove forged verdicts"
        return replace(identity, is_verified=False, may_decide=False, alignment="unknown", why=why)

    def _threads_of(self, mail: Mail) -> list[str]:
        """The threads that the mail names by one of our signatures, the most specific first."""
        named = [*mail.in_reply_to, *reversed(mail.references)]
        found = [self._writer.signer.thread_of_message(one) for one in named]
        found += [self._writer.signer.thread_of_address(one) for one in mail.recipients if self._writer.is_ours(one)]
        return list(dict.fromkeys(filter(None, found)))

    async def _place_of(self, mail: Mail, mail_id: str, *, may_join: bool) -> tuple[Place, bool]:
        """The place of the mail's thread, and whether the thread is new.

        It is the mail's own place if the same sender opened a thread there, then that in which this mail, or one of its
        References, was answered before, then that of a thread which such a mail opened, else a new one.
        `may_join`: whether References count, which anybody can write.
        """
        own = place_of(mail.message_id or mail_id)
        opener = await self._desk.opened_by(own)
        if opener == mail.sender:
            return own, False
        # A mail with the same Message-ID but another sender is a different mail.
        is_another = opener is not None
        if is_another:
            own = place_of(f"{mail.message_id} {mail.sender}")
        if not may_join:
            return own, await self._desk.opened_by(own) is None
        named = [*mail.in_reply_to[:1], *mail.references[:1], *reversed(mail.references[-LOOKED_UP_MAX:])]
        itself = [mail.message_id] if mail.message_id and not is_another else []
        if not (address := await self._answered.address_of([*itself, *named])):
            for one in dict.fromkeys(named):
                if await self._desk.opened_by(place := place_of(one)) is not None:
                    return place, False
        begins_with = [*mail.references[:1], *mail.references[-LOOKED_UP_MAX:], *mail.in_reply_to[:1]]
        if begins_with:  # A mail that answers none needs no note: its own place names it.
            address = await self._answered.claim([*dict.fromkeys((*begins_with, *itself))], address or own.address)
        place = Place(channel=NAME, address=address or own.address)
        return place, await self._desk.opened_by(place) is None

    async def _record_bounce(self, mail: Mail) -> bool:
        """False: it is not about a mail of ours.

        Anybody can forge a delivery report, so one counts once per mail and recipient, and only for plain addresses
        that are allowed. One that we did not write to is left out: it would be text by whoever wrote the report.
        """
        bounce = mail.bounce
        assert bounce is not None
        failures = [one for one in bounce.failures if not one.recipient or self._allowed.allow(one.recipient)]
        for original in bounce.originals if failures else ():
            thread_id = self._writer.signer.thread_of_message(original)
            if thread_id and (sent := await self._desk.sent_mail(thread_id, original)):
                for failure in failures:
                    recipient = failure.recipient if failure.recipient.lower() in sent.written_to else ""
                    await self._inbox.delivery_failed(
                        thread_id,
                        NAME,
                        key=sent.key,
                        recipient=recipient,
                        error=failure.error,
                        event_id=f"bounce {original} {recipient.lower()}",
                    )
                return True
        return False


def _domain(mail: Mail) -> str:
    return mail.sender.rpartition("@")[2]
