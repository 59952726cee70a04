"""The API over a socket, and somebody who calls it: people with tokens, terms for what they ask, and streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import aiohttp

from agent.authority import AnyoneMay, ApprovalRule, Authority, CallToApprove
from bot.inbox import Inbox
from bot.team.file import ApiTable, Team
from bot.team.named_places import named_places
from bot.team.people import Member, People
from bot.team.tokens import Token, Tokens, sha256_of, with_machine
from bot.web.api import shapes as shapes
from bot.web.api.app import Api
from bot.web.refusals import Refusals
from bot.web.server import application, serving
from store.authority.terms import Terms
from store.base import Store, StoreUnavailable
from store.events import Event
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Person
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import Push, World, done

MACHINE = "machine-token-0123456789"
ANA, BEN, CAT = "ana-token-0123456789", "ben-token-0123456789", "cat-token-0123456789"


AUDIT = "audit-token-0123456789"


def token_of(token: str, owner: str = "", **more: Any) -> Token:
    scopes = ("read", "write", "decide") if owner else ("read", "write")
    return Token(**{"sha256": sha256_of(token), "owner": owner, "scopes": scopes, "until": date(2099, 1, 1), **more})


TOKENS = {
    "ana": token_of(ANA, "ana"),
    "ben": token_of(BEN, "ben"),
    "cat": token_of(CAT, "cat"),
    "audit": token_of(AUDIT, threads="all", scopes=("read",)),
}
PEOPLE = People(
    {
        "ana": Member("Ana Lee", slack="U0ANA", emails=("ana@team.example",), groups=("release",)),
        "ben": Member("Ben", groups=("release",)),
        "cat": Member("Cat"),
    },
    TOKENS,
)
TEAM = Team(people=dict(PEOPLE.members), api=ApiTable(places=("terminal:desk", "terminal:x")))
"""Threads of a World are at terminal:desk."""


class Rules(AnyoneMay):
    """These terms for everything."""

    def __init__(self, **terms: Any) -> None:
        self._terms = terms

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return PEOPLE.groups_of(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule:
        later = {name: call.at + value for name, value in self._terms.items() if isinstance(value, timedelta)}
        return ApprovalRule(Terms(**{"requesters": call.requesters, **self._terms, **later}))


class StoreThatMayBeAway(MemoryStore):
    away = False

    async def load(self, thread_id: str) -> Thread:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().load(thread_id)

    async def get_note(self, name: str) -> str:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().get_note(name)

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
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
async def serve(
    world: World,
    *,
    token: str = MACHINE,
    heartbeat_seconds: float = 15,
    tokens: Mapping[str, Token] = TOKENS,
    team: Team = TEAM,
) -> AsyncIterator[Client]:
    store, people = world.store.real, replace(PEOPLE, tokens=tokens)
    world.inbox = Inbox(store, people=people, clock=world.clock)
    api = Api(
        store,
        world.inbox,
        people,
        Tokens(with_machine(tokens, token)),
        agents=tuple(world.roster),
        agent="ops",
        reach={"terminal": None},
        places=named_places(team),
        now=world.clock,
        refusals=Refusals(lambda: world.clock().timestamp()),
        heartbeat_seconds=heartbeat_seconds,
    )
    async with (
        aiohttp.ClientSession() as session,
        serving(application(store, None, None, api.app()), "127.0.0.1", 0) as url,
    ):
        yield Client(world, api, url, session)


def new_world(authority: Authority | None = None, store: Store | None = None) -> World:
    return World(people=PEOPLE, authority=authority, store=store or StoreThatMayBeAway())


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
async def streamed(client: Client, token: str = MACHINE, **headers: str) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {token}", **headers}
    async with client.session.get(f"{client.url}{client.here}/events", headers=headers) as it:
        assert (it.status, it.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        yield Stream(it.content)


async def closed(client: Client) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while client.api.streams.open:  # noqa: ASYNC110 - it is the server that notices
            await asyncio.sleep(0.001)
