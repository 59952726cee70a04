"""The fold: computes a thread's state from its events, with a table that has a row for each kind of event.

Rules
- A step changes only from a status that its event allows; an event out of order changes nothing. So an event that is
  written twice, or late by a worker that was presumed dead, does no harm.
- A decision is judged by the terms stored in the request (`store.authority.terms`), never by today's team file.
- Everything that people must be told goes into the outbox; the fold writes no text.
- The step says what it does (`StepChosen.effect`), so a new built-in step needs no new row.

The fold knows no agent and no channel, reads no clock, and uses nothing but the events: an old log means today what it
meant when it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from store import arriving, running, whole
from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
from store.arriving import end_arrival, person_acted
from store.authority.terms import terms_of
from store.choices import ChoiceFailed
from store.deliveries import DeliveryFailed, MessageFailed, MessageSent, PlaceRegained
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    EventsLost,
    FeedbackGiven,
    HandedToHuman,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadReopened,
    ThreadResumed,
    ThreadUnserved,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    ToolNotBegun,
    ToolStarted,
    ToolWaiting,
    TriggerReceived,
    UnknownEvent,
    WorkStopped,
)
from store.keys import MessageKey, TimerKey
from store.moves import (
    answer_reply,
    close_offer,
    count_failure,
    edit_message,
    end_open_steps,
    end_outage,
    escalate,
    follow_card,
    move_step,
    note_outage,
    note_reading,
    outcome_of,
    settle,
    start_turn,
    supersede_chosen,
    update_request,
)
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.state import NOT_BEGUN, OPEN, Request, State, StepState, effect_of
from store.tasks import follow_tasks, tasks_of


def fold(before: State, events: tuple[Event, ...], index: int) -> State:
    """The state after these events, the first of which has this index. `before` is not changed."""
    state = before.copy()
    for event in events:
        listed = state.tasks
        tasks = tasks_of(state, listed) if listed else ()
        ROWS[type(event)](state, event, index)
        if listed and listed == state.tasks:
            follow_tasks(state, tasks, index)
        index += 1
    state.open_steps = tuple(step_id for step_id in state.open_steps if state.steps[step_id].status in OPEN)
    return state


# Messages and triggers


def _message_received(state: State, event: MessageReceived, index: int) -> None:
    if event.sender.trust == "verified":
        person_acted(state, event.click or event.id)
    end_arrival(state, event.id)
    close_offer(state, event.id, index)
    start_turn(state, index)
    state.edits.message_came(event.id, index)
    state.words = state.words.in_message(event)
    state.message_at = state.words_at = index
    if any(attachment.image for attachment in event.attachments):
        state.pictured = (*state.pictured, index)
    if not state.cancelled:
        state.heard_at = index
    if state.cancelled or state.paused or event.clipped_from:
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def _message_edited(state: State, event: MessageEdited, index: int) -> None:
    end_arrival(state, event.id)
    edit_message(state, event.message, event.text, index)
    if event.passes_on:
        state.words = state.words.by_nobody("what an edited message passes on")


def _message_deleted(state: State, event: MessageDeleted, index: int) -> None:
    end_arrival(state, event.id)
    edit_message(state, event.message, None, index)


def _trigger_received(state: State, event: TriggerReceived, index: int) -> None:
    start_turn(state, index)
    state.words_at = index
    state.words = state.words.in_trigger(event)


# Choosing


def _step_chosen(state: State, event: StepChosen, index: int) -> None:
    if event.step in state.steps:
        return
    state.retry_choice_at, state.unserved = None, False
    end_outage(state)
    if not event.holds:  # A person's edit answers nothing that happened before it.
        state.seen = event.seen or index
    if event.by == "model" or effect_of(event) == "rests":  # Also code may say that nothing needs an answer.
        note_reading(state, event, index)
    if event.by == "person":
        state.handed_to_human, state.steps_in_turn, state.errors_in_row = False, 0, 0
    state.current = event.step
    state.steps_in_turn += 1
    for person in (*([event.editor] if event.editor else []), *event.on_behalf_of):
        state.words = state.words.by(person)
    supersede_chosen(state, event, index)
    step = state.steps[event.step] = _after_choice(state, event, index)
    if event.third_party:  # From now on the model may read its facts, its result or its error.
        state.words = state.words.by_nobody(f"what {event.intent} looked up")
    if step.status in OPEN:
        # Drop ended steps now: a fold of many events would otherwise scan all of them at each step.
        still_open = (step_id for step_id in state.open_steps if state.steps[step_id].status in OPEN)
        state.open_steps = (*still_open, event.step)


def _after_choice(state: State, event: StepChosen, index: int) -> StepState:
    """Apply the effect of the choice. Returns the new step."""
    match effect_of(event):
        case "runs":
            return _after_choice_of_tool(state, event, index)
        case "says" | "updates" as effect:
            if effect == "updates":
                state.news_at = index
            state.outbox.put(MessageKey(event.step, "say"), "text", index, event.step)
        case "lists":
            state.news_at, state.tasks = index, event.step
            state.outbox.put(MessageKey(event.step, "say"), "tasks", index, event.step)
        case "asks":
            state.question = event.step
            state.outbox.put(MessageKey(event.step, "say"), "question", index, event.step)
        case "withdraws":
            state.news_at = index
            end_open_steps(state, "withdrawn", NOT_BEGUN, index)
        case "waits" | "reminds" as effect:
            if event.until is None:
                return _after_choice_of_tool(state, event, index)
            if effect == "reminds":  # Ongoing work continues meanwhile.
                state.news_at = index
            return StepState(event, "waiting", until=event.until, words=state.words)
        case "rests":
            pass
    return StepState(event, "complete", words=state.words)


def _after_choice_of_tool(state: State, event: StepChosen, index: int) -> StepState:
    if same := state.ongoing_call(event.intent, event.arguments):
        if same.status == "requested":
            state.outbox.put(MessageKey(event.step, "notice"), "notice", index, same.id)
        return StepState(event, "duplicate", words=state.words)
    if event.acts and event.by != "person":
        # A person's edit replaces the open request only when its own request is made.
        end_open_steps(state, "superseded", NOT_BEGUN, index)
    elif event.begun:
        return StepState(event, "running", attempt=1, repeatable=True, words=state.words)
    return StepState(event, words=state.words)


def _choice_failed(state: State, event: ChoiceFailed, index: int) -> None:
    note_outage(state, event)
    if event.reason == "outdated":
        state.outdated_in_row += 1
    else:
        if event.counted:
            state.errors_in_row += 1
        state.choice_failures += 1
        state.retry_choice_at = event.retry_at


# Approving


def _approval_requested(state: State, event: ApprovalRequested, index: int) -> None:
    step = state.steps.get(event.step)
    if step and step.status == "chosen" and step.chosen.by == "person":
        end_open_steps(state, "superseded", NOT_BEGUN, index)
    if step is None:
        return
    told = frozenset(range(1, 1 + len(event.asks))) if event.tells else frozenset[int]()
    request = Request(step.chosen, event, terms_of(event.policy), {}, shown_at=told, asked_at=index)
    if move_step(state, event.step, {"chosen"}, status="requested", request=request) and not request.terms.standing:
        # No card if a standing approval decides: nobody has to look first.
        state.outbox.put_card(event.step, index, (None, *event.asks))


def _approval_decided(state: State, event: ApprovalDecided, index: int) -> None:
    step = state.steps.get(event.step)
    if step is None:
        return
    outcome = outcome_of(state, step, event) if step.request else "other_request"
    if step.request:
        request = update_request(state, step.request, outcomes={**step.request.outcomes, event.id: outcome})
        if outcome == "counted":
            request = update_request(state, request, votes=(*request.votes, event))
            follow_card(state, request, "votes", "votes", index, str(index))
        elif outcome == "settled":
            settle(state, request, event, index)
            if not event.standing:
                person_acted(state, event.click)
    if outcome not in ("counted", "settled") and event.by_message:
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index, event.step)


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
                if event.by and step.status == "running":  # There was news while it looked, so it looks again.
                    state.steps[step_id] = step._replace(news_in=attempt)
                move_step(state, step_id, {"waiting"}, status="due", until=None)
            elif move_step(state, step_id, {"waiting"}, status="finished", until=None) and not state.cancelled:
                state.news_at, state.stopped = index, False
        case TimerKey(_, step_id) if (step := state.steps.get(step_id)) and step.status == "requested" and step.request:
            escalate(state, step.request, key, index)
        case _:
            pass


# Sent messages


def _message_sent(state: State, event: MessageSent, index: int) -> None:
    unsent = state.outbox.sent(event.key)
    if unsent and unsent.kind == "card" and (request := state.steps[unsent.step].request):
        update_request(state, request, shown_at=request.shown_at | {unsent.surface})
    if event.place:
        state.place = event.place


def _message_failed(state: State, event: MessageFailed, index: int) -> None:
    lost = state.outbox.failed(event)
    if lost is None:
        return
    if lost.kind == "card":
        state.outbox.forget_followers(lost)
    if lost.kind == "offer":
        state.offered = ""  # Nobody can choose, so the words begin a conversation.
    if lost.kind == "tasks" and lost.step == state.tasks:
        state.tasks = ""
    state.outbox.put(MessageKey(event.key, "undelivered"), "undelivered", index, lost.step)
    request = state.steps[lost.step].request if lost.kind == "card" else None
    if request:
        first, not_shown = 1 + len(request.places), {**request.not_shown, lost.surface: event.attempt}
        update_request(state, request, instead=(*request.instead, *event.instead), not_shown=not_shown)
        state.outbox.put_card(lost.step, lost.event, event.instead, first=first)
    unseen = request and not request.shown_at and not state.outbox.has_card(lost.step)
    # No card arrived anywhere, so nobody can approve it.
    if unseen and move_step(state, lost.step, {"requested"}, status="refused"):
        count_failure(state, index)


def _delivery_failed(state: State, event: DeliveryFailed, index: int) -> None:
    state.words = state.words.by_nobody("a delivery report")
    # The agent is not asked: its answer would bounce too.
    key = MessageKey.parse(event.key)
    if key is None or key.part != "undelivered":
        state.outbox.put(MessageKey(event.id, "undelivered"), "undelivered", index)


def _place_regained(state: State, event: PlaceRegained, index: int) -> None:
    for step in (state.steps[step_id] for step_id in state.open_steps):
        request = step.request
        if step.status == "requested" and request and 0 in request.not_shown and 0 not in request.shown_at:
            state.outbox.put_card(step.id, request.asked_at, (None,), failures=request.not_shown[0])


# What is only noted


def _mark_unreadable(state: State, event: UnknownEvent, index: int) -> None:
    state.unreadable = True


def _ignore(state: State, event: FeedbackGiven | StandingGranted | StandingRevoked | StandingUsed, index: int) -> None:
    """Feedback changes nothing, and standing approvals have their own log: see `bot.team.standing`."""


ROWS: Mapping[type[Event], Callable[[State, Any, int], None]] = {
    ThreadOpened: whole.thread_opened,
    ThreadForked: whole.thread_forked,
    MessageArrived: arriving.message_arrived,
    ClickArrived: arriving.click_arrived,
    ClickRead: arriving.click_read,
    ArrivalDropped: arriving.arrival_dropped,
    AnswerOffered: arriving.answer_offered,
    WordsPlaced: arriving.words_placed,
    MessageReceived: _message_received,
    MessageEdited: _message_edited,
    MessageDeleted: _message_deleted,
    TriggerReceived: _trigger_received,
    StepChosen: _step_chosen,
    ChoiceFailed: _choice_failed,
    ApprovalRequested: _approval_requested,
    ApprovalDecided: _approval_decided,
    ReplyDecidedNothing: answer_reply,
    ToolStarted: running.tool_started,
    ToolNotBegun: running.tool_not_begun,
    ToolWaiting: running.tool_waiting,
    ToolFinished: running.tool_finished,
    ToolInterrupted: running.tool_interrupted,
    StepRefused: running.step_refused,
    TimerFired: _timer_fired,
    MessageSent: _message_sent,
    MessageFailed: _message_failed,
    DeliveryFailed: _delivery_failed,
    PlaceRegained: _place_regained,
    AgentChanged: whole.agent_changed,
    HandedToHuman: whole.handed_to_human,
    EventsLost: whole.events_lost,
    ThreadUnserved: whole.thread_unserved,
    ThreadPaused: whole.thread_paused,
    ThreadResumed: whole.thread_resumed,
    ThreadCancelled: whole.thread_cancelled,
    WorkStopped: whole.work_stopped,
    ThreadReopened: whole.thread_reopened,
    FeedbackGiven: _ignore,
    StandingGranted: _ignore,
    StandingRevoked: _ignore,
    StandingUsed: _ignore,
    UnknownEvent: _mark_unreadable,
}
"""A test ensures that every kind of event has a row."""
