"""One worker's hold on one thread: from the claim until the thread is let go, whatever goes wrong meanwhile.

It renews the lease, advances the thread, and decides what happens when the lease, the log or the store is lost. Losing
a lease never breaks off what has begun and cannot be repeated: cancelling is no fence, and only this process will know
how it ended. Which threads to claim belongs to `bot.worker`; what to do on a thread, to `agent.loop`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

import structlog

from agent.loop import Loop, Postponed
from agent.perform.turn import LeftAlone
from bot.memory import Remembered
from store import keys
from store.base import Lease, LeaseLost, Store, StoreUnavailable
from store.events import HandedToHuman
from store.thread import Thread

log = structlog.get_logger(__name__)

CLAIMS_WITHOUT_RELEASE_MAX = 5
"""After this many worker deaths in a row, a thread is handed to a person."""
STORE_RETRY_SECONDS = 0.5
RETURN_LEASES = 5 / 3
"""For so many leases after the store came back, or after another server answered, holders have the time to come back.

A lease that nobody renews has ended after one. The rest is for a holder whose command hung (two thirds of a lease at
most), and for one whose thread still counts as held by a lease that was given up: it tries each third of a lease.
"""
FAILURES_IN_ROW_MAX = 3
"""After so many bugs in a row, of which people cannot even be told, a thread rests until something happens to it."""


class Hold:
    def __init__(
        self,
        store: Store,
        loop: Loop,
        lease: Lease,
        remembered: Remembered,
        *,
        clock: Callable[[], datetime],
        left_before: LeftAlone | None = None,
    ) -> None:
        """`remembered`: as this process knew the thread last; a thread without events if it did not.

        `left_before`: what this worker left to others when it looked at the thread before.
        """
        self.lease = lease
        self._store = store
        self._loop = loop
        self._clock = clock
        self._turn = loop.turn(remembered.thread, lease, remembered.contexts)
        self._turn.left_before = left_before
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._broken_off = False
        """Cancelled because the lease was lost."""
        self._other_server_at = float("-inf")
        self.left: LeftAlone | None = None
        """What it was handed back for, to a worker that knows its agent, its tools and its events, and can read it."""

    @property
    def thread(self) -> Thread:
        """As it is known here, with all that was done."""
        return self._turn.thread

    @property
    def remembered(self) -> Remembered:
        return Remembered(self._turn.thread, self._turn.contexts)

    def stop(self) -> None:
        """Hand the thread back after the current action."""
        self._stopping = True

    async def run(self) -> None:
        """Returns when the thread is let go or lost. When cancelled, it hands the thread back."""
        self._task = asyncio.current_task()
        heartbeat = asyncio.create_task(self._keep())
        try:
            await self._work()
        except LeaseLost:
            log.warning("lease_lost", thread=self.lease.thread_id)
            await self._turn.settle()
            await self._hand_back()  # It may have expired without anybody claiming it.
        except asyncio.CancelledError:
            if not self._broken_off:
                # The grace period is over. The log tells the next worker what was running.
                await self._turn.settle()
                await self._hand_back()
                raise
            log.warning("lease_lost", thread=self.lease.thread_id)
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat

    async def renew(self) -> bool:
        """Extend the lease. If it is lost, break off what may be broken off. Raises StoreUnavailable."""
        if await self._store.renew(self.lease) or await self._claim_again():
            return True
        if self._turn.can_be_broken_off and self._task:
            self._broken_off = True
            self._task.cancel()
        return False

    async def take_again(self) -> None:
        """Another server answers, which may have lost the lease and nothing else. Raises StoreUnavailable.

        It may know an older lease, which was given up after the last that it saw. So this goes on while others wait.
        """
        self._other_server_at = self.lease.clock()
        await self.renew()

    async def _claim_again(self) -> bool:
        since = self.lease.clock() - self._other_server_at
        if since >= self.lease.seconds * RETURN_LEASES:
            return False
        # For one lease, one that stands may be that of a worker that has taken the thread over.
        expired = since >= self.lease.seconds
        claimed = await self._store.claim(1, self.lease.seconds, self.lease.thread_id, expired=expired)
        if claimed:
            self.lease.become(claimed[0])
        return bool(claimed)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.lease.seconds / 3)
            # Whether the lease is good while the store is away, its clock says.
            with contextlib.suppress(StoreUnavailable):
                await self.renew()

    async def _hand_back(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._store.hand_back(self.lease)

    async def _work(self) -> None:
        trouble: tuple[str, str] | None = None  # The limit and the reason to park it for.
        parked = False
        failures = 0
        while True:
            try:
                if failures > FAILURES_IN_ROW_MAX:
                    # Before anything else is tried: the bug may be in reading the thread, or in writing it back.
                    await self._store.release(self.lease, self.thread)
                    return
                await self._turn.refresh()
                if trouble and (parked or not self.thread.exists):
                    # Telling people fails as well, so leave the thread alone.
                    if await self._store.release(self.lease, self.thread):
                        return
                    trouble, parked = None, False
                elif trouble:
                    await self._park(*trouble)
                    trouble, parked = None, True
                elif self.lease.claims > CLAIMS_WITHOUT_RELEASE_MAX:
                    await self._park("worker_deaths", f"{self.lease.claims - 1} workers died while working on this.")
                    self.lease.claims = 1
                postponed_seconds = await self._advance()
                parked, failures = False, 0
                if await self._let_go(postponed_seconds):
                    return
            except StoreUnavailable as error:
                if self._stopping:
                    return  # The lease expires by itself.
                log.warning("store_unavailable", thread=self.lease.thread_id, error=str(error))
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except (LeaseLost, asyncio.CancelledError):
                raise
            except Exception as error:
                # A bug of ours. Hand the thread to a person instead of looping.
                log.exception("thread_failed", thread=self.lease.thread_id)
                failures += 1
                await asyncio.sleep(STORE_RETRY_SECONDS if failures > 1 else 0)
                trouble = (
                    "internal_error",
                    f"I hit a bug ({type(error).__name__}). An administrator should look at the log.",
                )

    async def _advance(self) -> float | None:
        """Returns the seconds until the model may be asked, if that is what the thread needs."""
        try:
            await self._loop.advance(self._turn)
        except Postponed as postponed:
            # Let it go: holding it would take the place of a thread on which a person has just decided.
            return postponed.seconds
        return None

    async def _let_go(self, postponed_seconds: float | None) -> bool:
        """False: something happened meanwhile."""
        self.left, before = self._turn.left, self._turn.left_before
        if self.left and (before is None or before.what != self.left.what):
            log.warning("cannot_serve", thread=self.lease.thread_id, why=self.left.why)
        if self._stopping or self.left:
            await self._store.hand_back(self.lease)
            return True
        return await self._store.release(self.lease, self.thread, self._wake_in(postponed_seconds))

    def _wake_in(self, postponed_seconds: float | None) -> float | None:
        waits = [max((at - self._clock()).total_seconds(), 0.0) for at in self.thread.timers.values()]
        return min(waits if postponed_seconds is None else [*waits, postponed_seconds], default=None)

    async def _park(self, limit: str, reason: str) -> None:
        event_id = keys.handed_over(self.thread.number)
        await self._turn.record(HandedToHuman(id=event_id, at=self._clock(), limit=limit, reason=reason))
