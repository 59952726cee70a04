"""What servers say about themselves."""

from __future__ import annotations

from pathlib import Path

from store.redis.connection import Connection
from store.redis.facts import ServerFacts
from tests.fakes.servers import Server, TcpServer
from tests.fakes.wrong_clock import off_by
from tests.patience import wait_until


async def facts_of(url: str) -> ServerFacts:
    connection = await Connection.open(url)
    try:
        return await connection.facts()
    finally:
        await connection.aclose()


async def test_a_primary_knows_its_replicas_and_a_replica_its_primary() -> None:
    primary = TcpServer()
    primary.start()
    replica = TcpServer("--replicaof", "127.0.0.1", str(primary.port))
    try:
        replica.start()
        wait_until(lambda: "online" in str(primary.command("INFO", "replication").get("slave0")), "the replication")
        facts = await facts_of(primary.url)
        assert [one.is_online for one in facts.replicas] == [True]
        assert facts.role == "master"
        assert [one.address for one in facts.replicas] == [f"127.0.0.1:{replica.port}"]
        theirs = await facts_of(replica.url)
        assert (theirs.role, theirs.primary) == ("slave", f"127.0.0.1:{primary.port}")
    finally:
        replica.stop()
        primary.stop()


async def test_a_node_of_a_cluster_says_so(cluster_url: str, redis_url: str) -> None:
    assert (await facts_of(cluster_url)).is_cluster_node
    assert not (await facts_of(redis_url)).is_cluster_node


async def test_a_server_whose_clock_is_wrong(redis_url: str, tmp_path: Path) -> None:
    assert abs((await facts_of(redis_url)).clock_offset_seconds) < 1
    async with off_by(-3600, redis_url, tmp_path / "s") as url:
        assert -3601 < (await facts_of(url)).clock_offset_seconds < -3599


async def test_what_could_not_be_written_is_named() -> None:
    server = Server(appendfsync="everysec")
    server.start()
    try:
        assert (await facts_of(server.url)).write_error == ""
        with server.full_disk():
            server.command("SET", "n", 1)
            wait_until(lambda: server.command("INFO", "persistence")["aof_last_write_status"] == "err", "the failure")
            assert (await facts_of(server.url)).write_error == "its append-only file"
    finally:
        server.stop()


async def test_what_a_server_does_not_reveal_is_empty(server: Server) -> None:
    rights = ("~bot:*", "&bot:*", "-@all", "+ping", "+time")
    server.command("ACL", "SETUSER", "ann", "on", ">pw", *rights)
    facts = await facts_of(server.url.replace("unix://", "unix://ann:pw@"))
    assert facts == ServerFacts("unknown", facts.clock_offset_seconds, False, "", "", (), "", "", 0, "", "")
