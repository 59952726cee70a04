"""Whatever stands in a team file, it is read, or refused in words: a mistake of the team is no bug of the program."""

from __future__ import annotations

import copy
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.team.file import inspect_team

RIGHT: dict[str, Any] = {
    "agents": {"deploy": {"environments": {"dev": {}}}},
    "routes": {"C0123456789": "deploy"},
    "email": {"first_start": "new"},
    "slack": {"callers": ["PagerDuty"]},
    "alerts": "slack:C0123456789",
    "people": {
        "ann": {
            "name": "Ann",
            "slack": "U0123456",
            "emails": ["ann@example.com"],
            "groups": ["release"],
            "logins": ["ann"],
        },
        "kim": {},
    },
    "rule": [
        {
            "tool": "deploy",
            "when": {"environment": "prod-*", "count": 3},
            "group": "release",
            "quorum": 1,
            "requester_may": True,
            "expires": "4h",
            "remind": "1h",
            "widen": "2h",
            "then": "team",
            "ask": ["members"],
            "decide_by": ["slack"],
            "unverified": {"group": "release", "quorum": 2, "decide_by": ["slack"], "ask": ["members"]},
            "standing": {"group": "release", "max": "1h"},
        },
        {"tool": "*", "group": "team"},
    ],
    "steer": {"group": "team", "agents": {"deploy": "release"}},
    "hours": {"time_zone": "Europe/Berlin", "days": ["mon"], "from": "09:00", "to": "18:00"},
    "schedules": {"report": {"cron": "0 9 * * *", "time_zone": "UTC", "place": "terminal:ops", "say": "Good morning."}},
    "api": {"places": ["terminal:ops"]},
    "tokens": {
        "ann-1": {
            "sha256": "0123456789abcdef" * 4,
            "scopes": ["read"],
            "agents": ["deploy"],
            "until": date(2027, 1, 31),
        }
    },
    "models": {"small": {"model": "small-1", "timeout": "90s", "agents": ["deploy"], "price_in": 1, "price_out": 2}},
}
Way = tuple[str | int, ...]


def toml(value: Any) -> str:
    match value:
        case dict():
            return f"{{ {', '.join(f'{json.dumps(name)} = {toml(one)}' for name, one in value.items())} }}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case date():
            return value.isoformat()
        case _:
            return json.dumps(value)


def told(data: dict[str, Any]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bot.toml"
        file.write_text("\n".join(f"{json.dumps(name)} = {toml(value)}" for name, value in data.items()))
        return inspect_team(file)[1]


def ways(value: Any, way: Way = ()) -> list[Way]:
    """The way to each value."""
    match value:
        case dict():
            inner = [each for name, one in value.items() for each in ways(one, (*way, name))]
        case list():
            inner = [each for index, one in enumerate(value) for each in ways(one, (*way, index))]
        case _:
            inner = []
    return [way, *inner] if way else inner


WAYS = ways(RIGHT)
LEAVES = st.one_of(
    st.sampled_from(["", "slak", "*", "team", "members", "4h", "slack:C0", "x" * 4_000, "\x00"]),
    st.integers(-2, 10**17),
    st.booleans(),
    st.sampled_from([0.5, 1e300]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab*", max_size=3), inner, max_size=3)
)


def at(data: Any, way: Way) -> Any:
    """What holds the value at the end of the way; None: it stands there no more."""
    for step in way[:-1]:
        match data:
            case dict() if step in data:
                data = data[step]
            case list() if isinstance(step, int) and step < len(data):
                data = data[step]
            case _:
                return None
    return data


@given(wrong=st.lists(st.tuples(st.sampled_from(WAYS), VALUES), min_size=1, max_size=4), unknown=st.sampled_from(WAYS))
@settings(deadline=None)
def test_whatever_stands_in_the_file_is_read_or_refused_in_words(wrong: list[tuple[Way, Any]], unknown: Way) -> None:
    data = copy.deepcopy(RIGHT)
    for way, value in wrong:
        match at(data, way):
            case dict() as table:
                table[way[-1]] = value
            case list() as values if isinstance(way[-1], int) and way[-1] < len(values):
                values[way[-1]] = value
    if isinstance(table := at(data, unknown), dict):
        table["unknown"] = 1
    assert all(problem.partition("bot.toml: ")[2] for problem in told(data))


@pytest.mark.parametrize("way", [way for way in WAYS if isinstance(at(RIGHT, way), list)], ids=str)
def test_a_list_whose_only_item_is_wrong_is_refused_once(way: Way) -> None:
    data = copy.deepcopy(RIGHT)
    at(data, way)[way[-1]] = 0
    assert len(told(data)) == 1
