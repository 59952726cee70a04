"""`bot eval` as people and CI type it: a process, and a model server over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server import ModelServer
from tests.stories.program import Bot

pytestmark = pytest.mark.slow


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """As a model that deploys to the lab whenever it reads of football."""
    said = asked["messages"][-1]["content"]
    if "match yesterday" in said:
        return {"intent": "deploy", "component": "orders", "environment": "lab", "revision": "8da8a06"}
    return {"intent": "nothing_to_do"}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(answer) as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, model: ModelServer) -> Bot:
    there = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "OPENAI_API_KEY": "any"}
    return Bot(tmp_path, there)


async def test_the_exit_code_says_whether_all_ended_right(bot: Bot) -> None:
    done = await bot.run("eval", "--only", "thanks", "--only", "greeting")
    assert done.code == 0, done
    assert "right:           2 of 2" in done.out
    wrong = await bot.run("eval", "deploy", "--only", "football")
    assert wrong.code == 1, wrong
    assert "wrong run    football: deploy(component='orders'" in wrong.out
    assert "wrong actions: 1" in wrong.err


async def test_one_measurement_is_compared_with_the_last_and_any_two_with_each_other(bot: Bot) -> None:
    await bot.run("eval", "--only", "thanks")
    first, *_ = (bot.home / "evals" / "deploy").iterdir()
    document = (await bot.run("eval", "--only", "thanks", "--again", "--json")).document
    assert (document["right"]["share"], document["changes"]) == (1.0, [])
    second = max((bot.home / "evals" / "deploy").iterdir())
    assert second != first
    assert (second / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    compared = await bot.run("eval", "compare", str(first), str(second))
    assert "No case ended otherwise." in compared.succeeded().out
    results = second / "results.jsonl"
    results.write_text(results.read_text(encoding="utf-8").replace('"kind": "right"', '"kind": "wrong_card"'))
    compared = await bot.run("eval", "compare", str(first), str(second))
    assert "worse  thanks: right (1 of 1) -> wrong card (0 of 1)" in compared.succeeded().out


async def test_what_is_typed_wrong_is_said_in_one_line(bot: Bot, tmp_path: Path) -> None:
    (await bot.run("eval", "--only", "no-such-case")).failed("'no-such-case'")
    (await bot.run("eval", "nobody")).failed("'nobody' is no agent")
    (await bot.run("eval", "compare", str(tmp_path), str(tmp_path))).failed("holds no results", code=2)
    (await bot.run("eval", "--model", "cheap", "--only", "thanks")).failed("'cheap' is no model")


async def test_a_team_has_cases_for_its_own_agent(bot: Bot, tmp_path: Path) -> None:
    own = tmp_path / "agents" / "greeter"
    (own / "evals").mkdir(parents=True)
    (tmp_path / "agents" / "__init__.py").touch()
    (own / "__init__.py").write_text(
        "from agent import Agent\n"
        'NAME = "greeter"\n'
        "def build(table, home):\n"
        '    return Agent(name=NAME, prompt="You greet people.", tools=())\n'
    )
    (own / "evals" / "all.yaml").write_text(
        "tags: [all]\ncases:\n- {name: hello, given: [hello], then: [{intent: nothing_to_do}]}\n"
    )
    (tmp_path / "bot.toml").write_text("[agents.greeter]\n")
    done = await bot.run("eval", "greeter")
    assert done.code == 0, done
    assert "greeter with m, 1 cases, 1 runs" in done.out
    (own / "evals" / "all.yaml").write_text("cases:\n- {name: hello, given: [hello], then: [{intent: deploy}]}\n")
    (await bot.run("eval", "greeter")).failed("all.yaml: case hello")
