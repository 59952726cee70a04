"""What a worker remembers of the threads that it worked on last. It is bounded, and nothing in it is trusted.

The store compares a remembered thread with its log at each use (`store.codec.mark`), and a context compares what it has
rendered with the events that it is given.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.context.window import Context
from store.thread import Thread

THREADS_MAX = 500
EVENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Remembered:
    thread: Thread
    contexts: dict[str, Context] = field(default_factory=dict)
    """By agent and length: what the model was shown of the thread."""


class Memory:
    """Forgets first what was kept first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Remembered] = OrderedDict()
        self._events = 0

    @property
    def threads(self) -> list[Thread]:
        return [remembered.thread for remembered in self._kept.values()]

    def take(self, thread_id: str) -> Remembered:
        """Forgets it. A thread without events: it was not remembered."""
        remembered = self._kept.pop(thread_id, Remembered(Thread(thread_id)))
        self._events -= remembered.thread.version
        return remembered

    def keep(self, remembered: Remembered) -> None:
        self.take(remembered.thread.id)
        if remembered.thread.version > EVENTS_MAX // 2:
            return  # It would push out many others.
        self._kept[remembered.thread.id] = remembered
        self._events += remembered.thread.version
        while len(self._kept) > THREADS_MAX or self._events > EVENTS_MAX:
            self.take(next(iter(self._kept)))
