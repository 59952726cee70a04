"""The messages that agents send to people, as plain data, and how each relates to earlier ones.

There are six kinds of message. A question, a request for approval, progress and tasks have a state; when it changes,
the same message is sent again with the new state. A `Way` beside the message says whether it replaces an earlier
message, replies to one, or is new. `agent.speech` chooses both, and each channel renders them. This module reads no
log, does no I/O and knows no medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from channels.labels import rows as labelled
from store.text import one_line
from store.values import Person

APPROVERS_MAX = 5
"""Names shown of the people who may decide a request."""
CALLED_MAX = 20
"""People whom a request lists, and whom its card and its reminder mention."""
HEADLINE_CHARS_MAX = 130
"""With `Approval needed: ` before it, it fits into the 150 of a header in Slack and of a mail's subject."""
WORDS_CHARS_MAX = 200
"""Of the words that asked for something, beside who wrote them."""
YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Text:
    """Text by the agent, in Markdown."""

    text: str
    step: str = ""
    """The step that says it, where people may say whether it helped; empty: they are not asked."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Plain text by the program itself, about a limit, a pause or a hand-over, for example."""

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
    """The question no longer needs an answer, because the conversation moved on."""


@dataclass(frozen=True, slots=True)
class Question:
    step: str
    question: str
    context: str = ""
    format: Literal["free_text", "yes_no", "multiple_choice"] = "free_text"
    choices: tuple[str, ...] = ()
    urgency: Literal["low", "medium", "high"] = "medium"
    state: Unanswered | Answered | Dropped = Unanswered()
    calls: tuple[Person, ...] = ()
    """Whom to notify of it: those who take part, if it is urgent."""
    in_words: bool = True
    """Whether people may answer in words of their own; if not, only a choice answers it."""

    @property
    def is_urgent(self) -> bool:
        return self.urgency == "high"

    @property
    def offers(self) -> tuple[str, ...]:
        """The choices to offer. An answer may name one by its index."""
        return self.choices or (YES_NO if self.format == "yes_no" else ())


# Requests for approval


@dataclass(frozen=True, slots=True)
class Vote:
    """An approval that counts."""

    name: str
    """See `store.names`."""
    at: datetime
    by: Person | None = None
    """So that a channel can mention them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request waits for a decision."""


WAITING = Waiting()


@dataclass(frozen=True, slots=True)
class Reminded:
    """The request still waits, and people are reminded of it."""

    widened: bool = False
    """Whether more people may decide from now on."""


@dataclass(frozen=True, slots=True)
class Ended:
    outcome: Literal["approved", "rejected", "changed", "expired", "withdrawn", "superseded", "cancelled", "refused"]
    by: Person | None = None
    at: datetime | None = None
    comment: str = ""
    standing: str = ""
    """The id of the standing approval that approved it; empty: a person decided."""
    lapsed: str = ""
    """Why it was refused although it had been approved; empty: it was not."""
    why: str = ""
    """Why it was closed, where nobody decided it, as a sentence; empty: the outcome says it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval. A channel shows a waiting request in full or not at all."""

    step: str
    digest: str
    intent: str
    arguments: dict[str, JsonValue]
    facts: dict[str, JsonValue]
    requested_by: str
    """Who asked for the call, and who edited it: see `store.names`. Never a display name."""
    requested_at: datetime
    group: str = ""
    """The group in the team file that may decide; empty: the request does not say."""
    approvers: tuple[Person, ...] = ()
    """Some of the people who may decide."""
    quorum: int = 1
    """The number of approvals required."""
    votes: tuple[Vote, ...] = ()
    """The approvals so far; empty if only one is required."""
    expires_at: datetime | None = None
    cautions: tuple[str, ...] = ()
    """Sentences to read before deciding: what is unusual about who asked for it."""
    editable: tuple[str, ...] = ()
    """Names of the arguments (all strings) that a person may change, which makes a new request."""
    state: Waiting | Reminded | Ended = WAITING
    words: str = ""
    """What the person who asked for it wrote, whatever its length; empty: a machine asked, or they took it back."""
    asked_by: Person | None = None
    """The person who asked for it, so that a channel can mention them; None: a machine."""
    changed_by: Person | None = None
    """The person who edited it."""
    asked_again: str = ""
    """Why an earlier approval of the same call did not hold; empty: there was none."""
    title: str = ""
    """What is asked for, on one line, as its tool says it; empty: the request is older than titles are."""
    dangers: tuple[str, ...] = ()
    """The keys of the facts that warn people."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What people read for keys of the arguments and facts: see `channels.labels`."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By key of a danger, a sentence that says it."""

    @property
    def headline(self) -> str:
        """The words with which every message about it begins."""
        return one_line(self.title, HEADLINE_CHARS_MAX) or one_line(self.intent, HEADLINE_CHARS_MAX)

    @property
    def names_its_tool(self) -> bool:
        return f"{self.headline} ".startswith(f"{self.intent} ")

    @property
    def question(self) -> str:
        """What is decided."""
        return f"{self.headline.rstrip('?')}?"

    @property
    def danger(self) -> str:
        """Sentences that say what is dangerous about it, in the same breath; empty: nothing, or only rows."""
        return " ".join(self.warnings[key] for key in self.dangers if key in self.facts and key in self.warnings)

    @property
    def danger_rows(self) -> dict[str, JsonValue]:
        """What is dangerous and has no sentence, by its labels."""
        unsaid = (key for key in self.dangers if key in self.facts and key not in self.warnings)
        return labelled({}, {key: self.facts[key] for key in unsaid}, self.labels)

    @property
    def rows(self) -> dict[str, JsonValue]:
        """All arguments, and the facts that warn nobody, by their labels and in the order of a card."""
        harmless = {key: value for key, value in self.facts.items() if key not in self.dangers}
        return labelled(self.arguments, harmless, self.labels)

    @property
    def asked_words(self) -> str:
        """The beginning of the words that asked for it, in quotes and on one line; empty: there are none."""
        return f"“{words}”" if (words := one_line(self.words, WORDS_CHARS_MAX)) else ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a long-running step, in one message that is updated. A channel may leave it out."""

    what: str
    state: Literal["under_way", "done", "failed", "stopped"]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ListedTask:
    title: str
    state: Literal["to_do", "waiting_for_approval", "under_way", "done", "not_done"]


@dataclass(frozen=True, slots=True)
class Tasks:
    """What the agent will do and has done, in one message that is updated. A channel may leave it out."""

    tasks: tuple[ListedTask, ...]


Outgoing = Text | Notice | Question | Approval | Progress | Tasks


# How a message relates to earlier ones


@dataclass(frozen=True, slots=True)
class New:
    """A new message."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replaces the message with this receipt (see `Channel.send`)."""

    receipt: str


@dataclass(frozen=True, slots=True)
class Under:
    """A reply to the message with this receipt."""

    receipt: str


Way = New | Rewrite | Under
NEW = New()
