"""The fold: from the events of a thread to its state. The rules first, then one table, a row for each kind of event.

Rules
- A step moves only from a status that its event allows; an event out of order changes nothing. So whatever is written
  twice, or late by a worker that was given up for dead, does no harm.
- A decision counts as the request's own terms say (`store.authority.terms`), never as the team file says today.
- Whatever people have to hear of goes into the outbox; the fold makes no words.
- The step says what it does (`StepChosen.effect`), so a new step of the program needs no new row.

The fold knows no agent and no channel, reads no clock, and judges by the events alone: an old log means today what it
meant when it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from store.authority.terms import terms_of
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
from store.keys import MessageKey, MessagePart, TimerKey
from store.outbox import Kind, Outbox
from store.state import OPEN, Outcome, Request, State, StepState, StepStatus

UNDECIDED: frozenset[StepStatus] = frozenset({"requested", "approved"})
"""A request that waits, or was approved and has not begun."""


def fold(before: State, events: tuple[Event, ...], index: int) -> State:
    """The state after these events; `index` is that of the first of them. `before` stays as it is."""
    state = before.copy()
    for event in events:
        ROWS[type(event)](state, event, index)
        index += 1
    state.open_steps = tuple(step_id for step_id in state.open_steps if state.steps[step_id].status in OPEN)
    return state


# Rules that several rows share


def _move(state: State, step_id: str, allowed: Iterable[StepStatus], **changes: Any) -> bool:
    """Move a step on, if it is in one of the allowed states."""
    step = state.steps.get(step_id)
    if not step or step.status not in allowed:
        return False
    state.steps[step_id] = step._replace(**changes)
    return True


def _update(state: State, request: Request, **changes: Any) -> Request:
    changed = request._replace(**changes)
    state.steps[request.step] = state.steps[request.step]._replace(request=changed)
    return changed


def _end_open_steps(state: State, ending: StepStatus, which: Iterable[StepStatus], index: int) -> None:
    for step_id in state.open_steps:
        if _move(state, step_id, which, status=ending, until=None):
            _close_card(state, step_id, index)
            _end_progress(state, step_id, index)


def _moved_from_outside(state: State, index: int) -> None:
    """A person or a machine moved the thread: it begins anew, with all its limits."""
    if not state.cancelled:
        state.news = True
    _close_question(state, index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed, state.retry_choice_at = False, None


def _rest(state: State) -> None:
    """Nothing is chosen any more until somebody moves the thread."""
    state.retry_choice_at = None
    state.news = state.unread = False


def _failed(state: State) -> None:
    """The model has to read what went wrong. Too much of it in a row is a limit."""
    state.news = True
    state.errors_in_row += 1


def _follow_card(state: State, request: Request, part: MessagePart, kind: Kind, index: int, number: str = "") -> None:
    key = MessageKey(request.step, part, number)
    state.outbox.put_wherever_shown(key, kind, index, places=request.places, shown_at=request.shown_at)


def _close_card(state: State, step_id: str, index: int) -> None:
    """Its request will not be acted on: people who were shown the card are told."""
    if request := state.steps[step_id].request:
        _follow_card(state, request, "closed", "settled", index)


def _close_question(state: State, index: int) -> None:
    """People who were shown buttons with it are told that it needs no answer now."""
    asked = state.steps.get(state.question)
    if asked and asked.chosen.closes:
        state.outbox.put(MessageKey(asked.id, "answered"), "answered", index, asked.id)
    state.question = ""


def _end_progress(state: State, step_id: str, index: int) -> None:
    if state.steps[step_id].shown:
        # By the event, not the step alone: what was interrupted may still be found to have ended.
        state.outbox.put(MessageKey(step_id, "ended", str(index)), "ended", index, step_id)


# Messages and triggers


def _message_received(state: State, event: MessageReceived, index: int) -> None:
    _moved_from_outside(state, index)
    state.edits.message_came(event.id)
    state.unverified = state.unverified or event.sender.trust in ("unverified", "forwarded")
    state.unattended = state.unattended and event.sender.trust != "verified"
    state.unread = not state.cancelled
    if state.cancelled or state.paused or event.clipped_from:
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def _message_edited(state: State, event: MessageEdited, index: int) -> None:
    state.edits.edit_came(event.message, event.text)


def _message_deleted(state: State, event: MessageDeleted, index: int) -> None:
    state.edits.edit_came(event.message, None)


def _trigger_received(state: State, event: TriggerReceived, index: int) -> None:
    _moved_from_outside(state, index)
    state.unattended = event.source == CRON


# Choosing


def _step_chosen(state: State, event: StepChosen, index: int) -> None:
    if event.step in state.steps:
        return
    state.news, state.retry_choice_at = False, None
    if event.by == "model":
        state.unread, state.edits.fresh = False, ()
    if event.by == "person":
        state.handed, state.steps_in_turn, state.errors_in_row = False, 0, 0
    state.current = event.step
    state.steps_in_turn += 1
    _end_open_steps(state, "superseded", {"chosen"}, index)
    step = _begun(state, StepState(event), index)
    state.steps[event.step] = step
    if step.status in OPEN:
        # Those that have ended go now: otherwise a fold of many events would look through all of them at each step.
        still_open = (step_id for step_id in state.open_steps if state.steps[step_id].status in OPEN)
        state.open_steps = (*still_open, event.step)


def _begun(state: State, step: StepState, index: int) -> StepState:
    """The step as it stands once it is chosen, by what it does."""
    event = step.chosen
    match step.effect:
        case "says" | "updates" as effect:
            state.news = effect == "updates"
            state.outbox.put(MessageKey(event.step, "say"), "words", index, event.step)
        case "asks":
            state.question = event.step
            state.outbox.put(MessageKey(event.step, "say"), "question", index, event.step)
        case "withdraws":
            state.news = True
            _end_open_steps(state, "withdrawn", UNDECIDED, index)
        case "waits" | "reminds" as effect if event.until:
            # A reminder is for later: what was under way goes on.
            state.news = effect == "reminds"
            return step._replace(status="waiting", until=event.until)
        case "rests":
            pass
        case _:
            return _run_chosen(state, step, index)
    return step._replace(status="complete")


def _run_chosen(state: State, step: StepState, index: int) -> StepState:
    event = step.chosen
    if alike := state.held_alike(event.intent, event.arguments):
        if alike.status == "requested":
            state.outbox.put(MessageKey(event.step, "notice"), "notice", index, alike.id)
        return step._replace(status="duplicate")
    if event.acts and event.by != "person":
        # What a person has changed takes its place only once it can be asked for.
        _end_open_steps(state, "superseded", UNDECIDED, index)
    elif event.begun:
        return step._replace(status="running", attempt=1, repeatable=True)
    return step


def _choice_failed(state: State, event: ChoiceFailed, index: int) -> None:
    if event.reason != "outdated":
        state.errors_in_row += 1
        state.choice_failures += 1
        state.retry_choice_at = event.retry_at


# Approving


def _approval_requested(state: State, event: ApprovalRequested, index: int) -> None:
    step = state.steps.get(event.step)
    if step and step.status == "chosen" and step.chosen.by == "person":
        _end_open_steps(state, "superseded", UNDECIDED, index)
    if step is None:
        return
    request = Request(step.chosen, event, terms_of(event.policy), {})
    if _move(state, event.step, {"chosen"}, status="requested", request=request) and not request.terms.standing:
        # What a standing approval settles, nobody has to look at first.
        state.outbox.put_card(event.step, index, (None, *event.asks))


def _approval_decided(state: State, event: ApprovalDecided, index: int) -> None:
    step = state.steps.get(event.step)
    if step is None:
        return
    outcome = _outcome(step, event) if step.request else "other_request"
    if step.request:
        request = _update(state, step.request, outcomes={**step.request.outcomes, event.id: outcome})
        if outcome == "counted":
            request = _update(state, request, votes=(*request.votes, event))
            _follow_card(state, request, "votes", "votes", index, str(index))
        elif outcome == "settled":
            _settle(state, request, event, index)
    if outcome not in ("counted", "settled") and event.by_message:
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index, event.step)


def _outcome(step: StepState, event: ApprovalDecided) -> Outcome:
    """One approval for each person; a person who approved may still reject."""
    request = step.request
    if request is None or request.digest != event.digest:
        return "other_request"
    by, groups, at = event.by, event.groups, event.at
    judged = request.verdict(by, groups, at, approved=event.approved, standing=event.standing)
    if step.status != "requested":
        return "too_late" if judged == "valid" or (judged == "expired" and step.status != "expired") else judged
    if judged != "valid":
        return judged
    if event.approved and request.has_voted(by):
        return "too_late"
    enough = not event.approved or event.standing or len(request.votes) + 1 >= request.terms.quorum
    return "settled" if enough else "counted"


def _settle(state: State, request: Request, event: ApprovalDecided, index: int) -> None:
    votes = (*request.votes, event) if event.approved else request.votes
    request = _update(state, request, votes=votes, decision=event)
    _move(state, request.step, {"requested"}, status="approved" if event.approved else "rejected")
    _follow_card(state, request, "settled", "settled", index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed = False
    state.news = state.news or not event.approved


# Running


def _tool_started(state: State, event: ToolStarted, index: int) -> None:
    step = state.steps.get(event.step)
    restarts = step.restarts + 1 if step and step.status == "running" else 0
    moved = {"attempt": event.attempt, "restarts": restarts, "repeatable": event.repeatable}
    _move(state, event.step, OPEN, status="running", **moved)


def _tool_waiting(state: State, event: ToolWaiting, index: int) -> None:
    step = state.steps.get(event.step)
    # Not that of an earlier attempt, noted late by a worker that was given up for dead.
    if step is None or step.attempt != event.attempt:
        return
    first = event.shown and not step.shown
    waits = {"status": "waiting", "restarts": 0, "until": event.until, "shown": step.shown or first}
    if _move(state, event.step, {"running"}, **waits) and first:
        state.outbox.put(MessageKey(event.step, "progress"), "progress", index, event.step)


def _tool_finished(state: State, event: ToolFinished, index: int) -> None:
    # Also after an interruption, and while a later attempt waits: a step ends once, and this is its one ending.
    done: StepStatus = "failed" if event.error else "finished"
    if _move(state, event.step, {"running", "waiting", "due", "interrupted"}, status=done, ended=event):
        state.news = True
        state.errors_in_row = state.errors_in_row + 1 if event.error else 0
        _end_progress(state, event.step, index)


def _tool_interrupted(state: State, event: ToolInterrupted, index: int) -> None:
    if _move(state, event.step, {"running"}, status="interrupted", ended=event):
        _end_progress(state, event.step, index)


def _step_refused(state: State, event: StepRefused, index: int) -> None:
    allowed: set[StepStatus] = {"chosen", "requested", "approved", "due", "running"}
    if not _move(state, event.step, allowed, status="refused", ended=event):
        return
    _close_card(state, event.step, index)
    _end_progress(state, event.step, index)
    step = state.steps[event.step]
    if step.chosen.by == "person" and not step.request:
        # Nothing has changed, and the person who tried it is told.
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index, event.step)
    else:
        _failed(state)


# The clock


def _timer_fired(state: State, event: TimerFired, index: int) -> None:
    key = TimerKey.parse(event.timer)
    match key:
        case TimerKey("choice", _, number) if number == state.choice_failures:
            state.retry_choice_at = None
        case TimerKey("send", message, attempt):
            state.outbox.try_again(message, attempt)
        case TimerKey("wait", step_id, attempt) if (step := state.steps.get(step_id)) and step.attempt == attempt:
            if not step.chosen.until:
                _move(state, step_id, {"waiting"}, status="due", until=None)
            elif _move(state, step_id, {"waiting"}, status="finished", until=None):
                state.news = not state.cancelled
        case TimerKey(_, step_id) if (step := state.steps.get(step_id)) and step.status == "requested" and step.request:
            _escalate(state, step.request, key, index)
        case _:
            pass


def _escalate(state: State, request: Request, key: TimerKey, index: int) -> None:
    match key.kind:
        case "remind":
            request = _update(state, request, reminded=True)
            _follow_card(state, request, "reminder", "reminder", index, "remind")
        case "widen":
            _follow_card(state, request, "reminder", "reminder", index, "widen")
            _update(state, request, widened=True)
            state.outbox.put_card(request.step, index, request.asked.then_asks, first=1 + len(request.asked.asks))
        case "expire":
            _move(state, request.step, {"requested"}, status="expired")
            state.news = not state.cancelled
            _follow_card(state, request, "settled", "settled", index)
        case _:
            pass


# What people were told


def _message_sent(state: State, event: MessageSent, index: int) -> None:
    unsent = state.outbox.sent(event.key)
    if unsent and unsent.kind == "card" and (request := state.steps[unsent.step].request):
        _update(state, request, shown_at=request.shown_at | {unsent.surface})
    if event.place:
        state.place = event.place


def _message_failed(state: State, event: MessageFailed, index: int) -> None:
    lost = state.outbox.failed(event)
    if lost is None:
        return
    if lost.kind == "card":
        state.outbox.forget_followers(lost)
    state.outbox.put(MessageKey(event.key, "undelivered"), "undelivered", index, lost.step)
    request = state.steps[lost.step].request if lost.kind == "card" else None
    unseen = request and not request.shown_at and not state.outbox.has_card(lost.step)
    # Nobody has seen all of it, so nobody may approve it.
    if unseen and _move(state, lost.step, {"requested"}, status="refused"):
        _failed(state)


def _delivery_failed(state: State, event: DeliveryFailed, index: int) -> None:
    # The agent does not answer to it: that answer would come back too.
    key = MessageKey.parse(event.key)
    if key is None or key.part != "undelivered":
        state.outbox.put(MessageKey(event.id, "undelivered"), "undelivered", index)


# The thread as a whole


def _thread_opened(state: State, event: ThreadOpened, index: int) -> None:
    state.agent, state.place = event.agent, event.place


def _agent_changed(state: State, event: AgentChanged, index: int) -> None:
    state.agent = event.agent
    _end_open_steps(state, "finished", {"chosen"}, index)
    # What was approved is the other agent's call, whatever this one's is called.
    _end_open_steps(state, "superseded", UNDECIDED, index)
    _moved_from_outside(state, index)


def _handed_to_human(state: State, event: HandedToHuman, index: int) -> None:
    _rest(state)
    state.handed = True
    state.errors_in_row = state.steps_in_turn = 0
    state.outbox.put(MessageKey(event.id, "say"), "handed", index)


def _thread_paused(state: State, event: ThreadPaused, index: int) -> None:
    state.paused = True


def _thread_resumed(state: State, event: ThreadResumed, index: int) -> None:
    state.paused = False


def _thread_cancelled(state: State, event: ThreadCancelled, index: int) -> None:
    _end_open_steps(state, "cancelled", OPEN - {"running"}, index)
    _close_question(state, index)
    _rest(state)
    state.cancelled = True
    state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def _thread_forked(state: State, event: ThreadForked, index: int) -> None:
    _end_open_steps(state, "superseded", OPEN, index)
    state.outbox = Outbox()
    _rest(state)
    state.handed = state.paused = state.cancelled = False
    state.current = state.question = ""


def _unknown(state: State, event: UnknownEvent, index: int) -> None:
    state.unreadable = True


def _of_no_step(state: State, event: StandingGranted | StandingRevoked, index: int) -> None:
    """Standing approvals have a log of their own: see `bot.team.standing`."""


ROWS: Mapping[type[Event], Callable[[State, Any, int], None]] = {
    ThreadOpened: _thread_opened,
    ThreadForked: _thread_forked,
    MessageReceived: _message_received,
    MessageEdited: _message_edited,
    MessageDeleted: _message_deleted,
    TriggerReceived: _trigger_received,
    StepChosen: _step_chosen,
    ChoiceFailed: _choice_failed,
    ApprovalRequested: _approval_requested,
    ApprovalDecided: _approval_decided,
    ToolStarted: _tool_started,
    ToolWaiting: _tool_waiting,
    ToolFinished: _tool_finished,
    ToolInterrupted: _tool_interrupted,
    StepRefused: _step_refused,
    TimerFired: _timer_fired,
    MessageSent: _message_sent,
    MessageFailed: _message_failed,
    DeliveryFailed: _delivery_failed,
    AgentChanged: _agent_changed,
    HandedToHuman: _handed_to_human,
    ThreadPaused: _thread_paused,
    ThreadResumed: _thread_resumed,
    ThreadCancelled: _thread_cancelled,
    StandingGranted: _of_no_step,
    StandingRevoked: _of_no_step,
    UnknownEvent: _unknown,
}
"""A test holds that every kind of event has its row."""
