"""Who may approve a call, until when, and where they are asked: the team's rules, people and hours taken together.

`bot.team.rules` says which rules may hold, and `bot.team.strictness` which of them decides. When a request is made, its
durations become instants, counted in business hours if there are any. Decisions are judged by `store.authority.terms`;
`bot.team.rule_checks` checks the rules themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import cached_property

from agent.arguments import Value
from agent.authority import ApprovalRule, Authority, CallToApprove
from agent.steps import ToolError
from bot.team import standing
from bot.team.conditions import Given, holds
from bot.team.durations import Duration
from bot.team.hours import Hours
from bot.team.people import People
from bot.team.rules import MEMBERS, Deciders, Rule, Rules
from bot.team.strictness import strictest, why_undecided
from channels import places
from channels.messages import CALLED_MAX
from channels.places import Approvals, NoPlace
from store.authority.terms import ANYONE, TEAM, Terms, asked_by, may_stand, names_of, why_two
from store.base import Store
from store.standing import StandingGranted
from store.values import Person, Place


class Policies(Authority):
    """Implements the port `Authority`. Without a store there are no standing approvals."""

    def __init__(
        self,
        people: People | None = None,
        rules: Rules | None = None,
        hours: Hours | None = None,
        *,
        channels: Collection[str] = (),
        store: Store | None = None,
    ) -> None:
        """`channels`: the channels that are set up, where people can be asked."""
        self._people = people or People()
        self.rules = rules or Rules()
        self._hours = hours or Hours()
        self._channels = channels
        self._store = store

    def holding(self, intent: str, arguments: Mapping[str, Value]) -> Rule | None:
        """The rule that certainly says who decides such a call. None: there is none, or it cannot be told."""
        found = self.rules.that_may_hold(intent, arguments)
        return found[0] if len(found) == 1 else None

    def mails(self) -> list[str]:
        """The mail addresses of everybody in the team file."""
        return sorted(address for member in self._people.members.values() for address in member.emails)

    def unknown_mails(self) -> list[str]:
        """Mail addresses in `ask` that belong to nobody in the team file, so that their owners cannot decide."""
        rules = (rule for rule in self.rules.in_order if rule.group != ANYONE)
        asks = (ask.removeprefix("email:") for rule in rules for ask in rule.ask if ask.startswith("email:"))
        return sorted(
            {address for address in asks if not self._people.identified(Person(name="", address=address)).member}
        )

    def left_alone(self, deciders: Deciders) -> list[str]:
        """Keys of the members whose own requests nobody may approve, because too few people are left without them."""
        groups = {*filter(None, (deciders.group, deciders.then))}
        may = {key for group in groups for key in self._people.in_group(group)}
        if deciders.requester_may or ANYONE in groups or len(may) > deciders.quorum:
            return []
        return sorted(may)

    def identified(self, person: Person) -> Person:
        return self._people.identified(person)

    def decider(self, person: Person, at: datetime) -> Person | None:
        return self._people.decider(person, at)

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return self._people.groups_of(person)

    @cached_property
    def _digest(self) -> str:
        """The hash of all rules, and of who is who, for the record. Tokens are not part of it."""
        who = [
            [key, member.name, member.slack, member.emails, member.groups, member.logins, member.github]
            for key, member in sorted(self._people.members.items())
        ]
        rules = [rule.as_granted() for rule in self.rules.in_order]
        return hashlib.sha256(json.dumps([rules, who], sort_keys=True).encode()).hexdigest()

    def _deciders(self, call: CallToApprove) -> Deciders | None:
        """Who decides the call. None: nobody, since there is no rule. Raises ToolError: it cannot be told."""
        found = self.rules.that_may_hold(call.intent, call.arguments)
        rules = [rule for rule in found if rule]
        if not rules:
            return None
        # What holds for doubtful words never lowers what holds otherwise, so it is compared with that as well.
        doubts = (True, False) if call.unverified else (False,)
        every = [rule.deciders(unverified=unverified) for unverified in doubts for rule in rules]
        strict = strictest(every, self._people, self._hours) if None not in found else None
        if strict is None:
            raise ToolError(why_undecided(self.rules, found, call.arguments))
        return strict

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        deciders = self._deciders(call)
        if deciders is None:
            return None
        remind, widen, expires = deciders.escalation()

        def when(duration: Duration | None) -> datetime | None:
            # People are addressed only in business hours, even if the time ends exactly when those end.
            return self._hours.opens(self._hours.after(call.at, duration)) if duration else None

        terms = Terms(
            group=deciders.group,
            quorum=deciders.quorum,
            requester_may=deciders.requester_may,
            remind_at=when(remind),
            widen_at=when(widen),
            then=deciders.then,
            expires_at=self._hours.after(call.at, expires),
            decide_by=deciders.decide_by or (),
        )
        terms = asked_by(terms, call.requesters, call.strangers)
        asks = _places(self._people, deciders, self._channels)
        more = set(self._may(terms, deciders.then)) - set(self._may(terms, deciders.group))
        then_asks = [one for one in places_of(self._people, more, self._channels) if one not in asks]
        approvers = tuple(self._people.person(key) for key in self._may(terms, deciders.group)[:CALLED_MAX])
        return ApprovalRule(
            terms, tuple(asks), tuple(then_asks), approvers, self._unsatisfiable(terms), rules=self._digest
        )

    def _may(self, terms: Terms, group: str) -> list[str]:
        """Keys of the members of a group who may approve."""
        people = self._people
        return [
            key
            for key in people.in_group(group)
            if terms.requester_may or names_of(people.person(key)).isdisjoint(terms.requesters)
        ]

    def _unsatisfiable(self, terms: Terms) -> str:
        groups = list(filter(None, (terms.group, terms.then)))
        may = list(dict.fromkeys(key for group in groups for key in self._may(terms, group)))
        if ANYONE in groups or len(may) >= terms.quorum:
            return ""
        who = ", ".join(self._people.members[key].name or key for key in may) or "nobody"
        needs = (
            f"It needs {terms.quorum} approvals from {' or '.join(groups)}, by people who did not request it: {who}."
        )
        if why := why_two(terms):
            needs += f" {why} It would do to ask under an address that stands in [people]."
        return f"{needs} Somebody else has to request it, or the team file has to name more people."

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        rule = self.holding(call.intent, call.arguments)
        if self._store is None or call.unverified or rule is None or rule.standing is None:
            return None
        terms = asked_by(Terms(requester_may=rule.requester_may), call.requesters, call.strangers)
        for each in await standing.active(self._store, call.at):
            grant = each.granted
            same_rule = rule.as_granted() == grant.rule and self.still_valid(grant, call.at)
            for_them = may_stand(terms, self.identified(grant.by)) and self._may_profit(grant, call)
            pins = standing.pins_of(grant.when, call.meanings)
            # Last, since a use that was taken is gone.
            if (
                same_rule
                and _covers(grant, call)
                and for_them
                and await standing.take_use(self._store, each, call.thread, call.step, call.at, pins)
            ):
                return grant
        return None

    def _may_profit(self, grant: StandingGranted, call: CallToApprove) -> bool:
        """Whether the grant is for these requesters: all of them are in the team file, or it is bound."""
        if ANYONE in grant.askers:
            return True
        people = [self._people.still(person) for person in call.people]
        if grant.askers:
            # Where nobody asked, none of them did.
            return bool(people) and all(person and self._is_among(person, grant.askers) for person in people)
        strangers = call.strangers or [person for person in people if not (person and person.member)]
        return not strangers or grant.is_bound

    def _is_among(self, person: Person, askers: Collection[str]) -> bool:
        if person.member:
            return not {TEAM, person.member, *self._people.groups_of(person)}.isdisjoint(askers)
        if person.login:
            return False  # The address was typed.
        # A name of the team file is no address.
        ours = {TEAM, *self._people.members, *self._people.group_names()}
        addresses = {one.lower() for one in askers if one not in ours}
        return person.trust == "verified" and person.address.lower() in addresses

    def still_valid(self, grant: StandingGranted, at: datetime) -> bool:
        """Whether its rule is unchanged since the grant, and the person may still grant it, known by the same."""
        by = self.decider(grant.by, at)
        rule = next((rule for rule in self.rules.in_order if rule.as_granted() == grant.rule), None)
        return (
            rule is not None
            and rule.standing is not None
            and by is not None
            and by.trust == "verified"
            and self._people.belongs(by, rule.standing.group)
        )


def _covers(grant: StandingGranted, call: CallToApprove) -> bool:
    is_such = (grant.agent, grant.intent) == (call.agent, call.intent)
    return is_such and all(_fits(given, name, call) for name, given in grant.when.items())


def _fits(given: Given, argument: str, call: CallToApprove) -> bool:
    """Where the argument is a name, the name that its facts found counts, or the thing itself."""
    meaning = call.meanings.get(argument)
    if meaning is None:
        return holds(given, call.arguments.get(argument)) is True
    return given == meaning.thing or (bool(meaning.name) and holds(given, meaning.name) is True)


def _places(people: People, deciders: Deciders, channels: Collection[str]) -> list[Place]:
    found: dict[Place, None] = {}
    for text in deciders.ask:
        if text == MEMBERS:
            found.update(dict.fromkeys(places_of(people, people.in_group(deciders.group), channels)))
        else:
            with contextlib.suppress(NoPlace):
                found[places.parse(text, Approvals())] = None
    return list(found)


def places_of(people: People, keys: Collection[str], channels: Collection[str]) -> Iterator[Place]:
    """The private place of each member. Members without one are left out."""
    for member in (people.members[key] for key in people.members if key in keys):
        reached = (text for text in member.places if places.split(text)[0] in channels)
        if text := next(reached, ""):
            with contextlib.suppress(NoPlace):
                yield places.parse(text, Approvals())
