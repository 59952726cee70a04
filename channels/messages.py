"""What there is to say to people, as plain data, and how it relates to what was said before.

There are five kinds of message. A question, a request for approval and progress change after they were said: each has a
state, and each change is the same message said again in its new state. Whether it takes the place of an earlier
message, stands under one, or is a new one is a value beside it (`Way`); `agent.speech` chooses both. How a medium shows
them is each channel's matter. Nothing here reads a log, does I/O or knows a medium.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from store.values import Person

APPROVERS_MAX = 5
"""Of those who may decide a request, so many are named where it is shown."""
CALLED_MAX = 20
"""So many of them a request keeps, and calls when it still waits."""
YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the agent, Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Words of the program itself: a limit, a pause, a hand-over. Plain text."""

    text: str


# Questions


@dataclass(frozen=True, slots=True)
class Unanswered:
    pass


@dataclass(frozen=True, slots=True)
class Answered:
    by: str
    answer: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """It needs no answer any more: somebody spoke of something else."""


@dataclass(frozen=True, slots=True)
class Question:
    step: str
    question: str
    context: str = ""
    format: Literal["free_text", "yes_no", "multiple_choice"] = "free_text"
    choices: tuple[str, ...] = ()
    urgency: Literal["low", "medium", "high"] = "medium"
    state: Unanswered | Answered | Dropped = Unanswered()

    @property
    def offers(self) -> tuple[str, ...]:
        """What there is to choose from; an answer may name one by its number here, from 0."""
        return self.choices or (YES_NO if self.format == "yes_no" else ())


# Requests for approval


@dataclass(frozen=True, slots=True)
class Vote:
    """An approval that counts."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """For a decision."""


WAITING = Waiting()


@dataclass(frozen=True, slots=True)
class Reminded:
    """It still waits, and people are called again."""

    widened: bool = False
    """More people may decide from now on."""


@dataclass(frozen=True, slots=True)
class Ended:
    outcome: Literal["approved", "rejected", "changed", "expired", "withdrawn", "superseded", "cancelled", "refused"]
    by: Person | None = None
    at: datetime | None = None
    comment: str = ""
    standing: str = ""
    """The standing approval that approved it; empty: a person did, who saw it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval. While it waits, everything in it is shown in full or it is not shown at all."""

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
    """Those that there are, where it takes more than one; else empty."""
    expires_at: datetime | None = None
    editable: tuple[str, ...] = ()
    """Names of the arguments (all texts) that a person may change: that makes a new request, with a card of its own."""
    state: Waiting | Reminded | Ended = WAITING


@dataclass(frozen=True, slots=True)
class Progress:
    """How a step goes that takes long: one message for each, kept up to date. Not every channel tells it."""

    what: str
    state: Literal["under_way", "done", "failed", "stopped"]
    error: str = ""


Outgoing = Text | Notice | Question | Approval | Progress


# How it is said


@dataclass(frozen=True, slots=True)
class New:
    """As a message of its own."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """In place of the message with this receipt, as `Channel.send` gave it."""

    receipt: str


@dataclass(frozen=True, slots=True)
class Under:
    """As a reply to the message with this receipt."""

    receipt: str


Way = New | Rewrite | Under
NEW = New()
