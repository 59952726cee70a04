"""States the outcome of a decision in words: the same on every channel, in the API, the CLI and transcripts.

The fold has already judged (`store.state.Outcome`); this module does not judge again. Pure.
"""

from __future__ import annotations

from typing import assert_never

from agent.speech.requests import WAYS, groups_in_words, ways_in_words
from store.authority.terms import ANYONE, TEAM, counts_by, is_requester
from store.events import (
    AgentChanged,
    ApprovalDecided,
    Event,
    EventsLost,
    HandedToHuman,
    StepChosen,
    StepRefused,
)
from store.names import called
from store.replies import ReplyDecidedNothing
from store.state import Outcome, Request, StepState
from store.text import call_in_words, instant
from store.thread import Thread
from store.values import Person

NOBODY = "nobody"

_KNOWN = (
    "Others know your reply address for this request, because a mail with it went to them too, or came from one of "
    "them. So no reply in your name decides it any more; a link does, and every other way."
)


def outcome_in_words(
    step: StepState, outcome: Outcome, by: Person, *, approved: bool, way: str, paused: bool = False
) -> str:
    """The reply to the person who decided. `step` is its state after the decision; `paused`: the thread was paused."""
    request = step.request
    call = request.title if request else call_in_words(step.chosen.intent, step.chosen.arguments)
    match outcome:
        case "settled":
            return f"{'Approved' if approved else 'Rejected'}: {call}"
        case "counted" if request:
            return f"Counted, {len(request.votes)} of {request.terms.quorum} approvals: {call}"
        case "not_entitled" if request:
            why = why_not(request, by, approved=approved, way=way)
            return f"You may not decide on this request. {why} Your attempt is on record."
        case "being_edited" if request:
            later = "I am paused, so I will check the edited call once somebody resumes me."
            return (
                f"Your decision was not counted, because somebody has just edited this request: {call}. "
                f"{later if paused else 'I am checking the edited call.'} If it is possible, a new request follows; "
                "please decide on that one. If it is not, I will say so; then please decide on this request again."
            )
        case "too_late" if step.status == "requested":
            return "Your approval was already counted. Nothing was changed."
        case "too_late" | "expired":
            return f"{state_in_words(step)} Nothing was changed."
        case "other_request" | "counted" | "not_entitled" | "being_edited":
            return "That decision belongs to a different request. Nothing was changed."
    assert_never(outcome)


def uncounted_in_words(step: StepState, outcome: Outcome, by: Person, *, approved: bool, way: str) -> str:
    """Why a decision did not count, to others than the one who made it."""
    match outcome:
        case "not_entitled" if step.request and by.trust == "verified":
            if _may_not_as_requester(step.request, by, approved=approved):
                return "somebody who requested it may not approve it."
            why = why_not(step.request, by, approved=approved, way=way)
            return f"{why[0].lower()}{why[1:]}"
        case "not_entitled" if step.request:
            return "nobody can verify who that is."
        case "being_edited":
            return "somebody had just edited the request."
        case "too_late" if step.status == "requested":
            return "their approval was already counted."
        case "too_late" | "expired":
            text = state_in_words(step)
            return f"{text[0].lower()}{text[1:]}"
        case _:
            return "it belongs to a different request."


def state_in_words(step: StepState) -> str:
    """The state of a closed request, as a sentence."""
    decision = step.request.decision if step.request else None
    if decision:
        verb = "approved" if decision.approved else "rejected"
        whose = "the standing approval of " if decision.standing else ""
        why = f" — {decision.comment}" if decision.comment else ""
        return f"Already {verb} by {whose}{called(decision.by)} at {instant(decision.at)}{why}."
    if step.status in ("requested", "expired"):
        return "This request has expired; it will not run."
    return f"This request is {step.status}, so there is nothing left to decide."


def undecided_in_words(step: StepState, event: ReplyDecidedNothing) -> str:
    """What the author of a reply is told that was no certain decision."""
    told = _undecided_in_words(step, event)
    return f"{told} {_KNOWN}" if event.known_to_others and step.status == "requested" else told


