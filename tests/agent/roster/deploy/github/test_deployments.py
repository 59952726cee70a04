"""Deployments by a workflow, while GitHub fails, lags, begins something else, or wants to be left alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agent import ToolError
from agent.roster.deploy.deployers.base import NoAnswer, TargetBusy
from agent.roster.deploy.deployers.github import GitHubTarget
from agent.roster.deploy.github.access import access
from tests.agent.roster.deploy.deployers.contract import ONE, TWO, ended, start
from tests.agent.roster.deploy.github.world import GitHubStage, set_up
from tests.fakes.github import (
    DEPLOY_FILE,
    DEPLOY_WORKFLOW,
    TOKEN,
    App,
    Fault,
    Flow,
    GitHubServer,
    limited,
    limited_until,
)

DISPATCH = "actions/create-workflow-dispatch"
GET_RUN = "actions/get-workflow-run"


@pytest.mark.parametrize("how", [{"cut": True}, {"status": 502}, {"status": 200, "body": b"<html>"}])
async def test_a_dispatch_that_nobody_knows_the_end_of_is_found_by_its_key_and_not_repeated(
    stage: GitHubStage, how: dict[str, Any]
) -> None:
    stage.github.fails(Fault(DISPATCH, after_effect=True, **how))
    run = await start(stage.deployer())
    assert (run.state, run.ref) == ("running", "")
    assert (await start(stage.deployer())).id == run.id
    seen = await stage.deployer().look(run.id)
    assert (seen.ref, seen.url) == (
        str(stage.shop.runs[0].id),
        f"https://github.test/acme/shop/actions/runs/{seen.ref}",
    )
    await stage.let_end(run)
    assert (await ended(stage.deployer(), run)).state == "succeeded"
    assert stage.begun() == [ONE]


async def test_what_is_on_record_is_found_by_its_key_while_github_is_away(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    stage.github.fails(Fault(GET_RUN, 503, times=3))
    found = await stage.deployer().find("t1/s1")
    assert found is not None
    assert (found.id, found.state) == (run.id, "running")
    assert (await start(stage.deployer())).id == run.id
    assert stage.begun() == [ONE]


async def test_what_never_appears_is_lost_and_people_decide(stage: GitHubStage) -> None:
    stage.shop.flows.append(Flow(appears=False))
    run = await start(stage.deployer())
    assert (await stage.deployer().look(run.id)).note == "GitHub does not show it yet."
    stage.notes.passed = timedelta(minutes=4)
    lost = await stage.deployer().look(run.id)
    assert lost.state == "lost"
    assert lost.note == "GitHub was asked for it and does not show it, 180 seconds later: whether it began is unknown."
    with pytest.raises(TargetBusy, match="its outcome is unknown") as caught:
        await start(stage.deployer(), TWO, key="t2/s1")
    assert "release_target" in caught.value.hint
    await stage.deployer().release(run.id, "Ann")
    assert (await stage.deployer().look(run.id)).state == "lost"
    assert (await start(stage.deployer(), TWO, key="t2/s1")).state == "running"


async def test_what_appears_late_is_followed(stage: GitHubStage) -> None:
    stage.shop.flows.append(Flow(states=("in_progress",), listed_after=2))
    run = await start(stage.deployer())
    assert [(await stage.deployer().look(run.id)).note for _ in range(3)] == ["GitHub does not show it yet."] * 2 + [""]
    await stage.let_end(run)
    assert (await ended(stage.deployer(), run)).state == "succeeded"


async def test_a_run_of_another_commit_of_the_workflow_is_cancelled(stage: GitHubStage) -> None:
    other = stage.shop.commit("Deploy something else", branch="next", parent=stage.shop.head)
    stage.shop.flows.append(Flow(states=("in_progress",), head=other))
    run = await ended(stage.deployer(), await start(stage.deployer()))
    assert run.state == "failed"
    assert run.note == (
        "GitHub began something else than was approved, and was told to stop: "
        f"it is of {other[:7]}, and main was {stage.shop.head[:7]} when it was started."
    )
    assert stage.shop.runs[0].conclusion == "cancelled"
    assert await stage.deployer().holder() is None


async def test_a_branch_that_moves_at_the_last_moment_deploys_nothing(stage: GitHubStage) -> None:
    async with stage.github.hold(DISPATCH) as gate:
        starting = asyncio.create_task(start(stage.deployer()))
        await gate.reached()
        stage.shop.commit("Change how it is deployed", {DEPLOY_FILE: DEPLOY_WORKFLOW + "# changed\n"})
        gate.release()
        run = await starting
    assert "told to stop" in (await ended(stage.deployer(), run)).note
    assert stage.shop.runs[0].conclusion == "cancelled"


@pytest.mark.parametrize(
    ("title", "said"),
    [
        (f"deploy {TWO} to production (KEY)", "does not show 4af9ec0"),
        ("deploy", "does not show 4af9ec0"),
        (f"deploy {ONE} to production", "does not show this deployment"),
        (f"deploy {ONE} to staging (KEY)", "does not show this deployment"),
    ],
)
async def test_a_run_that_does_not_show_what_was_approved_is_cancelled(
    stage: GitHubStage, title: str, said: str
) -> None:
    stage.shop.flows.append(Flow(states=("in_progress",), title=title))
    run = await start(stage.deployer())
    stage.shop.runs[0].title = title.replace("KEY", run.id)
    assert said in (await ended(stage.deployer(), run)).note
    assert stage.shop.runs[0].conclusion == "cancelled"


async def test_one_that_has_run_before_it_could_be_stopped_is_told_loudly(stage: GitHubStage) -> None:
    stage.shop.flows.append(Flow(states=(), title=f"deploy {TWO}"))
    run = await start(stage.deployer())
    stage.shop.runs[0].finish("success")
    run = await ended(stage.deployer(), run)
    assert run.state == "not_live"
    assert "has RUN something else than was approved" in run.note


async def test_what_cannot_be_cancelled_for_now_is_cancelled_at_the_next_look(stage: GitHubStage) -> None:
    stage.github.fails(Fault("actions/cancel-workflow-run", 502, times=3))
    stage.shop.flows.append(Flow(states=("in_progress",), title="deploy"))
    run = await start(stage.deployer())
    with pytest.raises(NoAnswer):
        await stage.deployer().look(run.id)
    assert (await stage.deployer().look(run.id)).state == "failed"
    assert stage.shop.runs[0].conclusion == "cancelled"


@pytest.mark.parametrize(
    "fault", [limited(DISPATCH, seconds=7), limited_until(DISPATCH), limited(DISPATCH, seconds=None)]
)
async def test_a_limit_at_the_dispatch_begins_nothing_and_leaves_github_alone(stage: GitHubStage, fault: Fault) -> None:
    stage.github.fails(fault)
    with pytest.raises(NoAnswer, match="GitHub takes no more requests from us for") as caught:
        await start(stage.deployer())
    assert caught.value.retry_seconds >= 7
    asked = len(stage.github.requests)
    with pytest.raises(NoAnswer, match="takes no more requests"):
        await stage.deployer().status()
    assert len(stage.github.requests) == asked, "it is left alone until then, whoever asks"
    assert stage.begun() == []
    assert await stage.deployer().holder() is None
    assert await stage.deployer().find("t1/s1") is None


async def test_a_github_that_cannot_be_reached_has_begun_nothing(
    stage: GitHubStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(monkeypatch, stage.github, API_URL="http://127.0.0.1:9")
    with pytest.raises(NoAnswer, match="cannot be reached"):
        await start(stage.deployer())
    assert await stage.deployer().holder() is None


async def test_a_look_is_repeated_and_a_dispatch_is_not(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    stage.github.fails(Fault(GET_RUN, 502, times=2))
    assert (await stage.deployer().look(run.id)).state == "running"
    stage.github.fails(Fault(GET_RUN, 200, body=b"<html>proxy</html>", times=3))
    with pytest.raises(NoAnswer, match="cannot be read"):
        await stage.deployer().look(run.id)
    await stage.let_end(run)
    await ended(stage.deployer(), run)
    stage.github.fails(Fault(DISPATCH, 502, times=3))
    await start(stage.deployer(), TWO, key="t2/s1")
    assert len(stage.github.asked(DISPATCH)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("on:", "off:"), "it has no `workflow_dispatch` in its `on`"),
        (("      key: { required: true }\n", ""), "its `workflow_dispatch` has no input key"),
        (("key: { required: true }", "key: {}\n      who: { required: true }"), "it requires the input who"),
        (("${{ inputs.sha }} ", ""), "its `run-name` must hold the input sha"),
        (("inputs.key }}", "inputs.key-2 }}"), "its `run-name` must hold the input key"),
        (("name: deploy\n", "name: [\n"), "it is not YAML"),
    ],
)
async def test_a_workflow_that_could_not_be_followed_is_not_started(
    stage: GitHubStage, change: tuple[str, str], said: str
) -> None:
    stage.shop.commit("Change it", {DEPLOY_FILE: DEPLOY_WORKFLOW.replace(*change, 1)})
    with pytest.raises(ToolError) as caught:
        await start(stage.deployer())
    assert said in str(caught.value)
    assert "Nothing was started" in str(caught.value)
    assert stage.begun() == []
    assert await stage.deployer().find("t1/s1") is None
    with pytest.raises(ToolError) as caught:
        await stage.deployer().about(ONE)
    assert said in str(caught.value), "nobody is asked to approve it"


async def test_a_tag_that_is_deployed_by_itself_must_be_the_commit(stage: GitHubStage) -> None:
    stage.target = GitHubTarget(workflow="deploy.yml", ref="{name}")
    head = stage.shop.head
    stage.shop.tag("v1", head)
    later = stage.shop.commit("Later")
    with pytest.raises(ToolError, match=rf"v1 is {head[:7]} at GitHub, and not {later[:7]}"):
        await start(stage.deployer(), later)
    with pytest.raises(ToolError, match="name one"):
        await start(stage.deployer(), head, name="")
    run = await start(stage.deployer(), head)
    assert (stage.shop.runs[0].head, stage.shop.runs[0].branch) == (head, "v1")
    await stage.let_end(run)
    assert (await ended(stage.deployer(), run)).state == "succeeded"


async def test_what_people_start_by_hand_runs_there_too(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    await stage.let_end(run)
    await ended(stage.deployer(), run)
    server = stage.github
    server.by = "ada"
    for environment, sha, conclusion in (
        ("production", TWO, "success"),
        ("production-eu", "d" * 40, "success"),
        ("production", "e" * 40, "failure"),
    ):
        inputs = {"sha": sha, "environment": environment, "key": "by hand"}
        given = {
            "owner": "acme",
            "repo": "shop",
            "file": "deploy.yml",
            "ref": "main",
            "inputs": inputs,
            "": "2026-03-10",
        }
        server._dispatch(given)
        stage.shop.runs[-1].finish(conclusion)
        if sha == TWO:
            assert stage.shop.runs[-1].updated is not None
            stage.shop.runs[-1].updated += timedelta(seconds=5)
    running = await stage.deployer().status()
    assert running is not None
    assert (running.sha, running.by) == (TWO, "ada")


async def test_a_list_that_lags_behind_hides_nothing_that_was_seen_to_succeed(stage: GitHubStage) -> None:
    run = await start(stage.deployer())
    await stage.let_end(run)
    run = await ended(stage.deployer(), run)
    stage.shop.runs[0].hidden = 1
    assert (await stage.deployer().confirm(run)).state == "succeeded"
    running = await stage.deployer().status()
    assert running is not None
    assert (running.sha, running.by) == (ONE, "Ann")


async def test_githubs_own_deployments_say_what_runs_where_the_team_wants_that(stage: GitHubStage) -> None:
    stage.target = GitHubTarget(workflow="deploy.yml", runs="deployments", github_environment="Production")
    assert await stage.deployer().status() is None
    stage.shop.deployed(ONE, "Production", "in_progress", "success")
    stage.shop.deployed(TWO, "Production", "in_progress", "failure")
    stage.shop.deployed(TWO, "Staging", "success")
    running = await stage.deployer().status()
    assert running is not None
    assert (running.sha, running.by) == (ONE, "ada")
    run = await start(stage.deployer(), TWO)
    stage.shop.runs[0].finish()
    run = await ended(stage.deployer(), run)
    assert (await stage.deployer().confirm(run)).state == "not_live", "no deployment of it is there"


async def test_one_workflow_deploys_several_components(stage: GitHubStage) -> None:
    stage.target = GitHubTarget.model_validate(
        {"workflow": "deploy.yml", "inputs": {"component": "component"}, "also": {}, "kind": "github"}
    )
    run = await start(stage.deployer())
    assert stage.shop.runs[0].inputs == {
        "sha": ONE,
        "environment": "production",
        "key": run.id,
        "component": "web",
    }
    await stage.let_end(run)
    await ended(stage.deployer(), run)
    assert (await stage.deployer().status()) is not None
    stage.shop.runs[0].title = stage.shop.runs[0].title.replace("web", "api")
    stage.notes.folder = stage.notes.folder.with_name("others")
    assert await stage.deployer().status() is None


async def test_the_log_is_of_the_job_that_failed_without_times_and_codes(stage: GitHubStage) -> None:
    stage.shop.flows.append(Flow(states=("failure",), log="".join(f"line {n}\n" for n in range(100)) + "\033[31mno\n"))
    run = await ended(stage.deployer(), await start(stage.deployer()))
    assert (run.state, run.note) == ("failed", "A job of the workflow failed.")
    lines = (await stage.deployer().log_tail(run.id)).split("\n")
    assert (len(lines), lines[0], lines[-1]) == (40, "line 61", "no")


@pytest.mark.parametrize(
    ("conclusion", "state", "note"),
    [
        ("cancelled", "failed", "It was cancelled at GitHub."),
        ("timed_out", "timed_out", "A job of the workflow took longer than it may."),
        ("startup_failure", "failed", "GitHub could not begin the workflow: look at its file."),
        ("action_required", "failed", "GitHub says of it: action required."),
        ("skipped", "failed", "GitHub says of it: skipped."),
    ],
)
async def test_every_end_at_github_is_one_here(stage: GitHubStage, conclusion: str, state: str, note: str) -> None:
    run = await start(stage.deployer())
    stage.shop.runs[0].finish(conclusion)
    run = await ended(stage.deployer(), run)
    assert (run.state, run.note) == (state, note)


async def test_one_that_waits_for_githubs_own_approval_says_so(stage: GitHubStage) -> None:
    stage.shop.flows.append(Flow(states=("waiting",)))
    run = await start(stage.deployer())
    await stage.deployer().look(run.id)
    assert (await stage.deployer().look(run.id)).note == "It waits at GitHub for somebody's approval."


# Setup


async def test_the_doctor_says_what_is_wrong_with_the_setup(
    stage: GitHubStage, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await stage.deployer().problems() == []
    stage.shop.disabled.add(DEPLOY_FILE)
    (problem,) = await stage.deployer().problems()
    assert problem == "deploy.yml is disabled manually at GitHub: enable it there."
    stage.shop.disabled.clear()
    stage.shop.commit("Forget the key", {DEPLOY_FILE: DEPLOY_WORKFLOW.replace("({{ inputs.key }})", "")})
    stage.target = GitHubTarget(workflow="release.yml")
    (problem,) = await stage.deployer().problems()
    assert "acme/shop has no workflow release.yml on its default branch" in problem
    set_up(monkeypatch, github, TOKEN="wrong")
    (problem,) = await stage.deployer().problems()
    assert problem.startswith("GitHub does not accept the token in GITHUB_TOKEN")
    assert github.app is not None
    app = {"APP_ID": "4711", "APP_INSTALLATION_ID": "42", "APP_PRIVATE_KEY": github.app.private_key}
    set_up(monkeypatch, github, TOKEN="", **app)
    github.app.permissions = {"metadata": "read"}
    assert "Actions (read and write)" in (await stage.deployer().problems())[0]
    set_up(monkeypatch, github, TOKEN="", **{**app, "APP_INSTALLATION_ID": "43"})
    assert "correct GITHUB_APP_INSTALLATION_ID" in (await stage.deployer().problems())[0]
    set_up(monkeypatch, github, TOKEN="", **{**app, "APP_PRIVATE_KEY": App().private_key})
    assert "does not accept the app" in (await stage.deployer().problems())[0]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TOKEN": ""}, "There is no access to GitHub: set GITHUB_TOKEN, or GITHUB_APP_ID"),
        ({"APP_ID": "7"}, "GITHUB_TOKEN and GITHUB_APP_ID are both set"),
        ({"TOKEN": "", "APP_ID": "7"}, "GITHUB_APP_INSTALLATION_ID and GITHUB_APP_PRIVATE_KEY must be set too"),
        ({"TOKEN": "", "APP_ID": "7", "APP_INSTALLATION_ID": "x", "APP_PRIVATE_KEY": "k"}, "must be a number"),
        ({"TOKEN": "", "APP_ID": "7", "APP_INSTALLATION_ID": "1", "APP_PRIVATE_KEY": "k"}, "is not the private key"),
        ({"API_URL": "http://github.example"}, "must begin with https://"),
    ],
)
async def test_an_access_that_is_not_one_says_what_to_set(
    stage: GitHubStage, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    set_up(monkeypatch, stage.github, **variables)
    with pytest.raises(ToolError, match=said):
        await stage.deployer().status()


async def test_what_the_token_may_not_do_is_said_with_what_it_lacks(stage: GitHubStage) -> None:
    stage.github.forbidden[DISPATCH] = "actions=write"
    with pytest.raises(ToolError, match=r"It needs the permission actions=write\."):
        await start(stage.deployer())
    assert await stage.deployer().holder() is None
    stage.github.repositories.clear()
    with pytest.raises(ToolError, match="the token in GITHUB_TOKEN may not read it"):
        await start(stage.deployer())
    with pytest.raises(ToolError, match="may the token in GITHUB_TOKEN see it"):
        await stage.deployer().status()


async def test_an_apps_token_is_used_again_and_renewed(
    stage: GitHubStage, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert github.app is not None
    app = {"APP_ID": "4711", "APP_INSTALLATION_ID": "42", "APP_PRIVATE_KEY": github.app.private_key}
    set_up(monkeypatch, github, TOKEN="", **app)
    for _ in range(3):
        await stage.deployer().status()
    assert len(github.asked("apps/create-installation-access-token")) == 1
    github.app.tokens.clear()
    await stage.deployer().status()
    assert len(github.asked("apps/create-installation-access-token")) == 2


async def test_nothing_secret_is_told(stage: GitHubStage) -> None:
    stage.github.fails(Fault("repos/get-commit", 422, message="bad token github_pat_x"))
    with pytest.raises(ToolError) as caught:
        await start(stage.deployer())
    assert "github_pat" not in str(caught.value)
    assert TOKEN not in repr(access())
