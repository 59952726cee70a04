"""What people are told: the data of each message that a thread owes, computed from its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from channels.base import (
    Answered,
    Card,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminder,
    Settled,
    Text,
    Undelivered,
    Vote,
)
from store.authority.terms import ANYONE, TEAM, judge, names_of
from store.events import (
    CRON,
    ApprovalDecided,
    ApprovalRequested,
    DeliveryFailed,
    Event,
    HandedToHuman,
    MessageFailed,
    MessageReceived,
    MessageSent,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    TimerFired,
    ToolFinished,
    ToolWaiting,
    TriggerReceived,
)
from store.thread import Owed, StepState, Thread
from store.values import Person


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
            return card(thread, thread.state.steps[owed.step], surface=owed.surface, at=owed.event)
        case "votes":
            shown = card(thread, thread.state.steps[owed.step], surface=owed.surface, at=owed.event)
            return replace(shown, receipt=_card_receipt(thread, thread.state.steps[owed.step], owed.surface))
        case "reminder":
            return _reminder(thread, thread.state.steps[owed.step], owed)
        case "settled":
            return settled(thread, thread.state.steps[owed.step], event, surface=owed.surface)
        case "answered":
            return _answered(thread, owed, event)
        case "progress" | "ended":
            return _progress(thread, owed)
        case "undelivered":
            assert isinstance(event, MessageFailed | DeliveryFailed)
            return _undelivered(thread, event)
        case "handed":
            assert isinstance(event, HandedToHuman)
            ending = "" if event.limit == "events_per_thread" else " Write to me and I will go on."
            return Notice(f"I stopped here and need a person: {event.reason}{ending}")
        case "notice":
            return Notice(_notice(thread, owed))


def card(thread: Thread, step: StepState, *, surface: int = 0, at: int | None = None) -> Card:
    """`surface`: where it is shown, as in `Owed`. `at`: as it stood with that event; None: as it stands.

    However the step went on since `at`, that says the same each time that it is tried.
    """
    request, terms = step.request, step.terms
    assert request is not None
    votes = step.votes
    if at is not None:
        votes = tuple(vote for vote in votes if vote in thread.events[: at + 1])
    return Card(
        step=step.id,
        digest=request.digest,
        intent=step.chosen.intent,
        arguments=step.chosen.arguments,
        facts=request.facts,
        requested_by=_asked_by(thread, step, request),
        requested_at=request.at,
        group=_groups(step, widened=surface > len(request.asks) or _widened(thread, step, at)),
        approvers=request.approvers,
        quorum=terms.quorum,
        votes=tuple(Vote(vote.by.name, vote.at) for vote in votes),
        expires_at=terms.expires_at,
        editable=request.editable,
    )


def _asked_by(thread: Thread, step: StepState, request: ApprovalRequested) -> str:
    asked = requester(thread.events[: thread.events.index(request)])
    return f"{asked}, changed by {step.chosen.editor.name}" if step.chosen.editor else asked


def _widened(thread: Thread, step: StepState, at: int | None) -> bool:
    if at is None:
        return step.widened
    timer = f"{step.id}/widen/0"
    return any(isinstance(event, TimerFired) and event.timer == timer for event in thread.events[: at + 1])


def _groups(step: StepState, *, widened: bool) -> str:
    """Who may decide it, in words."""
    names = [step.terms.group, *([step.terms.then] if widened and step.terms.then else [])]
    return " or ".join(filter(None, names))


def _card_receipt(thread: Thread, step: StepState, surface: int) -> str:
    return receipt_of(thread, f"{step.id}/card/at/{surface}" if surface else f"{step.id}/card")


def _reminder(thread: Thread, step: StepState, owed: Owed) -> Reminder:
    request = step.request
    assert request is not None
    widened = "/widen/" in f"{thread.events[owed.event].id}/"
    return Reminder(
        step=step.id,
        intent=step.chosen.intent,
        requested_by=_asked_by(thread, step, request),
        requested_at=request.at,
        group=_groups(step, widened=widened),
        people=request.approvers,
        expires_at=step.terms.expires_at,
        widened=widened,
        receipt=_card_receipt(thread, step, owed.surface),
    )


def receipt_of(thread: Thread, key: str) -> str:
    """The channel's reference to what was sent under this key; empty: it never went out."""
    sent = (e.receipt for e in reversed(thread.events) if isinstance(e, MessageSent) and e.key == key)
    return next(sent, "")


def settled(thread: Thread, step: StepState, event: Event | None = None, *, surface: int = 0) -> Settled:
    """`event`: what it tells of. However the step went on meanwhile, that says the same each time that it is tried."""
    decision, request = step.decision, step.request
    editor = thread.state.steps[event.step].chosen.editor if isinstance(event, ApprovalRequested) else None
    outcome: Literal["approved", "rejected", "changed", "expired", "withdrawn", "superseded", "cancelled", "refused"]
    match step.status:
        case "superseded" if isinstance(event, ApprovalRequested):
            outcome = "changed"
        case "expired" | "withdrawn" | "superseded" | "cancelled" | "refused" as ended if not isinstance(
            event, ApprovalDecided
        ):
            outcome = ended
        case _:
            outcome = "approved" if decision and decision.approved else "rejected"
    return Settled(
        step=step.id,
        intent=step.chosen.intent,
        arguments=step.chosen.arguments,
        outcome=outcome,
        facts=request.facts if request else {},
        requested_by=requester(thread.events[: thread.events.index(request)]) if request else "",
        receipt=_card_receipt(thread, step, surface),
        votes=tuple(Vote(vote.by.name, vote.at) for vote in step.votes) if step.terms.quorum > 1 else (),
        standing=decision.standing if decision else "",
        by=editor or (decision.by if decision else None),
        at=event.at if event and editor else decision.at if decision else None,
        comment=decision.comment if decision else "",
    )


