"""Standing approvals: an entitled person approves calls of one kind for a limited time.

They have their own log, in which grants, their uses and revocations are events. `bot.team.policies` decides whether one
covers a call; this module knows no calls.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from agent.reporting import report_posted
from agent.speech.requests import ways_in_words
from agent.steps import Meaning
from bot.team.conditions import Given
from bot.team.names import unknown
from bot.team.people import People
from bot.team.rules import Rule
from bot.team.steer import Steering
from channels import terminal
from channels.inbound import Refused
from store import keys
from store.authority.terms import ANYONE, TEAM, Way
from store.base import Store, UnknownThread
from store.events import Event, ThreadOpened
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.text import instant, one_line
from store.values import Person, Place

LOG = "standing"
"""The id of the log's thread. No place derives this id: see `store.keys.thread_id_of`."""
REASON_CHARS_MAX = 1_000
USES_MAX = 1_000


class Grant(NamedTuple):
    granted: StandingGranted
    revoked: StandingRevoked | None = None
    used: tuple[str, ...] = ()
    """The ids of its uses, the first ones of which count."""
    pins: Mapping[str, str] = MappingProxyType({})
    """What each name that it names stood for, when it was granted or else when it was first used."""

    def is_active(self, at: datetime) -> bool:
        return self.revoked is None and at < self.granted.until

    @property
    def uses_left(self) -> int | None:
        """None: any number."""
        return max(self.granted.uses - len(self.used), 0) if self.granted.uses else None

    def is_used_by(self, use: str) -> bool:
        """Whether this use is among those that count."""
        return use in self.used[: self.granted.uses]


def fold(events: Iterable[Event]) -> dict[str, Grant]:
    """Every grant by its id, oldest first."""
    grants: dict[str, Grant] = {}
    for event in events:
        match event:
            case StandingGranted():
                grants.setdefault(event.id, Grant(event, pins=event.pins))
            case StandingRevoked() if event.grant in grants:
                grants[event.grant] = grants[event.grant]._replace(revoked=event)
            case StandingUsed() if event.grant in grants:
                grant = grants[event.grant]
                pins = grant.pins if grant.uses_left == 0 else {**event.pins, **grant.pins}
                grants[event.grant] = grant._replace(used=(*grant.used, event.id), pins=pins)
            case _:
                pass
    return grants


async def active(store: Store, at: datetime) -> list[Grant]:
    """The active grants at that time, oldest first. Raises StoreUnavailable."""
    return [grant for grant in (await _grants(store)).values() if grant.is_active(at)]


def pins_of(when: Mapping[str, Given], meanings: Mapping[str, Meaning]) -> dict[str, str]:
    """What the names that a grant asks for exactly stand for. A pattern or the thing itself pins nothing."""
    named = ((given, meanings[argument]) for argument, given in when.items() if argument in meanings)
    return {one.key: one.thing for given, one in named if given == one.name and given != one.thing}


async def take_use(
    store: Store, grant: Grant, thread_id: str, step_id: str, at: datetime, pins: Mapping[str, str]
) -> bool:
    """Take one of the uses of this grant for a call; a call takes no second one. False: there is none left.

    `pins`: what the names of the grant stand for in this call. False, too, where they stood for something else before.
    Durable when it returns: a call that then is not made has used it up. Raises StoreUnavailable.
    """
    use = keys.used(grant.granted.id, thread_id, step_id)
    new = {name: thing for name, thing in pins.items() if grant.pins.get(name) != thing}
    if not new.keys().isdisjoint(grant.pins):
        return False  # A name has moved.
    counts = not grant.granted.uses or grant.is_used_by(use)
    if counts and not new:
        return True
    if not counts and not grant.uses_left:
        return False
    await _post(store, StandingUsed(id=use, at=at, grant=grant.granted.id, thread=thread_id, step=step_id, pins=new))
    now = (await _grants(store)).get(grant.granted.id)
    if now is None or now.revoked or (now.granted.uses and not now.is_used_by(use)):
        return False
    return pins.items() <= now.pins.items()


