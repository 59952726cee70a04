"""`bot init`, the site: a first team file that the program takes as it is, and that overwrites nothing."""

from __future__ import annotations

import asyncio
import subprocess
import tomllib
from pathlib import Path

import pytest

from bot.app import policies_of, roster_problems
from bot.cli.first_file import FirstSite, team_file
from bot.settings import Settings
from bot.setup import Setup
from bot.team.agents import build_agents
from bot.team.file import Team, inspect_team
from bot.team.people import People
from bot.team.rule_checks import rule_warnings
from tests import ROOT
from tests.stories.program import Bot, Terminal

SITE = FirstSite(
    component="shop",
    environments=("staging", "production"),
    repository="/srv/git/shop.git",
    deploy=("/srv/bin/deploy", "{component}", "{environment}", "{sha}"),
    status=("/srv/bin/status", "{component}", "{environment}"),
)
FLAGS = (
    *("--component", "shop", "--environment", "staging", "--environment", "production"),
    *("--repository", "shop.git", "--deploy", "/srv/bin/deploy {component} {environment} '{sha}'"),
    *("--status", "/srv/bin/status {component} {environment}"),
)


@pytest.mark.parametrize(
    ("site", "login"),
    [
        (SITE, "dex@build-1"),
        (SITE._replace(environments=("live",)), "root@localhost"),
        (SITE._replace(component="pay-ments_2", environments=tuple(f"env-{n}" for n in range(5))), "Dex.H@corp@laptop"),
        (SITE._replace(repository='/srv/"it\'s"\\ours\x7f'), "api@laptop"),
        (SITE, "__@laptop"),
    ],
)
def test_the_program_takes_the_file_and_who_wrote_it_may_approve(site: FirstSite, login: str, tmp_path: Path) -> None:
    team = Team.model_validate(tomllib.loads(team_file(site, login)))
    setup = Setup(Settings(bot_home=tmp_path), team)
    assert roster_problems(setup) == []
    agents = build_agents(team, tmp_path, tmp_path).built
    assert "deploy" in agents
    people = People(team.people)
    assert rule_warnings(agents, policies_of(setup)) == []
    assert people.belongs(people.person(people.by_login(login)), "team")
    deploy = team.agents["deploy"]
    assert list(deploy["environments"]) == [*site.environments]
    assert all("approval" not in one for one in deploy["environments"].values()), "nothing runs without an approval"


def test_the_example_on_the_page_is_what_it_writes() -> None:
    assert f"```toml\n{team_file(SITE, 'dex@build-1')}```" in (ROOT / "docs" / "quick-start.md").read_text(
        encoding="utf-8"
    )


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


@pytest.mark.slow
async def test_options_say_it_all(bot: Bot) -> None:
    done = await bot.run("init", *FLAGS)
    assert done.code == 0
    checked, _, wrote = done.out.splitlines()
    assert checked.startswith("failed   agents: "), "there is no such repository, and the doctor's check says so"
    assert wrote == "Wrote bot.toml: shop to staging, production."
    for words in ("bot doctor", "bot chat", "OPENAI_MODEL"):
        assert words in done.err
    file = bot.folder / "bot.toml"
    assert file.read_text() == team_file(SITE._replace(repository=str(bot.folder / "shop.git")), "dex@here")
    team, problems = inspect_team(file)
    assert (problems, list(team.people)) == ([], ["dex"])
    printed = (await bot.run("init", "--schema")).succeeded()
    assert printed.out == (bot.folder / "bot.schema.json").read_text(), "which its first line names for editors"
    assert file.read_text().startswith("#:schema ./bot.schema.json\n")
    (await bot.run("init", "--schema", "--yes")).failed("--schema takes no other option", code=2)
    again = await bot.run("init", *FLAGS)
    again.failed("bot.toml exists already, so nothing was written")


@pytest.mark.slow
async def test_what_cannot_be_is_said_and_nothing_is_written(bot: Bot) -> None:
    wrong = {
        ("init",): ["--repository, --component, --environment, --deploy, --status"],
        ("init", "--yes"): ["--deploy, --status", "at a terminal"],
        ("init", *FLAGS, "--status", "echo 'oops"): ["--status", "No closing quotation"],
    }
    for result, words in zip(await bot.all(*wrong), wrong.values(), strict=True):
        result.failed(*words)
    for option, value, problem in (
        ("--component", "Sh op", "agents.deploy.components.Sh op"),
        ("--deploy", "{sha} /srv/bin/deploy", "the program '{sha}' must not contain a placeholder"),
    ):
        refused = await bot.run("init", *FLAGS, option, value)
        assert refused.code == 1
        assert "Nothing was written to bot.toml" in refused.err
        assert problem in refused.err
    assert not (bot.folder / "bot.toml").exists()


