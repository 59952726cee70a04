"""Checks the team's policies: unknown names, rules that nobody can meet, calls that nobody may approve.

Problems are reported at startup, before a call is refused because of them. It judges no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from agent.definition import Agent
from agent.steps import Tool
from bot.team.hours import Hours
from bot.team.names import nearest, unknown
from bot.team.people import People
from bot.team.policies import ANY, ASKS_MAX, MEMBERS, Policies, Policy, PolicyTables, Rule, escalation_of, places_of
from bot.team.reach import Reach, out_of_reach
from channels import places
from channels.places import Approvals, NoPlace
from store.authority.terms import ANYONE, TEAM


def tools_of(roster: Mapping[str, Agent]) -> dict[str, type[Tool]]:
    """Every tool of every agent, by its intent."""
    return {cls.intent_name(): cls for agent in roster.values() for cls in agent.tools}


def scopes_of(tool: type[Tool]) -> tuple[str, ...] | None:
    """The possible scopes of its calls; None: any text."""
    if not tool.scoped_by:
        return ("",)
    return tool.values_of(tool.scoped_by)


def policy_warnings(
    roster: Mapping[str, Agent], policies: Policies, may_write: Callable[[str], bool] | None = None
) -> list[str]:
    """Warnings: calls that need approval but will be refused, and people who are asked but cannot decide.

    `may_write`: whether mail from an address is accepted; None: mail is not set up.
    """
    calls: dict[str, str] = {}
    for intent, tool in tools_of(roster).items():
        scopes = scopes_of(tool)
        for scope in (ANY,) if scopes is None else scopes:
            if may_need_approval(tool, scope) and policies.policy(intent, scope) is None:
                where = f" in {scope}" if scope and scope != ANY else ""
                calls[intent + where] = f"[policy.{intent}.{scope}]" if where else f'[policy.{intent}."{ANY}"]'
    warnings = []
    if calls:
        them, (table, *_) = "them" if len(calls) > 1 else "it", calls.values()
        warnings.append(
            f"Nobody may approve {', '.join(calls)}: bot.toml has no policy for {them}, such as {table} or "
            f'[policy."{ANY}"."{ANY}"].'
        )
    warnings += (
        f"{address} is asked by mail but belongs to nobody in [people], so it cannot decide."
        for address in policies.unknown_mails()
    )
    if may_write:
        warnings += (
            f"{address} of [people] is not in EMAIL_ALLOWED_SENDERS, so it cannot decide by mail."
            for address in policies.mails()
            if not may_write(address)
        )
    return warnings


def may_need_approval(tool: type[Tool], scope: str) -> bool:
    arguments: dict[str, Any] = {tool.scoped_by: scope} if tool.scoped_by else {}
    try:
        return tool.model_construct(**arguments).needs_approval()
    except Exception:
        # It reads an argument that is missing here, so it may say yes for some calls.
        return True


def policy_problems(
    table: PolicyTables,
    people: People,
    hours: Hours,
    *,
    tools: Mapping[str, type[Tool]] | None,
    reach: Reach,
) -> list[str]:
    """Unknown names, and rules that nobody can meet. `tools` None: the tools are not known."""
    problems = []
    for tool, scopes in table.items():
        if tools is not None and tool != ANY and tool not in tools:
            problems.append(f"policy.{tool} in the team file: {unknown(tool, 'tool', tools)}")
        for scope, policy in scopes.items():
            found = [("", text) for text in _scope_problems(tool, scope, tools or {})]
            found += (("", text) for text in _rule_problems(policy.rule(unverified=False), people, hours, reach))
            if policy.unverified:
                theirs = _rule_problems(policy.rule(unverified=True), people, hours, reach)
                found += ((".unverified", text) for text in theirs if ("", text) not in found)
            found += ((".unverified", text) for text in _weaker(policy))
            found += ((".standing", text) for text in _standing_problems(policy, people))
            problems += (f"policy.{tool}.{scope}{part} in the team file: {text}" for part, text in found)
    return problems


def _scope_problems(tool: str, scope: str, tools: Mapping[str, type[Tool]]) -> Iterator[str]:
    concerned = tools.values() if tool == ANY else [tools[tool]] if tool in tools else []
    known = [scopes_of(cls) for cls in concerned]
    if scope == ANY or not known or None in known:
        return
    names = dict.fromkeys(name for scopes in known for name in scopes or () if name)
    if not names:
        name = f'"{ANY}"' if tool == ANY else tool
        yield f'its calls have no scope; write [policy.{name}."{ANY}"].'
    elif scope not in names:
        yield unknown(scope, "scope of it", names)


def _rule_problems(rule: Rule, people: People, hours: Hours, reach: Reach) -> Iterator[str]:
    groups = [group for group in (rule.group, rule.then) if group]
    unknown = [text for group in groups for text in group_problems(group, people)]
    yield from unknown
    if ANYONE in groups and (rule.quorum > 1 or not rule.requester_may):
        wants = "quorum" if rule.quorum > 1 else "requester_may"
        yield (
            f"{wants} does not work with {ANYONE!r}: it is unknown which addresses belong to the same person. "
            f"Use {TEAM!r} or a group of [people]."
        )
    # For an unknown group, count the members of the most similar one.
    meant = [_meant(group, people) for group in groups]
    may = {key for group in meant for key in people.in_group(group)}
    if ANYONE not in meant and rule.quorum > len(may) and people.members:
        are = "1 person is" if len(may) == 1 else f"{len(may)} people are"
        yield f"quorum is {rule.quorum}, but {are} in {' or '.join(dict.fromkeys(meant))}."
    yield from _escalation_problems(rule, hours)
    for text in rule.ask:
        yield from _member_problems(rule.group, people, reach) if text == MEMBERS else _ask_problems(text, reach)
    if rule.then and len(people.in_group(rule.then)) > ASKS_MAX:
        yield f"then: {rule.then} has more than {ASKS_MAX} people; at most {ASKS_MAX} can be asked."


def _ask_problems(text: str, reach: Reach) -> Iterator[str]:
    try:
        places.parse(text, Approvals())
    except NoPlace:
        yield f"ask takes {places.forms(Approvals(), MEMBERS)}, not {text[:60]!r}."
    else:
        if why := out_of_reach(text, reach):
            yield f"ask names {text!r}, and {why}"


def _meant(group: str, people: People) -> str:
    known = (ANYONE, TEAM, *sorted(people.group_names()))
    return group if group in known else nearest(group, known) or TEAM


def group_problems(group: str, people: People) -> Iterator[str]:
    names = people.group_names()
    if group not in (ANYONE, TEAM, *names):
        yield unknown(group, "group that somebody is in", [*sorted(names), TEAM, ANYONE])
    elif group == TEAM and not people.members:
        yield f"{TEAM!r} means everybody in [people], which is empty."


def _member_problems(group: str, people: People, reach: Reach) -> Iterator[str]:
    if group == ANYONE:
        yield f"ask: {ANYONE!r} has no known {MEMBERS}."
    elif len(people.in_group(group)) > ASKS_MAX:
        yield f"ask: {group} has more than {ASKS_MAX} people; at most {ASKS_MAX} can be asked. Name a channel."
    elif people.in_group(group) and not list(places_of(people, people.in_group(group), reach)):
        yield f"ask: nobody in {group} can be reached: they have no slack or emails where that channel is set up."


def _escalation_problems(rule: Rule, hours: Hours) -> Iterator[str]:
    remind, widen, expires = escalation_of(rule)
    if rule.widen and not rule.then:
        yield "widen needs then, the group that may decide as well after that time."
    if rule.then and widen is None:
        yield "then needs widen or remind, which say when that group may decide as well."
    steps = {"remind": remind, "widen": widen, "expires": expires}
    there = [(name, hours.length(duration)) for name, duration in steps.items() if duration]
    for (name, length), (later, limit) in pairwise(there):
        if length >= limit:
            twice = " (twice remind)" if name == "widen" and not rule.widen else ""
            yield f"{name}{twice} must be shorter than {later}."


def _weaker(policy: Policy) -> Iterator[str]:
    """Rules that would be weaker for unverified requesters."""
    differs = policy.unverified
    if differs is None:
        return
    same = differs.group in (None, policy.group)
    if same and differs.quorum is not None and differs.quorum < policy.quorum:
        yield f"quorum is {differs.quorum}, but {policy.quorum} otherwise: it must not be weaker."
    if differs.requester_may and not policy.requester_may:
        yield "requester_may is true, but false otherwise: it must not be weaker."
    if differs.group == ANYONE and policy.group != ANYONE:
        yield f"group is {ANYONE!r}, but {policy.group} otherwise: it must not be weaker."


def _standing_problems(policy: Policy, people: People) -> Iterator[str]:
    if policy.standing is None:
        return
    yield from group_problems(policy.standing.group, people)
    if policy.standing.group == ANYONE and policy.group != ANYONE and policy.requester_may:
        yield f"group is {ANYONE!r}, but {policy.group} otherwise: approving in advance must not be easier."
    if policy.standing.group == ANYONE and not policy.requester_may:
        yield (
            f"requester_may = false does not work with {ANYONE!r}: it is unknown which addresses belong to the same "
            "person."
        )
