"""What binds an approval to exactly one call: a digest that is shown, decided on, and checked again at execution.

It covers the thread, the step, the call, the facts that were shown and the terms. Nothing here decides who may approve;
that is `store.authority.terms`.
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

    Any change of what was seen, or of who may decide, gives another digest; so does another request for the same call.
    """
    seen = [thread_id, chosen.step, chosen.intent, chosen.arguments, facts, policy]
    whole = json.dumps(seen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def still_binds(thread_id: str, request: Request) -> bool:
    """Whether the call that is about to run is, to the letter, the one that was decided on, by as many as it takes."""
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
