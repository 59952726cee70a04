"""What a store promises; `store.redis` and `store.memory` keep it, and one contract suite runs over both.

A store keeps logs and one index: which threads may have something to do, and from when on. The index carries no
meaning of its own. A wake-up that comes twice or for nothing does no harm, because what is to be done is computed from
the log, and a log moves only through `append`, which knows whether the thread moved and who holds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from store.events import Event
from store.thread import Thread


class StoreUnavailable(Exception):
    """The store cannot be reached, or refuses. One line: what, where, and what to do."""


class UnknownThread(LookupError):
    """No event was ever appended under this id."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread {thread_id!r}. `bot threads` lists the newest.")


class ThreadMoved(Exception):
    """Somebody appended since the thread was loaded, so the conditional append did nothing."""

    def __init__(self, thread: Thread) -> None:
        super().__init__(f"thread {thread.id} moved on to {thread.version} events")
        self.thread = thread
        """The thread as it is now."""


class LeaseLost(Exception):
    """Another worker holds the thread now. Whoever gets this stops acting on it."""


class ThreadDiverged(Exception):
    """The store holds fewer events than we have seen: it lost some (a failover, a restored backup)."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"The store lost events of thread {thread_id} that were seen before. `bot show` what is left.")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act on a thread for a while. `token` grows with every claim, and is checked by `append`."""

    thread_id: str
    token: int
    tries: int
    """How often the thread was claimed since it was last released in order; more than 1: a worker died on it."""


class Store(Protocol):
    async def append(
        self, thread: Thread, *events: Event, if_unmoved: bool = False, lease: Lease | None = None
    ) -> Thread:
        """The thread with these events, and with what others appended meanwhile; durable when it returns.

        An event whose id is known changes nothing, and the first event of a log is what opens the thread. All in one
        round trip: fence, deduplication, append and wake-up. Without a lease the thread is woken.

        Raises ThreadMoved when `if_unmoved` and the thread moved, LeaseLost when the lease is no longer ours, and
        EventTooLarge before anything is written.
        """

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> bool:
        """Append to a thread that was not read, opening it where it is new, and wake it. Durable when it returns.

        What it costs does not depend on the thread's length. With `opens` False and no such thread, nothing happens
        and it gives False. Otherwise as `append`.
        """

    async def exists(self, thread_id: str) -> bool: ...

    async def load(self, thread_id: str) -> Thread:
        """Raises UnknownThread."""

    async def refresh(self, thread: Thread) -> Thread:
        """The same thread with what was appended since. Raises ThreadDiverged."""

    async def recent(self, limit: int = 50) -> list[str]:
        """Ids of threads, the one that moved last first."""

    def follow(self, thread: Thread) -> AsyncIterator[Thread]:
        """The thread each time it has moved beyond what was given, without end."""

    async def claim(self, limit: int, lease_seconds: float, only: str = "") -> list[Lease]:
        """Up to `limit` threads that are due and that nobody holds; `only` that thread where named."""

    async def renew(self, lease: Lease, lease_seconds: float) -> bool:
        """False: it is no longer ours."""

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        """Let the thread go until it moves, or that long.

        False, and the lease is kept: it moved beyond `seen`, so look again. A lease that is no longer ours is let go
        silently.
        """

    async def hand_back(self, lease: Lease) -> None:
        """Let the thread go and wake it at once, for another worker."""

    async def due_in_seconds(self) -> float | None:
        """How long until the next thread is due, held ones included; None where none is."""

    async def work_arrived(self, timeout_seconds: float) -> None:
        """Returns when a thread was woken, or after the timeout. It may return for nothing."""

    async def wake(self, thread_id: str) -> None:
        """Make the thread due now, if nobody holds it."""

    async def recall(self, name: str) -> str:
        """What a channel has noted under this name (how far it has read, say); empty: nothing."""

    async def note(self, name: str, text: str, *, instead_of: str) -> bool:
        """Note it, if what stands there is what `instead_of` says (empty: nothing). False: it is not, and stays."""

    async def tally(self, name: str, member: str, window_seconds: float) -> int:
        """How many different members were counted under this name within the window, this one included.

        The same member again counts once, so it may be counted by any number of processes.
        """

    async def aclose(self) -> None: ...
