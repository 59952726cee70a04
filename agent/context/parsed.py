"""Parses a rendered context back into its blocks, for whoever plays the model without one: the stand-in, and tests.

It reads only what `agent.context.writer` wrote, and knows no event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

_BLOCK = re.compile(r"^<([a-z0-9_]+)>\n(.*?)^</\1>$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class ParsedBlock:
    tag: str
    data: dict[str, Any]


def parsed(context: str) -> list[ParsedBlock]:
    """The blocks of a user message, in order."""
    return [ParsedBlock(tag, _unescaped(yaml.safe_load(body)) or {}) for tag, body in _BLOCK.findall(context)]


def _unescaped(value: Any) -> Any:
    match value:
        case str():
            return value.replace("&lt;", "<").replace("&amp;", "&")
        case dict():
            return {key: _unescaped(item) for key, item in value.items()}
        case list():
            return [_unescaped(item) for item in value]
        case _:
            return value
