"""Texts of the team with fields in them: `deploy {sha} of {repository}`. Pure.

A field is a name in braces; `{{` and `}}` are braces. There is no more to it: no expression, no format, no attribute.
What stands in for a field is on one line and clipped, so that a text from outside stays a part of the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from store.text import one_line

VALUE_CHARS_MAX = 500
MISSING = "(not given)"
"""Stands for a field that is not there."""
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD = re.compile(r"[A-Za-z_][\w./:@-]*")


def checked(text: str) -> str:
    """Raises ValueError if it is no template."""
    for found in _PART.finditer(text):
        if found[0] in "{}":
            raise ValueError(f"has a single {found[0]}: write {found[0] * 2} for a brace, and {{name}} for a field")
        if found[1] is not None and not _FIELD.fullmatch(found[1]):
            raise ValueError(f"has {found[0][:60]!r}, which is no field: write a name, such as {{sha}}")
    return text


def fields_in(text: str) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(found[1] for found in _PART.finditer(text) if found[1] is not None))


def filled(text: str, value_of: Callable[[str], object]) -> str:
    """`value_of` gives None for what is not there."""

    def part(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        value = value_of(found[1])
        return MISSING if value is None else one_line(_as_text(value), VALUE_CHARS_MAX)

    return _PART.sub(part, text)


def _as_text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return f"({len(value)} entries)"
        case _:
            return str(value)
