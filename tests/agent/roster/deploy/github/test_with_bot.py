"""deploybot on a site that is only at GitHub: what it lists, deploys, waits for and takes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent import Call, Wait
from agent.awaiting import who_awaits
from agent.roster import deploy
from agent.roster.deploy.deployers.base import NoAnswer
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.deploy import Deploy
from agent.roster.deploy.tools.follow import ATTEMPTS_MAX, WaitForDeployment
from channels.hooks.github import KIND
from channels.hooks.kind import Options, Posted
from store import awaited
from tests.agent.roster.deploy.deployers.contract import ended, start
from tests.agent.roster.deploy.github.world import GitHubStage
from tests.agent.roster.deploy.site_with_bot import Bot, facts
from tests.fakes.github import DEPLOY_FILE, DEPLOY_WORKFLOW, SECRET, Flow, GitHubServer, limited_until
from tests.fakes.github import Repository as AtGitHub
from tests.fakes.github.repository import Check
from tests.shop import MERGED

pytestmark = pytest.mark.slow


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path, template)


@pytest.fixture
def shop(github: GitHubServer, bot: Bot) -> AtGitHub:
    shop = github.add_repository("acme/shop")
    shop.load(bot.site.repository)
    shop.commit("Deploy by a workflow", {DEPLOY_FILE: DEPLOY_WORKFLOW})
    shop.flow = Flow()
    bot.set_up(only_at_github)
    return shop


def only_at_github(table: dict[str, Any]) -> None:
    target = {"kind": "github", "workflow": "deploy.yml", "inputs": {"component": "component"}}
    for component in table["components"].values():
        del component["repository"]
        component |= {"github": "acme/shop", "targets": dict.fromkeys(component["targets"], target)}


def inputs(shop: AtGitHub) -> list[tuple[str, ...]]:
    names = ("component", "environment", "sha")
    return [tuple(run.inputs[name] for name in names) for run in shop.runs]


async def test_it_deploys_by_the_workflow_and_goes_back_by_it(bot: Bot, shop: AtGitHub) -> None:
    old, new = bot.site.sha("v1.1.0"), bot.site.sha(MERGED)
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to staging")
        assert inputs(shop) == [("backend", "staging", old)]
        waited = [one for one in thread.state.steps.values() if one.chosen.intent == "wait_for_deployment"]
        assert isinstance(waited[0].result, dict)
        assert waited[0].result["state"] == "succeeded"
        assert waited[0].result["run_link"] == f"https://github.test/acme/shop/actions/runs/{shop.runs[0].id}"
        await bot.say(f"deploy the backend {MERGED} to staging")
        thread = await bot.say("roll back the backend on staging", place="another")
        assert facts(thread)["new"]["sha"] == old
        assert facts(thread)["carried_out_by"] == "the workflow deploy.yml of acme/shop, as it stands on main"
        await bot.settle(thread, approved=True)
        assert inputs(shop)[1:] == [("backend", "staging", new), ("backend", "staging", old)]
        thread = await bot.say("status", place="a third")
    looks = [one.result for one in thread.state.steps.values() if one.chosen.intent == "look_up"]
    assert isinstance(looks[0], dict)
    rows = looks[0]["deployments"]
    assert isinstance(rows, list)
    assert {
        (row["component"], row["environment"], row["sha"]) for row in rows if isinstance(row, dict) and row["sha"]
    } == {("backend", "staging", old[:7])}


async def test_a_card_warns_of_checks_that_failed(bot: Bot, shop: AtGitHub) -> None:
    sha = bot.site.sha("v1.1.0")
    shop.checks[sha] = [Check("unit"), Check("e2e", "completed", "failure")]
    async with bot.working():
        await bot.say("deploy the backend v1.1.0 to staging")
        thread = await bot.say("deploy the backend v1.1.0 to production")
    found = facts(thread)
    assert (found["checks"], found["failed_checks"]) == ("1 of 2 passed", "e2e")
    assert "failed_checks" in Deploy.dangers
    step = Deploy(component="backend", environment="production", revision="v1.1.0")
    assert step.warns(found)["failed_checks"] == "Checks of it FAILED: e2e."


async def test_what_failed_at_github_is_told_with_the_end_of_its_log(bot: Bot, shop: AtGitHub) -> None:
    shop.flows.append(Flow(states=("in_progress", "failure"), log="copying\nno space left on device\n"))
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to staging")
    question = thread.state.steps[thread.state.question].chosen.arguments
    assert "failed" in str(question["question"])
    assert "no space left on device" in str(question["context"])


# Waiting


def waiting(stage: GitHubStage, run_id: str, attempt: int) -> Callable[[], Any]:
    target = {"kind": "github", "workflow": "deploy.yml"}
    site = {
        "environments": {"production": {}},
        "components": {"web": {"github": "acme/shop", "targets": {"production": target}}},
    }
    targets = deploy.targets(site, stage.at.state_dir).with_notes(stage.notes)
    call = Call(
        thread_id="t1",
        key="t1/s2",
        attempt=attempt,
        now=datetime.now(UTC),
        requested_by="Ann",
        resources={Targets: targets},
    )
    return lambda: WaitForDeployment(component="web", environment="production", run_id=run_id).run(call)


async def test_a_limit_makes_it_wait_durably_for_as_long_as_github_says(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    stage.github.fails(limited_until("actions/get-workflow-run", seconds=1800))
    found = await waiting(stage, run.id, 3)()
    assert isinstance(found, Wait)
    assert found.seconds >= 1700
    assert "takes no more requests from us" in found.note
    with pytest.raises(NoAnswer):
        await waiting(stage, run.id, ATTEMPTS_MAX)()


async def test_a_hook_wakes_the_thread_that_waits_for_the_run(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    key = awaited.workflow_run("acme/shop", run.ref)
    assert await who_awaits(stage.notes, key) == ("t1",)
    await stage.let_end(run)
    await ended(stage.deployer(), run)
    assert await who_awaits(stage.notes, key) == ()


async def test_githubs_deliveries_lead_to_the_thread_that_waits_whatever_their_order(stage: GitHubStage) -> None:
    """They say only that there is news: how it goes is asked from GitHub, so an early or a second one harms nobody."""
    stage.shop.flows.append(Flow(states=("in_progress",), listed_after=1))
    run = await start(stage.deployer())
    await stage.let_end(run)
    deliveries = [*reversed(stage.github.hooks.waiting), stage.github.hooks.waiting[0]]
    assert {one.document["action"] for one in deliveries} == {"requested", "completed"}
    states = []
    for made in deliveries:
        posted = Posted({name.lower(): value for name, value in made.headers.items()}, made.body, datetime.now(UTC))
        assert KIND.proof(Options()).wrong(posted, [SECRET]) == ""
        assert KIND.proof(Options()).wrong(posted, ["another secret"]) != ""
        (key, *_) = KIND.read(posted, Options()).awaited
        waits = await who_awaits(stage.notes, key)
        assert waits == (("t1",) if "succeeded" not in states else ())
        states.append((await stage.deployer().look(run.id)).state)
    assert states == ["running", "succeeded", "succeeded"], "the first came before the API knew the run"
