"""What became of a deployment."""

from __future__ import annotations

from agent.decide import RefuseStep, decide
from agent.roster.deploy.tools.follow import RunEndToEndTests
from store.events import StepRefused, ToolFinished
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events
from tests.shop import MERGED
from tests.stories.canonical import merge_of
from tests.telling.story import EVE, chosen, message, thread

DEPLOYS_NOTHING = "#!/bin/sh\necho deployed, or so it says\n"


def outcome(after: Thread) -> dict[str, object]:
    """How the last deployment ended."""
    waits = [s for s in after.state.steps.values() if s.chosen.intent == "wait_for_deployment"]
    assert isinstance(waits[-1].result, dict)
    return {**waits[-1].result}


def intents(after: Thread) -> list[str]:
    return [step.chosen.intent for step in after.state.steps.values()]


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


async def test_a_command_that_ends_well_and_leaves_another_revision_running_has_not_deployed(bot: Bot) -> None:
    (bot.site.home / "deploy").write_text(DEPLOYS_NOTHING)
    async with bot.working():
        thread = await bot.say("deploy the backend 4af9ec0 to staging")
    assert outcome(thread)["state"] == "not_live"
    assert f"{bot.site.sha('v1.1.0')[:7]} runs on backend staging, not 4af9ec0" in str(outcome(thread)["note"])
    question = thread.state.steps[thread.state.question].chosen.arguments
    assert "not live" in str(question["question"])
    assert "runs on backend staging" in str(question["context"])
    assert "run_end_to_end_tests" not in intents(thread)


async def test_a_target_that_cannot_be_asked_afterwards_has_not_been_deployed_for_certain(bot: Bot) -> None:
    broken = '#!/bin/sh\n[ -f "$(dirname "$0")/broken" ] && { echo no answer >&2; exit 1; }\n'
    status = (bot.site.home / "status").read_text()
    (bot.site.home / "status").write_text(status.replace("#!/bin/sh\n", broken))
    (bot.site.home / "deploy").write_text('#!/bin/sh\ntouch "$(dirname "$0")/broken"\n')
    async with bot.working():
        thread = await bot.say("deploy the backend 4af9ec0 to staging")
    assert outcome(thread)["state"] == "unconfirmed"
    assert "succeeded, but what runs there could not be asked" in str(outcome(thread)["note"])
    assert "no answer" in str(outcome(thread)["note"])
    assert "run_end_to_end_tests" not in intents(thread)


async def test_the_pipeline_after_a_merge_stops_where_the_merged_commit_does_not_run(bot: Bot) -> None:
    (bot.site.home / "deploy").write_text(DEPLOYS_NOTHING)
    model = Scripted({"intent": "done_for_now", "message": "It does not run."})
    async with bot.working(model):
        place = Place(channel="terminal", address="merge")
        thread = await bot.rest(await bot.trigger(place, merge_of(bot.site)))
    assert intents(thread).count("deploy") == 1
    assert "run_end_to_end_tests" not in intents(thread)
    assert "not_live" in model.prompts[0]


async def test_a_rollback_does_not_count_what_never_ran_as_a_good_revision(bot: Bot) -> None:
    script = (bot.site.home / "deploy").read_text()
    by_hand = (str(bot.site.home / "deploy"), "backend", "staging")
    bot.by_hand(*by_hand, bot.site.sha("v1.0.0"), "somebody")
    (bot.site.home / "deploy").write_text(DEPLOYS_NOTHING)
    async with bot.working(Scripted(deploy("backend", "staging", "v1.1.0"))):
        assert outcome(await bot.say("deploy"))["state"] == "not_live"
    (bot.site.home / "deploy").write_text(script)
    bot.by_hand(*by_hand, bot.site.sha(MERGED), "somebody")
    rollback = {"intent": "rollback", "component": "backend", "environment": "staging"}
    async with bot.working(Scripted(rollback)):
        thread = await bot.say("roll back", "another desk")
    (refused,) = events(thread, StepRefused)
    assert "No earlier good revision" in refused.error
