"""Finds rules that can never decide anything: unknown names, impossible values, and rules behind others.

Such a rule is refused at start, because somebody relies on it. It knows the tools of all agents by their classes, and
judges no call. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from pydantic import JsonValue

from agent.arguments import Argument, arguments_of
from agent.definition import Agent
from agent.steps import Tool
from bot.team.conditions import Given, comparison, excludes, holds, implies
from bot.team.names import unknown
from bot.team.rules import NO_TOOL, Rule

CASES_MAX = 5_000
"""With more combinations of listed values, a rule behind several others together is not found out."""

Tools = Mapping[str, Sequence[type[Tool]]]
"""By intent. Two agents may have different tools of the same intent."""
Case = dict[str, JsonValue]
"""A value for each argument whose values are listed."""


def tools_of(roster: Mapping[str, Agent]) -> dict[str, list[type[Tool]]]:
    """Every tool of every agent."""
    found: dict[str, list[type[Tool]]] = {}
    for agent in roster.values():
        for tool in agent.tools:
            classes = found.setdefault(tool.intent_name(), [])
            if tool not in classes:
                classes.append(tool)
    return found


def without_effect(rules: Sequence[Rule], index: int, tools: Tools) -> list[str]:
    """Why this rule can never decide a call; empty: it can."""
    rule = rules[index]
    if rule.tool == NO_TOOL:
        return []
    matched = [tool for intent, classes in tools.items() if rule.is_about(intent) for tool in classes]
    acting = [tool for tool in matched if tool.acts]
    if not acting:
        return _no_tool(rule, matched, tools)
    having = [tool for tool in acting if rule.when.keys() <= arguments_of(tool).keys()]
    if not having:
        return _no_argument(rule, acting)
    wrong = [impossible(rule.when, tool) for tool in having]
    possible = [tool for tool, problems in zip(having, wrong, strict=True) if not problems]
    if not possible:
        return wrong[0]
    # A last rule for every tool is also for those that come later: only another one like it leaves it nothing.
    earlier = {n: one for n, one in enumerate(rules[:index], 1) if rule.names_calls or not one.names_calls}
    if earlier and all(_is_covered(rule, tool, [*earlier.values()]) for tool in possible):
        alone = (n for n, one in earlier.items() if all(_is_covered(rule, tool, [one]) for tool in possible))
        first = next(alone, 0)
        before = f"rule {first} ({earlier[first].tool}) matches" if first else "the rules before it match"
        return [f"it never decides anything, because {before} all of its calls first. Put it before, or delete it."]
    return []


def rules_about(rules: Sequence[Rule], tool: type[Tool]) -> list[Rule]:
    """The rules that may match calls of this tool."""
    arguments = arguments_of(tool).keys()
    return [rule for rule in rules if rule.is_about(tool.intent_name()) and rule.when.keys() <= arguments]


def uncovered(rules: Sequence[Rule], tool: type[Tool]) -> list[Case]:
    """The listed values of the calls that maybe no rule matches. Empty: there are none."""
    about = rules_about(rules, tool)
    names = {name for rule in about for name in rule.when}
    return [case for case in _cases(tool, names, {}) if not any(_covers(rule, case, {}) for rule in about)]


def may_hold(rules: Sequence[Rule], tool: type[Tool], when: Mapping[str, Given]) -> list[Rule | None]:
    """The rules that may hold for calls of this tool for which `when` holds. None among them: maybe no rule does."""
    about = rules_about(rules, tool)
    found: list[Rule | None] = []
    for case in _cases(tool, {*when, *(name for rule in about for name in rule.when)}, when) or [{}]:
        for rule in about:
            if _covers(rule, case, when):
                found.append(rule)
                break
            if not _is_apart(rule, case, when):
                found.append(rule)
        else:
            found.append(None)
    return [rule for number, rule in enumerate(found) if rule not in found[:number]]


def _is_apart(rule: Rule, case: Case, when: Mapping[str, Given]) -> bool:
    """Whether the rule certainly matches no call with these listed values for which `when` holds."""
    return any(
        holds(given, case[name]) is False if name in case else name in when and excludes(when[name], given)
        for name, given in rule.when.items()
    )


def _no_tool(rule: Rule, matched: Sequence[type[Tool]], tools: Tools) -> list[str]:
    acting = [intent for intent, classes in tools.items() if any(tool.acts for tool in classes)]
    there = f"those that act are {', '.join(acting)}." if acting else "no tool here acts."
    if matched and rule.names_calls:
        return [f"{matched[0].intent_name()} only looks, so its calls never wait for anybody; {there}"]
    if not rule.names_calls:
        return []  # It says who decides whatever comes.
    return [unknown(rule.tool, "tool", acting, otherwise="" if len(acting) <= 10 else there)]


def _no_argument(rule: Rule, tools: Sequence[type[Tool]]) -> list[str]:
    known = list(dict.fromkeys(name for tool in tools for name in arguments_of(tool)))
    whose = f"argument of {rule.tool}" if len(tools) == 1 else "argument of any tool that it matches"
    missing = [unknown(name, whose, known) for name in rule.when if name not in known]
    return missing or [f"no tool that it matches has all of these arguments: {', '.join(rule.when)}."]


def impossible(when: Mapping[str, Given], tool: type[Tool]) -> list[str]:
    """The conditions that no call of this tool can meet. It has all of these arguments."""
    problems, arguments = [], arguments_of(tool)
    for name, given in when.items():
        argument, what = arguments[name], f"{name} of {tool.intent_name()}"
        if wrong := _wrong_kind(given, argument):
            problems.append(f"{what} {wrong}")
        elif argument.values is not None and not any(holds(given, value) for value in argument.values):
            problems.append(unknown(str(given), what, [str(value) for value in argument.values]))
    return problems


def _wrong_kind(given: Given, argument: Argument) -> str:
    """Why the condition can never hold for such an argument; empty: it can."""
    match argument.kind:
        case "other":
            return "is a list, a table or of several kinds, and rules match texts, numbers, true and false only."
        case "truth":
            return "" if isinstance(given, bool) else f"is true or false, without quotation marks, not {given!r}."
        case "number":
            is_number = comparison(given) is not None or (
                isinstance(given, int | float) and not isinstance(given, bool)
            )
            return "" if is_number else f'is a number: write 3, or a comparison such as "<=3", not {given!r}.'
        case "text":
            if isinstance(given, str) and comparison(given) is None:
                return ""
            return f'is text, which is matched exactly or as a glob such as "v1.*", not compared with {given!r}.'


def _is_covered(rule: Rule, tool: type[Tool], earlier: Sequence[Rule]) -> bool:
    """Whether each call of the tool that this rule matches is certainly matched by one of these."""
    about = rules_about(earlier, tool)
    names = {name for one in (rule, *about) for name in one.when}
    cases = _cases(tool, names, rule.when)
    if not cases:  # Too many.
        return any(_covers(one, {}, rule.when) for one in about)
    return all(any(_covers(one, case, rule.when) for one in about) for case in cases)


def _covers(rule: Rule, case: Case, when: Mapping[str, Given]) -> bool:
    """Whether the rule certainly matches the calls with these listed values for which `when` holds."""
    return all(
        holds(given, case[name]) is True if name in case else name in when and implies(when[name], given)
        for name, given in rule.when.items()
    )


def _cases(tool: type[Tool], names: set[str], when: Mapping[str, Given]) -> list[Case]:
    """The combinations of the listed values of these arguments for which `when` holds. Empty: there are too many."""
    listed: dict[str, list[JsonValue]] = {}
    for name, argument in arguments_of(tool).items():
        if name in names and argument.values is not None:
            values: list[JsonValue] = [*argument.values, *([None] if argument.may_be_missing else [])]
            listed[name] = [value for value in values if name not in when or holds(when[name], value)]
    if math.prod(len(values) for values in listed.values()) > CASES_MAX:
        return []
    return [dict(zip(listed, values, strict=True)) for values in product(*listed.values())]
