"""A thread: its events in order, and the one fold that computes everything else from them.

There is no second copy of any of this state: not in a worker, not in Redis. The fold knows no agent and no channel; it
judges by what the events themselves say, so an old log means today what it meant when it was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from store.authority.terms import Terms, judge, names_of, terms_of
from store.events import (
    CRON,
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    ChoiceFailed,
    DeliveryFailed,
    Event,
    HandedToHuman,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageReceived,
    MessageSent,
    StandingGranted,
    StandingRevoked,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadResumed,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    ToolStarted,
    ToolWaiting,
    TriggerReceived,
    UnknownEvent,
)
from store.values import Person, Place

# Steps with these intents are the program's own: every agent may have them, and none has a `run()`.
DONE_FOR_NOW = "done_for_now"
SEND_UPDATE = "send_update"
NOTHING_TO_DO = "nothing_to_do"
REQUEST_HUMAN_INPUT = "request_human_input"
WITHDRAW_REQUEST = "withdraw_request"
HAND_OVER = "hand_over"
LOOK_AGAIN = "look_again"
SET_REMINDER = "set_reminder"

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
    "said",  # a step of the program's own, complete when chosen
    "kept",  # the same call as one that is held already: that one goes on
]
OPEN: frozenset[StepStatus] = frozenset({"chosen", "requested", "approved", "running", "waiting", "due"})
HELD: frozenset[StepStatus] = frozenset({"requested", "approved", "waiting", "due"})

ThreadStatus = Literal[
    "working",
    "waiting_for_approval",
    "waiting_for_answer",
    "waiting",
    "handed_to_human",
    "paused",
    "cancelled",
    "done",
    "unreadable",
]
Turn = Literal["agent", "human", "clock", "nobody"]


class StepState(NamedTuple):
    chosen: StepChosen
    status: StepStatus = "chosen"
    attempt: int = 0
    """How often it was started."""
    restarts: int = 0
    """How often in a row it was started again because nobody knew how it had ended."""
    repeatable: bool = False
    request: ApprovalRequested | None = None
    terms: Terms = Terms()
    """Of the request."""
    votes: tuple[ApprovalDecided, ...] = ()
    """Approvals that count, each of another person."""
    decision: ApprovalDecided | None = None
    """The one that settled the request."""
    reminded: bool = False
    widened: bool = False
    """More people may decide than at first."""
    shown_at: frozenset[int] = frozenset()
    """At which of its surfaces the request was shown: see `Owed.surface`."""
    until: datetime | None = None
    shown: bool = False
    """It takes long: people are shown that it is under way, and then how it ended."""
    ended: ToolFinished | ToolInterrupted | StepRefused | None = None

    @property
    def id(self) -> str:
        return self.chosen.step

    def has_voted(self, person: Person) -> bool:
        """Their approval counts already."""
        return any(not names_of(person).isdisjoint(names_of(vote.by)) for vote in self.votes)

    @property
    def result(self) -> JsonValue:
        return self.ended.result if isinstance(self.ended, ToolFinished) else None


class Owed(NamedTuple):
    """Something that people have not been told yet. `event` is the index of the event that it tells of."""

    what: Literal[
        "done",
        "question",
        "card",
        "votes",
        "reminder",
        "settled",
        "answered",
        "progress",
        "ended",
        "handed",
        "notice",
        "undelivered",
    ]
    event: int
    step: str = ""
    surface: int = 0
    """Where: 0 is the thread's own place, 1 and up are the other places where the step's request is shown, in order."""
    failures: int = 0
    retry_at: datetime | None = None


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
    """Somebody spoke and the model has not been asked since: code may have chosen steps, but it answers nobody."""
    fresh: tuple[str, ...] = ()
    """Event ids of the messages that came since the model last chose: their authors may still change them."""
    edited: dict[str, str | None] = field(default_factory=dict)
    """What messages say since their authors changed them in time, by event id; None: deleted."""
    early: dict[str, str | None] = field(default_factory=dict)
    """Changes of messages that are not here, or were acted on; they count only where the message comes later."""
    unproven: bool = False
    """Somebody spoke here of whom we are not sure who they are: what acts needs an approval then, whatever it is."""
    unasked: bool = False
    """A schedule began this and nobody whom we know has spoken since: likewise."""
    question: str = ""
    """The step that waits for a person's answer."""
    errors_in_row: int = 0
    steps_in_turn: int = 0
    """Steps chosen since a person, or a trigger, last moved the thread."""
    choice_failures: int = 0
    retry_choice_at: datetime | None = None
    handed: bool = False
    paused: bool = False
    cancelled: bool = False
    owed: dict[str, Owed] = field(default_factory=dict)
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """Immutable; `extended` gives the thread with more events on it."""

    id: str
    events: tuple[Event, ...] = ()
    state: State = field(default_factory=State, compare=False, repr=False)

    def extended(self, events: Iterable[Event]) -> Thread:
        more = tuple(events)
        return Thread(self.id, self.events + more, _fold(self.state, more, len(self.events))) if more else self

    @property
    def version(self) -> int:
        return len(self.events)

    @property
    def agent(self) -> str:
        return self.state.agent

    @property
    def place(self) -> Place:
        assert self.state.place is not None, f"thread {self.id} was never opened"
        return self.state.place

    @property
    def exists(self) -> bool:
        return bool(self.events)

    def step(self, step_id: str) -> StepState | None:
        return self.state.steps.get(step_id)

    def open_steps(self, *statuses: StepStatus) -> list[StepState]:
        """The open steps with one of these statuses (all open ones where none is named), oldest first."""
        found = (self.state.steps[i] for i in self.state.open_steps)
        return [s for s in found if not statuses or s.status in statuses]

    def holds(self, intent: str, arguments: dict[str, JsonValue]) -> bool:
        """Whether the same call waits for something already, so that choosing it again begins nothing new."""
        return _held_alike(self.state, intent, arguments) is not None

    @property
    def pending(self) -> StepState | None:
        """The step whose request waits for a decision. There is at most one."""
        return next(iter(self.open_steps("requested")), None)

    @property
    def timers(self) -> dict[str, datetime]:
        """When the thread wants to be looked at again, by the timer's key: `TimerFired.timer`."""
        state = self.state
        if state.cancelled:
            waits = {}
        else:
            waits = {f"{s.id}/wait/{s.attempt}": s.until for s in self.open_steps("waiting") if s.until}
            for step in self.open_steps("requested"):
                waits |= _rungs(step)
            if state.retry_choice_at and not state.paused:
                waits[f"choice/{state.choice_failures}"] = state.retry_choice_at
        return waits | {f"{key}/send/{o.failures}": o.retry_at for key, o in state.owed.items() if o.retry_at}

    def where(self, owed: Owed) -> Place:
        """Where it is to be said."""
        request = self.state.steps[owed.step].request if owed.surface else None
        return (*request.asks, *request.then_asks)[owed.surface - 1] if request else self.place

    @property
    def status(self) -> ThreadStatus:
        state = self.state
        if state.unreadable:
            return "unreadable"
        if state.cancelled:
            return "cancelled"
        if state.paused:
            return "paused"
        if state.handed:
            return "handed_to_human"
        if self.open_steps("running", "due", "approved"):
            return "working"
        if state.news or (state.unread and not state.question):
            return "waiting" if state.retry_choice_at else "working"
        if self.pending:
            return "waiting_for_approval"
        if self.open_steps("chosen"):
            return "working"
        if state.question:
            return "waiting_for_answer"
        # A reminder is for later: nothing goes on until then.
        waiting = any(step.chosen.intent != SET_REMINDER for step in self.open_steps("waiting"))
        return "waiting" if waiting else "done"

    @property
    def turn(self) -> Turn:
        match self.status:
            case "working":
                return "agent"
            case "waiting":
                return "clock"
            case "done" | "cancelled":
                return "nobody"
            case _:
                return "human"


