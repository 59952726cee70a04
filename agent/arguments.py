"""What the arguments of a tool can be: the kind of each, and its values if its class lists them.

The team's rules are checked against it and compare calls by it, and the program's log shows arguments whose values are
listed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue

from agent.steps import Tool

Kind = Literal["text", "number", "truth", "other"]
"""`truth`: true or false. `other`: a list, a table, or of several kinds."""
Value = JsonValue | Decimal
"""Of an argument, as rules compare it. JSON has decimal numbers as text, which is no number to compare."""


@dataclass(frozen=True, slots=True)
class Argument:
    kind: Kind
    values: tuple[str | bool | int, ...] | None = None
    """The only possible ones; None: any of its kind."""
    may_be_missing: bool = False


_NOTHING = Argument("other", may_be_missing=True)


def arguments_of(tool: type[Tool]) -> dict[str, Argument]:
    """By name, without the intent."""
    return {name: _argument(field.annotation) for name, field in tool.model_fields.items() if name != "intent"}


def values_of(tool: Tool) -> dict[str, Value]:
    """The arguments of a call, for rules."""
    arguments = tool.arguments
    values = {name: getattr(tool, name) for name in arguments}
    return {**arguments, **{name: value for name, value in values.items() if isinstance(value, Decimal)}}


def listed_values(tool: type[Tool], arguments: Mapping[str, JsonValue]) -> Iterator[str]:
    """The values of a call's arguments that are from a list: names that the team or the code chose, never free text."""
    for name, values in _listed(tool):
        value = arguments.get(name)
        if isinstance(value, str) and value in values:
            yield value


@lru_cache(maxsize=512)
def _listed(tool: type[Tool]) -> tuple[tuple[str, tuple[str | bool | int, ...]], ...]:
    """Cached, because the program's log asks it for each event."""
    return tuple((name, each.values) for name, each in arguments_of(tool).items() if each.values is not None)


def _argument(annotation: Any) -> Argument:
    parts = list(_parts(annotation))
    may_be_missing = any(argument.may_be_missing for argument in parts)
    there = [argument for argument in parts if not argument.may_be_missing]
    if len({argument.kind for argument in there}) != 1:
        return Argument("other", may_be_missing=may_be_missing)
    listed = [argument.values for argument in there]
    values = tuple(dict.fromkeys(value for values in listed for value in values or ()))
    return Argument(there[0].kind, None if None in listed else values, may_be_missing)


def _parts(annotation: Any) -> Iterator[Argument]:
    """Each alternative of a union."""
    annotation = getattr(annotation, "__value__", annotation)  # of a named type
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    elif origin is Literal:
        for value in get_args(annotation):
            yield _NOTHING if value is None else Argument(_kind(type(value)), (value,))
    else:
        yield _NOTHING if annotation is NoneType else _of_class(annotation)


def _of_class(annotation: Any) -> Argument:
    if not isinstance(annotation, type):
        return Argument("other")
    if issubclass(annotation, Enum):
        values = [member.value for member in annotation]
        kinds = {_kind(type(value)) for value in values}
        return Argument(kinds.pop(), tuple(values)) if len(kinds) == 1 else Argument("other")
    return Argument("truth", (True, False)) if annotation is bool else Argument(_kind(annotation))


def _kind(cls: type) -> Kind:
    if issubclass(cls, bool):
        return "truth"
    if issubclass(cls, str):
        return "text"
    return "number" if issubclass(cls, int | float | Decimal) else "other"
