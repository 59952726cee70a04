"""The port to the team's rules: who may approve a call, until when, and where they are asked.

`bot.team.policies` implements it. This module reads no team file and judges no decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agent.arguments import Value
from agent.steps import Meaning
from store.authority.terms import ANYONE, Terms, asked_by
from store.standing import StandingGranted
from store.values import Person, Place


@dataclass(frozen=True, slots=True)
class CallToApprove:
    """A call that needs approval."""

    thread: str
    step: str
    agent: str
    intent: str
    arguments: Mapping[str, Value]
    """All of them, by name: the team's rules match their values."""
    at: datetime
    requesters: tuple[str, ...]
    """`store.authority.terms.names_of` all requesters."""
    unverified: bool
    """Nobody vouches for some of the words that led to it (`store.authority.words.Words.doubtful`)."""
    people: tuple[Person, ...] = ()
    """All requesters, as the log knows them: what they may today, the team file says."""
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    """What names in its arguments stand for, as its facts say."""
    strangers: tuple[str, ...] = ()
    """Those of its requesters who are nobody in the team file, or not verified, in words: each may be an approver."""


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Who may decide a call, until when, and where they are asked."""

    terms: Terms
    asks: tuple[Place, ...] = ()
    then_asks: tuple[Place, ...] = ()
    approvers: tuple[Person, ...] = ()
    unsatisfiable: str = ""
    """Why the quorum can never be reached, in a sentence; empty: it can."""
    rules: str = ""
    """The hash of all rules and people of the team, for the record."""


class Authority(Protocol):
    """Who may approve what."""

    def identified(self, person: Person) -> Person:
        """The person, with what the team file knows of them."""
        return person

    def decider(self, person: Person, at: datetime) -> Person | None:
        """Somebody who decided earlier, as known at that time. None: what they were known by is not theirs any more."""
        return self.identified(person)

    def groups_of(self, person: Person) -> tuple[str, ...]:
        """The groups of an identified person, as of now."""

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        """None: nobody may approve it."""

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        """A standing approval that covers the call now; None: a person has to decide.

        Raises StoreUnavailable.
        """


class AnyoneMay(Authority):
    """Every verified person may approve everything."""

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return ()

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        return ApprovalRule(asked_by(Terms(group=ANYONE), call.requesters, call.strangers))

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        return None
