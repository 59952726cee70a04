"""Says in words what a request holds: a label for each key, a sentence for what is dangerous, in the order of its card.

The words are those of its tool (`Tool.on_cards`, `Tool.warns`). A key without any is read as words, so `notes_so_far`
comes to no card. Nothing is left out: every value is among the rows or in a sentence. An instant among the facts is
said in the one format. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue

from store.text import instant, one_line

LABEL_CHARS_MAX = 60
NESTING_MAX = 6
"""Deeper keys are shown as they are."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z](?![A-Z])")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")


def as_words(key: str) -> str:
    """`notes_so_far` as `notes so far`, `issueId` as `issue id`. What is no identifier stays as it is."""
    if not _IDENTIFIER.fullmatch(key):
        return key
    return " ".join(_HUMP.sub(lambda found: f" {found[0].lower()}", key).replace("_", " ").split()) or key


def rows(
    arguments: Mapping[str, JsonValue], facts: Mapping[str, JsonValue], labels: Mapping[str, str]
) -> dict[str, JsonValue]:
    """The arguments and the facts by their labels: those that `labels` names in its order, then the others."""
    pairs = [(key, _in_words(value, labels, key, 1, says_instants=False), "") for key, value in arguments.items()]
    pairs += [
        (key, _in_words(value, labels, key, 1, says_instants=True), ", looked up") for key, value in facts.items()
    ]
    said: dict[str, JsonValue] = {}
    for key, value, beside in sorted(pairs, key=lambda pair: _place(labels, pair[0])):
        said[_another(said, labels.get(key) or as_words(key), beside)] = value
    return said


def used(labels: Mapping[str, str], *shown: Mapping[str, JsonValue]) -> dict[str, str]:
    """Those of the labels that name something here, each on one line."""
    known = {path for one in shown for path in _paths(one, "")}
    return {path: one_line(label, LABEL_CHARS_MAX) for path, label in labels.items() if path in known}


def _paths(value: JsonValue | Mapping[str, JsonValue], above: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{above}{key}"
            yield from _paths(inner, f"{above}{key}.")
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, above)


def _in_words(value: JsonValue, labels: Mapping[str, str], path: str, depth: int, *, says_instants: bool) -> JsonValue:
    if depth >= NESTING_MAX:
        return value
    match value:
        case dict():
            said: dict[str, JsonValue] = {}
            for key in sorted(value, key=lambda key: _place(labels, f"{path}.{key}")):
                below = f"{path}.{key}"
                inner = _in_words(value[key], labels, below, depth + 1, says_instants=says_instants)
                said[_another(said, labels.get(below) or as_words(key), "")] = inner
            return said
        case list():
            return [_in_words(item, labels, path, depth + 1, says_instants=says_instants) for item in value]
        case str() if says_instants:
            return moment(value) or value
        case _:
            return value


def _place(labels: Mapping[str, str], path: str) -> int:
    """Where it stands among the labels; behind them all, if it has none."""
    return next((place for place, one in enumerate(labels) if one == path), len(labels))


def _another(said: Iterable[str], label: str, beside: str) -> str:
    """The label, or one like it that is not taken: no value may hide another."""
    taken = set(said)
    candidates = (f"{label}{beside}{f' ({number})' if number > 1 else ''}" for number in range(1, len(taken) + 2))
    return label if label not in taken else next(one for one in candidates if one not in taken)


def moment(text: str) -> str:
    """In the one format; empty: it is no instant. Anybody may write one that does not exist."""
    try:
        return instant(datetime.fromisoformat(text)) if _INSTANT.fullmatch(text) else ""
    except (ValueError, OverflowError):
        return ""
