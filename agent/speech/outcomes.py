"""What came of a decision, in words: the same on every channel, in the API, on the command line and in transcripts.

The fold has judged already (`store.state.Outcome`); nothing is judged here a second time. Pure.
"""

from __future__ import annotations

from typing import assert_never

from agent.speech.requests import groups_in_words
from store.authority.terms import ANYONE, TEAM, is_requester
from store.state import Outcome, Request, StepState
from store.text import call_in_words, instant
from store.values import Person


def outcome_in_words(step: StepState, outcome: Outcome, by: Person, *, approved: bool) -> str:
    """To the person who decided. `step`: as it stands since."""
    request = step.request
    call = call_in_words(step.chosen.intent, step.chosen.arguments)
    match outcome:
        case "settled":
            return f"{'Approved' if approved else 'Rejected'}: {call}"
        case "counted" if request:
            return f"Counted, {len(request.votes)} of {request.terms.quorum} approvals: {call}"
        case "not_entitled" if request:
            why = why_not(request, by, approved=approved)
            return f"You may not decide on this request. {why} That you tried is on record."
        case "too_late" if step.status == "requested":
            return "Your approval counts already. Nothing was changed."
        case "too_late" | "expired":
            return f"{standing_in_words(step)} Nothing was changed."
        case "other_request" | "counted" | "not_entitled":
            return "That decision is for another request than the one that stands. Nothing was changed."
    assert_never(outcome)


def standing_in_words(step: StepState) -> str:
    """How a request stands that is not open any more, as a sentence."""
    decision = step.request.decision if step.request else None
    if decision:
        verb = "approved" if decision.approved else "rejected"
        whose = "the standing approval of " if decision.standing else ""
        why = f" — {decision.comment}" if decision.comment else ""
        return f"Already {verb} by {whose}{decision.by.name} at {instant(decision.at)}{why}."
    if step.status in ("requested", "expired"):
        return "This request has expired: nothing is run."
    return f"This request is {step.status}: there is nothing to decide any more."


def why_not(request: Request, by: Person, *, approved: bool) -> str:
    """Why this person may not decide on it, as a sentence to them."""
    if by.trust != "verified":
        return "I do not know for sure who you are."
    if approved and not request.terms.requester_may and is_requester(request.terms, by):
        return "Your words led to it, so others have to approve it."
    return f"You are not among those who may: {may_decide(request)}."


def may_decide(request: Request) -> str:
    """Who may decide by now, in words."""
    groups = groups_in_words(request, widened=request.widened)
    known = {ANYONE: "everybody whom I know for sure", TEAM: "those whom the team file knows", "": "nobody"}
    return known.get(groups, groups)
