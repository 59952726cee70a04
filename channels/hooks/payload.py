"""Reads the JSON of a delivery, and finds values in it by dotted paths: `pull_request.base.ref`, `alerts.0.status`.

It is bounded, and raises nothing but `Unreadable`. A path that leads nowhere is an answer (`ABSENT`), not an error:
whoever asks decides what follows. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue
from pydantic_core import from_json

from channels.hooks.kind import JSON, Posted, Unreadable

TEXT_CHARS_MAX = 2_000
"""Of one text that is taken out of a payload."""
DEPTH_MAX = 100


class _Absent:
    def __repr__(self) -> str:
        return "nothing"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()
"""There is nothing at that path."""


def json_of(posted: Posted) -> dict[str, JsonValue]:
    """The object in the body. Raises Unreadable."""
    try:
        found = from_json(posted.body, allow_inf_nan=False)
    except ValueError:
        raise Unreadable("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Unreadable("The body is not a JSON object.")
    if _is_deeper(found, DEPTH_MAX):
        raise Unreadable("The body is nested too deeply.")
    return found


def is_json(media_type: str) -> bool:
    return media_type == JSON or media_type.endswith("+json")


def value_at(body: JsonValue | Mapping[str, JsonValue], path: str) -> JsonValue | _Absent:
    """The value at a dotted path. A key of the payload may hold full stops itself: the longest one that fits counts."""
    parts = path.split(".")
    value: object = body
    while parts:
        match value:
            case list() if parts[0].isdecimal():
                index = int(parts.pop(0)[:9])
                if index >= len(value):
                    return ABSENT
                value = value[index]
            case dict():
                for count in range(len(parts), 0, -1):
                    if (name := ".".join(parts[:count])) in value:
                        value, parts = value[name], parts[count:]
                        break
                else:
                    return ABSENT
            case _:
                return ABSENT
    return value  # type: ignore[return-value]


def text_at(body: Mapping[str, JsonValue], path: str) -> str:
    """The text there, clipped; empty: there is none."""
    found = value_at(body, path)
    return found[:TEXT_CHARS_MAX] if isinstance(found, str) else ""


def number_at(body: Mapping[str, JsonValue], path: str) -> int:
    """The whole number there; 0: there is none."""
    found = value_at(body, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def digest_of(posted: Posted) -> str:
    """The id of a delivery whose sender gives it none: the same bytes are the same delivery."""
    return hashlib.sha256(posted.body).hexdigest()[:32]


def _is_deeper(value: object, levels: int) -> bool:
    if levels == 0:
        return True
    match value:
        case dict():
            return any(_is_deeper(one, levels - 1) for one in value.values())
        case list():
            return any(_is_deeper(one, levels - 1) for one in value)
        case _:
            return False
