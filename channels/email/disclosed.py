"""Remembers which reply addresses of requests are known to others than the person who got them.

A reply decides because it comes to an address that stood in one mail to one person. When that person replies to all,
the others learn it, and it proves nothing any more. So every mail that comes in is looked at, also one that is ignored
then. The address is known if it stands in a mail that went to somebody besides us and its sender, or that somebody else
sent. Nobody can stop a person's replies by a guess: what we have not signed is no address.

The first such mail is noted in the store before anything else comes of it. The mails behind it in the mailbox are read
after that, by every process. It may still decide itself, as its sender wrote it before the others knew. What others
got without us is not seen: a blind copy, or a request that was forwarded.

This module refuses nothing and tells nobody; `channels.email.deciding` does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import islice
from typing import Literal

import structlog

from channels.email.desk import Desk, ShownCard
from channels.email.letters import Writer
from channels.email.parse import Mail
from store.base import NoteStore
from store.text import one_line

log = structlog.get_logger(__name__)

TAGS_MAX = 50
"""Reply addresses in one mail that are looked at."""

State = Literal["secret", "disclosed_by_it", "disclosed"]
"""`disclosed_by_it`: this very mail, or a copy of it, was the first that showed others to know the address."""


class DisclosedAddresses:
    """Every method raises StoreUnavailable."""

    def __init__(self, notes: NoteStore, desk: Desk, writer: Writer) -> None:
        self._notes = notes
        self._desk = desk
        self._writer = writer
        self._signer = writer.signer

    async def look_at(self, mail: Mail, raw: bytes, *, is_senders: bool) -> None:
        """Note the addresses that the mail shows to be known to others.

        `raw`: its bytes; empty: only its recipients count. `is_senders`: nothing says that somebody else sent it.
        """
        tags = await asyncio.to_thread(self._tags_in, mail, raw)
        others = [one for one in mail.shown_to if not self._is_sender_or_us(mail, one)]
        by_robot = bool(mail.automatic or mail.bounce)
        for thread_id in dict.fromkeys(thread_id for thread_id, _ in tags):
            cards = await self._cards(thread_id)
            for card in (cards[tag] for named, tag in tags if named == thread_id and tag in cards):
                is_own = is_senders and card.person.lower() == mail.sender.lower()
                # A robot's answer to our mail comes from the recipient's own server.
                if others or not (is_own or by_robot):
                    await self._note(thread_id, card, mail, by=_fingerprint(mail) if is_own else "")

    async def state(self, mail: Mail, thread_id: str, step: str) -> State:
        """Of the reply address that the sender of the mail got with this request."""
        _, known = await self._read(thread_id)
        by = known.get(_key(step, mail.sender))
        return "secret" if by is None else "disclosed_by_it" if by == _fingerprint(mail) else "disclosed"

    def _tags_in(self, mail: Mail, raw: bytes) -> Sequence[tuple[str, str]]:
        """The threads and tags of reply addresses that stand in the mail."""
        texts = [*mail.recipients, *mail.shown_to]
        if raw:
            # The bytes have attached mails and all headers; the texts, what is encoded in the bytes.
            unbroken = raw.replace(b"=\r\n", b"").replace(b"=\n", b"")  # quoted-printable
            attached = (one.text for one in mail.attachments)
            texts += [mail.text, mail.quoted, *attached, unbroken.decode("latin-1")]
        return list(islice(dict.fromkeys(self._signer.card_tags_in("\n".join(texts))), TAGS_MAX))

    async def _cards(self, thread_id: str) -> dict[str, ShownCard]:
        """The mails that gave a reply address to somebody, by its tag."""
        cards = await self._desk.cards(thread_id)
        return {tag: card for card in cards for tag in self._signer.card_tags(card.message_id, card.person)}

    def _is_sender_or_us(self, mail: Mail, address: str) -> bool:
        return address.lower() == mail.sender.lower() or self._writer.is_ours(address)

    async def _note(self, thread_id: str, card: ShownCard, mail: Mail, *, by: str) -> None:
        """`by`: the fingerprint of the mail, if it may decide itself; else empty. The first mail counts."""
        key = _key(card.step, card.person)
        while True:
            text, known = await self._read(thread_id)
            if key in known:
                return
            if await self._notes.set_note(_name(thread_id), json.dumps(known | {key: by}), expected=text):
                break
        found = {"thread": thread_id, "step": card.step, "person": one_line(card.person, 200)}
        log.warning("reply_address_known", **found, message_id=mail.message_id[:200])

    async def _read(self, thread_id: str) -> tuple[str, dict[str, str]]:
        text = await self._notes.get_note(_name(thread_id))
        return text, json.loads(text) if text else {}


def _fingerprint(mail: Mail) -> str:
    """Of its words and of what they answer. Its Message-ID would not do: whoever got the mail can use that again."""
    return " ".join((mail.digest, *mail.in_reply_to))


def _name(thread_id: str) -> str:
    return f"email/disclosed/{thread_id}"


def _key(step: str, person: str) -> str:
    return f"{step} {person.lower()}"
