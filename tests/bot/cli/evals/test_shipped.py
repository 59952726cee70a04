"""The cases that ship, played whole with recorded answers: so each case can be passed, and the harness is tested."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from bot.cli.evals.recorder import Raw
from bot.cli.evals.stage import Ready, ready
from bot.settings import Settings
from bot.setup import Setup
from tests.bot.cli.evals.recorded import AGENTS, model_for, recorded
from tests.matrices import matrix

RECORDED = {agent: recorded(agent) for agent in AGENTS}
CASES_MIN = {"deploy": 60, "issues": 20, "payments": 20, "rollback": 20}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ready]]:
    """The agents with their cases, each set up once."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Ready] = {}

        def of(agent: str) -> Ready:
            if agent not in found:
                setup = Setup(Settings(bot_home=tmp_path_factory.mktemp("home")))
                found[agent] = stack.enter_context(ready(setup, agent))
            return found[agent]

        yield of


@matrix("point", [f"{agent}/{case}" for agent, cases in RECORDED.items() for case in cases], sample=14)
async def test_every_case_can_be_passed(stage: Callable[[str], Ready], point: str) -> None:
    agent, _, name = point.partition("/")
    found = stage(agent)
    case = next(case for case in found.cases if case.name == name)
    kept: list[Raw] = []
    played = await found.stage.play(case, model_for(RECORDED[agent], case), kept.append)
    assert (played.verdict.kind, played.verdict.why) == ("right", "")
    assert len(kept) == len(RECORDED[agent][name]), "all that was recorded was asked for"
    assert [raw.invented for raw in kept if raw.invented] == []


@pytest.mark.parametrize("agent", AGENTS)
def test_the_cases_are_many_and_a_third_of_them_is_held_out(stage: Callable[[str], Ready], agent: str) -> None:
    cases = stage(agent).cases
    assert set(RECORDED[agent]) == {case.name for case in cases}
    assert len(cases) >= CASES_MIN[agent]
    held_out = [case for case in cases if case.held_out]
    assert 0.3 <= len(held_out) / len(cases) <= 0.4
    often = {tag for tag, times in Counter(tag for case in cases for tag in case.tags).items() if times > 4}
    assert often - {tag for case in held_out for tag in case.tags} == set()
    assert [case.name for case in cases if not case.about] == []