def _fold(before: State, events: tuple[Event, ...], index: int) -> State:
    state = replace(before, steps=dict(before.steps), owed=dict(before.owed), edited=dict(before.edited))
    state.early = dict(before.early)
    for event in events:
        _apply(state, event, index)
        index += 1
    state.open_steps = tuple(i for i in state.open_steps if state.steps[i].status in OPEN)
    return state


def _apply(state: State, event: Event, index: int) -> None:
    # The most frequent kinds come first: a class pattern costs something each.
    match event:
        case StepChosen():
            _choose(state, event, index)
        case ToolFinished():
            # Also after an interruption, and while a later attempt waits: a step ends once, and this is its one ending.
            done: StepStatus = "failed" if event.error else "finished"
            if _put(state, event.step, {"running", "waiting", "due", "interrupted"}, status=done, ended=event):
                state.news = True
                state.errors_in_row = state.errors_in_row + 1 if event.error else 0
                _end_progress(state, event.step, index)
        case ToolStarted():
            step = state.steps.get(event.step)
            restarts = step.restarts + 1 if step and step.status == "running" else 0
            _put(
                state,
                event.step,
                OPEN,
                status="running",
                attempt=event.attempt,
                restarts=restarts,
                repeatable=event.repeatable,
            )
        case MessageSent():
            owed = state.owed.pop(event.key, None)
            if owed and owed.what == "card":
                step = state.steps[owed.step]
                state.steps[owed.step] = step._replace(shown_at=step.shown_at | {owed.surface})
            if event.place:
                state.place = event.place
        case MessageReceived():
            _moved_from_outside(state, index)
            state.fresh += (event.id,)
            state.unproven = state.unproven or event.sender.trust in ("unverified", "forwarded")
            state.unasked = state.unasked and event.sender.trust != "verified"
            if event.id in state.early:
                state.edited[event.id] = state.early[event.id]
            state.unread = not state.cancelled
            if state.cancelled or state.paused or event.clipped_from:
                state.owed[f"{event.id}/notice"] = Owed("notice", index)
        case ToolWaiting():
            step = state.steps.get(event.step)
            # Not that of an earlier attempt, noted late by a worker that was given up for dead.
            if step and step.attempt == event.attempt:
                shown = event.shown and not step.shown
                waits = {"status": "waiting", "restarts": 0, "until": event.until, "shown": step.shown or shown}
                if _put(state, event.step, {"running"}, **waits) and shown:
                    state.owed[f"{event.step}/progress"] = Owed("progress", index, event.step)
        case TimerFired():
            _fire(state, event.timer, index)
        case ChoiceFailed():
            if event.reason != "outdated":
                state.errors_in_row += 1
                state.choice_failures += 1
                state.retry_choice_at = event.retry_at
        case ApprovalRequested():
            terms = terms_of(event.policy)
            step = state.steps.get(event.step)
            if step and step.status == "chosen" and step.chosen.by == "person":
                _end_open_steps(state, "superseded", {"requested", "approved"}, index)
            if _put(state, event.step, {"chosen"}, status="requested", request=event, terms=terms):
                # What a standing approval settles, nobody has to look at first.
                for surface in range(0 if terms.standing else 1 + len(event.asks)):
                    state.owed[_at(f"{event.step}/card", surface)] = Owed("card", index, event.step, surface)
        case ApprovalDecided():
            _decide(state, event, index)
        case ThreadOpened():
            state.agent, state.place = event.agent, event.place
        case MessageEdited():
            _edit(state, event.message, event.text)
        case MessageDeleted():
            _edit(state, event.message, None)
        case TriggerReceived():
            _moved_from_outside(state, index)
            state.unasked = event.source == CRON
        case AgentChanged():
            state.agent = event.agent
            _end_open_steps(state, "finished", {"chosen"}, index)
            # What was approved is the other agent's call, whatever this one's is called.
            _end_open_steps(state, "superseded", {"requested", "approved"}, index)
            _moved_from_outside(state, index)
        case ToolInterrupted():
            if _put(state, event.step, {"running"}, status="interrupted", ended=event):
                _end_progress(state, event.step, index)
        case StepRefused():
            if _put(
                state, event.step, {"chosen", "requested", "approved", "due", "running"}, status="refused", ended=event
            ):
                _close_card(state, event.step, index)
                _end_progress(state, event.step, index)
                step = state.steps[event.step]
                if step.chosen.by == "person" and not step.request:
                    # Nothing has changed, and whoever tried it is told.
                    state.owed[f"{event.id}/notice"] = Owed("notice", index, event.step)
                else:
                    state.news = True
                    state.errors_in_row += 1
        case MessageFailed():
            owed = state.owed.pop(event.key, None)
            if owed and event.retry_at:
                state.owed[event.key] = owed._replace(failures=event.attempt, retry_at=event.retry_at)
            elif owed and event.elsewhere:
                if owed.what == "card":
                    _forget_surface(state, owed)
                state.owed[f"{event.key}/undelivered"] = Owed("undelivered", index, owed.step)
                unseen = owed.what == "card" and not _is_shown(state, owed.step)
                if unseen and _put(state, owed.step, {"requested"}, status="refused"):
                    # Nobody has seen all of it, so nobody may approve it.
                    state.news = True
                    state.errors_in_row += 1
        case DeliveryFailed():
            # Nothing but this: an answer of the agent's to it would come back too.
            if not event.key.endswith("/undelivered"):
                state.owed[f"{event.id}/undelivered"] = Owed("undelivered", index)
        case HandedToHuman():
            state.handed, state.retry_choice_at = True, None
            state.news = state.unread = False
            state.errors_in_row = state.steps_in_turn = 0
            state.owed[f"{event.id}/say"] = Owed("handed", index)
        case ThreadPaused():
            state.paused = True
        case ThreadResumed():
            state.paused = False
        case ThreadCancelled():
            _end_open_steps(state, "cancelled", {"chosen", "requested", "approved", "waiting", "due"}, index)
            _close_question(state, index)
            state.cancelled, state.retry_choice_at = True, None
            state.news = state.unread = False
            state.owed[f"{event.id}/notice"] = Owed("notice", index)
        case ThreadForked():
            _end_open_steps(state, "superseded", OPEN, index)
            state.owed.clear()
            state.news = state.unread = state.handed = state.paused = state.cancelled = False
            state.current, state.question, state.retry_choice_at = "", "", None
        case StandingGranted() | StandingRevoked():
            pass  # of no step: see `bot.team.standing`
        case UnknownEvent():
            state.unreadable = True
        case _:
            raise AssertionError(f"no row for {type(event).__name__}")


