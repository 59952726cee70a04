"""The samples on the pages are true: the Python runs, the TOML loads, the JSON is JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from agent.arguments import arguments_of
from agent.definition import Agent
from agent.roster import deploy, rollback
from agent.roster.deploy.deployers.github import GitHubTarget
from agent.roster.deploy.github.workflow import problem_in
from agent.steps import Call, Tool, ToolError
from bot.app import policies_of, roster_problems
from bot.settings import Settings
from bot.setup import Setup, load
from bot.team.agents import build_agents
from bot.team.file import Team
from bot.team.rule_checks import rule_warnings
from bot.team.tokens import sha256_of, token_problems
from tests.docs.pages import DOCS, PAGES, README, Page
from tests.telling.playbook import World, done

AGENTS = DOCS["agents"]
PARTS = re.compile(r"# bot\.toml\n")
RUN_HERE = {"class RestartService", 'NAME = "db"'}
"""The Python that the tests below run."""
ELSEWHERE = {
    "class OurTarget": "tests/docs/test_deployers.py runs it against the suite of all deployers",
    "SlackServer.from_manifest": "tests/stories/test_slack.py runs these calls",
    "while (action := decide": "two lines of agent/loop.py",
}
"""The Python that nothing here can run: what it is of."""
WHOLE_FILES = {
    "[agents.db]": "loaded by the test of that agent",
    "[agents.payments]": "loaded below, like the next",
    "[agents.issues]": "",
    "[agents.deploy.components.shop-web]": "loaded below",
    "[agents.deploy.components.web]": "",
    "of payments to prod-eu": "",
    "[github.environments.": "",
    "[agents.deploy.components.shop]": "what `bot init` writes: tests/bot/cli/test_init.py",
}
"""The TOML that is no part of one team file."""


async def test_the_tool_on_the_page_is_one() -> None:
    names: dict[str, object] = {"__name__": "docs"}
    text = AGENTS.block("python", "class RestartService")
    exec(compile(text, AGENTS.name, "exec", dont_inherit=True), names)  # noqa: S102 - our own page
    tool = names["RestartService"]
    assert isinstance(tool, type)
    assert issubclass(tool, Tool)
    agent = Agent(name="ops", prompt="", tools=(tool,))
    call = Call(thread_id="t", key="t/s1", attempt=1, now=datetime.now(UTC), requested_by="ann")
    step = agent.parse("restart_service", {"service": "web"})
    assert isinstance(step, Tool)
    assert step.needs_approval()
    assert await step.prepare(call) == {"running_since": "2026-11-20"}
    assert await step.run(call) == {"restarted": "web", "key": "t/s1"}
    wrong = agent.parse("restart_service", {"service": "db"})
    assert isinstance(wrong, Tool)
    with pytest.raises(ToolError, match="There are web and worker"):
        await wrong.prepare(call)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a team file. What is imported from it, nobody finds later."""
    path, known = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == "agents":
            del sys.modules[name]


async def test_an_agent_is_added_as_the_page_says(beside: Path) -> None:
    folder = beside / "agents" / "db"
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_text("You look after our database.")
    (folder / "__init__.py").write_text(AGENTS.block("python", 'NAME = "db"'))
    (beside / "bot.toml").write_text(AGENTS.block("toml", "[agents.db]"))
    setup = load(roster_problems)
    agents = build_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    world = World()
    world.roster["ops"] = agents["db"]
    world.model.answers(agents["db"].parse("count_connections", {}), done("Seven."))
    await world.say("how many connections?")
    assert await world.run() == ["said: Seven."]
    assert "host: db.example.com\nconnections: 7" in world.model.prompts[1]
    assert agents["db"].prompt == "You look after our database."


