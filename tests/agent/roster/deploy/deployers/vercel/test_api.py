"""The calls of Vercel's API, with a Vercel that answers, refuses, fails and falls silent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.base import NoAnswer
from agent.roster.deploy.deployers.vercel import api
from agent.roster.deploy.deployers.vercel.api import Refused, VercelApi
from tests.fakes.vercel import FAILED, STUCK, TOKEN, Build, Fault, VercelServer, rate_limited

ONE, TWO = "4af9ec0" + "0" * 33, "b" * 40


@pytest.fixture
async def vercel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VercelServer]:
    monkeypatch.setenv("VERCEL_TOKEN", TOKEN)
    monkeypatch.setattr(api, "AGAIN_SECONDS", (0.0, 0.0))
    async with VercelServer() as server:
        server.add_project("web")
        yield server


@pytest.fixture
def asks(vercel: VercelServer) -> VercelApi:
    return VercelApi("acme", url=vercel.url)


def body(**more: JsonValue) -> dict[str, JsonValue]:
    source: JsonValue = {"type": "github", "repoId": 4711, "ref": "main", "sha": ONE}
    return {"name": "web", "project": "web", "target": "production", "gitSource": source, **more}


@pytest.mark.parametrize("team", ["acme", "team_acme0001"])
async def test_a_team_is_named_by_its_id_or_its_slug(vercel: VercelServer, team: str) -> None:
    asks = VercelApi(team, url=f"{vercel.url}/")
    assert (await asks.team_of()).slug == "acme"
    assert (await asks.project("web")).name == "web"


async def test_a_deployment_says_its_commit_where_it_is_and_what_became_of_it(
    vercel: VercelServer, asks: VercelApi
) -> None:
    vercel.builds.append(FAILED)
    made = await asks.create(body(meta={"key": "k1"}))
    assert (made.where, made.state, made.by) == ("production", "QUEUED", "deploybot")
    assert made.is_of(ONE)
    assert made.url.startswith("https://web-")
    (listed,) = await asks.deployments("web", {"meta-key": "k1"})
    assert (listed.id, listed.is_being_built) == (made.id, True)
    assert listed.commits == {ONE}
    assert not listed.is_of(ONE)  # It only claims to be.
    ended = await asks.deployment(made.id)
    assert (ended.state, ended.error) == ("ERROR", FAILED.error)
    assert await asks.log_tail(made.id, 1) == ["no such module"]
    assert await asks.log_tail(made.id, 40) == ["> build", "no such module"]


async def test_a_long_list_is_read_in_pages(
    vercel: VercelServer, asks: VercelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = vercel.project("web")
    assert web
    made = [vercel.deployed(web, ONE).id for _ in range(5)]
    monkeypatch.setattr(api, "PAGE_MAX", 2)
    assert [one.id for one in await asks.deployments("web", {}, 100)] == made[::-1]
    assert [one.id for one in await asks.deployments("web", {}, 3)] == made[:1:-1]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("getProject", 503, times=2),
        Fault("getProject", cut=True, times=2),
        Fault("getProject", 200, body=b'{"id": "prj', times=0),
    ],
)
async def test_what_only_reads_is_asked_again(vercel: VercelServer, asks: VercelApi, fault: Fault) -> None:
    vercel.fails(fault)
    assert (await asks.project("web")).name == "web"
    assert fault.met == fault.times


async def test_after_some_times_it_is_given_up(vercel: VercelServer, asks: VercelApi) -> None:
    vercel.fails(Fault("getProject", 502, body=b"<html>bad gateway</html>", times=9))
    with pytest.raises(NoAnswer, match="Vercel failed with 502"):
        await asks.project("web")
    assert len(vercel.asked("getProject")) == 3


async def test_an_answer_that_cannot_be_read_is_no_answer(vercel: VercelServer, asks: VercelApi) -> None:
    vercel.fails(Fault("getProject", 200, body=b'{"id": "../x", "name": "web"}'))
    with pytest.raises(NoAnswer, match="the project 'web' cannot be read"):
        await asks.project("web")


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}, {"status": 504, "body": b"<html>"}])
async def test_creating_and_promoting_are_asked_once_and_what_came_of_it_is_not_guessed(
    vercel: VercelServer, asks: VercelApi, fault: dict[str, object]
) -> None:
    vercel.fails(Fault("*", after_effect=True, times=2, **fault))  # type: ignore[arg-type]
    with pytest.raises(NoAnswer) as refused:
        await asks.create(body())
    assert refused.value.may_have_begun
    assert len(vercel.deployments) == 1
    with pytest.raises(NoAnswer) as refused:
        await asks.promote("web", vercel.deployments[0].id)
    assert refused.value.may_have_begun
    assert len(vercel.requests) == 2


async def test_an_answer_that_takes_too_long_is_none(
    vercel: VercelServer, asks: VercelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "REQUEST_SECONDS_MAX", 0.05)
    async with vercel.hold("createDeployment", after_effect=True):
        with pytest.raises(NoAnswer, match=r"gave no answer within 0\.05 s") as refused:
            await asks.create(body())
    assert refused.value.may_have_begun


async def test_an_endless_answer_is_not_read(
    vercel: VercelServer, asks: VercelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "ANSWER_BYTES_MAX", 10)
    with pytest.raises(NoAnswer, match="more than 10 bytes"):
        await asks.project("web")


async def test_nobody_there_means_that_nothing_was_done(vercel: VercelServer) -> None:
    away = VercelApi("acme", url="http://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="cannot be reached") as refused:
        await away.create(body())
    assert not refused.value.may_have_begun


@pytest.mark.parametrize(
    ("retry_after", "reset_in", "least", "most"),
    [(7, 100, 7, 7), (None, 60, 50, 60), (None, -5, 1, 1), (10**7, 0, 3600, 3600)],
)
async def test_it_says_for_how_long_vercel_wants_to_be_left_alone(
    vercel: VercelServer, asks: VercelApi, retry_after: int | None, reset_in: int, least: float, most: float
) -> None:
    vercel.fails(rate_limited("*", reset=int(time.time()) + reset_in, retry_after=retry_after, times=2))
    for asked in (asks.project("web"), asks.create(body())):
        with pytest.raises(NoAnswer, match="takes no more requests") as refused:
            await asked
        assert not refused.value.may_have_begun
        assert least <= refused.value.retry_seconds <= most
    assert len(vercel.requests) == 2  # Not even what may be repeated was.


async def test_a_refusal_says_what_to_do_and_never_the_token(
    vercel: VercelServer, asks: VercelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="could not read the project 'wbe' in the team 'acme'") as refused:
        await asks.project("wbe")
    assert "`project`" in str(refused.value.hint)
    vercel.forbidden.add("requestPromote")
    with pytest.raises(Refused, match="may not promote dpl_1 in the team 'acme'"):
        await asks.promote("web", "dpl_1")
    vercel.fails(Fault("getTeam", 400, "bad_request", f"No {TOKEN}\n\x1b[1m here."))
    with pytest.raises(Refused, match=r"would not read the team 'acme': No \(token\) .* here \(status 400\)"):
        await asks.team_of()
    monkeypatch.setenv("VERCEL_TOKEN", "wrong")
    with pytest.raises(Refused, match="does not accept the token in VERCEL_TOKEN") as refused:
        await asks.project("web")
    assert "vercel.com/account" in str(refused.value.hint)
    monkeypatch.delenv("VERCEL_TOKEN")
    with pytest.raises(ToolError, match="VERCEL_TOKEN is not set"):
        await asks.project("web")


async def test_without_a_team_it_asks_for_the_personal_account(vercel: VercelServer) -> None:
    with pytest.raises(Refused, match="in the personal account"):
        await VercelApi("", url=vercel.url).project("web")
    assert vercel.requests[-1].given == {"idOrName": "web"}


async def test_what_is_being_built_can_be_cancelled_twice_and_what_has_ended_cannot(
    vercel: VercelServer, asks: VercelApi
) -> None:
    vercel.builds.append(STUCK)
    made = await asks.create(body())
    vercel.fails(Fault("cancelDeployment", 500))
    assert (await asks.cancel(made.id)).state == "CANCELED"
    with pytest.raises(Refused, match=f"would not cancel {made.id}"):
        await asks.cancel(made.id)


async def test_a_commit_that_vercel_tells_in_two_ways_is_not_one(vercel: VercelServer, asks: VercelApi) -> None:
    vercel.builds.append(Build(sha=TWO))
    assert (await asks.create(body(meta={"gitCommitSha": ONE}))).commits == {ONE, TWO}
