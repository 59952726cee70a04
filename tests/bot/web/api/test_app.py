"""The HTTP API over a socket: who may call, that nothing is done twice, that policies judge, that nothing breaks it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import structlog.testing
from fastapi.openapi.models import OpenAPI
from pydantic import SecretStr, ValidationError
from starlette.routing import Route

from agent.authority import AnyoneMay, Authority, Ruling, Wanted
from bot.app import App, Setup
from bot.settings import Settings
from bot.team.people import Member, People
from bot.web.api import shapes as shapes
from bot.web.api.app import STREAMS_MAX, Api
from bot.web.callers import BODY_BYTES_MAX
from bot.web.listen import listen
from bot.web.server import application, serving
from channels.terminal import TerminalChannel
from store.authority.terms import Terms
from store.base import Store, StoreUnavailable
from store.events import (
    TEXT_CHARS_MAX,
    ApprovalDecided,
    Event,
    MessageReceived,
    StepChosen,
    ThreadCancelled,
    ThreadForked,
)
from store.memory import MemoryStore
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Person, Place
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import Push, World, ask, done

MACHINE = "machine-token-0123456789"
ANA, BEN, CAT = "ana-token-0123456789", "ben-token-0123456789", "cat-token-0123456789"


def member(token: str, *groups: str, name: str = "") -> Member:
    return Member(name=name, groups=groups, api_token_sha256=hashlib.sha256(token.encode()).hexdigest())


PEOPLE = People(
    {
        "ana": member(ANA, "release", name="Ana Lee"),
        "ben": member(BEN, "release", name="Ben"),
        "cat": member(CAT, name="Cat"),
    }
)


class Rules(AnyoneMay):
    """These terms for everything."""

    def __init__(self, **terms: Any) -> None:
        self._terms = terms

    def rule(self, wanted: Wanted) -> Ruling:
        later = {name: wanted.at + value for name, value in self._terms.items() if isinstance(value, timedelta)}
        return Ruling(Terms(**{"requesters": wanted.requesters, **self._terms, **later}))


class _Store(MemoryStore):
    away = False

    async def load(self, thread_id: str) -> Thread:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().load(thread_id)

    async def recall(self, name: str) -> str:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().recall(name)

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> bool:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().post(thread_id, *events, opens=opens)


class Reply:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, json.loads(body)
        # Whatever was asked, the answer keeps to the rules.
        assert headers["Cache-Control"] == "no-store" or status == 404
        if status >= 400:
            assert headers["Content-Type"] == "application/problem+json"
            problem = shapes.Problem.model_validate(self.body)
            assert (problem.type, problem.status) == ("about:blank", status)
            assert problem.title
            assert problem.detail
            assert "\n" not in problem.detail
            assert "Traceback" not in problem.detail

    @property
    def detail(self) -> str:
        return str(self.body["detail"])


class Client:
    def __init__(self, world: World, api: Api, url: str, session: aiohttp.ClientSession) -> None:
        self.world, self.api, self.url, self.session = world, api, url, session

    async def ask(self, method: str, path: str, *, token: str = MACHINE, key: str = "", **more: Any) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= more.pop("headers", {})
        async with self.session.request(method, self.url + path, headers=headers, **more) as it:
            return Reply(it.status, it.headers, await it.read())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.ask("POST", path, **({"json": body} if body is not None else {}), **more)

    async def raw(self, path: str, body: bytes, content_type: str = "application/json", **more: Any) -> Reply:
        return await self.ask("POST", path, data=body, headers={"Content-Type": content_type}, **more)

    @property
    def here(self) -> str:
        return f"/api/threads/{self.world.thread.id}"

    async def decide(self, approved: bool, *, token: str = ANA, **more: Any) -> Reply:
        step = self.world.thread.pending
        assert step
        body = {"request": step.step, "digest": step.digest, "approved": approved, **more}
        return await self.post(f"{self.here}/decisions", body, token=token)

    async def log(self, thread_id: str = "") -> tuple[Event, ...]:
        return (await self.world.store.real.load(thread_id or self.world.thread.id)).events


@contextlib.asynccontextmanager
async def serve(world: World, *, token: str = MACHINE, heartbeat_seconds: float = 15) -> AsyncIterator[Client]:
    store = world.store.real
    api = Api(store, world.inbox, PEOPLE, token, tuple(world.roster), "ops", {"terminal": None}, heartbeat_seconds)
    async with (
        aiohttp.ClientSession() as session,
        serving(application(store, None, None, api.app()), "127.0.0.1", 0) as url,
    ):
        yield Client(world, api, url, session)


def new_world(authority: Authority | None = None, store: Store | None = None) -> World:
    return World(people=PEOPLE, authority=authority, store=store or _Store())


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serve(new_world()) as it:
        yield it


@contextlib.asynccontextmanager
async def requested(**terms: Any) -> AsyncIterator[Client]:
    """A push waits, under these terms."""
    world = new_world(Rules(**terms))
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push, please")
    await world.run()
    assert world.thread.pending
    async with serve(world) as client:
        yield client


async def test_a_thread_from_the_first_word_to_the_last(client: Client) -> None:
    """What a program does: open, look, approve, look."""
    world = client.world
    opened = await client.post("/api/threads", {"text": "push, please"})
    assert opened.status == 202
    shapes.Opened.model_validate(opened.body)
    link = opened.body["links"]["self"]
    assert opened.headers["Location"] == link == f"/api/threads/{opened.body['id']}"
    world.thread = await world.store.load(opened.body["id"])
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.run()
    shown = await client.get(link)
    pending = shapes.ShownWhole.model_validate(shown.body).pending
    assert (shown.body["status"], shown.body["turn"]) == ("waiting_for_approval", "human")
    assert pending
    body = {"request": pending.request, "digest": pending.digest, "approved": True, "comment": "go"}
    refused = await client.post(opened.body["links"]["decisions"], body)
    assert (refused.status, refused.detail.partition(":")[0]) == (403, "This needs a person")
    decided = await client.post(opened.body["links"]["decisions"], body, token=ANA)
    assert (decided.status, decided.body["outcome"]) == (200, "settled")
    shapes.Decided.model_validate(decided.body)
    await world.run()
    assert "ran: push(target: prod)" in world.lines
    shown = await client.get(link)
    assert (shown.body["status"], shown.body["turn"], shown.body["pending"]) == ("done", "nobody", None)
    assert [event["kind"] for event in shown.body["events"]] == world.kinds
    decision = next(event for event in world.thread.events if isinstance(event, ApprovalDecided))
    assert (decision.by.name, decision.comment, decision.proof) == ("Ana Lee", "go", "API token of ana")


# Who calls


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {MACHINE}", MACHINE, f"Bearer {MACHINE}x", f"Bearer x {MACHINE}"],
)
async def test_nobody_else_is_heard(client: Client, header: str) -> None:
    for method, path in (("GET", "/api/threads"), ("POST", "/api/threads"), ("GET", "/api/nowhere"), ("GET", "/api")):
        reply = await client.ask(method, path, token="", headers={"Authorization": header} if header else {})
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith('Bearer realm="deploybot"')
        assert MACHINE not in json.dumps(reply.body)
    assert await client.world.store.recent() == []


async def test_nobodys_body_is_not_even_read(client: Client) -> None:
    assert (await client.raw("/api/threads", b"x" * (BODY_BYTES_MAX + 1), token="wrong")).status == 401
    assert (await client.raw("/api/threads", b"{", token="wrong")).status == 401


async def test_a_token_that_is_not_ascii_is_nobodys(client: Client) -> None:
    for header in ("Bearer \xfc\xf6", "Bearer \U0001f511"):
        reply = await client.ask("GET", "/api/threads", token="", headers={"Authorization": header})
        assert reply.status == 401


async def test_without_a_token_of_the_machine_only_people_call() -> None:
    async with serve(new_world(), token="") as client:
        assert (await client.get("/api/threads", token="")).status == 401
        assert (await client.ask("GET", "/api/threads", token="", headers={"Authorization": "Bearer "})).status == 401
        assert (await client.get("/api/threads", token=MACHINE)).status == 401
        assert (await client.get("/api/threads", token=ANA)).status == 200


async def test_a_person_with_a_token_is_that_person(client: Client) -> None:
    async def sender(token: str) -> Person:
        opened = await client.post("/api/threads", {"text": "hello"}, token=token)
        event = (await client.log(opened.body["id"]))[1]
        assert isinstance(event, MessageReceived)
        return event.sender

    assert await sender(ANA) == Person(name="Ana Lee", address="ana", member="ana", trust="verified")
    assert await sender(MACHINE) == Person(name="api", address="api", trust="verified")
    header = {"Authorization": f"bearer  {ANA}"}
    assert (await client.ask("GET", "/api/threads", token="", headers=header)).status == 200


async def test_the_probes_go_on_without_a_token(client: Client) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        async with client.session.get(client.url + path) as it:
            assert it.status == 200


# Nothing twice


async def test_the_same_key_is_the_same_thread(client: Client) -> None:
    body = {"text": "push, please"}
    first = await client.post("/api/threads", body, key="k1")
    again = await client.post("/api/threads", dict(body), key="k1")
    assert (first.status, again.status, first.body) == (202, 202, again.body)
    assert len(await client.log(first.body["id"])) == 2
    other = await client.post("/api/threads", body, key="k2")
    assert other.body["id"] != first.body["id"]
    somebody_else = await client.post("/api/threads", body, key="k1", token=ANA)
    assert somebody_else.body["id"] != first.body["id"]
    assert len({(await client.post("/api/threads", body)).body["id"] for _ in range(2)}) == 2


@pytest.mark.parametrize(
    "other",
    [{"text": "other"}, {"text": "a", "agent": "ops"}, {"text": "a", "place": {"channel": "terminal", "address": "x"}}],
)
async def test_the_same_key_with_another_body_does_nothing(client: Client, other: dict[str, Any]) -> None:
    first = await client.post("/api/threads", {"text": "a"}, key="k1")
    refused = await client.post("/api/threads", other, key="k1")
    assert (refused.status, refused.detail) == (422, "This Idempotency-Key was used for another request.")
    elsewhere = await client.post(f"{first.body['links']['messages']}", {"text": "a"}, key="k1")
    assert elsewhere.status == 422
    assert await client.world.store.recent() == [first.body["id"]]
    assert len(await client.log(first.body["id"])) == 2
    assert (await client.post("/api/threads", {"text": "a"}, key="k1")).body == first.body


async def test_two_with_one_key_at_the_same_moment_open_one_thread(client: Client) -> None:
    replies = await asyncio.gather(*(client.post("/api/threads", {"text": "a"}, key="k") for _ in range(8)))
    assert {reply.status for reply in replies} == {202}
    (thread_id,) = {reply.body["id"] for reply in replies}
    assert await client.world.store.recent() == [thread_id]
    assert len(await client.log(thread_id)) == 2


async def test_of_two_bodies_with_one_key_at_the_same_moment_one_counts(client: Client) -> None:
    replies = await asyncio.gather(*(client.post("/api/threads", {"text": text}, key="k") for text in "ab"))
    assert sorted(reply.status for reply in replies) == [202, 422]
    assert len(await client.world.store.recent()) == 1


async def test_a_message_with_a_key_is_said_once(client: Client) -> None:
    opened = await client.post("/api/threads", {"text": "hello"})
    path = opened.body["links"]["messages"]
    replies = await asyncio.gather(*(client.post(path, {"text": "go on"}, key="m1") for _ in range(4)))
    assert {reply.status for reply in replies} == {202}
    shapes.Shown.model_validate(replies[0].body)
    assert (await client.post(path, {"text": "stop"}, key="m1")).status == 422
    assert (await client.post(path, {"text": "go on"})).status == 202
    texts = [event.text for event in await client.log(opened.body["id"]) if isinstance(event, MessageReceived)]
    assert texts == ["hello", "go on", "go on"]


@pytest.mark.parametrize("key", ["k" * 201, " "])
async def test_a_key_that_cannot_be_one_is_refused(client: Client, key: str) -> None:
    assert (await client.post("/api/threads", {"text": "a"}, headers={"Idempotency-Key": key})).status == 422
    assert await client.world.store.recent() == []


# Threads


async def test_a_thread_can_be_held_elsewhere(client: Client) -> None:
    place = {"channel": "terminal", "address": "desk"}
    opened = await client.post("/api/threads", {"text": "hello", "place": place, "agent": "ops"})
    thread = await client.world.store.load(opened.body["id"])
    assert thread.place == Place(channel="terminal", address="desk")
    assert (await client.post("/api/threads", {"text": "more", "place": place})).body == opened.body
    for wrong, known in (
        ({"agent": "nobody"}, "there are: ops"),
        ({"place": {"channel": "pager", "address": "x"}}, "there are: terminal"),
    ):
        reply = await client.post("/api/threads", {"text": "hello", **wrong})
        assert (reply.status, known in reply.detail) == (422, True)


async def test_threads_are_listed(client: Client) -> None:
    ids = [(await client.post("/api/threads", {"text": text})).body["id"] for text in ("one", "two", "three")]
    await client.post(f"/api/threads/{ids[0]}/cancel", {"reason": "enough"})

    async def listed(query: str) -> list[str]:
        reply = await client.get(f"/api/threads{query}")
        return [each.id for each in shapes.Listed.model_validate(reply.body).threads]

    assert await listed("") == [ids[0], ids[2], ids[1]]
    assert await listed("?limit=2") == [ids[0], ids[2]]
    assert await listed("?status=cancelled") == [ids[0]]
    assert await listed("?status=done") == []
    for query in ("?status=dead", "?limit=0", "?limit=501", "?limit=many"):
        assert (await client.get(f"/api/threads{query}")).status == 422


async def test_what_is_not_there(client: Client) -> None:
    shown = await client.get("/api/threads/t0")
    assert (shown.status, shown.detail) == (404, "There is no thread t0.")
    for path, body in (
        ("messages", {"text": "a"}),
        ("answers", {"text": "a"}),
        ("decisions", {"request": "s1", "digest": "0" * 64, "approved": True}),
        ("edit", {"request": "s1", "digest": "0" * 64, "arguments": {"a": "b"}}),
        ("pause", None),
        ("resume", None),
        ("cancel", None),
        ("fork", {"at": 1}),
    ):
        assert (await client.post(f"/api/threads/t0/{path}", body, token=ANA)).status == 404
    assert (await client.get("/api/threads/t0/events")).status == 404
    for path in ("/api", "/api/nowhere", "/api/threads/", "/api/threads/t0/nowhere", "/api/threads/%00%ff%0a"):
        assert (await client.get(path)).status == 404
    wrong = await client.ask("DELETE", "/api/threads")
    assert wrong.status == 405
    assert set(wrong.headers["Allow"].split(", ")) <= {"GET", "POST"}
    for page in ("/docs", "/redoc"):
        async with client.session.get(client.url + page) as it:
            assert it.status == 404


async def test_the_store_may_be_away(client: Client) -> None:
    store = client.world.store.real
    assert isinstance(store, _Store)
    opened = await client.post("/api/threads", {"text": "hello"})
    link = opened.body["links"]["self"]
    store.away = True
    for reply in (
        await client.get(link),
        await client.get(f"{link}/events"),
        await client.post("/api/threads", {"text": "a"}),
        await client.post(f"{link}/messages", {"text": "a"}),
        await client.post(f"{link}/pause"),
    ):
        assert (reply.status, reply.detail) == (503, "Redis is away.")
        assert int(reply.headers["Retry-After"]) > 0


async def test_a_mistake_of_ours_is_told_without_its_words() -> None:
    class Broken(_Store):
        async def load(self, thread_id: str) -> Thread:
            raise RuntimeError("hunter2")

    async with serve(new_world(store=Broken())) as client:
        reply = await client.get("/api/threads/t0")
    assert (reply.status, "hunter2" in reply.detail) == (500, False)


# What people do


async def test_a_question_is_answered_once(client: Client) -> None:
    world = client.world
    world.model.answers(ask("Which tag?"), done("Thanks."))
    await world.say("deploy, please")
    await world.run()
    shown = await client.get(client.here)
    question = shapes.ShownWhole.model_validate(shown.body).question
    assert question
    other = await client.post(f"{client.here}/answers", {"text": "v3", "question": "s99"})
    assert other.status == 409
    for _ in range(2):
        answered = await client.post(f"{client.here}/answers", {"text": "v3", "question": question["step"]})
        assert answered.status == 202
    given = [event for event in await client.log() if isinstance(event, MessageReceived) and event.answers]
    assert [event.text for event in given] == ["v3"]
    late = await client.post(f"{client.here}/answers", {"text": "v4"})
    assert (late.status, "no open question" in late.detail) == (409, True)


async def test_pause_resume_cancel(client: Client) -> None:
    await client.world.say("hello")

    async def do(what: str, body: Any = None) -> tuple[int, str]:
        reply = await client.post(f"{client.here}/{what}", body)
        if reply.status == 200:
            shapes.Shown.model_validate(reply.body)
        return reply.status, reply.body["status"] if reply.status == 200 else reply.detail

    assert await do("pause") == (200, "paused")
    assert (await do("pause"))[0] == 409
    assert await do("resume") == (200, "working")
    assert (await do("resume"))[0] == 409
    assert await do("cancel", {"reason": "enough"}) == (200, "cancelled")
    assert (await do("cancel"))[0] == 409
    assert (await do("messages", {"text": "wait"}))[0] == 409
    event = (await client.log())[-1]
    assert isinstance(event, ThreadCancelled)
    assert (event.reason, event.by.name) == ("enough", "api")


async def test_a_cancel_needs_no_reason(client: Client) -> None:
    await client.world.say("hello")
    assert (await client.post(f"{client.here}/cancel")).body["status"] == "cancelled"


async def test_a_fork_is_a_thread_of_its_own(client: Client) -> None:
    await client.world.say("hello")
    await client.world.say("more")
    forked = await client.post(f"{client.here}/fork", {"at": 2}, key="f1")
    assert forked.status == 201
    thread_id = forked.body["id"]
    assert forked.headers["Location"] == f"/api/threads/{thread_id}"
    assert thread_id != client.world.thread.id
    kinds = [type(event) for event in await client.log(thread_id)]
    assert kinds[-2:] == [MessageReceived, ThreadForked]
    again = await client.post(f"{client.here}/fork", {"at": 2}, key="f1")
    assert (again.status, again.body) == (201, forked.body)
    assert (await client.post(f"{client.here}/fork", {"at": 1})).body["id"] != thread_id
    for at in (0, -1, 4, 2**80, 1.0, "1", True, None):
        assert (await client.post(f"{client.here}/fork", {"at": at})).status == 422
    assert len(await client.world.store.recent()) == 3


# Decisions


async def test_a_rejection_says_why() -> None:
    async with requested() as client:
        reply = await client.decide(False, comment="not on Friday")
        assert (reply.status, reply.body["outcome"]) == (200, "settled")
        decision = (await client.log())[-1]
        assert isinstance(decision, ApprovalDecided)
        assert (decision.approved, decision.comment) == (False, "not on Friday")
        assert (decision.by.member, decision.proof) == ("ana", "API token of ana")


async def test_what_is_settled_stays() -> None:
    async with requested() as client:
        client.world.clock.advance(60)
        assert (await client.decide(True, token=BEN, comment="go")).status == 200
        late = await client.decide(False)
        assert late.status == 409
        told = shapes.NotDecided.model_validate(late.body)
        assert (told.outcome, told.standing and told.standing.by) == ("too_late", "Ben")
        assert late.body["standing"] == {
            "approved": True,
            "by": "Ben",
            "at": "2026-11-20T09:01:00Z",
            "comment": "go",
        }


@pytest.mark.parametrize("body", [{"digest": "0" * 64}, {"request": "s99"}])
async def test_another_request_is_not_decided(body: dict[str, str]) -> None:
    async with requested() as client:
        before = await client.log()
        reply = await client.decide(True, **body)
        assert reply.status == 409
        shapes.NotDecided.model_validate(reply.body)
        assert await client.log() == before


async def test_two_at_the_same_moment_do_not_both_settle() -> None:
    async with requested() as client:
        replies = await asyncio.gather(client.decide(True, token=ANA), client.decide(False, token=BEN))
        assert sorted(reply.status for reply in replies) == [200, 409]
        (lost,) = [reply for reply in replies if reply.status == 409]
        (won,) = [reply for reply in replies if reply.status == 200]
        step = client.world.thread.pending
        assert step
        settled = (await client.world.store.load(client.world.thread.id)).state.steps[step.step].request
        assert settled
        assert settled.decision
        assert lost.body["standing"]["by"] == settled.decision.by.name
        assert won.body["pending"] is None


async def test_two_who_are_needed_are_both_counted() -> None:
    async with requested(group="release", quorum=2) as client:
        replies = await asyncio.gather(client.decide(True, token=ANA), client.decide(True, token=BEN))
        assert [reply.status for reply in replies] == [200, 200]
        assert sorted(reply.body["outcome"] for reply in replies) == ["counted", "settled"]


async def test_a_token_gives_no_right_that_the_policy_does_not() -> None:
    async with requested(group="release") as client:
        assert (await client.decide(True, token=MACHINE)).status == 403
        reply = await client.decide(True, token=CAT)
        assert (reply.status, reply.body["outcome"], reply.body["standing"]) == (403, "not_entitled", None)
        assert (await client.get(client.here)).body["pending"]
        assert (await client.decide(True, token=ANA)).status == 200


async def test_who_asked_for_it_over_the_api_may_be_kept_from_approving_it() -> None:
    world = new_world(Rules(requester_may=False))
    async with serve(world) as client:
        opened = await client.post("/api/threads", {"text": "push"}, token=ANA)
        world.thread = await world.store.load(opened.body["id"])
        world.model.answers(Push(target="prod"))
        await world.run()
        assert (await client.decide(True, token=ANA)).status == 403
        assert (await client.decide(True, token=BEN)).status == 200


async def test_after_its_time_nothing_is_decided() -> None:
    async with requested(expires_at=timedelta(hours=1)) as client:
        client.world.clock.advance(3600)
        reply = await client.decide(True)
        assert (reply.status, reply.body["outcome"]) == (410, "expired")


async def test_after_its_time_nothing_is_changed_either() -> None:
    async with requested(expires_at=timedelta(hours=1)) as client:
        step = client.world.thread.pending
        assert step
        body = {"request": step.step, "digest": step.digest, "arguments": {"target": "staging"}}
        client.world.clock.advance(3600)
        assert (await client.post(f"{client.here}/edit", body, token=ANA)).status == 410
        await client.world.run()
        assert client.world.thread.state.steps[step.step].status == "expired"
        assert (await client.post(f"{client.here}/edit", body, token=ANA)).status == 410


async def test_a_call_is_changed_instead_of_approved() -> None:
    async with requested(group="release") as client:
        step = client.world.thread.pending
        assert step
        body = {"request": step.step, "digest": step.digest, "arguments": {"target": "staging"}}
        path = f"{client.here}/edit"
        for wrong, token, status in (
            (body, CAT, 403),
            (body | {"digest": "0" * 64}, ANA, 409),
            (body | {"arguments": {"force": "yes"}}, ANA, 409),
            (body | {"arguments": {"target": "prod"}}, ANA, 409),
        ):
            assert (await client.post(path, wrong, token=token)).status == status
        for wrong in (body | {"arguments": {}}, body | {"arguments": {"target": 1}}, body | {"arguments": ["target"]}):
            assert (await client.post(path, wrong, token=ANA)).status == 422
        edited = await client.post(path, body, token=ANA)
        assert edited.status == 200
        chosen = (await client.log())[-1]
        assert isinstance(chosen, StepChosen)
        assert (chosen.arguments, chosen.edits, chosen.by) == ({"target": "staging"}, step.step, "person")
        await client.world.run()
        shown = await client.get(client.here)
        assert shown.body["pending"]["arguments"] == {"target": "staging"}
        assert shown.body["pending"]["digest"] != step.digest


# Server-sent events


class Stream:
    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def next(self) -> tuple[int, dict[str, Any]]:
        """The index and the event; heartbeats are passed over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (block := await self.block()).startswith(b":"):
                pass
        first, second = block.split(b"\n")
        assert first.startswith(b"id: ")
        assert second.startswith(b"data: ")
        return int(first[4:]), json.loads(second[6:])

    async def block(self) -> bytes:
        return (await self._content.readuntil(b"\n\n")).removesuffix(b"\n\n")

    async def rest(self) -> bytes:
        return await self._content.read()


