"""The worker: claims due threads, and holds as many at once as it may (`bot.hold`).

Any number of worker processes may run. One worker at a time holds a thread, by a lease that it renews; when it dies,
its leases expire and other workers take over. An idle thread costs a worker nothing.

After the store was away, it first renews what it holds, and for the length of a lease claims nothing that another
worker held, which may do the same. It never claims what it holds itself. It remembers the threads that it worked on
last: when another server answers, the log of each is compared with what is remembered (`store.recovery`), and it takes
again what it holds, whose leases may be lost.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from agent.loop import Loop
from agent.perform.turn import LeftAlone
from agent.reporting import report
from bot.hold import RETURN_LEASES, STORE_RETRY_SECONDS, Hold
from bot.memory import Memory, Remembered
from store.base import Lease, Store, StoreUnavailable, ThreadDiverged, boot_seconds
from store.recovery import write_back
from store.thread import Thread

log = structlog.get_logger(__name__)

POLL_SECONDS_MAX = 1.0
"""The longest delay if the notification of a wake-up is lost."""
SERVER_NOTE = "server"
"""The note in the store: the server on which every worker has had its time to write back what it remembers."""
TEND_SECONDS = 1.0
"""The pause between two looks at what tools left running on this machine."""
IDLE_SECONDS_MIN = 0.02
"""The pause after finding nothing to claim, since a due thread may be one that this worker ignores (`only`)."""
UNSERVED_RETRY_AFTER = timedelta(seconds=30)
"""How long a thread that this worker cannot serve is left to others."""
LEFT_ALONE_FORGOTTEN_AFTER = timedelta(minutes=10)
"""After that, it has been served by others, and how long it was left alone does not matter any more."""


class _Left(NamedTuple):
    alone: LeftAlone
    until: datetime


class Worker:
    def __init__(
        self,
        store: Store,
        loop: Loop,
        *,
        concurrency: int = 50,
        lease_seconds: float = 15.0,
        grace_seconds: float = 20.0,
        only: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = boot_seconds,
    ) -> None:
        """`seconds`: a clock that never jumps; `clock` follows the store's, which may, at a failover above all."""
        self._store = store
        self._loop = loop
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._return_seconds = lease_seconds * RETURN_LEASES
        self._grace_seconds = grace_seconds
        self._only = only
        """The only thread that this worker claims; empty: all."""
        self._clock = clock
        self._seconds = seconds
        self._holds: dict[str, Hold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._memory = Memory()
        self._left_alone: dict[str, _Left] = {}
        """The threads that this worker could not serve when it looked last."""
        self._back_at = float("-inf")
        """When the store was back after it was away."""
        self._server_id = store.server.id
        self._has_arrived = False
        self._settled_on: str | None = None
        """The server that the note tells of, as far as this worker knows."""
        self._changed_at = float("-inf")
        """When another server answered."""
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()

    def stop(self) -> None:
        """Take no new work. `run` returns when current work is finished or handed back."""
        self._loop.draining = True
        self._stopping.set()
        for hold in self._holds.values():
            hold.stop()

    async def run(self) -> None:
        """Run until `stop`. While the store is down, it waits."""
        # Exclude everything loaded so far from garbage collection: a full pass over it would block for 50 ms.
        gc.freeze()
        down_since: float | None = None
        stopped = asyncio.create_task(self._stopping.wait())
        tending = asyncio.create_task(self._tend())
        try:
            while not self._stopping.is_set():
                try:
                    away_seconds = 0.0 if down_since is None else self._seconds() - down_since
                    await self._look_after(away_seconds)
                    wait = await self._claim()
                    down_since = None
                except StoreUnavailable as error:
                    if down_since is None:
                        log.warning("store_unavailable", error=str(error))
                        down_since = self._seconds()
                    wait = STORE_RETRY_SECONDS
                await self._sleep(wait, stopped, idle=down_since is None)
        finally:
            stopped.cancel()
            try:
                await self._drain()
            finally:
                tending.cancel()

    async def _tend(self) -> None:
        while True:
            await self._loop.tend()
            await asyncio.sleep(TEND_SECONDS)

    async def _look_after(self, away_seconds: float) -> None:
        """Before anything is claimed: renew what is held, and see whether the store still knows what we know.

        Another server may have lost what some worker did. For a time (`RETURN_LEASES`) nothing is claimed, so that
        every worker that remembers something can write it back first.
        """
        if not self._has_arrived:
            await self._arrive()
        changed = self._store.server.id != self._server_id
        if away_seconds:
            for hold in [] if changed else [*self._holds.values()]:
                await hold.renew()
        # A short absence ends nobody's lease. If each began the grace anew, a flaky store would block every take-over.
        if away_seconds >= self._lease_seconds / 2:
            self._back_at = self._seconds()
        if changed:
            found = self._store.server.id
            log.warning("another_server", before=self._server_id, now=found)
            for thread in [*self._memory.threads, *(hold.thread for hold in self._holds.values())]:
                await self._compare(thread)
            for hold in [*self._holds.values()]:
                await hold.take_again()
            self._server_id, self._changed_at = found, self._seconds()

    async def _arrive(self) -> None:
        """Before the first claim: has a replica taken over since some worker looked last?

        The note tells of the server on which every worker has had its time to write back what it remembers.
        """
        known = await self._store.get_note(SERVER_NOTE)
        server = self._store.server
        if server.promoted and known not in ("", server.id):
            log.warning("another_server", before=known, now=server.id)
            self._changed_at = self._seconds()
        self._has_arrived = True

    async def _settle(self) -> None:
        """The time of every worker to write back what this server lost is over."""
        known = await self._store.get_note(SERVER_NOTE)
        if known != self._server_id:
            await self._store.set_note(SERVER_NOTE, self._server_id, expected=known)
        self._settled_on = self._server_id

    async def _compare(self, thread: Thread) -> None:
        """Write back what the log lost. The holder of the thread, if there is one, sees that it moved."""
        try:
            await self._store.refresh(thread)
        except ThreadDiverged as error:
            log.error("log_diverged", thread=thread.id, seen=thread.version, error=str(error))
            try:
                recovery = await write_back(self._store, thread, now=self._clock)
            except StoreUnavailable:
                raise
            except Exception:
                # A bug of ours must not keep the others from being looked at. This one is seen when it is claimed.
                log.exception("write_back_failed", thread=thread.id)
            else:
                self._memory.keep(Remembered(recovery.thread))
                report([recovery.record] if recovery.record else [], recovery.thread)

    async def _claim(self) -> float:
        """Claim due threads, up to the concurrency limit. Returns the seconds until the next attempt."""
        room = self._concurrency - len(self._holds)
        if room <= 0:
            return POLL_SECONDS_MAX
        now = self._seconds()
        if (early := self._changed_at + self._return_seconds - now) > 0:
            return min(early, POLL_SECONDS_MAX)
        if self._settled_on != self._server_id:
            await self._settle()
        skip = self._skipped()
        age = min(self._store.server.age_seconds, now - self._back_at)
        expired = age >= self._return_seconds
        grace = 0.0 if expired else self._return_seconds - age
        leases = await self._store.claim(room, self._lease_seconds, self._only, skip=skip, expired=expired)
        if self._store.server.id != self._server_id:
            # This claim was the first to reach it. See first what it lost, and let others write back what they know.
            for lease in leases:
                await self._store.hand_back(lease)
            return 0.0
        for lease in leases:
            self._begin(lease)
        if len(self._holds) >= self._concurrency:
            return POLL_SECONDS_MAX
        due_in = await self._store.due_in_seconds(self._skipped())
        if due_in is None:
            return POLL_SECONDS_MAX
        if due_in == 0 and not leases:
            # What is due may be what others held, and is theirs for now. A wake-up ends the wait.
            due_in = grace
        return min(max(due_in, 0.0 if leases else IDLE_SECONDS_MIN), POLL_SECONDS_MAX)

    def _skipped(self) -> set[str]:
        """What it holds, and what it leaves to others for now."""
        now = self._clock()
        # Once others have served a thread, it is not seen here again.
        kept = {name: left for name, left in self._left_alone.items() if now < left.until + LEFT_ALONE_FORGOTTEN_AFTER}
        self._left_alone = kept
        return {*self._holds, *(name for name, left in kept.items() if now < left.until)}

    def _begin(self, lease: Lease) -> None:
        remembered = self._memory.take(lease.thread_id)
        left = self._left_alone.get(lease.thread_id)
        before = left.alone if left else None
        hold = Hold(self._store, self._loop, lease, remembered, clock=self._clock, left_before=before)
        if self._stopping.is_set():
            hold.stop()
        task = asyncio.create_task(hold.run(), name=f"thread {lease.thread_id}")
        self._holds[lease.thread_id] = hold
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._ended(hold, task))

    def _ended(self, hold: Hold, task: asyncio.Task[None]) -> None:
        thread_id = hold.lease.thread_id
        del self._holds[thread_id]
        self._tasks.discard(task)
        self._memory.keep(hold.remembered)
        self._left_alone.pop(thread_id, None)
        if hold.left:
            self._left_alone[thread_id] = _Left(hold.left, self._clock() + UNSERVED_RETRY_AFTER)
        self._freed.set()

    async def _sleep(self, seconds: float, stopped: asyncio.Task[bool], *, idle: bool) -> None:
        """Sleep until there may be work, until a slot is free, or until `stop`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        full = len(self._holds) >= self._concurrency
        self._freed.clear()
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._freed.wait())] if full else []
        if idle and not full:
            waits.append(asyncio.create_task(self._store.work_arrived(seconds)))
        _, pending = await asyncio.wait({*waits, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending - {stopped}:
            task.cancel()

    async def _drain(self) -> None:
        """Let current work end within the grace period, then cancel it; other workers resume it from the log."""
        if not self._tasks:
            return
        log.debug("draining", threads=len(self._tasks), grace_seconds=self._grace_seconds)
        _, late = await asyncio.wait(set(self._tasks), timeout=self._grace_seconds)
        for task in late:
            log.warning("broken_off", hold=task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=2.0)
