"""Signs and verifies our Message-IDs, reply addresses and decision links.

Ids are not secret, so an id alone proves nothing. Our Message-IDs and reply addresses carry the thread's id and a
signature over it; the reply address of a request also carries a signature over that mail and its recipient; a link
carries the person, the request and its digest. The key is BOT_SECRET_KEY, or for an embedded
store one that it keeps; an older key may still verify what it signed. The inbox judges whether a link may still decide,
never this module.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

LOCAL_PART_CHARS_MAX = 64
"""RFC 5321, 4.5.3.1.1."""

_MESSAGE_ID = re.compile(r"<([a-z0-9-]{1,40})\.([a-z2-7]{16})\.([a-z2-7]{16})@([^<>@\s]+)>", re.IGNORECASE | re.ASCII)
_TAG = re.compile(r"([a-z0-9-]{1,40})\.([a-z2-7]{16})(?:\.([a-z2-7]{16}))?", re.IGNORECASE | re.ASCII)
CARD_TAG = re.compile(r"(\+[a-z0-9-]{1,40}\.[a-z2-7]{16})\.[a-z2-7]{16}(?=@)", re.IGNORECASE | re.ASCII)
"""The tag of a reply address that may decide; its first group is the part that only names the thread."""


class LinkExpired(Exception):
    """The signature is valid, but the link is too old."""


class LinkForged(Exception):
    """The signature is not valid."""


@dataclass(frozen=True, slots=True)
class Link:
    """The content of a link. `number` is the index of a question's choice; -1: the link decides a request."""

    thread_id: str
    step: str
    digest: str
    person: str
    """The mail address that it was sent to."""
    good_until: int
    """Seconds since the epoch."""
    approved: bool = False
    number: int = -1


