"""What a channel is: a way in, which parses what people did into events, and a way out, which says one message.

The way in is the channel's own (a socket, a mailbox, a terminal); it ends at `bot.inbox`. The way out is `send`. What
there is to say is told in the plain data below, and each channel renders it as its medium wants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from pydantic import JsonValue

from store.events import Event
from store.thread import Turn
from store.values import Person, Place


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
class Vote:
    """An approval that counts."""

    name: str
    at: datetime


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
    group: str = ""
    """Who may decide it, as the team file calls them; empty: the request does not say."""
    approvers: tuple[Person, ...] = ()
    """Some of them, by name."""
    quorum: int = 1
    """Approvals that it takes."""
    votes: tuple[Vote, ...] = ()
    """Those that there are."""
    expires_at: datetime | None = None
    editable: tuple[str, ...] = ()
    """Names of the arguments (all texts) that a person may change: that makes a new request, with a card of its own."""
    receipt: str = ""
    """Of this card, as `send` gave it, where it is out and its votes have changed; empty: it is to be shown anew."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """A card still waits."""

    step: str
    intent: str
    requested_by: str
    requested_at: datetime
    group: str
    """Who may decide it by now, in words."""
    people: tuple[Person, ...] = ()
    """Those to call, by name."""
    expires_at: datetime | None = None
    widened: bool = False
    """It says that more people may decide from now on."""
    receipt: str = ""
    """Of the card, as `send` gave it; empty: it never went out."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a request, for every surface that shows its card."""

    step: str
    intent: str
    outcome: Literal["approved", "rejected", "changed", "expired", "withdrawn", "superseded", "cancelled", "refused"]
    arguments: dict[str, JsonValue] = field(default_factory=dict)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    requested_by: str = ""
    by: Person | None = None
    at: datetime | None = None
    comment: str = ""
    votes: tuple[Vote, ...] = ()
    """Where it took more than one approval, all that counted; else empty."""
    standing: str = ""
    """The standing approval that approved it; empty: a person did, who saw it."""
    receipt: str = ""
    """Of the card, as `send` gave it; empty: it never went out."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that had buttons needs no answer any more: somebody gave one, or spoke of something else."""

    question: str
    by: str
    answer: str
    """Empty: it was not answered."""
    receipt: str = ""
    """Of the question, as `send` gave it; empty: it never went out."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a step goes that takes long: one message for each, kept up to date. Not every channel tells it."""

    what: str
    state: Literal["under_way", "done", "failed", "stopped"]
    error: str = ""
    receipt: str = ""
    """Of the message that told its beginning; empty: this is that message."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Something could not be said at its place: the person who asked hears of it where the channel reaches them."""

    person: Person
    text: str
    """Plain text, one paragraph."""


Outgoing = Text | Notice | Question | Card | Reminder | Settled | Answered | Progress | Undelivered


AnswersHttp = Callable[[Mapping[str, str], Mapping[str, str], bytes], Awaitable[tuple[int, dict[str, str], str]]]
"""Takes query, headers and body of what was posted to a channel; gives status, headers and body of the answer.

Raises UnicodeDecodeError.
"""


class ChannelUnavailable(Exception):
    """A channel that is set up does not work. One line: what is wrong, and what to do."""


class SendFailed(Exception):
    """The message did not go out. One line, for a person. Without `retry_after_seconds` it never will."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class SentInPart(Exception):
    """The message went out, and some of those whom it is for will never get it."""

    def __init__(self, receipt: str, refused: Mapping[str, str]) -> None:
        super().__init__(f"not to {', '.join(refused)}")
        self.receipt = receipt
        self.refused = dict(refused)
        """Address -> why, in one line."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of asking something that a channel needs, for `bot doctor`."""

    what: str
    is_well: bool
    text: str
    """One line: how it is; where it is not well, what to do."""


class Channel(Protocol):
    """A channel that inherits from this has to say things, and may leave the rest."""

    name: str
    """As in `Place.channel`."""

    async def send(
        self, place: Place, message: Outgoing, *, key: str, since: datetime | None = None, so_far: Sequence[Event] = ()
    ) -> str:
        """Say it there, and give the channel's reference to it (its receipt).

        `since`: it has been owed since then and may have been sent already, by a process that died before it could
        note it. The channel looks before it says it again. None: nobody can have sent it yet.
        `so_far`: the thread's events up to the one that it is owed for, the same each time that it is tried; for a
        channel whose messages name those before them.

        Raises SendFailed, and SentInPart instead of giving a receipt; anything else that it raises is taken for a
        passing fault.
        """

    def anchored(self, place: Place, receipt: str) -> Place | None:
        """Where a thread is held whose first message there has this receipt; None: at `place`, as before.

        A thread that we open in a Slack channel has no place of its own before that message has.
        """
        return None

    def covers(self, place: Place, other: Place) -> bool:
        """Whether people who look at `other` see what is said at `place` as well."""
        return place == other

    def busy(self, place: Place, doing: str) -> None:
        """Show there that the agent is at work (`is looking at the tags`), until the next message or `at_rest`.

        A courtesy that nothing waits for: it returns at once, keeps nothing and never raises.
        """
        return None

    def at_rest(self, place: Place, turn: Turn) -> None:
        """Show there that the agent has stopped, and whose turn it is. Likewise."""
        return None

    async def check(self) -> Sequence[Checked]:
        """Ask for real what it needs to say things. Empty: it is asked elsewhere, or needs nothing. Never raises."""
        return ()

    async def aclose(self) -> None:
        """Close what it holds open."""
        return None
