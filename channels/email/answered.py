"""Remembers which thread holds the answers to a mail that never came to us.

Two people answer the same mail and put us in Cc: both answers name a Message-ID that we have never seen, and belong
into one thread. The first answer says which; it says so before it is appended, so a crash between the two leaves a
place that the next of them opens. The newest ids are kept in the store, the oldest are forgotten, and so is an id that
no answer has named for a year. Every answer names the beginning of its conversation, so however slow that is, the note
of it is renewed; and an answer to one that we have seen is found by that.

A Message-ID is no secret: whoever may write to us, and knows one, can join. `channels.email.inbound` decides who may.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from store.base import NoteStore

BUCKET_DIGITS = 2
BUCKET_MAX = 100
"""Ids in a note. With two hexadecimal digits there are 256 notes, so about 25,000 ids are remembered."""
DAYS_MAX = 366
"""How long an id is remembered after the last answer that named it."""
DAYS = "days"
"""The key in a note, beside those of the ids, under which the day of each id stands. Older versions leave it alone."""
_NAME = "email/answered"
_DAY_SECONDS = 86_400


class AnsweredMail:
    """Every method raises StoreUnavailable."""

    def __init__(self, notes: NoteStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._notes = notes
        self._clock = clock

    async def address_of(self, ids: Sequence[str]) -> str:
        """The address of the thread in which the first known of these mails is answered; empty: none is known."""
        for one in ids:
            hashed = _hash(one)
            _, known, _ = await self._read(hashed)
            if hashed in known:
                return known[hashed]
        return ""

    async def claim(self, ids: Sequence[str], address: str) -> str:
        """Let these mails be answered at this address. Returns where they are: the first claim counts.

        `ids`: the beginning of the conversation first, which all its answers name. Whoever claims it first decides for
        all of them, so that no two of them point to different threads.
        """
        address = await self.address_of(ids) or address
        for number, one in enumerate(ids):
            found = await self._put(one, address)
            address = found if number == 0 else address
        return address

    async def _put(self, message_id: str, address: str) -> str:
        """The address of this mail: this one, if it had none."""
        hashed = _hash(message_id)
        while True:
            text, known, days = await self._read(hashed)
            if hashed in known and days.get(hashed) == self._today:
                return known[hashed]
            found = known.pop(hashed, address)
            kept = dict([*known.items(), (hashed, found)][-BUCKET_MAX:])
            days = {one: days.get(one, self._today) for one in kept} | {hashed: self._today}
            if await self._notes.set_note(_note(hashed), json.dumps({**kept, DAYS: days}), expected=text):
                return found

    async def _read(self, hashed: str) -> tuple[str, dict[str, str], dict[str, int]]:
        """The note, the addresses in it that are not forgotten, and the days on which they were named last."""
        text = await self._notes.get_note(_note(hashed))
        known = json.loads(text) if text else {}
        days = known.pop(DAYS, {})
        first = self._today - DAYS_MAX
        return text, {one: address for one, address in known.items() if days.get(one, first) >= first}, days

    @property
    def _today(self) -> int:
        return int(self._clock().timestamp()) // _DAY_SECONDS


def _note(hashed: str) -> str:
    return f"{_NAME}/{hashed[:BUCKET_DIGITS]}"


def _hash(message_id: str) -> str:
    return hashlib.blake2b(message_id.encode(errors="replace"), digest_size=12).hexdigest()
