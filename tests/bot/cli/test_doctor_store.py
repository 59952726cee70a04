"""`bot doctor` about the store: it tries what the bot will do there, and says what the setup promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli import store_checks
from store.embedded.keeper import embedded
from store.redis.connection import Connection
from store.redis.facts import ServerFacts
from tests.fakes.servers import ClusterServer, LoadingServer, Server, TcpServer
from tests.fakes.wrong_clock import off_by
from tests.patience import wait_until
from tests.stories.program import Bot

pytestmark = pytest.mark.slow

STORE = ("redis", "scripts", "persistence", "eviction", "replicas", "durability", "clock")


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


@pytest.fixture
def primary() -> Iterator[TcpServer]:
    server = TcpServer(appendfsync="always")
    try:
        server.start()
        yield server
    finally:
        server.stop()


async def findings(bot: Bot, url: str) -> dict[str, tuple[str, str]]:
    document = (await bot.run("doctor", "--json", REDIS_URL=url)).document
    return {found["what"]: (found["state"], found["text"]) for found in document}


async def test_a_good_server_is_tried_and_left_as_it_was(bot: Bot, primary: TcpServer) -> None:
    found = await findings(bot, primary.url)
    store = {name: state for name, (state, _) in found.items() if name in STORE}
    assert store == dict.fromkeys(STORE, "ok")
    assert found["replicas"][1] == "none. If the disk of this server is lost, so is all since its last backup."
    assert primary.command("DBSIZE") == 0


async def test_a_cluster_node_on_which_nothing_works_is_no_good_store(bot: Bot) -> None:
    node = ClusterServer()
    try:
        Server.start(node)
        found = await findings(bot, node.url)
        assert found["redis"][1].endswith("a node in cluster mode, which must hold every slot.")
        assert found["scripts"][0] == "failed"
        assert "Look at `CLUSTER INFO` there, and give every slot a node." in found["scripts"][1]
    finally:
        node.stop()


async def test_a_full_disk_is_no_good_store(bot: Bot) -> None:
    server = Server(appendfsync="everysec")
    server.start()
    try:
        with server.full_disk():
            server.command("SET", "n", 1)
            wait_until(lambda: server.command("INFO", "persistence")["aof_last_write_status"] == "err", "the failure")
            found = await findings(bot, server.url)
            assert found["scripts"][0] == found["persistence"][0] == "failed"
            assert "cannot write to its disk" in found["scripts"][1]
            assert "the server could not write its append-only file. Free space" in found["persistence"][1]
            (await bot.run("threads", REDIS_URL=server.url)).succeeded()
    finally:
        server.stop()


async def test_replicas_are_named_with_what_they_promise(bot: Bot, primary: TcpServer) -> None:
    replica = TcpServer("--replicaof", "127.0.0.1", str(primary.port))
    try:
        replica.start()
        wait_until(lambda: "online" in str(primary.command("INFO", "replication").get("slave0")), "the replication")
        found = await findings(bot, primary.url)
        assert found["replicas"] == (
            "ok",
            "1 of 1 online. A failover may lose the last writes, as `durability` says.",
        )
        assert found["durability"][0] == "warning"
        assert found["durability"][1].endswith("DURABLE_BEFORE_ACTING=replica rules that out.")
        bot.environment["DURABLE_BEFORE_ACTING"] = "replica"
        found = await findings(bot, primary.url)
        assert found["scripts"][0] == found["durability"][0] == "ok"
        assert found["durability"][1].endswith("A failover to it forgets neither.")
        found = await findings(bot, replica.url)
        assert found["redis"][0] == "failed"
        assert found["redis"][1].endswith(f"point REDIS_URL at the primary, 127.0.0.1:{primary.port}.")
        assert found["scripts"][0] == "failed"
        assert "replicas" not in found
    finally:
        replica.stop()
    found = await findings(bot, primary.url)
    assert found["durability"] == (
        "failed",
        "DURABLE_BEFORE_ACTING is replica, and no replica is online: no tool that acts begins.",
    )
    assert found["scripts"][0] == "failed"
    bot.environment["DURABLE_BEFORE_ACTING"] = "disk"
    found = await findings(bot, primary.url)
    assert found["scripts"][0] == found["durability"][0] == "ok"


async def test_a_server_that_loads_is_told_at_once(bot: Bot) -> None:
    server = LoadingServer()
    try:
        server.start_loading()
        found = await findings(bot, server.url)
        assert found["redis"][0] == "failed"
        assert "is loading its data and answers nobody until it is done. Wait" in found["redis"][1]
        (await bot.run("threads", REDIS_URL=server.url)).failed("is loading its data")
    finally:
        server.stop()


async def test_a_clock_that_differs_is_told(bot: Bot, primary: TcpServer, tmp_path: Path) -> None:
    async with off_by(-30, primary.url, tmp_path / "s") as url:
        state, text = (await findings(bot, url))["clock"]
    assert state == "warning"
    assert text.startswith("The clock of this machine is 30.0 s ahead of the clock of Redis.")
    async with off_by(90, primary.url, tmp_path / "t") as url:
        done = await bot.run("doctor", "--json", REDIS_URL=url)
    [clock] = [found for found in done.document if found["what"] == "clock"]
    assert (done.code, clock["state"]) == (1, "failed")
    assert clock["text"].startswith("The clock of this machine is 90.0 s behind the clock of Redis.")


async def test_the_disk_of_the_embedded_store_is_looked_at(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (await bot.run("doctor", "--json")).document
    [disk] = [found for found in document if found["what"] == "disk"]
    assert "free for BOT_HOME; the store takes" in disk["text"]
    facts = await _facts_of_embedded(bot)
    for free, state in ((10**12, "ok"), (10**8, "warning"), (1000, "failed")):
        monkeypatch.setattr(store_checks, "free_bytes", lambda _home, free=free: free)
        assert store_checks._disk(bot.home, facts).state == state


async def _facts_of_embedded(bot: Bot) -> ServerFacts:
    async with embedded(bot.home) as url:
        connection = await Connection.open(url)
        try:
            return await connection.facts()
        finally:
            await connection.aclose()
