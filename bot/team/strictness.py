"""Compares rules by how strict they are, for calls of which it cannot be told which rule decides them.

Two sets of people have no order, and a larger quorum of other people is no safer. So one is at least as strict as
another only if it is so in every part: everybody who may decide by it may decide by the other too, by the same ways and
as early; it takes no fewer of them; a requester may not approve where the other forbids it; and it expires no later.
Where nothing is the strictest, nobody decides. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from agent.arguments import Value
from bot.team.hours import Hours
from bot.team.people import People
from bot.team.rules import WAYS, Deciders, Rule, Rules
from store.authority.terms import ANYONE
from store.text import one_line

NAMED_MAX = 3
VALUE_CHARS_MAX = 60


class Looser(NamedTuple):
    """A part in which one is looser than another."""

    what: str
    takes: str
    """What it could say instead."""


def strictest(every: Sequence[Deciders], people: People, hours: Hours) -> Deciders | None:
    """The first that is at least as strict as each of them. None: there is none."""
    return next((one for one in every if not any(any(looser(one, other, people, hours)) for other in every)), None)


def why_undecided(rules: Rules, found: Sequence[Rule | None], arguments: Mapping[str, Value]) -> str:
    """Why nobody may approve a call for which one of these rules holds, and what would make it run, in sentences."""
    unsure = [
        f"{name} is {_shown(arguments.get(name))}, which cannot be compared with {given!r} of {_called(rules, rule)}"
        for rule in found
        if rule
        for name, given in rule.unsure(arguments).items()
    ]
    if not unsure:
        which = " and ".join(_called(rules, rule) for rule in found if rule)
        return (
            f"It needs approval, and nobody may approve it, because what {which} says in `unverified` is weaker "
            "than what it says otherwise. Somebody has to correct the team file."
        )
    lack = "maybe no rule matches it" if None in found else "none of the rules that may match is the strictest"
    return (
        f"It needs approval, and it cannot be told who may approve it, because {'; '.join(unsure)}, and {lack}. "
        "It can be chosen again with a plain number for a comparison, or with text exactly as the rule has it. "
        "Or the team file needs a rule for it that is at least as strict as the others."
    )


def looser(one: Deciders, other: Deciders, people: People, hours: Hours) -> Iterator[Looser]:
    """Every part in which `one` is looser than `other`. Nothing: it is at least as strict."""
    if one.quorum < other.quorum:
        yield Looser(f"quorum is {one.quorum}, but {other.quorum} otherwise", f"{other.quorum} or more")
    if one.requester_may and not other.requester_may:
        yield Looser("requester_may is true, but false otherwise", "false")
    yield from _more_people(one, other, people, hours)
    if not set(one.decide_by or WAYS) <= set(other.decide_by or WAYS):
        ways = ", ".join(other.decide_by or WAYS)
        yield Looser(f"decide_by is {', '.join(one.decide_by or WAYS)}, but {ways} otherwise", f"some of {ways}")
    if hours.length(one.escalation().expires) > hours.length(other.escalation().expires):
        yield Looser(f"expires is {one.expires}, but {other.expires} otherwise", f"{other.expires} or less")


def _more_people(one: Deciders, other: Deciders, people: People, hours: Hours) -> Iterator[Looser]:
    at_first = _who(other.group, people)
    if more := _who(one.group, people) - at_first:
        yield Looser(
            f"group is {one.group!r}, but {other.group} otherwise, without {_named(more)}",
            f"a group of people who are all in {other.group}",
        )
    widen, others_widen = _widen(one, hours), _widen(other, hours)
    later = _who(one.then, people) - at_first if widen is not None else set()
    if not later:
        return
    if others_widen is None or (more := later - _who(other.then, people)):
        may = f"{other.group} or {other.then}" if others_widen is not None else other.group
        yield Looser(
            f"then is {one.then!r}, but only {may} may decide otherwise, without {_named(more or later)}",
            f"a group of people who are all in {may}",
        )
    elif widen is not None and widen < others_widen:
        yield Looser(
            f"widen is {_widen_text(one)}, but {_widen_text(other)} otherwise", f"{_widen_text(other)} or more"
        )


def _called(rules: Rules, rule: Rule) -> str:
    return f"rule {rules.in_order.index(rule) + 1} ({rule.tool})"


def _shown(value: Value) -> str:
    return (
        "missing"
        if value is None
        else one_line(ascii(value) if isinstance(value, str) else str(value), VALUE_CHARS_MAX)
    )


def _who(group: str, people: People) -> set[str]:
    """The keys of its members. Those of `anyone` are everybody, and more."""
    return {*people.members, ANYONE} if group == ANYONE else {*people.in_group(group)}


def _named(keys: Iterable[str]) -> str:
    named = sorted(keys)
    return ", ".join(named[:NAMED_MAX]) + (f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else "")


def _widen(deciders: Deciders, hours: Hours) -> timedelta | None:
    """The time after which `then` may decide too. None: never."""
    widen = deciders.escalation().widen
    return hours.length(widen) if widen else None


def _widen_text(deciders: Deciders) -> str:
    return deciders.widen or f"twice {deciders.remind}"
