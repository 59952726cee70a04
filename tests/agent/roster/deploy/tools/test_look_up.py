"""The first look: whole, in one step, and shared between threads."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from agent.roster.deploy.plan import COMPONENTS_LOOKED_UP_MAX, named_in
from agent.roster.deploy.tools.look_up import LookUp
from channels.inbound import InboundMessage
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy
from tests.shop import MERGED
from tests.telling.story import ANN

NOTHING = {"intent": "nothing_to_do"}


def looks(thread: Thread) -> list[dict[str, Any]]:
    """The results."""
    steps = [step for step in thread.state.steps.values() if step.chosen.intent == LookUp.intent_name()]
    return [step.result for step in steps if isinstance(step.result, dict)]


def counting(bot: Bot) -> None:
    """From now on each status command leaves a line."""
    status = bot.site.home / "status"
    status.write_text(status.read_text().replace("set -eu", f'set -eu\necho "$1 $2" >> "{bot.site.home}/asked"'))


def asked(bot: Bot) -> list[str]:
    return (bot.site.home / "asked").read_text().splitlines()


def commit(bot: Bot, file: str) -> str:
    """A commit that touches only this file, on top of the repository. Its short SHA."""
    work = bot.site.home / "clone"
    bot.by_hand("git", "clone", "--quiet", str(bot.site.repository), str(work))
    (work / file).write_text("new\n")
    bot.by_hand("git", "-C", str(work), "add", "--all")
    bot.by_hand("git", "-C", str(work), "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-qm", f"Touch {file}")
    bot.by_hand("git", "-C", str(work), "push", "--quiet", "origin", "HEAD")
    return bot.site.sha("HEAD")[:7]


def many(bot: Bot, count: int) -> None:
    """A site with so many more components: copies of the first."""

    def change(table: dict[str, Any]) -> None:
        first = next(iter(table["components"].values()))
        for number in range(count):
            table["components"][f"svc-{number}"] = copy.deepcopy(first)

    bot.set_up(change)


async def test_of_components_in_one_repository_each_has_its_own_commits(bot: Bot) -> None:
    newest = commit(bot, "frontend/banner")
    async with bot.working(Scripted()):
        thread = await bot.say("deploy the newest commit of the frontend")
    (look,) = looks(thread)
    assert [row["name"] for row in look["tags"]] == ["v1.1.0", "v1.0.0"], "the repository's, once"
    assert {name: [row["sha"] for row in rows] for name, rows in look["commits"].items()} == {
        "backend": [MERGED, "8a1d8cc", "22ddc54"],
        "frontend": [newest, MERGED, "8a1d8cc", "22ddc54"],
    }
    assert [(row["component"], row["environment"], row["name"]) for row in look["deployments"]] == [
        ("backend", "staging", "v1.1.0"),
        ("backend", "production", "v1.0.0"),
        ("frontend", "staging", "v1.1.0"),
        ("frontend", "production", "v1.0.0"),
    ]


async def test_what_one_place_does_not_answer_is_said_there_and_the_rest_stands(bot: Bot) -> None:
    def change(table: dict[str, Any]) -> None:
        table["components"]["frontend"]["repository"] = str(bot.site.home / "nowhere")
        table["components"]["backend"]["targets"]["staging"]["status"] = ["/bin/false"]

    bot.set_up(change)
    async with bot.working(Scripted()):
        thread = await bot.say("hello")
    (look,) = looks(thread)
    assert look["tags"]["backend"][0]["name"] == "v1.1.0"
    assert "no git repository" in look["tags"]["frontend"]["error"]
    rows = {(row["component"], row["environment"]): row for row in look["deployments"]}
    assert "failed with exit code 1" in rows["backend", "staging"]["subject"]
    assert rows["backend", "production"]["name"] == "v1.0.0"


async def test_threads_that_begin_at_once_share_their_looks(bot: Bot) -> None:
    counting(bot)
    async with bot.working(Scripted()):
        threads = [
            await bot.store.load(
                await bot.inbox.message(
                    Place(channel="terminal", address=f"desk {n}"),
                    InboundMessage(ANN, "hello", f"m{n}"),
                    agent="deploy",
                )
            )
            for n in range(20)
        ]
        rested = await asyncio.gather(*(bot.rest(thread) for thread in threads))
    assert all(looks(thread) == looks(rested[0]) for thread in rested)
    assert len(asked(bot)) < 20, "each of four targets once, or again after seconds; alone it would be 80"


async def test_after_a_deployment_what_runs_is_looked_up_anew_and_nothing_else(bot: Bot) -> None:
    async with bot.working(Scripted(deploy("backend", "staging", MERGED), NOTHING, NOTHING)):
        thread = await bot.say("deploy the backend to staging")
        again = await bot.say("and now?")
        other = await bot.say("what runs?", place="another")
    found = looks(again)
    assert list(found[-1]) == ["deployments"]
    assert found[-1]["deployments"][0]["sha"] == MERGED
    assert looks(other)[0]["deployments"][0]["sha"] == MERGED, "not what ran before"
    assert len(looks(thread)) <= len(found)


async def test_of_many_components_those_are_looked_up_that_the_words_name(bot: Bot) -> None:
    many(bot, COMPONENTS_LOOKED_UP_MAX)
    async with bot.working(Scripted()):
        thread = await bot.say("good morning")
        assert looks(thread) == []
        thread = await bot.say("what waits for svc 3 and the Frontend?")
        thread = await bot.say("and SVC-7? not svc-70")
    first, second = looks(thread)
    assert {row["component"] for row in first["deployments"]} == {"svc-3", "frontend"}
    assert {row["component"] for row in second["deployments"]} == {"svc-7"}
    assert first["commits"].keys() == {"svc-3", "frontend"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("deploy pay-api", {"pay-api"}),
        ("Deploy PAY API, and ledger_db!", {"pay-api", "ledger_db"}),
        ("pay first", {"pay"}),
        ("repay the payer", set()),
        ("pay-apis", set()),
        ("", set()),
    ],
)
def test_names_are_found_as_words_of_their_own(words: str, names: set[str]) -> None:
    assert named_in(words, ("pay", "pay-api", "ledger_db")) == names


async def test_the_model_is_not_offered_the_first_look(bot: Bot) -> None:
    agent = bot.roster["deploy"]
    assert LookUp.intent_name() not in agent.steps
    assert agent.parse("look_up", {"components": ["backend"]}).arguments["components"] == ["backend"]
