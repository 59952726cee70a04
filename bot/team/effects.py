"""Finds what in the team file has no effect: groups that nothing names, routes that nothing matches, hours of nothing.

It is refused like a mistake, because somebody relies on it. Only what is certainly without effect is: the same file may
serve several machines, so addresses of a channel that is not set up here are left alone. `bot.team.rule_effects` finds
rules that match nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from bot.team.file import Team
from bot.team.names import nearest
from bot.team.people import People
from bot.team.rule_checks import meant_group
from store.authority.terms import ANYONE, TEAM

_CHANNEL = re.compile(r"[CDG][A-Z0-9]+")


def without_effect(team: Team, *, has_schedules: bool) -> Iterator[str]:
    """`has_schedules`: in the team file, or in the folder of an agent."""
    yield from _groups(team)
    yield from _routes(team.routes)
    if team.hours and not team.rule and not has_schedules:
        yield "hours in the team file has no effect: there is no [[rule]] and no schedule whose times count in it."
    for name, table in team.schedules.items():
        if "quiet" in table.model_fields_set and not team.hours:
            yield f"schedules.{name}.quiet in the team file has no effect: there is no [hours], so nothing is quiet."


def _groups(team: Team) -> Iterator[str]:
    """Groups of people that give nobody a right. Where there are no rules at all, that is what is told instead."""
    if not team.rule:
        return
    people = People(team.people)
    # Where somebody mistyped a group, the one that they meant is named.
    named = {meant_group(group, people) for group in _named_groups(team)}
    for group in sorted(people.group_names() - named):
        whose = ", ".join(f"people.{key}" for key in people.in_group(group))
        known = sorted(named - {TEAM, ANYONE})
        near = nearest(group, known)
        hint = f"did you mean {near}?" if near else f"groups that are named: {', '.join(known) or 'none'}."
        yield f"{whose} in the team file: no [[rule]] and no [steer] names the group {group!r}; {hint}"


def _named_groups(team: Team) -> Iterator[str]:
    for rule in team.rule:
        for deciders in (rule.deciders(unverified=False), rule.deciders(unverified=True)):
            yield from filter(None, (deciders.group, deciders.then))
        if rule.standing:
            yield rule.standing.group
    yield from filter(None, (team.steer.group, *team.steer.agents.values()))


def _routes(routes: Collection[str]) -> Iterator[str]:
    for place in routes:
        if "@" in place:
            if place != place.lower():
                yield f"routes.{place} in the team file: addresses are compared in lower case: write {place.lower()!r}."
            continue
        if not _CHANNEL.fullmatch(place):
            yield (
                f"routes.{place} in the team file is neither the id of a Slack channel, such as C0123456789, nor a "
                "mail address."
            )
