"""The team's policies: who may approve a call, until when, and where they are asked.

They are `[policy.TOOL.SCOPE]` in the team file, with `*` as wildcard; only the most specific one applies. Without a
policy, nobody may approve. When a request is made, durations become instants, counted in business hours if there are
any. Decisions are judged by `store.authority.terms`; `bot.team.policy_checks` checks the policies themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from agent.authority import ApprovalRule, Authority, CallToApprove
from bot.team import standing
from bot.team.hours import Duration, Hours, parse_duration, plain
from bot.team.people import People
from channels import places
from channels.messages import CALLED_MAX
from channels.places import Approvals, NoPlace
from store.authority.terms import ANYONE, Terms, names_of
from store.base import Store
from store.standing import StandingGranted
from store.values import Person, Place

ANY = "*"
MEMBERS = "members"
ASKS_MAX = 20
"""The most other places at which a request is shown, for `ask` and `then` each."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text.strip()


DurationText = Annotated[str, AfterValidator(_duration)]


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(min_length=1)]
    quorum: Annotated[int, Field(ge=1, strict=True)] = 1
    """How many different people must approve. One rejection is enough."""
    requester_may: bool = True
    """Whether a requester (anybody who wrote in the thread before) may also approve."""
    expires: DurationText = "24h"
    remind: DurationText | None = None
    widen: DurationText | None = None
    """After this time, `then` may decide as well; default: twice `remind`."""
    then: str = ""
    ask: Annotated[tuple[str, ...], Field(max_length=ASKS_MAX)] = ()
    """Where a request is shown besides the thread's own place: `slack:C0123`, `email:ops@example.com`, `members`."""


class Override(BaseModel):
    """The differences that apply if a requester is unverified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(min_length=1)] | None = None
    quorum: Annotated[int, Field(ge=1, strict=True)] | None = None
    requester_may: bool | None = None
    expires: DurationText | None = None
    remind: DurationText | None = None
    widen: DurationText | None = None
    then: str | None = None
    ask: Annotated[tuple[str, ...], Field(max_length=ASKS_MAX)] | None = None


class Standing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(min_length=1)]
    """Who may grant a standing approval."""
    max: DurationText
    """The longest grant, in elapsed time."""

    @property
    def max_length(self) -> timedelta:
        return plain(parse_duration(self.max))


class Policy(Rule):
    """One `[policy.TOOL.SCOPE]`."""

    unverified: Override | None = None
    standing: Standing | None = None

    def rule(self, *, unverified: bool) -> Rule:
        differs = self.unverified.model_dump(exclude_none=True) if unverified and self.unverified else {}
        return Rule(**{name: getattr(self, name) for name in Rule.model_fields} | differs)

    def as_granted(self) -> dict[str, JsonValue]:
        """The policy as stored in a standing approval, which ends when the policy changes."""
        return self.model_dump(mode="json", exclude_defaults=True)


PolicyTables = Mapping[str, Mapping[str, Policy]]
"""By tool and by scope."""


class Policies(Authority):
    """Implements the port `Authority`. Without a store there are no standing approvals."""

    def __init__(
        self,
        people: People | None = None,
        table: PolicyTables | None = None,
        hours: Hours | None = None,
        *,
        channels: Collection[str] = (),
        store: Store | None = None,
    ) -> None:
        """`channels`: the channels that are set up, where people can be asked."""
        self._people = people or People()
        self._table = table or {}
        self._hours = hours or Hours()
        self._channels = channels
        self._store = store

    def policy(self, intent: str, scope: str) -> Policy | None:
        """The most specific policy. None: nobody may approve such a call."""
        for tool, where in ((intent, scope), (intent, ANY), (ANY, scope), (ANY, ANY)):
            if found := self._table.get(tool, {}).get(where):
                return found
        return None

    def mails(self) -> list[str]:
        """The mail addresses of everybody in the team file."""
        return sorted(address for member in self._people.members.values() for address in member.emails)

    def unknown_mails(self) -> list[str]:
        """Mail addresses in `ask` that belong to nobody in the team file, so that their owners cannot decide."""
        rules = (policy for scopes in self._table.values() for policy in scopes.values() if policy.group != ANYONE)
        asks = (ask.removeprefix("email:") for rule in rules for ask in rule.ask if ask.startswith("email:"))
        return sorted(
            {address for address in asks if not self._people.identified(Person(name="", address=address)).member}
        )

    def identified(self, person: Person) -> Person:
        return self._people.identified(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        policy = self.policy(call.intent, call.scope)
        if policy is None:
            return None
        rule = policy.rule(unverified=call.unverified)
        remind, widen, expires = escalation_of(rule)

        def when(duration: Duration | None) -> datetime | None:
            # People are addressed only in business hours, even if the time ends exactly when those end.
            return self._hours.opens(self._hours.after(call.at, duration)) if duration else None

        terms = Terms(
            group=rule.group,
            quorum=rule.quorum,
            requester_may=rule.requester_may,
            requesters=call.requesters,
            remind_at=when(remind),
            widen_at=when(widen),
            then=rule.then,
            expires_at=self._hours.after(call.at, expires),
        )
        asks = _places(self._people, rule, self._channels)
        more = set(self._may(terms, rule.then)) - set(self._may(terms, rule.group))
        then_asks = [one for one in places_of(self._people, more, self._channels) if one not in asks]
        approvers = tuple(self._people.person(key) for key in self._may(terms, rule.group)[:CALLED_MAX])
        return ApprovalRule(terms, tuple(asks), tuple(then_asks), approvers, self._unsatisfiable(terms))

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
        return (
            f"It needs {terms.quorum} approvals from {' or '.join(groups)}, by people who did not request it: {who}. "
            "Somebody else has to request it, or the team file has to name more people."
        )

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        policy = self.policy(call.intent, call.scope)
        if self._store is None or call.unverified or policy is None or policy.standing is None:
            return None
        kind = (call.agent, call.intent, call.scope)
        for grant in await standing.active(self._store, call.at):
            asked_for_it = not policy.requester_may and not names_of(grant.by).isdisjoint(call.requesters)
            if (grant.agent, grant.intent, grant.scope) == kind and self.still_valid(grant) and not asked_for_it:
                return grant
        return None

    def still_valid(self, grant: StandingGranted) -> bool:
        """Whether the policy is unchanged since the grant, and the person may still grant it."""
        policy = self.policy(grant.intent, grant.scope)
        return (
            policy is not None
            and policy.standing is not None
            and policy.as_granted() == grant.policy
            and grant.by.trust == "verified"
            and self._people.belongs(grant.by, policy.standing.group)
        )


def escalation_of(rule: Rule) -> tuple[Duration | None, Duration | None, Duration]:
    """The durations until the reminder, the escalation to `then`, and the expiry."""
    remind = parse_duration(rule.remind) if rule.remind else None
    widen = None
    if rule.then and rule.widen:
        widen = parse_duration(rule.widen)
    elif rule.then and remind:
        widen = Duration(2 * remind.days, 2 * remind.seconds)
    return remind, widen, parse_duration(rule.expires)


def _places(people: People, rule: Rule, channels: Collection[str]) -> list[Place]:
    found: dict[Place, None] = {}
    for text in rule.ask:
        if text == MEMBERS:
            found.update(dict.fromkeys(places_of(people, people.in_group(rule.group), channels)))
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
