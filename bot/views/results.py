"""Tells in a line what a step was given and what came of it, for a transcript. The log has all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

from store.text import one_line, visible

DETAIL_CHARS_MAX = 100
OUTPUT_LINES_MAX = 6
_FULL_SHA = re.compile(r"\b[0-9a-f]{40}\b")


def summary(result: JsonValue, *, known: Mapping[str, JsonValue]) -> str:
    """A tool's result in a few lines, without what repeats its arguments."""
    match result:
        case dict():
            hidden = {"output", "link", "date", "author", *known}
            shown = [_fact(name, value) for name, value in result.items() if name not in hidden and value != ""]
            output = visible(str(result.get("output") or "")).splitlines()
            return "\n".join([" · ".join(shown), *(f"| {line}" for line in output[-OUTPUT_LINES_MAX:])])
        case _:
            return _shortened(result)


def _fact(name: str, value: JsonValue) -> str:
    """Of rows, only how many there are: `9 commits`."""
    rows = _rows(value)
    if rows is None:
        return f"{name} {_shortened(value)}"
    return f"{rows} {name.removesuffix('s') if rows == 1 else name}"


def _rows(value: JsonValue) -> int | None:
    """How many rows it has: a list of objects, or one list for each of several things. None: it is something else."""
    match value:
        case dict() if value and all(isinstance(each, list) for each in value.values()):
            return sum(len(each) for each in value.values() if isinstance(each, list))
        case list() if not value or any(isinstance(row, dict | list) for row in value):
            return len(value)
        case _:
            return None


def arguments_in_words(arguments: Mapping[str, JsonValue]) -> dict[str, object]:
    """What a step was given, without what was left empty."""
    return {
        name: arguments_in_words(value) if isinstance(value, dict) else _shortened(value)
        for name, value in arguments.items()
        if value not in ("", [], {}, None)
    }


def _shortened(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return one_line(", ".join(map(_shortened, value)), DETAIL_CHARS_MAX)
    return _FULL_SHA.sub(lambda found: found[0][:7], one_line(str(value), DETAIL_CHARS_MAX))
