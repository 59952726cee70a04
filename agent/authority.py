"""What the loop asks of whoever knows the team: who may approve a call, until when, and where they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from store.authority.terms import ANYONE, Terms
from store.events import StandingGranted
from store.values import Person, Place


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