async def _grants(store: Store) -> dict[str, Grant]:
    try:
        log = await store.load(LOG)
    except UnknownThread:
        return {}
    # An event of a newer version may revoke one of them.
    return {} if log.state.unreadable else fold(log.events)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a grant covers: as the fields of `StandingGranted`."""

    when: Mapping[str, Given] = field(default_factory=dict)
    askers: Sequence[str] = ()
    uses: int = 0
    narrow: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)


async def grant(
    store: Store,
    people: People,
    by: Person,
    *,
    agent: str,
    intent: str,
    bounds: Bounds,
    rule: Rule,
    length: timedelta,
    at: datetime,
    tell: Place | None = None,
    reason: str = "",
    proof: str = "",
    way: Way,
) -> StandingGranted:
    """Grant a standing approval from now on, for `length` of elapsed time.

    `rule`: the one that holds for such calls. Raises Refused, StoreUnavailable.
    """
    by = people.identified(by)
    _check(people, by, rule, length, way)
    _check_bounds(people, bounds)
    granted = StandingGranted(
        id=f"g{secrets.token_hex(4)}",
        at=at,
        agent=agent,
        intent=intent,
        when=dict(bounds.when),
        askers=tuple(bounds.askers),
        uses=bounds.uses,
        narrow=bounds.narrow,
        pins=dict(bounds.pins),
        rule=rule.as_granted(),
        tell=tell,
        by=by,
        groups=people.groups_of(by),
        until=at + length,
        reason=reason[:REASON_CHARS_MAX],
        proof=proof,
        way=way,
    )
    opened = ThreadOpened(id=keys.OPENED, at=at, agent="", place=terminal.place_of(LOG))
    await _post(store, opened, granted)
    return granted


def _check(people: People, by: Person, rule: Rule, length: timedelta, way: Way) -> None:
    """Whether this person may grant it, by this way and for so long. Raises Refused."""
    if rule.standing is None:
        raise Refused("Nobody may approve such calls in advance: their rule in bot.toml has no `standing`.")
    group, max_length = rule.standing.group, rule.standing.max_length
    if by.trust != "verified" or not people.belongs(by, group):
        raise Refused(f"{one_line(by.name, 100)} may not grant this: only members of {group} may.", "not_entitled")
    if rule.decide_by and way not in rule.decide_by:
        ways = ways_in_words(rule.decide_by)
        raise Refused(f"Decisions on such calls count only by {ways}, so they cannot be approved here in advance.")
    if length > max_length:
        raise Refused(f"That is too long: such calls can be approved for at most {in_words(max_length)}.")


def _check_bounds(people: People, bounds: Bounds) -> None:
    """Raises Refused where nobody could ever profit."""
    if wrong := next((text for one in bounds.askers if (text := _unknown_asker(one, people))), ""):
        raise Refused(wrong)
    if not (people.members or bounds.askers or bounds.uses or bounds.narrow):
        raise Refused("Nobody is in [people], so bind it: to who may ask, to a revision, or to a number of uses.")


async def revoke(
    store: Store, steering: Steering, by: Person, grant_id: str, *, at: datetime, proof: str = ""
) -> Grant:
    """Revoke a grant, as who granted it or with the right to steer its agent.

    Raises Refused, StoreUnavailable.
    """
    found = (await _grants(store)).get(grant_id)
    if found is None:
        raise Refused(f"There is no standing approval {grant_id[:60]!r}. `bot standing` lists the active ones.")
    if found.revoked:
        who = one_line(found.revoked.by.name, 100)
        raise Refused(f"{grant_id} was already revoked by {who} at {instant(found.revoked.at)}.")
    if not found.is_active(at):
        raise Refused(f"{grant_id} already ended at {instant(found.granted.until)}.")
    by = steering.check_grant(by, found.granted)
    event = StandingRevoked(id=keys.revoked(grant_id), at=at, grant=grant_id, by=by, proof=proof)
    await _post(store, event)
    return found


def _unknown_asker(asker: str, people: People) -> str:
    """What is wrong with it; empty: it may be somebody. Addresses of channels are not known here."""
    known = [*people.members, *sorted(people.group_names()), TEAM, ANYONE]
    is_address = "@" in asker or (asker.isupper() and asker.isalnum())
    return "" if asker in known or is_address else unknown(asker, "person, group or address", known)


async def _post(store: Store, *events: Event) -> None:
    report_posted(events, LOG, await store.post(LOG, *events))


def in_words(length: timedelta) -> str:
    """The inverse of `bot.team.durations.parse_duration`, in the largest unit without a remainder."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
