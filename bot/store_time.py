"""The time of the store, which all processes share: expiries, timers and timestamps go by it.

The clock of this machine may be wrong, and two machines may differ. So this clock is set by the store's, and goes on by
a clock that nobody sets. It never goes back: when it turns out to be ahead, it goes at half speed until the store has
caught up, so that timers still come due in their order. It fires nothing; schedules are `bot.clock`.

A store whose clock jumps is not believed at once: after a failover to a server whose clock is wrong, every open request
would expire. This clock goes on as it was until the new time has held for minutes, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from store.base import StoreUnavailable, boot_seconds

DIFFERENCE_SECONDS_MAX = 2.0
"""A larger difference of the two clocks is logged."""
MEASURE_SECONDS = 60.0
ROUND_TRIP_SECONDS_MAX = 1.0
"""A slower answer says too little about when it was given, and is used only if there is none yet."""
JUMP_SECONDS_MAX = 5.0
"""Between two measurements. A larger difference is a jump: clocks drift by milliseconds a minute."""
JUMP_MEASUREMENTS = 5
"""So many have to agree on a jump before it is followed, and for so long:"""
JUMP_TRUSTED_AFTER_SECONDS = 240.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Jump:
    """A new time of the store that is not followed yet."""

    ahead: float
    """As `StoreTime._ahead`, measured last."""
    since: float
    """By `elapsed`."""
    measurements: int = 0


class StoreTime:
    """Called, it tells the time. Before the first `measure`, that is the time of this machine."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[float]],
        *,
        machine: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = boot_seconds,
    ) -> None:
        """`ask`: the store's time, in seconds since the epoch. `elapsed`: the seconds of a clock that nobody sets."""
        self._ask = ask
        self._machine = machine
        self._elapsed = elapsed
        self._ahead: float | None = None
        """The store's time minus `elapsed`; None: not measured yet."""
        self._jump: _Jump | None = None
        self._last = (elapsed(), machine())
        """When this clock was read last, by `elapsed`, and what it said."""
        self._is_off = False

    def __call__(self) -> datetime:
        now = self._elapsed()
        then, said = self._last
        right = self._machine() if self._ahead is None else now + self._ahead
        self._last = (now, max(right, said + (now - then) / 2))
        return datetime.fromtimestamp(self._last[1], UTC)

    async def measure(self) -> None:
        """Ask the store, and set the clock, unless the store's has jumped just now. Raises StoreUnavailable."""
        sent = self._elapsed()
        theirs = await self._ask()
        answered = self._elapsed()
        if self._ahead is not None and answered - sent > ROUND_TRIP_SECONDS_MAX:
            return
        ahead = theirs - (sent + answered) / 2
        if self._ahead is None:
            self._ahead, self._last = ahead, (answered, answered + ahead)
        elif abs(ahead - self._ahead) <= JUMP_SECONDS_MAX:
            self._ahead, self._jump = ahead, None
        elif self._has_held(ahead, answered):
            log.warning("store_clock_followed", seconds=round(ahead - self._ahead, 1))
            self._ahead, self._jump = ahead, None

    def _has_held(self, ahead: float, now: float) -> bool:
        """Whether the store's clock has jumped to this time long enough ago to be followed."""
        if self._jump is None or abs(ahead - self._jump.ahead) > JUMP_SECONDS_MAX:
            assert self._ahead is not None
            seconds = ahead - self._ahead
            log.error("store_clock_jumped", seconds=round(seconds, 1), text=_jumped(seconds))
            self._jump = _Jump(ahead, now)
        self._jump.ahead = ahead
        self._jump.measurements += 1
        long = now - self._jump.since >= JUMP_TRUSTED_AFTER_SECONDS
        return long and self._jump.measurements >= JUMP_MEASUREMENTS

    def report(self) -> None:
        """Log a large difference of the two clocks, once, and again after it was gone."""
        if self._ahead is None:
            return
        offset = self._elapsed() + self._ahead - self._machine()
        is_off = abs(offset) > DIFFERENCE_SECONDS_MAX
        if is_off and not self._is_off:
            log.warning(
                "clock_differs", seconds=round(offset, 1), text=f"{difference(offset)} Run NTP on both machines."
            )
        self._is_off = is_off

    async def keep(self) -> None:
        """Measure from time to time and report, until cancelled."""
        while True:
            self.report()
            await asyncio.sleep(MEASURE_SECONDS)
            with contextlib.suppress(StoreUnavailable):
                await self.measure()


@contextlib.asynccontextmanager
async def kept(clock: StoreTime) -> AsyncIterator[None]:
    """Keeps the clock right in the background."""
    task = asyncio.create_task(clock.keep(), name="store time")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _jumped(seconds: float) -> str:
    return (
        f"The clock of Redis has jumped {'ahead' if seconds > 0 else 'back'} by {abs(seconds):.1f} s. Is it another "
        f"server since? It is not followed until this has held for {JUMP_TRUSTED_AFTER_SECONDS / 60:.0f} minutes; then "
        "requests may expire. Run NTP on all machines of Redis."
    )


def difference(offset_seconds: float) -> str:
    """`offset_seconds`: the store's clock minus the one of this machine."""
    size = f"{abs(offset_seconds):.1f} s" if abs(offset_seconds) >= 1 else f"{abs(offset_seconds) * 1000:.0f} ms"
    return f"The clock of this machine is {size} {'behind' if offset_seconds > 0 else 'ahead of'} the clock of Redis."
