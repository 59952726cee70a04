"""The places that the team file names: where a caller of the HTTP API may open a thread, and which are everybody's.

Where it names a channel, an endpoint or a terminal (as a route, to ask there, for alerts or a schedule), the team
itself speaks there, so every token may see the threads there. A mailbox and a direct message are somebody's own: a
thread may be opened there, but it is seen only by those who take part in it. A place that the file does not name is
neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.team.file import Team
from bot.team.rules import MEMBERS
from bot.team.schedules import Schedule
from channels import places
from store.values import Place


@dataclass(frozen=True, slots=True)
class NamedPlaces:
    """All as `channels.places.name_of` says them."""

    may_open: frozenset[str] = frozenset()
    """Where a caller of the API may open a thread."""
    shared: frozenset[str] = frozenset()
    """Whose threads are everybody's."""

    def allow(self, place: Place) -> bool:
        """Whether a caller of the API may open a thread there."""
        return places.name_of(place) in self.may_open

    def share(self, place: Place) -> bool:
        """Whether the threads there are everybody's."""
        return places.name_of(place) in self.shared


def named_places(team: Team, schedules: Iterable[Schedule] = ()) -> NamedPlaces:
    """`schedules`: also those of the agents' own files."""
    named = {places.normal(text) for text in (*_texts(team), *(each.table.place for each in schedules))}
    theirs = {places.normal(text) for member in team.people.values() for text in member.places}
    shared = {text for text in named if not places.is_personal(text)}
    return NamedPlaces(frozenset(named | theirs), frozenset(shared))


def _texts(team: Team) -> Iterator[str]:
    yield from team.api.places
    yield from filter(None, [team.alerts])
    # A route from one of our mail addresses is no place to write to.
    yield from (f"slack:{channel}" for channel in team.routes if "@" not in channel)
    yield from (place for within in team.github.environments.values() for place in within.values())
    yield from (rule.place for hook in team.hooks.values() for rule in hook.on if rule.place)
    for rule in team.rule:
        yield from (text for text in rule.every_ask if text != MEMBERS)
