"""What binds an approval to exactly one call: a digest that is shown, decided on, and checked again at execution."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from store.authority.terms import ANYONE, Terms, names_of, terms_of
from store.events import ApprovalRequested, StandingGranted, StepChosen
from store.thread import StepState
from store.values import Person, Place


def digest(thread_id: str, chosen: StepChosen, facts: dict[str, JsonValue], policy: dict[str, JsonValue]) -> str:
    """SHA-256 over canonical JSON, in hex.

    Any change of what was seen, or of who may decide, gives another digest; so does another request for the same call.
    """
    seen = [thread_id, chosen.step, chosen.intent, chosen.arguments, facts, policy]
    whole = json.dumps(seen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def still_binds(thread_id: str, step: StepState, request: ApprovalRequested) -> bool:
    """Whether the call that is about to run is, to the letter, the one that was decided on, by as many as it takes."""
    seen = digest(thread_id, step.chosen, request.facts, request.policy)
    decision, terms = step.decision, terms_of(request.policy)
    if request.digest != seen or decision is None or not decision.approved:
        return False
    needed = 1 if terms.standing else terms.quorum
    people: list[frozenset[str]] = []
    for names in (names_of(vote.by) for vote in step.votes if vote.digest == seen):
        if all(names.isdisjoint(others) for others in people):
            people.append(names)
    return decision.digest == seen and len(people) >= needed


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that needs an approval, for whoever knows the team's policies."""

    agent: str
    intent: str
    scope: str
    """As in `agent.steps.Tool.scope`."""
    at: datetime
    requesters: tuple[str, ...]
    """`store.authority.terms.names_of` everybody whose words led to it."""
    unproven: bool
    """Words are among them that nobody vouches for: of somebody we are not sure who they are, or only a schedule's."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """Who may decide it, until when, and where they are asked."""

    terms: Terms
    asks: tuple[Place, ...] = ()
    then_asks: tuple[Place, ...] = ()
    approvers: tuple[Person, ...] = ()
    too_few: str = ""
    """Why those who may can never be enough, in a sentence; empty: they can."""


class Authority(Protocol):
    """Who may approve what."""

    def identified(self, person: Person) -> Person:
        """The person as the team knows them now."""
        return person

    def rule(self, wanted: Wanted) -> Ruling | None:
        """None: nobody may approve it."""

    async def standing(self, wanted: Wanted) -> StandingGranted | None:
        """A standing approval that covers it now; None: somebody has to look at this very call.

        Raises StoreUnavailable.
        """


class AnyoneMay(Authority):
    """Everybody may approve everything of whom a channel says for sure who they are."""

    def rule(self, wanted: Wanted) -> Ruling | None:
        return Ruling(Terms(group=ANYONE, requesters=wanted.requesters))

    async def standing(self, wanted: Wanted) -> StandingGranted | None:
        return None
