"""The `Store` protocol. `store.redis` and `store.memory` implement it; one contract suite tests both.

A store keeps logs, and an index of the threads that are due for a look. The index is only a hint: a spurious or
repeated wake-up does no harm, because the work to do is computed from the log. A log grows only by `append` and `post`,
which check whether the thread has moved and who holds its lease.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from store.failures import Explained
from store.rows import EVERY_THREAD, Filter
from store.shelves import Shelves

if TYPE_CHECKING:
    # For the signatures alone: whoever reads a list, or catches an error of the store, needs no event.
    from store.events import Event
    from store.pages import Page
    from store.tail import Tail
    from store.thread import Thread


class StoreUnavailable(Explained):
    """The store cannot be reached, or refuses. The message is one line: what, where, and what to do."""


class StoreAway(StoreUnavailable):
    """Nobody answers, or the server is still loading its data: it may be enough to wait."""


class UnknownThread(Explained, LookupError):
    """There is no thread with this id."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread {thread_id!r}. `bot threads` lists the newest.")


class ThreadMoved(Exception):
    """The thread has new events, so the conditional append did nothing."""

    def __init__(self, thread: Thread) -> None:
        super().__init__(f"thread {thread.id} moved on to {thread.version} events")
        self.thread = thread
        """The thread as it is now."""


class LeaseLost(Exception):
    """Another worker holds the thread now. The caller must stop acting on it."""


class ThreadDiverged(Explained):
    """The log is not the one that was read before: the store lost events (a failover, a restored backup).

    `store.recovery` writes back what the reader remembers.
    """

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"The store lost events of thread {thread_id}. `bot show` prints what is left.")


class NotReplicated(StoreUnavailable):
    """What was appended is on the primary only, although `confirm` asked for more. It may be lost in a failover."""


def boot_seconds() -> float:
    """Seconds on a clock that goes on while the machine sleeps. A paused virtual machine may stop it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Lease:
    """The exclusive right to act on a thread for a limited time. `append` checks `token`, a fencing token.

    The store judges appends. Nothing judges what happens outside, so look at `is_good` before each act.
    """

    thread_id: str
    token: str
    """Unique: the store may lose a lease with its last events, and must not give its token to another."""
    claims: int
    """Claims since the last orderly release. More than 1: a worker died while it held the thread."""
    seconds: float
    good_until: float
    """By `clock`: counted from the moment before the claim or the renewal was sent."""
    clock: Callable[[], float] = field(default=boot_seconds, repr=False, compare=False)
    tail: Tail | None = field(default=None, repr=False, compare=False)
    """The end of the log at the claim, for the first look at it; None: it was not read, or it was looked at."""

    @property
    def is_good(self) -> bool:
        """Whether nobody else can hold the thread now, as far as this process knows."""
        return self.clock() < self.good_until

    def lose(self) -> None:
        """Somebody else holds the thread, or it was let go."""
        self.good_until = float("-inf")

    def become(self, claimed: Lease) -> None:
        """The same holder has claimed the thread again."""
        self.token, self.claims, self.good_until = claimed.token, claimed.claims, claimed.good_until


@dataclass(frozen=True, slots=True)
class Server:
    """The server that answers. Another `id` than before: a failover, a restart or a restored backup."""

    id: str
    since: float
    """When it was started, by `boot_seconds` of this machine."""
    promoted: bool = False
    """It was a replica, and took over."""

    @property
    def age_seconds(self) -> float:
        return boot_seconds() - self.since


class Lists(Protocol):
    """What a list needs of a store."""

    async def page(self, wanted: Filter = EVERY_THREAD, *, limit: int = 50, after: str = "") -> Page:
        """The threads that `wanted` takes, the most recently changed first, from the cursor of an earlier page on.

        A thread that `wanted` takes throughout is on some page; one that changes while they are read may be on two.
        It loads no log but those whose index row is not true. Raises NotACursor.
        """

    def load_each(self, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
        """Load many threads, a few at a time. Those that do not exist are left out."""


class NoteStore(Protocol):
    """The part of a store that keeps small values. Every method raises StoreUnavailable."""

    async def get_note(self, name: str) -> str:
        """A small value kept beside the threads (how far a mailbox was read, say); empty: not set."""

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        """Compare and set: store `text` if the value is `expected` (empty: not set), or `text` already. False: neither.
        An empty `text` takes the note away.

        Confirmed like a post. Raises NotReplicated when it is stored but not confirmed.
        """


class Store(Lists, NoteStore, Shelves, Protocol):
    @property
    def server(self) -> Server:
        """The server that answered last. It changes when a new connection finds another."""

    async def append(
        self,
        thread: Thread,
        *events: Event,
        if_unmoved: bool = False,
        lease: Lease | None = None,
        confirm: bool = False,
    ) -> Thread:
        """Append, and return the thread with these events and any that others appended. Durable when it returns.

        An event whose id is known changes nothing; the first event opens the thread. Fencing, deduplication, append
        and wake-up are one atomic round trip. An append without a lease wakes the thread. `confirm`: wait for what
        DURABLE_BEFORE_ACTING asks for.

        Raises ThreadDiverged if the log is not the one that was read, LeaseLost if the lease is no longer ours,
        ThreadMoved if `if_unmoved` and the thread has moved, EventTooLarge before anything is written, and
        NotReplicated when everything is written but not confirmed.
        """

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        """Append without reading the thread, opening it if it is new, and wake it. Durable when it returns.

        Returns the ids of the events that were new. The cost does not depend on the thread's length. With `opens=False`
        and no such thread, it does nothing and returns None. Otherwise like `append`.
        """

    async def exists(self, thread_id: str) -> bool: ...

    async def load(self, thread_id: str) -> Thread:
        """Raises UnknownThread."""

    async def refresh(self, thread: Thread) -> Thread:
        """The thread with the events appended since. Raises ThreadDiverged."""

    async def reindex(self) -> int:
        """Compute the index anew from the logs, beside running workers. Returns the number of threads."""

    def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        """Yields the thread each time it has new events, without end."""

    async def claim(
        self,
        limit: int,
        lease_seconds: float,
        only: str = "",
        *,
        skip: Collection[str] = (),
        expired: bool = True,
    ) -> list[Lease]:
        """Leases on up to `limit` threads that are due and not held; only on thread `only` if given.

        `skip`: threads to leave alone. `expired=False`: leave alone what another worker held when its lease expired.
        """

    async def renew(self, lease: Lease) -> bool:
        """Extend the lease by its full length, also after it expired. False: it is no longer ours."""

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        """Give the lease up until the thread has new events, or until `wake_in_seconds` have passed.

        False: the thread has events beyond `seen`, or lost some, so look again; the lease is kept. Releasing a lost
        lease does nothing else and returns True.
        """

    async def hand_back(self, lease: Lease) -> None:
        """Give the lease up and make the thread due at once, for another worker."""

    async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
        """Seconds until the next thread that is not in `skip` is due, held ones included; None: none is."""

    async def work_arrived(self, timeout_seconds: float) -> None:
        """Wait until a thread is woken, or for the timeout. Spurious returns are possible."""

    async def wake(self, thread_id: str) -> None:
        """Make the thread due now, unless it is held."""

    async def count_distinct(self, name: str, member: str, window_seconds: float) -> int:
        """Count `member` under this name, and return how many different members the window holds.

        A member counts once, so several processes may count the same one.
        """

    async def aclose(self) -> None: ...
