"""The role `clock`: fires the team's schedules, in any number of processes at once.

A firing is a trigger. Its id and its thread's id derive from the schedule and the due time, so repeated posts, by any
process, give one thread with one trigger. The progress of a schedule is stored after its posts: a crash in between
repeats the same post and does no other harm.

There is no queue, and a firing leaves nothing but its thread. A schedule without stored progress starts now.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from bot.inbox import Inbox
from bot.team.schedules import Schedule
from store.base import Store, StoreUnavailable
from store.events import CRON, TriggerReceived

SLEEP_SECONDS_MAX = 30.0
"""A changed system clock, or a machine that slept, is noticed within this time."""
STORE_RETRY_SECONDS = 2.0
NOTE_EVERY = timedelta(minutes=1)
"""How often to store the progress of a schedule that does not fire, so that older due times are not caught up."""

log = structlog.get_logger()


class Clock:
    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        schedules: Sequence[Schedule],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._schedules = schedules
        self._clock = clock

    @property
    def names(self) -> list[str]:
        return [schedule.name for schedule in self._schedules]

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set. Retries while the store cannot be reached."""
        while not stopping.is_set():
            seconds = await self.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), seconds)

    async def turn(self) -> float:
        """Fire what is due now. Returns the seconds until the next check."""
        wakes = [self._clock() + timedelta(seconds=SLEEP_SECONDS_MAX)]
        for schedule in self._schedules:
            try:
                if at := await self._fire_due(schedule):
                    wakes.append(at)
            except StoreUnavailable as error:
                log.warning("store_unavailable", schedule=schedule.name, error=str(error))
                wakes.append(self._clock() + timedelta(seconds=STORE_RETRY_SECONDS))
            except Exception:
                # A bug of ours. The other schedules continue, and this one is retried.
                log.exception("schedule_failed", schedule=schedule.name)
        return min(max((min(wakes) - self._clock()).total_seconds(), 0.0), SLEEP_SECONDS_MAX)

    async def _fire_due(self, schedule: Schedule) -> datetime | None:
        name = f"cron/{schedule.name}"
        stored = await self._store.get_note(name)
        now = self._clock()
        done = _read(stored)
        if done is None:
            await self._store.set_note(name, now.isoformat(), expected=stored)
            done = now
        look = schedule.look(done, now)
        for due in look.fires:
            await fire(self._inbox, schedule, mark_of(due), now)
        if look.done > done and (look.fires or look.done - done >= NOTE_EVERY):
            # If another process has stored its progress meanwhile, keep that.
            await self._store.set_note(name, look.done.isoformat(), expected=stored)
        return look.next


def _read(stored: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(stored)
    except ValueError:
        return None
    return at if at.tzinfo else None


def mark_of(due: datetime) -> str:
    return f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def mark_of_manual_firing(now: datetime) -> str:
    """For a firing that a person starts by hand."""
    return f"{mark_of(now)}-{uuid.uuid4().hex[:8]}"


async def fire(inbox: Inbox, schedule: Schedule, mark: str, now: datetime) -> str:
    """Fire the schedule and return the thread's id. The same mark is the same firing, and happens once."""
    trigger = TriggerReceived(
        id=f"{schedule.name}/{mark}", at=now, source=CRON, name=schedule.name, data=schedule.table.data
    )
    return await inbox.trigger(schedule.place(mark), trigger, agent=schedule.table.agent)


@contextlib.asynccontextmanager
async def ticking(clock: Clock, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Runs the clock in the background."""
    task = asyncio.create_task(clock.run(stopping), name="clock")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
