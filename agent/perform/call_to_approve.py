"""Describes a call that needs approval to the `Authority`, which knows the team's rules. Decides nothing."""

from __future__ import annotations

from datetime import datetime

from agent.authority import CallToApprove
from agent.perform.turn import Turn
from agent.steps import Tool
from store.authority.requesters import requesters_of
from store.authority.terms import names_of
from store.events import StepChosen


def call_to_approve(turn: Turn, chosen: StepChosen, tool: Tool, now: datetime) -> CallToApprove:
    """The call, its requesters, and whether all of them are verified."""
    requesters, identified = requesters_of(turn.thread), turn.services.authority.identified
    names = (names_of(person) | names_of(identified(person)) for person in requesters.people)
    return CallToApprove(
        agent=turn.agent.name,
        intent=chosen.intent,
        arguments=tool.arguments,
        at=now,
        requesters=tuple(sorted(frozenset().union(*names))),
        unverified=not requesters.all_verified,
    )
