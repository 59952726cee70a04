"""Binds an approval to exactly one call, by a digest that is shown, approved, and checked again at execution.

The digest covers the thread, the step, the call, the title, the facts and the words in which they were shown, the
terms, and the configuration that the call would run with. Who may approve is decided elsewhere
(`store.authority.terms`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from store.authority.terms import names_of, terms_of
from store.events import ApprovalDecided, ApprovalRequested, StepChosen
from store.state import Request
from store.values import CardWords, Person

NO_WORDS = CardWords()


def digest(
    thread_id: str,
    chosen: StepChosen,
    facts: dict[str, JsonValue],
    policy: dict[str, JsonValue],
    configuration: Mapping[str, str] | None,
    title: str = "",
    dangers: Sequence[str] = (),
    card: CardWords = NO_WORDS,
) -> str:
    """SHA-256 over canonical JSON, in hex.

    Any change to what was shown, to who may decide or to the configuration changes it, and so does a second request for
    the same call. Without a configuration, a title or words of its own it is what it was before there were any, so that
    old requests still bind.
    """
    seen = [thread_id, chosen.step, chosen.intent, chosen.arguments, facts, policy]
    if words := card.model_dump(mode="json", exclude_defaults=True):
        return _hash([*seen, configuration, title, list(dangers), words])
    if title or dangers:
        return _hash([*seen, configuration, title, list(dangers)])
    return _hash(seen if configuration is None else [*seen, configuration])


def digest_of(thread_id: str, chosen: StepChosen, asked: ApprovalRequested) -> str:
    """The digest of all that the request holds."""
    title, dangers, card = asked.title, asked.dangers, asked.card
    return digest(thread_id, chosen, asked.facts, asked.policy, asked.configuration, title, dangers, card)


def hashed(parts: Mapping[str, JsonValue]) -> dict[str, str]:
    """The hash of each part, so that the log tells which one has changed and holds none of them in clear."""
    return {name: _hash(value) for name, value in parts.items()}


def _hash(value: Any) -> str:
    whole = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def still_binds(thread_id: str, request: Request) -> bool:
    """Whether the call about to run is exactly the one that was approved, by as many people as required."""
    asked, decision = request.asked, request.decision
    seen = digest_of(thread_id, request.chosen, asked)
    terms = terms_of(asked.policy)
    if asked.digest != seen or decision is None or not decision.approved:
        return False
    needed = 1 if terms.standing else terms.quorum
    valid = [vote.by for vote in request.votes if vote.digest == seen and _is_valid(request, vote)]
    return decision.digest == seen and len(different(valid)) >= needed


def _is_valid(request: Request, vote: ApprovalDecided) -> bool:
    """Whether the vote counts under the terms that were shown, as the fold has judged it."""
    verdict = request.verdict(vote.by, vote.groups, vote.at, approved=True, way=vote.way, standing=vote.standing)
    return vote.approved and verdict == "valid"


def different(people: Iterable[Person]) -> list[Person]:
    """Each person once, however many names they have."""
    found: list[Person] = []
    for person in people:
        if all(names_of(person).isdisjoint(names_of(other)) for other in found):
            found.append(person)
    return found