@contextlib.asynccontextmanager
async def streamed(client: Client, **headers: str) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {MACHINE}", **headers}
    async with client.session.get(f"{client.url}{client.here}/events", headers=headers) as it:
        assert (it.status, it.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        yield Stream(it.content)


async def closed(client: Client) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while client.api.streams:  # noqa: ASYNC110 - it is the server that notices
            await asyncio.sleep(0.001)


async def test_events_come_as_they_happen(client: Client) -> None:
    await client.world.say("line one\nline two \u2028 \r\n\n end")
    async with streamed(client) as stream:
        assert [(await stream.next())[0] for _ in range(2)] == [0, 1]
        await client.world.say("more")
        index, event = await stream.next()
        assert (index, event["kind"], event["text"]) == (2, "message_received", "more")
    await closed(client)
    shown = await client.get(client.here)
    assert shown.body["events"][2] == event


@pytest.mark.parametrize(("last", "first"), [("0", 1), ("1", 2), ("2", 3)])
async def test_a_client_that_was_cut_off_goes_on_where_it_was(client: Client, last: str, first: int) -> None:
    for text in ("a", "b"):
        await client.world.say(text)
    async with streamed(client, **{"Last-Event-ID": last}) as stream:
        await client.world.say("c")
        indexes = [(await stream.next())[0] for _ in range(first, 4)]
        assert indexes == list(range(first, 4))


async def test_a_place_in_the_stream_that_cannot_be(client: Client) -> None:
    await client.world.say("a")
    for last in ("2", "-1", "x", "9" * 30, "1.5"):
        reply = await client.get(f"{client.here}/events", headers={"Last-Event-ID": last})
        assert reply.status == 422


async def test_a_stream_that_has_nothing_to_say_shows_that_it_lives() -> None:
    world = new_world()
    await world.say("a")
    async with serve(world, heartbeat_seconds=0.01) as client, streamed(client, **{"Last-Event-ID": "1"}) as stream:
        for _ in range(3):
            assert (await stream.block()).startswith(b":")
        await world.say("b")
        assert (await stream.next())[0] == 2


async def test_open_streams_do_not_keep_us_from_stopping() -> None:
    world = new_world()
    await world.say("a")
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(4):  # less than a graceful stop would wait
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with serve(world) as client:
            client.session = session
            stream = await stack.enter_async_context(streamed(client))
            await stream.next()
        assert b"message_received" in await stream.rest()


async def test_there_is_an_end_to_streams(client: Client) -> None:
    await client.world.say("a")
    client.api.streams = STREAMS_MAX
    reply = await client.get(f"{client.here}/events")
    assert (reply.status, "Retry-After" in reply.headers) == (503, True)
    client.api.streams = 0


async def test_a_stream_ends_where_the_store_goes_away() -> None:
    class Leaving(_Store):
        async def refresh(self, thread: Thread) -> Thread:
            if self.away:
                raise StoreUnavailable("Redis is away.")
            return await super().refresh(thread)

    store = Leaving()
    world = new_world(store=store)
    await world.say("a")
    with structlog.testing.capture_logs() as logs:
        async with serve(world) as client, streamed(client) as stream:
            await stream.next()
            store.away = True
            await MemoryStore.append(
                store, world.thread, ThreadCancelled(id="c", at=world.clock(), by=Person(name="x"))
            )
            await stream.rest()
            await closed(client)
    assert [line["event"] for line in logs] == ["stream_ended"]


# Hostile bodies


DEEP = 100_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"text=a",
    "half": b'{"text": "a"',
    "deep list": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"text":' * DEEP + b"1" + b"}" * DEEP,
    "deep inside": b'{"text":"a","place":' + b"[" * 900 + b"]" * 900 + b"}",
    "not UTF-8": b'{"text": "\xff\xfe"}',
    "raw NUL": b'{"text": "a\x00"}',
    "half surrogate": rb'{"text": "\ud800"}',
    "half surrogate as a name": rb'{"text": "a", "\udfff\n": 1}',
    "huge number": b'{"text": ' + b"9" * 100_000 + b"}",
    "infinity": b'{"text": Infinity}',
    "list": b"[]",
    "text": b'"a"',
    "null": b"null",
    "a number for a text": b'{"text": 5}',
    "null for a text": b'{"text": null}',
    "a list for a text": b'{"text": ["a"]}',
    "empty": b'{"text": ""}',
    "blank": b'{"text": " \\n\\t "}',
    "missing": b"{}",
    "unknown": b'{"text": "a", "role": "admin"}',
    "place as a text": b'{"text": "a", "place": "terminal:x"}',
    "place without an address": b'{"text": "a", "place": {"channel": "terminal"}}',
    "place with an empty address": b'{"text": "a", "place": {"channel": "terminal", "address": ""}}',
    "agent as a number": b'{"text": "a", "agent": 1}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_none(client: Client, name: str) -> None:
    assert (await client.raw("/api/threads", BODIES[name])).status in (400, 422)
    assert await client.world.store.recent() == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
async def test_only_json_is_read(client: Client, content_type: str) -> None:
    assert (await client.raw("/api/threads", b'{"text": "a"}', content_type)).status in (400, 422)
    assert await client.world.store.recent() == []


@pytest.mark.parametrize("approved", ["true", "yes", 1, 0, None, [], {}])
async def test_nothing_but_yes_is_a_yes(approved: Any) -> None:
    async with requested() as client:
        before = await client.log()
        assert (await client.decide(approved)).status == 422
        for digest in ("", "1234567", "0" * 65, None):
            assert (await client.decide(True, digest=digest)).status == 422
        assert await client.log() == before


@pytest.mark.parametrize("chunked", [False, True])
async def test_more_than_a_body_may_have_is_not_read(client: Client, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 100_000 + 2):
            yield b" " * 100_000

    data = pieces() if chunked else b" " * (BODY_BYTES_MAX + 1)
    reply = await client.ask("POST", "/api/threads", data=data, headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert await client.world.store.recent() == []


async def test_a_text_is_taken_whole_or_not_at_all(client: Client) -> None:
    opened = await client.post("/api/threads", {"text": "a"})
    link = opened.body["links"]["self"]
    for text in ("x" * TEXT_CHARS_MAX, "\U0001f680" * TEXT_CHARS_MAX, "a\x00b\u202e", "\x01" * 39_000):
        assert (await client.post(f"{link}/messages", {"text": text})).status == 202
        event = (await client.log(opened.body["id"]))[-1]
        assert isinstance(event, MessageReceived)
        assert (event.text == text, event.clipped_from) == (True, 0)
    before = await client.log(opened.body["id"])
    for text in ("x" * (TEXT_CHARS_MAX + 1), "\x01" * 45_000):
        for path, body in (
            ("/api/threads", {"text": text}),
            (f"{link}/messages", {"text": text}),
            (f"{link}/answers", {"text": text}),
            (f"{link}/cancel", {"reason": text}),
            (f"{link}/decisions", {"request": "s1", "digest": "0" * 8, "approved": True, "comment": text}),
        ):
            reply = await client.post(path, body)
            assert reply.status == 422
            assert len(reply.detail) < 200
    assert await client.log(opened.body["id"]) == before


async def test_what_is_wrong_is_told_by_name_and_not_repeated(client: Client) -> None:
    reply = await client.post("/api/threads", {"text": ["hunter2"], "\u202ename" * 40: "hunter3"})
    assert reply.detail.startswith("body.text: Input should be a valid string; body.\\u{202e}name")
    assert "hunter" not in reply.detail


async def test_nothing_of_a_request_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as logs:
        await client.get("/api/threads", token="wrong-token-hunter2")
        await client.post("/api/threads", {"text": ["hunter2"]})
        await client.post("/api/threads", {"text": "hunter2"}, key="hunter2")
        await client.raw("/api/threads", b"hunter2")
    assert logs == []
    assert "hunter2" not in caplog.text
    assert MACHINE not in caplog.text


# The description


async def description(client: Client) -> dict[str, Any]:
    async with client.session.get(f"{client.url}/openapi.json") as it:
        assert it.status == 200
        told: dict[str, Any] = await it.json()
        return told


async def test_the_description_is_one(client: Client) -> None:
    told = await description(client)
    assert OpenAPI.model_validate(told).openapi.startswith("3.1")
    known = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}
    assert set(_references(told)) <= known
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    operations = [operation for path in told["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert {"400", "401", "413", "422", "503"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            (media_type,) = response["content"]
            assert (media_type == "application/problem+json") == (int(status) >= 400)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [each for item in value.values() for each in _references(item)]
    return [each for item in value for each in _references(item)] if isinstance(value, list) else []


async def test_the_description_names_every_route(client: Client) -> None:
    told = await description(client)
    described = {(path, method.upper()) for path, item in told["paths"].items() for method in item}
    routes = client.api.app().routes
    served = {
        (r.path, method)
        for r in routes
        if isinstance(r, Route) and r.path != "/openapi.json"
        for method in r.methods or ()
    }
    assert described == served
    one = "/api/threads/{thread_id}"
    parts = ("messages", "answers", "decisions", "edit", "pause", "resume", "cancel", "fork")
    assert described == {
        ("/api/threads", "POST"),
        ("/api/threads", "GET"),
        (one, "GET"),
        (f"{one}/events", "GET"),
        *((f"{one}/{part}", "POST") for part in parts),
    }


async def test_the_description_tells_what_is_asked_for(client: Client) -> None:
    told = await description(client)
    schemas = told["components"]["schemas"]
    assert schemas["NewThread"]["required"] == ["text"]
    assert set(schemas["NewThread"]["properties"]) == {"text", "agent", "place"}
    assert set(schemas["Decision"]["required"]) == {"request", "digest", "approved"}
    assert all(schemas[name]["additionalProperties"] is False for name in ("NewThread", "Decision", "Edit", "Fork"))
    headers = {
        parameter["name"]
        for operation in told["paths"].values()
        for each in operation.values()
        for parameter in each.get("parameters", ())
        if parameter["in"] == "header"
    }
    assert headers == {"Idempotency-Key", "Last-Event-ID"}


# Where it is on


async def test_it_is_on_where_somebody_has_a_token() -> None:
    world = new_world()

    async def listening(token: str, people: People, stack: contextlib.AsyncExitStack) -> list[str]:
        settings = Settings(_env_file=None, bot_api_token=SecretStr(token), port=0)
        channels = {"terminal": TerminalChannel()}
        bot = App(Setup(settings), world.store.real, world.inbox, world.roster, channels, people=people)
        return await listen(bot, stack, always=False)

    async with contextlib.AsyncExitStack() as stack, aiohttp.ClientSession() as session:
        assert await listening("", People({"dan": Member(name="Dan")}), stack) == []
        for machine, token in ((MACHINE, MACHINE), ("", ANA)):
            (told,) = await listening(machine, PEOPLE if not machine else People(), stack)
            assert told.endswith(" with the API under /api.")
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(f"{told.split()[1]}/api/threads", json={"text": "hello"}, headers=headers) as it:
                assert it.status == 202
                thread = await world.store.load((await it.json())["id"])
            assert thread.agent == "ops"


def test_it_costs_nothing_where_it_is_off() -> None:
    program = "import sys, bot.cli.main, bot.web.listen, bot.web.server; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_SECONDS).returncode == 0


def test_a_token_of_the_machine_that_is_too_short_is_none() -> None:
    with pytest.raises(ValidationError, match="16 characters or more"):
        Settings(_env_file=None, bot_api_token=SecretStr("short"))


# On Redis


async def test_the_same_on_redis(redis_store: RedisStore) -> None:
    world = new_world(Rules(group="release", quorum=2), redis_store)
    async with serve(world) as client:
        replies = await asyncio.gather(*(client.post("/api/threads", {"text": "push"}, key="k") for _ in range(5)))
        assert {reply.status for reply in replies} == {202}
        assert await redis_store.recent() == [replies[0].body["id"]]
        assert (await client.post("/api/threads", {"text": "pull"}, key="k")).status == 422
        world.thread = await redis_store.load(replies[0].body["id"])
        world.model.answers(Push(target="prod"), done("It is out."))
        await world.run()
        async with streamed(client, **{"Last-Event-ID": str(world.thread.version - 1)}) as stream:
            decided = await asyncio.gather(*(client.decide(True, token=token) for token in (ANA, BEN)))
            assert sorted(reply.body["outcome"] for reply in decided) == ["counted", "settled"]
            for number in range(2):
                index, event = await stream.next()
                assert (index, event["kind"]) == (world.thread.version + number, "approval_decided")
        await closed(client)
        assert (await client.decide(True, token=CAT)).status == 403
        forks = [await client.post(f"{client.here}/fork", {"at": 2}, key="f") for _ in range(2)]
        assert [fork.status for fork in forks] == [201, 201]
        assert forks[0].body == forks[1].body
        assert (await client.get("/api/threads/t0")).status == 404
        assert len((await client.get("/api/threads")).body["threads"]) == 2
