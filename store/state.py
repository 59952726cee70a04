"""What a thread's events come to: the state of each step, of each request, and of the thread as a whole.

Plain data, computed by `store.fold` alone. Nothing here is kept anywhere, and nothing here knows an agent or a channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import JsonValue

from store.authority.terms import Judgement, Terms, judge, names_of
from store.events import (
    ApprovalDecided,
    ApprovalRequested,
    Effect,
    StepChosen,
    StepRefused,
    ToolFinished,
    ToolInterrupted,
)
from store.outbox import Outbox
from store.values import Person, Place

StepStatus = Literal[
    "chosen",  # selected, not begun
    "requested",  # waits for a person's decision
    "approved",  # decided, not begun
    "running",  # started, and no ending is known
    "waiting",  # looks again when its timer fires
    "due",  # its timer has fired
    "finished",
    "failed",
    "rejected",
    "expired",  # nobody decided in time
    "refused",
    "interrupted",  # started, and nobody knows whether it happened
    "superseded",
    "withdrawn",
    "cancelled",
    "complete",  # a step of the program's own that has nothing to run
    "duplicate",  # the same call as one that is held already: that one goes on
]
OPEN: frozenset[StepStatus] = frozenset({"chosen", "requested", "approved", "running", "waiting", "due"})
HELD: frozenset[StepStatus] = frozenset({"requested", "approved", "waiting", "due"})

Outcome = Literal["settled", "counted", "too_late", "not_entitled", "other_request", "expired"]
"""What came of one person's decision. `counted`: it is one of several approvals that it takes."""

_EFFECTS: dict[str, Effect] = {
    "done_for_now": "says",
    "send_update": "updates",
    "request_human_input": "asks",
    "nothing_to_do": "rests",
    "withdraw_request": "withdraws",
    "look_again": "waits",
    "set_reminder": "reminds",
}
"""Of the program's own steps, in logs from before `StepChosen.effect`."""


def effect_of(event: StepChosen) -> Effect:
    """What the step does: as the event says, or in an old log as its intent says."""
    return event.effect or _EFFECTS.get(event.intent, "runs")


class Request(NamedTuple):
    """A call that a person has to approve, and all that came of asking."""

    chosen: StepChosen
    asked: ApprovalRequested
    terms: Terms
    outcomes: Mapping[str, Outcome]
    """What came of each decision, by its event id."""
    votes: tuple[ApprovalDecided, ...] = ()
    """Approvals that count, each of another person."""
    decision: ApprovalDecided | None = None
    """The one that settled it."""
    reminded: bool = False
    widened: bool = False
    """More people may decide than at first."""
    shown_at: frozenset[int] = frozenset()
    """At which of its surfaces it was shown: see `store.outbox.Unsent.surface`."""

    @property
    def step(self) -> str:
        return self.asked.step

    @property
    def digest(self) -> str:
        return self.asked.digest

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it is shown beside the thread's own place; the later ones only once it was widened."""
        return (*self.asked.asks, *self.asked.then_asks)

    @property
    def editable(self) -> dict[str, str]:
        """The arguments that a person may change instead of approving, as they stand."""
        arguments = ((name, self.chosen.arguments.get(name)) for name in self.asked.editable)
        return {name: text for name, text in arguments if isinstance(text, str)}

    def has_voted(self, person: Person) -> bool:
        """Their approval counts already."""
        return any(not names_of(person).isdisjoint(names_of(vote.by)) for vote in self.votes)

    def verdict(
        self, by: Person, groups: Iterable[str], at: datetime, *, approved: bool, standing: str = ""
    ) -> Judgement:
        """Whether a decision of this person counts then. Whether the request is still open is the step's status."""
        return judge(self.terms, by, groups, at, approved=approved, widened=self.widened, standing=standing)


class StepState(NamedTuple):
    chosen: StepChosen
    status: StepStatus = "chosen"
    attempt: int = 0
    """How often it was started."""
    restarts: int = 0
    """How often in a row it was started again because nobody knew how it had ended."""
    repeatable: bool = False
    request: Request | None = None
    until: datetime | None = None
    shown: bool = False
    """It takes long: people are shown that it is under way, and then how it ended."""
    ended: ToolFinished | ToolInterrupted | StepRefused | None = None

    @property
    def id(self) -> str:
        return self.chosen.step

    @property
    def result(self) -> JsonValue:
        return self.ended.result if isinstance(self.ended, ToolFinished) else None

    @property
    def effect(self) -> Effect:
        return effect_of(self.chosen)


@dataclass(slots=True)
class Edits:
    """What authors changed of their messages. An edit counts until the model has read the message."""

    fresh: tuple[str, ...] = ()
    """Event ids of the messages that came since the model last chose."""
    texts: dict[str, str | None] = field(default_factory=dict)
    """What messages say since they were edited in time, by event id; None: deleted."""
    early: dict[str, str | None] = field(default_factory=dict)
    """Edits that came before their message, or too late. They count only if the message comes later."""

    def copy(self) -> Edits:
        return Edits(self.fresh, dict(self.texts), dict(self.early))

    def message_came(self, message: str) -> None:
        self.fresh += (message,)
        if message in self.early:
            self.texts[message] = self.early[message]

    def edit_came(self, message: str, text: str | None) -> None:
        where = self.texts if message in self.fresh else self.early
        where[message] = text


@dataclass(slots=True)
class State:
    agent: str = ""
    place: Place | None = None
    steps: dict[str, StepState] = field(default_factory=dict)
    open_steps: tuple[str, ...] = ()
    """Ids of the steps whose status is in OPEN, oldest first."""
    current: str = ""
    """The step chosen last."""
    news: bool = False
    """Something happened since the last step was chosen."""
    unread: bool = False
    """Somebody wrote and the model has not been asked since: code may have chosen steps, but it answers nobody."""
    edits: Edits = field(default_factory=Edits)
    unverified: bool = False
    """An unverified person wrote here: what acts needs an approval then, whatever it is."""
    unattended: bool = False
    """A schedule began this, and no verified person has written since: likewise."""
    question: str = ""
    """The step that waits for a person's answer."""
    errors_in_row: int = 0
    steps_in_turn: int = 0
    """Steps chosen since a person, or a trigger, last moved the thread."""
    choice_failures: int = 0
    retry_choice_at: datetime | None = None
    handed: bool = False
    """It rests with a person."""
    paused: bool = False
    cancelled: bool = False
    outbox: Outbox = field(default_factory=Outbox)
    unreadable: bool = False

    def copy(self) -> State:
        return replace(self, steps=dict(self.steps), outbox=self.outbox.copy(), edits=self.edits.copy())

    def held_alike(self, intent: str, arguments: Mapping[str, JsonValue]) -> StepState | None:
        """The step that holds the same call already: it waits, or was approved and has not begun."""
        held = (step for i in self.open_steps if (step := self.steps[i]).status in HELD)
        return next((s for s in held if (s.chosen.intent, s.chosen.arguments) == (intent, arguments)), None)
