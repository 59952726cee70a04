"""Lines go to the server in shorthand, and stand in the log as they were encoded."""

from __future__ import annotations

import pytest

from store.codec import encode
from store.events import Event, UnknownEvent
from store.redis.shorthand import TEXTS, shortened
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.servers import Server, opened_store
from tests.telling.story import AT, chosen, finished, message, opened, sent

ODD = "".join(map(chr, range(1, 160))) + "".join(TEXTS) + "\\1\\2%1%%"
EVENTS: list[Event] = [
    opened(),
    message("m1", ODD),
    message("m2", "ordinary words"),
    chosen("s3", "look", text=ODD, begun=True),
    finished("s3", result={"text": ODD, **dict.fromkeys(TEXTS, 1)}),
    sent("s3/say"),
    UnknownEvent(kind="newer", id="n1", at=AT, raw={"v": 99, "kind": "newer", "id": "n1", "text": ODD}),
]


async def lines(server: Server, store: RedisStore, thread_id: str) -> list[bytes]:
    return list(server.command("LRANGE", store.keys.log(thread_id), 0, -1))


async def test_what_is_stored_is_the_line_as_it_was_encoded(server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        thread = await store.append(Thread("t1"), *EVENTS)
        assert await lines(server, store, "t1") == [encode(event) for event in EVENTS]
        assert (await store.load("t1")).events == thread.events

        await store.post("t2", *EVENTS)
        assert await lines(server, store, "t2") == [encode(event) for event in EVENTS]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_no_line_holds_what_stands_for_a_text(event: Event) -> None:
    assert not [byte for byte in encode(event) if byte < 32]


def test_what_recurs_is_one_byte() -> None:
    line = encode(chosen("s3", "look", component="backend"))
    assert len(shortened(line)) < 0.75 * len(line)


@pytest.mark.parametrize("prefix", ["bot", "bot:doctor-1", "a.b-c%d"])
@pytest.mark.parametrize("thread_id", ["t1", "a:{3}:log:b", "%d (x)", "ü"])
async def test_a_thread_and_a_prefix_may_be_called_anything(server: Server, prefix: str, thread_id: str) -> None:
    async with opened_store(server.url, prefix) as store:
        thread = await store.append(Thread(thread_id), opened(), message("m1"))
        [lease] = await store.claim(9, 30.0)
        assert lease.thread_id == thread_id
        assert await store.renew(lease)
        assert await store.release(lease, thread)
        assert await store.claim(9, 30.0) == []
        await store.wake(thread_id)
        [lease] = await store.claim(9, 30.0)
        await store.hand_back(lease)
        known = {key.encode() for key in store.keys.all_of(thread_id)}
        assert set(server.command("KEYS", "*")) <= known
        assert [row.id for row in (await store.page()).rows] == [thread_id]
