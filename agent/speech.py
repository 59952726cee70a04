"""What people are told: the data of each message that a thread owes, computed from its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from channels.base import Card, Notice, Outgoing, Question, Settled, Text
from store.events import (
    ApprovalRequested,
    Event,
    HandedToHuman,
    MessageReceived,
    StepChosen,
    ThreadCancelled,
    TriggerReceived,
)
from store.thread import Owed, StepState, Thread


def outgoing(thread: Thread, owed: Owed) -> Outgoing:
    event = thread.events[owed.event]
    match owed.what:
        case "done":
            assert isinstance(event, StepChosen)
            return Text(str(event.arguments.get("message", "")))
        case "question":
            assert isinstance(event, StepChosen)
            return _question(event)
        case "card":
            assert isinstance(event, ApprovalRequested)
            return card(thread, thread.state.steps[owed.step], event)
        case "settled":
            return settled(thread.state.steps[owed.step])
        case "handed":
            assert isinstance(event, HandedToHuman)
            ending = "" if event.limit == "events_per_thread" else " Write to me and I will go on."
            return Notice(f"I stopped here and need a person: {event.reason}{ending}")
        case "notice":
            return Notice(_notice(thread, owed))


def card(thread: Thread, step: StepState, request: ApprovalRequested) -> Card:
    return Card(
        step=step.id,
        digest=request.digest,
        intent=step.chosen.intent,
        arguments=step.chosen.arguments,
        facts=request.facts,
        requested_by=requester(thread.events[: thread.events.index(request)]),
        requested_at=request.at,
    )


def settled(step: StepState) -> Settled:
    decision = step.decision
    outcome: Literal["approved", "rejected", "withdrawn", "superseded", "cancelled", "refused"]
    match step.status:
        case "withdrawn" | "superseded" | "cancelled" | "refused" as ended:
            outcome = ended
        case _:
            outcome = "approved" if decision and decision.approved else "rejected"
    return Settled(
        step=step.id,
        intent=step.chosen.intent,
        arguments=step.chosen.arguments,
        outcome=outcome,
        by=decision.by if decision else None,
        at=decision.at if decision else None,
        comment=decision.comment if decision else "",
    )


def requester(events: Sequence[Event]) -> str:
    """Who spoke last in these events: a person, or where only a machine did, its name."""
    for event in reversed(events):
        match event:
            case MessageReceived():
                return event.sender.name or event.sender.address
            case TriggerReceived():
                return event.source
            case _:
                pass
    return "nobody"


def _question(event: StepChosen) -> Question:
    arguments = event.arguments
    options = cast(dict[str, Any], arguments.get("options") or {})
    return Question(
        step=event.step,
        question=str(arguments.get("question", "")),
        context=str(arguments.get("context", "")),
        format=options.get("format", "free_text"),
        choices=tuple(str(choice) for choice in options.get("choices") or ()),
        urgency=options.get("urgency", "medium"),
    )


def _notice(thread: Thread, owed: Owed) -> str:
    event = thread.events[owed.event]
    match event:
        case ThreadCancelled():
            return f"Cancelled by {event.by.name}{': ' + event.reason if event.reason else ''}. Nothing more is begun."
        case MessageReceived() if thread.state.cancelled:
            return "This thread was cancelled, so I do not act on it any more. Please start a new one."
        case MessageReceived() if event.clipped_from:
            return (
                f"Your message has {event.clipped_from:,} characters; I read the first {len(event.text):,} of them. "
                "Please send the rest in smaller parts if I need it."
            )
        case MessageReceived() if thread.state.paused:
            return "I am paused here. I will read this when somebody resumes me."
        case MessageReceived():
            return "I was paused when you wrote this; I go on now."
        case _:
            return "That is what I asked approval for above; I am waiting for the decision."
