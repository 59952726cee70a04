"""What is known already: the ids beside a log, the ids in it, and sets that older versions wrote."""

from __future__ import annotations

import contextlib
from random import Random

import pytest

from store import keys
from store.base import ThreadMoved
from store.events import Event
from store.memory import MemoryStore
from store.redis.scripts import ID_BYTES_MAX
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.servers import Server, opened_store
from tests.matrices import matrix
from tests.store.threads import T1, begun, ids
from tests.telling.story import chosen, finished, message, opened, started

LONG_ID = "from/email/" + "x" * ID_BYTES_MAX
OF_A_TURN = ["s1/chosen", "s1/started/1", "s1/finished", "s1/card/sent", "s1/say/failed/1", "s1/wait/1/fired"]
OTHERS = ["opened", "m1", "from/slack/C1:1", "s1/decided/yes/verified/U1", 'm/"', "m/\\", "m/ü", LONG_ID]
QUOTING = message("m9", 'he wrote {"v":1,"kind":"tool_finished","id":"s1/finished"}')


def is_of_a_turn(event_id: str) -> bool:
    return keys.is_of_a_turn(event_id)


def test_what_anybody_may_write_is_not_of_a_turn() -> None:
    assert all(map(is_of_a_turn, OF_A_TURN))
    assert not any(map(is_of_a_turn, [*OTHERS, "from/slack/finished", "from/x/y/notice/sent", 's1"/sent', "s1é/sent"]))


@matrix("seed", range(80), sample=12)
async def test_the_log_is_the_one_of_the_store_in_memory(redis_store: RedisStore, seed: int) -> None:
    random, memory = Random(seed), MemoryStore()
    seen: list[tuple[Thread, Thread]] = [(T1, T1)]
    for number in range(40):
        ours, theirs = random.choice(seen[-6:])
        pool = [*OF_A_TURN, *OTHERS, f"s{number}/chosen", f"m{number}"]
        events: list[Event] = [
            message(event_id, f"{number}") for event_id in random.choices(pool, k=random.randint(0, 3))
        ]
        match random.randint(0, 3):
            case 0:
                posted = [event for event in events if not is_of_a_turn(event.id)]
                await redis_store.post("t1", *posted)
                await memory.post("t1", *posted)
            case 1:
                for store, thread in ((redis_store, ours), (memory, theirs)):
                    with contextlib.suppress(ThreadMoved):
                        await store.append(thread, *events, if_unmoved=True)
            case _:
                ours = await redis_store.append(ours, *events)
                theirs = await memory.append(theirs, *events)
                assert ours == theirs
                seen.append((ours, theirs))
        assert (await redis_store.refresh(T1)).events == (await memory.refresh(T1)).events


@pytest.mark.parametrize("event", [finished("s1"), message("m2")])
async def test_an_append_whose_reply_was_lost_is_repeated_without_harm(redis_store: RedisStore, event: Event) -> None:
    thread = await begun(redis_store)
    first = await redis_store.append(thread, event)
    assert await redis_store.append(thread, event) == first
    assert await redis_store.append(first, event) == first
    assert await redis_store.append(thread, event, if_unmoved=True) == first
    assert await redis_store.load("t1") == first


async def test_words_that_look_like_an_event_are_none(redis_store: RedisStore) -> None:
    thread = await begun(redis_store)
    await redis_store.post("t1", QUOTING)
    quoted = chosen("s9", arguments={"v": 1, "kind": "x", "id": "s1/finished"})
    await redis_store.append(thread, quoted)
    now = await redis_store.append(thread, finished("s1"))
    assert ids(now)[2:] == ["m9", "s9/chosen", "s1/finished"]


async def test_ids_that_an_older_version_wrote_are_known(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await store.append(T1, opened(), message(LONG_ID), chosen("s2"), started("s2"))
        # It kept every id, as it stands.
        server.command("DEL", store.keys.ids("t1"))
        server.command("SADD", store.keys.ids("t1"), *ids(thread))
        for stale in (thread, T1, thread.at(2)):
            await store.append(stale, message(LONG_ID, "again"), chosen("s2"), started("s2"))
        await store.post("t1", opened(), message(LONG_ID, "again"))
        assert await store.load("t1") == thread


async def test_the_ids_of_a_thread_take_little(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await store.append(T1, opened(), message(LONG_ID))
        for number in range(2, 100):
            thread = await store.append(thread, chosen(f"s{number}"))
        assert server.command("SCARD", store.keys.ids("t1")) == 2
        assert server.command("OBJECT", "ENCODING", store.keys.ids("t1")) == b"listpack"
