"""Checks the team's rules: unknown names, rules that nobody can meet, calls that nobody may approve.

Problems are reported at startup, before a call is refused because of them. `bot.team.rule_effects` finds the rules that
match nothing. It judges no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from agent.definition import Agent
from agent.steps import Tool
from bot.team.decision_ways import ways_problems
from bot.team.hours import Hours
from bot.team.names import nearest, unknown
from bot.team.people import People
from bot.team.policies import Policies, places_of
from bot.team.reach import Reach, out_of_reach
from bot.team.rule_effects import Case, Tools, rules_about, tools_of, uncovered, without_effect
from bot.team.rules import ASKS_MAX, MEMBERS, Deciders, Rule
from bot.team.strictness import looser
from bot.team.tokens import Token
from channels import places
from channels.places import Approvals, NoPlace
from store.authority.terms import ANYONE, TEAM

EXAMPLES_MAX = 3


def where_in_file(rules: Sequence[Rule], index: int) -> str:
    """How people find it in the team file."""
    return f"rule {index + 1} ({rules[index].tool}) in the team file"


def rule_warnings(
    roster: Mapping[str, Agent], policies: Policies, may_write: Callable[[str], bool] | None = None
) -> list[str]:
    """Warnings: calls that need approval but will be refused, and people who are asked but cannot decide.

    `may_write`: whether mail from an address is accepted; None: mail is not set up.
    """
    warnings = []
    calls = dict(_nobody_may_approve(roster, policies))
    if calls:
        them, tool = "them" if len(calls) > 1 else "it", next(iter(calls))
        warnings.append(
            f"Nobody may approve {', '.join(calls.values())}: bot.toml has no rule for {them}. Add a [[rule]] with "
            f'tool = "{tool}" and a group, or one with tool = "*" as the last.'
        )
    for index, rule in enumerate(policies.rules.in_order):
        if alone := policies.left_alone(rule.deciders(unverified=False)):
            warnings.append(
                f"{where_in_file(policies.rules.in_order, index)}: nobody may approve what {' or '.join(alone)} asks "
                f"for, because requester_may = false and it takes {rule.quorum} of the others. Name more people."
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


def _nobody_may_approve(roster: Mapping[str, Agent], policies: Policies) -> Iterator[tuple[str, str]]:
    """The intents of such calls, each with words that say which of its calls."""
    rules = policies.rules.in_order
    for intent, classes in tools_of(roster).items():
        for tool in classes:
            if not tool.acts:
                continue
            cases = uncovered(rules, tool)
            concerned = [case for case in cases if may_need_approval(tool, case)]
            if concerned and rules_about(rules, tool):
                yield intent, f"{intent} ({_in_words(concerned)})"
            elif concerned:
                yield intent, intent


def _in_words(cases: Sequence[Case]) -> str:
    words = [
        ", ".join(f"no {name}" if value is None else f"{name} {value}" for name, value in case.items())
        for case in cases[:EXAMPLES_MAX]
    ]
    if not any(words):
        return "some of its calls"
    more = f" and {len(cases) - EXAMPLES_MAX} more" if len(cases) > EXAMPLES_MAX else ""
    return f"{'; '.join(words)}{more}"


def may_need_approval(tool: type[Tool], arguments: Case) -> bool:
    """Whether such calls of a tool may wait for an approval because the tool says so."""
    given: dict[str, Any] = dict(arguments)
    try:
        return tool.model_construct(**given).needs_approval()
    except Exception:
        # It reads an argument that is missing here, so it may say yes for some calls.
        return True


def rule_problems(
    rules: Sequence[Rule],
    people: People,
    hours: Hours,
    *,
    tools: Tools | None,
    reach: Reach,
    tokens: Mapping[str, Token] = MappingProxyType({}),
) -> list[str]:
    """Rules without effect, unknown names, and rules that nobody can meet. `tools` None: the tools are not known."""
    problems: list[str] = []
    for index, rule in enumerate(rules):
        found = [("", text) for text in (without_effect(rules, index, tools) if tools is not None else ())]
        for part, unverified in (("", False), *([(".unverified", True)] if rule.unverified else [])):
            deciders = rule.deciders(unverified=unverified)
            of_it = [*_deciders_problems(deciders, people, hours, reach)]
            of_it += ways_problems(deciders, people, tokens, reach)
            found += ((part, text) for text in of_it if ("", text) not in found)
        found += ((".unverified", text) for text in _weaker(rule, people, hours))
        found += ((".standing", text) for text in _standing_problems(rule, people))
        found += ((part, text) for part, text in _idle(rule, people) if ("", text) not in found)
        where = where_in_file(rules, index)
        problems += (f"{where}{f', {part[1:]}' if part else ''}: {text}" for part, text in found)
    return problems


def _deciders_problems(rule: Deciders, people: People, hours: Hours, reach: Reach) -> Iterator[str]:
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
    meant = [meant_group(group, people) for group in groups]
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


def meant_group(group: str, people: People) -> str:
    """The group, or for an unknown one the most similar."""
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


def _idle(rule: Rule, people: People) -> Iterator[tuple[str, str]]:
    """Parts of the rule that change nothing."""
    if "when" in rule.model_fields_set and not rule.when:
        yield "", "when is empty, so it asks for nothing: leave it out."
    base, theirs = rule.deciders(unverified=False), rule.deciders(unverified=True)
    differs = rule.unverified.model_dump(exclude_none=True) if rule.unverified else {}
    if differs and theirs == base:
        yield ".unverified", "it changes nothing."
    for part, deciders in (("", base), *([(".unverified", theirs)] if differs.keys() & {"then", "ask"} else [])):
        then = {*people.in_group(deciders.then)} if deciders.then != ANYONE else {ANYONE}
        if deciders.then and (deciders.group == ANYONE or (then and then <= {*people.in_group(deciders.group)})):
            yield part, f"then: everybody in {deciders.then} may decide from the start, as {deciders.group}."
        for ask in sorted({ask for ask in deciders.ask if deciders.ask.count(ask) > 1}):
            yield part, f"ask names {ask!r} twice."
    if rule.standing and rule.decide_by and "terminal" not in rule.decide_by:
        yield ".standing", "it is granted by a command at a terminal, and decide_by does not name terminal."


def _escalation_problems(rule: Deciders, hours: Hours) -> Iterator[str]:
    remind, widen, expires = rule.escalation()
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


def _weaker(rule: Rule, people: People, hours: Hours) -> Iterator[str]:
    """Parts that would let more happen where doubtful words led to the call."""
    if rule.unverified is None:
        return
    otherwise = rule.deciders(unverified=False)
    # For an unknown group, compare with the most similar one.
    meant = {name: meant_group(group, people) for name in ("group", "then") if (group := getattr(otherwise, name))}
    for part in looser(rule.deciders(unverified=True), otherwise.model_copy(update=meant), people, hours):
        yield f"{part.what}: it must not be weaker. It takes {part.takes}."


def _standing_problems(rule: Rule, people: People) -> Iterator[str]:
    if rule.standing is None:
        return
    yield from group_problems(rule.standing.group, people)
    if rule.standing.group == ANYONE and rule.group != ANYONE and rule.requester_may:
        yield f"group is {ANYONE!r}, but {rule.group} otherwise: approving in advance must not be easier."
    if rule.standing.group == ANYONE and not rule.requester_may:
        yield (
            f"requester_may = false does not work with {ANYONE!r}: it is unknown which addresses belong to the same "
            "person."
        )
