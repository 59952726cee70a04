"""What a server says that cannot or will not: each time what is so and what to do. The errors are the servers' own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from store.base import StoreAway, StoreUnavailable
from store.redis.store import RedisStore
from tests.fakes.servers import ClusterServer, LoadingServer, Server, TcpServer, opened_store
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.ports import HeldPort
from tests.store.threads import begun


@pytest.fixture
def loading() -> Iterator[LoadingServer]:
    server = LoadingServer()
    try:
        server.start_loading()
        yield server
    finally:
        server.stop()


async def refusal(url: str) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as refused:
        async with opened_store(url, "bot") as store:
            await begun(store)
    assert "\n" not in str(refused.value)
    return refused.value


async def begun_without_end(store: RedisStore) -> None:
    """A disk that writes only after the answer takes one more, or some if it is still busy."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for number in itertools.count():
            await begun(store, f"more-{number}")


async def test_a_server_that_loads_is_worth_waiting_for(loading: LoadingServer) -> None:
    error = await refusal(loading.url)
    assert isinstance(error, StoreAway)
    assert str(error).startswith(
        f"Redis at {loading.url} is loading its data and answers nobody until it is done. Wait"
    )
    loading.finish_loading()
    wait_until(lambda: loading._answers(), "the end of loading")
    async with opened_store(loading.url, "bot") as store:
        await begun(store)


async def test_a_server_that_is_away_is_worth_waiting_for(server: Server) -> None:
    server.kill()
    assert isinstance(await refusal(server.url), StoreAway)
    server.start()


async def test_a_wrong_password_is_not(server: Server) -> None:
    server.command("CONFIG", "SET", "requirepass", "correct horse")
    assert not isinstance(await refusal(server.url), StoreAway)


async def test_a_full_disk_is_told_and_what_is_there_can_be_read() -> None:
    server = Server(appendfsync="everysec")
    server.start()
    try:
        async with opened_store(server.url, "bot") as store:
            await begun(store)
            with server.full_disk():
                with pytest.raises(
                    StoreUnavailable, match=r"cannot write to its disk and accepts no writes .*Free space"
                ):
                    await begun_without_end(store)
                async with opened_store(server.url, "bot") as other:
                    assert await other.load("t1")
    finally:
        server.stop()


async def test_too_few_replicas_are_told(server: Server) -> None:
    server.command("CONFIG", "SET", "min-replicas-to-write", 1)
    assert "fewer replicas are connected than its min-replicas-to-write asks for" in str(await refusal(server.url))


async def test_a_replica_without_its_primary_is_told(server: Server) -> None:
    nobody = HeldPort()
    server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
    server.command("REPLICAOF", "127.0.0.1", nobody.number)
    assert "is a replica that lost its primary. Point REDIS_URL at the primary." in str(await refusal(server.url))


@pytest.mark.parametrize("rights", [["+@all", "-evalsha", "-eval"], ["-@all", "+eval", "+evalsha", "+ping"]])
async def test_a_user_that_may_too_little_is_told(server: Server, rights: list[str]) -> None:
    server.command("ACL", "SETUSER", "ann", "on", ">pw", "~bot:*", "&bot:*", *rights)
    error = str(await refusal(server.url.replace("unix://", "unix://ann:pw@")))
    assert "forbids a command to the user of REDIS_URL" in error
    assert "Allow this user the keys and channels bot:*" in error


async def test_a_node_that_holds_only_some_slots_is_told() -> None:
    first, second = ClusterServer(), ClusterServer()
    try:
        Server.start(first)
        Server.start(second)
        first.command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        assert "is a node of a cluster that does not serve all keys now" in str(await refusal(first.url))
        first.command("CLUSTER", "MEET", "127.0.0.1", second.port, second.bus_port)
        wait_until(lambda: b"cluster_state:ok" in first.command("CLUSTER", "INFO"), "the cluster")
        errors = []
        async with opened_store(first.url, "bot") as store:
            for number in range(16):
                try:
                    await begun(store, f"t{number}")
                except StoreUnavailable as error:
                    errors.append(str(error))
        assert errors
        assert len(set(errors)) == 1
        assert (
            f"is one node of a cluster, and keeps some of our keys on another node (127.0.0.1:{second.port})"
            in errors[0]
        )
        assert "Point REDIS_URL at a server without cluster mode" in errors[0]
    finally:
        first.stop()
        second.stop()


async def test_a_read_only_replica_is_told_of_the_primary() -> None:
    primary = TcpServer()
    primary.start()
    replica = TcpServer("--replicaof", "127.0.0.1", str(primary.port))
    try:
        replica.start()
        assert "is a read-only replica. Point REDIS_URL at the primary." in str(await refusal(replica.url))
    finally:
        replica.stop()
        primary.stop()
