"""The team's policies: who may approve a call, until when, and where they are asked.

`[policy.TOOL.SCOPE]` of the team file, `*` for any; the most exact one holds, alone. Where there is none, nobody may
approve it. Times become instants when a request is made, counted in business hours where those are set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from agent.approval import Authority, Ruling, Wanted
from agent.definition import Agent
from agent.steps import Tool
from bot.team import standing
from bot.team.hours import Duration, Hours, parse_duration, plain
from bot.team.people import SLACK_PLACE, People
from channels.email.senders import can_be_written_to
from store.authority.terms import ANYONE, TEAM, Terms, names_of
from store.base import Store
from store.events import StandingGranted
from store.values import Person, Place

ANY = "*"
MEMBERS = "members"
APPROVERS_MAX = 20
"""Of those who may decide, so many are named in a request."""
ASKS_MAX = 20
"""So many places is one request shown at beside its own, by the policy's `ask` and by `then` each."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text.strip()


DurationText = Annotated[str, AfterValidator(_duration)]


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(min_length=1)]
    quorum: Annotated[int, Field(ge=1, strict=True)] = 1
    """Different people who have to approve it. One rejection is enough."""
    requester_may: bool = True
    """Who wrote in the thread before the request may approve it too."""
    expires: DurationText = "24h"
    remind: DurationText | None = None
    widen: DurationText | None = None
    """From when on `then` may decide as well; without: after twice `remind`."""
    then: str = ""
    ask: Annotated[tuple[str, ...], Field(max_length=ASKS_MAX)] = ()
    """Where it is shown beside the thread's own place: `slack:C0123`, `email:ops@example.com`, `members`."""


class Override(BaseModel):
    """What differs where somebody's words led to it of whom we are not sure who they are."""

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
    """By the clock, whatever the business hours."""

    @property
    def max_length(self) -> timedelta:
        return plain(parse_duration(self.max))


class Policy(Rule):
    """One `[policy.TOOL.SCOPE]`."""

    unverified: Override | None = None
    standing: Standing | None = None

    def rule(self, *, unproven: bool) -> Rule:
        differs = self.unverified.model_dump(exclude_none=True) if unproven and self.unverified else {}
        return Rule(**{name: getattr(self, name) for name in Rule.model_fields} | differs)

    def as_granted(self) -> dict[str, JsonValue]:
        """What a standing approval is bound to: every rule of it."""
        return self.model_dump(mode="json", exclude_defaults=True)


PolicyTables = Mapping[str, Mapping[str, Policy]]
"""By tool, and by scope."""


