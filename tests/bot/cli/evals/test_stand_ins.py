"""The cases of an agent that has no site, but stand-ins for the services that it uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.evals.case import CaseError
from bot.cli.evals.stage import ready
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import read_team
from bot.team.problems import SettingsError
from tests.bot.cli.evals.recorded import Answering

AGENT = '''
from typing import ClassVar

from agent import Agent, Call, Tool

NAME = "lamp"


class Switch:
    def __init__(self, is_real):
        self.is_real = is_real
        self.is_on = False


class TurnOn(Tool):
    """Turn the lamp on."""

    needs: ClassVar[tuple[type, ...]] = (Switch,)

    async def run(self, call: Call):
        lamp = call.need(Switch)
        assert not lamp.is_real
        assert not lamp.is_on, "each case has a lamp of its own"
        lamp.is_on = True
        return {"is_on": True}


def build(table, home):
    return Agent(name=NAME, prompt="You see to the lamp.", tools=(TurnOn,), resources={Switch: Switch(True)})


def build_for_evals(home):
    return Agent(name=NAME, prompt="You see to the lamp.", tools=(TurnOn,), resources={Switch: Switch(False)})
'''
CASE = {"name": "on-please", "given": ["on, please"], "then": [{"intent": "done_for_now"}], "tags": ["all"]}
ON, DONE = {"intent": "turn_on"}, {"intent": "done_for_now", "message": "It is on."}


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), set(sys.modules)
    write(tmp_path, AGENT)
    (tmp_path / "bot.toml").write_text("[agents.lamp]\n")
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.split(".")[0] == "agents":
            del sys.modules[name]


def write(folder: Path, code: str, **changed: Any) -> None:
    own = folder / "agents" / "lamp"
    (own / "evals").mkdir(parents=True, exist_ok=True)
    (own / "__init__.py").write_text(code)
    case = {**CASE, "may": [ON], **changed}
    (own / "evals" / "all.yaml").write_text(f"cases: [{case!r}]\n")


def setup_of(folder: Path) -> Setup:
    config = folder / "bot.toml"
    return Setup(Settings(bot_home=folder / "home", bot_config=config), read_team(config))


async def test_a_case_is_played_with_the_stand_ins_and_each_has_its_own(team: Path) -> None:
    with ready(setup_of(team), "lamp") as found:
        for _ in range(2):
            played = await found.stage.play(found.cases[0], Answering(ON, DONE), lambda _: None)
            assert (played.verdict.kind, played.verdict.why) == ("right", "")
            assert [one.fate for one in played.made] == ["ran", "spoke"]


def test_what_only_a_site_could_give_an_effect_is_refused(team: Path) -> None:
    write(team, AGENT, runs={"live": {"orders": "v1.0.0"}})
    with pytest.raises(CaseError, match="case on-please: `runs` has no effect"), ready(setup_of(team), "lamp"):
        pass


def test_stand_ins_that_cannot_be_built_are_said_in_one_line(team: Path) -> None:
    write(team, AGENT.replace("Switch(False)", "no_such_lamp"))
    with (
        pytest.raises(SettingsError, match=r"lamp cannot be built for evals.*no_such_lamp"),
        ready(setup_of(team), "lamp"),
    ):
        pass
