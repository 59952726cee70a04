"""Tries the store for real: every operation, with the real scripts, on every shard, for `bot doctor`.

It works under a prefix of its own, so no worker hears of it, and deletes each key that it may have written. The prefix
begins like that of the real keys, so the same access rules apply, and has the same shards, so the same cluster slots
are tried.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime

from store.base import LeaseLost, StoreUnavailable
from store.events import MessageReceived, ThreadOpened
from store.keys import OPENED
from store.redis.connection import Confirmation, Connection
from store.redis.keys import SHARDS, Keys
from store.redis.store import RedisStore
from store.shelves import Keep, Kept
from store.thread import Thread
from store.values import Person, Place

LEASE_SECONDS = 30.0
NAME = "probe"


class ProbeFailed(Exception):
    """The server answered, but not as the store needs it. The message is one line."""


async def probe(
    url: str, *, prefix: str = "bot", confirms: Confirmation = "", why_away: Callable[[], str] | None = None
) -> None:
    """Raises StoreUnavailable or ProbeFailed at the first operation that does not work.

    `confirms`: what a write waits for before something acts on it.
    """
    redis = await Connection.open(url, why_away=why_away)
    store = RedisStore(redis, f"{prefix}:doctor-{uuid.uuid4().hex[:12]}", confirms)
    thread_ids = _one_per_shard(store.keys).values()
    try:
        # The small one first: a server whose disk is full may take one write, and then lets nobody delete it.
        await _try_notes(store)
        for thread_id in thread_ids:
            await _try_thread(store, thread_id)
        await _try_lists(store)
        await _try_shelf(store)
    finally:
        await _delete(redis, store.keys, thread_ids)
        await store.aclose()


def _one_per_shard(keys: Keys) -> dict[int, str]:
    """A thread id for each shard."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS:
        found.setdefault(keys.shard(f"doctor-{number}"), f"doctor-{number}")
        number += 1
    return dict(sorted(found.items()))


async def _try_thread(store: RedisStore, thread_id: str) -> None:
    """What a worker does with a thread, from its opening to the release of the lease."""
    now = datetime.now(UTC)
    async with _trying(store, thread_id):
        opened = ThreadOpened(id=OPENED, at=now, agent="doctor", place=Place(channel="terminal", address=thread_id))
        thread = await store.append(Thread(thread_id), opened)
        _need((await store.load(thread_id)).events == thread.events, "what was appended is not read back")
        await store.wake(thread_id)
        leases = await store.claim(1, LEASE_SECONDS, thread_id)
        _need(len(leases) == 1, "an appended event does not make its thread due")
        [lease] = leases
        _need(await store.renew(lease), "a lease cannot be renewed")
        words = MessageReceived(id="m1", at=now, sender=Person(name="doctor", trust="verified"), text="probe")
        thread = await store.append(thread, words, if_unmoved=True, lease=lease, confirm=True)
        _need(await store.release(lease, thread), "a lease cannot be released")
        with contextlib.suppress(LeaseLost):
            await store.append(thread, words, lease=lease)
            _need(False, "a released lease still counts")


async def _try_lists(store: RedisStore) -> None:
    async with _trying(store, "lists"):
        page = await store.page(limit=SHARDS + 1)
        _need(len(page.rows) == SHARDS, "a list lacks threads")


async def _try_notes(store: RedisStore) -> None:
    async with _trying(store, "notes"):
        _need(await store.set_note(NAME, "1", expected=""), "a note cannot be set")
        _need(not await store.set_note(NAME, "2", expected=""), "a note is overwritten")
        _need(await store.get_note(NAME) == "1", "a note is not read back")
        _need(await store.count_distinct(NAME, "1", LEASE_SECONDS) == 1, "nothing can be counted")


async def _try_shelf(store: RedisStore) -> None:
    async with _trying(store, "shelves"):
        kept = await store.shelve(NAME, NAME, "1", expected="", keep=Keep(LEASE_SECONDS, 1))
        _need(kept, "a text cannot be kept")
        _need(await store.newest(NAME, 1) == [Kept(NAME, "1")], "a kept text is not read back")


@contextlib.asynccontextmanager
async def _trying(store: RedisStore, what: str) -> AsyncIterator[None]:
    """Says of a failure where it was. `what`: "notes", "lists", "shelves", or a thread's id."""
    where = what if what in ("notes", "lists", "shelves") else f"shard {store.keys.shard(what)}"
    try:
        yield
    except StoreUnavailable as error:
        raise type(error)(f"{where}: {error}") from error
    except ProbeFailed as error:
        raise ProbeFailed(f"{where}: {error}") from error


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProbeFailed(f"{otherwise}. Is this a Redis or Valkey server, and does nothing stand between?")


async def _delete(redis: Connection, keys: Keys, thread_ids: Iterable[str]) -> None:
    # One by one: on a cluster they belong to different slots, and a node deletes only its own.
    shared = (keys.notes, keys.counted(NAME), keys.shelf(NAME), keys.shelved(NAME, NAME))
    for key in (*shared, *(key for name in thread_ids for key in keys.all_of(name))):
        with contextlib.suppress(StoreUnavailable):
            async with redis.errors():
                await redis.client.delete(key)
