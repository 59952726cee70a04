"""The same key is the same request: nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.web.api import shapes as shapes
from store.events import MessageReceived
from tests.bot.web.api.client import ANA, Client
from tests.store.threads import thread_ids


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
    assert await thread_ids(client.world.store) == [first.body["id"]]
    assert len(await client.log(first.body["id"])) == 2
    assert (await client.post("/api/threads", {"text": "a"}, key="k1")).body == first.body


async def test_two_with_one_key_at_the_same_moment_open_one_thread(client: Client) -> None:
    replies = await asyncio.gather(*(client.post("/api/threads", {"text": "a"}, key="k") for _ in range(8)))
    assert {reply.status for reply in replies} == {202}
    (thread_id,) = {reply.body["id"] for reply in replies}
    assert await thread_ids(client.world.store) == [thread_id]
    assert len(await client.log(thread_id)) == 2


async def test_of_two_bodies_with_one_key_at_the_same_moment_one_counts(client: Client) -> None:
    replies = await asyncio.gather(*(client.post("/api/threads", {"text": text}, key="k") for text in "ab"))
    assert sorted(reply.status for reply in replies) == [202, 422]
    assert len(await thread_ids(client.world.store)) == 1


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
    assert await thread_ids(client.world.store) == []
