"""The way out by mail. `channels.email.letters` writes the mails, `channels.email.outbox` sends them.

A mail cannot be edited. What other channels edit in place becomes another mail in the same thread, or is left out if it
only reports progress. A mail that may have been sent already is sent again with the same Message-ID, because nobody can
look into a recipient's mailbox. This module retries nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from channels.base import Channel, SendFailed, SentInPart
from channels.email.identity.senders import is_plain_address
from channels.email.letters import Writer, is_mailed
from channels.email.outbox import GIVE_UP_SECONDS, Outbox
from channels.email.place import NAME, private_place
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
        """The receipt is the Message-IDs of all mails, separated by spaces."""
        if not is_mailed(message):
            return ""
        letters = self._writer.letters(place, message, way, key=key, so_far=so_far)
        if not letters:
            raise SendFailed("Nobody in this thread has a usable mail address.")
        owed_seconds = (datetime.now(UTC) - since).total_seconds() if since else 0.0
        refused: dict[str, str] = {}
        failed: list[SendFailed] = []
        # Try every mail before giving up, so that one full mailbox does not affect the other recipients.
        for letter in letters:
            try:
                await self._outbox.deliver(letter, owed_seconds=owed_seconds)
            except SentInPart as partly:
                refused |= partly.refused
            except SendFailed as error:
                failed.append(error)
                refused |= dict.fromkeys(letter.recipients, str(error))
        later = [error for error in failed if error.retry_after_seconds is not None]
        if waiting := next((error for error in later if error.until_repaired), None):
            raise waiting
        if later and (len(failed) == len(letters) or owed_seconds < GIVE_UP_SECONDS):
            raise later[0]
        if len(failed) == len(letters):
            raise failed[0]
        receipt = " ".join(letter.message_id for letter in letters)
        if refused:
            raise SentInPart(receipt, refused)
        return receipt

    def place_for(self, person: Person, beside: Place) -> Place | None:
        return private_place(person.address) if is_plain_address(person.address) else None

    async def aclose(self) -> None:
        await self._outbox.aclose()
