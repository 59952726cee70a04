"""Connections to Redis: what one can get wrong about a server, and servers that die."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ResponseError

from store.base import StoreUnavailable
from store.redis.connection import Connection
from store.redis.store import RedisStore
from tests.fakes.servers import Server, opened_store, unique_prefix
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort
from tests.store.threads import LONG, SHORT, T1, begun, claimed, ids
from tests.telling.story import chosen, message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost:6379",
        "redis://[::1",
        "redis://localhost:sixty",
        "redis://localhost?colour=red",
        "redis://localhost?socket_timeout=long",
    ],
)
async def test_what_is_not_the_url_of_a_redis_is_told_in_one_line(url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"^REDIS_URL '.*' is not a Redis URL\. It begins with .*\.$"):
        await RedisStore.open(url)


async def test_a_server_that_is_not_there_is_told_in_one_line_with_what_to_do() -> None:
    nobody = HeldPort()
    url = f"redis://127.0.0.1:{nobody.number}/0"
    with pytest.raises(
        StoreUnavailable, match=rf"^Cannot reach Redis at {url}: .*[^.]\. Start it, or correct REDIS_URL\.$"
    ):
        await RedisStore.open(url)


async def test_a_socket_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(StoreUnavailable, match=r"^Cannot reach Redis at unix:///nowhere/redis\.sock: .*\.$"):
        await RedisStore.open("unix:///nowhere/redis.sock")


async def refusal(url: str) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        await RedisStore.open(url)
    return str(refused.value)


async def test_a_wrong_password_is_told_without_telling_it(server: Server) -> None:
    server.command("CONFIG", "SET", "requirepass", "correct horse")
    path = server.url.removeprefix("unix://")
    wrong = [f"unix://{credentials}{path}" for credentials in ("", ":hunter2@", "ann:hunter2@")]
    assert await asyncio.gather(*map(refusal, wrong)) == [
        f"Redis at unix://{path} denies access. Correct the user and the password in REDIS_URL."
    ] * len(wrong)


async def test_no_error_tells_the_password() -> None:
    nobody = HeldPort()
    at = f"127.0.0.1:{nobody.number}"
    told = await asyncio.gather(
        refusal(f"redis://:hunter2@{at}/0"),
        refusal(f"redis://ann:hunter2@{at}"),
        refusal(f"redis://{at}?password=hunter2"),
        # Characters that have to be escaped, and were not.
        refusal(f"redis://ann:x@y:hunter2@{at}"),
        refusal(f"redis://:hun/hunter2@{at}/0"),
        refusal(f"redis://:hunter2/hunter2@{at}/0"),
        refusal(f"redis://:hun?hunter2@{at}/0"),
        refusal(f"redis://:hunter2#hunter2@{at}/0"),
        refusal(f"redis://{at}?password=hun@hunter2"),
        refusal(f"ann:hunter2@{at}"),
        refusal(f"redis:/:hunter2@{at}"),
    )
    assert [text for text in told if "hun" in text or "\n" in text] == []


async def test_a_full_server_says_what_it_needs_and_loses_nothing(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await begun(store)
        server.command("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StoreUnavailable, match=r"is full and accepts no writes \(.*\)\. Give it more memory"):
            await store.append(thread, message("m2"))
        assert await store.load("t1") == thread
        server.command("CONFIG", "SET", "maxmemory", 0)
        assert (await store.append(thread, message("m2"))).version == 3


async def test_a_read_only_replica_is_told_apart(server: Server) -> None:
    nobody = HeldPort()
    server.command("REPLICAOF", "127.0.0.1", nobody.number)
    async with opened_store(server.url, "bot") as store:
        with pytest.raises(StoreUnavailable, match=r"is a read-only replica\. Point REDIS_URL at the primary\.$"):
            await begun(store)


async def test_more_calls_than_connections_wait_for_their_turn(redis_url: str) -> None:
    async with opened_store(f"{redis_url}?max_connections=3", unique_prefix()) as store:
        await begun(store)
        await asyncio.gather(*(store.append(T1, message(f"n{number}")) for number in range(200)))
        assert (await store.load("t1")).version == 202


async def test_a_call_may_be_cancelled_at_any_moment_and_the_next_one_reads_its_own_reply(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await begun(store)
        with server.hung():
            for turns in range(8):
                call = asyncio.create_task(store.count_distinct("cancelled", "somebody", LONG))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
        for _ in range(3):
            assert await store.load("t1") == thread
        lease = await claimed(store)
        assert lease.thread_id == "t1"
        assert await store.release(lease, thread)


async def test_a_refused_command_among_others_leaves_no_reply_to_the_next(server: Server) -> None:
    connection = await Connection.open(server.url)
    server.command("SET", "text", "words")
    for _ in range(2):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await connection.run_commands([("GET", "text"), ("LLEN", "text"), ("ECHO", "late")])
        assert await connection.run_commands([("ECHO", "own")]) == [b"own"]
    await connection.aclose()


async def test_the_older_protocol_serves_too(server: Server) -> None:
    async with opened_store(f"{server.url}?protocol=2", "bot") as store:
        thread = await begun(store)
        assert await store.due_in_seconds() == 0
        lease = await claimed(store)
        assert await store.due_in_seconds() is not None
        assert await store.due_in_seconds(["t1"]) is None
        assert await store.release(lease, thread)


# Redis: servers that die


async def test_a_killed_server_is_told_and_what_was_acknowledged_is_there_after_its_restart(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await begun(store)
        acknowledged: list[str] = []
        enough = asyncio.Event()

        async def speak(number: int) -> str:
            try:
                for n in range(1_000_000):
                    await store.append(T1, message(f"m/{number}/{n}"))
                    acknowledged.append(f"m/{number}/{n}")
                    if len(acknowledged) >= 200:
                        enough.set()
            except StoreUnavailable as error:
                return str(error)
            raise AssertionError("the server was never killed")

        speakers = [asyncio.create_task(speak(number)) for number in range(5)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await enough.wait()
            server.kill()
            told = await asyncio.gather(*speakers)
        assert all(text.startswith(f"Cannot reach Redis at {server.url}: ") and "\n" not in text for text in told)
        with pytest.raises(StoreUnavailable):
            await store.load("t1")

        server.start()
        thread = await store.load("t1")
        assert set(acknowledged) <= set(ids(thread))
        # What was not acknowledged is repeated, and lands once whether or not it had landed before.
        repeated = [message(f"m/{number}/{n}") for number in range(5) for n in range(200)]
        thread = await store.append(thread, *repeated)
        assert len(set(ids(thread))) == thread.version
        assert await store.load("t1") == thread


async def test_a_server_that_hangs_is_told(server: Server) -> None:
    # The time limit of the URL, since the store's own is long.
    async with opened_store(f"{server.url}?socket_timeout=0.1", "bot") as store:
        thread = await begun(store)
        with server.hung(), pytest.raises(StoreUnavailable, match=r"^Cannot reach Redis at .*: Timeout .*REDIS_URL\.$"):
            await store.append(thread, message("m2"))
        assert ids(await store.append(thread, message("m2"))) == ["opened", "m1", "m2"]


async def test_leases_and_timers_outlive_the_server(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        held, resting = await begun(store, "held"), await begun(store, "resting")
        lease = await claimed(store, only="held")
        assert await store.release(await claimed(store, only="resting"), resting, wake_in_seconds=LONG)
        await begun(store, "due")
        server.kill()
        server.start()
        assert [lease.thread_id for lease in await store.claim(9, LONG)] == ["due"]
        assert (await store.append(held, chosen("s2"), if_unmoved=True, lease=lease)).version == 3


async def test_work_is_heard_of_again_after_the_server_came_back(server: Server) -> None:
    async with opened_store(server.url, "bot") as store, opened_store(server.url, "bot") as other:
        thread = await begun(store)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await store.work_arrived(LONG)
        server.kill()
        # Long enough for the listener to lose its connection and every attempt to have another.
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.load("t1")
        server.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.command("PUBSUB", "NUMSUB", "bot:bell") != [b"bot:bell", 1]:
                await store.work_arrived(SHORT)
            for number in range(4):
                await other.append(thread, message(f"new/{number}"))
                await store.work_arrived(LONG)
