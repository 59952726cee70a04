"""Renders each event as a block for the model, with a table that has a row for each kind of event.

A step and its result are one block. All text goes through `agent.context.writer`, which escapes it. Pure. It does not
decide which blocks fit (`compaction`), nor what is under way (`now`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from agent.context.attachments import put_attachments
from agent.context.left import is_reopened, left_under_way
from agent.context.writer import Table, Writer
from agent.definition import Agent
from agent.quoting import name_of
from agent.speech.loss import loss_in_words
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
from store.keys import TimerKey
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.state import OPEN, StepState
from store.text import one_line
from store.thread import Thread
from store.values import Person

NAME_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class Block:
    tag: str
    body: str
    intent: str = ""
    """The intent of the step that it reports."""
    error: bool = False
    result: bool = False
    """A tool's result. It can be looked up again, so it is left out before people's messages are."""
    tables: tuple[Table, ...] = ()
    text: str = field(init=False, compare=False, repr=False)
    """As the model reads it. It is made once, because every prompt of a long thread has a thousand blocks."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", f"<{self.tag}>\n{self.body}</{self.tag}>")


@dataclass(frozen=True, slots=True)
class _Row:
    """The inputs of a row."""

    thread: Thread
    agent: Agent
    text: Writer
    step: StepState | None
    """The event's step, if it has one."""
    index: int

    @property
    def for_people(self) -> frozenset[str]:
        """Keys of its data that are shown to people only."""
        tool = self.agent.all_steps.get(self.step.chosen.intent) if self.step else None
        return tool.for_people if tool and issubclass(tool, Tool) else frozenset()


def block_of(event: Event, index: int, thread: Thread, agent: Agent) -> Block | None:
    """The event's block; None: the model does not see the event, or sees it in another event's block."""
    step = thread.step(str(getattr(event, "step", "")))
    row = _Row(thread, agent, Writer(agent.limits.part_chars_max), step, index)
    return ROWS[type(event)](row, event)


def is_final(event: Event, thread: Thread) -> bool:
    """Whether its block can no longer change."""
    match event:
        case MessageReceived():
            return event.id not in thread.state.edits.fresh
        case StepChosen():
            return (step := thread.step(event.step)) is None or step.status not in OPEN
        case _:
            return True


# The rows


def _nothing(row: _Row, event: Event) -> None:
    return None


def _message(row: _Row, event: MessageReceived) -> Block:
    text = row.text
    name = name_of(event, row.index) if row.agent.quotes else ""
    text.put("from", f"{who(event.sender)}, {name}" if name else who(event.sender))
    _put_if(text, "subject", event.subject)
    if event.answers and (asked := row.thread.step(event.answers)):
        text.put("answers", str(asked.chosen.arguments.get("question", "")))
    words = row.thread.state.edits.texts.get(event.id, event.text)
    if words is None:
        text.put("deleted", "its author took it back")
    else:
        text.put("text", words)
        if event.clipped_from > len(event.text):
            text.put("clipped", f"the message had {event.clipped_from:,} characters")
        put_attachments(text, event.attachments, event.left_out)
    return Block("message", str(text))


def _trigger(row: _Row, event: TriggerReceived) -> Block:
    sender, others = who(event.by) if event.by else "", ", ".join(event.third_party)
    known = {"source": event.source, "name": event.name, "from": sender, "others_wrote": others}
    row.text.put_all({key: text for key, text in known.items() if text}, apart="trigger")
    row.text.reserve(*known)  # also what is not said
    row.text.put_all(event.data, apart="data")
    return Block("trigger", str(row.text))


def _chosen(row: _Row, event: StepChosen) -> Block | None:
    step, text = row.step, row.text
    if step is None or step.request or step.ended or (event.until and step.status == "finished"):
        return None  # Part of the block of its request, or of its ending.
    if step.status in OPEN and step.status != "chosen":
        return None  # Rendered by `now`.
    if step.status == "cancelled" and (step.attempt or event.until) and is_reopened(row.thread, row.index):
        return None  # Part of the block of the reopening: so far it was rendered by `now`.
    match step.status:
        case "chosen" | "superseded" | "cancelled" if not step.attempt:
            # The model is asked although the step has not begun: somebody wrote, so it never will.
            text.put("status", "not begun, and will not begin")
        case "superseded" | "cancelled":
            text.put("status", "nobody follows it here any more")
        case "duplicate":
            text.put("status", "the same call is under way already")
        case _:
            pass
    arguments = dict(event.arguments)
    if step.effect == "asks" and isinstance(options := arguments.get("options"), dict):
        del arguments["options"]
        if options.get("choices"):
            arguments["choices"] = options["choices"]
    text.put_all(arguments, apart="arguments")
    return Block(_tag(event.intent), str(text), event.intent)


