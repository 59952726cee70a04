"""Deployments at Vercel: exactly the approved commit, promoted where it is built already, and found again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent import ToolError, awaited
from agent.awaiting import who_awaits
from agent.roster.deploy.deployers.base import NoAnswer, Run, TargetBusy
from tests.agent.roster.deploy.deployers.contract import ONE, THREE, TWO, ended, start
from tests.agent.roster.deploy.deployers.vercel.scene import Scene
from tests.fakes.vercel import BITBUCKET, CUSTOM_HOST, FAILED, GITLAB, STUCK, Build, Fault, VercelServer, rate_limited
from tests.fakes.vercel.shapes import State


@pytest.fixture
async def vercel() -> AsyncIterator[VercelServer]:
    async with VercelServer() as server:
        yield server


@pytest.fixture
def scene(vercel: VercelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Vercel gives the domains to what it has built for production."""
    return Scene(vercel, tmp_path, monkeypatch)


@pytest.fixture
def held(vercel: VercelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Vercel keeps the domains until somebody promotes; TWO runs."""
    scene = Scene(vercel, tmp_path, monkeypatch, auto_assign=False)
    vercel.deployed(scene.project, TWO)
    return scene


def created(vercel: VercelServer) -> int:
    return len([one for one in vercel.asked("createDeployment") if one.status == 200])


async def begun(scene: Scene, sha: str = ONE, *, previous: str = TWO, key: str = "t1/s1") -> Run:
    return await scene.deployer().start(sha, name="v1", previous=previous, key=key, by="Ann", thread_id="t1")


# What is asked for


async def test_vercel_is_asked_for_the_commit_on_the_production_branch_and_for_a_mark(scene: Scene) -> None:
    run = await start(scene.deployer())
    (asked,) = scene.vercel.asked("createDeployment")
    assert asked.given["body"] == {
        "name": "web",
        "project": scene.project.id,
        "target": "production",
        "gitSource": {"type": "github", "repoId": 4711, "ref": "main", "sha": ONE},
        "meta": {"deploybotRun": run.id, "deploybotTarget": "web production"},
    }
    assert (run.ref, run.url) == (scene.made_for(run).id, scene.made_for(run).inspector)


@pytest.mark.parametrize(
    ("link", "its"),
    [
        (GITLAB, {"type": "gitlab", "projectId": "815"}),
        (BITBUCKET, {"type": "bitbucket", "repoUuid": "{web-uuid}", "workspaceUuid": "{acme-uuid}"}),
    ],
)
async def test_the_repository_is_that_of_the_project(scene: Scene, link: dict[str, str], its: dict[str, str]) -> None:
    scene.project.link = link
    run = await ended(scene.deployer(), await start(scene.deployer()))
    assert run.state == "succeeded"
    assert scene.vercel.asked("createDeployment")[0].given["body"]["gitSource"] == {**its, "ref": "main", "sha": ONE}


async def test_a_preview_is_never_taken_for_production(scene: Scene) -> None:
    run = await ended(scene.deployer("preview"), await start(scene.deployer("preview")))
    assert run.state == "succeeded"
    body = scene.vercel.asked("createDeployment")[0].given["body"]
    assert body["gitSource"]["ref"] == ONE
    assert not body.keys() & {"target", "customEnvironmentSlugOrId"}
    assert scene.project.production is None
    running = await scene.deployer("preview").status()
    assert running
    assert (running.sha, running.url) == (ONE, f"https://{scene.made_for(run).url}")
    with pytest.raises(ToolError, match="Vercel takes what is deployed as 'main' for production"):
        await start(scene.deployer("preview", branch="main"), key="t1/s2")
    assert created(scene.vercel) == 1


async def test_an_environment_of_their_own_is_one_more_target(scene: Scene) -> None:
    with pytest.raises(ToolError, match=r"names 'qa', which the project 'web' does not have\. It has production"):
        await start(scene.deployer("qa"))
    scene.project.environments = ("qa",)
    assert await scene.deployer("qa").status() is None
    run = await ended(scene.deployer("qa", branch="develop"), await start(scene.deployer("qa", branch="develop")))
    assert run.state == "succeeded"
    body = scene.vercel.asked("createDeployment")[-1].given["body"]
    assert (body["customEnvironmentSlugOrId"], body["gitSource"]["ref"]) == ("qa", "develop")
    running = await scene.deployer("qa").status()
    assert running
    assert running.sha == ONE
    assert scene.project.production is None


async def test_only_a_preview_of_this_target_runs_there(scene: Scene) -> None:
    scene.vercel.deployed(scene.project, TWO, "preview")  # Of a pull request.
    assert await scene.deployer("preview").status() is None
    await ended(scene.deployer("preview"), await start(scene.deployer("preview")))
    scene.vercel.deployed(scene.project, THREE, "preview")
    running = await scene.deployer("preview").status()
    assert running
    assert running.sha == ONE


# Exactly this commit


async def test_a_deployment_of_another_commit_is_cancelled_and_told(scene: Scene) -> None:
    scene.vercel.builds.append(Build(sha=TWO))
    with pytest.raises(ToolError, match=r"ANOTHER COMMIT, bbbbbbb and not 4af9ec0, .* It was cancelled, and nothing"):
        await start(scene.deployer())
    assert [one.state for one in scene.vercel.deployments] == ["CANCELED"]
    assert await scene.deployer().holder() is None
    assert await scene.deployer().find("t1/s1") is None


async def test_one_that_goes_elsewhere_is_cancelled_and_told(scene: Scene) -> None:
    scene.vercel.builds.append(Build(target="production"))
    with pytest.raises(ToolError, match=r"Vercel takes dpl_.* for production, and not for preview"):
        await start(scene.deployer("preview"))
    assert [one.state for one in scene.vercel.deployments] == ["CANCELED"]


async def test_another_commit_that_cannot_be_cancelled_is_a_failure_that_says_so(scene: Scene) -> None:
    scene.vercel.builds.append(Build(sha=TWO))
    scene.vercel.fails(Fault("cancelDeployment", 500, times=9))
    run = await start(scene.deployer())
    assert (run.state, "ANOTHER COMMIT" in run.note) == ("running", True)
    run = await ended(scene.deployer(), run)
    assert (run.state, "It could NOT be cancelled: look there." in run.note) == ("failed", True)
    assert await scene.deployer().holder() is None


async def test_what_somebody_has_uploaded_is_not_promoted_whatever_it_claims(held: Scene) -> None:
    claims = held.vercel.deployed(held.project, ONE, live=False)
    claims.source = "cli"
    run = await begun(held)
    assert run.ref != claims.id
    assert created(held.vercel) == 1


async def test_a_commit_that_is_told_late_is_waited_for(scene: Scene) -> None:
    scene.vercel.builds.extend([Build(commit_unsaid=True), Build(sha=TWO, commit_unsaid=True)])
    assert (await ended(scene.deployer(), await start(scene.deployer()))).state == "succeeded"
    run = await ended(scene.deployer(), await start(scene.deployer(), key="t1/s2", sha=THREE))
    assert (run.state, "ANOTHER COMMIT, bbbbbbb and not ccccccc" in run.note) == ("failed", True)


async def test_filters_without_effect_change_nothing(scene: Scene) -> None:
    scene.vercel.ignored = {"target", "state", "sha", "meta-"}
    scene.vercel.deployed(scene.project, ONE, "preview")
    other = scene.vercel.create(scene.project, ONE, "production", ref="main")
    scene.vercel.builds.append(STUCK)
    scene.vercel.fails(Fault("createDeployment", 500, after_effect=True))
    run = await scene.deployer().look((await start(scene.deployer())).id)
    assert run.ref == scene.made_for(run).id != other.id
    assert await scene.deployer("preview").status() is None


# Promotion


async def test_what_is_built_and_staged_is_promoted_and_not_built_again(held: Scene) -> None:
    staged = held.vercel.deployed(held.project, ONE, live=False)
    run = await begun(held)
    assert run.ref == staged.id
    assert (await ended(held.deployer(), run)).state == "succeeded"
    assert held.project.production is staged
    assert (created(held.vercel), len(held.vercel.asked("requestPromote"))) == (0, 1)
    assert (await held.deployer().confirm(await held.deployer().look(run.id))).state == "succeeded"


async def test_the_way_back_is_the_promotion_of_what_ran_before(scene: Scene) -> None:
    old, _ = scene.vercel.deployed(scene.project, ONE), scene.vercel.deployed(scene.project, TWO)
    assert [one.sha for one in await scene.deployer().history()] == [TWO, ONE]
    run = await ended(scene.deployer(), await begun(scene))
    assert (run.state, run.ref) == ("succeeded", old.id)
    assert scene.project.production is old
    assert created(scene.vercel) == 0
    running = await scene.deployer().status()
    assert running
    assert running.sha == ONE


async def test_a_preview_is_not_promoted_it_was_built_for_another_environment(scene: Scene) -> None:
    scene.vercel.deployed(scene.project, ONE, "preview")
    await start(scene.deployer())
    assert created(scene.vercel) == 1
    assert scene.vercel.asked("requestPromote") == []


async def test_what_is_not_ready_is_not_promoted(held: Scene) -> None:
    states: tuple[State, ...] = ("ERROR", "CANCELED", "QUEUED")
    for state in states:
        held.vercel.builds.append(STUCK)
        made = held.vercel.create(held.project, ONE, "production", ref="main")
        held.vercel.finish(made, state)
    run = await begun(held)
    assert created(held.vercel) == 1
    assert held.made_for(run).id == run.ref


async def test_what_runs_already_is_built_once_more_for_who_wants_it(scene: Scene) -> None:
    live = scene.vercel.deployed(scene.project, ONE)
    run = await ended(scene.deployer(), await begun(scene, previous=ONE))
    assert run.state == "succeeded"
    assert run.ref != live.id


async def test_what_it_has_built_is_promoted_where_the_domains_are_kept(held: Scene) -> None:
    run = await ended(held.deployer(), await begun(held))
    assert run.state == "succeeded"
    assert held.project.production is held.made_for(run)
    assert len(held.vercel.asked("requestPromote")) == 1


async def test_nothing_is_promoted_over_what_somebody_else_has_promoted_meanwhile(held: Scene) -> None:
    run = await begun(held)
    other = held.vercel.deployed(held.project, THREE)
    run = await ended(held.deployer(), run)
    assert run.state == "failed"
    assert run.note.endswith(f"{other.id} of ccccccc runs in production by now, and not bbbbbbb, as when this began.")
    assert held.project.production is other
    assert held.vercel.asked("requestPromote") == []


async def test_one_that_was_promoted_and_left_again_is_told_by_what_runs(scene: Scene) -> None:
    scene.vercel.deployed(scene.project, TWO)
    run = await begun(scene)
    made = scene.made_for(run)
    scene.vercel.finish(made, "READY")
    scene.vercel.rolled_back(scene.vercel.deployments[0])
    run = await ended(scene.deployer(), run)
    assert run.state == "succeeded"
    assert (await scene.deployer().confirm(run)).state == "not_live"


@pytest.mark.parametrize(("status", "said"), [("failed", "its promotion failed"), ("skipped", "its promotion skipped")])
async def test_a_promotion_that_fails_is_a_failure(held: Scene, status: str, said: str) -> None:
    held.vercel.promotions.append(status)  # type: ignore[arg-type]
    run = await ended(held.deployer(), await begun(held))
    assert (run.state, said in run.note) == ("failed", True)
    assert held.project.production is held.vercel.deployments[0]


async def test_another_promotion_is_waited_for(held: Scene) -> None:
    run = await begun(held)
    held.vercel.finish(held.made_for(run), "READY")
    held.vercel.promotions.extend(["in-progress"])
    held.vercel.promote(held.vercel.deployments[0])
    assert (await held.deployer().look(run.id)).note.endswith("waits until Vercel has ended another promotion.")
    assert held.vercel.asked("requestPromote") == []
    assert held.project.job
    held.project.job.status = "succeeded"
    assert (await ended(held.deployer(), run)).state == "succeeded"


async def test_an_old_promotion_of_the_same_is_not_taken_for_this_one(held: Scene) -> None:
    staged = held.vercel.deployed(held.project, ONE, live=False)
    held.vercel.promotions.append("failed")
    held.vercel.promote(staged).requested -= 3_600_000
    held.vercel.project_looked_at(held.project)
    held.vercel.fails(Fault("requestPromote", 500))
    assert (await ended(held.deployer(), await begun(held))).state == "succeeded"


async def test_a_conflict_is_looked_at_and_a_refusal_is_a_failure(held: Scene) -> None:
    run = await begun(held)
    held.vercel.finish(held.made_for(run), "READY")
    held.vercel.fails(Fault("requestPromote", 409, "conflict", "Busy"), Fault("requestPromote", 422, "no", "Not now"))
    assert (await held.deployer().look(run.id)).note == "Vercel is promoting it."
    run = await held.deployer().look(run.id)
    assert (run.state, "was not promoted. Vercel would not promote" in run.note) == ("failed", True)


async def test_domains_that_could_not_lead_to_it_are_a_failure(scene: Scene) -> None:
    run = await begun(scene)
    made = scene.made_for(run)
    scene.vercel.finish(made, "READY", assign=False)
    made.substate, made.alias_error = None, "The certificate has expired"
    run = await ended(scene.deployer(), run)
    assert run.note == "It is built, and did not get the domains: The certificate has expired."


async def test_domains_that_come_a_moment_later_are_waited_for(scene: Scene) -> None:
    run = await begun(scene)
    made = scene.made_for(run)
    scene.vercel.finish(made, "READY", assign=False)
    made.substate = None
    assert (await scene.deployer().look(run.id)).note == "It is built, and does not have the domains yet."
    assert scene.vercel.asked("requestPromote") == []
    scene.project.production = made
    assert (await scene.deployer().look(run.id)).state == "succeeded"


async def test_a_promotion_cannot_be_stopped(held: Scene) -> None:
    held.vercel.deployed(held.project, ONE, live=False)
    held.vercel.promotions.append("in-progress")
    run = await begun(held)
    with pytest.raises(ToolError, match="a promotion cannot be stopped"):
        await held.deployer().cancel(run.id, "Ann")


# Failures


async def test_a_build_that_fails_says_why_and_shows_its_log(scene: Scene) -> None:
    scene.vercel.builds.append(FAILED)
    run = await ended(scene.deployer(), await start(scene.deployer()))
    assert run.note == f"Vercel could not build it: {FAILED.error}."
    assert await scene.deployer().log_tail(run.id) == "> build\nno such module"


async def test_one_that_somebody_cancels_there_has_failed(scene: Scene) -> None:
    run = await start(scene.deployer())
    scene.vercel.finish(scene.made_for(run), "CANCELED")
    run = await ended(scene.deployer(), run)
    assert (run.state, run.note) == ("failed", "It was cancelled at Vercel.")


async def test_one_that_stays_in_the_queue_is_cancelled_after_its_time(scene: Scene) -> None:
    scene.vercel.builds.append(STUCK)
    run = await start(scene.deployer())
    scene.notes.passed = timedelta(minutes=29)
    assert (await scene.deployer().look(run.id)).state == "running"
    scene.notes.passed = timedelta(minutes=31)
    scene.vercel.fails(Fault("cancelDeployment", 500, times=3))
    assert (await scene.deployer().look(run.id)).note.endswith("it could not be cancelled yet.")
    run = await ended(scene.deployer(), run)
    assert (run.state, run.note) == ("timed_out", "Its time limit of 1800 seconds was over, and it was cancelled.")
    assert scene.made_for(run).state == "CANCELED"


async def test_a_promotion_without_an_end_is_given_up_and_not_called_stopped(held: Scene) -> None:
    held.vercel.promotions.extend(["in-progress"])
    run = await begun(held)
    while not held.project.job or held.project.job.status != "in-progress":
        assert (await held.deployer().look(run.id)).state == "running"
    scene_time = timedelta(minutes=31)
    held.notes.passed = scene_time
    run = await held.deployer().look(run.id)
    assert (run.state, "It may still be promoted" in run.note) == ("timed_out", True)


async def test_a_blocked_one_says_so_and_is_waited_for(scene: Scene) -> None:
    run = await start(scene.deployer())
    scene.made_for(run).coming.clear()
    scene.vercel.finish(scene.made_for(run), "BLOCKED")
    assert (await scene.deployer().look(run.id)).note == "Vercel has blocked it."


async def test_one_that_was_deleted_there_is_lost_after_a_while(scene: Scene) -> None:
    run = await start(scene.deployer())
    scene.vercel.deployments.clear()
    assert (await scene.deployer().look(run.id)).state == "running"
    scene.notes.passed = timedelta(minutes=4)
    assert (await scene.deployer().look(run.id)).state == "lost"


@pytest.mark.parametrize("link", [None, CUSTOM_HOST])
async def test_a_project_that_no_commit_can_be_built_of_is_refused(scene: Scene, link: dict[str, str] | None) -> None:
    scene.project.link = link
    with pytest.raises(ToolError, match=r"not connected to a repository|nothing can be deployed by its commit"):
        await start(scene.deployer())
    assert await scene.deployer().holder() is None
    assert scene.vercel.asked("createDeployment") == []


async def test_a_release_step_by_step_is_refused_since_nobody_could_follow_it(scene: Scene) -> None:
    scene.project.rolling = True
    with pytest.raises(ToolError, match=r"step by step \(rolling releases\)"):
        await start(scene.deployer())
    assert "turn them off" in (await scene.deployer().problems())[0]
    assert scene.vercel.asked("createDeployment") == []
    assert (await ended(scene.deployer("preview"), await start(scene.deployer("preview")))).state == "succeeded"


# Answers that do not come


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}, {"status": 502, "body": b"<html>"}])
@pytest.mark.parametrize("listed_after", [0, 2])
async def test_a_lost_answer_is_looked_for_and_nothing_is_created_twice(
    scene: Scene, fault: dict[str, object], listed_after: int
) -> None:
    scene.vercel.builds.append(Build(listed_after=listed_after))
    scene.vercel.fails(Fault("createDeployment", after_effect=True, **fault))  # type: ignore[arg-type]
    run = await start(scene.deployer())
    assert (run.state, run.ref, "It is looked for." in run.note) == ("running", "", True)
    run = await ended(scene.deployer(), await start(scene.deployer()))
    assert (run.state, run.ref) == ("succeeded", scene.made_for(run).id)
    assert len(scene.vercel.deployments) == 1


async def test_one_that_never_appears_is_lost_and_keeps_others_off_until_a_person_says_so(scene: Scene) -> None:
    scene.vercel.fails(Fault("createDeployment", cut=True))
    run = await start(scene.deployer())
    with pytest.raises(TargetBusy, match="web production is busy with"):
        await start(scene.deployer(), TWO, key="t2/s1")
    scene.notes.passed = timedelta(minutes=4)
    run = await scene.deployer().look(run.id)
    assert (run.state, "whether it began is unknown" in run.note) == ("lost", True)
    with pytest.raises(TargetBusy, match="locked"):
        await start(scene.deployer(), TWO, key="t2/s1")
    await scene.deployer().release(run.id, "Ann")
    assert (await ended(scene.deployer(), await start(scene.deployer(), TWO, key="t2/s1"))).state == "succeeded"
    assert [one.sha for one in scene.vercel.deployments] == [TWO]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_promotion_without_an_answer_is_looked_for(held: Scene, after_effect: bool) -> None:
    staged = held.vercel.deployed(held.project, ONE, live=False)
    held.vercel.fails(Fault("requestPromote", 500, after_effect=after_effect))
    run = await begun(held)
    assert (run.state, run.ref) == ("running", staged.id)
    assert (await ended(held.deployer(), run)).state == "succeeded"
    assert held.project.production is staged


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_promotion_whose_worker_dies_is_found_and_goes_on(held: Scene, after_effect: bool) -> None:
    staged = held.vercel.deployed(held.project, ONE, live=False)
    async with held.vercel.hold("requestPromote", after_effect=after_effect) as gate:
        starting = asyncio.ensure_future(begun(held))
        await gate.reached()
        starting.cancel()
        await gate.abandoned()
    run = await held.deployer().find("t1/s1")
    assert run
    assert run.ref == staged.id
    assert (await ended(held.deployer(), run)).state == "succeeded"
    assert held.project.production is staged


@pytest.mark.parametrize("operation", ["createDeployment", "requestPromote"])
async def test_a_rate_limit_means_that_nothing_was_begun(held: Scene, operation: str) -> None:
    if operation == "requestPromote":
        held.vercel.deployed(held.project, ONE, live=False)
    held.vercel.fails(rate_limited(operation, reset=int(time.time()) + 600, retry_after=300))
    with pytest.raises(ToolError, match=r"Vercel takes no more requests of this kind for 5 min"):
        await begun(held)
    assert await held.deployer().holder() is None
    assert await held.deployer().find("t1/s1") is None


async def test_a_refusal_means_that_nothing_was_begun(scene: Scene) -> None:
    scene.vercel.forbidden.add("createDeployment")
    with pytest.raises(ToolError, match="may not create a deployment"):
        await start(scene.deployer())
    assert await scene.deployer().holder() is None
    scene.vercel.forbidden.clear()
    assert (await ended(scene.deployer(), await start(scene.deployer()))).state == "succeeded"


async def test_whoever_follows_hears_when_to_ask_again(scene: Scene) -> None:
    run = await start(scene.deployer())
    scene.vercel.fails(rate_limited("getDeployment", reset=0, retry_after=90))
    with pytest.raises(NoAnswer) as refused:
        await scene.deployer().look(run.id)
    assert refused.value.retry_seconds == 90
    assert (await ended(scene.deployer(), run)).state == "succeeded"


async def test_a_delivery_about_it_finds_the_thread_that_waits_for_it(scene: Scene) -> None:
    run = await start(scene.deployer())
    vercel_says = awaited.vercel_deployment(run.ref)
    assert await who_awaits(scene.notes, vercel_says) == ("t1",)
    await ended(scene.deployer(), run)
    assert await who_awaits(scene.notes, vercel_says) == ()


# What runs, and what people see


async def test_what_runs_is_told_with_who_and_since_when(held: Scene) -> None:
    running = await held.deployer().status()
    assert running
    assert (running.sha, running.by) == (TWO, "ann")
    assert running.url.startswith("https://web-")
    assert running.since.endswith("UTC")


@pytest.mark.parametrize("more", [{"gitCommitSha": ONE}, {"gitDirty": "1"}])
async def test_what_was_made_of_no_commit_is_not_called_a_version(held: Scene, more: dict[str, str]) -> None:
    live = held.project.production
    assert live
    live.meta |= more
    live.source = "cli"
    with pytest.raises(ToolError, match="was not built from one commit"):
        await held.deployer().status()


async def test_the_preview_of_a_commit_stands_on_its_card(scene: Scene) -> None:
    assert await scene.deployer().about(ONE) == {}
    failed = scene.vercel.deployed(scene.project, ONE, "preview")
    failed.state = "ERROR"
    preview = scene.vercel.deployed(scene.project, ONE, "preview")
    scene.vercel.deployed(scene.project, TWO, "preview")
    assert await scene.deployer().about(ONE) == {"preview": f"https://{preview.url}"}


async def test_the_history_has_what_others_have_deployed_once(scene: Scene) -> None:
    scene.vercel.deployed(scene.project, TWO)
    scene.vercel.deployed(scene.project, THREE, live=False)  # Nobody has ever seen it.
    run = await ended(scene.deployer(), await begun(scene))
    found = await scene.deployer().history()
    assert [(one.sha, one.by, one.state) for one in found] == [(ONE, "Ann", "succeeded"), (TWO, "ann", "succeeded")]
    assert found[0].id == run.id
    assert [one.sha for one in await scene.deployer().history(1)] == [ONE]


# The setup


async def test_a_good_setup_has_no_problems_and_is_not_changed(held: Scene) -> None:
    for environment in ("production", "preview"):
        assert await held.deployer(environment, github="acme/WEB").problems() == []
    assert {one.operation for one in held.vercel.requests} == {
        "getTeam",
        "getProject",
        "getDeployment",
        "getDeployments",
    }


async def test_each_wrong_setting_is_told_with_what_to_do(held: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def problem(environment: str = "production", **given: str) -> str:
        (found,) = await held.deployer(environment, **given).problems()
        return found

    assert "Check `project` and `team`" in await problem(project="wbe")
    assert "may not read the team 'acne'" in await problem(team="acne")
    assert "in the personal account" in await problem(team="")
    assert "It has production, preview." in await problem("qa")
    assert "is connected to acme/web, and the component is acme/shop" in await problem(github="acme/shop")
    assert "for production: name another `branch`" in await problem("preview", branch="main")
    monkeypatch.setenv("VERCEL_TOKEN", "old")
    assert "https://vercel.com/account/settings/tokens" in await problem()
    monkeypatch.delenv("VERCEL_TOKEN")
    assert "VERCEL_TOKEN is not set" in await problem()
    for url in ("api.vercel.com", "http://api.vercel.com", "https://user@vercel.com", "http://127.0.0.1.example.com"):
        monkeypatch.setenv("VERCEL_API_URL", url)
        with pytest.raises(ToolError, match=r"VERCEL_API_URL is .*, which is no URL"):
            held.deployer()
