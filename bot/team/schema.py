"""The JSON schema of the team file, for editors: what may stand where, while somebody types it.

It is made from the classes that read the file, and says of the shape alone: `bot.team.check` and its neighbours find
whatever else has no effect. The file beside this module is what `bot init --schema` prints; after a change of the
classes, write it again: `python -m bot.team.schema`. It reads no team file.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bot.team.durations import PATTERN
from bot.team.file import ApiTable, EmailTable, SlackTable, Team
from bot.team.hooks import HookRule, HookTable, SignatureTable
from bot.team.hours import HoursTable
from bot.team.models import ModelTable
from bot.team.people import Member
from bot.team.rules import Override, Rule, Standing
from bot.team.schedules import ScheduleTable
from bot.team.steer import SteerTable
from bot.team.tokens import Token

FILE = Path(__file__).with_name("bot.schema.json")
NAME = FILE.name
"""Also of its copy beside a team file."""
LINE = f"#:schema ./{NAME}"
"""The first line of a team file, which Taplo and the editors that use it (Even Better TOML) read."""

_WALL = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"}
_DURATION = {"type": "string", "pattern": f"^{PATTERN}$"}
_READ_OTHERWISE: dict[tuple[str, str], dict[str, Any]] = {
    ("HoursTable", "from"): _WALL,
    ("HoursTable", "to"): _WALL,
    ("ModelTable", "temperature"): {
        "description": "`default` is the endpoint's own.",
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 2}, {"const": "default"}],
    },
    ("ModelTable", "timeout"): _DURATION,
    ("Token", "until"): {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]},
    **{(table, name): _DURATION for table in ("Rule", "Override") for name in ("expires", "remind", "widen")},
    ("Standing", "max"): _DURATION,
    ("SignatureTable", "tolerance"): _DURATION,
    ("HookRule", "when"): {"type": "object", "additionalProperties": None},
}
"""What pydantic cannot know, because a validator reads it."""
_TABLES = (
    Team,
    ApiTable,
    EmailTable,
    SlackTable,
    HookRule,
    HookTable,
    SignatureTable,
    HoursTable,
    ModelTable,
    Member,
    Override,
    Rule,
    ScheduleTable,
    Standing,
    SteerTable,
    Token,
)


def schema() -> dict[str, Any]:
    made = Team.model_json_schema(mode="validation")
    tables = {"Team": made, **made["$defs"]}
    for (table, name), shape in _READ_OTHERWISE.items():
        tables[table]["properties"][name] |= {"anyOf": None, "type": None, "format": None} | shape
    for table, described in _descriptions().items():
        for name, text in described.items():
            tables[table]["properties"][name].setdefault("description", text)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "bot.toml",
        "description": "The team file of deploybot.",
        **{key: value for key, value in _plain(made).items() if key not in ("title", "description")},
    }


def text() -> str:
    """As it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def copy_beside(team_file: Path) -> None:
    """Put it where the team file's first line (`LINE`) names it; one that is there already stays. Raises OSError."""
    copy = team_file.with_name(NAME)
    if not copy.exists():
        copy.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")


def _plain(node: Any, *, named: bool = False) -> Any:
    """Without what TOML has not (null) and what says nothing (titles). `named`: the keys are names of the file."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    if not named and isinstance(options := node.get("anyOf"), list):
        options = [one for one in options if one != {"type": "null"}]
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        node = rest | options[0] if len(options) == 1 and "$ref" not in options[0] else {**rest, "anyOf": options}
    left_out = () if named else ("title",)
    return {
        key: _plain(value, named=not named and key in ("properties", "$defs"))
        for key, value in node.items()
        if key not in left_out and (named or value is not None)
    }


def _descriptions() -> dict[str, dict[str, str]]:
    """By table and key: what stands below a field in its class. Read from the source, which has it alone."""
    return {table.__name__: dict(_described(table)) for table in _TABLES}


def _described(table: type) -> Iterator[tuple[str, str]]:
    for cls in reversed(table.__mro__):
        if not cls.__module__.startswith("bot.team."):
            continue
        (node,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, node.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))) if name in _keys(table):
                    yield _keys(table)[name], " ".join(words.split()).replace("None:", "Left out:")


def _keys(table: type) -> dict[str, str]:
    """The keys of the file by the names of the fields."""
    if is_dataclass(table):
        return {field.name: field.name for field in fields(table)}
    assert issubclass(table, BaseModel), "tables are either"
    return {name: field.alias or name for name, field in table.model_fields.items()}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
