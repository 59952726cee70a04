"""The state that a thread's events add up to: of each step, of each request, and of the thread as a whole.

Plain data, computed by `store.fold` only and never persisted. It knows no agent and no channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Literal, NamedTuple

from pydantic import JsonValue

from store.authority.terms import Judgement, Terms, judge, names_of
from store.authority.words import NO_WORDS, Words
from store.events import (
    ApprovalDecided,
    ApprovalRequested,
    StepChosen,
    StepRefused,
    ToolFinished,
    ToolInterrupted,
    ToolNotBegun,
)
from store.outbox import Outbox
from store.text import call_in_words
from store.values import Effect, Person, Place

StepStatus = Literal[
    "chosen",  # not begun
    "requested",  # waits for a person's decision
    "approved",  # not begun
    "running",  # started; no ending is recorded
    "waiting",  # until its timer fires
    "due",  # its timer has fired
    "finished",
    "failed",
    "rejected",
    "expired",  # nobody decided in time
    "refused",
    "interrupted",  # started; the outcome is unknown
    "superseded",
    "withdrawn",
    "cancelled",
    "complete",  # a built-in step that runs nothing
    "duplicate",  # the same call as an ongoing one, which continues
]
OPEN: frozenset[StepStatus] = frozenset({"chosen", "requested", "approved", "running", "waiting", "due"})
NOT_BEGUN: frozenset[StepStatus] = frozenset({"requested", "approved"})
"""A call that waits for a decision, or is approved, and has not begun."""
ONGOING: frozenset[StepStatus] = frozenset({"requested", "approved", "waiting", "due"})
"""Choosing the same call again while it has one of these is a duplicate."""

Outcome = Literal["settled", "counted", "too_late", "not_entitled", "other_request", "expired", "being_edited"]
"""The effect of one person's decision. `counted`: one of several approvals that are needed. `being_edited`: somebody's
edit of the request is open, so it cannot be decided."""

_EFFECTS: dict[str, Effect] = {
    "done_for_now": "says",
    "send_update": "updates",
    "request_human_input": "asks",
    "nothing_to_do": "rests",
    "withdraw_request": "withdraws",
    "look_again": "waits",
    "set_reminder": "reminds",
}
"""For the built-in steps, in logs written before `StepChosen.effect` existed."""


def effect_of(event: StepChosen) -> Effect:
    """What the step does: as the event says, or in an old log as its intent says."""
    return event.effect or _EFFECTS.get(event.intent, "runs")


class Request(NamedTuple):
    """A call that needs approval, with all decisions on it."""

    chosen: StepChosen
    asked: ApprovalRequested
    terms: Terms
    outcomes: Mapping[str, Outcome]
    """Of each decision, by its event id."""
    votes: tuple[ApprovalDecided, ...] = ()
    """The approvals that count, each by a different person."""
    decision: ApprovalDecided | None = None
    """The decision that settled it."""
    reminded: bool = False
    widened: bool = False
    """It was escalated: more people may decide than at first."""
    shown_at: frozenset[int] = frozenset()
    """The surfaces (see `store.keys`) at which its card was sent."""
    instead: tuple[Place, ...] = ()
    """Where it is shown in private, because its card could not be shown at the other places."""
    not_shown: Mapping[int, int] = {}
    """The surfaces at which its card could not be shown, each with the number of attempts."""
    asked_at: int = 0
    """The index of `asked`."""

    @property
    def step(self) -> str:
        return self.asked.step

    @property
    def digest(self) -> str:
        return self.asked.digest

    @property
    def title(self) -> str:
        """What it asks for, on one line: as its tool says it, or in an old log the call in words."""
        return self.asked.title or call_in_words(self.chosen.intent, self.chosen.arguments)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places besides the thread's own, surface 1 first: those of an escalation follow, then private ones."""
        return (*self.asked.asks, *self.asked.then_asks, *self.instead)

    @property
    def editable(self) -> dict[str, str]:
        """The arguments that a person may edit instead of approving, with their current values."""
        arguments = ((name, self.chosen.arguments.get(name)) for name in self.asked.editable)
        return {name: text for name, text in arguments if isinstance(text, str)}

    def has_voted(self, person: Person) -> bool:
        """Whether this person's approval is among the votes."""
        return any(not names_of(person).isdisjoint(names_of(vote.by)) for vote in self.votes)

    def verdict(
        self, by: Person, groups: Iterable[str], at: datetime, *, approved: bool, way: str, standing: str = ""
    ) -> Judgement:
        """Whether this person's decision counts at that time. The step's status says whether the request is open."""
        return judge(self.terms, by, groups, at, approved=approved, widened=self.widened, way=way, standing=standing)


