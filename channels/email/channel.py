"""The way out by mail. What a mail says is `channels.email.letters`, who takes it `channels.email.outbox`.

A mail has no second version: what other channels rewrite in place is told by another mail in the same thread, or, where
it only says how things are going, not at all. A mail that may have gone out already is sent again under the same
Message-ID, since nobody can look into other people's mailboxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from channels.base import Channel, SendFailed, SentInPart
from channels.email.identity.senders import is_plain_address
from channels.email.letters import Writer, is_mailed
from channels.email.outbox import GIVE_UP_SECONDS, Outbox
from channels.email.place import NAME, alone
from channels.messages import NEW, Outgoing, Way
from store.events import Event
from store.values import Person, Place


class EmailChannel(Channel):
    name = NAME

    def __init__(self, writer: Writer, outbox: Outbox) -> None:
        self._writer = writer
        self._outbox = outbox

    async def send(
        self,
        place: Place,
        message: Outgoing,
        way: Way = NEW,
        *,
        key: str,
        since: datetime | None = None,
        so_far: Sequence[Event] = (),
    ) -> str:
        """The receipt is the Message-IDs, one for each mail, a space between them."""
        if not is_mailed(message):
            return ""
        letters = self._writer.letters(place, message, way, key=key, so_far=so_far)
        if not letters:
            raise SendFailed("There is no mail address of anybody in this thread.")
        owed_seconds = (datetime.now(UTC) - since).total_seconds() if since else 0.0
        refused: dict[str, str] = {}
        failed: list[SendFailed] = []
        # All of them are tried before any is given up: one full mailbox keeps nothing from the others.
        for letter in letters:
            try:
                await self._outbox.deliver(letter, owed_seconds=owed_seconds)
            except SentInPart as partly:
                refused |= partly.refused
            except SendFailed as error:
                failed.append(error)
                refused |= dict.fromkeys(letter.recipients, str(error))
        later = [error for error in failed if error.retry_after_seconds is not None]
        if later and (len(failed) == len(letters) or owed_seconds < GIVE_UP_SECONDS):
            raise later[0]
        if len(failed) == len(letters):
            raise failed[0]
        receipt = " ".join(letter.message_id for letter in letters)
        if refused:
            raise SentInPart(receipt, refused)
        return receipt

    def place_for(self, person: Person, beside: Place) -> Place | None:
        return alone(person.address) if is_plain_address(person.address) else None

    async def aclose(self) -> None:
        await self._outbox.aclose()
