"""Checks the hooks of the team file: what is unknown, out of reach, or without effect, with the nearest name.

A rule that can never hold would be a merge that nobody deploys, so it is an error like a mistyped name. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from agent.roster import default_of
from bot.team.conditions import implies
from bot.team.hooks import BODY, HookRule, HookTable, kind_of
from bot.team.names import nearest, unknown, unknown_agent
from bot.team.reach import Reach, out_of_reach
from bot.team.templates import fields_in
from channels.hooks.kind import Kind, Ready
from channels.hooks.kinds import KINDS
from store.events import CRON

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
RESERVED = (CRON, "api")
"""Names of other sources of triggers."""


def hook_problems(hooks: Mapping[str, HookTable], agents: Collection[str], reach: Reach) -> list[str]:
    return [
        f"hooks.{name}{where} in the team file{text}"
        for name, table in hooks.items()
        for where, text in _of_hook(name, table, agents, reach)
    ]


def _of_hook(name: str, table: HookTable, agents: Collection[str], reach: Reach) -> Iterator[tuple[str, str]]:
    """Where in the hook, and what is wrong there."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        taken = " or ".join(RESERVED)
        yield "", f": the name must consist of lower-case letters, digits and -, and not be {taken}."
    kind = kind_of(name, table)
    if kind is None:
        near = nearest(name, KINDS)
        which = f"did you mean {near}?" if near else f"known are {', '.join(KINDS)}."
        if table.kind:
            yield ".kind", f": {unknown(table.kind, 'kind of hook', KINDS)}"
        else:
            yield "", f" needs a kind; {which}"
        return
    given = {option for option in ("signature", "bearer", "delivery", "event", "form") if getattr(table, option)}
    for option in sorted(given - kind.options):
        yield f".{option}", f" has no effect: {kind.name} always proves and names its deliveries in the same way."
    if not given - kind.options and (why := kind.unfit(table.options())):
        yield "", f" {why}"
    if kind.is_mail and (why := out_of_reach("email:", reach)):
        yield "", f" takes mail, and {why}"
    if kind.is_mail and table.on:
        yield "", " takes mail, which goes the way of all mail, so its rules have no effect: [routes] says who answers."
    elif not table.on and not kind.wakes and not kind.is_mail:
        yield "", f" has no effect: add a rule, [[hooks.{name}.on]], that says what follows from a delivery."
    else:
        for number, rule in enumerate(table.on, 1):
            yield from (("", f", rule {number}: {text}") for text in _of_rule(kind, table, number, rule, agents, reach))


def _of_rule(
    kind: Kind, table: HookTable, number: int, rule: HookRule, agents: Collection[str], reach: Reach
) -> Iterator[str]:
    if why := _event_problem(kind, rule.event):
        yield why
        return
    ready = kind.events.get(rule.event)
    yield from _field_problems(kind, rule, ready)
    if (rule.agent or not default_of(agents)) and rule.agent not in agents:
        yield unknown_agent(rule.agent, agents)
    if rule.opens and not rule.place:
        yield "place is missing: where does the conversation open?"
    elif rule.place and (why := out_of_reach(rule.place, reach)):
        yield f"place names {rule.place!r}, and {why}"
    if rule.thread == "same" and not (ready and ready.has_subject):
        yield 'thread = "same" has no effect: this event belongs to no incident. Write a text with fields instead.'
    elif rule.shares and rule.thread != "same" and not fields_in(rule.thread):
        yield "thread has no field, so all deliveries for ever would share one thread."
    if not rule.opens and not any(_opens_for(kind, rule, other) for other in table.on):
        yield "opens = false has no effect: no rule of this hook opens a thread that it could go on with."
    before = enumerate(table.on[: number - 1], 1)
    if behind := next((n for n, other in before if not _event_problem(kind, other.event) and _covers(other, rule)), 0):
        yield f"rule {behind} before it matches whatever it matches, so it has no effect."


def _event_problem(kind: Kind, event: str) -> str:
    if not event:
        return (
            "" if not kind.events else f"event is missing; known are {', '.join(kind.events)}, and {kind.name}'s own."
        )
    if event in kind.events or kind.raw is None or event.partition(".")[0] in kind.raw:
        return ""
    return f"event: {unknown(event, f'event of {kind.name}', [*kind.events, *kind.raw], otherwise=_known(kind))}"


def _known(kind: Kind) -> str:
    return f"known are {', '.join(kind.events)}, and the names that {kind.name} gives its own."


def _field_problems(kind: Kind, rule: HookRule, ready: Ready | None) -> Iterator[str]:
    known = ready.fields if ready else ()
    used = [("when", name) for name in rule.when]
    texts = {"task": rule.task, "thread": "" if rule.thread in ("new", "same") else rule.thread}
    texts |= {f"data.{name}": text for name, text in rule.data.items()}
    used += [(where, name) for where, text in texts.items() for name in fields_in(text)]
    for where, name in dict.fromkeys(used):
        if name in known or (name.startswith(BODY) and name != BODY):
            continue
        if "." in name or not ready:
            whose = f"field of {rule.event}" if ready else "field"
            hint = "a path into what was posted begins with body., such as body.id."
            yield f"{where}: {name[:60]!r} is no {whose}; {hint}"
        else:
            otherwise = f"known are {', '.join(known)}, and body. with a path."
            yield f"{where}: {unknown(name, f'field of {rule.event}', known, otherwise=otherwise)}"
    names = {name for _, name in used}
    for name in rule.facts:
        if not name.startswith(BODY):
            yield f"facts: {name[:60]!r} is no path into the body: write body. and the path."
        elif name not in names:
            yield f"facts: {name[:60]!r} has no effect: neither task nor data holds it."
    for name in sorted({"say", "ask", "opening", "task"} & rule.data.keys()):
        yield f"data.{name}: that name is taken."


def _opens_for(kind: Kind, rule: HookRule, other: HookRule) -> bool:
    return other.opens and _thread(kind, other) == _thread(kind, rule) != "new"


def _thread(kind: Kind, rule: HookRule) -> str:
    ready = kind.events.get(rule.event)
    return rule.thread or ("same" if ready and ready.has_subject else "new")


def _covers(wide: HookRule, narrow: HookRule) -> bool:
    """Whether the first certainly matches whatever the second does."""
    of_event = wide.event in ("", narrow.event, narrow.event.partition(".")[0])
    given = narrow.when
    return of_event and all(name in given and implies(given[name], one) for name, one in wide.when.items())
