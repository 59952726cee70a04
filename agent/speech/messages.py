"""What people are told: each message in a thread's outbox, as data, made from the thread as of the event it tells of.

So a message that is tried again says the same words, whatever has happened since. Only whether it takes the place of an
earlier message is looked up in the thread as it is now. Pure; how a medium shows a message is the channel's matter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, assert_never, cast

from agent.speech.outcomes import outcome_in_words
from agent.speech.requests import approval, card_receipt, ended, reminded
from channels.messages import (
    NEW,
    Answered,
    Approval,
    Dropped,
    Notice,
    Outgoing,
    Progress,
    Question,
    Rewrite,
    Text,
    Under,
    Way,
)
from store.events import (
    ApprovalDecided,
    DeliveryFailed,
    HandedToHuman,
    MessageFailed,
    MessageReceived,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ToolFinished,
    ToolWaiting,
)
from store.keys import MessageKey
from store.outbox import Unsent
from store.state import StepState
from store.text import call_in_words
from store.thread import Thread
from store.values import Person

EVENTS_PER_THREAD = "events_per_thread"
"""The limit after which nobody can go on in the same thread."""


def outgoing(thread: Thread, unsent: Unsent) -> Outgoing:
    """The message. `thread` is the thread as it is now."""
    event = thread.events[unsent.event]
    match unsent.kind:
        case "words":
            assert isinstance(event, StepChosen)
            return Text(str(event.arguments.get("message", "")))
        case "question":
            assert isinstance(event, StepChosen)
            return question(event)
        case "card" | "votes" | "reminder" | "settled":
            return _approval(thread, unsent)
        case "answered":
            return _answered(thread, unsent)
        case "progress" | "ended":
            return _progress(thread, unsent)
        case "undelivered":
            assert isinstance(event, MessageFailed | DeliveryFailed)
            return Notice(_undelivered(thread.at(unsent.event + 1), event))
        case "handed":
            assert isinstance(event, HandedToHuman)
            ending = "" if event.limit == EVENTS_PER_THREAD else " Write to me and I will continue."
            return Notice(f"I stopped and need a person: {event.reason}{ending}")
        case "notice":
            return Notice(_notice(thread.at(unsent.event + 1), unsent))
    assert_never(unsent.kind)


def way(thread: Thread, unsent: Unsent) -> Way:
    """How the message relates to what was sent before. `thread` is the thread as it is now."""
    match unsent.kind:
        case "votes" | "settled" | "reminder":
            request = thread.state.steps[unsent.step].request
            assert request is not None
            receipt = card_receipt(thread, request, unsent.surface)
        case "answered":
            receipt = thread.receipt(MessageKey(unsent.step, "say"))
        case "progress" | "ended":
            receipt = thread.receipt(MessageKey(unsent.step, "progress"))
        case "words" | "question" | "card" | "handed" | "notice" | "undelivered":
            receipt = ""
        case _:
            assert_never(unsent.kind)
    if not receipt:
        return NEW  # also where the earlier message never went out
    return Under(receipt) if unsent.kind == "reminder" else Rewrite(receipt)


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
    """As it was asked."""
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
    return Progress(_what(then, step), state, error)


def _what(thread: Thread, step: StepState) -> str:
    """What the step waits for, in the words of its first wait: they head the message, which is rewritten."""
    first = next(e for e in thread.events if isinstance(e, ToolWaiting) and e.step == step.id)
    return first.note or call_in_words(step.chosen.intent, step.chosen.arguments)


def _undelivered(thread: Thread, failed: MessageFailed | DeliveryFailed) -> str:
    lost = failed.recipient if isinstance(failed, DeliveryFailed) else ""
    what = f"A message of mine to {lost} came back" if lost else "I could not say something"
    place, key = thread.place, MessageKey.parse(failed.key)
    step = thread.step(key.about) if key and key.surface else None
    if key and step and step.request:
        place = step.request.places[key.surface - 1]
    return (
        f"{what} in {place.channel}:{place.address} ({failed.error.rstrip('.')}). `bot show {thread.id}` has all of it."
    )


def who_hears_of(thread: Thread, undelivered: Unsent) -> Person:
    """Who is told of what was not delivered: the last verified person who wrote, unless it was lost on its way to them.

    Somebody without an address where there is no such person.
    """
    failed = thread.events[undelivered.event]
    lost = failed.recipient if isinstance(failed, DeliveryFailed) else ""
    before = reversed(thread.events[: undelivered.event])
    senders = (event.sender for event in before if isinstance(event, MessageReceived))
    known = (sender for sender in senders if sender.trust == "verified" and sender.address != lost)
    return next(known, Person(name="nobody"))


def _notice(thread: Thread, unsent: Unsent) -> str:
    event = thread.events[-1]
    match event:
        case ApprovalDecided():
            return _decided_nothing(thread.state.steps[unsent.step], event)
        case StepRefused():
            editor = thread.state.steps[unsent.step].chosen.editor
            who = editor.name if editor else "somebody"
            return f"The change by {who} was not possible: {event.error} What was asked for stands as it was."
        case ThreadCancelled():
            return f"Cancelled by {event.by.name}{': ' + event.reason if event.reason else ''}. Nothing more is begun."
        case MessageReceived() if thread.state.cancelled:
            return "This thread was cancelled, so I do not act on it any more. Please start a new one."
        case MessageReceived() if event.clipped_from:
            return (
                f"Your message has {event.clipped_from:,} characters; I read the first {len(event.text):,} of them. "
                "Please send the rest in smaller parts if I need it."
            )
        case MessageReceived():
            return "You wrote this while I was paused. I read it once somebody resumes me."
        case _:
            return "That is what I asked approval for above; I am waiting for the decision."


def _decided_nothing(step: StepState, event: ApprovalDecided) -> str:
    """For a person whose message was a decision that changed nothing."""
    if event.by.trust != "verified":
        # It goes to the owner of the address, who may not be the one who wrote.
        return (
            f"Somebody wrote as {event.by.address or event.by.name} to decide on {step.chosen.intent}. "
            "I could not verify who it was, so nothing was changed. That it was tried is on record."
        )
    outcome = step.request.outcomes[event.id] if step.request else "other_request"
    return f"{step.chosen.intent}: {outcome_in_words(step, outcome, event.by, approved=event.approved)}"
