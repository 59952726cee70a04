"""Describes a request for approval to people: its content, and whether it waits or how it ended. Pure.

Everything derives from the given thread and request. For an earlier moment, pass the thread as of then (`Thread.at`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from channels.messages import HEADLINE_CHARS_MAX, WAITING, Approval, Ended, Reminded, Vote, Waiting
from store.authority.terms import why_two
from store.authority.words import words_behind
from store.events import (
    CRON,
    AgentChanged,
    ApprovalRequested,
    Event,
    MessageReceived,
    StepChosen,
    ThreadCancelled,
    TriggerReceived,
    WorkStopped,
)
from store.keys import MessageKey
from store.names import called
from store.repeats import begun_before
from store.state import Request, StepState, effect_of
from store.text import call_in_words, one_line
from store.thread import Thread
from store.values import Person

DOUBTS_MAX = 5
WAYS: Mapping[str, str] = {
    "slack": "a click in Slack",
    "link": "the link in a mail",
    "page": "a page after a login",
    "mail": "a reply by mail",
    "terminal": "a command at a terminal",
    "api": "the HTTP API",
}
"""Each `store.authority.terms.Way`, in words."""


def approval(
    thread: Thread, request: Request, state: Waiting | Reminded | Ended = WAITING, *, surface: int = 0
) -> Approval:
    """The request as data for a channel. `surface`: see `store.keys`."""
    asked, terms = request.asked, request.terms
    return Approval(
        step=request.step,
        digest=request.digest,
        intent=request.chosen.intent,
        title=asked.title,
        arguments=request.chosen.arguments,
        facts=asked.facts,
        dangers=asked.dangers,
        labels=asked.card.labels,
        warnings=asked.card.warnings,
        requested_by=asked_by(thread, request),
        requested_at=asked.at,
        words=_words(thread, request),
        asked_by=_asker(thread, request),
        changed_by=request.chosen.editor,
        asked_again=_why_again(thread, request),
        group=_who_decides(request, widened=request.widened or _is_escalated(request, surface)),
        approvers=asked.approvers,
        quorum=terms.quorum,
        votes=tuple(Vote(called(vote.by), vote.at, vote.by) for vote in request.votes) if terms.quorum > 1 else (),
        expires_at=terms.expires_at,
        cautions=cautions(thread, request),
        editable=asked.editable,
        state=state,
    )


def _is_escalated(request: Request, surface: int) -> bool:
    """Whether the request is shown at this surface only after an escalation."""
    asked = request.asked
    return len(asked.asks) < surface <= len(asked.asks) + len(asked.then_asks)


def cautions(thread: Thread, request: Request) -> tuple[str, ...]:
    """What is unusual about who asked for it."""
    doubts = words_behind(thread, request.step).doubts
    more = f" and {len(doubts) - DOUBTS_MAX} more" if len(doubts) > DOUBTS_MAX else ""
    named = f"{', '.join(doubts[:DOUBTS_MAX])}{more}"
    unproven = f"Words behind this that nobody vouches for: {named}." if doubts else ""
    begun = begun_before(thread, thread.state.steps[request.step])
    again = "The same call has begun already since somebody wrote last." if begun else ""
    return tuple(filter(None, (again, unproven, why_two(request.terms))))


def reminded(request: Request) -> Reminded:
    return Reminded(widened=request.widened)


def ended(thread: Thread, step: StepState) -> Ended:
    """How the request ended; the last event of `thread` ended it."""
    request, event = step.request, thread.events[-1]
    assert request is not None
    decision = request.decision
    changed = event if step.status == "superseded" and isinstance(event, ApprovalRequested) else None
    editor = thread.state.steps[changed.step].chosen.editor if changed else None
    return Ended(
        outcome=_ending(step, changed=changed is not None),
        by=editor or (decision.by if decision else None),
        at=changed.at if changed and editor else decision.at if decision else None,
        comment=decision.comment if decision else "",
        standing=decision.standing if decision else "",
        lapsed=step.lapsed,
        why=why_closed(event) if step.status in ("superseded", "withdrawn", "cancelled") else "",
    )


def why_closed(event: Event) -> str:
    """Why this event closed a request that nobody decided; empty: it needs no reason."""
    match event:
        case AgentChanged(agent=agent, reason=reason):
            return f"The agent {agent} took over. {reason}".rstrip()
        case StepChosen() if effect_of(event) == "withdraws":
            return str(event.arguments.get("reason", ""))
        case StepChosen(by="model" | "code", acts=True):
            chosen = one_line(call_in_words(event.intent, event.arguments), HEADLINE_CHARS_MAX)
            return f"Instead of it, this was chosen: {chosen}"
        case ThreadCancelled(reason=reason):
            return reason
        case WorkStopped(by=by):
            return f"{by.name} stopped the agent."
        case _:
            return ""


def _ending(
    step: StepState, *, changed: bool
) -> Literal["approved", "rejected", "changed", "expired", "withdrawn", "superseded", "cancelled", "refused"]:
    match step.status:
        case "superseded" if changed:
            return "changed"
        case "rejected" | "expired" | "withdrawn" | "superseded" | "cancelled" | "refused" as ended:
            return ended
        case _:
            return "approved"


def asked_by(thread: Thread, request: Request) -> str:
    """Who asked for the call, and who edited it."""
    asked, editor = _wanted_by(request) or requester(thread, request.asked_at), request.chosen.editor
    return f"{asked}, changed by {called(editor)}" if editor else asked


def _wanted_by(request: Request) -> str:
    """For whom code made the call; empty: it is for whoever wrote last."""
    return ", ".join(called(person) for person in request.chosen.on_behalf_of)


def _why_again(thread: Thread, request: Request) -> str:
    """Why the approval of the same call did not hold, if that is how it ended before; otherwise empty."""
    asked = (request.chosen.intent, request.chosen.arguments)
    earlier = [*thread.state.steps.values()][: [*thread.state.steps].index(request.step)]
    same = (step for step in reversed(earlier) if (step.chosen.intent, step.chosen.arguments) == asked)
    return last.lapsed if (last := next(same, None)) else ""


def requester(thread: Thread, before: int | None = None) -> str:
    """Who wrote last (before the event of this index): a person as in `store.names`, or the name of a trigger."""
    match _last_words(thread, thread.version if before is None else before):
        case MessageReceived(sender=sender):
            return called(sender)
        case TriggerReceived(by=Person() as sender):
            return called(sender)
        case TriggerReceived() as trigger:
            return f"the schedule {trigger.name}" if trigger.source == CRON else trigger.source
        case None:
            return "nobody"


def _asker(thread: Thread, request: Request) -> Person | None:
    """The person who wrote last before it was asked for; None: a machine did, or it is for somebody else."""
    if request.chosen.on_behalf_of:
        return None
    last = _last_words(thread, request.asked_at)
    return last.sender if isinstance(last, MessageReceived) else None


def _words(thread: Thread, request: Request) -> str:
    """What the person who asked for it wrote, as they last edited it."""
    if request.chosen.on_behalf_of:
        return ""
    last = _last_words(thread, request.asked_at)
    return (thread.state.edits.texts.get(last.id, last.text) or "") if isinstance(last, MessageReceived) else ""


def _last_words(thread: Thread, before: int) -> MessageReceived | TriggerReceived | None:
    for index in range(min(thread.state.words_at, before - 1), -1, -1):
        event = thread.events[index]
        if isinstance(event, MessageReceived | TriggerReceived):
            return event
    return None


def _who_decides(request: Request, *, widened: bool) -> str:
    groups, ways = groups_in_words(request, widened=widened), request.terms.decide_by
    return f"{groups}, only by {ways_in_words(ways)}" if ways else groups


def ways_in_words(ways: Sequence[str]) -> str:
    return " or ".join(WAYS.get(way, way) for way in ways)


def groups_in_words(request: Request, *, widened: bool) -> str:
    """The groups that may decide, by their names in the team file."""
    names = [request.terms.group, *([request.terms.then] if widened else [])]
    return " or ".join(filter(None, names))


def card_receipt(thread: Thread, request: Request, surface: int) -> str:
    return thread.receipt(MessageKey(request.step, "card", surface=surface))
