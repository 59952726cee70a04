"""Our own secrets in notes of the store: nobody reads them without a key, and a change of keys loses none."""

from __future__ import annotations

from collections.abc import Sequence

from store.memory import MemoryStore
from store.sealed import SealedNote, SecretKeys, kept_secret

NAME = "some/secret"


def keys(*ours: str) -> SecretKeys:
    async def these() -> Sequence[str]:
        return ours

    return these


def note(store: MemoryStore, *ours: str, purpose: str = "test") -> SealedNote:
    return SealedNote(store, NAME, keys(*ours or ("k" * 16,)), purpose=purpose)


async def test_what_is_sealed_is_read_by_the_same_key_and_nowhere_in_the_store() -> None:
    store = MemoryStore()
    assert await note(store).read() == ""
    assert await note(store).replace("a refresh token")
    assert await note(store).read() == "a refresh token"
    assert "refresh" not in await store.get_note(NAME)


async def test_another_key_or_another_purpose_reads_nothing_and_may_replace_it() -> None:
    store = MemoryStore()
    await note(store).replace("a refresh token")
    assert await note(store, "another").read() == ""
    other = note(store, purpose="something else")
    assert await other.read() == ""
    assert await other.replace("anew")
    assert await note(store).read() == ""


async def test_after_a_change_of_keys_the_key_before_still_reads() -> None:
    store = MemoryStore()
    await note(store, "first").replace("a refresh token")
    changed = note(store, "second", "first")
    assert await changed.read() == "a refresh token"
    assert await changed.replace("the next")
    assert await note(store, "second").read() == "the next"


async def test_of_two_that_have_read_the_same_one_replaces() -> None:
    store = MemoryStore()
    await note(store).replace("first")
    one, other = note(store), note(store)
    assert await one.read() == await other.read() == "first"
    assert await one.replace("by one")
    assert not await other.replace("by the other")
    assert await other.read() == "by one"
    assert await other.replace("by the other")


async def test_the_store_keeps_one_secret_for_all_processes() -> None:
    store = MemoryStore()
    assert await kept_secret(store) == await kept_secret(store)
    assert len(await kept_secret(store)) == 64
