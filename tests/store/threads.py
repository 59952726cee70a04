"""Threads as the tests of a store need them: begun, held, and at rest."""

from __future__ import annotations

from store.base import Lease, Store
from store.pages import PAGE_MAX
from store.thread import Thread
from tests.telling.story import message, opened

T1 = Thread("t1")
LONG = 3600.0
SHORT = 0.02
"""For what happens at once; a test that needs it has failed."""


def ids(of: Thread) -> list[str]:
    return [event.id for event in of.events]


async def thread_ids(store: Store) -> list[str]:
    """Of all conversations, the most recently changed first."""
    page = await store.page(limit=PAGE_MAX)
    assert not page.after
    return [row.id for row in page.rows]


async def begun(store: Store, thread_id: str = "t1") -> Thread:
    return await store.append(Thread(thread_id), opened(), message())


async def claimed(store: Store, lease_seconds: float = LONG, only: str = "") -> Lease:
    [lease] = await store.claim(1, lease_seconds, only)
    return lease


async def at_rest(store: Store, thread_id: str = "t1") -> Thread:
    """A thread that nobody holds and that is not due."""
    thread = await begun(store, thread_id)
    assert await store.release(await claimed(store, only=thread_id), thread)
    return thread
