"""Deploying and rolling back: what people approve is what runs, and what cannot run is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from agent import Call, Meaning
from agent.roster.deploy.repository import ASK
from agent.roster.deploy.tools.rows import in_short
from channels.inbound import InboundMessage
from store.events import StepRefused, ToolFinished
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events, facts, pending
from tests.agent.roster.test_cards import card_in, check_words
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.telling.story import ANN


async def test_what_a_person_sees_is_the_full_commit_and_what_it_replaces(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
    seen = facts(thread)
    assert seen["new"]["sha"] == bot.site.sha("v1.1.0")
    assert seen["new"]["name"] == "v1.1.0"
    assert seen["new"]["ref"] == "refs/tags/v1.1.0"
    assert seen["new"]["subject"] == "Show delivery dates in the basket"
    assert seen["new"]["author"] == "Lin Berg"
    assert seen["running"]["sha"] == bot.site.sha("v1.0.0")
    assert seen["adds"] == ["8a1d8cc Show delivery dates in the basket (Lin Berg)"]
    assert "note" not in seen
    assert [*seen] == ["new", "adds", "running", "command_runs"]
    assert pending(thread).title == "Deploy backend v1.1.0 (8a1d8cc) to production"
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")


async def test_what_a_revision_stands_for_is_a_tag_or_a_commit(bot: Bot) -> None:
    bot.by_hand("git", "-C", str(bot.site.repository), "branch", "v1.9-branch", "v1.1.0")
    sha = bot.site.sha("v1.1.0")
    agent = bot.roster["deploy"]
    resources = agent.resources_of("deploy")
    (tool,) = [tool for tool in agent.tools if tool.intent_name() == "deploy"]
    for revision, name in {"v1.1.0": "v1.1.0", "refs/tags/v1.1.0": "v1.1.0", "v1.9-branch": "", sha: ""}.items():
        step = tool.model_validate({"component": "backend", "environment": "production", "revision": revision})
        call = Call("t1", "k", 1, datetime.now(UTC), "Ann", resources=resources)
        facts = await step.prepare(call)
        assert step.meanings(facts) == {"revision": Meaning(name, "backend", sha)}
        both = [Meaning(name, component, sha) for component in ("backend", "frontend")]
        assert await tool.meanings_now("revision", revision, resources) == both
    assert await tool.meanings_now("revision", "v9.9.9", resources) == []
    assert list(await tool.meanings_now("environment", "production", resources)) == []


async def test_what_is_deployed_nowhere_before_need_not_run_there(bot: Bot) -> None:
    bot.set_up(lambda table: table["components"]["backend"]["targets"].pop("staging"))
    async with bot.working(Scripted(deploy("backend", "production", "v1.1.0"))):
        thread = await bot.say("deploy the backend v1.1.0 to production, there is no staging")
    assert "note" not in facts(thread)


async def test_a_tag_that_moves_after_the_approval_does_not_change_what_is_deployed(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
        bot.by_hand("git", "-C", str(bot.site.repository), "tag", "--force", "v1.1.0", MERGED)
        await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == facts(thread)["new"]["sha"] != bot.site.sha("v1.1.0")


async def test_a_target_that_changed_since_the_approval_is_left_alone(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
        merged = bot.site.sha(MERGED)
        bot.by_hand(str(bot.site.home / "deploy"), "backend", "production", merged, "somebody")
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == merged
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert "has changed since" in failed.error


async def test_what_was_rolled_back_on_the_environment_before_is_not_deployed_any_more(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
        old = bot.site.sha("v1.0.0")
        bot.by_hand(str(bot.site.home / "deploy"), "backend", "staging", old, "somebody")
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == old
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert failed.error == (
        "Not started: backend production has changed since this was prepared: "
        "8a1d8cc does NOT run on staging, which comes before."
    )
    assert failed.hint == "Look again before you propose it again."


async def test_what_was_shown_and_waived_is_no_change(bot: Bot) -> None:
    step = deploy("backend", "production", MERGED, message="m2", words="skip staging")
    async with bot.working(Scripted(step)):
        thread = await bot.settle(await bot.say("skip staging"), approved=True)
    assert not [event for event in events(thread, ToolFinished) if event.error]
    assert bot.site.running("backend", "production") == bot.site.sha(MERGED)


async def test_a_waiver_of_one_danger_is_none_of_another_that_came_later(bot: Bot) -> None:
    step = deploy("backend", "production", "v1.1.0", message="m2", words="now")
    async with bot.working(Scripted(step)):
        thread = await bot.say("do it now")
        assert "note" not in facts(thread)
        bot.by_hand(str(bot.site.home / "deploy"), "backend", "staging", bot.site.sha("v1.0.0"), "somebody")
        thread = await bot.settle(thread, approved=True)
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert "does NOT run on staging" in failed.error


async def test_the_card_of_a_rollback_asks_about_it_and_says_in_words_what_it_takes_back(bot: Bot) -> None:
    async with bot.working():
        await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        thread = await bot.say("roll back the backend")
    check_words(card := card_in(thread))
    short = bot.site.sha("v1.0.0")[:7]
    assert card.question == f"Roll back backend on production to v1.0.0 ({short})?"
    assert [*card.rows][:3] == ["will run", "what is taken back", "runs now"]
    assert card.rows["what is taken back"] == ["8a1d8cc Show delivery dates in the basket (Lin Berg)"]


async def test_a_rollback_to_another_revision_than_today_is_not_begun(bot: Bot) -> None:
    """Others have deployed there meanwhile, and what runs is the same again."""
    async with bot.working():
        await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        await bot.settle(await bot.say(f"deploy the backend {MERGED} to production"), approved=True)
        thread = await bot.say("roll back the backend")
    shown = facts(thread)
    assert shown["new"]["sha"] == bot.site.sha("v1.1.0")
    for revision in ("v1.0.0", MERGED):
        step = deploy("backend", "production", revision, message="m2", words="do it")
        async with bot.working(Scripted(step)):
            await bot.settle(await bot.say("do it", place=revision), approved=True)
    assert bot.site.running("backend", "production") == shown["running"]["sha"]
    async with bot.working():
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == shown["running"]["sha"]
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert "it would go back to 22ddc54 now" in failed.error


@pytest.mark.parametrize(
    "revision", ["--upload-pack=touch hacked", "v1.0.0; touch hacked", "$(touch hacked)", "v9.9.9", ""]
)
async def test_a_hostile_or_missing_revision_is_refused_before_anybody_is_asked(bot: Bot, revision: str) -> None:
    async with bot.working(Scripted(deploy("backend", "production", revision))):
        thread = await bot.say("deploy that")
    (refused,) = events(thread, StepRefused)
    assert thread.pending is None
    assert "revision" in refused.error
    assert not list(bot.site.home.parent.rglob("hacked"))
    assert len(bot.site.deployed()) == 4, "what the site began with"


async def test_a_revision_that_is_not_there_becomes_no_other_before_a_person_says_so(bot: Bot) -> None:
    taken = deploy("backend", "staging", "v1.1.0")
    async with bot.working(Scripted(deploy("backend", "staging", "v9.9.9"), taken)):
        thread = await bot.say("deploy v9.9.9 to staging")
    missing, instead = events(thread, StepRefused)
    assert (missing.unknown, missing.hint) == ("v9.9.9", ASK)
    assert instead.error == "There is no 'v9.9.9', and nobody has said what they mean instead: ask them."
    async with bot.working(Scripted(taken)):
        thread = await bot.say("then take the one before", place=thread.place.address)
    assert "runs there already" in events(thread, StepRefused)[2].error


async def test_staging_needs_no_approval_and_production_does(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say(f"deploy the backend {MERGED} to production")
    assert bot.site.running("backend", "staging") == bot.site.sha(MERGED)
    assert pending(thread).chosen.arguments["environment"] == "production"


async def test_a_rollback_goes_back_to_what_ran_before_and_not_forward_again(bot: Bot) -> None:
    async with bot.working():
        await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        thread = await bot.say("roll back the backend")
        assert facts(thread)["new"]["sha"] == bot.site.sha("v1.0.0")
        short = bot.site.sha("v1.0.0")[:7]
        assert pending(thread).title == f"Roll back backend on production to v1.0.0 ({short})"
        assert facts(thread)["running"]["sha"] == bot.site.sha("v1.1.0")
        assert facts(thread)["takes_back"][0].startswith(f"{bot.site.sha('v1.1.0')[:7]} ")
        assert not any(bot.site.sha("v1.0.0")[:7] in row for row in facts(thread)["takes_back"])
        await bot.settle(thread, approved=True)
        assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")
        thread = await bot.say("roll back the backend")
    assert thread.pending is None
    assert "No earlier good revision" in events(thread, StepRefused)[-1].error


async def test_one_target_is_deployed_by_one_thread_at_a_time(bot: Bot) -> None:
    gate = bot.site.home / "gate"
    script = (bot.site.home / "deploy").read_text()
    waiting = script.replace("set -eu", f'set -eu\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done')
    (bot.site.home / "deploy").write_text(waiting)
    step = deploy("backend", "staging", MERGED)
    async with bot.working(Scripted(step, step)):
        place = Place(channel="terminal", address="first")
        first = await bot.store.load(
            await bot.inbox.message(place, InboundMessage(ANN, "deploy", "m1"), agent="deploy")
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(first):
                if now.open_steps("waiting"):
                    break
        second = await bot.say("deploy the same", place="second")
        gate.touch()
        first = await bot.rest(await bot.store.load(first.id))
    (failed,) = [event for event in events(second, ToolFinished) if event.error]
    assert "busy" in failed.error
    assert len(bot.site.deployed()) == 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "4af9ec0"),
        ("v1.3.0", "v1.3.0 (4af9ec0)"),
        ("release/größe+1", "release/größe+1 (4af9ec0)"),
        ("v1\u00a0(bad1234)\u00a0to\u00a0staging.", '"v1\\u00a0(bad1234)\\u00a0to\\u00a0staging." (4af9ec0)'),
        ('v1" now', '"v1\\" now" (4af9ec0)'),
        ("v" * 80, "v" * 49 + "… (4af9ec0)"),
    ],
)
def test_the_name_of_a_commit_cannot_continue_the_sentence(name: str, said: str) -> None:
    assert in_short({"sha": "4af9ec0" + "0" * 33, "name": name}) == said
