"""The store on Redis: its scripts, what it costs, and where things lie."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis.asyncio
import redis.exceptions

from store.base import UnknownThread
from store.redis.connection import Connection
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.servers import Server, opened_store, unique_prefix
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import LONG, SHORT, T1, begun, claimed, thread_ids
from tests.telling.story import message, opened


async def test_a_server_that_forgot_the_scripts_is_taught_them_again(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:

        def forget() -> None:
            server.command("SCRIPT", "FLUSH")

        thread = await begun(store)
        forget()
        thread = await store.append(thread, message("m2"))
        forget()
        lease = await claimed(store)
        forget()
        assert await store.renew(lease)
        forget()
        assert await store.release(lease, thread)
        forget()
        await store.wake("t1")
        lease = await claimed(store)
        forget()
        await store.hand_back(lease)
        assert (await claimed(store)).claims == 1


async def test_scripts_are_taught_once_however_many_ask_at_once(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        server.command("SCRIPT", "FLUSH")
        await begun(store)
        await asyncio.gather(*(store.append(T1, message(f"n{number}")) for number in range(50)))
        assert (await store.load("t1")).version == 52


async def test_a_closed_store_leaves_no_connection_behind(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await begun(store)
        await store.work_arrived(SHORT)
        async with contextlib.aclosing(store.follow(thread)) as moves, asyncio.timeout(PATIENCE_SECONDS):
            waiting = asyncio.ensure_future(anext(moves))
            await store.append(thread, message("m2"))
            await waiting
    async with asyncio.timeout(PATIENCE_SECONDS):
        while server.command("CLIENT", "LIST").count(b"\n") > 1:  # noqa: ASYNC110 - the one that asks is always there
            await asyncio.sleep(0)


async def test_followers_take_no_connection_from_those_who_work(server: Server) -> None:
    connection = Connection(server.url, 10, connections_max=2)
    store = RedisStore(connection, "bot")
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS):
        stack.push_async_callback(store.aclose)
        thread = await begun(store)
        followers = [
            await stack.enter_async_context(contextlib.aclosing(store.follow(Thread("t1")))) for _ in range(10)
        ]
        for moves in followers:
            assert await anext(moves) == thread
        for number in range(10):
            thread = await store.append(thread, message(f"n{number}"))
        for moves in followers:
            while (await anext(moves)).version < thread.version:
                pass


# Redis: what it costs, and where things lie


async def test_an_append_costs_the_same_however_long_the_thread_is(server: Server) -> None:
    def traffic() -> int:
        stats = server.command("INFO", "stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])

    async with opened_store(server.url, "bot") as store:
        thread = await store.append(T1, opened())
        costs = []
        for block in range(10, 20):
            before = traffic()
            for number in range(100):
                # The script's own reply holds the new events alone.
                thread = await store.append(thread, message(f"m{block}{number:02}"))
            costs.append(traffic() - before)
    assert thread.version == 1_001
    # The first block also teaches the script; the thread's version takes a digit or two more at the end.
    assert max(costs[1:]) - min(costs[1:]) <= 0.02 * min(costs[1:])


async def test_everything_lies_under_the_prefix_and_a_thread_in_one_slot(cluster_url: str) -> None:
    prefix = unique_prefix()
    async with opened_store(cluster_url, prefix) as store:
        thread = await begun(store)
        lease = await claimed(store)
        async with redis.asyncio.Redis.from_url(cluster_url) as client:
            found = {key.decode() async for key in client.scan_iter(match="*t1*")}
            assert f"{prefix}:{{{store.keys.shard('t1')}}}:log:t1" in found
            slots = {
                await client.execute_command("CLUSTER", "KEYSLOT", key)  # type: ignore[no-untyped-call]
                async for key in client.scan_iter(match=f"{prefix}*")
            }
            assert len(slots) == 1
        assert await store.release(lease, thread)


async def test_the_cluster_of_these_tests_refuses_a_script_over_two_slots(cluster_url: str) -> None:
    async with redis.asyncio.Redis.from_url(cluster_url) as client:
        with pytest.raises(redis.exceptions.RedisError, match="slot"):
            await client.eval("return redis.call('GET', KEYS[1])", 2, "a", "b")


async def test_two_prefixes_on_one_server_know_nothing_of_each_other(redis_store: RedisStore, redis_url: str) -> None:
    await begun(redis_store)
    async with opened_store(redis_url, unique_prefix()) as other:
        assert await other.claim(9, LONG) == []
        assert await thread_ids(other) == []
        with pytest.raises(UnknownThread):
            await other.load("t1")


async def test_a_thread_that_is_due_since_the_beginning_of_time_is_due(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await begun(store)
        await store._redis.client.zadd(store.keys.due(store.keys.shard("t1")), {"t1": 0})
        assert await store.due_in_seconds() == 0
        assert (await claimed(store)).thread_id == "t1"
