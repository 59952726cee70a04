"""Writes YAML that foreign text cannot break out of: the only place that escapes text for the model.

A YAML parser gets back what was put in, except line breaks at the ends of a text and clipped parts. The indent is one
space: two would cost one more token on every such line. Lists of uniform records become tables, one line per record.
`<` and `&` are escaped, so that no message, tag or tool output can close a block or open one, and characters that hide
or reorder text are made visible. Pure; it knows no event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from pydantic import JsonValue

from store.text import visible

SHORT_CHARS_MAX = 80

_PLAIN = re.compile(r"[A-Za-z0-9_./(+$€][^\n\t]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers


@dataclass(frozen=True, slots=True)
class Table:
    path: str
    """Its keys, from the outermost."""
    at: int
    """Which line of the mapping is its header."""
    lines: tuple[str, ...]
    """As written; the header first."""


class Writer:
    """Builds one YAML mapping that contains no markup."""

    def __init__(self, part_chars_max: int) -> None:
        self._max = part_chars_max
        self._lines: list[str] = []
        self._taken: set[str] = set()
        self.tables: list[Table] = []
        """The tables in the mapping."""

    def __str__(self) -> str:
        return "".join(line + "\n" for line in self._lines)

    def reserve(self, *keys: str) -> None:
        """Reserve these keys for `put`: foreign data may contain them too."""
        self._taken.update(keys)

    def put_all(self, data: Mapping[str, JsonValue], *, apart: str) -> None:
        """Add all fields of `data`; nested under the key `apart` if one of their names is taken."""
        if data.keys() & self._taken:
            self.put(apart, dict(data))
        else:
            for key, value in data.items():
                self.put(key, value)

    def put(self, key: str, value: Any, indent: str = "", within: str = "") -> None:
        if not indent:
            self._taken.add(key)
        name = indent + _key(key)
        inner = indent + " "
        match value:
            case str() if len(value) <= min(SHORT_CHARS_MAX, self._max) and value.isprintable():
                self._lines.append(f"{name}: {_one_line_scalar(value)}")
            case str() if "\n" in (text := safe_text(value, self._max)).strip("\n"):
                lines = text.strip("\n").split("\n")
                self._lines.append(f"{name}: |{'1' if lines[0][:1] in (' ', chr(9)) or not lines[0] else ''}-")
                self._lines += (inner + line if line else "" for line in lines)
            case str():
                self._lines.append(f"{name}: {_scalar(safe_text(value, self._max).strip(chr(10)))}")
            case dict() if value:
                self._lines.append(f"{name}:")
                for inner_key, inner_value in value.items():
                    self.put(inner_key, inner_value, inner, f"{within}{key}/")
            case list() if value and (rows := _table(value, self._max)):
                self._lines.append(f"{name}: |-")
                table = Table(f"{within}{key}", len(self._lines), tuple(inner + row for row in rows))
                self._lines += table.lines
                self.tables.append(table)
            case _:
                self._lines.append(f"{name}: {_flow(value, self._max)}")


def fitting(body: str, chars_max: int) -> str:
    """The body; if it is too long, its beginning and end as plain text."""
    room = max(chars_max, 0)
    while len(body) > chars_max:
        room = room * 2 // 3
        cut = f"{body[: room // 2]}\n[… {len(body) - room:,} characters left out …]\n{body[len(body) - room // 2 :]}"
        clipped = "clipped: |1-\n" + "".join(f" {line}\n" if line else "\n" for line in cut.strip("\n").split("\n"))
        if len(clipped) <= chars_max or not room:
            return clipped
    return body


def safe_text(text: str, chars_max: int) -> str:
    """Foreign text made safe for a block: clipped in the middle, hidden characters visible, `<` and `&` escaped."""
    if len(text) > chars_max:
        left_out = len(text) - chars_max
        half = chars_max // 2
        text = f"{text[:half]}\n[… {left_out:,} characters left out …]\n{text[len(text) - (chars_max - half) :]}"
    return visible(text).replace("&", "&amp;").replace("<", "&lt;")


@lru_cache(maxsize=2_048)
def _key(key: str) -> str:
    return key if _KEY.fullmatch(key) and not _resolves(key) else _quoted(safe_text(key, 64))


@lru_cache(maxsize=8_192)
def _one_line_scalar(text: str) -> str:
    """A short text on one line. Cached, because names, SHAs and states recur."""
    return _scalar(safe_text(text, SHORT_CHARS_MAX))


def _scalar(text: str) -> str:
    plain = (
        _PLAIN.fullmatch(text)
        and ": " not in text
        and " #" not in text
        and text[-1] not in " :"
        and not _resolves(text)
    )
    return text if plain else _quoted(text)


def _resolves(text: str) -> bool:
    """Whether YAML would read the text as another type: a number, a date, `yes`."""
    return any(form.match(text) for _, form in _RESOLVERS.get(text[:1], []))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _flow(value: Any, chars_max: int) -> str:
    """JSON, which is YAML on one line."""

    def escaped(item: Any) -> Any:
        match item:
            case str():
                return safe_text(item, chars_max)
            case dict():
                return {safe_text(str(k), 64): escaped(v) for k, v in item.items()}
            case list() | tuple():
                return [escaped(i) for i in item]
            case _:
                return item

    return json.dumps(escaped(value), ensure_ascii=False)


def _table(rows: list[Any], chars_max: int) -> list[str] | None:
    """Uniform records as comma-separated lines under a header; None: they are not uniform."""
    if not all(isinstance(row, dict) and row and row.keys() == rows[0].keys() for row in rows):
        return None
    if any(isinstance(cell, dict | list) for row in rows for cell in row.values()):
        return None
    if not all(_KEY.fullmatch(key) for key in rows[0]):
        return None
    if len(rows[0]) == 1 and any(cell is None for row in rows for cell in row.values()):
        return None  # such a line would be empty
    header = list(rows[0])
    return [",".join(header), *(",".join(_cell(row[key], chars_max) for key in header) for row in rows)]


def _cell(value: Any, chars_max: int) -> str:
    if not isinstance(value, str):
        return "" if value is None else json.dumps(value)
    text = safe_text(value, chars_max)
    return _quoted(text) if not text or re.search(r'[,"\n\\]|^[\s(]|\s$', text) else text