def _edit(state: State, message: str, text: str | None) -> None:
    """Deliveries overtake each other: the change may be here before the message."""
    where = state.edited if message in state.fresh else state.early
    where[message] = text


def _moved_from_outside(state: State, index: int) -> None:
    if not state.cancelled:
        state.news = True
    _close_question(state, index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed, state.retry_choice_at = False, None


def _choose(state: State, event: StepChosen, index: int) -> None:
    if event.step in state.steps:
        return
    state.news, state.retry_choice_at = False, None
    state.unread = state.unread and event.by != "model"
    if event.by == "model":
        state.fresh = ()
    if event.by == "person":
        state.handed, state.steps_in_turn, state.errors_in_row = False, 0, 0
    state.current = event.step
    state.steps_in_turn += 1
    _end_open_steps(state, "superseded", {"chosen"}, index)
    status: StepStatus = "chosen"
    match event.intent:
        case "done_for_now":
            status = "said"
            state.owed[f"{event.step}/say"] = Owed("done", index, event.step)
        case "request_human_input":
            status = "said"
            state.question = event.step
            state.owed[f"{event.step}/say"] = Owed("question", index, event.step)
        case "send_update":
            status = "said"
            state.news = True
            state.owed[f"{event.step}/say"] = Owed("done", index, event.step)
        case "nothing_to_do":
            status = "said"
        case "look_again" | "set_reminder" if event.until:
            status = "waiting"
            # A reminder is for later: what was under way goes on.
            state.news = event.intent == SET_REMINDER
        case "withdraw_request":
            status = "said"
            state.news = True
            _end_open_steps(state, "withdrawn", {"requested", "approved"}, index)
        case _:
            if alike := _held_alike(state, event.intent, event.arguments):
                status = "kept"
                if alike.status == "requested":
                    state.owed[f"{event.step}/notice"] = Owed("notice", index, alike.id)
            elif event.acts and event.by != "person":
                # What a person has changed takes its place once it can be asked for.
                _end_open_steps(state, "superseded", {"requested", "approved"}, index)
            elif event.begun:
                status = "running"
    begun = status == "running"
    until = event.until if status == "waiting" else None
    state.steps[event.step] = StepState(event, status, attempt=int(begun), repeatable=begun, until=until)
    if status in OPEN:
        # Those that have ended since go now, or a fold of many events would look through all of them at each step.
        still_open = (i for i in state.open_steps if state.steps[i].status in OPEN)
        state.open_steps = (*still_open, event.step)


def _held_alike(state: State, intent: str, arguments: dict[str, JsonValue]) -> StepState | None:
    held = (step for i in state.open_steps if (step := state.steps[i]).status in HELD)
    return next((s for s in held if (s.chosen.intent, s.chosen.arguments) == (intent, arguments)), None)


def _decide(state: State, event: ApprovalDecided, index: int) -> None:
    step = state.steps.get(event.step)
    if not step or not _counts(step, event):
        if step and event.by_message:
            state.owed[f"{event.id}/notice"] = Owed("notice", index, event.step)
        return
    votes = (*step.votes, event) if event.approved else step.votes
    if event.approved and len(votes) < step.terms.quorum and not event.standing:
        state.steps[step.id] = step._replace(votes=votes)
        _tell(state, step.id, f"{step.id}/votes/{index}", "votes", index)
        return
    status: StepStatus = "approved" if event.approved else "rejected"
    state.steps[step.id] = step._replace(status=status, decision=event, votes=votes)
    _tell(state, step.id, f"{step.id}/settled", "settled", index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed = False
    if not event.approved:
        state.news = True


def _counts(step: StepState, event: ApprovalDecided) -> bool:
    """Whoever approved it has one vote, and may still reject it."""
    if step.status != "requested" or not step.request:
        return False
    if judge(step.request, step.terms, event, widened=step.widened) != "valid":
        return False
    return not event.approved or not step.has_voted(event.by)


def _fire(state: State, timer: str, index: int) -> None:
    key, _, _ = timer.rpartition("/")
    step_id, _, what = key.rpartition("/")
    step = state.steps.get(step_id)
    if timer == f"choice/{state.choice_failures}":
        state.retry_choice_at = None
    elif what == "wait":
        if step and timer == f"{step.id}/wait/{step.attempt}":
            if not step.chosen.until:
                _put(state, step.id, {"waiting"}, status="due", until=None)
            elif _put(state, step.id, {"waiting"}, status="finished", until=None):
                state.news = not state.cancelled
    elif what == "send":
        owed = state.owed.get(step_id)
        if owed and timer == f"{key}/{owed.failures}":
            state.owed[step_id] = owed._replace(retry_at=None)
    elif step and step.status == "requested":
        _climb(state, step, what, index)


def _rungs(step: StepState) -> dict[str, datetime]:
    """What happens to a request that nobody decides, and when."""
    terms = step.terms
    rungs = {
        "remind": None if step.reminded else terms.remind_at,
        "widen": None if step.widened else terms.widen_at,
        "expire": terms.expires_at,
    }
    return {f"{step.id}/{rung}/0": at for rung, at in rungs.items() if at}


def _climb(state: State, step: StepState, rung: str, index: int) -> None:
    match rung:
        case "remind":
            state.steps[step.id] = step._replace(reminded=True)
            _tell(state, step.id, f"{step.id}/reminder/remind", "reminder", index)
        case "widen":
            assert step.request is not None
            _tell(state, step.id, f"{step.id}/reminder/widen", "reminder", index)
            state.steps[step.id] = step._replace(widened=True)
            first = 1 + len(step.request.asks)
            for surface in range(first, first + len(step.request.then_asks)):
                state.owed[_at(f"{step.id}/card", surface)] = Owed("card", index, step.id, surface)
        case "expire":
            state.steps[step.id] = step._replace(status="expired")
            state.news = not state.cancelled
            _tell(state, step.id, f"{step.id}/settled", "settled", index)
        case _:
            pass


def _at(key: str, surface: int) -> str:
    return f"{key}/at/{surface}" if surface else key


def _tell(state: State, step_id: str, key: str, what: Literal["votes", "reminder", "settled"], index: int) -> None:
    """At the thread's own place, and wherever else the request is shown or about to be."""
    step = state.steps[step_id]
    assert step.request is not None
    for surface in range(1 + len(step.request.asks) + len(step.request.then_asks)):
        if not surface or surface in step.shown_at or _at(f"{step_id}/card", surface) in state.owed:
            state.owed[_at(key, surface)] = Owed(what, index, step_id, surface)


def _forget_surface(state: State, card: Owed) -> None:
    """What was to follow a card that will never be there."""
    for key, owed in list(state.owed.items()):
        followed = owed.what in ("votes", "reminder") or (owed.what == "settled" and owed.surface)
        if followed and (owed.step, owed.surface) == (card.step, card.surface):
            del state.owed[key]


def _is_shown(state: State, step_id: str) -> bool:
    """Somewhere, or about to be."""
    step = state.steps[step_id]
    return bool(step.shown_at) or any(o.what == "card" and o.step == step_id for o in state.owed.values())


def _put(state: State, step_id: str, allowed: Iterable[StepStatus], **changes: Any) -> bool:
    """Move a step on, if it is in one of the allowed states. An event out of order changes nothing."""
    step = state.steps.get(step_id)
    if not step or step.status not in allowed:
        return False
    state.steps[step_id] = step._replace(**changes)
    return True


def _end_open_steps(state: State, ending: StepStatus, which: Iterable[StepStatus], index: int) -> None:
    for step_id in state.open_steps:
        step = state.steps[step_id]
        if step.status in which:
            state.steps[step_id] = step._replace(status=ending, until=None)
            _close_card(state, step_id, index)
            _end_progress(state, step_id, index)


def _close_question(state: State, index: int) -> None:
    """Whoever was shown buttons with it is told that they are for nothing now."""
    asked = state.steps.get(state.question)
    if asked and asked.chosen.closes:
        state.owed[f"{state.question}/answered"] = Owed("answered", index, state.question)
    state.question = ""


def _end_progress(state: State, step_id: str, index: int) -> None:
    if state.steps[step_id].shown:
        # By the event, not the step alone: what was interrupted may still be found to have ended.
        state.owed[f"{step_id}/ended/{index}"] = Owed("ended", index, step_id)


def _close_card(state: State, step_id: str, index: int) -> None:
    """Its request will not be acted on: whoever was shown the card is told."""
    if state.steps[step_id].request:
        _tell(state, step_id, f"{step_id}/closed", "settled", index)
