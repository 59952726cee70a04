"""What a claim read of the log's end saves a look at it, and never hides that the log is another one."""

from __future__ import annotations

import pytest

from store.base import ThreadDiverged
from store.codec import encode
from store.events import Event
from store.redis.scripts import TAIL_BYTES_MAX, TAIL_LINES
from store.redis.store import RedisStore
from store.tail import Tail
from store.thread import Thread
from tests.store.threads import LONG, T1, claimed
from tests.telling.story import message, opened

EVENTS: tuple[Event, ...] = (opened(), *(message(f"m{number}") for number in range(1, 12)))
LINES = tuple(map(encode, EVENTS))


def tail(length: int = 12, lines: int = 8) -> Tail:
    return Tail(length, LINES[max(length - lines, 0) : length])


async def read(redis_store: RedisStore, version: int) -> Thread:
    """The thread as it was read when it had so many events. By now it has all."""
    thread = await redis_store.append(T1, *EVENTS[:version])
    await redis_store.append(T1, *EVENTS)
    return thread


@pytest.mark.parametrize("version", [5, 9, 11, 12])
async def test_a_remembered_thread_gets_what_it_lacks(redis_store: RedisStore, version: int) -> None:
    remembered = await read(redis_store, version)
    now = tail().extending(remembered)
    assert now == await redis_store.load("t1")
    assert now is not None
    assert now.mark == (await redis_store.load("t1")).mark


@pytest.mark.parametrize("version", [1, 3, 4])
async def test_of_a_thread_that_lacks_more_the_store_is_asked(redis_store: RedisStore, version: int) -> None:
    assert tail().extending(await read(redis_store, version)) is None


async def test_a_short_thread_is_read_whole() -> None:
    now = tail(length=3).extending(Thread("t1"))
    assert now is not None
    assert now.events == EVENTS[:3]
    assert tail(length=9).extending(Thread("t1")) is None


async def test_a_log_that_is_another_one_is_left_to_the_store(redis_store: RedisStore) -> None:
    remembered = await redis_store.append(T1, *EVENTS[:6])
    assert tail(length=5).extending(remembered) is None, "it lost an event"
    other = Tail(6, (*LINES[:5], encode(message("other"))))
    assert other.extending(remembered) is None, "it has another event there"
    assert Tail(0, ()).extending(remembered) is None
    assert Tail(0, ()).extending(Thread("t1")) == Thread("t1")


async def test_a_claim_brings_the_end_of_the_log(redis_store: RedisStore) -> None:
    thread = await redis_store.append(T1, *EVENTS[:3])
    lease = await claimed(redis_store)
    assert lease.tail == Tail(3, LINES[:3])
    await redis_store.append(thread, *EVENTS[3:])
    await redis_store.hand_back(lease)
    lease = await claimed(redis_store)
    assert lease.tail == Tail(12, LINES[-TAIL_LINES:])
    assert lease.tail.extending(thread) is None


async def test_a_claim_brings_no_long_events(redis_store: RedisStore) -> None:
    events = (*EVENTS[:3], message("long", "x" * TAIL_BYTES_MAX), *EVENTS[3:5])
    await redis_store.append(T1, *events)
    assert (await claimed(redis_store)).tail == Tail(6, LINES[3:5])


async def test_a_claim_of_a_log_that_is_lost_brings_nothing(redis_store: RedisStore) -> None:
    thread = await redis_store.append(T1, *EVENTS[:3])
    await redis_store._redis.client.delete(redis_store.keys.log("t1"))
    [lease] = await redis_store.claim(1, LONG)
    assert lease.tail == Tail(0, ())
    assert lease.tail.extending(thread) is None
    with pytest.raises(ThreadDiverged):
        await redis_store.refresh(thread)
