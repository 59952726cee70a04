"""Texts that are kept for a while, in every store: bounded by number and age, the newest first."""

from __future__ import annotations

import asyncio

from store.base import Store
from store.shelves import Keep, Kept
from tests.fakes.servers import Server, opened_store
from tests.patience import eventually

LONG = Keep(600, 100)


async def test_what_is_kept_is_found_by_its_name_and_the_newest_comes_first(store: Store) -> None:
    for number in range(3):
        assert await store.shelve("hooks/a", f"d{number}", f"text {number} ✓", expected="", keep=LONG)
    assert await store.shelve("hooks/b", "d0", "of another", expected="", keep=LONG)
    assert await store.shelved("hooks/a", "d1") == "text 1 ✓"
    assert await store.shelved("hooks/a", "d9") == ""
    newest = await store.newest("hooks/a", 2)
    assert set(newest) <= {Kept(f"d{number}", f"text {number} ✓") for number in range(3)}
    assert len(newest) == 2
    assert await store.newest("hooks/b", 9) == [Kept("d0", "of another")]
    assert await store.newest("hooks/c", 9) == []


async def test_of_two_who_keep_something_under_one_name_one_does(store: Store) -> None:
    kept = await asyncio.gather(
        *(store.shelve("hooks/a", "d1", text, expected="", keep=LONG) for text in ("mine", "theirs"))
    )
    assert sorted(kept) == [False, True]
    first = await store.shelved("hooks/a", "d1")
    assert await store.shelve("hooks/a", "d1", first, expected="", keep=LONG)  # Its first reply may have been lost.
    assert await store.shelve("hooks/a", "d1", "after", expected=first, keep=LONG)
    assert not await store.shelve("hooks/a", "d1", "late", expected=first, keep=LONG)
    assert await store.newest("hooks/a", 9) == [Kept("d1", "after")]


async def test_of_too_many_the_oldest_go(store: Store) -> None:
    for number in range(6):
        await store.shelve("hooks/a", f"d{number}", str(number), expected="", keep=Keep(600, 3))
        await asyncio.sleep(0.002)  # Redis orders them by its milliseconds.
    assert [kept.text for kept in await store.newest("hooks/a", 9)] == ["5", "4", "3"]
    assert await store.shelved("hooks/a", "d0") == ""


async def test_what_is_old_goes_by_itself_and_leaves_no_key(server: Server) -> None:
    async with opened_store(server.url, "bot") as redis:
        await redis.shelve("hooks/a", "d1", "old", expected="", keep=Keep(0.05, 3))
        await eventually(lambda: not server.command("KEYS", "bot:*shelf*"), "the end of what was kept")
        assert await redis.newest("hooks/a", 9) == []
