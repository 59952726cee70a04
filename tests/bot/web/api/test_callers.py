"""Who calls the API, and who is not heard."""

from __future__ import annotations

import json

import pytest

from bot.web.api import shapes as shapes
from bot.web.callers import BODY_BYTES_MAX
from store.events import MessageReceived
from store.values import Person
from tests.bot.web.api.client import ANA, MACHINE, Client, new_world, serve
from tests.store.threads import thread_ids


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
    assert await thread_ids(client.world.store) == []


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

    assert await sender(ANA) == Person(name="Ana Lee", address="ana", member="ana", token="ana", trust="verified")
    assert await sender(MACHINE) == Person(name="api", address="api", trust="verified")
    header = {"Authorization": f"bearer  {ANA}"}
    assert (await client.ask("GET", "/api/threads", token="", headers=header)).status == 200


async def test_the_probes_go_on_without_a_token(client: Client) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        async with client.session.get(client.url + path) as it:
            assert it.status == 200
