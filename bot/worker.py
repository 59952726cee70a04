"""The worker: claims due threads, advances each as far as possible, and releases it.

Any number of worker processes may run. One worker at a time holds a thread, by a lease that it renews; when it dies,
its leases expire and other workers take over. An idle thread costs a worker nothing. What to do is decided by
`agent.loop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from agent.loop import Loop, Postponed
from store import keys
from store.base import Lease, LeaseLost, Store, StoreUnavailable, ThreadDiverged
from store.events import HandedToHuman
from store.thread import Thread

log = structlog.get_logger(__name__)

POLL_SECONDS_MAX = 1.0
"""The longest delay if the notification of a wake-up is lost."""
CLAIMS_WITHOUT_RELEASE_MAX = 5
"""After this many worker deaths in a row, a thread is handed to a person."""
IDLE_SECONDS_MIN = 0.02
"""The pause after finding nothing to claim, since a due thread may be one that this worker ignores (`only`)."""
STORE_RETRY_SECONDS = 0.5
UNREADABLE_RETRY_SECONDS = 30.0


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
    ) -> None:
        self._store = store
        self._loop = loop
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds
        self._only = only
        """The only thread that this worker claims; empty: all."""
        self._clock = clock
        self._holds: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()

    def stop(self) -> None:
        """Take no new work. `run` returns when current work is finished or handed back."""
        self._loop.draining = True
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`. While the store is down, it waits."""
        # Exclude everything loaded so far from garbage collection: a full pass over it would block for 50 ms.
        gc.freeze()
        store_is_down = False
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                try:
                    wait = await self._claim()
                    store_is_down = False
                except StoreUnavailable as error:
                    if not store_is_down:
                        log.warning("store_unavailable", error=str(error))
                    store_is_down, wait = True, STORE_RETRY_SECONDS
                await self._sleep(wait, stopped, idle=not store_is_down)
        finally:
            stopped.cancel()
            await self._drain()

    async def _claim(self) -> float:
        """Claim due threads, up to the concurrency limit. Returns the seconds until the next attempt."""
        room = self._concurrency - len(self._holds)
        if room <= 0:
            return POLL_SECONDS_MAX
        leases = await self._store.claim(room, self._lease_seconds, self._only)
        for lease in leases:
            hold = asyncio.create_task(self._hold(lease), name=f"thread {lease.thread_id}")
            self._holds.add(hold)
            hold.add_done_callback(self._let_go)
        if len(self._holds) >= self._concurrency:
            return POLL_SECONDS_MAX
        due_in = await self._store.due_in_seconds()
        if due_in is None:
            return POLL_SECONDS_MAX
        return min(max(due_in, 0.0 if leases else IDLE_SECONDS_MIN), POLL_SECONDS_MAX)

    def _let_go(self, hold: asyncio.Task[None]) -> None:
        self._holds.discard(hold)
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

    async def _hold(self, lease: Lease) -> None:
        heartbeat = asyncio.create_task(self._keep(lease, asyncio.current_task()))
        try:
            await self._work(lease)
        except LeaseLost:
            log.warning("lease_lost", thread=lease.thread_id)
        except asyncio.CancelledError:
            if not heartbeat.done():
                # The grace period is over. The log tells the next worker what was running.
                with contextlib.suppress(StoreUnavailable):
                    await self._store.hand_back(lease)
                raise
            log.warning("lease_lost", thread=lease.thread_id)
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat

    async def _work(self, lease: Lease) -> None:
        thread = Thread(lease.thread_id)
        trouble: tuple[str, str] | None = None  # The limit and the reason to park it for.
        parked = False
        while True:
            try:
                thread = await self._store.refresh(thread)
                if trouble and (parked or not thread.exists):
                    # Telling people fails as well, so leave the thread alone.
                    if await self._store.release(lease, thread):
                        return
                    trouble, parked = None, False
                elif trouble:
                    thread = await self._park(thread, lease, *trouble)
                    trouble, parked = None, True
                elif lease.claims > CLAIMS_WITHOUT_RELEASE_MAX:
                    died = f"{lease.claims - 1} workers died while working on this."
                    thread = await self._park(thread, lease, "worker_deaths", died)
                    lease.claims = 1
                thread, postponed_seconds = await self._advance(thread, lease)
                parked = False
                if self._stopping.is_set():
                    await self._store.hand_back(lease)
                    return
                if await self._store.release(lease, thread, self._wake_in(thread, postponed_seconds)):
                    return
            except StoreUnavailable as error:
                if self._stopping.is_set():
                    return  # The lease expires by itself.
                log.warning("store_unavailable", thread=lease.thread_id, error=str(error))
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except ThreadDiverged as error:
                # The lost events are recorded nowhere else, so nothing may begin on what is left.
                log.error("events_lost", thread=lease.thread_id, seen=thread.version, error=str(error))
                thread = Thread(lease.thread_id)
                trouble = ("lost_events", "The store lost events of this thread. Please check what was under way.")
            except (LeaseLost, asyncio.CancelledError):
                raise
            except Exception as error:
                # A bug of ours. Hand the thread to a person instead of looping.
                log.exception("thread_failed", thread=lease.thread_id)
                trouble = (
                    "internal_error",
                    f"I hit a bug ({type(error).__name__}). An administrator should look at the log.",
                )

    async def _advance(self, thread: Thread, lease: Lease) -> tuple[Thread, float | None]:
        """Returns the seconds until the model may be asked, too, if that is what the thread needs."""
        try:
            return await self._loop.advance(thread, lease), None
        except Postponed as postponed:
            # Let it go: holding it would take the place of a thread on which a person has just decided.
            return postponed.thread, postponed.seconds

    def _wake_in(self, thread: Thread, postponed_seconds: float | None) -> float | None:
        if thread.state.unreadable:
            # A newer version wrote it, and one of its workers will take it. Check again later.
            return UNREADABLE_RETRY_SECONDS
        waits = [max((at - self._clock()).total_seconds(), 0.0) for at in thread.timers.values()]
        return min(waits if postponed_seconds is None else [*waits, postponed_seconds], default=None)

    async def _park(self, thread: Thread, lease: Lease, limit: str, reason: str) -> Thread:
        event = HandedToHuman(id=keys.handed_over(thread.version), at=self._clock(), limit=limit, reason=reason)
        return await self._store.append(thread, event, lease=lease)

    async def _keep(self, lease: Lease, hold: asyncio.Task[None] | None) -> None:
        """Renew the lease until cancelled; end the work as soon as it is no longer ours."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                if await self._store.renew(lease):
                    continue
            except StoreUnavailable:
                continue  # Once the store is back, fencing decides.
            if hold:
                hold.cancel()
            return

    async def _drain(self) -> None:
        """Let current work end within the grace period, then cancel it; other workers resume it from the log."""
        if not self._holds:
            return
        log.debug("draining", threads=len(self._holds), grace_seconds=self._grace_seconds)
        _, late = await asyncio.wait(set(self._holds), timeout=self._grace_seconds)
        for hold in late:
            log.warning("broken_off", hold=hold.get_name())
            hold.cancel()
        if late:
            await asyncio.wait(late, timeout=2.0)