def _undecided_in_words(step: StepState, event: ReplyDecidedNothing) -> str:
    request = step.request
    call = request.title if request and request.title else call_in_words(step.chosen.intent, step.chosen.arguments)
    if step.status != "requested":
        return f"{call}: {state_in_words(step)} Your reply changed nothing."
    if event.reads_as == "neither":
        return (
            f"Your reply decided nothing about this request: {call}. It is still waiting. "
            "I read your reply as a message, because it is more than a plain approval or rejection."
        )
    reads_as = "an approval" if event.reads_as == "approval" else "a rejection"
    if event.why == "unverified":
        # The owner of the address gets this, who may not be the sender.
        return (
            f'A mail in your name reads as {reads_as} of this request: {call}. It says: "{event.words}". '
            f"But I could not verify that you sent it{f', because {event.details}' if event.details else ''}. "
            "So nothing is decided yet, and the request is still waiting. "
            "If you sent it, please confirm. If you did not, somebody else may have tried to decide in your name."
        )
    return (
        f'I read your reply as {reads_as} of this request: {call}. You wrote: "{event.words}". '
        f"But {_why_undecided(event)}, so nothing is decided yet, and the request is still waiting."
    )


def _why_undecided(event: ReplyDecidedNothing) -> str:
    if event.elsewhere:
        return "it does not answer the mail that shows the whole request"
    match event.why:
        case "unsigned":
            return f"a reply cannot decide here, because {event.details}"
        case "no_proof":
            return "replies do not decide now, because our mail server is not proven to tell me who sent a mail"
        case "not_addressed":
            return "it did not come to the reply address of your own mail with the request"
        case _:
            return "a reply cannot decide here any more" if event.known_to_others else "I am not certain of it"


def ended_edit_in_words(thread: Thread) -> str:
    """What people are told of an edit that did not become a request. `thread` ends with the event that ended it."""
    event = thread.events[-1]
    match event:
        case StepRefused():
            edit = thread.state.steps[event.step].chosen
            why = f"was not possible: {event.error}"
        case _:
            open_edit = thread.at(thread.version - 1).state.open_edit
            assert open_edit is not None, f"{event.id} ended no edit"
            edit = open_edit.chosen
            why = f"was not checked, because {_why_not_checked(event)}."
    original = thread.step(edit.edits)
    text = f"The edit by {called(edit.editor) if edit.editor else 'somebody'} {why} "
    if original is None:
        return text.rstrip()
    if original.status != "requested":
        return text + state_in_words(original)
    text += "The original request is unchanged."
    if names := _not_counted_since(thread, edit):
        text += f" Not counted in the meantime: the decision by {', '.join(names)}. Please decide again."
    return text


def _why_not_checked(event: Event) -> str:
    match event:
        case HandedToHuman() | EventsLost():
            return "I stopped and need a person"
        case AgentChanged():
            return "another agent took over"
        case _:
            return "something else was chosen in the meantime"


def _not_counted_since(thread: Thread, edit: StepChosen) -> list[str]:
    """The names of the people who decided on the request while it was being edited."""
    request = thread.state.steps[edit.edits].request
    since = thread.events[thread.events.index(edit) :]
    decided = (e for e in since if isinstance(e, ApprovalDecided) and e.step == edit.edits)
    names = (called(e.by) for e in decided if request and request.outcomes[e.id] == "being_edited")
    return list(dict.fromkeys(names))


def why_not(request: Request, by: Person, *, approved: bool, way: str) -> str:
    """Why this person may not decide, as a sentence to them."""
    if by.trust != "verified":
        return "I cannot verify who you are."
    if _may_not_as_requester(request, by, approved=approved):
        return "You are one of its requesters, so somebody else has to approve it."
    if not counts_by(request.terms, way):
        it_came = f"this one came by {WAYS[way]}" if way in WAYS else "nobody can tell how this one came"
        return f"Decisions on it count only by {ways_in_words(request.terms.decide_by)}, and {it_came}."
    who = may_decide(request)
    return "Nobody may decide it." if who == NOBODY else f"Only {who} may decide it."


def _may_not_as_requester(request: Request, by: Person, *, approved: bool) -> bool:
    return approved and not request.terms.requester_may and is_requester(request.terms, by)


def may_decide(request: Request) -> str:
    """Who may decide at the moment, in words."""
    groups = groups_in_words(request, widened=request.widened)
    known = {ANYONE: "every verified person", TEAM: "everybody in the team file", "": NOBODY}
    return known.get(groups, groups)
