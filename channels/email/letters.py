"""Writes the mails for a message: their recipients, headers and content. Pure; every attempt yields the same bytes.

A mail's Message-ID is derived from the message's key, so a mail that is sent twice is one mail to its readers.
Everything else depends only on the thread's events up to the one that the message is about. No text from outside can
inject a header. This module sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from typing import Any, assert_never

from channels.email.body import Body, request_subject
from channels.email.correspondence import address_is_known, answers, is_apart, is_mail, named_with_us, strings
from channels.email.heads import LETTERS, is_valid_id, subject_line, trimmed
from channels.email.identity.senders import is_plain_address
from channels.email.identity.tokens import Link, Signer
from channels.email.lists import NO_LISTS, TeamAddresses
from channels.email.place import person_at, private_recipient
from channels.messages import (
    NEW,
    Approval,
    Ended,
    New,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Tasks,
    Text,
    Unanswered,
    Waiting,
    Way,
)
from store.deliveries import MessageSent
from store.events import ApprovalDecided, ApprovalRequested, Event, MessageReceived
from store.keys import MessageKey, SendKey
from store.replies import ReplyDecidedNothing
from store.text import instant
from store.values import Place

LINK_SECONDS = 7 * 24 * 3600
"""Lifetime of a decision link; shorter if its request expires earlier."""

_START_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Letter:
    message_id: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Correspondence:
    """What the next mail of a thread takes from the earlier ones."""

    people: tuple[str, ...]
    """The recipients: To the first of them, Cc to the others."""
    subject: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    """Oldest first, including `in_reply_to`."""


@dataclass(frozen=True)
class Writer:
    """The settings that a mail depends on, and the methods that write it."""

    address: str
    """Our own mail address."""
    signer: Signer
    allowed: Callable[[str], bool]
    """Whether we may write to an address because it is among the recipients of a mail to us."""
    public_url: str = ""
    """The base URL of decision links; empty: mails have no links."""
    replies_decide: bool = False
    plus_addresses: bool = True
    aliases: frozenset[str] = frozenset()
    """Our other addresses, in lower case."""
    lists: TeamAddresses = NO_LISTS
    """The groups and lists that distribute into our mailbox: they get what a thread says, but nothing that decides."""
    name: str = "deploybot"

    def letters(
        self, place: Place, message: Outgoing, way: Way = NEW, *, key: str, so_far: Sequence[Event]
    ) -> list[Letter]:
        """The mails for the message; none if it is not sent by mail, or has no recipient."""
        sent = SendKey.parse(key)
        mails = self.correspondence(place, so_far)
        match message:
            case Notice() if so_far and isinstance(so_far[-1], ReplyDecidedNothing):
                return self._asks_to_confirm(message, so_far[-1], sent)
            case Text() | Notice():
                body = Body("deploybot").add_text(message)
                people = self._recipients(place, message, so_far, mails)
                return self._one_mail(sent, replace(mails, people=people), body, so_far)
            case Question():
                return self._asking_mails(message, mails, sent, so_far) if is_mailed(message) else []
            case Approval():
                return self._request_mails(place, message, way, mails, sent, so_far)
            case Progress() | Tasks():
                return []
        assert_never(message)

    def _request_mails(
        self, place: Place, request: Approval, way: Way, mails: Correspondence, sent: SendKey, so_far: Sequence[Event]
    ) -> list[Letter]:
        thread_id = sent.thread_id
        match request.state:
            case Waiting() if isinstance(way, New):
                return self._asking_mails(request, mails, sent, so_far)
            case Waiting() | Reminded():
                body_for = partial(self._update_body, request, way, thread_id, so_far)
                return [
                    self._letter(thread_id, str(sent.to(one.people[0])), one, body_for(one.people[0]), so_far)
                    for one in self._by_card(place, request, way, thread_id, so_far)
                ]
            case Ended(outcome):
                body = Body(f"{request.headline} {outcome}").add_outcome(request)
                if _receipts(way) and (cards := self._by_card(place, request, way, thread_id, so_far)):
                    mails = _joined(mails, cards)
                return self._one_mail(sent, mails, body, so_far)
        assert_never(request.state)

    def _asks_to_confirm(self, notice: Notice, reply: ReplyDecidedNothing, sent: SendKey) -> list[Letter]:
        """The answer to a reply that decided nothing, to its author alone, with links that decide."""
        person, origin = reply.by.address, reply.origin
        message_id = str(origin.get("message_id", ""))
        mails = Correspondence(
            people=_mailable(person),
            subject=reply.subject,
            in_reply_to=message_id,
            references=(*strings(origin.get("references")), message_id),
        )
        body = Body("deploybot").add_text(notice)
        if self.public_url:
            ways = {"approval": (True,), "rejection": (False,), "neither": (True, False)}[reply.reads_as]
            until = int(reply.at.timestamp()) + LINK_SECONDS
            word = "" if reply.reads_as == "neither" else "Confirm: "
            body.add_links(
                [
                    (
                        f"{word}{'Approve' if yes else 'Reject'}",
                        self._link(sent.thread_id, reply.step, person, until, digest=reply.digest, approved=yes),
                    )
                    for yes in ways
                ]
            )
        elif reply.known_to_others:
            body.add_note(f"To decide, run `bot approve {sent.thread_id}` or `bot reject {sent.thread_id}`.")
        if self.replies_decide and not reply.known_to_others and reply.why not in ("unverified", "no_proof"):
            body.add_note(
                'Or reply to the mail with the request, with nothing but "approve", or with "reject: " and the reason.'
            )
        return self._one_mail(sent, mails, body, [reply])

    def _one_mail(self, sent: SendKey, mails: Correspondence, body: Body, so_far: Sequence[Event]) -> list[Letter]:
        """One mail to all recipients, if there are any."""
        return [self._letter(sent.thread_id, str(sent), mails, body, so_far)] if mails.people else []

    def is_ours(self, address: str) -> bool:
        local, _, domain = address.lower().rpartition("@")
        own, _, our_domain = self.address.lower().rpartition("@")
        is_it = domain == our_domain and own in (local, local.partition("+")[0])
        return is_it or address.lower() in self.aliases

    def correspondence(self, place: Place, so_far: Sequence[Event]) -> Correspondence:
        """The recipients of the thread's next mail, and the mails it follows. Other channels' messages do not count."""
        apart = frozenset(
            one for e in so_far if isinstance(e, MessageSent) and is_apart(e) for one in e.receipt.split()
        )
        mails = [i for i, event in enumerate(so_far) if is_mail(event) and not answers(event, apart)]
        # Unverified mail may be forged, so it changes the recipients only if there is no verified mail.
        known = [i for i in mails if isinstance(e := so_far[i], MessageReceived) and e.sender.trust == "verified"]
        at = (known or mails or [-1])[-1]
        receipts = (e.receipt.split() for e in so_far[at + 1 :] if isinstance(e, MessageSent))
        ours = tuple(receipt[0] for receipt in receipts if receipt and receipt[0] not in apart)
        # Add those who replied to a request that was shown to them outside the thread.
        written = (e for e in so_far[at + 1 :] if isinstance(e, MessageReceived) and e.sender.trust == "verified")
        asking = [e.sender.address for e in written if answers(e, apart)]
        if at < 0:
            people = (*_mailable(person_at(place)), *filter(self.allowed, asking))
            return Correspondence(tuple(dict.fromkeys(people)), in_reply_to=ours[-1] if ours else "", references=ours)
        last = so_far[at]
        assert isinstance(last, MessageReceived)
        received = (e for e in so_far if isinstance(e, MessageReceived) and not answers(e, apart))
        subject = next((e.subject for e in received if e.subject), "")
        with_us = named_with_us(last, lambda one: self.is_ours(one) or one in self.lists)
        named = [*with_us, *asking, *_decider_to_tell(place, so_far)]
        others = {
            one.lower(): one
            for one in reversed(named)
            if not self.is_ours(one) and (one in self.lists or self.allowed(one))
        }
        others.pop(last.sender.address.lower(), None)
        message_id = str(last.origin["message_id"])
        before = [one for one in strings(last.origin.get("references")) if one != message_id]
        return Correspondence(
            people=(last.sender.address, *reversed(others.values())),
            subject=subject,
            in_reply_to=message_id,
            references=tuple(filter(None, (*before, message_id, *ours))),
        )

    def _recipients(
        self, place: Place, message: Text | Notice, so_far: Sequence[Event], mails: Correspondence
    ) -> tuple[str, ...]:
        if person := private_recipient(place):
            return _mailable(person)
        if isinstance(message, Notice) and so_far and isinstance(so_far[-1], ApprovalDecided):
            # The decision had no effect, so only the person who made it is told.
            return _mailable(so_far[-1].by.address)
        return mails.people

    def _by_card(
        self, place: Place, request: Approval, way: Way, thread_id: str, so_far: Sequence[Event]
    ) -> list[Correspondence]:
        """For each person who was shown the request, the correspondence that continues from that mail."""
        here = (n for n, e in enumerate(so_far) if isinstance(e, ApprovalRequested) and e.step == request.step)
        mails = self.correspondence(place, so_far[: next(here, len(so_far)) + 1])
        receipts = _receipts(way)
        subject = request_subject(request) if receipts else mails.subject

        card = SendKey(thread_id, str(MessageKey(request.step, "card")))

        def to(one: str) -> Correspondence:
            own = self.signer.message_id(thread_id, str(card.to(one)))
            shown = own if own in receipts else next(iter(receipts), mails.in_reply_to)
            return Correspondence((one,), subject, shown, mails.references)

        return [to(one) for one in mails.people]

    def _update_body(self, request: Approval, way: Way, thread_id: str, so_far: Sequence[Event], person: str) -> Body:
        """It names a way that decides: a link where there is one, for others may know the address to reply to."""
        body = Body(request_subject(request)).add_update(request)
        until = _links_expire_at(request.requested_at, request.expires_at)
        has_links = bool(self.public_url) and person not in self.lists and bool(_receipts(way))
        if has_links and so_far and so_far[-1].at < until:
            works = f"The links in the original request work until {instant(until)}."
            return body.add_note(f"{works} To decide, use one of them. A reply to this mail decides nothing.")
        if self.replies_decide and not address_is_known(request.step, person, so_far):
            # A reply decides the request in the mail that it replies to, and this mail does not show all of it.
            return body.add_note("To decide by mail, reply to the original request, not to this mail.")
        return body.add_note(f"To decide, run `bot approve {thread_id}` or `bot reject {thread_id}`.")

    def _asking_mails(
        self, message: Approval | Question, mails: Correspondence, sent: SendKey, so_far: Sequence[Event]
    ) -> list[Letter]:
        """One mail per recipient if it decides: its links and its reply address are for one person."""
        thread_id = sent.thread_id
        if isinstance(message, Approval):
            mails = replace(mails, subject="")  # Its own: see `request_subject`.
        by_reply = isinstance(message, Approval) and self.replies_decide
        if not self.public_url and not by_reply:
            body = self._request_body(message, thread_id, "", so_far, by_reply=False)
            return self._one_mail(sent, mails, body, so_far)
        written = []
        for one in mails.people:
            key = str(sent.to(one))
            own = by_reply and one not in self.lists
            reply_to = self.signer.card_address(self.signer.message_id(thread_id, key), one) if own else ""
            body = self._request_body(message, thread_id, one, so_far, by_reply=bool(reply_to))
            only = replace(mails, people=(one,))
            written.append(self._letter(thread_id, key, only, body, so_far, reply_to=reply_to))
        return written

    def _request_body(
        self,
        message: Approval | Question,
        thread_id: str,
        person: str,
        so_far: Sequence[Event],
        *,
        by_reply: bool,
    ) -> Body:
        """`by_reply`: whether a reply to this mail may decide the request."""
        since = so_far[-1].at if so_far else _START_OF_TIME
        until = int(_links_expire_at(since, message.expires_at if isinstance(message, Approval) else None).timestamp())

        has_links = bool(self.public_url) and person not in self.lists

        def link(**what: Any) -> str:
            return self._link(thread_id, message.step, person, until, **what)

        match message:
            case Approval():
                body = Body(request_subject(message)).add_request(message)
                if has_links:
                    both = (("Approve", True), ("Reject", False))
                    body.add_links([(word, link(digest=message.digest, approved=yes)) for word, yes in both])
                    if message.editable:
                        body.add_note(f"On the page behind a link you can also change: {', '.join(message.editable)}.")
                if by_reply:
                    body.add_note('You can also reply to this mail with "approve", or with "reject: " and the reason.')
                elif not has_links:
                    same = f"{thread_id} --digest {message.digest[:12]}"
                    body.add_note(f"To decide, run `bot approve {same}` or `bot reject {same}`.")
                return body
            case Question():
                body = Body(message.question).add_question(message)
                if has_links and message.offers:
                    body.add_links([(choice, link(digest="", number=n)) for n, choice in enumerate(message.offers)])
                return body.add_note("Reply to this mail to answer.")

    def _link(self, thread_id: str, step: str, person: str, until: int, **what: Any) -> str:
        sealed = self.signer.seal(Link(thread_id=thread_id, step=step, person=person, good_until=until, **what))
        return f"{self.public_url}/decide/{sealed}"

    def _letter(
        self,
        thread_id: str,
        key: str,
        mails: Correspondence,
        body: Body,
        so_far: Sequence[Event],
        *,
        reply_to: str = "",
    ) -> Letter:
        """`reply_to`: empty for the address that only names the thread."""
        message = EmailMessage(policy=LETTERS)
        message["From"] = Address(self.name, addr_spec=self.address)
        message["To"] = Address(addr_spec=mails.people[0])
        if len(mails.people) > 1:
            message["Cc"] = [Address(addr_spec=one) for one in mails.people[1:]]
        reply_to = reply_to or self.signer.reply_address(thread_id)
        if self.plus_addresses and reply_to != self.address:
            message["Reply-To"] = Address(self.name, addr_spec=reply_to)
        message["Subject"] = subject_line(mails.subject, body.title)
        if so_far:
            message["Date"] = format_datetime(so_far[-1].at)
        message_id = self.signer.message_id(thread_id, key)
        message["Message-ID"] = message_id
        if is_valid_id(mails.in_reply_to):
            message["In-Reply-To"] = mails.in_reply_to
        named = filter(is_valid_id, (*mails.references, mails.in_reply_to))
        if references := trimmed(list(dict.fromkeys(named))):
            message["References"] = " ".join(references)
        message["Auto-Submitted"] = "auto-replied" if mails.in_reply_to else "auto-generated"
        # Not "All": Exchange would then report no failed delivery (NDR) either.
        message["X-Auto-Response-Suppress"] = "DR, RN, NRN, OOF, AutoReply"
        message.set_content(body.text, cte="quoted-printable")
        message.add_alternative(body.html, subtype="html", cte="quoted-printable")
        # The default boundary is random.
        message.set_boundary(f"=_{message_id[1:].partition('@')[0]}")
        return Letter(message_id, mails.people, message.as_bytes())


def _decider_to_tell(place: Place, so_far: Sequence[Event]) -> tuple[str, ...]:
    """The person who has just decided, unless they get the outcome at a place of their own."""
    decision = so_far[-1]
    if not isinstance(decision, ApprovalDecided):
        return ()
    requests = (e for e in so_far if isinstance(e, ApprovalRequested) and e.step == decision.step)
    places = (one for e in requests for one in (*e.asks, *e.then_asks) if one.channel == place.channel)
    apart = {person_at(one).lower() for one in places}
    return () if decision.by.address.lower() in apart else _mailable(decision.by.address)


def is_mailed(message: Outgoing) -> bool:
    """False for messages that only update an earlier one, because a mail cannot be edited."""
    match message:
        case Progress() | Tasks():
            return False
        case Question():
            return isinstance(message.state, Unanswered)
        case Text() | Notice() | Approval():
            return True
    assert_never(message)


def _receipts(way: Way) -> list[str]:
    """The Message-IDs of the mails that the message updates."""
    return [] if isinstance(way, New) else way.receipt.split()


def _links_expire_at(since: datetime, expires_at: datetime | None) -> datetime:
    week = since + timedelta(seconds=LINK_SECONDS)
    return min(week, expires_at) if expires_at else week


def _joined(mails: Correspondence, cards: Sequence[Correspondence]) -> Correspondence:
    """One mail to everybody in the thread and everybody who was shown the request, so that they can discuss it."""
    known = {one.lower() for one in mails.people}
    more = (one.people[0] for one in cards if one.people[0].lower() not in known)
    shown = (one.in_reply_to for one in cards)
    return Correspondence((*mails.people, *more), cards[0].subject, cards[0].in_reply_to, (*mails.references, *shown))


def _mailable(address: str) -> tuple[str, ...]:
    return (address,) if is_plain_address(address) else ()
