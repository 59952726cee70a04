"""The Vercel for tests, as a client sees it: what it takes, what it answers, and what it does not forgive."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from tests.fakes.vercel import FAILED, SECRET, STUCK, TOKEN, Build, Fault, VercelServer, rate_limited, shapes
from tests.fakes.vercel.account import BITBUCKET, GITLAB
from tests.patience import eventually

ONE, TWO = "4af9ec0" + "0" * 33, "b" * 40
GITHUB_SOURCE = {"type": "github", "repoId": 4711, "ref": "main", "sha": ONE}


class Caller:
    def __init__(self, server: VercelServer) -> None:
        self.server, self.team, self.token = server, "acme", TOKEN
        self.headers: dict[str, str] = {}

    async def __call__(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        team = {"slug": self.team} if self.team else {}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.server.url}{path}", json=body, params={**team, **query}) as answer,
        ):
            self.headers = dict(answer.headers)
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def creates(self, **fields: Any) -> tuple[int, Any]:
        body = {"name": "web", "project": "web", "target": "production", "gitSource": GITHUB_SOURCE, **fields}
        return await self("POST", "/v13/deployments", body)


@pytest.fixture
async def vercel() -> AsyncIterator[VercelServer]:
    async with VercelServer() as server:
        server.add_project("web")
        yield server


@pytest.fixture
def call(vercel: VercelServer) -> Caller:
    return Caller(vercel)


async def test_a_deployment_is_built_state_by_state_and_then_has_the_domains(
    vercel: VercelServer, call: Caller
) -> None:
    status, made = await call.creates(meta={"key": "k1"})
    assert (status, made["readyState"], made["target"]) == (200, "QUEUED", "production")
    assert made["meta"]["key"] == "k1"
    assert made["meta"]["githubCommitSha"] == made["gitSource"]["sha"] == ONE
    states = [(await call("GET", f"/v13/deployments/{made['id']}"))[1]["readyState"] for _ in range(3)]
    assert states == ["BUILDING", "READY", "READY"]
    _, project = await call("GET", "/v9/projects/web")
    assert project["targets"]["production"]["id"] == made["id"]
    assert project["targets"]["production"]["readySubstate"] == "PROMOTED"


async def test_a_project_that_keeps_its_domains_back_has_a_staged_deployment_until_it_is_promoted(
    vercel: VercelServer, call: Caller
) -> None:
    web = vercel.add_project("held", auto_assign=False)
    old, new = vercel.deployed(web, ONE), vercel.deployed(web, TWO, live=False)
    assert (await call("GET", f"/v13/deployments/{new.id}"))[1]["readySubstate"] == "STAGED"
    assert (await call("POST", f"/v10/projects/{web.id}/promote/{new.id}"))[0] == 201
    assert web.production is old
    _, project = await call("GET", f"/v9/projects/{web.id}")
    assert project["lastAliasRequest"]["jobStatus"] == "succeeded"
    assert project["targets"]["production"]["id"] == new.id


async def test_what_is_not_ready_and_what_is_no_production_deployment_cannot_be_promoted(
    vercel: VercelServer, call: Caller
) -> None:
    web = vercel.projects[next(iter(vercel.projects))]
    vercel.builds.append(STUCK)
    _, stuck = await call.creates()
    preview = vercel.deployed(web, TWO, "preview")
    live = vercel.deployed(web, ONE)
    for named, status in ((stuck["id"], 422), (preview.id, 422), (live.id, 409), ("dpl_none", 404)):
        assert (await call("POST", f"/v10/projects/{web.id}/promote/{named}"))[0] == status


async def test_one_promotion_at_a_time_and_it_may_fail(vercel: VercelServer, call: Caller) -> None:
    web = vercel.add_project("held", auto_assign=False)
    live, one, two = (
        vercel.deployed(web, ONE),
        vercel.deployed(web, TWO, live=False),
        vercel.deployed(web, ONE, live=False),
    )
    vercel.promotions.append("failed")
    assert (await call("POST", f"/v10/projects/{web.id}/promote/{one.id}"))[0] == 201
    assert (await call("POST", f"/v10/projects/{web.id}/promote/{two.id}"))[0] == 409
    _, project = await call("GET", f"/v9/projects/{web.id}")
    assert project["lastAliasRequest"]["jobStatus"] == "failed"
    assert web.production is live


async def test_without_a_target_the_branch_decides(vercel: VercelServer, call: Caller) -> None:
    for ref, target in (("main", "production"), ("feature", None), (ONE, None)):
        _, made = await call.creates(target=None, gitSource={**GITHUB_SOURCE, "ref": ref})
        assert made["target"] == target


async def test_a_custom_environment_has_its_own_deployments(vercel: VercelServer, call: Caller) -> None:
    web = vercel.add_project("more", environments=("qa",))
    body = {"name": "more", "project": web.id, "customEnvironmentSlugOrId": "qa", "gitSource": GITHUB_SOURCE}
    _, made = await call("POST", "/v13/deployments", body)
    assert (made["customEnvironment"]["slug"], made["target"]) == ("qa", None)
    _, found = await call("GET", "/v6/deployments", projectId=web.id, target="qa")
    assert [one["uid"] for one in found["deployments"]] == [made["id"]]
    body["customEnvironmentSlugOrId"] = "nowhere"
    assert (await call("POST", "/v13/deployments", body))[0] == 400


async def test_a_list_is_filtered_and_comes_in_pages(vercel: VercelServer, call: Caller) -> None:
    web = vercel.project("web")
    assert web
    old, new, preview = vercel.deployed(web, ONE), vercel.deployed(web, TWO), vercel.deployed(web, TWO, "preview")
    vercel.builds.append(STUCK)
    _, marked = await call.creates(meta={"key": "k1"})

    async def ids(**query: str) -> list[str]:
        return [
            one["uid"] for one in (await call("GET", "/v6/deployments", projectId="web", **query))[1]["deployments"]
        ]

    assert await ids() == [marked["id"], preview.id, new.id, old.id]
    assert await ids(target="production", state="READY") == [new.id, old.id]
    assert await ids(sha=TWO) == [preview.id, new.id]
    assert await ids(**{"meta-key": "k1"}) == [marked["id"]]
    _, page = await call("GET", "/v6/deployments", projectId="web", limit="2")
    _, rest = await call("GET", "/v6/deployments", projectId="web", until=str(page["pagination"]["next"]))
    assert [one["uid"] for one in rest["deployments"]] == [new.id, old.id]
    assert rest["pagination"]["next"] is None


async def test_a_filter_may_have_no_effect(vercel: VercelServer, call: Caller) -> None:
    web = vercel.project("web")
    assert web
    vercel.deployed(web, ONE, "preview")
    for ignored, count in ((set[str](), 0), ({"target"}, 0), ({"target", "meta-"}, 1)):
        vercel.ignored = ignored
        _, found = await call("GET", "/v6/deployments", projectId="web", target="production", **{"meta-key": "k1"})
        assert found["pagination"]["count"] == count


async def test_a_commit_may_not_be_told_before_the_end(vercel: VercelServer, call: Caller) -> None:
    vercel.builds.append(Build(("READY",), commit_unsaid=True))
    _, made = await call.creates(meta={"key": "k1"})
    assert ("gitSource" in made, made["meta"]) == (False, {"key": "k1", "githubCommitRef": "main"})
    _, made = await call("GET", f"/v13/deployments/{made['id']}")
    assert made["gitSource"]["sha"] == made["meta"]["githubCommitSha"] == ONE


async def test_a_new_deployment_may_not_be_listed_yet(vercel: VercelServer, call: Caller) -> None:
    vercel.builds.append(Build(listed_after=1))
    await call.creates()
    counts = [(await call("GET", "/v6/deployments", projectId="web"))[1]["pagination"]["count"] for _ in range(2)]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("build", "seen"),
    [
        (FAILED, {"readyState": "ERROR", "errorCode": "BUILD_FAILED"}),
        (Build(("CANCELED",)), {"readyState": "CANCELED"}),
        (STUCK, {"readyState": "QUEUED"}),
        (Build(sha=TWO), {"readyState": "READY", "gitSource": {**GITHUB_SOURCE, "sha": TWO}}),
        (Build(target="preview"), {"readyState": "READY", "target": None}),
    ],
)
async def test_what_may_become_of_a_deployment(
    vercel: VercelServer, call: Caller, build: Build, seen: dict[str, Any]
) -> None:
    vercel.builds.append(build)
    _, made = await call.creates()
    for _ in range(3):
        _, made = await call("GET", f"/v13/deployments/{made['id']}")
    assert {name: made[name] for name in seen} == seen


async def test_a_deployment_that_is_being_built_can_be_cancelled_and_an_ended_one_cannot(
    vercel: VercelServer, call: Caller
) -> None:
    vercel.builds.append(STUCK)
    _, made = await call.creates()
    assert (await call("PATCH", f"/v12/deployments/{made['id']}/cancel"))[1]["readyState"] == "CANCELED"
    assert (await call("PATCH", f"/v12/deployments/{made['id']}/cancel"))[0] == 400


async def test_the_log_of_a_build_from_either_end(vercel: VercelServer, call: Caller) -> None:
    vercel.builds.append(FAILED)
    _, made = await call.creates()
    path = f"/v3/deployments/{made['id']}/events"
    assert [line["text"] for line in (await call("GET", path))[1]] == ["> build", "no such module"]
    assert [line["text"] for line in (await call("GET", path, direction="backward", limit="1"))[1]] == [
        "no such module"
    ]


async def test_a_token_sees_what_its_team_has(vercel: VercelServer, call: Caller) -> None:
    for team in ("acme", vercel.team_id):
        assert (await call("GET", f"/v2/teams/{team}"))[1]["slug"] == "acme"
    call.team = ""
    assert (await call("GET", "/v9/projects/web"))[0] == 404
    call.team = "another"
    assert (await call("GET", "/v9/projects/web"))[0] == 403
    call.team, call.token = "acme", "wrong"
    status, said = await call("GET", "/v9/projects/web")
    assert (status, said["error"]["invalidToken"]) == (403, True)
    call.token = ""
    assert (await call("GET", "/v9/projects/web"))[0] == 403
    call.token = TOKEN
    vercel.forbidden.add("requestPromote")
    assert (await call("POST", "/v10/projects/web/promote/dpl_1"))[0] == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"gitSource": {**GITHUB_SOURCE, "repoId": 1}},
        {"gitSource": {"type": "gitlab", "projectId": "815", "ref": "main", "sha": ONE}},
        {"gitSource": {"type": "github", "repoId": 4711, "sha": ONE}},
        {"gitSource": None},
        {"files_": []},
        {"meta": {"number": 1}},
    ],
)
async def test_what_it_does_not_know_is_refused(vercel: VercelServer, call: Caller, wrong: dict[str, Any]) -> None:
    assert (await call.creates(**wrong))[0] == 400
    assert vercel.deployments == []


@pytest.mark.parametrize(
    ("link", "source"),
    [
        (GITLAB, {"type": "gitlab", "projectId": "815", "ref": "main", "sha": ONE}),
        (BITBUCKET, {"type": "bitbucket", "repoUuid": "{web-uuid}", "ref": "main", "sha": ONE}),
    ],
)
async def test_a_project_may_be_linked_elsewhere(
    vercel: VercelServer, call: Caller, link: dict[str, Any], source: dict[str, Any]
) -> None:
    vercel.add_project("other", link=link)
    status, made = await call.creates(project="other", gitSource=source)
    assert (status, made["gitSource"]["sha"]) == (200, ONE)


async def test_faults_before_and_after_their_effect(vercel: VercelServer, call: Caller) -> None:
    vercel.fails(Fault("createDeployment", 503), Fault("createDeployment", cut=True, after_effect=True))
    vercel.fails(rate_limited("getDeployments", reset=1_800_000_000, retry_after=7))
    assert (await call.creates())[0] == 503
    assert vercel.deployments == []
    with pytest.raises(aiohttp.ClientError):
        await call.creates()
    assert len(vercel.deployments) == 1
    status, said = await call("GET", "/v6/deployments")
    assert (status, said["error"]["code"], call.headers["Retry-After"]) == (429, "rate_limited", "7")
    assert [one.status for one in vercel.requests] == [503, 0, 429]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_caller_that_is_stopped_takes_its_request_with_it_or_leaves_its_effect(
    vercel: VercelServer, call: Caller, after_effect: bool
) -> None:
    async with vercel.hold("createDeployment", after_effect=after_effect) as gate:
        calling = asyncio.ensure_future(call.creates())
        await gate.reached()
        calling.cancel()
        await gate.abandoned()
    assert len(vercel.deployments) == after_effect


async def test_what_happens_is_delivered_signed(vercel: VercelServer, call: Caller) -> None:
    got: list[tuple[bytes, str]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers["x-vercel-signature"]))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    _, made = await call.creates(meta={"key": "k1"})
    for _ in range(2):
        await call("GET", f"/v13/deployments/{made['id']}")
    kinds = [one.kind for one in vercel.hooks.waiting]
    assert kinds == ["deployment.created", "deployment.succeeded", "deployment.promoted"]
    assert await vercel.hooks.send(vercel.hooks.waiting[1], url) == 202
    vercel.hooks.send_to(url)
    vercel.builds.append(STUCK)
    await call.creates()
    await eventually(lambda: len(got) == 2)
    await runner.cleanup()
    for body, signature in got:
        assert signature == hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    said = json.loads(got[0][0])
    assert said["payload"]["deployment"] == {
        "id": made["id"],
        "meta": made["meta"],
        "url": made["url"],
        "name": "web",
    }


def test_an_answer_of_another_shape_is_refused() -> None:
    good: dict[str, Any] = {
        "id": "team_1",
        "slug": "acme",
        "name": None,
        "avatar": None,
        "description": None,
        "billing": None,
    }
    good |= {"creatorId": "u", "stagingPrefix": "", "createdAt": 1, "updatedAt": 1}
    shapes.Team.model_validate(good)
    for wrong in ({**good, "extra": 1}, {**good, "createdAt": "1"}, {k: v for k, v in good.items() if k != "id"}):
        with pytest.raises(ValidationError):
            shapes.Team.model_validate(wrong)
