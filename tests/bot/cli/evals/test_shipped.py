"""The cases that ship, played whole with recorded answers: so every case can be passed, and the harness is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli.evals import results
from bot.cli.evals.stage import ready
from bot.cli.evals.suite import Suite
from bot.settings import Settings
from bot.setup import Setup
from tests.bot.cli.evals.recorded import model_for, recorded


@pytest.mark.parametrize("agent", ["deploy"])
async def test_every_case_can_be_passed(agent: str, tmp_path: Path) -> None:
    answers = recorded(agent)
    with ready(Setup(Settings(bot_home=tmp_path)), agent) as found:
        assert set(answers) == {case.name for case in found.cases}
        measured = results.Measured(agent, "recorded", results.fingerprint_of(found.agent), 1, results.now())
        kept = results.begin(tmp_path / "evals", measured)
        suite = Suite(found.stage, kept, lambda case: model_for(answers, case))
        await suite.play(found.cases, 1, 8)
    assert {ran.case: (ran.kind, ran.why) for ran in kept.ran.values() if ran.kind != "right"} == {}
    assert len(kept.ran) == len(found.cases)
