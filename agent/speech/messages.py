"""Writes the messages to people: one for each entry of the outbox, from the thread as of the event that it reports.

A retry therefore has the same text, whatever has happened since. Only the question whether it replaces an earlier
message is answered from the thread as it is now. Pure. How a message looks is the channel's concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, assert_never, cast

from agent.speech.loss import loss_in_words
from agent.speech.offers import closed_offer, offer_of
from agent.speech.outcomes import ended_edit_in_words, outcome_in_words, undecided_in_words
from agent.speech.requests import approval, card_receipt, ended, reminded
from agent.speech.stopping import stop_in_words
from agent.speech.undelivered import lost_in_words
from agent.speech.unread import unread_in_words
from channels.messages import (
    NEW,
    Answered,
    Approval,
    Dropped,
    ListedTask,
    Notice,
    Outgoing,
    Progress,
    Question,
    Rewrite,
    Tasks,
    Text,
    Under,
    Way,
)
from store.arrivals import AnswerOffered
from store.deliveries import DeliveryFailed, MessageFailed
from store.events import (
    ApprovalDecided,
    Event,
    EventsLost,
    HandedToHuman,
    MessageReceived,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadReopened,
    ThreadUnserved,
    ToolFinished,
    ToolWaiting,
    WorkStopped,
)
from store.keys import MessageKey
from store.names import called
from store.outbox import Unsent
from store.replies import ReplyDecidedNothing
from store.state import StepState, effect_of
from store.tasks import tasks_of
from store.text import call_in_words
from store.thread import Thread
from store.values import Person

ASKED_MAX = 5
"""People who are notified of an urgent question."""
EVENTS_PER_THREAD = "events_per_thread"
"""The limit after which the thread cannot continue."""


def outgoing(thread: Thread, unsent: Unsent, *, in_private: bool = False, link: str = "") -> Outgoing:
    """The message. `thread` is the thread as it is now.

    `in_private`: only the person who is notified of a lost message reads this, so it may say what that message said.
    `link`: to the place where the message was lost.
    """
    event = thread.events[unsent.event]
    match unsent.kind:
        case "text":
            assert isinstance(event, StepChosen)
            rated = event.step if effect_of(event) == "says" else ""
            return Text(str(event.arguments.get("message", "")), rated)
        case "question":
            assert isinstance(event, StepChosen)
            asked = question(event)
            return replace(asked, calls=_taking_part(thread.events[: unsent.event])) if asked.is_urgent else asked
        case "card" | "votes" | "reminder" | "settled":
            return _approval(thread, unsent)
        case "answered":
            return _answered(thread, unsent)
        case "offer":
            assert isinstance(event, AnswerOffered)
            return offer_of(event)
        case "offer_closed":
            return closed_offer(_offer_before(thread, unsent), event)
        case "progress" | "ended":
            return _progress(thread, unsent)
        case "tasks" | "tasks_moved":
            then = thread.at(unsent.event + 1)
            return Tasks(tuple(ListedTask(task.title, task.state) for task in tasks_of(then.state, unsent.step)))
        case "undelivered":
            assert isinstance(event, MessageFailed | DeliveryFailed)
            said = _lost(thread, unsent, event) if in_private else None
            return Notice(lost_in_words(thread.at(unsent.event + 1), event, unsent.step, said=said, link=link))
        case "handed_to_human":
            assert isinstance(event, HandedToHuman | EventsLost)
            return Notice(_handed_over(thread.at(unsent.event + 1), event))
        case "edit_ended":
            return Notice(ended_edit_in_words(thread.at(unsent.event + 1)))
        case "notice" | "unserved":
            return Notice(_notice(thread.at(unsent.event + 1), unsent))
    assert_never(unsent.kind)


def way(thread: Thread, unsent: Unsent) -> Way:
    """How the message relates to what was sent before. `thread` is the thread as it is now."""
    is_lapse = False
    match unsent.kind:
        case "votes" | "settled" | "reminder":
            step = thread.state.steps[unsent.step]
            assert step.request is not None
            receipt = card_receipt(thread, step.request, unsent.surface)
            is_lapse = bool(step.lapsed) and thread.events[unsent.event] == step.ended
        case "answered":
            receipt = thread.receipt(MessageKey(unsent.step, "say"))
        case "offer_closed":
            receipt = thread.receipt(MessageKey(_offer_before(thread, unsent).id, "notice"))
        case "progress" | "ended":
            receipt = thread.receipt(MessageKey(unsent.step, "progress"))
        case "tasks_moved":
            receipt = thread.receipt(MessageKey(unsent.step, "say"))
        case "edit_ended" if unsent.surface:
            request = thread.state.steps[unsent.step].request
            assert request is not None
            receipt = card_receipt(thread, request, unsent.surface)
        case (
            "text"
            | "question"
            | "tasks"
            | "card"
            | "handed_to_human"
            | "notice"
            | "unserved"
            | "edit_ended"
            | "undelivered"
            | "offer"
        ):
            receipt = ""
        case _:
            assert_never(unsent.kind)
    if not receipt:
        return NEW  # Also if the earlier message was never sent.
    # That an approval did not hold is told in reply to the card, so that those who gave it are notified.
    return Under(receipt) if unsent.kind in ("reminder", "edit_ended") or is_lapse else Rewrite(receipt)


def _approval(thread: Thread, unsent: Unsent) -> Approval:
    then = thread.at(unsent.event + 1)
    step = then.state.steps[unsent.step]
    assert step.request is not None
    match unsent.kind:
        case "reminder":
            return approval(then, step.request, reminded(step.request), surface=unsent.surface)
        case "settled":
            return approval(then, step.request, ended(then, step), surface=unsent.surface)
        case _:
            return approval(then, step.request, surface=unsent.surface)


def question(event: StepChosen) -> Question:
    """The question as it was asked."""
    arguments = event.arguments
    given = arguments.get("options")
    options = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    return Question(
        step=event.step,
        question=str(arguments.get("question", "")),
        context=str(arguments.get("context", "")),
        format=options.get("format", "free_text"),
        choices=tuple(str(choice) for choice in options.get("choices") or ()),
        urgency=options.get("urgency", "medium"),
    )


def _taking_part(events: Sequence[Event]) -> tuple[Person, ...]:
    """The people who wrote or decided in these events, the last one first; none whom nobody has verified."""
    said = (
        event.sender if isinstance(event, MessageReceived) else event.by
        for event in reversed(events)
        if isinstance(event, MessageReceived | ApprovalDecided)
    )
    by_name = {called(person): person for person in said if person.trust == "verified" and person.address}
    return tuple(by_name.values())[:ASKED_MAX]


def _offer_before(thread: Thread, unsent: Unsent) -> AnswerOffered:
    return next(e for e in reversed(thread.events[: unsent.event]) if isinstance(e, AnswerOffered))


def _answered(thread: Thread, unsent: Unsent) -> Question:
    event = thread.events[unsent.event]
    asked = question(thread.state.steps[unsent.step].chosen)
    if isinstance(event, MessageReceived) and event.answers == unsent.step:
        return replace(asked, state=Answered(event.sender.name, event.text))
    return replace(asked, state=Dropped())


def _progress(thread: Thread, unsent: Unsent) -> Progress:
    then = thread.at(unsent.event + 1)
    step, event = then.state.steps[unsent.step], then.events[-1]
    state: Literal["under_way", "done", "failed", "stopped"] = "under_way"
    if unsent.kind == "ended":
        match step.status:
            case "finished":
                state = "done"
            case "failed" | "refused":
                state = "failed"
            case _:
                state = "stopped"
    error = event.error if isinstance(event, ToolFinished | StepRefused) else ""
    return Progress(_progress_heading(then, step), state, error)


def _progress_heading(thread: Thread, step: StepState) -> str:
    """What the step waits for, from its first wait: the heading stays the same while the message is rewritten."""
    first = next(e for e in thread.events if isinstance(e, ToolWaiting) and e.step == step.id)
    return first.note or call_in_words(step.chosen.intent, step.chosen.arguments)


def _lost(thread: Thread, unsent: Unsent, failed: MessageFailed | DeliveryFailed) -> Outgoing | None:
    """The message that this failure has lost. None: it was sent, or says nothing."""
    before = thread.at(unsent.event)
    lost = before.state.outbox.get(failed.key)
    return outgoing(before, lost) if lost else None


def _handed_over(thread: Thread, event: HandedToHuman | EventsLost) -> str:
    if isinstance(event, EventsLost):
        return f"I stopped and need a person: {loss_in_words(thread, event)} Write to me and I will continue."
    ending = "" if event.limit == EVENTS_PER_THREAD else " Write to me and I will continue."
    return f"I stopped and need a person: {event.reason}{ending}"


def _notice(thread: Thread, unsent: Unsent) -> str:
    event = thread.events[-1]
    match event:
        case ApprovalDecided():
            return _decision_without_effect(thread, thread.state.steps[unsent.step], event)
        case ReplyDecidedNothing():
            return undecided_in_words(thread.state.steps[unsent.step], event)
        case ThreadCancelled():
            why = f": {event.reason}" if event.reason else ""
            return f"Cancelled by {event.by.name}{why}. I will not start anything else."
        case WorkStopped():
            return stop_in_words(thread, event)
        case ThreadReopened():
            return f"Reopened by {event.by.name}. What was cancelled stays cancelled. Write to me to go on."
        case ThreadUnserved() if event.set_aside:
            return unread_in_words(thread, event)
        case ThreadUnserved():
            return f"I cannot go on yet: {event.why} I will go on by myself as soon as a worker can."
        case MessageReceived() if thread.state.cancelled:
            return (
                f"This thread was cancelled, so I no longer act on it. `bot resume {thread.id}` reopens it: then write "
                "again. Or start a new one."
            )
        case MessageReceived() if event.clipped_from:
            return (
                f"Your message has {event.clipped_from:,} characters; I read only the first {len(event.text):,}. "
                "If the rest matters, please send it in smaller parts."
            )
        case MessageReceived():
            return "I am paused. I will read this when somebody resumes me."
        case _:
            return "I have already asked for approval of this above, and am waiting for the decision."


def _decision_without_effect(thread: Thread, step: StepState, event: ApprovalDecided) -> str:
    """The reply to a message whose decision changed nothing."""
    if event.by.trust != "verified":
        # The owner of the address gets this, who may not be the sender.
        return (
            f"Somebody tried to decide on {step.chosen.intent} as {event.by.address or event.by.name}. "
            "I could not verify who it was, so nothing was changed. The attempt is on record."
        )
    outcome = step.request.outcomes[event.id] if step.request else "other_request"
    said = outcome_in_words(step, outcome, event.by, approved=event.approved, way=event.way, paused=thread.state.paused)
    return f"{step.chosen.intent}: {said}"
