"""deploybot on a real site, from a person's words or a merge to what runs. The stand-in decides, or a script where a
test needs its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from store.events import StepRefused, TriggerReceived
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, events, pending, without_environment, without_tests
from tests.shop import MERGED
from tests.stories.canonical import merge_of
from tests.telling.story import ANN


def intents(thread: Thread) -> list[str]:
    return [step.chosen.intent for step in thread.state.steps.values()]


def deployed(thread: Thread) -> list[str]:
    """The components, as often as a deployment was chosen."""
    chosen = [step.chosen for step in thread.state.steps.values()]
    return [str(one.arguments["component"]) for one in chosen if one.intent == "deploy"]


def said(thread: Thread) -> list[str]:
    return [str(s.chosen.arguments["message"]) for s in thread.state.steps.values() if "message" in s.chosen.arguments]


async def test_failed_tests_of_production_hand_the_thread_to_the_rollback_agent(bot: Bot) -> None:
    bot.fail_end_to_end_tests_in_production()
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        assert thread.agent == "rollback"
        assert pending(thread).chosen.intent == "rollback"
        assert pending(thread).chosen.arguments == {"component": "backend", "environment": "production"}
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")
    assert thread.agent == "rollback"
    assert thread.status == "done"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"deploy": ["/bin/false", "{sha}"]}, "deploy"),
        ({"env": {"DEPLOY_TO": "elsewhere"}}, "env"),
        ({"timeout_seconds": 1}, "timeout_seconds"),
    ],
)
async def test_a_target_that_was_changed_after_the_approval_is_asked_for_anew(
    bot: Bot, changes: dict[str, Any], part: str
) -> None:
    def changed(table: dict[str, Any]) -> None:
        table["components"]["backend"]["targets"]["production"] |= changes

    before = len(bot.site.deployed())
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
    shown = pending(thread).asked
    assert shown.configuration
    assert "elsewhere" not in shown.model_dump_json()
    result = await bot.inbox.decide(thread.id, ANN, approved=True, digest=shown.digest)
    assert result.outcome == "settled"
    bot.set_up(changed)
    async with bot.working(Scripted()):
        thread = await bot.rest(result.thread)
    [refused] = [event for event in thread.events if isinstance(event, StepRefused)]
    assert f"what it would run with has changed since it was approved: {part}" in refused.error
    assert len(bot.site.deployed()) == before


async def test_without_tests_of_production_a_good_deployment_is_no_failure_and_people_hear_that_nothing_was_tested(
    bot: Bot,
) -> None:
    bot.set_up(without_tests("staging", "production"))
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        again = await bot.say("status")
    assert (thread.agent, thread.status) == ("deploy", "done")
    assert "run_end_to_end_tests" not in intents(thread)
    untested = "No end-to-end tests are configured for production, so nothing was tested there."
    assert said(thread)[-1] == untested
    assert said(again).count(untested) == 1, "once for each change of production"


async def test_each_environment_that_was_changed_is_tested_in_order_when_the_agent_is_done(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend 4af9ec0 to production"), approved=True)
        again = await bot.say("status")
    tests = [s.chosen.arguments for s in thread.state.steps.values() if s.chosen.intent == "run_end_to_end_tests"]
    assert tests == [{"environment": "staging"}, {"environment": "production"}]
    assert [line for line in said(again)[-2].splitlines() if "end-to-end" in line] == [
        "The end-to-end tests on staging passed.",
        "The end-to-end tests on production passed.",
    ]
    assert "What runs now" in said(again)[-1], "nothing is tested or told twice"


async def test_tests_of_production_that_cannot_be_run_roll_nothing_back_and_people_are_asked(bot: Bot) -> None:
    (bot.site.home / "end-to-end").unlink()
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
    assert (thread.agent, thread.status) == ("deploy", "waiting_for_answer")
    asked = thread.state.steps[thread.state.question].chosen.arguments
    assert "could not be run" in str(asked["question"])
    assert "cannot be started" in str(asked["context"])


async def test_after_a_rollback_without_tests_people_hear_that_nothing_was_tested(bot: Bot) -> None:
    bot.fail_end_to_end_tests_in_production()
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        assert thread.agent == "rollback"
    bot.set_up(without_tests("staging", "production"))
    async with bot.working():
        thread = await bot.settle(thread, approved=True)
    assert said(thread)[-1] == "No end-to-end tests are configured for production, so nothing was tested there."


async def test_a_merge_without_tests_of_staging_goes_on_and_people_hear_that_nothing_was_tested(bot: Bot) -> None:
    bot.set_up(without_tests("staging"))
    model = Scripted()
    async with bot.working(model):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert "run_end_to_end_tests" not in intents(thread)
    assert said(thread) == ["No end-to-end tests are configured for staging, so nothing was tested there."]
    assert len(model.prompts) == 1
    assert said(thread)[0] in model.prompts[0]
    assert "error" not in model.prompts[0]


async def test_a_merge_deploys_only_what_has_a_staging_and_people_hear_of_the_rest(bot: Bot) -> None:
    bot.set_up(lambda table: table["components"]["backend"]["targets"].pop("staging"))
    model = Scripted()
    async with bot.working(model):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert deployed(thread) == ["frontend"]
    assert said(thread) == ["backend has no target staging in the team file, so it was not deployed."]
    assert "run_end_to_end_tests" in intents(thread)


async def test_after_a_merge_an_environment_to_which_nothing_was_deployed_is_not_tested(bot: Bot) -> None:
    other = bot.site.home / "other.git"
    bot.by_hand("git", "init", "--quiet", "--bare", str(other))

    def only_another_repository_has_a_staging(table: dict[str, Any]) -> None:
        table["components"]["docs"] = {**table["components"]["backend"], "repository": str(other)}
        for component in ("backend", "frontend"):
            targets = table["components"][component]["targets"]
            table["components"][component]["targets"] = {k: v for k, v in targets.items() if k != "staging"}

    bot.set_up(only_another_repository_has_a_staging)
    async with bot.working(Scripted()):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert deployed(thread) == []
    assert "run_end_to_end_tests" not in intents(thread)
    (told,) = said(thread)
    assert "backend has no target staging" in told
    assert "frontend has no target staging" in told


async def test_a_merge_where_all_needs_an_approval_is_left_to_the_model_and_people_hear_of_it(bot: Bot) -> None:
    bot.set_up(without_environment("staging"))
    model = Scripted()
    async with bot.working(model):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert said(thread) == ["Every environment needs an approval, so nothing was deployed by itself."]
    assert len(model.prompts) == 1


async def test_a_component_that_a_team_does_not_have_is_not_missed_after_a_merge(bot: Bot) -> None:
    bot.set_up(lambda table: table["components"].pop("frontend"))
    async with bot.working(Scripted()):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert deployed(thread) == ["backend"]
    assert "run_end_to_end_tests" in intents(thread)
    assert said(thread) == []


async def test_a_merge_is_deployed_only_where_the_repository_has_it(bot: Bot) -> None:
    other = bot.site.home / "other.git"
    bot.by_hand("git", "clone", "--quiet", "--bare", "--branch", "v1.0.0", str(bot.site.repository), str(other))
    bot.by_hand("git", "-C", str(other), "update-ref", "-d", "refs/heads/main")
    bot.by_hand("git", "-C", str(other), "gc", "--quiet", "--prune=now")

    def with_another_repository(table: dict[str, Any]) -> None:
        table["components"]["docs"] = {**table["components"]["backend"], "repository": str(other)}

    bot.set_up(with_another_repository)
    async with bot.working(Scripted()):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), merge_of(bot.site)))
    assert deployed(thread) == ["backend", "frontend"]
    assert said(thread) == []
    assert "run_end_to_end_tests" in intents(thread)


async def test_the_pipeline_after_a_merge_stops_where_a_deployment_to_staging_fails(bot: Bot) -> None:
    (bot.site.home / "deploy").write_text("#!/bin/sh\necho no space left; exit 3\n")
    model = Scripted({"intent": "done_for_now", "message": "Staging failed."})
    async with bot.working(model):
        place = Place(channel="terminal", address="merge")
        thread = await bot.rest(await bot.trigger(place, merge_of(bot.site)))
    assert deployed(thread) == ["backend"]
    assert "no space left" in model.prompts[0]


async def test_a_merge_is_deployed_to_staging_and_tested_before_the_model_is_asked(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        place = Place(channel="terminal", address="merge")
        thread = await bot.rest(await bot.trigger(place, merge_of(bot.site)))
    assert len(model.prompts) == 1
    assert bot.site.running("backend", "staging") == bot.site.running("frontend", "staging") == bot.site.sha(MERGED)
    assert [s.chosen.by for s in thread.state.steps.values()][:-1] == ["code"] * (len(thread.state.steps) - 1)


async def test_a_trigger_without_a_commit_starts_no_pipeline(bot: Bot) -> None:
    trigger = TriggerReceived(
        id="x", at=datetime.now(UTC), source="github", name="pull_request_merged", data={"number": 7}
    )
    async with bot.working(Scripted()):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), trigger))
    assert len(bot.site.deployed()) == 4
    assert thread.status == "done"


async def test_what_a_rejection_says_decides_how_it_goes_on(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(
            await bot.say("deploy v1.1.0 to production"), approved=False, comment="only the backend, please"
        )
    assert pending(thread).chosen.arguments == {
        "component": "backend",
        "environment": "production",
        "revision": "v1.1.0",
    }
    assert pending(thread).chosen.intent == "deploy"


async def test_a_rejection_without_a_reason_stops_it(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy v1.1.0 to production"), approved=False)
    assert thread.pending is None
    assert thread.status == "done"
    assert len(bot.site.deployed()) == 4


async def test_never_mind_takes_the_request_back(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy v1.1.0 to production")
        card = pending(thread).step
        thread = await bot.say("never mind")
    assert thread.state.steps[card].status == "withdrawn"
    assert thread.pending is None


async def test_nothing_is_tested_or_handed_over_while_a_request_waits(bot: Bot) -> None:
    """Half of what was asked for is done: its tests would fail, and say nothing."""
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy 4af9ec0 to production"), approved=True)
        bot.fail_end_to_end_tests_in_production()
        card = pending(thread)
        thread = await bot.say("status")
        assert "What runs now" in said(thread)[-1]
        assert (thread.agent, pending(thread)) == ("deploy", card)
        assert "run_end_to_end_tests" not in intents(thread)
        thread = await bot.settle(thread, approved=True)
    assert intents(thread).count("run_end_to_end_tests") > 0
    assert thread.agent == "rollback", "tested when all is done"


async def test_an_edit_that_is_refused_does_not_end_what_was_asked_for(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy v1.1.0 to production")
        first = pending(thread)
        changed = {"revision": "v9.9.9"}
        await bot.inbox.edit(
            thread.id, ANN, step_id=first.step, digest=first.digest, arguments=changed, proof="terminal"
        )
        thread = await bot.rest(await bot.store.load(thread.id))
        assert any("v9.9.9" in event.error for event in events(thread, StepRefused))
        thread = await bot.settle(thread, approved=True)
        assert pending(thread).chosen.arguments["component"] != first.chosen.arguments["component"]
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == bot.site.sha("v1.1.0")
    assert bot.site.running("frontend", "production") == bot.site.sha("v1.1.0")
    assert thread.status == "done"
    assert not any("I stopped" in words for words in said(thread))


async def test_what_is_missing_is_asked_for_and_the_answer_is_understood(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend")
        assert "Which version" in str(thread.state.steps[thread.state.question].chosen.arguments["question"])
        thread = await bot.rest(await bot.inbox.answer(thread.id, ANN, "v1.1.0"))
        assert "Where to" in str(thread.state.steps[thread.state.question].chosen.arguments["question"])
        thread = await bot.rest(await bot.inbox.answer(thread.id, ANN, "to production"))
    assert pending(thread).chosen.arguments["component"] == "backend"
