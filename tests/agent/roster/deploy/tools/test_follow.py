"""What became of a deployment."""

from __future__ import annotations

from agent.decide import RefuseStep, decide
from agent.roster.deploy.tools.follow import RunEndToEndTests
from store.events import ToolFinished
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, events
from tests.telling.story import EVE, chosen, message, thread


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


def test_nobodys_words_run_the_tests_of_an_environment(bot: Bot) -> None:
    """They run the team's command, against production too. Code runs them, after a deployment."""
    for agent in bot.roster.values():
        assert RunEndToEndTests.intent_name() not in agent.steps, "the model may not choose it"
        assert RunEndToEndTests.intent_name() in agent.all_steps


def test_what_a_model_chose_before_only_code_could_is_not_begun(bot: Bot) -> None:
    step = chosen("s1", RunEndToEndTests.intent_name(), environment="production")
    action = decide(bot.roster["deploy"], thread(message(by=EVE), step))
    assert isinstance(action, RefuseStep)
    assert action.error == "Only code chooses run_end_to_end_tests."
