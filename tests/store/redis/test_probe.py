"""The trial of a server: every operation on every shard, and nothing of it stays or is heard of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store.base import StoreUnavailable
from store.redis.connection import Connection
from store.redis.probe import ProbeFailed, probe
from store.redis.scripts import CLAIM, Script
from tests.fakes.servers import ClusterServer, Server, opened_store
from tests.store.threads import LONG, SHORT, at_rest


async def test_it_leaves_nothing_and_wakes_nobody(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await at_rest(store)
        await store.work_arrived(LONG)  # what `at_rest` rang for
        before = sorted(server.command("KEYS", "*"))
        bell = asyncio.create_task(store.work_arrived(LONG))
        await probe(server.url)
        await asyncio.sleep(0)
        assert not bell.done()
        bell.cancel()
        assert sorted(server.command("KEYS", "*")) == before
        assert await store.due_in_seconds() is None
        assert await store.claim(9, SHORT) == []


async def test_a_node_with_every_slot_will_do(cluster_url: str) -> None:
    await probe(cluster_url)


async def test_a_shard_on_another_node_is_found_and_the_others_are_left_clean() -> None:
    node = ClusterServer()
    try:
        Server.start(node)
        node.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 12000)
        with pytest.raises(StoreUnavailable, match=r"^(notes|shard \d): Redis at .* does not serve all keys now"):
            await probe(node.url)
        assert node.command("DBSIZE") == 0
    finally:
        node.stop()


async def test_a_full_disk_is_found() -> None:
    server = Server(appendfsync="everysec")
    server.start()
    try:
        with server.full_disk(), pytest.raises(StoreUnavailable, match="cannot write to its disk"):
            await probe(server.url)
    finally:
        server.stop()


async def test_what_answers_wrongly_is_found(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Connection.run

    async def lossy(self: Connection, script: Script, *others: Any, **named: Any) -> object:
        answer = await run(self, script, *others, **named)
        return [] if script is CLAIM else answer

    monkeypatch.setattr(Connection, "run", lossy)
    with pytest.raises(
        ProbeFailed, match=r"^shard 0: an appended event does not make its thread due\. Is this a Redis"
    ):
        await probe(server.url)
    assert server.command("DBSIZE") == 0
