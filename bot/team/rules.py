"""The team's rules: `[[rule]]` in the team file, an ordered list that says who may decide which calls.

A rule matches a tool and any of its arguments; the first that matches a call holds. If it cannot be told whether an
earlier one matches (a comparison with a value that is no number, say), the strictest of all that may hold does, by
`bot.team.strictness`. A call that a rule names, by its tool or by a value of an argument, waits for an approval; a rule
of nothing but `tool = "*"` only says who decides. No rule for a call means that nobody may approve it.

What is written in the team file is checked by `bot.team.rule_checks` and `bot.team.rule_effects`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from agent.arguments import Value, values_of
from agent.steps import Tool
from bot.team.conditions import ANY, Given, all_hold, holds, is_glob
from bot.team.durations import Duration, parse_duration, plain
from store.authority.terms import Way

MEMBERS = "members"
WAYS: tuple[Way, ...] = get_args(Way)
ASKS_MAX = 20
"""The most other places at which a request is shown, for `ask` and `then` each."""
NO_TOOL = "(unknown)"
"""Stands for what a rule matches where that could not be read, so that the rest of the file is still checked."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text.strip()


def _tool(text: str) -> str:
    if text != ANY and not text.strip(ANY):
        raise ValueError(f'must be "{ANY}" for every tool, not {text[:40]!r}')
    return text


DurationText = Annotated[str, AfterValidator(_duration)]
Group = Annotated[str, Field(min_length=1)]
Quorum = Annotated[int, Field(ge=1, strict=True)]
Ways = Annotated[tuple[Way, ...], Field(min_length=1)]
Asks = Annotated[tuple[str, ...], Field(max_length=ASKS_MAX)]


class Deciders(BaseModel):
    """Who decides a call, until when, and where they are asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group
    quorum: Quorum = 1
    """How many different people must approve. One rejection is enough."""
    requester_may: bool = True
    """Whether a requester (anybody whose words led to the call) may also approve."""
    expires: DurationText = "24h"
    remind: DurationText | None = None
    widen: DurationText | None = None
    """After this time, `then` may decide as well; default: twice `remind`."""
    then: str = ""
    ask: Asks = ()
    """Where a request is shown besides the thread's own place: `slack:C0123`, `email:ops@example.com`, `members`."""
    decide_by: Ways | None = None
    """The ways by which decisions count. None: all."""

    def escalation(self) -> Escalation:
        remind = parse_duration(self.remind) if self.remind else None
        widen = None
        if self.then and self.widen:
            widen = parse_duration(self.widen)
        elif self.then and remind:
            widen = Duration(2 * remind.days, 2 * remind.seconds)
        return Escalation(remind, widen, parse_duration(self.expires))


class Escalation(NamedTuple):
    """The durations until the reminder, until `then` may decide too, and until the request expires."""

    remind: Duration | None
    widen: Duration | None
    expires: Duration


class Override(BaseModel):
    """What differs where doubtful words led to the call: never weaker than what holds otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group | None = None
    quorum: Quorum | None = None
    requester_may: bool | None = None
    expires: DurationText | None = None
    remind: DurationText | None = None
    widen: DurationText | None = None
    then: str | None = None
    ask: Asks | None = None
    decide_by: Ways | None = None


class Standing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group
    """Who may grant a standing approval."""
    max: DurationText
    """The longest grant, in elapsed time."""

    @property
    def max_length(self) -> timedelta:
        return plain(parse_duration(self.max))


class Rule(Deciders):
    """One `[[rule]]`."""

    tool: Annotated[str, Field(min_length=1), AfterValidator(_tool)]
    """The intent of a tool, or a glob."""
    when: dict[str, Given] = Field(default_factory=dict)
    """By the name of an argument: see `bot.team.conditions`. All must hold."""
    unverified: Override | None = None
    standing: Standing | None = None

    @property
    def names_calls(self) -> bool:
        """Whether the calls that it matches wait for an approval because of it."""
        return self.tool != ANY or bool(self.when)

    @property
    def every_ask(self) -> tuple[str, ...]:
        """Also where it asks for unverified requesters only, each once."""
        theirs = self.unverified.ask if self.unverified else None
        return tuple(dict.fromkeys((*self.ask, *(theirs or ()))))

    def is_about(self, intent: str) -> bool:
        """Whether it matches the tool, whatever the arguments."""
        return fnmatchcase(intent, self.tool)

    def matches(self, intent: str, arguments: Mapping[str, Value]) -> bool | None:
        """Whether it matches the call. None: it cannot be told."""
        if not self.is_about(intent):
            return False
        if is_glob(self.tool) and not self.when.keys() <= arguments.keys():
            return False  # Of the tools that the glob matches, it is about those that have these arguments.
        return all_hold(self.when, arguments)

    def unsure(self, arguments: Mapping[str, Value]) -> dict[str, Given]:
        """The conditions of which it cannot be told whether they hold."""
        return {name: given for name, given in self.when.items() if holds(given, arguments.get(name)) is None}

    def deciders(self, *, unverified: bool) -> Deciders:
        differs = self.unverified.model_dump(exclude_none=True) if unverified and self.unverified else {}
        return Deciders(**{name: getattr(self, name) for name in Deciders.model_fields} | differs)

    def as_granted(self) -> dict[str, JsonValue]:
        """The rule as stored in a standing approval, which ends when the rule changes."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class Rules:
    """The rules in the order of the team file."""

    in_order: tuple[Rule, ...] = ()

    def names(self, tool: Tool) -> bool:
        """Whether a rule names this call. If that cannot be told, it does."""
        arguments = values_of(tool)
        return any(
            rule.names_calls and rule.matches(tool.intent_name(), arguments) is not False for rule in self.in_order
        )

    def that_may_hold(self, intent: str, arguments: Mapping[str, Value]) -> list[Rule | None]:
        """The rules of which one decides this call: where there is only one, it does. None: maybe no rule does."""
        found: list[Rule | None] = []
        for rule in self.in_order:
            answer = rule.matches(intent, arguments)
            if answer is not False:
                found.append(rule)
            if answer is True:
                return found
        return [*found, None]
