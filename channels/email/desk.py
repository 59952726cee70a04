"""What email asks the rest of the program about threads: which mail is whose, and what a mail of ours showed to whom.

`bot.desks.email` answers. This module holds the questions alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from store.values import Person, Place

WINDOW_SECONDS = 3600.0
"""The time over which mails of a sender are counted."""


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail of ours, as its thread remembers it."""

    key: str
    """The key that it was sent under."""
    written_to: frozenset[str]
    """The addresses that the thread has written to, in lower case."""


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A mail that may have shown a request to one person."""

    step: str
    person: str
    message_id: str


class Desk(Protocol):
    """What email needs from the rest of the program. Every method but `agent_of` raises StoreUnavailable."""

    async def exceeds_rate_limit(self, sender: str, mail: str, limit: int) -> bool:
        """Count `mail`, and say whether the sender has now sent more than `limit` mails within WINDOW_SECONDS."""

    async def opened_by(self, place: Place) -> str | None:
        """The address of the person who opened the thread at this place; None: there is no thread."""

    async def request_shown(self, thread_id: str, card: str, to: Person) -> tuple[str, str] | None:
        """The step and digest of the request that the mail with Message-ID `card` showed to this person; None: none."""

    async def request_open(self, thread_id: str, to: Person) -> tuple[str, str] | None:
        """The step and digest of the request that waits in the thread and was mailed to this person; None: none."""

    async def cards(self, thread_id: str) -> Sequence[ShownCard]:
        """All mails that may have shown a request of the thread to somebody, also those that were never sent."""

    async def sent_mail(self, thread_id: str, message_id: str) -> SentMail | None:
        """Our mail with this Message-ID; None: there is none, or it has bounced too often already."""

    def agent_of(self, addresses: Sequence[str], /) -> str:
        """The agent for the first of these addresses that has a route."""
