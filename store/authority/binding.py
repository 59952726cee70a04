"""Binds an approval to exactly one call, by a digest that is shown, approved, and checked again at execution.

The digest covers the thread, the step, the call, the facts that were shown and the terms. Who may approve is decided
elsewhere (`store.authority.terms`).
"""

from __future__ import annotations

import hashlib
import json

from pydantic import JsonValue

from store.authority.terms import names_of, terms_of
from store.events import StepChosen
from store.state import Request


def digest(thread_id: str, chosen: StepChosen, facts: dict[str, JsonValue], policy: dict[str, JsonValue]) -> str:
    """SHA-256 over canonical JSON, in hex.

    Any change to what was shown or to who may decide changes it, and so does a second request for the same call.
    """
    seen = [thread_id, chosen.step, chosen.intent, chosen.arguments, facts, policy]
    whole = json.dumps(seen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def still_binds(thread_id: str, request: Request) -> bool:
    """Whether the call about to run is exactly the one that was approved, by as many people as required."""
    asked, decision = request.asked, request.decision
    seen = digest(thread_id, request.chosen, asked.facts, asked.policy)
    terms = terms_of(asked.policy)
    if asked.digest != seen or decision is None or not decision.approved:
        return False
    needed = 1 if terms.standing else terms.quorum
    people: list[frozenset[str]] = []
    for names in (names_of(vote.by) for vote in request.votes if vote.digest == seen):
        if all(names.isdisjoint(others) for others in people):
            people.append(names)
    return decision.digest == seen and len(people) >= needed
