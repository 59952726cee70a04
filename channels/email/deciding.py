"""A reply to a request for approval: it decides, or code answers at once that it decided nothing, and why.

It decides if its words are unmistakable (`channels.email.decisions`), its sender is proven (`channels.email.identity`),
and it came to the reply address that only this person got with the request. Whether that person may decide is the
inbox's to judge. What comes of a reply that reads as no decision is `channels.email.inbound`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from channels.email.decisions import Decision, Nearly
from channels.email.desk import Desk
from channels.email.disclosed import DisclosedAddresses
from channels.email.identity.proof import Identity
from channels.email.identity.reply_ties import ReplyTies
from channels.email.letters import Writer
from channels.email.message import event_id_of, origin_of, without_links
from channels.email.parse import Mail
from channels.email.place import NAME, private_place
from channels.inbound import Inbox, Refused, UndecidedReply
from store.replies import WhyUndecided
from store.text import one_line
from store.values import Person

log = structlog.get_logger(__name__)


class ServerProven(Protocol):
    """Whether our own mail server can be believed: `channels.email.identity.server_proof`."""

    async def why_missing(self, validity: int) -> str:
        """Empty: it can. `validity`: UIDVALIDITY of the mailbox. Raises StoreUnavailable."""


class RequestReplies:
    """Every method raises StoreUnavailable."""

    def __init__(
        self, inbox: Inbox, desk: Desk, writer: Writer, proof: ServerProven, disclosed: DisclosedAddresses
    ) -> None:
        self._inbox = inbox
        self._desk = desk
        self._signer = writer.signer
        self._ties = ReplyTies(writer.signer, writer.is_ours, lambda: datetime.now(UTC))
        self._proof = proof
        self._disclosed = disclosed

    async def why_unproven(self, mail: Mail, validity: int) -> str:
        """Why our server's word on the sender decides nothing; empty: it may."""
        why = await self._proof.why_missing(validity)
        if why:
            text = f"A reply by mail decided nothing, because the mail server is not proven. {why}"
            log.warning("reply_not_proven", text=text, sender=one_line(mail.sender, 200))
        return why

    async def decides(self, mail: Mail, given: Decision, sender: Person, identity: Identity) -> bool:
        """Decide a request, if the mail of a verified sender replies to one. False: it decides nothing, or may not."""
        about = await self._answers(mail, sender)
        if about is None or not self._ties.has_card_address(mail) or not self._ties.is_signed(mail, identity, *about):
            return False
        thread_id, step, digest = about
        if await self._disclosed.state(mail, thread_id, step) == "disclosed":
            return False
        try:
            await self._inbox.decide(
                thread_id,
                sender,
                approved=given.approved,
                comment=given.reason,
                step_id=step,
                digest=digest,
                proof=f"mail {mail.message_id} of {sender.address}, {sender.trust}",
                way="mail",
                by_message=True,
            )
        except Refused:
            return False
        return True

    async def is_answered(
        self,
        mail: Mail,
        given: Decision | Nearly | None,
        sender: Person,
        identity: Identity,
        threads: Sequence[str],
        *,
        is_proven: bool,
    ) -> bool:
        """Have code answer a reply that decides nothing. True: it reads as a decision, so the agent does not get it.

        `threads`: those that the mail names, the most specific first.
        """
        about, elsewhere = await self._answers(mail, sender), False
        if about is None and given:
            open_in = [(one, await self._desk.request_open(one, sender)) for one in threads[:1]]
            about = next(((thread_id, *request) for thread_id, request in open_in if request), None)
            elsewhere = True
        if about is None:
            return False
        thread_id, step, digest = about
        state = await self._disclosed.state(mail, thread_id, step)
        why = _why_undecided(given, identity, elsewhere=elsewhere, is_proven=is_proven)
        details = identity.why if why in ("unverified", "unsigned") else ""
        if why == "not_addressed" and self._ties.has_card_address(mail):
            if not self._ties.is_signed(mail, identity, *about):
                why, details = "unsigned", "the signature of your mail server does not cover which mail you replied to"
            elif state == "disclosed":
                why = ""
        reply = UndecidedReply(
            sender=sender,
            event_id=event_id_of(mail),
            place=private_place(mail.sender),
            step=step,
            digest=digest,
            words=without_links(mail.text),
            reads_as="neither" if given is None else "approval" if given.approved else "rejection",
            elsewhere=elsewhere,
            why=why,
            details=details,
            known_to_others=state != "secret",
            subject=mail.subject,
            origin=origin_of(mail, identity.alignment),
        )
        return await self._inbox.undecided(thread_id, NAME, reply) and given is not None

    async def _answers(self, mail: Mail, sender: Person) -> tuple[str, str, str] | None:
        """The thread, step and digest of the request that the mail replies to; None: it replies to none."""
        card = mail.in_reply_to[0] if len(mail.in_reply_to) == 1 else ""
        thread_id = self._signer.thread_of_message(card)
        shown = await self._desk.request_shown(thread_id, card, sender) if thread_id else None
        return (thread_id, *shown) if shown else None


def _why_undecided(
    given: Decision | Nearly | None, identity: Identity, *, elsewhere: bool, is_proven: bool
) -> WhyUndecided:
    if given and not identity.is_verified:
        return "unverified"
    if isinstance(given, Decision) and not elsewhere and not identity.may_decide:
        return "unsigned"
    if not is_proven:
        return "no_proof"
    return "not_addressed" if isinstance(given, Decision) and not elsewhere else ""
