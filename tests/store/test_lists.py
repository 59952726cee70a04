"""Lists answer whole: whatever happened to the threads, a list shows those that a fold of their logs says."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import redis.asyncio

from store.base import Lease, Store
from store.codec import decode
from store.events import Event, MessageReceived
from store.pages import NotACursor, Page
from store.redis.connection import Connection
from store.redis.index import RedisIndex
from store.redis.keys import SHARDS
from store.redis.store import RedisStore
from store.rows import Filter
from store.thread import Thread
from store.values import Person, Place
from tests.fakes.servers import Backend
from tests.matrices import matrix
from tests.store.threads import LONG, SHORT, claimed
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    approved,
    asked,
    chosen,
    done,
    granted,
    message,
    opened,
    requested,
    told,
    trigger,
)

ADA = Person(name="Ada Lovelace", address="ada@example.com", trust="verified", member="ada")
ASKS = Filter(statuses=frozenset({"waiting_for_answer"}))


def in_base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


async def listed(store: Store, wanted: Filter, limit: int = 1_000) -> list[str]:
    """What all pages together show, each thread once."""
    found: dict[str, None] = {}
    async for page in pages(store, wanted, limit):
        found.update(dict.fromkeys(row.id for row in page.rows))
    return list(found)


async def pages(store: Store, wanted: Filter, limit: int) -> AsyncIterator[Page]:
    after = ""
    while True:
        page = await store.page(wanted, limit=limit, after=after)
        assert len(page.rows) <= limit
        yield page
        after = page.after
        if not after:
            return


async def rested(store: Store, thread_id: str, *events: Event, place: str = "desk") -> Thread:
    """A thread with these events that a worker has looked at and let go."""
    await store.post(thread_id, opened(place=Place(channel="terminal", address=place)), *events)
    thread = await store.load(thread_id)
    assert await store.release(await claimed(store, only=thread_id), thread)
    return thread


async def test_one_that_waits_behind_many_newer_ones_is_listed(store: Store) -> None:
    await rested(store, "old", message(), asked("s2"))
    for number in range(60):
        await rested(store, f"new{number}", message(), done("s2"))
    page = await store.page(ASKS, limit=50)
    assert ([row.id for row in page.rows], page.after) == (["old"], "")


async def test_a_list_begins_with_the_thread_that_changed_last(store: Store, backend: Backend) -> None:
    for thread_id in ("t1", "t2", "t3", "t1"):
        await store.append(Thread(thread_id), opened(), message(f"m{len(await listed(store, Filter()))}"))
        await backend.pass_time(SHORT)
    assert await listed(store, Filter()) == ["t1", "t3", "t2"]
    first = await store.page(limit=2)
    assert [row.id for row in first.rows] == ["t1", "t3"]
    second = await store.page(limit=2, after=first.after)
    assert ([row.id for row in second.rows], second.after) == (["t2"], "")


async def test_a_row_says_what_a_list_shows(store: Store) -> None:
    await rested(store, "t1", message(by=ADA), chosen("s2", acts=True, target="prod"), place="ops")
    await store.post("t1", requested("s2", group="sre", quorum=2), approved("s2", BOB, groups=("sre",)))
    (row,) = (await store.page()).rows
    assert (row.id, row.version, row.status, row.turn) == ("t1", 5, "waiting_for_approval", "human")
    assert (row.agent, row.channel, row.address, row.updated_at) == ("deploy", "terminal", "ops", AT)
    assert (row.title, row.groups, row.detailed) == ("push target=prod", ("sre",), True)
    assert row.requester == ("Ada Lovelace", "ada", "ada@example.com")
    assert row.people == ("ada@example.com", BOB.address)


async def test_a_filter_takes_what_its_fields_say(store: Store) -> None:
    await rested(store, "t1", message(by=ADA), done("s2"), place="ops")
    await rested(store, "t2", trigger(), asked("s2"), place="desk")
    await rested(store, "t3", message(by=BOB), chosen("s2", acts=True), requested("s2", group="sre"))
    assert await store.post("t4", opened(agent="rollback"), message(by=EVE))
    await store.post("standing", granted())
    taken: dict[tuple[str, ...], Filter] = {
        ("t1", "t2", "t3", "t4"): Filter(),
        ("t2",): ASKS,
        ("t1", "t4"): Filter(statuses=frozenset({"done", "working"})),
        ("t2", "t3"): Filter(turn="human"),
        ("t4",): Filter(agent="rollback"),
        ("t3",): Filter(groups=frozenset({"sre", "dev"})),
        (): Filter(groups=frozenset({"dev"})),
    }
    for expected, wanted in taken.items():
        assert sorted(await listed(store, wanted)) == list(expected), wanted
    for named in ("ADA", "ada lovelace", "ada@example.com"):
        assert await listed(store, Filter(requester=named)) == ["t1"]
    assert await listed(store, Filter(requester="cron nightly")) == ["t2"]
    assert await listed(store, Filter(person=BOB.address)) == ["t3"]
    assert await listed(store, Filter(channel="terminal", address="op")) == ["t1"]
    assert await listed(store, Filter(channel="slack")) == []
    assert await listed(store, Filter(changed_before=AT)) == []
    assert len(await listed(store, Filter(changed_after=AT, changed_before=AT + timedelta(seconds=1)))) == 4


NO_CURSORS = {
    "half a letter": "x",
    "no JSON": "eA",
    "no base64": "!",
    "too few": "WzEsMl0",
    "no time": "W251bGwsMSwxLCJ4Il0",
    "not a number": "WzAsMCxOYU4sIngiXQ",
    "a truth for a time": in_base64('[0,true,1,"t1"]'),
    "half a surrogate pair": in_base64(r'[0,0,1,"\ud800"]'),
    "nested": in_base64("[" * 600),
    "nested deeply": in_base64("[" * 60_000),
    "endless": in_base64(f'[0,0,1,"{"t" * 2_000}"]'),
}


@pytest.mark.parametrize("text", NO_CURSORS.values(), ids=list(NO_CURSORS))
async def test_what_is_no_cursor_is_refused(store: Store, text: str) -> None:
    with pytest.raises(NotACursor):
        await store.page(after=text)


async def test_a_crowd_is_looked_at_in_the_log(store: Store) -> None:
    crowd = [Person(name=f"P{number}", address=f"p{number}", trust="verified") for number in range(30)]
    await rested(store, "t1", *(message(f"m{number}", by=by) for number, by in enumerate(crowd)))
    (row,) = (await store.page(Filter(person="p29"))).rows
    assert row.crowded, "a row that cannot tell is shown"


async def test_many_threads_are_loaded_and_those_that_are_not_there_are_left_out(store: Store) -> None:
    for number in range(45):
        await store.post(f"t{number}", opened(), message())
    wanted = ["nope", *(f"t{number}" for number in range(45))]
    loaded = [thread async for thread in store.load_each(wanted)]
    assert [thread.id for thread in loaded] == wanted[1:]
    assert loaded[7] == await store.load("t7")


# At random


@dataclass
class Site:
    """A store with people who write and workers that work, stop and die, in an order drawn by chance."""

    store: Store
    chance: random.Random
    names: list[str] = field(default_factory=list)
    held: list[tuple[Lease, Thread]] = field(default_factory=list)
    events: int = 0

    async def step(self) -> None:
        acts: list[Callable[[], Awaitable[object]]] = [self.open, self.post, self.work, self.work, self.claim]
        await self.chance.choice([*acts, self.release, self.release, self.die, self.hand_back])()

    def any_event(self) -> Event:
        self.events += 1
        n, step = self.events, f"s{self.chance.randrange(3, 9)}"
        by = self.chance.choice((ANN, BOB, ADA))
        group = self.chance.choice(("sre", "dev", "anyone"))
        events: list[Event] = [
            message(f"m{n}", by=by),
            asked(f"q{n}"),
            done(f"d{n}"),
            told(f"u{n}"),
            chosen(step, acts=True),
            requested(step, group=group),
            approved(step, by, groups=(group,)),
        ]
        return self.chance.choice(events)

    async def open(self) -> None:
        self.names.append(f"t{len(self.names)}")
        place = Place(channel=self.chance.choice(("slack", "email")), address=self.names[-1])
        first = message(by=self.chance.choice((ANN, BOB)))
        await self.store.post(self.names[-1], opened(self.chance.choice(("deploy", "rollback")), place), first)

    async def post(self) -> None:
        if self.names:
            await self.store.post(self.chance.choice(self.names), self.any_event())

    async def claim(self) -> None:
        for lease in await self.store.claim(3, LONG):
            self.held.append((lease, await self.store.load(lease.thread_id)))

    async def work(self) -> None:
        if self.held:
            lease, thread = self.held.pop(self.chance.randrange(len(self.held)))
            self.held.append((lease, await self.store.append(thread, self.any_event(), lease=lease)))

    async def release(self) -> None:
        if self.held:
            lease, thread = self.held.pop(self.chance.randrange(len(self.held)))
            await self.store.release(lease, thread)  # of a thread that has moved on, it keeps the lease, and dies

    async def hand_back(self) -> None:
        if self.held:
            lease, _ = self.held.pop()
            await self.store.hand_back(lease)

    async def die(self) -> None:
        if self.held:
            self.held.pop(self.chance.randrange(len(self.held)))

    async def expected(self, wanted: Filter) -> set[str]:
        """By a fold of every log, without the index."""
        threads = [await self.store.load(name) for name in self.names]
        return {thread.id for thread in threads if _takes(wanted, thread)}

    def any_filter(self) -> Filter:
        return self.chance.choice(
            [
                Filter(),
                ASKS,
                Filter(statuses=frozenset({"done", "waiting_for_approval"})),
                Filter(turn="human"),
                Filter(groups=frozenset({"sre", "anyone"})),
                Filter(agent="rollback", turn="agent"),
                Filter(requester="bob"),
                Filter(channel="email", turn="human"),
            ]
        )


def _takes(wanted: Filter, thread: Thread) -> bool:
    pending, first = thread.pending, thread.events[1]
    return (
        (not wanted.statuses or thread.status in wanted.statuses)
        and wanted.turn in (None, thread.turn)
        and (wanted.groups is None or (pending is not None and pending.terms.group in wanted.groups))
        and wanted.agent in ("", thread.agent)
        and wanted.channel in ("", thread.place.channel)
        and (
            not wanted.requester
            or (isinstance(first, MessageReceived) and first.sender.name.lower() == wanted.requester)
        )
    )


@matrix("seed", range(40), sample=9)
async def test_a_list_shows_what_a_fold_of_every_log_says(store: Store, seed: int) -> None:
    site = Site(store, random.Random(seed))
    for _ in range(25):
        for _ in range(site.chance.randrange(1, 12)):
            await site.step()
        wanted = site.any_filter()
        found = await listed(store, wanted, site.chance.choice((1, 2, 5, 50)))
        assert set(found) == await site.expected(wanted), wanted
    assert set(await listed(store, Filter())) == set(site.names)


@matrix("seed", range(40), sample=9)
async def test_a_thread_that_matches_throughout_is_on_some_page_though_all_move(store: Store, seed: int) -> None:
    site = Site(store, random.Random(seed))
    for _ in range(120):
        await site.step()
    for _ in range(6):
        wanted = site.any_filter()
        throughout = await site.expected(wanted)
        found: set[str] = set()
        async for page in pages(store, wanted, site.chance.choice((1, 2, 3))):
            found |= {row.id for row in page.rows}
            for _ in range(2):
                await site.step()
            throughout &= await site.expected(wanted)
            if len(found) > 10 * len(site.names):
                break
        assert throughout <= found, wanted


# What the index costs, and what it survives


async def test_a_reading_in_many_small_pieces_finds_the_same(redis_store: RedisStore, redis_url: str) -> None:
    site = Site(redis_store, random.Random(7))
    for _ in range(200):
        await site.step()
    connection = await Connection.open(redis_url)
    small = RedisIndex(connection, redis_store.keys, scan_max=1)
    try:
        for wanted in (Filter(), ASKS, Filter(turn="human"), Filter(groups=frozenset({"dev"}))):
            page = await small.page(wanted, limit=1_000)
            assert {row.id for row in page.rows} == await site.expected(wanted)
    finally:
        await connection.aclose()


async def test_a_store_from_before_there_were_rows_is_listed_and_has_them_from_then_on(
    redis_store: RedisStore, redis_url: str
) -> None:
    site = Site(redis_store, random.Random(3))
    for _ in range(150):
        await site.step()
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        rows = [redis_store.keys.rows(number) for number in range(SHARDS)]
        await client.delete(*rows)
        assert set(await listed(redis_store, Filter(turn="human"), 3)) == await site.expected(Filter(turn="human"))
        kept = sum([await client.hlen(key) for key in rows])
        assert kept == len(site.names)


@pytest.mark.parametrize("line", [b"", b"?", b'[0,3,"done"]', b'[99,3,"done","new in a later version"]'])
async def test_a_row_of_another_version_is_computed_again(redis_store: RedisStore, redis_url: str, line: bytes) -> None:
    await rested(redis_store, "t1", message(), asked("s2"))
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.hset(redis_store.keys.rows(redis_store.keys.shard("t1")), "t1", line)
    assert await listed(redis_store, ASKS) == ["t1"]


async def test_reindexing_computes_every_row_anew(redis_store: RedisStore, redis_url: str) -> None:
    site = Site(redis_store, random.Random(4))
    for _ in range(150):
        await site.step()
    await rested(redis_store, "wrong", message(), asked("s2"))
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        key = redis_store.keys.rows(redis_store.keys.shard("wrong"))
        row = await client.hget(key, "wrong")
        assert isinstance(row, bytes)
        await client.hset(key, "wrong", row.replace(b"waiting_for_answer", b"done"))
    assert "wrong" not in await listed(redis_store, ASKS)
    assert await redis_store.reindex() == len(site.names) + 1
    assert set(await listed(redis_store, ASKS)) == {"wrong", *await site.expected(ASKS)}


async def test_a_thread_that_this_version_cannot_read_is_computed_at_every_reading(redis_store: RedisStore) -> None:
    later = decode(b'{"v":9,"kind":"timer_fired","id":"f","at":"2026-11-20T09:00:00Z"}')
    await rested(redis_store, "t1", message(), asked("s2"), later)
    (row,) = (await redis_store.page()).rows
    assert row.status == "unreadable"
    assert await listed(redis_store, ASKS) == []
    assert await listed(redis_store, Filter(turn="human")) == ["t1"]