class Signer:
    def __init__(self, secret: str, address: str, before: Sequence[str] = ()) -> None:
        """`address`: the one that people write to. `before`: older secrets, which only verify."""
        self._keys = tuple(hashlib.blake2b(one.encode(), digest_size=32).digest() for one in (secret, *before))
        # It takes the keys from the oldest to the newest, and signs with the last.
        keys = [*reversed(self._keys)]
        self._links = URLSafeSerializer(keys, salt="link", signer_kwargs={"digest_method": hashlib.sha256})
        self._local, _, self._domain = address.rpartition("@")

    def message_id(self, thread_id: str, key: str) -> str:
        """The Message-ID of the message with this key, the same for every attempt to send it."""
        return self.message_ids(thread_id, key)[0]

    def message_ids(self, thread_id: str, key: str) -> tuple[str, ...]:
        """The Message-IDs that this message may have been sent under: one for each secret, the newest first."""
        which = _base32(hashlib.blake2b(key.encode(errors="replace"), digest_size=10).digest())
        signatures = self._signatures("message", f"{thread_id}.{which}")
        return tuple(f"<{thread_id}.{which}.{signature}@{self._domain}>" for signature in signatures)

    def thread_of_message(self, message_id: str) -> str:
        """The thread that one of our Message-IDs belongs to; empty: the id is not ours."""
        found = _MESSAGE_ID.fullmatch(message_id.strip())
        if not found or found[4].lower() != self._domain.lower():
            return ""
        thread_id, which, signature, _ = (part.lower() for part in found.groups())
        return thread_id if self._is_signed(signature, "message", f"{thread_id}.{which}") else ""

    def test_id(self, number: str) -> str:
        """The Message-ID of a mail by which we test our own mail server. `number`: 16 characters of base32."""
        return f"<self-test.{number}.{self._signatures('self-test', number)[0]}@{self._domain}>"

    def is_test_id(self, message_id: str) -> bool:
        """Whether we have sent a test mail with this Message-ID. A forged one is no more than any mail."""
        found = _MESSAGE_ID.fullmatch(message_id.strip())
        if not found or found[1].lower() != "self-test" or found[4].lower() != self._domain.lower():
            return False
        return self._is_signed(found[3].lower(), "self-test", found[2].lower())

    def reply_address(self, thread_id: str) -> str:
        """A plus-address that routes replies without References to the thread; our bare address if it is too long."""
        local = f"{self._local}+{thread_id}.{self._signatures('address', thread_id)[0]}"
        return f"{local if len(local) <= LOCAL_PART_CHARS_MAX else self._local}@{self._domain}"

    def thread_of_address(self, address: str) -> str:
        """The thread that one of our reply addresses belongs to; empty: the address is not ours."""
        found = _TAG.fullmatch(address.rpartition("@")[0].rpartition("+")[2])
        if not found:
            return ""
        thread_id, signature = found[1].lower(), found[2].lower()
        return thread_id if self._is_signed(signature, "address", thread_id) else ""

    def card_address(self, message_id: str, person: str) -> str:
        """The reply address of the mail with this Message-ID of ours, for its recipient alone; empty: it is too long.

        Whoever knows it has seen that mail, which a Message-ID does not prove: replies to all carry those to others.
        """
        if not (found := _MESSAGE_ID.fullmatch(message_id)):
            return ""
        thread_id = found[1].lower()
        signature = self.card_tags(message_id, person)[0]
        local = f"{self.reply_address(thread_id).rpartition('@')[0]}.{signature}"
        is_tagged = "+" in local[len(self._local) :]
        return f"{local}@{self._domain}" if is_tagged and len(local) <= LOCAL_PART_CHARS_MAX else ""

    def card_tags(self, message_id: str, person: str) -> tuple[str, ...]:
        """What that reply address has and no other: one for each secret, the newest first. `message_id`: of ours."""
        found = _MESSAGE_ID.fullmatch(message_id)
        return self._signatures("card", f"{found[1]}.{found[2]}.{person}".lower()) if found else ()

    def card_tags_in(self, text: str) -> list[tuple[str, str]]:
        """The thread and the tag of each reply address of a request in the text.

        The threads are ours. Whether the tag is one that we gave to somebody: compare it with `card_tags`.
        """
        tags = dict.fromkeys(found[0].lower() for found in CARD_TAG.finditer(text))
        named = ((self.thread_of_address(f"{one}@"), one.rpartition(".")[2]) for one in tags)
        return [(thread_id, tag) for thread_id, tag in named if thread_id]

    def is_card_address(self, address: str, message_id: str, person: str) -> bool:
        """Whether the mail with this Message-ID gave this reply address to this person."""
        found = _TAG.fullmatch(address.rpartition("@")[0].rpartition("+")[2])
        card = _MESSAGE_ID.fullmatch(message_id.strip())
        if not found or not found[3] or not card or not self.thread_of_message(message_id):
            return False
        thread_id, which = card[1].lower(), card[2].lower()
        signed = self._is_signed(found[3].lower(), "card", f"{thread_id}.{which}.{person.lower()}")
        return signed and self.thread_of_address(address) == thread_id

    def seal(self, link: Link) -> str:
        what = [link.thread_id, link.step, link.digest, link.person, link.good_until, link.approved, link.number]
        sealed = self._links.dumps(what)
        return sealed if isinstance(sealed, str) else sealed.decode()

    def open(self, sealed: str, now: datetime) -> Link:
        """Raises LinkExpired, LinkForged."""
        try:
            what: Any = self._links.loads(sealed)
        except (BadData, UnicodeError):
            raise LinkForged from None
        match what:
            case [str(thread_id), str(step), str(digest), str(person), int(until), bool(approved), int(number)]:
                if now.timestamp() > until:
                    raise LinkExpired
                return Link(thread_id, step, digest, person, until, approved, number)
            case _:
                raise LinkForged

    def _signatures(self, purpose: str, text: str) -> tuple[str, ...]:
        """By each secret, the newest first."""
        signed = f"{purpose}\0{text}".encode()
        return tuple(_base32(hmac.digest(key, signed, "sha256")[:10]) for key in self._keys)

    def _is_signed(self, signature: str, purpose: str, text: str) -> bool:
        return any(hmac.compare_digest(signature, one) for one in self._signatures(purpose, text))


def _base32(data: bytes) -> str:
    """Lower case, because some mail programs change the case of an address."""
    return base64.b32encode(data).decode().lower()
