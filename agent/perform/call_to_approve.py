"""Describes a call that needs approval to the `Authority`, which knows the team's rules. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from agent.arguments import values_of
from agent.authority import CallToApprove
from agent.perform.turn import Turn
from agent.steps import Facts, Tool
from store.authority.terms import names_of
from store.authority.words import Words, is_theirs, words_behind
from store.events import StepChosen
from store.names import called
from store.values import Person

STRANGERS_MAX = 5
"""The most that a request names."""


def call_to_approve(turn: Turn, chosen: StepChosen, tool: Tool, facts: Facts, now: datetime) -> CallToApprove:
    """The call, and whose words led to it, as far as the team file knows these people now."""
    words, identified = words_behind(turn.thread, chosen.step), turn.services.authority.identified
    names = (names_of(person) for one in words.requesters for person in (one, identified(one)))
    return CallToApprove(
        thread=turn.thread.id,
        step=chosen.step,
        agent=turn.agent.name,
        intent=chosen.intent,
        arguments=values_of(tool),
        at=now,
        requesters=tuple(sorted(frozenset().union(*names))),
        unverified=words.doubtful,
        people=words.requesters,
        meanings=tool.meanings(facts),
        strangers=_strangers(words, identified),
    )


def _strangers(words: Words, identified: Callable[[Person], Person]) -> tuple[str, ...]:
    """Who may be an approver under another name, in words: authors who are not in the team file, and unknown ones."""
    unknown = (
        called(person)
        for person in words.authors
        if not (is_theirs(person) and (person.member or identified(person).member))
    )
    return tuple(dict.fromkeys((*unknown, *words.passed_on)))[:STRANGERS_MAX]
