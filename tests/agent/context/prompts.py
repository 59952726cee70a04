"""Prompts read back, as strictly as can be: blocks, their data, and what becomes different on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from agent.context.window import QUESTION, Context
from agent.definition import Limits
from agent.steps import Tool
from store.events import Event
from store.text import visible
from tests.telling.playbook import TOOLS, ops
from tests.telling.story import thread

Data = dict[str, Any]


def prompt_of(*events: Event, limits: Limits | None = None, tools: tuple[type[Tool], ...] = TOOLS) -> str:
    return Context(ops(limits=limits, tools=tools)).render(thread(*events))


# Reading it back, as strictly as can be

_OPENING = re.compile(r"<([a-z0-9_]{1,64})>")


def read(prompt: str) -> list[tuple[str, Data]]:
    """Blocks and their data. A line with `<` in it is a tag of ours, or the prompt was forged."""
    lines = prompt.split("\n")
    assert lines[-2:] == ["", QUESTION]
    blocks: list[tuple[str, Data]] = []
    tag, body = "", [""]
    for line in lines[:-1]:
        if not tag:
            found = _OPENING.fullmatch(line)
            assert found or line == "", line
            tag, body = (found[1], []) if found else ("", [])
        elif line == f"</{tag}>":
            data = yaml.safe_load("".join(f"{line}\n" for line in body)) or {}
            blocks.append((tag, unescaped(data)))
            tag = ""
        else:
            assert "<" not in line, line
            body.append(line)
    assert not tag, f"<{tag}> is not closed"
    return blocks


def unescaped(value: Any) -> Any:
    match value:
        case str():
            return value.replace("&lt;", "<").replace("&amp;", "&")
        case dict():
            return {unescaped(key): unescaped(item) for key, item in value.items()}
        case list():
            return [unescaped(item) for item in value]
        case _:
            return value


def data_of(prompt: str, tag: str) -> Data:
    (data,) = [data for name, data in read(prompt) if name == tag]
    return data


def tags(prompt: str) -> list[str]:
    return [tag for tag, _ in read(prompt)]


def rows(table: str) -> list[dict[str, str]]:
    """A table: lines of cells with commas between; a cell in quotes is a JSON string."""
    header, *lines = [[_cell(cell) for cell in _CELL.findall(f",{line}")] for line in table.split("\n")]
    assert all(len(line) == len(header) for line in lines), table
    return [dict(zip(header, line, strict=True)) for line in lines]


_CELL = re.compile(r',("(?:[^"\\]|\\.)*"|[^,]*)')


def _cell(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text


def as_read(value: Any, *, in_flow: bool = False) -> Any:
    """What a reader gets of data that was put in. This is all that becomes different:

    hidden characters are written out, and Windows line ends become plain; line breaks at the ends of a text are left
    out (not inside of lists that are no tables); cells of a table are texts; a number like 1e16 is none for YAML 1.1;
    names of more than 64 characters are clipped in their middle, and texts of more than 8,000 (which is not used here).
    """
    match value:
        case bool() | None | int():
            return value
        case float():
            text = json.dumps(value)
            return text if "e" in text and "." not in text else value
        case str():
            return visible(value) if in_flow else visible(value).strip("\n")
        case dict():
            return {as_key(key): as_read(item, in_flow=in_flow) for key, item in value.items()}
        case list() if not in_flow and _is_table(value):
            return [{key: _in_cell(cell) for key, cell in row.items()} for row in value]
        case list():
            return [as_read(item, in_flow=True) for item in value]
        case _:
            raise AssertionError(value)


def as_key(key: str) -> str:
    if len(key) > 64:
        key = f"{key[:32]}\n[… {len(key) - 64:,} characters left out …]\n{key[-32:]}"
    return visible(key)


def _is_table(value: list[Any]) -> bool:
    return (
        bool(value)
        and all(isinstance(row, dict) and row and row.keys() == value[0].keys() for row in value)
        and not any(isinstance(cell, dict | list) for row in value for cell in row.values())
        and all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", key) for key in value[0])
        and not (len(value[0]) == 1 and any(cell is None for row in value for cell in row.values()))
    )


def _in_cell(cell: Any) -> str:
    if isinstance(cell, str):
        return visible(cell)
    return "" if cell is None else json.dumps(cell)


def with_tables(read_back: Any, put_in: Any) -> Any:
    """What was read, with the texts of tables as rows, where a table was put in."""
    match put_in:
        case dict() if isinstance(read_back, dict):
            again = {as_key(key): value for key, value in put_in.items()}
            return {key: with_tables(value, again.get(key)) for key, value in read_back.items()}
        case list() if _is_table(put_in) and isinstance(read_back, str):
            return rows(read_back)
        case _:
            return read_back


def assert_reads(read_back: Any, put_in: Any) -> None:
    assert with_tables(read_back, put_in) == as_read(put_in)
