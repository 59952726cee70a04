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

from store.events import (
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
    Place,
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

# Steps with these intents are the program's own: every agent may have them, and none has a `run()`.
DONE_FOR_NOW = "done_for_now"
SEND_UPDATE = "send_update"
NOTHING_TO_DO = "nothing_to_do"
REQUEST_HUMAN_INPUT = "request_human_input"
WITHDRAW_REQUEST = "withdraw_request"
HAND_OVER = "hand_over"

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
    decision: ApprovalDecided | None = None
    """The one that settled the request."""
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


class Owed(NamedTuple):
    """Something that people have not been told yet. `event` is the index of the event that it tells of."""

    what: Literal[
        "done", "question", "card", "settled", "answered", "progress", "ended", "handed", "notice", "undelivered"
    ]
    event: int
    step: str = ""
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
            if state.retry_choice_at and not state.paused:
                waits[f"choice/{state.choice_failures}"] = state.retry_choice_at
        return waits | {f"{key}/send/{o.failures}": o.retry_at for key, o in state.owed.items() if o.retry_at}

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
        return "waiting" if self.open_steps("waiting") else "done"

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


def may_decide(request: ApprovalRequested, decision: ApprovalDecided) -> bool:
    """Whether this decision settles this request: the right call, by somebody who is who they say.

    The one place that judges it: the fold, the inbox and every channel ask here.
    """
    return request.digest == decision.digest and decision.by.trust == "verified"


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
            state.owed.pop(event.key, None)
        case MessageReceived():
            _moved_from_outside(state, index)
            state.fresh += (event.id,)
            state.unproven = state.unproven or event.sender.trust in ("unverified", "forwarded")
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
            _fire(state, event.timer)
        case ChoiceFailed():
            if event.reason != "outdated":
                state.errors_in_row += 1
                state.choice_failures += 1
                state.retry_choice_at = event.retry_at
        case ApprovalRequested():
            if _put(state, event.step, {"chosen"}, status="requested", request=event):
                state.owed[f"{event.step}/card"] = Owed("card", index, event.step)
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
        case AgentChanged():
            state.agent = event.agent
            _end_open_steps(state, "finished", {"chosen"}, index)
            _moved_from_outside(state, index)
        case ToolInterrupted():
            if _put(state, event.step, {"running"}, status="interrupted", ended=event):
                _end_progress(state, event.step, index)
        case StepRefused():
            if _put(
                state, event.step, {"chosen", "requested", "approved", "due", "running"}, status="refused", ended=event
            ):
                state.news = True
                state.errors_in_row += 1
                _close_card(state, event.step, index)
                _end_progress(state, event.step, index)
        case MessageFailed():
            owed = state.owed.pop(event.key, None)
            if owed and event.retry_at:
                state.owed[event.key] = owed._replace(failures=event.attempt, retry_at=event.retry_at)
            elif owed and event.elsewhere:
                state.owed[f"{event.key}/undelivered"] = Owed("undelivered", index, owed.step)
                if owed.what == "card" and _put(state, owed.step, {"requested"}, status="refused"):
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
    state.unread = state.unread and event.by == "code"
    if event.by == "model":
        state.fresh = ()
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
        case "withdraw_request":
            status = "said"
            state.news = True
            _end_open_steps(state, "withdrawn", {"requested", "approved"}, index)
        case _:
            if alike := _held_alike(state, event.intent, event.arguments):
                status = "kept"
                if alike.status == "requested":
                    state.owed[f"{event.step}/notice"] = Owed("notice", index, alike.id)
            elif event.acts:
                _end_open_steps(state, "superseded", {"requested", "approved"}, index)
            elif event.begun:
                status = "running"
    begun = status == "running"
    state.steps[event.step] = StepState(event, status, attempt=int(begun), repeatable=begun)
    if status in OPEN:
        # Those that have ended since go now, or a fold of many events would look through all of them at each step.
        still_open = (i for i in state.open_steps if state.steps[i].status in OPEN)
        state.open_steps = (*still_open, event.step)


def _held_alike(state: State, intent: str, arguments: dict[str, JsonValue]) -> StepState | None:
    held = (step for i in state.open_steps if (step := state.steps[i]).status in HELD)
    return next((s for s in held if (s.chosen.intent, s.chosen.arguments) == (intent, arguments)), None)


def _decide(state: State, event: ApprovalDecided, index: int) -> None:
    step = state.steps.get(event.step)
    if not step or step.status != "requested" or not step.request or not may_decide(step.request, event):
        if step and event.by_message:
            state.owed[f"{event.id}/notice"] = Owed("notice", index, event.step)
        return
    state.steps[event.step] = step._replace(status="approved" if event.approved else "rejected", decision=event)
    state.owed[f"{event.step}/settled"] = Owed("settled", index, event.step)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed = False
    if not event.approved:
        state.news = True


def _fire(state: State, timer: str) -> None:
    key, _, _ = timer.rpartition("/")
    if timer == f"choice/{state.choice_failures}":
        state.retry_choice_at = None
    elif key.endswith("/wait"):
        step = state.steps.get(key.removesuffix("/wait"))
        if step and timer == f"{step.id}/wait/{step.attempt}":
            _put(state, step.id, {"waiting"}, status="due", until=None)
    elif key.endswith("/send"):
        owed = state.owed.get(key.removesuffix("/send"))
        if owed and timer == f"{key}/{owed.failures}":
            state.owed[key.removesuffix("/send")] = owed._replace(retry_at=None)


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
        state.owed[f"{step_id}/closed"] = Owed("settled", index, step_id)
