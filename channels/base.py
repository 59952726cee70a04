"""What a channel is: a way in, which parses what people did into events, and a way out, which says one message.

The way in is the channel's own (a socket, a mailbox, a terminal); it ends at `bot.inbox`. The way out is `send`. What
there is to say is told in the plain data below, and each channel renders it as its medium wants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from pydantic import JsonValue

from store.events import Person, Place


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the agent, Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Words of the program itself: a limit, a pause, a hand-over. Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Question:
    step: str
    question: str
    context: str
    format: Literal["free_text", "yes_no", "multiple_choice"] = "free_text"
    choices: tuple[str, ...] = ()
    urgency: Literal["low", "medium", "high"] = "medium"


@dataclass(frozen=True, slots=True)
class Card:
    """A request for approval. Everything in it is shown in full or the card is not sent at all."""

    step: str
    digest: str
    intent: str
    arguments: dict[str, JsonValue]
    facts: dict[str, JsonValue]
    requested_by: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a request, for every surface that shows its card."""

    step: str
    intent: str
    outcome: Literal["approved", "rejected", "withdrawn", "superseded", "cancelled", "refused"]
    arguments: dict[str, JsonValue] = field(default_factory=dict)
    by: Person | None = None
    at: datetime | None = None
    comment: str = ""


Outgoing = Text | Notice | Question | Card | Settled


class SendFailed(Exception):
    """The message did not go out. One line, for a person. Without `retry_after_seconds` it never will."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    @property
    def name(self) -> str:
        """As in `Place.channel`."""

    async def send(self, place: Place, message: Outgoing, *, key: str) -> str:
        """Say it there, and give the channel's reference to it.

        Sending the same key again, also after a crash between sending and noting that it was sent, says nothing twice.
        Raises SendFailed; anything else that it raises is taken for a passing fault.
        """
