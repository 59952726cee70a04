"""The role `clock`: fires the team's schedules, in any number of processes at once.

A firing is a trigger. Its id and its thread's id are derived from the schedule and the due time, so however often it is
posted, and by whatever process, there is one thread with one trigger. How far a schedule has been dealt with is noted
after its posts: a crash in between repeats the same post, and nothing else depends on that note.

There is no queue here, and nothing is kept of a firing but its thread. A schedule without a note begins now.
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
"""A clock that was set, or a machine that slept, is noticed by then."""
STORE_RETRY_SECONDS = 2.0
NOTE_EVERY = timedelta(minutes=1)
"""How far a schedule is dealt with is noted that often where nothing fires, so that nothing older is made up for."""

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
        """Until `stopping` is set. A store that cannot be reached is tried again."""
        while not stopping.is_set():
            seconds = await self.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), seconds)

    async def turn(self) -> float:
        """Fire what is due now. Gives the seconds until the next look."""
        wakes = [self._clock() + timedelta(seconds=SLEEP_SECONDS_MAX)]
        for schedule in self._schedules:
            try:
                if at := await self._look(schedule):
                    wakes.append(at)
            except StoreUnavailable as error:
                log.warning("store_unavailable", schedule=schedule.name, error=str(error))
                wakes.append(self._clock() + timedelta(seconds=STORE_RETRY_SECONDS))
            except Exception:
                # Our own mistake. The other schedules go on, and this one is tried again.
                log.exception("schedule_failed", schedule=schedule.name)
        return min(max((min(wakes) - self._clock()).total_seconds(), 0.0), SLEEP_SECONDS_MAX)

    async def _look(self, schedule: Schedule) -> datetime | None:
        note = f"cron/{schedule.name}"
        noted = await self._store.get_note(note)
        now = self._clock()
        done = _read(noted)
        if done is None:
            await self._store.set_note(note, now.isoformat(), expected=noted)
            done = now
        look = schedule.look(done, now)
        for due in look.fires:
            thread_id = await fire(self._inbox, schedule, mark_of(due), now)
            log.info("schedule_fired", schedule=schedule.name, due=mark_of(due), thread=thread_id)
        if look.done > done and (look.fires or look.done - done >= NOTE_EVERY):
            # Where somebody else has noted it meanwhile, that holds.
            await self._store.set_note(note, look.done.isoformat(), expected=noted)
        return look.next


def _read(noted: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(noted)
    except ValueError:
        return None
    return at if at.tzinfo else None


def mark_of(due: datetime) -> str:
    return f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def mark_of_its_own(now: datetime) -> str:
    """For a firing that a person wants, beside those that are due."""
    return f"{mark_of(now)}-{uuid.uuid4().hex[:8]}"


async def fire(inbox: Inbox, schedule: Schedule, mark: str, now: datetime) -> str:
    """The thread's id. With the same mark it is the same firing, and happens once."""
    trigger = TriggerReceived(
        id=f"{schedule.name}/{mark}", at=now, source=CRON, name=schedule.name, data=schedule.table.data
    )
    return await inbox.trigger(schedule.place(mark), trigger, agent=schedule.table.agent)


@contextlib.asynccontextmanager
async def ticking(clock: Clock, stopping: asyncio.Event) -> AsyncIterator[None]:
    """It runs meanwhile."""
    task = asyncio.create_task(clock.run(stopping), name="clock")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