PARTS = (
    "The model's name: ",
    "The bot token (xoxb-…), not shown: ",
    "The address that people write to: ",
    "Your name [dex]: ",
)
"""The first question of each part after the site."""


async def leaves_the_rest(person: Terminal) -> None:
    for question in PARTS:
        await person.sees(question)
        person.types("later")
        await person.sees("Left for later.")


@pytest.mark.slow
async def test_it_asks_and_suggests_what_it_finds(bot: Bot) -> None:
    shop = bot.folder / "Web Shop"
    await asyncio.to_thread(subprocess.run, ["git", "init", "--quiet", str(shop)], check=True)
    bot.folder = shop
    async with bot.terminal("init", "--status", "/srv/bin/status {component} {environment}") as person:
        await person.sees(f"The git repository [{shop}]: ")
        person.types("")
        await person.sees("The name of what is deployed [web-shop]: ")
        person.types("shop")
        await person.sees("in their order [staging production]: ")
        person.types("dev, live")
        await person.sees("The command that deploys it, with {component} {environment} {sha}: ")
        person.types("/srv/bin/deploy {component} {environment} {sha}")
        await person.sees("failed   agents: ")
        await person.sees("Enter: answer again, later: leave it for later, keep: keep it as it is: ")
        person.types("keep")
        await person.sees("Wrote bot.toml: shop to dev, live.")
        await leaves_the_rest(person)
        await person.sees("Left for later: The site, The model, Slack, Mail, Who you are.")
        await person.sees("bot run")
        assert await person.ends() == 0
    written = tomllib.loads((shop / "bot.toml").read_text())["agents"]["deploy"]
    assert written["components"]["shop"]["repository"] == str(shop)
    assert written["environments"] == {"dev": {}, "live": {"after": "dev"}}


@pytest.mark.slow
async def test_an_answer_that_is_needed_is_asked_for_again(bot: Bot) -> None:
    async with bot.terminal("init", "--repository", "/srv/git/Web Shop.git", "--status", "/srv/bin/status") as person:
        await person.sees("The name of what is deployed [web-shop]: ")
        person.types("")
        await person.sees("in their order [staging production]: ")
        person.types("")
        for _ in range(2):
            await person.sees("The command that deploys it, with {component} {environment} {sha}: ")
            person.types("")
        await person.sees("The command that deploys it, with {component} {environment} {sha}: ")
        person.types("/srv/bin/deploy {sha}")
        await person.sees("keep it as it is: ")
        person.types("keep")
        await person.sees("Wrote bot.toml: web-shop to staging, production.")


@pytest.mark.slow
async def test_nobody_types_an_answer_again_to_correct_another(bot: Bot) -> None:
    async with bot.terminal("init", *FLAGS[2:]) as person:
        await person.sees("The name of what is deployed")
        person.types("Sh op")
        await person.sees("a name has lower-case letters, digits, - and _")
        await person.sees("The git repository [shop.git]: ")
        person.types("")
        await person.sees("The name of what is deployed [Sh op]: ")
        assert not (bot.folder / "bot.toml").exists()
        person.types("shop")
        for suggested in ("[staging production]: ", "'{sha}']: ", "{environment}]: "):
            await person.sees(suggested)
            person.types("")
        await person.sees("keep it as it is: ")
        person.types("keep")
        await person.sees("Wrote bot.toml: shop to staging, production.")


@pytest.mark.slow
async def test_who_leaves_before_the_last_answer_has_written_nothing(bot: Bot) -> None:
    async with bot.terminal("init") as person:
        await person.sees("The git repository: ")
        person.presses("C")
        assert await person.ends() == 130
    async with bot.terminal("init") as person:
        await person.sees("The git repository: ")
        person.presses("D")
        await person.sees("Left here.")
        assert await person.ends() == 1
    assert [*bot.folder.iterdir()] == []
