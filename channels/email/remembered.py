"""Remembers which mail of a mailbox was looked at or deliberately left, independently of its UIDs.

UIDs are only comparable while UIDVALIDITY stays the same, and a restored mailbox may give all mail a new date. So each
mail has a fingerprint of what its sender wrote into its head, and the newest of them are kept in the store. This module
talks to no mail server, and it does not decide what to do with a mail that is not remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from store.base import NoteStore

FIELDS = ("message-id", "from", "date", "subject")
"""The header fields in a fingerprint."""
HEAD_BYTES_MAX = 64_000
"""A field that begins later is not part of the fingerprint."""
VALUE_BYTES_MAX = 500
BUCKET_DIGITS = 2
BUCKET_MAX = 200
"""Fingerprints in a note. With two hexadecimal digits there are 256 notes, so about 50,000 mails are remembered."""


def fingerprint_of(raw: bytes) -> str:
    """The same for a mail and for its head alone, whatever servers have added. Takes linear time."""
    found: dict[str, bytes] = {}
    current = ""
    for line in raw[:HEAD_BYTES_MAX].splitlines():
        if not line:
            break
        if line[:1] in (b" ", b"\t"):
            if current and len(found[current]) < VALUE_BYTES_MAX:
                found[current] += line
            continue
        name, _, value = line.partition(b":")
        field = name.strip().lower().decode("latin-1")
        current = field if field in FIELDS and field not in found else ""
        if current:
            found[current] = value[:HEAD_BYTES_MAX]
    values = (b" ".join(found.get(field, b"").split())[:VALUE_BYTES_MAX] for field in FIELDS)
    return hashlib.blake2b(b"\0".join(values), digest_size=8).hexdigest()


class RememberedMail:
    def __init__(self, notes: NoteStore, name: str) -> None:
        self._notes = notes
        self._name = name

    async def add(self, fingerprints: Iterable[str]) -> None:
        """Raises StoreUnavailable."""
        for bucket, added in _by_bucket(fingerprints).items():
            name = self._note(bucket)
            while True:
                known = await self._notes.get_note(name)
                kept = list(dict.fromkeys((*known.split(), *added)))[-BUCKET_MAX:]
                if await self._notes.set_note(name, " ".join(kept), expected=known):
                    break

    async def known(self, fingerprints: Iterable[str]) -> frozenset[str]:
        """Those that are remembered. Raises StoreUnavailable."""
        found = set[str]()
        for bucket, wanted in _by_bucket(fingerprints).items():
            found |= wanted & set((await self._notes.get_note(self._note(bucket))).split())
        return frozenset(found)

    def _note(self, bucket: str) -> str:
        return f"{self._name} seen {bucket}"


def _by_bucket(fingerprints: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in fingerprints:
        found.setdefault(one[:BUCKET_DIGITS], set()).add(one)
    return found
