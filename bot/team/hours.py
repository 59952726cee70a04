"""Business hours in the local time of one time zone. Pure: it reads no clock.

With business hours, a duration counts only open time: if days last from 09:00 to 18:00, `4h` from 17:00 end at 12:00
the next day, and `2d` are two working days, 18 hours. Without business hours, all time is open and a day has 24 hours.

When clocks change: in an hour that occurs twice, opening times use the first occurrence and closing times the second. A
time in a skipped hour moves forward by the length of the gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bot.team.durations import Duration, plain
from bot.team.names import unknown

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
OPEN_MIN = timedelta(hours=1)

_WALL = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_ONE_DAY = timedelta(days=1)


def time_zone(name: str) -> ZoneInfo:
    """Raises ValueError that suggests the nearest name."""
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        hint = "it takes a name such as Europe/Berlin"
        raise ValueError(unknown(name, "time zone", available_timezones(), otherwise=hint)) from None


@dataclass(frozen=True, slots=True)
class Hours:
    """The business hours. Without a zone: all the time."""

    zone: ZoneInfo | None = None
    days: frozenset[int] = frozenset(range(5))
    """Monday is 0."""
    begins: time = time(9)
    ends: time = time(18)
    """On the same day."""

    def length(self, duration: Duration) -> timedelta:
        """The open time in a duration."""
        if self.zone is None:
            return plain(duration)
        day = datetime.combine(date.min, self.ends) - datetime.combine(date.min, self.begins)
        return duration.days * day + timedelta(seconds=duration.seconds)

    def after(self, start: datetime, duration: Duration) -> datetime:
        """The first instant, in UTC, at which this much open time has passed since `start`."""
        left = self.length(duration)
        if self.zone is None:
            return start.astimezone(UTC) + left
        for opens, closes in self._open_since(start, self.zone):
            if left <= closes - opens:
                return opens + left
            left -= closes - opens
        raise AssertionError("there is always a next day")

    def opens(self, at: datetime) -> datetime:
        """`at` if it is in business hours, otherwise their next beginning. In UTC."""
        return at.astimezone(UTC) if self.zone is None else next(self._open_since(at, self.zone))[0]

    def _open_since(self, start: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """The open intervals from `start` on, in order, without end."""
        since = start.astimezone(UTC)
        # Start a day early: if midnight is skipped by a clock change, that day's opening may fall into this day.
        day = since.astimezone(zone).date() - _ONE_DAY
        while True:
            if day.weekday() in self.days:
                opens = max(_instant(day, self.begins, zone), since)
                closes = max(_instant(day, self.ends, zone), _instant(day, self.ends, zone, fold=1))
                if opens < closes:
                    yield opens, closes
                    since = closes
            day += _ONE_DAY


def _instant(day: date, at: time, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).replace(fold=fold).astimezone(UTC)


def _wall(value: object) -> object:
    # Pydantic would read a number as seconds since midnight.
    if not isinstance(value, time) and not (isinstance(value, str) and _WALL.fullmatch(value)):
        raise ValueError("must be like 09:00")
    return value


WallTime = Annotated[time, BeforeValidator(_wall)]


class HoursTable(BaseModel):
    """`[hours]` of the team file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: Annotated[str, AfterValidator(lambda name: time_zone(name).key)]
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    begins: WallTime = Field(alias="from")
    ends: WallTime = Field(alias="to")

    @model_validator(mode="after")
    def _within_a_day(self) -> Self:
        open_time = datetime.combine(date.min, self.ends) - datetime.combine(date.min, self.begins)
        if open_time < OPEN_MIN:
            raise ValueError("from must be at least an hour before to, on the same day")
        return self

    def hours(self) -> Hours:
        return Hours(time_zone(self.time_zone), frozenset(DAYS.index(day) for day in self.days), self.begins, self.ends)
