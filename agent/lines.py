"""What the program's log says of an event, with a table that has a row for each kind of event.

The line's name is the event's kind. It says who did what, where, how long it took and what it cost. It never holds what
people or the model wrote, nor a step's arguments but those whose values are from a list (`scope`): a log is read in
more places than a conversation, and by other people. The texts that it does hold are names, and errors in one short
line. Pure; `agent.reporting` writes the lines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.arguments import listed_values
from agent.definition import Agent
from agent.steps import Tool
from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
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
from store.keys import EventId, MessageKey, OutsideId
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.state import StepState
from store.text import call_in_words, one_line
from store.thread import Thread
from store.values import Person, Usage

Fields = dict[str, object]

NAME_CHARS_MAX = 100
ERROR_CHARS_MAX = 300
DIGEST_CHARS = 8

_LEVELS: Mapping[type[Event], int] = {
    EventsLost: logging.ERROR,
    **dict.fromkeys((DeliveryFailed, HandedToHuman, MessageFailed, ThreadUnserved, ToolInterrupted), logging.WARNING),
    **dict.fromkeys((MessageArrived, ClickArrived), logging.DEBUG),
}
"""Of those that somebody should look at."""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class _Row:
    """The inputs of a row."""

    thread: Thread
    """With the event; without any events, if whoever appended it did not read the thread."""
    agent: Agent | None
    step: StepState | None
    """The event's step, if it has one."""
    model_seconds: float | None

    @property
    def call(self) -> Fields:
        """The step: its intent, and the arguments whose values are from a list."""
        return _call(self.agent, self.step.chosen) if self.step else {}

    def ran(self, until: datetime) -> Fields:
        """How long the tool ran, by the clock of the events."""
        if self.step is None:
            return {}
        since = self.step.started_at or (self.step.chosen.at if self.step.chosen.begun else None)
        return {"milliseconds": max((until - since) // timedelta(milliseconds=1), 0)} if since else {}

    def channel(self, key: str) -> str:
        """Where the message with this key goes; empty: not known from the thread."""
        parsed, own = MessageKey.parse(key), self.thread.state.place
        event = EventId.parse(parsed.about) if parsed else None
        if parsed is None or parsed.part == "undelivered" or (event and event.name == "unserved"):
            return ""
        if not parsed.surface:
            return own.channel if own else ""
        about = self.thread.step(parsed.about)
        places = about.request.places if about and about.request else ()
        return places[parsed.surface - 1].channel if parsed.surface <= len(places) else ""


def level_of(event: Event) -> int:
    """The line's level, by the numbers of `logging`."""
    return _LEVELS.get(type(event), logging.INFO)


def line_of(
    event: Event, thread: Thread, agent: Agent | None = None, *, model_seconds: float | None = None
) -> Line | None:
    """The event's line; None: none.

    `thread` is the thread with the event, `agent` its agent if it is known here, and `model_seconds` how long the model
    took, if it was asked for this event.
    """
    step_id = str(getattr(event, "step", ""))
    fields = ROWS[type(event)](_Row(thread, agent, thread.step(step_id), model_seconds), event)
    if fields is None:
        return None
    shown = {"thread": thread.id, "agent": thread.agent, "step": step_id, **fields}
    return Line(event.kind, {name: value for name, value in shown.items() if value not in (None, "")})


# The rows


def _thread_opened(row: _Row, event: ThreadOpened) -> Fields:
    return {"agent": _name(event.agent), "channel": event.place.channel, "place": _name(event.place.address)}


def _thread_forked(row: _Row, event: ThreadForked) -> Fields:
    return {"source": _name(event.source), "at_event": event.at_event, **_person(event.by)}


def _arrived(row: _Row, event: MessageArrived | ClickArrived) -> Fields:
    what = {"characters": len(event.text)} if isinstance(event, MessageArrived) else {"act": event.act}
    return {"channel": _name(event.channel), **what}


def _arrival_ended(row: _Row, event: ArrivalDropped | ClickRead) -> Fields:
    what = {"message": _name(event.becomes)} if isinstance(event, ArrivalDropped) else {"click": _name(event.click)}
    return {**what, "moved_to": event.moved_to}


def _answer_offered(row: _Row, event: AnswerOffered) -> Fields:
    return {"message": _name(event.becomes), "questions": len(event.questions), **_person(event.to)}


def _words_placed(row: _Row, event: WordsPlaced) -> Fields:
    return {"message": _name(event.becomes), "moved_to": event.thread, **_person(event.by)}


def _message_received(row: _Row, event: MessageReceived) -> Fields:
    size = event.clipped_from or len(event.text)
    return {
        **_person(event.sender),
        "channel": _source(row, event.id),
        "characters": size,
        "attachments": len(event.attachments) or None,
        "answers": event.answers,
    }


def _message_edited(row: _Row, event: MessageEdited) -> Fields:
    return {"message": _name(event.message), "channel": _source(row, event.message), "characters": len(event.text)}


def _message_deleted(row: _Row, event: MessageDeleted) -> Fields:
    return {"message": _name(event.message), "channel": _source(row, event.message)}


def _trigger_received(row: _Row, event: TriggerReceived) -> Fields:
    return {"source": _name(event.source), "trigger": _name(event.name)}


def _step_chosen(row: _Row, event: StepChosen) -> Fields:
    editor = {"edits": event.edits, **(_person(event.editor) if event.editor else {})}
    model = _model(row, event.model, event.usage) if event.by == "model" else {}
    return {**_call(row.agent, event), "by": event.by, **editor, **model}


def _choice_failed(row: _Row, event: ChoiceFailed) -> Fields:
    why = {"reason": event.reason, "error": _error(event.error), "retry_at": _instant(event.retry_at)}
    return {**why, **_model(row, event.model, event.usage)}


def _approval_requested(row: _Row, event: ApprovalRequested) -> Fields:
    fields: Fields = {**row.call, "request": event.digest[:DIGEST_CHARS]}
    if row.step and row.step.request:
        terms = row.step.request.terms
        fields |= {"group": _name(terms.group), "quorum": terms.quorum, "expires_at": _instant(terms.expires_at)}
    return fields


def _approval_decided(row: _Row, event: ApprovalDecided) -> Fields:
    request = row.step.request if row.step else None
    return {
        **row.call,
        "request": event.digest[:DIGEST_CHARS],
        "approved": event.approved,
        "outcome": request.outcomes.get(event.id) if request else None,
        **_person(event.by),
        "standing": event.standing,
    }


def _tool_started(row: _Row, event: ToolStarted) -> Fields:
    return {**row.call, "attempt": event.attempt, "host": _name(event.host)}


def _tool_not_begun(row: _Row, event: ToolNotBegun) -> Fields:
    return {**row.call, "start": event.start, "error": _error(event.why)}


def _tool_waiting(row: _Row, event: ToolWaiting) -> Fields:
    return {**row.call, "attempt": event.attempt, "until": _instant(event.until), **row.ran(event.at)}


def _tool_finished(row: _Row, event: ToolFinished) -> Fields:
    attempt = row.step.attempt if row.step else None
    return {**row.call, "attempt": attempt, "error": _error(event.error), **row.ran(event.at)}


def _tool_interrupted(row: _Row, event: ToolInterrupted) -> Fields:
    return {**row.call, "attempt": row.step.attempt if row.step else None, "error": _error(event.why)}


def _step_refused(row: _Row, event: StepRefused) -> Fields:
    return {**row.call, "error": _error(event.error)}


def _timer_fired(row: _Row, event: TimerFired) -> Fields:
    return {"timer": _name(event.timer), "by": _name(event.by)}


def _message_sent(row: _Row, event: MessageSent) -> Fields:
    return {"key": _name(event.key), "channel": row.channel(event.key)}


def _message_failed(row: _Row, event: MessageFailed) -> Fields:
    where = {"key": _name(event.key), "channel": row.channel(event.key), "attempt": event.attempt}
    return {**where, "error": _error(event.error), "retry_at": _instant(event.retry_at)}


def _delivery_failed(row: _Row, event: DeliveryFailed) -> Fields:
    channel = row.channel(event.key) or _source(row, event.id)
    error = _error(event.error)
    return {"key": _name(event.key), "channel": channel, "address": _name(event.recipient), "error": error}


def _agent_changed(row: _Row, event: AgentChanged) -> Fields:
    return {"agent": _name(event.agent)}


def _handed_to_human(row: _Row, event: HandedToHuman) -> Fields:
    return {"limit": event.limit, "error": _error(event.reason)}


def _events_lost(row: _Row, event: EventsLost) -> Fields:
    return {"restored": event.restored, "conflicting": len(event.conflicting)}


def _thread_unserved(row: _Row, event: ThreadUnserved) -> Fields:
    return {"error": _error(event.why), "set_aside": len(event.set_aside) or None}


def _by_a_person(
    row: _Row, event: ThreadPaused | ThreadResumed | ThreadCancelled | WorkStopped | ThreadReopened
) -> Fields:
    return _person(event.by)


def _reply_decided_nothing(row: _Row, event: ReplyDecidedNothing) -> Fields:
    return {"request": event.digest[:DIGEST_CHARS], "reads_as": event.reads_as, **_person(event.by)}


def _feedback_given(row: _Row, event: FeedbackGiven) -> Fields:
    return {"helpful": event.helpful, **_person(event.by)}


def _standing_granted(row: _Row, event: StandingGranted) -> Fields:
    scope = call_in_words(event.scope, event.when).strip()
    covers = {"agent": _name(event.agent), "intent": _name(event.intent), "scope": _name(scope)}
    return {"standing": event.id, **covers, "until": _instant(event.until), **_person(event.by)}


def _standing_revoked(row: _Row, event: StandingRevoked) -> Fields:
    return {"standing": _name(event.grant), **_person(event.by)}


def _standing_used(row: _Row, event: StandingUsed) -> Fields:
    return {"standing": _name(event.grant), "used_by": _name(event.thread), "step": _name(event.step)}


def _plain(row: _Row, event: PlaceRegained) -> Fields:
    return {}


def _nothing(row: _Row, event: Event) -> None:
    return None


ROWS: Mapping[type[Event], Callable[[_Row, Any], Fields | None]] = {
    ThreadOpened: _thread_opened,
    ThreadForked: _thread_forked,
    **dict.fromkeys((MessageArrived, ClickArrived), _arrived),
    **dict.fromkeys((ArrivalDropped, ClickRead), _arrival_ended),
    AnswerOffered: _answer_offered,
    WordsPlaced: _words_placed,
    MessageReceived: _message_received,
    MessageEdited: _message_edited,
    MessageDeleted: _message_deleted,
    TriggerReceived: _trigger_received,
    StepChosen: _step_chosen,
    ChoiceFailed: _choice_failed,
    ApprovalRequested: _approval_requested,
    ApprovalDecided: _approval_decided,
    ReplyDecidedNothing: _reply_decided_nothing,
    ToolStarted: _tool_started,
    ToolNotBegun: _tool_not_begun,
    ToolWaiting: _tool_waiting,
    ToolFinished: _tool_finished,
    ToolInterrupted: _tool_interrupted,
    StepRefused: _step_refused,
    TimerFired: _timer_fired,
    MessageSent: _message_sent,
    MessageFailed: _message_failed,
    DeliveryFailed: _delivery_failed,
    PlaceRegained: _plain,
    AgentChanged: _agent_changed,
    HandedToHuman: _handed_to_human,
    EventsLost: _events_lost,
    ThreadUnserved: _thread_unserved,
    ThreadPaused: _by_a_person,
    ThreadResumed: _by_a_person,
    ThreadCancelled: _by_a_person,
    WorkStopped: _by_a_person,
    ThreadReopened: _by_a_person,
    FeedbackGiven: _feedback_given,
    StandingGranted: _standing_granted,
    StandingRevoked: _standing_revoked,
    StandingUsed: _standing_used,
    UnknownEvent: _nothing,
}


# Their parts


def _call(agent: Agent | None, chosen: StepChosen) -> Fields:
    tool = agent.all_steps.get(chosen.intent) if agent else None
    scope = " ".join(listed_values(tool, chosen.arguments)) if tool and issubclass(tool, Tool) else ""
    return {"intent": _name(chosen.intent), "scope": _name(scope)}


def _model(row: _Row, name: str, usage: Usage | None) -> Fields:
    fields: Fields = {"model": _name(name)}
    if row.model_seconds is not None:
        fields["milliseconds"] = round(row.model_seconds * 1000)
    if usage:
        fields["input_tokens"], fields["output_tokens"] = usage.input_tokens, usage.output_tokens
        fields["cached_tokens"], fields["cost"] = usage.cached_tokens, usage.cost
    return fields


def _person(person: Person) -> Fields:
    return {"person": _name(person.name), "address": _name(person.address), "member": _name(person.member)}


def _source(row: _Row, event_id: str) -> str:
    """The channel that it came by."""
    outside, place = OutsideId.parse(event_id), row.thread.state.place
    return _name(outside.source) if outside else place.channel if place else ""


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _name(text: str) -> str:
    return one_line(text, NAME_CHARS_MAX)


def _error(text: str) -> str:
    return one_line(text, ERROR_CHARS_MAX)