class StepState(NamedTuple):
    chosen: StepChosen
    status: StepStatus = "chosen"
    attempt: int = 0
    """The number of times that it began."""
    not_begun: int = 0
    """The number of starts in the log after which it did not begin."""
    begun_from: StepStatus = "chosen"
    """The status before the last start."""
    restarts: int = 0
    """Consecutive starts after an interruption."""
    repeatable: bool = False
    request: Request | None = None
    until: datetime | None = None
    news_in: int = 0
    """The attempt during which news came from outside: it does not wait, but is made again."""
    progress_shown: bool = False
    """People see a progress message, which later says how it ended."""
    abandoned: bool = False
    """It was running when its thread was cancelled, and the thread was reopened. Its ending is recorded, and nothing
    follows from it."""
    host: str = ""
    """Where it was started last."""
    started_at: datetime | None = None
    ended: ToolFinished | ToolInterrupted | ToolNotBegun | StepRefused | None = None
    words: Words = NO_WORDS
    """Whose words led to it."""

    @property
    def id(self) -> str:
        return self.chosen.step

    @property
    def starts(self) -> int:
        """The number of starts in the log, which tells one start from another."""
        return self.attempt + self.not_begun

    @property
    def may_have_happened(self) -> bool:
        """It has begun, and may have changed something: only people know how it ended, so it is never just refused."""
        return self.attempt > 0 and self.chosen.acts

    @property
    def lapsed(self) -> str:
        """Why it was refused although people had approved it; empty: it was not."""
        decision = self.request.decision if self.request else None
        was_approved = decision is not None and decision.approved
        return self.ended.error if was_approved and isinstance(self.ended, StepRefused) else ""

    @property
    def result(self) -> JsonValue:
        return self.ended.result if isinstance(self.ended, ToolFinished) else None

    @property
    def effect(self) -> Effect:
        return effect_of(self.chosen)


@dataclass(slots=True)
class Edits:
    """Edits and deletions of messages. They take effect until the model has read the message."""

    fresh: dict[str, int] = field(default_factory=dict)
    """The messages that the model has not read, by event id, with the index of the event that wrote or edited it last.
    """
    texts: dict[str, str | None] = field(default_factory=dict)
    """The text of messages edited in time, by event id; None: deleted."""
    early: dict[str, str | None] = field(default_factory=dict)
    """Edits that arrived before their message, or too late. They take effect only if the message arrives later."""

    def copy(self) -> Edits:
        return Edits(dict(self.fresh), dict(self.texts), dict(self.early))

    def message_came(self, message: str, index: int) -> None:
        self.fresh[message] = index
        if message in self.early:
            self.texts[message] = self.early[message]

    def edit_came(self, message: str, text: str | None, index: int) -> bool:
        """Whether it takes effect."""
        if message in self.fresh:
            self.texts[message], self.fresh[message] = text, index
            return True
        self.early[message] = text
        return False

    def were_read(self, seen: int) -> None:
        """The model has read the first `seen` events. A message that was edited after them is still fresh."""
        self.fresh = {message: index for message, index in self.fresh.items() if index >= seen}