def _choice_failed(row: _Row, event: ChoiceFailed) -> Block | None:
    if event.reason not in ("invalid", "refused", "truncated"):
        return None
    row.text.put("your_answer_was", event.reason)
    _put_if(row.text, "you_answered", event.answer)
    row.text.put("error", event.error)
    _put_if(row.text, "hint", event.hint)
    return Block("error", str(row.text), "choice", error=True)


def _requested(row: _Row, event: ApprovalRequested) -> Block | None:
    step, text = row.step, row.text
    if step is None:
        return None
    text.put("step", step.chosen.intent)
    if step.chosen.editor:
        text.put("changed_by", who(step.chosen.editor))
    text.put_all(step.chosen.arguments, apart="arguments")
    text.put_all(_without(event.facts, row.for_people), apart="facts")
    return Block("approval_requested", str(text))


def _decided(row: _Row, event: ApprovalDecided) -> Block | None:
    step, text = row.step, row.text
    if step is None or step.request is None or step.request.outcomes.get(event.id) != "settled":
        return None
    text.put("by", who(event.by))
    text.put("step", step.chosen.intent)
    text.put("approved", event.approved)
    if event.comment and not event.standing:
        # The reason of a standing approval is for people: its author would have asked for all that it approves.
        text.put("comment", event.comment)
    return Block("human_response", str(text))


def _finished(row: _Row, event: ToolFinished) -> Block | None:
    step, text = row.step, row.text
    if step is None:
        return None
    chosen = step.chosen
    text.reserve("error", "hint", "result")
    if not step.request:
        text.put_all(_without(chosen.arguments, row.for_people), apart="arguments")
    if event.error:
        text.put("error", event.error)
        _put_if(text, "hint", event.hint)
    elif isinstance(event.result, dict) and (news := _not_in_arguments(event.result, chosen.arguments)) is not None:
        text.put_all(_without(news, row.for_people), apart="result")
    elif event.result is not None:
        text.put("result", event.result)
    tag, failed = _tag(f"{chosen.intent}_result" if step.request else chosen.intent), bool(event.error)
    return Block(tag, str(text), chosen.intent, error=failed, result=not failed, tables=tuple(text.tables))


def _interrupted(row: _Row, event: ToolInterrupted) -> Block | None:
    return _not_done(row, "outcome_unknown", event.why)


def _not_begun(row: _Row, event: ToolNotBegun) -> Block | None:
    """Only after people were asked how it ended: otherwise it begins again by itself."""
    asked = row.step and row.step.ended == event
    return _not_done(row, "refused", f"It was not begun: {event.why}") if asked else None


def _refused(row: _Row, event: StepRefused) -> Block | None:
    return _not_done(row, "refused", event.error, event.hint)


def _not_done(row: _Row, tag: str, why: str, hint: str = "") -> Block | None:
    step, text = row.step, row.text
    if step is None:
        return None
    text.reserve("error", "hint")
    text.put("step", step.chosen.intent)
    if not step.request:
        if step.chosen.editor:
            text.put("changed_by", who(step.chosen.editor))
        text.put_all(step.chosen.arguments, apart="arguments")
    text.put("error", why)
    _put_if(text, "hint", hint)
    return Block(tag, str(text), step.chosen.intent, error=tag == "refused")


def _fired(row: _Row, event: TimerFired) -> Block | None:
    key, text = TimerKey.parse(event.timer), row.text
    step = row.thread.step(key.about) if key else None
    if key is None or step is None:
        return None
    if key.kind == "expire" and step.status == "expired":
        text.put("step", step.chosen.intent)
        text.put("expired", "nobody decided in time, so it was not run")
        return Block("approval_expired", str(text))
    if key.kind == "wait" and step.chosen.until:
        text.put("step", step.chosen.intent)
        text.put_all(step.chosen.arguments, apart="arguments")
        return Block("time_is_up", str(text))
    return None