class Policies(Authority):
    """Without a store there are no standing approvals."""

    def __init__(
        self,
        people: People | None = None,
        table: PolicyTables | None = None,
        hours: Hours | None = None,
        *,
        channels: Collection[str] = ("slack", "email"),
        store: Store | None = None,
    ) -> None:
        """`channels`: those that are set up, which is where people can be asked."""
        self._people = people or People()
        self._table = table or {}
        self._hours = hours or Hours()
        self._channels = channels
        self._store = store

    def policy(self, intent: str, scope: str) -> Policy | None:
        """The most exact one. None: nobody may approve such a call."""
        for tool, where in ((intent, scope), (intent, ANY), (ANY, scope), (ANY, ANY)):
            if found := self._table.get(tool, {}).get(where):
                return found
        return None

    def mails(self) -> list[str]:
        """Of everybody in the team file."""
        return sorted(address for member in self._people.members.values() for address in member.emails)

    def unknown_mails(self) -> list[str]:
        """Addresses that are asked where the policy names a group, and are nobody's in the team file."""
        rules = (policy for scopes in self._table.values() for policy in scopes.values() if policy.group != ANYONE)
        asks = (ask.removeprefix("email:") for rule in rules for ask in rule.ask if ask.startswith("email:"))
        return sorted(
            {address for address in asks if not self._people.identified(Person(name="", address=address)).member}
        )

    def identified(self, person: Person) -> Person:
        return self._people.identified(person)

    def rule(self, wanted: Wanted) -> Ruling | None:
        policy = self.policy(wanted.intent, wanted.scope)
        if policy is None:
            return None
        rule = policy.rule(unproven=wanted.unproven)
        remind, widen, expires = _ladder(rule)

        def told_after(duration: Duration | None) -> datetime | None:
            # People are spoken to in business hours, also where it runs out at their very end.
            return self._hours.opens(self._hours.after(wanted.at, duration)) if duration else None

        terms = Terms(
            group=rule.group,
            quorum=rule.quorum,
            requester_may=rule.requester_may,
            requesters=wanted.requesters,
            remind_at=told_after(remind),
            widen_at=told_after(widen),
            then=rule.then,
            expires_at=self._hours.after(wanted.at, expires),
        )
        asks = _places(self._people, rule, self._channels)
        more = set(self._may(terms, rule.then)) - set(self._may(terms, rule.group))
        then_asks = [one for one in _of_members(self._people, more, self._channels) if one not in asks]
        approvers = tuple(self._people.person(key) for key in self._may(terms, rule.group)[:APPROVERS_MAX])
        return Ruling(terms, tuple(asks), tuple(then_asks), approvers, self._too_few(terms))

    def _may(self, terms: Terms, group: str) -> list[str]:
        """Keys of the members of a group who may approve."""
        people = self._people
        return [
            key
            for key in people.in_group(group)
            if terms.requester_may or names_of(people.person(key)).isdisjoint(terms.requesters)
        ]

    def _too_few(self, terms: Terms) -> str:
        groups = list(filter(None, (terms.group, terms.then)))
        may = list(dict.fromkeys(key for group in groups for key in self._may(terms, group)))
        if ANYONE in groups or len(may) >= terms.quorum:
            return ""
        who = ", ".join(self._people.members[key].name or key for key in may) or "nobody"
        return (
            f"It takes {terms.quorum} of {' or '.join(groups)} who have not asked for it, and that is {who}. "
            "Somebody else has to ask for it, or the team file has to name more people."
        )

    async def standing(self, wanted: Wanted) -> StandingGranted | None:
        policy = self.policy(wanted.intent, wanted.scope)
        if self._store is None or wanted.unproven or policy is None or policy.standing is None:
            return None
        call = (wanted.agent, wanted.intent, wanted.scope)
        for grant in await standing.standing(self._store, wanted.at):
            asked_for_it = not policy.requester_may and not names_of(grant.by).isdisjoint(wanted.requesters)
            if (grant.agent, grant.intent, grant.scope) == call and self.holds(grant) and not asked_for_it:
                return grant
        return None

    def holds(self, grant: StandingGranted) -> bool:
        """Whether the team file still says what it said then, and still lets that person grant it."""
        policy = self.policy(grant.intent, grant.scope)
        return (
            policy is not None
            and policy.standing is not None
            and policy.as_granted() == grant.policy
            and grant.by.trust == "verified"
            and self._people.belongs(grant.by, policy.standing.group)
        )


def _ladder(rule: Rule) -> tuple[Duration | None, Duration | None, Duration]:
    """When it is reminded of, widened, and expires."""
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
            found.update(dict.fromkeys(_of_members(people, people.in_group(rule.group), channels)))
        elif place := _place(text):
            found[place] = None
    return list(found)


def _place(text: str) -> Place | None:
    """`slack:C0123` or `email:ops@example.com`; None: it is neither."""
    channel, _, address = text.partition(":")
    if channel == "slack" and SLACK_PLACE.fullmatch(address):
        return Place(channel="slack", address=f"/{address}/")
    if channel == "email" and can_be_written_to(address):
        return Place(channel="email", address=f"{address.lower()}/approvals")
    return None


def _of_members(people: People, keys: Collection[str], channels: Collection[str]) -> Iterator[Place]:
    """Where each of them can be asked alone. Those who have no such address are left out."""
    for member in (people.members[key] for key in people.members if key in keys):
        if member.slack and "slack" in channels:
            yield Place(channel="slack", address=f"/{member.slack}/")
        elif member.emails and "email" in channels:
            yield Place(channel="email", address=f"{member.emails[0]}/approvals")


# What is wrong with them


def tools_of(roster: Mapping[str, Agent]) -> dict[str, type[Tool]]:
    """Every tool of every agent, by its intent."""
    return {cls.intent_name(): cls for agent in roster.values() for cls in agent.tools}


