"""What the README and the pages in docs/ say is true: their code runs, their configuration loads, and the README names
every command and setting.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.arguments import arguments_of
from agent.definition import Agent
from agent.roster import deploy, rollback
from agent.steps import Call, Tool, ToolError
from bot.app import roster_problems
from bot.cli.main import COMMANDS
from bot.settings import Settings
from bot.setup import Setup, load
from bot.team.agents import build_agents
from bot.team.file import Team
from bot.team.tokens import sha256_of, token_problems
from tests import ROOT
from tests.telling.playbook import World, done

README = (ROOT / "README.md").read_text(encoding="utf-8")
POLICIES = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
SITE = (ROOT / "docs" / "site.md").read_text(encoding="utf-8")


def block(language: str, containing: str, page: str = README) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    found = [body for body in blocks if containing in body]
    assert len(found) == 1, f"one {language} block with {containing!r}"
    return found[0]


async def test_the_tool_in_the_readme_is_one() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(block("python", "class RestartService"), "README.md", "exec", dont_inherit=True), names)  # noqa: S102 - our own README
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


async def test_an_agent_is_added_as_the_readme_says(beside: Path) -> None:
    folder = beside / "agents" / "db"
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_text("You look after our database.")
    (folder / "__init__.py").write_text(block("python", 'NAME = "db"'))
    (beside / "bot.toml").write_text(block("toml", "[agents.db]"))
    setup = load(roster_problems)
    agents = build_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    world = World()
    world.roster["ops"] = agents["db"]
    world.model.answers(agents["db"].parse("count_connections", {}), done("Seven."))
    await world.say("how many connections?")
    assert await world.run() == ["said: Seven."]
    assert "host: db.example.com\nconnections: 7" in world.model.prompts[1]
    assert agents["db"].prompt == "You look after our database."


def test_one_that_ships_is_copied_as_the_readme_says(beside: Path) -> None:
    folder = beside / "agents" / "yours"
    shutil.copytree(Path(rollback.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = (folder / "__init__.py").read_text()
    (folder / "__init__.py").write_text(code.replace('NAME = "rollback"', 'NAME = "yours"'))
    site = block("toml", "[agents.deploy.components.ledger]", SITE)
    (beside / "bot.toml").write_text(f"{site}\n[agents.yours]\n")
    setup = load(roster_problems)
    agents = build_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    assert list(agents) == ["deploy", "yours", "rollback"]
    assert agents["yours"].tools == agents["rollback"].tools


@pytest.mark.parametrize(
    ("pages", "parts", "components"),
    [
        pytest.param((README,), 5, ("payments",), id="README"),
        pytest.param((POLICIES, SITE), 2, ("payments", "ledger"), id="docs"),
    ],
)
def test_the_team_file_on_these_pages_loads(
    tmp_path: Path, pages: tuple[str, ...], parts: int, components: tuple[str, ...]
) -> None:
    found = [part for page in pages for part in re.findall(r"```toml\n(# bot.toml.*?)```", page, re.DOTALL)]
    assert len(found) == parts
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


def test_every_page_that_is_linked_is_there() -> None:
    for page in re.findall(r"\]\(((?:docs|\.github)/[^)#]*)\)", README):
        assert (ROOT / page).exists(), page


def test_every_command_is_named() -> None:
    named = set(re.findall(r"`bot ([a-z]+)", README))
    assert named == set(COMMANDS)


def test_every_setting_is_named() -> None:
    table = README[README.index("## Settings") : README.index("## Commands")]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", table.split("Your own Redis")[0]))
    assert named == {name.upper() for name in Settings.model_fields}


def test_every_make_target_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_file_that_the_readme_names_exists() -> None:
    root = ROOT
    for name in re.findall(r"`((?:agent|bot|channels|store)/[\w./]*)`", README):
        if "yours" not in name:
            assert (root / name).exists(), name