@dataclass(slots=True)
class State:
    agent: str = ""
    place: Place | None = None
    steps: dict[str, StepState] = field(default_factory=dict)
    open_steps: tuple[str, ...] = ()
    """Ids of the steps with a status in OPEN, oldest first."""
    current: str = ""
    """The step chosen last."""
    news_at: int = -1
    """The index of the last event that the agent has to react to."""
    seen: int = 0
    """How many events the last choice took into account."""
    heard_at: int = -1
    """The index of the last message, or of the last edit of an unread one."""
    message_at: int = -1
    """The index of the last message, also of one that comes when the thread is cancelled."""
    words_at: int = -1
    """The index of the last message or trigger."""
    pictured: tuple[int, ...] = ()
    """The indices of the messages with images."""
    read: int = 0
    """How many events the model had read when it last chose. Steps chosen by code do not answer people, but for the one
    that says that there is nothing to answer."""
    outdated_in_row: int = 0
    """Answers of the model that were discarded since it last chose."""
    edits: Edits = field(default_factory=Edits)
    arrivals: dict[str, int] = field(default_factory=dict)
    """What has arrived and is not read, with the index of its event: a message by the id of the event that it becomes,
    a click by its own."""
    aside: tuple[str, ...] = ()
    """Those of `arrivals` that no worker could read for a while, of which people were told."""
    held_at: int = -1
    """The index of the event that told people of what is set aside, where it may forbid what is about to begin."""
    offered: str = ""
    """The id that this has of what has arrived, and is not read until its author says where it belongs; empty: none."""
    words: Words = NO_WORDS
    """Everything that the model can read here now."""
    question: str = ""
    """Id of the step that waits for a person's answer; empty: none."""
    tasks: str = ""
    """Id of the step whose list of tasks is kept up to date; empty: none."""
    errors_in_row: int = 0
    steps_in_turn: int = 0
    """Steps chosen since the last message, trigger or decision."""
    choice_failures: int = 0
    unavailable_since: datetime | None = None
    """When the model was unavailable to this thread first, of those times since which it has not answered."""
    unavailable_seconds: float = 0.0
    """From then to the last time that is in the log."""
    retry_choice_at: datetime | None = None
    handed_to_human: bool = False
    """The agent stopped and waits for a person."""
    paused: bool = False
    cancelled: bool = False
    stopped: bool = False
    """People stopped the work, and nothing has moved the thread since: the agent only follows and tells what had begun.
    """
    outbox: Outbox = field(default_factory=Outbox)
    unreadable: bool = False
    ahead: int = 0
    """By how much the numbers in new ids are ahead of the log's length, since the store lost events."""
    unserved: bool = False
    """People were told that no worker serves the thread; none has begun anything since."""

    @property
    def held_back(self) -> bool:
        """Nothing begins because of what is set aside, until a person who was told of it writes, decides or resumes, or
        all of it is read. What has begun goes on."""
        return self.held_at >= 0

    @property
    def news(self) -> bool:
        """Something happened that the last choice did not take into account."""
        return self.news_at >= self.seen

    @property
    def unread(self) -> bool:
        """Somebody wrote something that the model had not read when it last chose."""
        return self.heard_at >= self.read

    @property
    def unanswered(self) -> bool:
        """There are unread words for the model. While a question of code's own waits, they wait too."""
        asked = self.steps.get(self.question)
        return self.unread and not (asked and asked.chosen.by == "code")

    @property
    def open_edit(self) -> StepState | None:
        """A person's edit that has no request of its own yet. Meanwhile the request that it edits is not decided."""
        chosen = (step for i in self.open_steps if (step := self.steps[i]).status == "chosen")
        return next((step for step in chosen if step.chosen.holds), None)

    def copy(self) -> State:
        copied = State(*_all_fields(self))  # `dataclasses.replace` takes five times as long, at each append.
        copied.steps, copied.outbox, copied.edits = dict(self.steps), self.outbox.copy(), self.edits.copy()
        copied.arrivals = dict(self.arrivals)
        return copied

    def ongoing_call(self, intent: str, arguments: Mapping[str, JsonValue]) -> StepState | None:
        """The ongoing step with the same call, if there is one."""
        held = (step for i in self.open_steps if (step := self.steps[i]).status in ONGOING)
        return next((s for s in held if (s.chosen.intent, s.chosen.arguments) == (intent, arguments)), None)


_all_fields = attrgetter(*(each.name for each in fields(State)))