def scopes_of(tool: type[Tool]) -> tuple[str, ...] | None:
    """Those that a call of it can have; None: any text."""
    if not tool.scoped_by:
        return ("",)
    annotation = tool.model_fields[tool.scoped_by].annotation
    return tuple(str(value) for value in get_args(annotation)) if get_origin(annotation) is Literal else None


def policy_warnings(
    roster: Mapping[str, Agent], policies: Policies, may_write: Callable[[str], bool] | None = None
) -> list[str]:
    """Calls that somebody has to approve and nobody may: they will be refused. Addresses that are asked for nothing.

    `may_write`: whether mail from an address is taken in, where mail is set up.
    """
    calls: dict[str, str] = {}
    for intent, tool in tools_of(roster).items():
        scopes = scopes_of(tool)
        for scope in (ANY,) if scopes is None else scopes:
            if may_need_approval(tool, scope) and policies.policy(intent, scope) is None:
                where = f" in {scope}" if scope and scope != ANY else ""
                calls[intent + where] = f"[policy.{intent}.{scope}]" if where else f'[policy.{intent}."{ANY}"]'
    told = []
    if calls:
        them, (table, *_) = "them" if len(calls) > 1 else "it", calls.values()
        told.append(
            f"Nobody may approve {', '.join(calls)}: bot.toml has no policy for {them}, such as {table} or "
            f'[policy."{ANY}"."{ANY}"].'
        )
    told += (
        f"{address} is asked by mail and is nobody's address in [people], so it cannot decide."
        for address in policies.unknown_mails()
    )
    if may_write:
        told += (
            f"{address} of [people] is not in EMAIL_ALLOWED_SENDERS, so it decides nothing by mail."
            for address in policies.mails()
            if not may_write(address)
        )
    return told


def may_need_approval(tool: type[Tool], scope: str) -> bool:
    arguments: dict[str, Any] = {tool.scoped_by: scope} if tool.scoped_by else {}
    try:
        return tool.model_construct(**arguments).needs_approval()
    except Exception:
        # It looks at an argument that is not there: for some it says yes.
        return True


def policy_problems(
    table: PolicyTables,
    people: People,
    hours: Hours,
    *,
    tools: Mapping[str, type[Tool]] | None,
    channels: Collection[str],
) -> list[str]:
    """Every name that means nothing, and every rule that nobody could meet. `tools` None: they are not known."""
    told = []
    for tool, scopes in table.items():
        if tools is not None and tool != ANY and tool not in tools:
            told.append(f"policy.{tool} in the team file: {_unknown(tool, 'tool', tools)}")
        for scope, policy in scopes.items():
            found = [("", text) for text in _scope_problems(tool, scope, tools or {})]
            found += (("", text) for text in _rule_problems(policy.rule(unproven=False), people, hours, channels))
            if policy.unverified:
                theirs = _rule_problems(policy.rule(unproven=True), people, hours, channels)
                found += ((".unverified", text) for text in theirs if ("", text) not in found)
            found += ((".unverified", text) for text in _weaker(policy))
            found += ((".standing", text) for text in _standing_problems(policy, people))
            told += (f"policy.{tool}.{scope}{part} in the team file: {text}" for part, text in found)
    return told


def _scope_problems(tool: str, scope: str, tools: Mapping[str, type[Tool]]) -> Iterator[str]:
    concerned = tools.values() if tool == ANY else [tools[tool]] if tool in tools else []
    known = [scopes_of(cls) for cls in concerned]
    if scope == ANY or not known or None in known:
        return
    names = dict.fromkeys(name for scopes in known for name in scopes or () if name)
    if not names:
        name = f'"{ANY}"' if tool == ANY else tool
        yield f'its calls are not told apart; write [policy.{name}."{ANY}"].'
    elif scope not in names:
        yield _unknown(scope, "scope of it", names)


