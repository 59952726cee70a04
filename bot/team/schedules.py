"""Computes when the team's schedules are due: `[schedules.NAME]` in the team file. Pure: it reads no clock.

A due time follows cron in the local time of the schedule. An exact hour and minute (`30 2 * * *`) occurs once every
day, even if clock changes repeat or skip that hour; if it is skipped, at the first minute after the gap. With a star in
the minutes or hours it follows the clock as it runs, like Debian's cron.

A due time outside business hours may wait for the next opening; if several wait for the same one, only the newest
fires. So a schedule fires at an instant, for a due time that may be earlier.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice, takewhile
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from bot.team.hours import Hours, time_zone
from bot.team.names import unknown, unknown_agent
from bot.team.reach import Reach, out_of_reach
from channels import places
from channels.places import Firing
from store.values import Place

GRACE = timedelta(minutes=5)
"""A due time that is later than this counts as missed."""
TEXT_CHARS_MAX = 3_000
WHAT = ("say", "ask", "task", "opening")
DUES_LOOKED_AT_MAX = 10_000
"""If this many due times are all outside business hours, no next one is shown."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CLOSED_MAX = timedelta(days=8)
"""Business hours open at least once a week."""
_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


def _cron(text: str) -> str:
    if len(text) > 100 or len(text.split()) != 5:
        raise ValueError("must have five fields: minute, hour, day, month and weekday, such as 0 9 * * MON")
    minute, hour, day, month, weekday = text.split()
    try:
        if _first(text):
            return text
    except (CronSimError, ValueError):
        # Check the fields separately: a day that only these months lack gets a different message.
        for alone in (f"{minute} {hour} {day} * {weekday}", f"* * * {month} *"):
            try:
                _first(alone)
            except (CronSimError, ValueError) as error:
                raise ValueError(f"must be a cron schedule, and {text!r} is not: {str(error)[:60]}") from None
    raise ValueError(f"must be due at some time, but {text!r} never is")


def _first(cron: str) -> datetime | None:
    return next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)), None)


def _place(text: str) -> str:
    places.parse(text, Firing("any", "any"))
    return text


Words = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]


class ScheduleTable(BaseModel):
    """One `[schedules.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: Annotated[str, AfterValidator(_cron)]
    time_zone: Annotated[str, AfterValidator(lambda name: time_zone(name).key)]
    agent: str = ""
    """Default: `agent.roster.default_of` the agents that are set up."""
    place: Annotated[str, AfterValidator(_place)]
    """Where each firing opens a thread: `slack:C0123`, `slack:U0123`, `email:ops@example.com`, `terminal:ops`."""
    say: Words = ""
    """Sent as a message, without the model."""
    ask: Words = ""
    """Sent as a question, without the model; the answer goes to the agent."""
    task: Words = ""
    """A task for the model."""
    opening: str = ""
    """One of `agent.definition.Agent.openings`."""
    missed: Literal["skip", "once"] = "skip"
    """Missed due times are skipped, or fired once for the newest of them."""
    quiet: Literal["wait", "skip", "ignore"] = "wait"
    """What to do with a due time outside business hours."""

    @property
    def data(self) -> dict[str, JsonValue]:
        """The data of its trigger."""
        return {name: getattr(self, name) for name in WHAT if getattr(self, name).strip()}


def schedule_problems(
    tables: Mapping[str, ScheduleTable], openings: Mapping[str, Collection[str] | None], reach: Reach
) -> list[str]:
    """Problems of the tables. `openings` by agent; None: that agent's openings are not known."""
    problems = []
    for name, table in tables.items():
        where = f"schedules.{name} in the team file"
        if not _NAME.fullmatch(name):
            problems.append(
                f"schedules in the team file holds {name[:60]!r}, which must consist of lower-case letters, digits, - "
                "and _."
            )
        if len(table.data) != 1:
            problems.append(f"{where} must have exactly one of {', '.join(WHAT)}.")
        if table.agent not in openings:
            problems.append(f"{where}: {unknown_agent(table.agent, openings)}")
        whose = f"opening of {table.agent}" if table.agent in openings else "opening of any agent"
        theirs = [openings[table.agent]] if table.agent in openings else list(openings.values())
        known = [opening for some in theirs for opening in some or ()]
        if table.opening and theirs and None not in theirs and table.opening not in known:
            problems.append(f"{where}: {unknown(table.opening, whose, known)}")
        if why := out_of_reach(table.place, reach):
            problems.append(f"{where} names {table.place!r}, and {why}")
    return problems