def _agent_changed(row: _Row, event: AgentChanged) -> Block:
    row.text.put("agent", event.agent)
    row.text.put("reason", event.reason)
    return Block("agent_changed", str(row.text))


def _handed(row: _Row, event: HandedToHuman | EventsLost) -> Block:
    row.text.put("reason", loss_in_words(row.thread, event) if isinstance(event, EventsLost) else event.reason)
    return Block("handed_to_human", str(row.text))


def _message_failed(row: _Row, event: MessageFailed) -> Block | None:
    if event.retry_at:
        return None
    row.text.put("error", event.error)
    return Block("message_not_delivered", str(row.text))


def _came_back(row: _Row, event: DeliveryFailed) -> Block:
    row.text.put("to", event.recipient)
    row.text.put("error", event.error)
    return Block("message_not_delivered", str(row.text))


def _cancelled(row: _Row, event: ThreadCancelled) -> Block:
    row.text.put("by", who(event.by))
    row.text.put("reason", event.reason)
    return Block("cancelled", str(row.text))


def _stopped(row: _Row, event: WorkStopped) -> Block:
    row.text.put("by", who(event.by))
    row.text.put("what", "what was under way and any request; what has begun goes on to its end. Wait for new words")
    return Block("stopped", str(row.text))


def _reopened(row: _Row, event: ThreadReopened) -> Block:
    row.text.put("by", who(event.by))
    row.text.put("what", "what was cancelled stays cancelled; nothing from before is under way")
    if left := left_under_way(row.thread, row.index):
        row.text.put("nobody_follows_any_more", left)
    return Block("reopened", str(row.text))


def _forked(row: _Row, event: ThreadForked) -> Block:
    row.text.put("what", "a copy of another thread up to here; nothing from before is under way in this one")
    return Block("forked", str(row.text))


ROWS: Mapping[type[Event], Callable[[_Row, Any], Block | None]] = {
    ThreadOpened: _nothing,
    ThreadForked: _forked,
    **dict.fromkeys((MessageArrived, ClickArrived, ClickRead, ArrivalDropped, AnswerOffered, WordsPlaced), _nothing),
    MessageReceived: _message,
    MessageEdited: _nothing,
    MessageDeleted: _nothing,
    TriggerReceived: _trigger,
    StepChosen: _chosen,
    ChoiceFailed: _choice_failed,
    ApprovalRequested: _requested,
    ApprovalDecided: _decided,
    ReplyDecidedNothing: _nothing,
    ToolStarted: _nothing,
    ToolNotBegun: _not_begun,
    ToolWaiting: _nothing,
    ToolFinished: _finished,
    ToolInterrupted: _interrupted,
    StepRefused: _refused,
    TimerFired: _fired,
    MessageSent: _nothing,
    MessageFailed: _message_failed,
    DeliveryFailed: _came_back,
    PlaceRegained: _nothing,
    AgentChanged: _agent_changed,
    HandedToHuman: _handed,
    EventsLost: _handed,
    ThreadUnserved: _nothing,
    ThreadPaused: _nothing,
    ThreadResumed: _nothing,
    ThreadCancelled: _cancelled,
    WorkStopped: _stopped,
    ThreadReopened: _reopened,
    FeedbackGiven: _nothing,
    StandingGranted: _nothing,
    StandingRevoked: _nothing,
    StandingUsed: _nothing,
    UnknownEvent: _nothing,
}
"""A test holds that every kind of event has its row."""


# Small parts


def _put_if(text: Writer, key: str, value: str) -> None:
    if value:
        text.put(key, value)


def _without(data: dict[str, JsonValue], keys: frozenset[str]) -> dict[str, JsonValue]:
    if not keys:
        return data
    kept = ((key, value) for key, value in data.items() if key not in keys)
    return {key: _without(value, keys) if isinstance(value, dict) else value for key, value in kept}


def _not_in_arguments(result: dict[str, JsonValue], arguments: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    """The result without the fields that repeat an argument; None: a field contradicts an argument."""
    if any(arguments.get(name, value) != value for name, value in result.items()):
        return None
    return {name: value for name, value in result.items() if name not in arguments}


def who(person: Person) -> str:
    """Name and trust. Only we write round brackets, so a display name cannot claim to be verified."""
    name = one_line(person.name or person.address or "somebody", NAME_CHARS_MAX)
    return f"{name.replace('(', '[').replace(')', ']')} ({person.trust.replace('_', ' ')})"


def _tag(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:64] or "step"
