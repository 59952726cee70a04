"""`bot eval` as people and CI type it: a process, and a model server over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.evals.case import Case
from bot.cli.evals.stage import ready
from bot.settings import Settings
from bot.setup import Setup
from tests.bot.cli.evals.recorded import Answering
from tests.fakes.model_server import ModelServer
from tests.stories.program import Bot

pytestmark = pytest.mark.slow


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """As a model that deploys to the lab whenever it reads of football."""
    said = asked["messages"][-1]["content"]
    if "match yesterday" in said:
        return {"intent": "deploy", "component": "orders", "environment": "lab", "revision": "8da8a06"}
    return {"intent": "nothing_to_do"}


def read_case(text: str) -> Case:
    data = yaml.safe_load(text)
    return Case.model_validate({**data["cases"][0], "tags": data["tags"]})


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
    assert document["rung"] == "json_schema"
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
    (await bot.run("eval", "--max-cost", "1")).failed("--max-cost has no effect")
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


async def test_a_thread_becomes_a_case_without_its_people(bot: Bot, template: Path) -> None:
    bot = bot.with_site(template)
    thread = await bot.run("send", "--as", "Grace Hopper", "Robert, the match yesterday! call me: grace@navy.example")
    thread_id = thread.succeeded().out.strip()
    made = (await bot.run("eval", "add", thread_id, "--at", "2", "--name", "small-talk")).succeeded().out
    assert "Grace" not in made
    assert "navy" not in made
    assert "from: Ada" in made
    secret = (await bot.run("send", "--thread", thread_id, "the password: hunter2-hunter2")).code
    assert secret == 0
    (await bot.run("eval", "add", thread_id, "--at", "3")).failed("Nothing was written", "a password")
    (await bot.run("eval", "add", thread_id, "--at", "99")).failed("--at takes 2 to 3")


async def test_a_case_of_a_thread_can_be_played(bot: Bot, template: Path, tmp_path: Path) -> None:
    """It went on for a while: what was looked up and chosen comes as events, and the case goes on from there."""
    bot = bot.with_site(template)
    done = await bot.run("send", "--wait", "--json", "what is on staging?")
    thread_id = done.document["id"]
    await bot.run("send", "--wait", "--thread", thread_id, "and thanks!")
    made = (await bot.run("eval", "add", thread_id, "--name", "from-a-thread")).succeeded().out
    assert "intent: nothing_to_do" in made
    assert "staging" not in made
    case = read_case(made)
    with ready(Setup(Settings(bot_home=tmp_path / "home")), "deploy") as found:
        played = await found.stage.play(case, Answering({"intent": "nothing_to_do"}), lambda _: None)
    assert played.verdict.kind == "right", played