def _answered(thread: Thread, owed: Owed, event: Event) -> Answered:
    question = str(thread.state.steps[owed.step].chosen.arguments.get("question", ""))
    receipt = receipt_of(thread, f"{owed.step}/say")
    if isinstance(event, MessageReceived) and event.answers == owed.step:
        return Answered(question, event.sender.name, event.text, receipt)
    return Answered(question, "", "", receipt)


def _progress(thread: Thread, owed: Owed) -> Progress:
    step = thread.state.steps[owed.step]
    state: Literal["under_way", "done", "failed", "stopped"] = "under_way"
    if owed.what == "ended":
        match step.status:
            case "finished":
                state = "done"
            case "failed" | "refused":
                state = "failed"
            case _:
                state = "stopped"
    event = thread.events[owed.event]
    first = next(e for e in thread.events if isinstance(e, ToolWaiting) and e.step == step.id)
    called = " ".join([step.chosen.intent, *(f"{name}={value}" for name, value in step.chosen.arguments.items())])
    error = event.error if isinstance(event, ToolFinished | StepRefused) else ""
    return Progress(first.note or called, state, error, receipt_of(thread, f"{owed.step}/progress"))


def _undelivered(thread: Thread, failed: MessageFailed | DeliveryFailed) -> Undelivered:
    """For the last person of whom we know who they are, and who can be reached."""
    lost = failed.recipient if isinstance(failed, DeliveryFailed) else ""
    told = thread.events[: thread.events.index(failed)]
    senders = (e.sender for e in reversed(told) if isinstance(e, MessageReceived))
    known = (sender for sender in senders if sender.trust == "verified" and sender.address != lost)
    what = f"A message of mine to {lost} came back" if lost else "I could not say something"
    key, _, surface = failed.key.partition("/at/")
    place = thread.where(Owed("card", 0, key.partition("/")[0], int(surface))) if surface.isdecimal() else thread.place
    return Undelivered(
        next(known, Person(name="nobody")),
        f"{what} in {place.channel}:{place.address} ({failed.error.rstrip('.')}). "
        f"`bot show {thread.id}` has all of it.",
    )


def requester(events: Sequence[Event]) -> str:
    """Who spoke last in these events: a person, or where only a machine did, its name."""
    for event in reversed(events):
        match event:
            case MessageReceived():
                name = event.sender.name or event.sender.address
                return name if event.sender.trust == "verified" else f"{name} ({event.sender.trust.replace('_', ' ')})"
            case TriggerReceived():
                return f"the schedule {event.name}" if event.source == CRON else event.source
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
        case ApprovalDecided():
            return _decided_nothing(thread.state.steps[owed.step], event)
        case StepRefused():
            editor = thread.state.steps[owed.step].chosen.editor
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
        case MessageReceived() if thread.state.paused:
            return "I am paused here. I will read this when somebody resumes me."
        case MessageReceived():
            return "I was paused when you wrote this; I go on now."
        case _:
            return "That is what I asked approval for above; I am waiting for the decision."


def may(step: StepState) -> str:
    """Who may decide by now, in words."""
    who = {ANYONE: "everybody whom I know for sure", TEAM: "those whom the team file knows", "": "nobody"}
    groups = _groups(step, widened=step.widened)
    return who.get(groups, groups)


def why_not(step: StepState, by: Person, *, approved: bool) -> str:
    """Why this person may not decide on it, as a sentence to them."""
    if by.trust != "verified":
        return "I do not know for sure who you are."
    if approved and not step.terms.requester_may and not names_of(by).isdisjoint(step.terms.requesters):
        return "Your words led to it, so others have to approve it."
    return f"You are not among those who may: {may(step)}."


def _decided_nothing(step: StepState, event: ApprovalDecided) -> str:
    """For whoever decided by a message that settled nothing."""
    if event.by.trust == "verified" and step.status == "requested" and step.has_voted(event.by):
        return f"Your approval of {step.chosen.intent} counts already; nothing was changed."
    if event.by.trust == "verified" and step.request and not step.decision:
        why = judge(step.request, step.terms, event, widened=step.widened)
        if why == "not_entitled":
            reason = why_not(step, event.by, approved=event.approved)
            return f"You may not decide on {step.chosen.intent}. {reason} That you tried is on record."
        if why == "expired":
            return f"The request for {step.chosen.intent} has expired; nothing was changed."
    if event.by.trust != "verified":
        return (
            f"Somebody wrote as {event.by.address or event.by.name} to decide on {step.chosen.intent}. "
            "I could not verify who it was, so nothing was changed; that it was tried is on record."
        )
    if step.decision:
        verb = "approved" if step.decision.approved else "rejected"
        at = f"{step.decision.at:%H:%M} UTC"
        return f"{step.chosen.intent} was already {verb} by {step.decision.by.name} at {at}; nothing was changed."
    return f"The request for {step.chosen.intent} is {step.status}; nothing was changed."
