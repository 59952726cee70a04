"""Team files that are wrong: each in the folder `wrong/`, beside all that is told about it, by `bot run` and by doctor.

The agent of these teams has three tools. `ship` and `pay` act; `peek` only looks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.app import roster_problems
from bot.cli.doctor import examine
from bot.setup import load
from bot.team.problems import SettingsError

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.toml"))
AGENT = '''
from typing import Literal

from agent import Agent, Tool

NAME = "shop"


class Ship(Tool):
    """Ship a version."""

    environment: Literal["dev", "prod-eu"]
    version: str


class Pay(Tool):
    """Pay somebody."""

    amount: float
    currency: Literal["EUR", "CHF"] = "EUR"
    sure: bool = False

    def needs_approval(self):
        return True


class Peek(Tool):
    """Look at something."""

    environment: Literal["dev", "prod-eu"]
    acts = False


def build(table, home):
    return Agent(name=NAME, prompt="You keep a shop.", tools=(Ship, Pay, Peek))
'''


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the agent, in which a team file can be put. Nobody finds the agent's module later."""
    path, known = list(sys.path), set(sys.modules)
    folder = tmp_path / "agents" / "shop"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == "agents":
            del sys.modules[name]


def content(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def told_at_start() -> list[str]:
    try:
        load(roster_problems)
    except SettingsError as error:
        return error.problems
    return []


async def told_by_doctor() -> list[str]:
    """All that it fails with, before it looks at anything outside."""
    try:
        setup = load(if_wrong=[roster_problems])
    except SettingsError as error:
        return error.problems
    findings = examine(setup)
    of_the_file = [await anext(findings) for _ in range(4)]
    return [finding.text for finding in of_the_file if finding.state == "failed"]


@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
async def test_a_wrong_team_file_is_refused_with_all_that_is_wrong(file: Path, shop: Path) -> None:
    text, expected = content(file), content(file.with_suffix(".txt")).strip()
    (shop / "bot.toml").write_text(f"{text}\n[agents.shop]\n")
    assert "\n".join(told_at_start()) == expected
    by_doctor = " ".join(await told_by_doctor())
    assert " ".join(by_doctor.splitlines()) == " ".join(expected.splitlines())


def test_each_file_stands_beside_what_is_told_about_it() -> None:
    assert {file.with_suffix(".txt") for file in WRONG} == set(WRONG[0].parent.glob("*.txt"))
    assert len(WRONG) >= 10


async def test_a_team_file_that_is_right_is_told_nothing(shop: Path) -> None:
    (shop / "bot.toml").write_text('[agents.shop]\n[people.ann]\n[[rule]]\ntool = "*"\ngroup = "team"\n')
    assert told_at_start() == []
    assert await told_by_doctor() == []
