"""Server-sent events: as they happen, from where a client was cut off, and to an end."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
import structlog.testing

from bot.web.api import shapes as shapes
from bot.web.api.app import STREAMS_MAX
from store.base import StoreUnavailable
from store.events import ThreadCancelled
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Person
from tests.bot.web.api.client import Client, StoreThatMayBeAway, closed, new_world, serve, streamed


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
    class Leaving(StoreThatMayBeAway):
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
