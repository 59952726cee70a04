"""Answers queries of the mail channel: who opened a thread, which mail showed which card, how much a sender has sent.

Implements `channels.email.desk.Desk`. It reads threads and writes none: people's actions go to the inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from channels.email.correspondence import named_in
from channels.email.desk import WINDOW_SECONDS, SentMail, ShownCard
from channels.email.place import NAME, person_at
from store.base import Store, UnknownThread
from store.deliveries import DeliveryFailed, MessageSent
from store.events import ApprovalDecided, ApprovalRequested, MessageReceived
from store.keys import MessageKey, SendKey, thread_id_of
from store.state import StepState
from store.thread import Thread
from store.values import Person, Place

REPORTS_MAX = 10
"""The most bounces of one message that are believed; more of them are forged."""


@dataclass(frozen=True)
class EmailDesk:
    store: Store
    agent_of: Callable[[Sequence[str]], str]
    """The agent for the first of these addresses that is in the team's routes."""
    message_ids: Callable[[str, str], Collection[str]]
    """The Message-IDs that a thread's mail with a given key may have: `channels.email.identity.tokens.Signer`."""

    async def exceeds_rate_limit(self, sender: str, mail: str, limit: int) -> bool:
        return await self.store.count_distinct(f"email/{sender.lower()}", mail, WINDOW_SECONDS) > limit

    async def opened_by(self, place: Place) -> str | None:
        thread_id = thread_id_of(place)
        if not await self.store.exists(thread_id):
            return None
        thread = await self.store.load(thread_id)
        first = (e.sender for e in thread.events if isinstance(e, MessageReceived) and e.sender.trust != "third_party")
        return next((sender.address for sender in first), "")

    async def request_shown(self, thread_id: str, card: str, to: Person) -> tuple[str, str] | None:
        try:
            thread = await self.store.load(thread_id)
        except UnknownThread:
            return None
        step = self._shown_by(thread, card, to)
        return (step.id, step.request.digest) if step and step.request else None

    async def request_open(self, thread_id: str, to: Person) -> tuple[str, str] | None:
        try:
            thread = await self.store.load(thread_id)
        except UnknownThread:
            return None
        sent = {one for e in thread.events if isinstance(e, MessageSent) for one in e.receipt.lower().split()}
        step = thread.step(thread.pending.step) if thread.pending else None
        if step is None or step.request is None:
            return None
        ids = (one for key in self._keys(thread, step, to) for one in self.message_ids(thread.id, str(key)))
        return (step.id, step.request.digest) if any(one.lower() in sent for one in ids) else None

    async def cards(self, thread_id: str) -> Sequence[ShownCard]:
        try:
            thread = await self.store.load(thread_id)
        except UnknownThread:
            return ()
        people = [Person(name="", address=one) for one in sorted(_named_anywhere(thread))]
        return [
            ShownCard(step.id, person.address, message_id)
            for step in thread.state.steps.values()
            for person in (people if step.request else ())
            for key in self._keys(thread, step, person)
            for message_id in islice(self.message_ids(thread.id, str(key)), 1)
        ]

    async def sent_mail(self, thread_id: str, message_id: str) -> SentMail | None:
        try:
            thread = await self.store.load(thread_id)
        except UnknownThread:
            return None
        key = self._key_of(thread, message_id)
        reports = sum(isinstance(event, DeliveryFailed) and event.key == key for event in thread.events)
        return SentMail(key, _written_to(thread)) if key and reports < REPORTS_MAX else None

    def _key_of(self, thread: Thread, message_id: str) -> str:
        """The key of the mail with this Message-ID; empty: not sent, or not recorded yet."""
        sent = (e for e in thread.events if isinstance(e, MessageSent))
        return next((e.key for e in sent if message_id.lower() in e.receipt.lower().split()), "")

    def _shown_by(self, thread: Thread, card: str, to: Person) -> StepState | None:
        """The step whose request this mail showed to this person; None: the mail was for somebody else, or no card.

        It compares ids only, because the sending process may have died before it recorded the mail. Follow-ups to a
        card (another approval, a reminder) are not complete, so a reply to one decides nothing and goes to the agent.
        """
        for step in thread.state.steps.values():
            shown = self._keys(thread, step, to)
            if any(card.lower() in self.message_ids(thread.id, str(key)) for key in shown):
                return step
        return None

    def _keys(self, thread: Thread, step: StepState, to: Person) -> set[SendKey]:
        """The keys of the mails that may have shown this person the request of the step."""
        card_here = SendKey(thread.id, str(MessageKey(step.id, "card")))
        shown = {card_here, card_here.to(to.address)}
        for number, place in enumerate(step.request.places if step.request else (), 1):
            person = person_at(place)
            if place.channel == NAME and person.lower() == to.address.lower():
                there = SendKey(thread.id, str(MessageKey(step.id, "card", surface=number)))
                shown |= {there, there.to(person)}
        return shown


def _written_to(thread: Thread) -> frozenset[str]:
    """The addresses that the thread may have written to: those of its places, of deciders, and in its verified mail.

    Unverified mail chooses recipients only where there is no verified mail (`channels.email.letters`).
    """
    mails = [event for event in thread.events if isinstance(event, MessageReceived)]
    known = [mail for mail in mails if mail.sender.trust == "verified"] or mails
    return frozenset(map(str.lower, _named_in(thread, known)))


def _named_anywhere(thread: Thread) -> frozenset[str]:
    """As `_written_to`, but at any time, also before there was verified mail, and as they are written."""
    return _named_in(thread, [event for event in thread.events if isinstance(event, MessageReceived)])


def _named_in(thread: Thread, mails: Sequence[MessageReceived]) -> frozenset[str]:
    places, deciders = [thread.place], list[str]()
    for event in thread.events:
        match event:
            case ApprovalRequested():
                places += [*event.asks, *event.then_asks]
            case ApprovalDecided():
                deciders.append(event.by.address)
            case _:
                pass
    named = (one for mail in mails for one in (mail.sender.address, *named_in(mail)))
    own = (person_at(place) for place in places if place.channel == NAME)
    return frozenset(one for one in (*own, *deciders, *named) if one)
