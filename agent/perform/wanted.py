"""The call that needs an approval, as it is described to whoever knows the team's policies."""

from __future__ import annotations

from datetime import datetime

from agent.authority import Wanted
from agent.perform.turn import Turn
from agent.steps import Tool
from store.authority.requesters import requesters_of
from store.authority.terms import names_of
from store.events import StepChosen


def wanted_for(turn: Turn, chosen: StepChosen, tool: Tool, now: datetime) -> Wanted:
    """What is asked of whoever knows the team's policies."""
    behind, identified = requesters_of(turn.thread), turn.services.authority.identified
    names = (names_of(person) | names_of(identified(person)) for person in behind.people)
    return Wanted(
        agent=turn.agent.name,
        intent=chosen.intent,
        scope=tool.scope,
        at=now,
        requesters=tuple(sorted(frozenset().union(*names))),
        unproven=not behind.all_verified,
    )
