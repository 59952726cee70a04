"""Says which rule of a hook holds for a delivery, and what its trigger says. Pure.

What people wrote inside a delivery is named (`TriggerReceived.third_party`), so that it leads to nothing without an
approval and passes for nobody's request. What a rule asks for and is not there does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from bot.team.conditions import holds
from bot.team.hooks import BODY, HookRule, HookTable
from bot.team.templates import fields_in, filled
from channels.hooks.kind import Delivery, Kind, Ready
from channels.hooks.payload import ABSENT, TEXT_CHARS_MAX, value_at
from store.events import TriggerReceived
from store.text import one_line

SHOWN_CHARS_MAX = 60
WHY_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    rule: HookRule | None
    number: int = 0
    """Of the rule, from 1."""
    why: str = ""
    """Why none holds, in words."""


def rule_for(table: HookTable, delivery: Delivery) -> Verdict:
    """The first that matches it."""
    reasons = []
    for number, rule in enumerate(table.on, 1):
        if not _is_about(rule, delivery):
            continue
        why = _differs(rule, delivery)
        if not why:
            return Verdict(rule, number)
        reasons.append(f"rule {number} {why}")
    if not table.on:
        return Verdict(None, why="the hook has no rules, and nothing waits for it")
    why = "; ".join(reasons) or f"no rule is about {one_line(delivery.event, SHOWN_CHARS_MAX)}"
    return Verdict(None, why=one_line(why, WHY_CHARS_MAX))


def trigger_of(kind: Kind, source: str, rule: HookRule, delivery: Delivery, at: datetime) -> TriggerReceived:
    """Its id is the delivery's."""
    ready = _ready(kind, rule, delivery)
    data: dict[str, JsonValue] = {}
    stranger: dict[str, None] = {}
    if ready and delivery.ready:
        fields = delivery.ready.fields
        data |= {name: fields[name] for name in (*ready.facts, *ready.shown) if name in fields}
        stranger |= dict.fromkeys(name for name in ready.shown if name in fields)
    texts = {**rule.data, **({"task": rule.task} if rule.task else {})}
    for name, text in texts.items():
        data[name] = _filled(text, rule, delivery)
        stranger.pop(name, None)
        if any(_is_strangers(one, ready, rule, delivery) for one in fields_in(text)):
            stranger[name] = None
    name = rule.name or rule.event or delivery.event
    return TriggerReceived(id=delivery.id, at=at, source=source, name=name, data=data, third_party=tuple(stranger))


def thread_key(rule: HookRule, delivery: Delivery) -> str:
    """What the deliveries that share a thread have in common, by the rule's own text."""
    return filled(rule.thread, lambda name: _value(name, rule, delivery))


def _is_about(rule: HookRule, delivery: Delivery) -> bool:
    own = (delivery.event, delivery.event.partition(".")[0])
    return rule.event in ("", *own) or bool(delivery.ready and rule.event == delivery.ready.event)


def _differs(rule: HookRule, delivery: Delivery) -> str:
    """Which condition does not hold, in words that follow the rule; empty: all do."""
    for name, given in rule.when.items():
        value = _value(name, rule, delivery)
        found = None if value is None or isinstance(value, list | dict) else holds(given, value)
        if found:
            continue
        is_there = "is not there" if value is None else f"is {one_line(str(value), SHOWN_CHARS_MAX)}"
        return f"asks for {name} = {one_line(str(given), SHOWN_CHARS_MAX)}, and it {is_there}"
    return ""


def _ready(kind: Kind, rule: HookRule, delivery: Delivery) -> Ready | None:
    """If the rule is about the ready-made event of the delivery."""
    is_it = delivery.ready is not None and rule.event == delivery.ready.event
    return kind.events[rule.event] if is_it else None


def _value(name: str, rule: HookRule, delivery: Delivery) -> JsonValue:
    """None: it is not there."""
    if name.startswith(BODY):
        found = value_at(delivery.body, name.removeprefix(BODY))
        return None if found is ABSENT else found  # type: ignore[return-value]
    if delivery.ready and rule.event == delivery.ready.event:
        return delivery.ready.fields.get(name)
    return None


def _filled(text: str, rule: HookRule, delivery: Delivery) -> JsonValue:
    """A field alone keeps its kind: a number stays one."""
    fields = fields_in(text)
    if len(fields) == 1 and text.strip() == f"{{{fields[0]}}}":
        value = _value(fields[0], rule, delivery)
        if isinstance(value, int | float | bool):
            return value
        if isinstance(value, str):
            return value[:TEXT_CHARS_MAX]
    return filled(text, lambda name: _value(name, rule, delivery))


def _is_strangers(name: str, ready: Ready | None, rule: HookRule, delivery: Delivery) -> bool:
    """Whether people may have written it."""
    if name.startswith(BODY):
        return name not in rule.facts and not isinstance(_value(name, rule, delivery), int | float | None)
    return ready is None or name not in ready.facts
