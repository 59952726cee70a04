"""The GitHub of the tests answers as GitHub's description says, and does with a run what a test says."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import jwt
import pytest
from githubkit_schemas.v2026_03_10 import models as m
from pydantic import TypeAdapter

from tests.fakes.github import (
    DEPLOY_FILE,
    DEPLOY_WORKFLOW,
    FAILED,
    SECRET,
    TOKEN,
    App,
    Fault,
    Flow,
    GitHubServer,
    Repository,
    limited,
    limited_until,
    signature,
)
from tests.fakes.github.repository import Check, Pull

INPUTS = {"sha": "a" * 40, "environment": "production", "key": "k1"}
NOW = {"X-GitHub-Api-Version": "2026-03-10"}
OLD = {"X-GitHub-Api-Version": "2022-11-28"}


@pytest.fixture
async def github() -> AsyncIterator[GitHubServer]:
    async with GitHubServer(app=App()) as server:
        yield server


@pytest.fixture
def shop(github: GitHubServer) -> Repository:
    return github.add_repository("acme/shop", {DEPLOY_FILE: DEPLOY_WORKFLOW, "web/index.html": "shop"})


class Asking:
    def __init__(self, github: GitHubServer, token: str = TOKEN) -> None:
        self.github, self.token = github, token

    async def __call__(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, shape: Any = None, **body: Any
    ) -> tuple[int, Any, dict[str, str]]:
        given = {"Authorization": f"Bearer {self.token}", **(headers or NOW)}
        async with (
            aiohttp.ClientSession(headers=given) as session,
            session.request(method, self.github.url + path, json=body or None) as answer,
        ):
            text = await answer.text("utf-8-sig")
            if shape is not None:
                TypeAdapter(shape).validate_json(text, strict=True)
            is_json = answer.content_type == "application/json"
            return (
                answer.status,
                json.loads(text) if is_json else text,
                {k.lower(): v for k, v in answer.headers.items()},
            )


async def dispatched(ask: Asking, **more: Any) -> Any:
    status, said, _ = await ask(
        "POST",
        "/repos/acme/shop/actions/workflows/deploy.yml/dispatches",
        shape=m.WorkflowDispatchResponse,
        ref="main",
        inputs=INPUTS,
        **more,
    )
    assert status == 200
    return said["workflow_run_id"]


async def test_a_run_goes_from_its_dispatch_to_its_end(github: GitHubServer, shop: Repository) -> None:
    ask = Asking(github)
    run = f"/repos/acme/shop/actions/runs/{await dispatched(ask)}"
    seen = []
    while (found := (await ask("GET", run, shape=m.WorkflowRun))[1])["status"] != "completed":
        seen.append(found["status"])
    assert (seen, found["conclusion"], found["head_sha"]) == (["queued", "in_progress"], "success", shop.head)
    assert found["display_title"] == f" {'a' * 40} to production (k1)"
    listed = "/repos/acme/shop/actions/workflows/deploy.yml/runs?event=workflow_dispatch&status=success"
    _, runs, _ = await ask("GET", listed, shape=m.ReposOwnerRepoActionsWorkflowsWorkflowIdRunsGetResponse200)
    assert [one["id"] for one in runs["workflow_runs"]] == [found["id"]]
    status, _, _ = await ask("POST", f"{run}/cancel")
    assert status == 409


async def test_an_older_version_of_the_api_says_of_a_dispatch_only_that_it_took_it(
    github: GitHubServer, shop: Repository
) -> None:
    path = "/repos/acme/shop/actions/workflows/deploy.yml/dispatches"
    status, said, _ = await Asking(github)("POST", path, OLD, ref="main", inputs=INPUTS)
    assert (status, said) == (204, "")
    status, said, _ = await Asking(github)("POST", path, OLD, ref="main", inputs=INPUTS, return_run_details=True)
    assert status == 200
    assert said["workflow_run_id"] == shop.runs[1].id
    assert (await Asking(github)("GET", path, {"X-GitHub-Api-Version": "2030-01-01"}))[0] in (400, 405)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ref": "nowhere"}, "No ref found for: nowhere"),
        ({"inputs": {**INPUTS, "colour": "red"}}, 'Unexpected inputs provided: ["colour"]'),
        ({"inputs": {"sha": "a"}}, "Required input 'environment' not provided"),
    ],
)
async def test_a_dispatch_that_the_workflow_does_not_take_is_refused(
    github: GitHubServer, shop: Repository, change: dict[str, Any], said: str
) -> None:
    path = "/repos/acme/shop/actions/workflows/deploy.yml/dispatches"
    given: dict[str, Any] = {"ref": "main", "inputs": INPUTS, **change}
    status, answer, _ = await Asking(github)("POST", path, **given)
    assert (status, answer["message"]) == (422, said)
    assert shop.runs == []


async def test_logs_are_kept_elsewhere_and_have_a_time_on_each_line(github: GitHubServer, shop: Repository) -> None:
    shop.flows.append(FAILED)
    ask = Asking(github)
    run = await dispatched(ask)
    shop.runs[0].finish("failure")
    _, jobs, _ = await ask("GET", f"/repos/acme/shop/actions/runs/{run}/jobs")
    (job,) = jobs["jobs"]
    assert job["conclusion"] == "failure"
    _, log, _ = await ask("GET", f"/repos/acme/shop/actions/jobs/{job['id']}/logs")
    assert log.splitlines()[-1].endswith("Z no space left on device")


async def test_commits_tags_and_comparisons(github: GitHubServer, shop: Repository) -> None:
    first = shop.head
    second, third = shop.commit("Second"), shop.commit("Third", {"web/index.html": "new"}, author="Bob")
    side = shop.commit("Aside", branch="next", parent=first)
    shop.tag("v1", second)
    shop.tag("v2", third, annotated=True)
    ask = Asking(github)
    _, commits, _ = await ask("GET", "/repos/acme/shop/commits?per_page=2", shape=list[m.Commit])
    assert [one["sha"] for one in commits] == [third, second]
    _, commits, _ = await ask("GET", "/repos/acme/shop/commits?path=web", shape=list[m.Commit])
    assert [one["sha"] for one in commits] == [third, first]
    for pair, status, ahead in (
        ((first, third), "ahead", 2),
        ((third, first), "behind", 0),
        ((third, side), "diverged", 1),
    ):
        path = f"/repos/acme/shop/compare/{pair[0]}...{pair[1]}"
        _, compared, _ = await ask("GET", path, shape=m.CommitComparison)
        assert (compared["status"], compared["ahead_by"]) == (status, ahead)
    _, ref, _ = await ask("GET", "/repos/acme/shop/git/ref/tags/v2", shape=m.GitRef)
    assert ref["object"]["type"] == "tag"
    _, tag, _ = await ask("GET", f"/repos/acme/shop/git/tags/{ref['object']['sha']}", shape=m.GitTag)
    assert tag["object"]["sha"] == third
    _, tags, _ = await ask("GET", "/repos/acme/shop/tags", shape=list[m.Tag])
    assert [(one["name"], one["commit"]["sha"]) for one in tags] == [("v2", third), ("v1", second)]
    assert (await ask("GET", "/repos/acme/shop/commits/nothing", shape=m.BasicError))[0] == 422


async def test_a_commit_has_its_pull_request_its_checks_and_its_branches(
    github: GitHubServer, shop: Repository
) -> None:
    shop.checks[shop.head] = [Check("unit"), Check("e2e", "completed", "failure"), Check("lint", "in_progress", None)]
    shop.pulls.append(Pull(12, "Fix the basket", shop.head))
    ask, of = Asking(github), f"/repos/acme/shop/commits/{shop.head}"
    _, checks, _ = await ask("GET", f"{of}/check-runs", shape=m.ReposOwnerRepoCommitsRefCheckRunsGetResponse200)
    assert [one["conclusion"] for one in checks["check_runs"]] == ["success", "failure", None]
    _, pulls, _ = await ask("GET", f"{of}/pulls", shape=list[m.PullRequestSimple])
    assert pulls[0]["number"] == 12
    _, heads, _ = await ask("GET", f"{of}/branches-where-head", shape=list[m.BranchShort])
    assert [one["name"] for one in heads] == ["main"]
    await ask("GET", f"{of}/status", shape=m.CombinedCommitStatus)


async def test_a_reference_is_created_once(github: GitHubServer, shop: Repository) -> None:
    path = "/repos/acme/shop/git/refs"
    given: dict[str, Any] = {"ref": "refs/tags/v9", "sha": shop.head}
    assert (await Asking(github)("POST", path, shape=m.GitRef, **given))[0] == 201
    status, said, _ = await Asking(github)("POST", path, **given)
    assert (status, said["message"]) == (422, "Reference already exists")


async def test_deployments_with_their_newest_status_first(github: GitHubServer, shop: Repository) -> None:
    one = shop.deployed(shop.head, "production", "in_progress", "success")
    _, found, _ = await Asking(github)(
        "GET", "/repos/acme/shop/deployments?environment=production", shape=list[m.Deployment]
    )
    path = f"/repos/acme/shop/deployments/{found[0]['id']}/statuses"
    _, statuses, _ = await Asking(github)("GET", path, shape=list[m.DeploymentStatus])
    assert [status["state"] for status in statuses] == ["success", "in_progress"]
    github.hooks.deployment_changed(shop, one)
    assert github.hooks.waiting[-1].event == "deployment_status"


async def test_an_app_proves_itself_and_gets_a_token(github: GitHubServer, shop: Repository) -> None:
    assert github.app is not None
    now = int(time.time())
    proof = jwt.encode({"iss": str(github.app.id), "iat": now - 60, "exp": now + 500}, github.app.private_key, "RS256")
    path = "/app/installations/42/access_tokens"
    status, got, _ = await Asking(github, proof)("POST", path, shape=m.InstallationToken)
    assert status == 201
    assert (await Asking(github, got["token"])("GET", "/repos/acme/shop", shape=m.FullRepository))[0] == 200
    assert (await Asking(github, proof)("GET", "/app/installations/42", shape=m.Installation))[0] == 200
    for wrong in ("", "ghs_other", proof):
        assert (await Asking(github, wrong)("GET", "/repos/acme/shop", shape=m.BasicError))[0] == 401
    other = jwt.encode({"iss": str(github.app.id), "iat": now, "exp": now + 500}, App().private_key, "RS256")
    assert (await Asking(github, other)("POST", path))[0] == 401


async def test_limits_and_faults_come_as_github_has_them(github: GitHubServer, shop: Repository) -> None:
    ask = Asking(github)
    github.fails(limited("repos/get", seconds=7), limited_until("repos/get"), Fault("repos/get", 502, body=b"<html>"))
    status, said, headers = await ask("GET", "/repos/acme/shop")
    assert (status, headers["retry-after"]) == (403, "7")
    assert "secondary rate limit" in said["message"]
    status, _, headers = await ask("GET", "/repos/acme/shop")
    assert (status, headers["x-ratelimit-remaining"]) == (403, "0")
    assert (await ask("GET", "/repos/acme/shop"))[0] == 502
    assert (await ask("GET", "/repos/acme/shop"))[0] == 200
    github.fails(Fault("actions/create-workflow-dispatch", cut=True, after_effect=True))
    with pytest.raises(aiohttp.ClientError):
        await dispatched(ask)
    assert len(shop.runs) == 1
    github.forbidden["repos/get"] = "metadata=read"
    status, _, headers = await ask("GET", "/repos/acme/shop")
    assert (status, headers["x-accepted-github-permissions"]) == (403, "metadata=read")
    assert (await ask("GET", "/repos/acme/secret/commits"))[0] == 404


async def test_a_run_that_nobody_expected(github: GitHubServer, shop: Repository) -> None:
    other = shop.commit("Other", branch="next", parent=shop.head)
    shop.flows += [Flow(appears=False), Flow(head=other), Flow(listed_after=1)]
    ask = Asking(github)
    assert (await ask("GET", f"/repos/acme/shop/actions/runs/{await dispatched(ask)}"))[0] == 404
    _, found, _ = await ask("GET", f"/repos/acme/shop/actions/runs/{await dispatched(ask)}")
    assert found["head_sha"] == other
    late = f"/repos/acme/shop/actions/runs/{await dispatched(ask)}"
    assert [(await ask("GET", late))[0] for _ in range(2)] == [404, 200]


async def test_what_happens_is_delivered_signed(github: GitHubServer, shop: Repository) -> None:
    ask = Asking(github)
    await dispatched(ask)
    shop.runs[0].finish()
    assert [one.document["action"] for one in github.hooks.waiting] == ["requested", "completed"]
    made = github.hooks.waiting[-1]
    assert made.headers["X-GitHub-Event"] == "workflow_run"
    wanted = hmac.new(SECRET.encode(), made.body, hashlib.sha256).hexdigest()
    assert made.headers["X-Hub-Signature-256"] == f"sha256={wanted}"
    assert made.document["workflow_run"]["id"] == shop.runs[0].id
    assert made.document["repository"]["full_name"] == "acme/shop"


async def test_an_environment_takes_one_answer_of_our_app_and_refuses_a_second() -> None:
    async with GitHubServer() as github, aiohttp.ClientSession() as session:
        shop = github.add_repository("acme/shop", files={"a": "b"})
        gate = github.begins(shop, shop.head, by="ada", environment="production")
        assert gate.delivery.headers["X-Hub-Signature-256"] == signature(gate.delivery.body)
        base = f"{github.url}/repos/acme/shop/actions/runs/{gate.run.id}"
        signed = {"Authorization": f"Bearer {TOKEN}"}

        async def answer(state: str) -> int:
            body = {"environment_name": "Production", "state": state, "comment": "why"}
            async with session.post(gate.callback, json=body, headers=signed) as it:
                return it.status

        async def listed(what: str) -> list[str]:
            async with session.get(f"{base}/{what}", headers=signed) as it:
                return [one.get("state", "waits") for one in await it.json()]

        assert (await listed("pending_deployments"), await listed("approvals")) == (["waits"], [])
        assert [await answer("rejected"), await answer("approved")] == [204, 422]
        assert (gate.state, gate.times, gate.comment) == ("rejected", 1, "why")
        assert (await listed("pending_deployments"), await listed("approvals")) == ([], ["rejected"])
