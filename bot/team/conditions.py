"""The conditions of a rule: what it asks of one argument of a call.

    when = { component = "pay*", dry_run = false, replicas = 3, amount = "<=10000" }

Text is compared exactly or as a glob (`*`, `?`, `[abc]`), numbers and truth values exactly, and `<`, `<=`, `>` and `>=`
compare numbers. Sometimes nobody can tell whether a condition holds: of a value that is missing, of another kind (a
list, a number in text), or written in another way (`Prod` for `prod`). That is an answer of its own, never a yes and
never a no. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BeforeValidator

from agent.arguments import Kind, Value
from bot.team.lookalikes import may_be_meant

FLOAT_MAX = 10**15
"""Beyond it, floating point numbers are no longer exact to the unit, so they are not compared."""
ANY = "*"

_COMPARISON = re.compile(r"(<=|>=|<|>)\s*(.*)", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_WILDCARD = re.compile(r"[*?\[]")


def _given(value: object) -> object:
    if isinstance(value, str):
        if not value.strip("*"):
            raise ValueError("restricts nothing: leave it out, or name a value")
        if "[!" in value:
            raise ValueError(f"must say which values it is about, not which it is not about, as {value[:40]!r} does")
        if (found := _COMPARISON.fullmatch(value)) and not _NUMBER.fullmatch(found[2]):
            raise ValueError(f'must compare with a number, such as "<=10000", not {value[:40]!r}')
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if number_of(value) is None:
            raise ValueError("must be a number of at most 15 digits")
    elif not isinstance(value, bool):
        raise ValueError('must be a text, a number, true or false, such as "prod-*", 3 or "<=10000"')
    return value


Given = Annotated[str | bool | int | float, BeforeValidator(_given)]
"""One condition, as in the team file."""


def as_condition(text: str, kind: Kind) -> Given:
    """A condition that was written as text, for an argument of this kind. Raises ValueError."""
    given: str | bool | int | float = text
    if kind == "truth" and text in ("true", "false"):
        given = text == "true"
    elif kind == "number" and _NUMBER.fullmatch(text):
        given = float(text) if "." in text else int(text)
    _given(given)
    return given


def is_glob(text: str) -> bool:
    return _WILDCARD.search(text) is not None


def comparison(given: Given) -> tuple[str, Decimal] | None:
    """The operator and the number; None: the condition is no comparison."""
    found = _COMPARISON.fullmatch(given) if isinstance(given, str) else None
    return (found[1], Decimal(found[2])) if found else None


def number_of(value: Value) -> Decimal | None:
    """The value as an exact number; None: it is none, not finite, or no longer exact. Text is no number."""
    match value:
        case bool():
            return None
        case Decimal():
            return value if value.is_finite() else None
        case int():
            return Decimal(value)
        case float():
            return Decimal(repr(value)) if math.isfinite(value) and abs(value) <= FLOAT_MAX else None
        case _:
            return None


def holds(given: Given, value: Value) -> bool | None:
    """Whether the condition holds for the value. None: it cannot be told."""
    if isinstance(given, bool):
        return value is given if isinstance(value, bool) else None
    compared = comparison(given)
    if compared or not isinstance(given, str):
        number = number_of(value)
        if number is None:
            return None
        return _compare(number, *compared) if compared else number == number_of(given)
    if not isinstance(value, str):
        return None
    if fnmatchcase(value, given) if is_glob(given) else value == given:
        return True
    return None if may_be_meant(given, value, is_glob=is_glob(given)) else False


def all_hold(when: Mapping[str, Given], arguments: Mapping[str, Value]) -> bool | None:
    """Whether all conditions hold for the arguments of a call. One that certainly does not decides."""
    found = [holds(given, arguments.get(name)) for name, given in when.items()]
    return False if False in found else None if None in found else True


def implies(narrow: Given, wide: Given) -> bool:
    """Whether `wide` certainly holds for whatever `narrow` holds for. False: nobody can be sure."""
    if type(narrow) is type(wide) and narrow == wide:
        return True
    inner, outer = comparison(narrow), comparison(wide)
    if inner and outer:
        (operator, number), (limit, bound) = inner, outer
        beyond = number < bound if limit[0] == "<" else number > bound
        as_strict = number == bound and not (len(limit) == 1 and len(operator) == 2)
        return operator[0] == limit[0] and (beyond or as_strict)
    if inner:
        return False
    if isinstance(narrow, str) and is_glob(narrow):
        return isinstance(wide, str) and not outer and _glob_within(narrow, wide)
    return holds(wide, narrow) is True


def excludes(one: Given, other: Given) -> bool:
    """Whether both certainly never hold for the same value. False: nobody can be sure."""
    for exact, given in ((one, other), (other, one)):
        if comparison(exact) is None and not (isinstance(exact, str) and is_glob(exact)):
            return holds(given, exact) is False
    left, right = comparison(one), comparison(other)
    if left and right:
        (low, high) = (left, right) if left[0][0] == ">" else (right, left)
        apart = low[1] > high[1] or (low[1] == high[1] and not (len(low[0]) == len(high[0]) == 2))
        return low[0][0] != high[0][0] and apart
    if left or right:
        return False
    begins = [_WILDCARD.split(text)[0] for text in (str(one), str(other))]
    return not (begins[0].startswith(begins[1]) or begins[1].startswith(begins[0]))


def _compare(number: Decimal, operator: str, bound: Decimal) -> bool:
    match operator:
        case "<":
            return number < bound
        case "<=":
            return number <= bound
        case ">":
            return number > bound
        case _:
            return number >= bound


def _glob_within(narrow: str, wide: str) -> bool:
    """For a wide one with a single star at its end or its beginning."""
    if not is_glob(wide.rstrip(ANY)) and wide.endswith(ANY):
        return _WILDCARD.split(narrow)[0].startswith(wide.rstrip(ANY))
    if not is_glob(wide.lstrip(ANY)) and wide.startswith(ANY):
        ending = re.split(r"[*?\]]", narrow)[-1]
        return ending.endswith(wide.lstrip(ANY))
    return False
