"""Server-sent events: as they happen, from where a client was cut off, and to an end."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
import structlog.testing

from bot.web.api import shapes as shapes
from bot.web.api.stream import Streams
from store.base import StoreUnavailable
from store.events import ThreadCancelled
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Person
from tests.bot.web.api.client import ANA, MACHINE, Client, StoreThatMayBeAway, closed, new_world, serve, streamed
from tests.patience import eventually


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
    client.api.streams = Streams(2, 2)
    async with streamed(client), streamed(client):
        reply = await client.get(f"{client.here}/events")
        assert (reply.status, "Retry-After" in reply.headers) == (503, True)
    await closed(client)
    async with streamed(client) as stream:
        await stream.next()


async def test_one_caller_has_a_share_of_the_streams(client: Client) -> None:
    await client.world.say("a")
    client.api.streams = Streams(3, 2)
    async with streamed(client), streamed(client):
        assert (await client.get(f"{client.here}/events")).status == 503
        async with streamed(client, Authorization=f"Bearer {ANA}") as stream:
            assert (await stream.next())[0] == 0


async def test_streams_that_are_asked_for_at_once_are_counted_before_they_are_let_in() -> None:
    """While the store is slow, all of them would pass a check that looks only at those that run."""
    store = SlowToLoad()
    world = new_world(store=store)
    await world.say("a")
    async with serve(world) as client, contextlib.AsyncExitStack() as stack:
        client.api.streams = Streams(5, 5)
        store.slow = True
        replies = [asyncio.create_task(first_status(client, stack)) for _ in range(30)]
        await eventually(lambda: sum(reply.done() for reply in replies) == 25, "25 refusals")
        assert client.api.streams.open == 5
        store.may_load.set()
        assert sorted(await asyncio.gather(*replies)) == [200] * 5 + [503] * 25


async def test_who_asks_in_vain_or_goes_at_once_gives_the_place_back() -> None:
    store = SlowToLoad()
    world = new_world(store=store)
    await world.say("a")
    async with serve(world) as client:
        for path in ("/api/threads/t-none/events", client.here + "/events"):
            await client.get(path, headers={"Last-Event-ID": "99"})
        assert client.api.streams.open == 0
        store.slow = True
        async with contextlib.AsyncExitStack() as stack:
            gone = asyncio.create_task(first_status(client, stack))
            await eventually(lambda: client.api.streams.open == 1, "the stream is counted")
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        store.may_load.set()
        await closed(client)


class SlowToLoad(StoreThatMayBeAway):
    def __init__(self) -> None:
        super().__init__()
        self.slow, self.may_load = False, asyncio.Event()

    async def load(self, thread_id: str) -> Thread:
        if self.slow:
            await self.may_load.wait()
        return await super().load(thread_id)


async def first_status(client: Client, stack: contextlib.AsyncExitStack) -> int:
    headers = {"Authorization": f"Bearer {MACHINE}"}
    asked = client.session.get(f"{client.url}{client.here}/events", headers=headers)
    return (await stack.enter_async_context(asked)).status


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