def _rule_problems(rule: Rule, people: People, hours: Hours, channels: Collection[str]) -> Iterator[str]:
    groups = [group for group in (rule.group, rule.then) if group]
    unknown = [text for group in groups for text in _group_problems(group, people)]
    yield from unknown
    if ANYONE in groups and (rule.quorum > 1 or not rule.requester_may):
        wants = "quorum" if rule.quorum > 1 else "requester_may"
        yield (
            f"{wants} does not go with {ANYONE!r}: it is not known which addresses there are one person's. "
            f"Take {TEAM!r} or a group of [people]."
        )
    # Of a group that is not known, it is those of the one that may be meant; there cannot be more than all.
    meant = [_meant(group, people) for group in groups]
    may = {key for group in meant for key in people.in_group(group)}
    if ANYONE not in meant and rule.quorum > len(may) and people.members:
        are = "1 person is" if len(may) == 1 else f"{len(may)} people are"
        yield f"quorum is {rule.quorum}, and {are} in {' or '.join(dict.fromkeys(meant))}."
    yield from _ladder_problems(rule, hours)
    for text in rule.ask:
        channel = text.partition(":")[0]
        if text == MEMBERS:
            yield from _member_problems(rule.group, people, channels)
        elif _place(text) is None:
            yield f"ask takes slack: and a channel's id, email: and an address, or {MEMBERS}, not {text[:60]!r}."
        elif channel not in channels:
            yield f"ask names {text!r}, and {channel} is not set up."
    if rule.then and len(people.in_group(rule.then)) > ASKS_MAX:
        yield f"then: {rule.then} has more than {ASKS_MAX} people, which is how many are asked at most."


def _meant(group: str, people: People) -> str:
    known = (ANYONE, TEAM, *sorted(people.group_names()))
    return group if group in known else next(iter(get_close_matches(group, known, 1)), TEAM)


def _group_problems(group: str, people: People) -> Iterator[str]:
    names = people.group_names()
    if group not in (ANYONE, TEAM, *names):
        yield _unknown(group, "group that somebody is in", [*sorted(names), TEAM, ANYONE])
    elif group == TEAM and not people.members:
        yield f"{TEAM!r} is everybody in [people], and nobody is."


def _member_problems(group: str, people: People, channels: Collection[str]) -> Iterator[str]:
    if group == ANYONE:
        yield f"ask: it is not known who the {MEMBERS} of {ANYONE!r} are."
    elif len(people.in_group(group)) > ASKS_MAX:
        yield f"ask: {group} has more than {ASKS_MAX} people, which is how many are asked at most. Name a channel."
    elif people.in_group(group) and not list(_of_members(people, people.in_group(group), channels)):
        yield f"ask: nobody in {group} can be reached: they have no slack or emails where that channel is set up."


def _ladder_problems(rule: Rule, hours: Hours) -> Iterator[str]:
    remind, widen, expires = _ladder(rule)
    if rule.widen and not rule.then:
        yield "widen needs then: the group that may decide as well from then on."
    if rule.then and widen is None:
        yield "then needs widen, or remind: from when on that group may decide as well."
    steps = {"remind": remind, "widen": widen, "expires": expires}
    there = [(name, hours.length(duration)) for name, duration in steps.items() if duration]
    for (name, length), (later, limit) in pairwise(there):
        if length >= limit:
            twice = " (twice remind)" if name == "widen" and not rule.widen else ""
            yield f"{name}{twice} has to be shorter than {later}."


def _weaker(policy: Policy) -> Iterator[str]:
    """What would be easier for words that nobody vouches for."""
    differs = policy.unverified
    if differs is None:
        return
    same = differs.group in (None, policy.group)
    if same and differs.quorum is not None and differs.quorum < policy.quorum:
        yield f"quorum is {differs.quorum} there, and {policy.quorum} otherwise: it must not be easier."
    if differs.requester_may and not policy.requester_may:
        yield "requester_may is true there, and false otherwise: it must not be easier."
    if differs.group == ANYONE and policy.group != ANYONE:
        yield f"group is {ANYONE!r} there, and {policy.group} otherwise: it must not be easier."


def _standing_problems(policy: Policy, people: People) -> Iterator[str]:
    if policy.standing is None:
        return
    yield from _group_problems(policy.standing.group, people)
    if policy.standing.group == ANYONE and policy.group != ANYONE and policy.requester_may:
        yield f"group is {ANYONE!r} there, and {policy.group} otherwise: one of anybody must not do for it."
    if policy.standing.group == ANYONE and not policy.requester_may:
        yield (
            f"requester_may = false does not go with {ANYONE!r}: it is not known which addresses there are one "
            "person's."
        )


def _unknown(name: str, what: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}."
    return f"{name[:60]!r} is no {what}; {hint}"
