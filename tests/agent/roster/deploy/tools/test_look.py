"""Looking at tags, commits and targets."""

from __future__ import annotations

from dataclasses import replace

from agent.roster import deploy as deploybot
from bot.team.file import read_team
from store.events import StepRefused
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events


async def test_tags_commits_and_deployments_are_looked_up_by_code_before_the_model_is_asked(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        await bot.say("hello")
    (prompt,) = model.prompts
    assert "v1.1.0,8a1d8cc,2026-11-18T14:40,Lin Berg,Show delivery dates in the basket" in prompt
    assert "4af9ec0,2026-11-20T16:05,Ada Okafor,Pay by invoice" in prompt
    assert "backend,production,22ddc54,v1.0.0" in prompt


async def test_a_component_that_is_not_set_up_is_an_error_that_the_model_reads(bot: Bot) -> None:
    configured = read_team(bot.site.home.parent / "bot.toml").agents["deploy"]["components"]
    table = {"components": {"backend": configured["backend"]}}
    bot.roster["deploy"] = replace(deploybot.build(table, bot.site.home.parent), limits=bot.roster["deploy"].limits)
    async with bot.working(Scripted(deploy("frontend", "staging", "v1.1.0"))):
        thread = await bot.say("deploy the frontend")
    (refused,) = events(thread, StepRefused)
    assert refused.error == "frontend is not set up. Known are backend."