def test_one_that_ships_is_copied_as_the_page_says(beside: Path) -> None:
    folder = beside / "agents" / "yours"
    shutil.copytree(Path(rollback.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = (folder / "__init__.py").read_text()
    (folder / "__init__.py").write_text(code.replace('NAME = "rollback"', 'NAME = "yours"'))
    site = DOCS["site"].block("toml", "[agents.deploy.components.ledger]")
    (beside / "bot.toml").write_text(f"{site}\n[agents.yours]\n")
    setup = load(roster_problems)
    agents = build_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    assert list(agents) == ["deploy", "yours", "rollback"]
    assert agents["yours"].tools == agents["rollback"].tools


def test_all_python_is_run_somewhere() -> None:
    blocks = [body for page in PAGES for body in page.blocks("python")]
    for body in blocks:
        compile(body, "page", "exec", dont_inherit=True, flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        assert sum(mark in body for mark in (*RUN_HERE, *ELSEWHERE)) == 1, body
    assert len(blocks) == len(RUN_HERE) + len(ELSEWHERE)


@pytest.mark.parametrize(
    ("pages", "components"),
    [
        pytest.param((README,), ("payments",), id="README"),
        pytest.param(tuple(DOCS.values()), ("payments", "ledger"), id="docs"),
    ],
)
def test_the_parts_of_a_team_file_load_together(
    tmp_path: Path, pages: tuple[Page, ...], components: tuple[str, ...]
) -> None:
    found = [body for page in pages for body in page.blocks("toml") if PARTS.match(body)]
    text = "\n".join(found).replace('sha256 = "…"', f'sha256 = "{sha256_of("a random token")}"')
    team = Team.model_validate(tomllib.loads(text))
    assert token_problems(team.tokens, team.people) == []
    agent = deploy.build(team.agents["deploy"], tmp_path)
    deploys = next(tool for tool in agent.tools if tool.intent_name() == "deploy")
    assert arguments_of(deploys)["component"].values == components
    settings = Settings(
        bot_home=tmp_path,
        slack_bot_token=SecretStr("xoxb-1"),
        email_address="bot@example.com",
        imap_url="imaps://bot:secret@imap.example.com",
        smtp_url="smtps://bot:secret@smtp.example.com",
    )
    problems = roster_problems(Setup(settings, team))
    # The example knows one person, who is in all of its groups.
    alone = ("quorum is", "may decide from the start")
    assert [text for text in problems if not any(words in text for words in alone)] == [], problems


@pytest.mark.parametrize("name", ["payments", "issues"])
def test_the_page_of_an_agent_sets_it_up(name: str, tmp_path: Path) -> None:
    text = DOCS[name].block("toml", f"[agents.{name}]")
    groups = 'groups = ["finance"]' if "finance" in text else ""
    people = "".join(f'[people.{person}]\nlogins = ["{person}"]\n{groups}\n' for person in ("kim", "ann"))
    team = Team.model_validate(tomllib.loads(text + people))
    setup = Setup(Settings(bot_home=tmp_path), team)
    assert roster_problems(setup) == []
    agents = build_agents(team, tmp_path, tmp_path).built
    assert name in agents
    assert rule_warnings(agents, policies_of(setup)) == []


def test_the_page_of_vercel_sets_up_a_site(tmp_path: Path) -> None:
    text = DOCS["vercel"].block("toml", "[agents.deploy.components.shop-web]")
    team = Team.model_validate(tomllib.loads(f'{text}[people.kim]\nlogins = ["kim"]\n'))
    setup = Setup(Settings(bot_home=tmp_path), team)
    assert roster_problems(setup) == []
    (shop,) = deploy.targets(team.agents["deploy"], tmp_path).config.components.values()
    assert {target.kind for target in shop.targets.values()} == {"vercel"}


def test_the_page_of_github_sets_up_a_site_and_its_workflow_can_be_followed(tmp_path: Path) -> None:
    page = DOCS["github"]
    text = page.block("toml", "[agents.deploy.components.web]")
    team = Team.model_validate(tomllib.loads(f'{text}[people.kim]\nlogins = ["kim"]\n'))
    assert roster_problems(Setup(Settings(bot_home=tmp_path), team)) == []
    (shop,) = deploy.targets(team.agents["deploy"], tmp_path).config.components.values()
    workflow = page.block("yaml", "workflow_dispatch")
    for target in shop.targets.values():
        assert isinstance(target, GitHubTarget)
        named = (target.inputs.commit, target.inputs.environment, target.inputs.key)
        assert problem_in(workflow, given=(*named, *target.also), named=named) == ""


def test_the_page_of_github_says_which_environments_are_decided_here() -> None:
    team = Team.model_validate(tomllib.loads(DOCS["github"].block("toml", "[github.environments.")))
    assert list(team.github.environments) == ["acme/payments"]
    assert team.people["kim"].github == "kim-example"


def test_the_page_of_the_pipeline_is_a_whole_team_file(tmp_path: Path) -> None:
    text = DOCS["pipeline"].block("toml", "of payments to prod-eu")
    team = Team.model_validate(tomllib.loads(text))
    settings = Settings(bot_home=tmp_path, slack_bot_token=SecretStr("xoxb-1"))
    assert roster_problems(Setup(settings, team)) == []
    assert deploy.targets(team.agents["deploy"], tmp_path).config.supersedes("payments", "prod-eu")
    assert [rule.event for rule in team.hooks["github"].on] == ["pull_request_merged"]


def test_all_toml_is_loaded_somewhere() -> None:
    others = [body for page in PAGES for body in page.blocks("toml") if not PARTS.match(body)]
    for body in others:
        tomllib.loads(body)
        assert sum(mark in body for mark in WHOLE_FILES) == 1, body
    assert len(others) == len(WHOLE_FILES)


def test_all_json_and_yaml_can_be_read() -> None:
    for page in PAGES:
        for body in page.blocks("json"):
            json.loads(body)
        for body in page.blocks("yaml"):
            assert yaml.safe_load(body), page.name
