"""Small texts that tools keep in the store beside the threads, shared by all workers on all machines.

A note changes by compare-and-set, so of several workers that change one at once, one succeeds. The names of tools have
a prefix of their own: no tool reads or changes the notes of the program.

By what they keep there, threads know of each other. One may tell another something, which that one reads like any
trigger: what it does then, its own agent says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from agent.steps import ToolError
from store import awaited, keys
from store.base import Store, StoreUnavailable, ThreadMoved, UnknownThread
from store.events import TimerFired, TriggerReceived
from store.keys import OutsideId

PREFIX = "tool/"
ANOTHER_THREAD = "another thread"
"""The source of a trigger by which one thread tells another something. No hook can have this name."""


class NotesUnavailable(ToolError):
    """The store cannot be reached, or does not confirm. Whether a change was stored is not known."""


class Notes(Protocol):
    async def read(self, name: str) -> str:
        """Empty: not set. Raises NotesUnavailable."""
        ...

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        """Set it if it is `expected` (empty: not set). Durable when it returns. Raises NotesUnavailable."""
        ...

    async def tell(self, thread_id: str, name: str, data: Mapping[str, JsonValue], *, key: str) -> bool:
        """Append a trigger of `ANOTHER_THREAD` to that thread. Durable when it returns; the same key is told once.

        False: there is no such thread. Raises NotesUnavailable.
        """
        ...

    async def wake(self, thread_id: str, by: str) -> None:
        """A tool that waits there looks at once, as if its time had come. Raises NotesUnavailable."""
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

    async def tell(self, thread_id: str, name: str, data: Mapping[str, JsonValue], *, key: str) -> bool:
        event_id = str(OutsideId(ANOTHER_THREAD, key))
        trigger = TriggerReceived(id=event_id, at=self._clock(), source=ANOTHER_THREAD, name=name, data=dict(data))
        try:
            new = await self._store.post(thread_id, trigger, opens=False)
        except StoreUnavailable as error:
            raise NotesUnavailable(str(error)) from error
        from agent.reporting import report_posted  # not at the top: whoever only shows a thread logs nothing

        report_posted([trigger], thread_id, new)
        return new is not None

    async def wake(self, thread_id: str, by: str) -> None:
        while True:
            try:
                thread = await self._store.load(thread_id)
                _, late = awaited.looks_of(thread)
                if late:
                    at = self._clock()
                    events = [TimerFired(id=keys.fired(str(key)), at=at, timer=str(key), by=by) for key in late]
                    from agent.reporting import report

                    report(events, await self._store.append(thread, *events, if_unmoved=True), thread.version)
                return
            except ThreadMoved:
                continue
            except UnknownThread:
                return
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

    async def tell(self, thread_id: str, name: str, data: Mapping[str, JsonValue], *, key: str) -> bool:
        raise NotesUnavailable(f"No store was given, so {thread_id} cannot be told of {name}.")

    async def wake(self, thread_id: str, by: str) -> None:
        raise NotesUnavailable(f"No store was given, so {thread_id} cannot be woken by {by}.")

    def now(self) -> datetime:
        raise NotesUnavailable("No store was given, so its time is not known.")


def bound(resources: Mapping[type, object], notes: Notes) -> dict[type, object]:
    """The resources as tools get them."""
    return {kind: one.with_notes(notes) if isinstance(one, KeepsNotes) else one for kind, one in resources.items()}
