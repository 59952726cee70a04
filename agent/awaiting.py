"""Lets a tool say which thread waits for news of what it has started outside (`store.awaited` has the keys).

A hook that hears of it wakes the thread, and the tool that waits there looks at once instead of at its next time. What
is not said here is found anyway, when that time comes. Many threads may wait for the same.
"""

from __future__ import annotations

from agent.notes import Notes
from store import awaited


async def await_news(notes: Notes, key: str, thread_id: str) -> None:
    """Durable when it returns. Saying it again changes nothing. Raises NotesUnavailable."""
    await _change(notes, key, thread_id, there=True)


async def no_longer(notes: Notes, key: str, thread_id: str) -> None:
    """The thread waits for it no more. Raises NotesUnavailable."""
    await _change(notes, key, thread_id, there=False)


async def who_awaits(notes: Notes, key: str) -> tuple[str, ...]:
    """The threads that wait for it. Raises NotesUnavailable."""
    return awaited.waiting(await notes.read(awaited.PREFIX + key))


async def _change(notes: Notes, key: str, thread_id: str, *, there: bool) -> None:
    name = awaited.PREFIX + key
    while True:  # Of several that change it at once, one succeeds each time.
        text = await notes.read(name)
        new = awaited.with_thread(text, thread_id) if there else awaited.without_thread(text, thread_id)
        if text == new or await notes.change(name, new, expected=text):
            return
