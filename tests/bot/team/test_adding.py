"""A table is appended to the team file only where that changes nothing else, and never twice."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bot.team.adding import NotAppended, append_agent
from bot.team.problems import SettingsError

RULES = '[[rule]]\ntool = "*"\ngroup = "anyone"  # for now'


@pytest.mark.parametrize(
    "text", ["", RULES, f"{RULES}\n", f"# ours\r\n{RULES}\r\n", "[agents.deploy.environments]\nlab = {}\n"]
)
def test_what_stood_there_stays_and_means_the_same(text: str, tmp_path: Path) -> None:
    file, called = tmp_path / "bot.toml", []
    file.write_bytes(text.encode())
    append_agent(file, "disk", then=lambda: called.append("then"))
    after = file.read_bytes().decode()
    assert after.startswith(text)
    before = tomllib.loads(text)
    assert tomllib.loads(after) == {**before, "agents": {**before.get("agents", {}), "disk": {}}}
    assert called == ["then"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("half a ta", "is not valid TOML"),
        ("[agents.disk]\n", "has [agents.disk] already"),
        ('agents = "all"\n', "agents must be a table"),
    ],
)
def test_where_it_cannot_stand_nothing_is_written(text: str, problem: str, tmp_path: Path) -> None:
    file, called = tmp_path / "bot.toml", []
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        append_agent(file, "disk", then=lambda: called.append("then"))
    assert problem in str(caught.value)
    assert "Nothing was written" in str(caught.value)
    assert (file.read_text(), called) == (text, [])


def test_a_file_that_lists_its_agents_in_one_line_is_left_to_people(tmp_path: Path) -> None:
    file, called = tmp_path / "bot.toml", []
    file.write_text("agents = { ops = {} }\n")
    with pytest.raises(NotAppended, match="was left as it is"):
        append_agent(file, "disk", then=lambda: called.append("then"))
    assert (file.read_text(), called) == ("agents = { ops = {} }\n", ["then"])
