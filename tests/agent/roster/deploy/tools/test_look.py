"""Looking at tags, commits and targets."""

from __future__ import annotations

import pytest

from agent.definition import UnusableStep
from agent.model.schema import validated
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy


async def test_tags_commits_and_deployments_are_looked_up_by_code_before_the_model_is_asked(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        await bot.say("hello")
    (prompt,) = model.prompts
    assert "v1.1.0,8a1d8cc,2026-11-18T14:40,Lin Berg,Show delivery dates in the basket" in prompt
    assert "4af9ec0,2026-11-20T16:05,Ada Okafor,Pay by invoice" in prompt
    assert "backend,production,v1.0.0,22ddc54" in prompt


def test_a_component_that_is_not_set_up_is_an_error_that_the_model_reads(bot: Bot) -> None:
    bot.set_up(lambda table: table["components"].pop("frontend"))
    with pytest.raises(UnusableStep, match="Invalid deploy: component: Input should be 'backend'"):
        validated(bot.roster["deploy"], deploy("frontend", "staging", "v1.1.0"))
