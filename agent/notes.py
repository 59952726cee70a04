"""Small texts that tools keep in the store beside the threads, shared by all workers on all machines.

A note changes by compare-and-set, so of several workers that change one at once, one succeeds. The names of tools have
a prefix of their own: no tool reads or changes the notes of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from agent.steps import ToolError
from store.base import Store, StoreUnavailable

PREFIX = "tool/"


class NotesUnavailable(ToolError):
    """The store cannot be reached, or does not confirm. Whether a change was stored is not known."""


class Notes(Protocol):
    async def read(self, name: str) -> str:
        """Empty: not set. Raises NotesUnavailable."""
        ...

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        """Set it if it is `expected` (empty: not set). Durable when it returns. Raises NotesUnavailable."""
        ...

    def now(self) -> datetime:
        """The time of the store: the same clock for all workers."""
        ...


@runtime_checkable
class KeepsNotes(Protocol):
    """A resource that keeps notes: a tool gets what `with_notes` returns."""

    def with_notes(self, notes: Notes) -> object: ...


class StoredNotes:
    """The `Notes` of a store."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def read(self, name: str) -> str:
        try:
            return await self._store.get_note(PREFIX + name)
        except StoreUnavailable as error:
            raise NotesUnavailable(str(error)) from error

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        try:
            return await self._store.set_note(PREFIX + name, text, expected=expected)
        except StoreUnavailable as error:
            raise NotesUnavailable(str(error)) from error

    def now(self) -> datetime:
        return self._clock()


class NoNotes:
    """For a resource that no worker has been given yet: it can be checked, and keeps nothing."""

    async def read(self, name: str) -> str:
        raise NotesUnavailable(f"No store was given, so {name!r} cannot be read.")

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        raise NotesUnavailable(f"No store was given, so {name!r} cannot be changed.")

    def now(self) -> datetime:
        raise NotesUnavailable("No store was given, so its time is not known.")


def bound(resources: Mapping[type, object], notes: Notes) -> dict[type, object]:
    """The resources as tools get them."""
    return {kind: one.with_notes(notes) if isinstance(one, KeepsNotes) else one for kind, one in resources.items()}
