"""Which ids a caller of `append` knows from the events that it has read.

The ids of what an agent's turn does are not kept in Redis beside the log. The caller has read the log up to some event,
so they are looked up in what it has read; the script looks at the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from store.events import Event, UnknownEvent
from store.keys import is_of_a_turn
from store.thread import Thread

THREADS_MAX = 200


_is_of_a_turn = lru_cache(maxsize=4_096)(is_of_a_turn)
"""Most threads have the same ids of a turn, and each append asks several times."""


def is_in_the_log_alone(event: Event) -> bool:
    """Only who has read the thread writes such an event, so its id need not be kept beside the log."""
    return not isinstance(event, UnknownEvent) and _is_of_a_turn(event.id)


@dataclass(slots=True)
class _Ids:
    count: int = 0
    """Of so many events, from the first."""
    last: Event | None = None
    """The last of them."""
    found: set[str] = field(default_factory=set)


class KnownIds:
    """The ids of the threads that were appended to last, so that an append does not read all events again."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, _Ids] = OrderedDict()

    def without_known(self, events: Sequence[Event], thread: Thread) -> list[Event]:
        """Without those that stand in the log alone, and that the thread holds."""
        if not any(is_in_the_log_alone(event) for event in events):
            return list(events)
        known = self._ids(thread)
        return [event for event in events if event.id not in known or not is_in_the_log_alone(event)]

    def _ids(self, thread: Thread) -> set[str]:
        ids = self._of.pop(thread.id, _Ids())
        # An event is decoded once, so a thread that holds the same object there grew out of the same events.
        if ids.count > thread.version or (ids.count and thread.events[ids.count - 1] is not ids.last):
            ids = _Ids()
        ids.found.update(event.id for event in thread.events[ids.count :])
        ids.count, ids.last = thread.version, thread.events[-1] if thread.exists else None
        self._of[thread.id] = ids
        if len(self._of) > THREADS_MAX:
            self._of.popitem(last=False)
        return ids.found
