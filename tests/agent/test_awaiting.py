"""Who waits for news from outside, by the keys that a hook finds them by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from agent.awaiting import await_news, no_longer, who_awaits
from agent.notes import PREFIX, StoredNotes
from store import awaited
from store.base import Store

RUN = awaited.workflow_run("Acme/Payments", 4711)


def notes_of(store: Store) -> StoredNotes:
    return StoredNotes(store, lambda: datetime.now(UTC))


def test_the_same_thing_has_the_same_key_however_it_is_spelt() -> None:
    assert awaited.workflow_run("acme/payments", "4711") == RUN == "github/acme/payments/run/4711"
    different = {
        RUN,
        awaited.commit("acme/payments", "4711"),
        awaited.pull_request("acme/payments", 4711),
        awaited.github_deployment("acme/payments", 4711),
        awaited.vercel_deployment("dpl_4711"),
    }
    assert len(different) == 5


async def test_each_thread_that_waits_is_known_until_it_waits_no_more(store: Store) -> None:
    notes = notes_of(store)
    await await_news(notes, RUN, "t1")
    await await_news(notes, RUN, "t2")
    await await_news(notes, RUN, "t1")
    assert sorted(await who_awaits(notes, RUN)) == ["t1", "t2"]
    await no_longer(notes, RUN, "t1")
    await no_longer(notes, RUN, "t9")
    assert await who_awaits(notes, RUN) == ("t2",)
    await no_longer(notes, RUN, "t2")
    assert await who_awaits(notes, RUN) == ()
    assert await store.get_note(PREFIX + awaited.PREFIX + RUN) == ""


async def test_many_who_begin_to_wait_at_once_are_all_known(store: Store) -> None:
    notes = notes_of(store)
    await asyncio.gather(*(await_news(notes, RUN, f"t{number}") for number in range(8)))
    assert len(await who_awaits(notes, RUN)) == 8
    for number in range(8, 30):
        await await_news(notes, RUN, f"t{number}")
    assert (await who_awaits(notes, RUN))[-1] == "t29"
    assert len(await who_awaits(notes, RUN)) == awaited.THREADS_MAX