@dataclass(frozen=True, slots=True)
class Look:
    """What a schedule has to do at one instant."""

    fires: tuple[datetime, ...]
    """The due times for which it fires now, in order."""
    done: datetime
    """All due times up to here are handled: fired, dropped or skipped."""
    next: datetime | None
    """When to look again; None: it is never due again."""


@dataclass(frozen=True)
class Schedule:
    name: str
    table: ScheduleTable
    hours: Hours = field(default_factory=Hours)

    def place(self, mark: str) -> Place:
        """Where one firing opens its thread; `mark` tells firings apart."""
        return places.parse(self.table.place, Firing(self.name, mark))

    def look(self, done: datetime, now: datetime) -> Look:
        """What to do at `now`, given the stored progress `done`. All instants are in UTC.

        Each due time fires if it is late by GRACE at most. Of older ones, only the newest fires, if `missed` says so
        and no later one fires now; it is not caught up outside business hours.

        A `done` further ahead than GRACE was stored by a wrong clock and is ignored: everything in time fires. Firing
        something again does nothing.
        """
        reached = self._reached(now)
        in_time_from = self._reached(now - GRACE - _INSTANT)
        clock_was_wrong = done > now + GRACE
        after = in_time_from if clock_was_wrong else max(done, in_time_from)
        fires = self._firings(after, reached)
        following = next(self.dues(reached), None)
        wakes = self._fires_at(following) or following if following else None
        if (
            not fires
            and not clock_was_wrong
            and self.table.missed == "once"
            and (late := self._newest(done, in_time_from))
        ):
            opens = self.hours.opens(now)
            if opens > now and self.table.quiet != "ignore":
                return Look((), done, min(opens, wakes) if wakes else opens)
            fires = [late]
        return Look(tuple(fires), max(done, reached), wakes)

    def dues(self, after: datetime) -> Iterator[datetime]:
        """The due times in order, in UTC, ignoring business hours."""
        last = after
        for local in CronSim(self.table.cron, after.astimezone(self._zone)):
            due = local.astimezone(UTC)
            # In the second occurrence of a repeated hour, CronSim starts at the first one.
            if due > last:
                yield due
                last = due

    def upcoming(self, after: datetime, count: int) -> list[datetime]:
        """When it fires next, in its own time zone."""
        looked_at = islice(self.dues(self._reached(after)), DUES_LOOKED_AT_MAX)
        instants = dict.fromkeys(at for due in looked_at if (at := self._fires_at(due)))
        return [at.astimezone(self._zone) for at in islice(instants, count)]

    @cached_property
    def _zone(self) -> ZoneInfo:
        return time_zone(self.table.time_zone)

    def _fires_at(self, due: datetime) -> datetime | None:
        """When this due time fires; None: it is dropped. A later due time never fires before an earlier one."""
        if self.table.quiet == "ignore":
            return due
        opens = self.hours.opens(due)
        return opens if opens == due or self.table.quiet == "wait" else None

    def _reached(self, now: datetime) -> datetime:
        """Due times up to here no longer have to wait: `now`, or the end of the last business hours."""
        if self.table.quiet != "wait" or self.hours.opens(now) <= now:
            return now
        closed, opened = now, now - _CLOSED_MAX
        while closed - opened > _SECOND:
            middle = opened + (closed - opened) / 2
            if self.hours.opens(middle) <= now:
                opened = middle
            else:
                closed = middle
        return opened

    def _firings(self, after: datetime, until: datetime) -> list[datetime]:
        firings: dict[datetime, datetime] = {}
        for due in takewhile(lambda due: due <= until, self.dues(after)):
            if at := self._fires_at(due):
                firings[at] = due
        return list(firings.values())

    def _newest(self, after: datetime, until: datetime) -> datetime | None:
        """The newest due time in between that fires. The search goes backwards in growing steps."""
        span = timedelta(hours=1)
        while after < until:
            begin = max(after, until - span)
            if found := self._firings(begin, until):
                return found[-1]
            if begin == after:
                return None
            span *= 2
        return None
