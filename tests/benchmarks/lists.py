"""What a list costs in a store of many threads: a page, all of them, and the one that waits behind all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from store import keys
from store.base import Store
from store.events import ApprovalRequested, Event, MessageReceived, StepChosen, ThreadOpened
from store.rows import Filter
from store.values import Person, Place
from tests.benchmarks.figures import Figure, median_ms
from tests.benchmarks.steps import Site

AT_ONCE = 200
EVERYTHING = Filter()
WAITING = Filter(turn="human", groups=frozenset({"sre"}))


async def lists(site: Site, threads: int, rounds: int) -> list[Figure]:
    """A store of so many threads, of which the oldest waits for a decision."""
    async with site.bot() as bot:
        store = bot.store
        await store.post("t-oldest", *_events(0, waits=True))
        for first in range(1, threads, AT_ONCE):
            some = range(first, min(first + AT_ONCE, threads))
            await asyncio.gather(*(store.post(f"t-{number:08}", *_events(number)) for number in some))
        began = time.monotonic()
        assert await store.reindex() == threads
        built = time.monotonic() - began
        newest = await _median(rounds, lambda: _listed(store, EVERYTHING, 50, pages=1))
        oldest = await _median(rounds, lambda: _listed(store, WAITING, 50))
        whole = await _median(rounds, lambda: _listed(store, EVERYTHING, 1_000))
    of = f"of {threads:,} threads"
    return [
        Figure(f"list: the newest 50 {of}", newest, "ms"),
        Figure("  the one that waits behind all others", oldest, "ms", at_most=100, note="read in small pieces"),
        Figure("  all of them", whole, "ms", at_most=1_000),
        Figure("  to build the index anew, each thread", built / threads * 1000, "ms", note="reads the log"),
    ]


async def _listed(store: Store, wanted: Filter, limit: int, pages: int = 1_000) -> int:
    found, after = 0, ""
    for _ in range(pages):
        page = await store.page(wanted, limit=limit, after=after)
        found, after = found + len(page.rows), page.after
        if not after:
            break
    return found


async def _median(rounds: int, work: Callable[[], Awaitable[int]]) -> float:
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        assert await work() > 0
        took.append(time.monotonic() - began)
    return median_ms(took)


def _events(number: int, *, waits: bool = False) -> list[Event]:
    at = datetime.now(UTC)
    ann = Person(name="Ann Kowalski", address="U024BE7LH", trust="verified", member="ann")
    step = keys.step_at(2)
    arguments = {"component": "backend", "environment": "production", "revision": f"v1.4.{number}"}
    chosen: dict[str, object] = {"intent": "deploy", "arguments": arguments, "acts": True}
    if not waits:
        chosen = {"intent": "done_for_now", "arguments": {"message": f"v1.4.{number} is out."}}
    return [
        ThreadOpened(
            id=keys.OPENED, at=at, agent="deploy", place=Place(channel="slack", address=f"T1/C1/{number}.000100")
        ),
        MessageReceived(id=f"m{number}", at=at, sender=ann, text=f"Please deploy v1.4.{number} to production."),
        StepChosen.model_validate({"id": keys.chosen(step), "at": at, "step": step, **chosen}),
        *(
            [ApprovalRequested(id=keys.requested(step), at=at, step=step, digest="d", policy={"group": "sre"})]
            if waits
            else []
        ),
    ]
