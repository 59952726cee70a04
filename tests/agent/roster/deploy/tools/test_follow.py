"""What became of a deployment."""

from __future__ import annotations

from store.events import ToolFinished
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, events


async def test_a_deployment_that_fails_is_told_with_its_output(bot: Bot) -> None:
    script = (bot.site.home / "deploy").read_text()
    (bot.site.home / "deploy").write_text(script.replace("set -eu", 'set -eu; echo "disk is full"; exit 9'))
    async with bot.working():
        thread = await bot.say("deploy the backend 4af9ec0 to staging")
    question = thread.state.steps[thread.state.question].chosen.arguments
    assert "failed" in str(question["question"])
    assert "disk is full" in str(question["context"])


async def test_a_deployment_that_was_never_started_cannot_be_waited_for(bot: Bot) -> None:
    where = {"component": "backend", "environment": "staging"}
    model = Scripted({"intent": "wait_for_deployment", **where, "run_id": "r99"})
    async with bot.working(model):
        thread = await bot.say("is it out?")
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert failed.error == "No run 'r99' of backend on staging."
    assert failed.error in model.prompts[1]
