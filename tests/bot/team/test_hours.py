"""Durations and business hours: only open time counts, also on the days on which clocks change."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.team.durations import Duration, parse_duration, plain
from bot.team.hours import DAYS, Hours, HoursTable, time_zone

BERLIN = time_zone("Europe/Berlin")
OFFICE = Hours(BERLIN)
"""Monday to Friday, 09:00 to 18:00."""
ALWAYS = Hours()
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Asia/Kolkata")

moments = st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
durations = st.builds(Duration, days=st.integers(0, 3), seconds=st.integers(1, 100_000))


@st.composite
def hours_of_any_kind(draw: st.DrawFn) -> Hours:
    """At night too, where clocks change."""
    begins = draw(st.integers(0, 22 * 60))
    ends = draw(st.integers(begins + 60, 23 * 60 + 59))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    return Hours(time_zone(draw(st.sampled_from(ZONES))), days, _wall(begins), _wall(ends))


def _wall(minutes: int) -> time:
    return time(minutes // 60, minutes % 60)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


# Durations


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", Duration(seconds=90)),
        ("30m", Duration(seconds=1_800)),
        (" 4h ", Duration(seconds=14_400)),
        ("2d", Duration(days=2)),
        ("90d", Duration(days=90)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "4", "h", "0h", "-4h", "1.5h", "4 h", "1h30m", "4H", "2w", "٤h", "9" * 5_000 + "s"]
)
def test_anything_else_is_told_with_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number and s, m, h or d, such as 30m, 4h or 2d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["91d", "2161h", "9999999h"])
def test_a_duration_has_a_limit(text: str) -> None:
    with pytest.raises(ValueError, match="must be 90d at most"):
        parse_duration(text)


# Without hours


@given(moments, durations)
def test_without_hours_all_time_is_open(start: datetime, duration: Duration) -> None:
    assert ALWAYS.after(start, duration) == start + plain(duration)
    assert ALWAYS.opens(start) == start


def test_without_hours_a_day_has_24_hours_also_where_the_clocks_change() -> None:
    evening = berlin("2026-03-28T18:00")
    assert ALWAYS.after(evening, Duration(days=1)) == evening.astimezone(UTC) + timedelta(hours=24)


# With hours


@pytest.mark.parametrize(
    ("start", "text", "end"),
    [
        ("2026-11-20T10:00", "30m", "2026-11-20T10:30"),  # a Friday
        ("2026-11-20T17:00", "1h", "2026-11-20T18:00"),
        ("2026-11-20T17:00", "4h", "2026-11-23T12:00"),
        ("2026-11-20T07:00", "30m", "2026-11-20T09:30"),
        ("2026-11-20T18:00", "30m", "2026-11-23T09:30"),
        ("2026-11-21T12:00", "30m", "2026-11-23T09:30"),
        ("2026-11-19T10:00", "2d", "2026-11-23T10:00"),
        ("2026-11-19T10:00", "24h", "2026-11-23T16:00"),
        ("2026-03-27T17:00", "2h", "2026-03-30T10:00"),  # clocks go forward between
        ("2026-10-23T17:00", "2h", "2026-10-26T10:00"),  # and back
    ],
)
def test_only_open_time_counts(start: str, text: str, end: str) -> None:
    assert OFFICE.after(berlin(start), parse_duration(text)) == berlin(end)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-20T09:00", "2026-11-20T09:00"),
        ("2026-11-20T17:59", "2026-11-20T17:59"),
        ("2026-11-20T18:00", "2026-11-23T09:00"),
        ("2026-11-20T03:00", "2026-11-20T09:00"),
        ("2026-03-29T12:00", "2026-03-30T09:00"),
    ],
)
def test_it_is_open_or_opens_next(at: str, opens: str) -> None:
    assert OFFICE.opens(berlin(at)) == berlin(opens)


def test_a_day_without_an_hour_has_less_open_time_and_one_with_an_hour_twice_has_more() -> None:
    nights = Hours(BERLIN, frozenset({6}), time(1), time(5))
    hour = timedelta(hours=1)
    spring, autumn = berlin("2026-03-29T01:00"), berlin("2026-10-25T01:00")
    assert nights.after(spring, Duration(seconds=3 * 3_600)) == berlin("2026-03-29T05:00")
    assert nights.after(autumn, Duration(seconds=5 * 3_600)) == berlin("2026-10-25T05:00")
    assert berlin("2026-03-29T05:00").astimezone(UTC) - spring.astimezone(UTC) == 3 * hour
    assert berlin("2026-10-25T05:00").astimezone(UTC) - autumn.astimezone(UTC) == 5 * hour


def test_an_opening_that_is_left_out_comes_later_and_one_that_comes_twice_is_the_first() -> None:
    nights = Hours(BERLIN, frozenset({6}), time(2, 30), time(6))
    assert nights.opens(berlin("2026-03-29T00:00")) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 in Berlin
    assert nights.opens(berlin("2026-10-25T00:00")) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    ending = Hours(BERLIN, frozenset({6}), time(1), time(2, 30))
    assert ending.after(berlin("2026-10-25T01:00"), Duration(seconds=9_000)) == datetime(
        2026, 10, 25, 1, 30, tzinfo=UTC
    )


def test_a_day_that_a_country_left_out_is_not_counted_twice() -> None:
    apia = Hours(time_zone("Pacific/Apia"), frozenset(range(7)))
    thursday = datetime(2011, 12, 29, 9, tzinfo=time_zone("Pacific/Apia"))
    sunday = datetime(2012, 1, 1, 12, tzinfo=time_zone("Pacific/Apia"))
    assert apia.after(thursday, Duration(seconds=(9 + 9 + 3) * 3_600)) == sunday


def test_a_day_that_ends_in_an_hour_that_is_left_out_before_midnight_goes_on_after_it() -> None:
    nuuk = Hours(time_zone("America/Nuuk"), frozenset({5}), time(22), time(23, 30))
    after_midnight = datetime(2025, 3, 30, 0, 20, tzinfo=nuuk.zone)  # from 22:59 the clocks went to 00:00
    assert nuuk.opens(after_midnight) == after_midnight


@given(st.sampled_from(ZONES), moments, st.integers(1, 3_000))
def test_as_many_minutes_are_open_as_were_asked_for(zone: str, start: datetime, minutes: int) -> None:
    """Counted one by one, by the clock on the wall, in hours in which no clock changes."""
    hours = Hours(time_zone(zone), frozenset({0, 2, 3, 6}), time(10), time(17, 30))
    start = start.replace(second=0, microsecond=0)
    end = hours.after(start, Duration(seconds=60 * minutes))
    assert is_open(hours, end - timedelta(minutes=1))
    passed = (start + timedelta(minutes=n) for n in range((end - start) // timedelta(minutes=1)))
    assert sum(is_open(hours, at) for at in passed) == minutes


def is_open(hours: Hours, at: datetime) -> bool:
    wall = at.astimezone(hours.zone)
    return wall.weekday() in hours.days and hours.begins <= wall.time() < hours.ends


@given(hours_of_any_kind(), moments, durations, durations)
def test_time_adds_up(hours: Hours, start: datetime, first: Duration, second: Duration) -> None:
    both = Duration(first.days + second.days, first.seconds + second.seconds)
    middle = hours.after(start, first)
    assert hours.after(middle, second) == hours.after(start, both)
    assert start < middle < hours.after(start, both)
    assert hours.after(hours.opens(start), first) == middle


@given(hours_of_any_kind(), moments)
def test_when_it_opens_it_is_open(hours: Hours, at: datetime) -> None:
    opens = hours.opens(at)
    assert at <= opens <= at + timedelta(days=15)
    assert hours.opens(opens) == opens
    assert hours.after(opens, Duration(seconds=1)) == opens + timedelta(seconds=1)


@given(hours_of_any_kind(), moments, moments, durations)
def test_what_begins_later_ends_no_earlier(hours: Hours, one: datetime, other: datetime, duration: Duration) -> None:
    first, last = sorted((one, other))
    assert hours.after(first, duration) <= hours.after(last, duration)


# The table


def table(**changes: Any) -> HoursTable:
    return HoursTable.model_validate({"time_zone": "Europe/Berlin", "from": "09:00", "to": "18:00"} | changes)


def test_the_table_gives_the_hours() -> None:
    assert table().hours() == OFFICE
    assert table(days=["sat", "sun"]).hours().days == {5, 6}
    assert table(**{"from": time(8)}).hours().begins == time(8)
    assert date(2026, 11, 23).weekday() == DAYS.index("mon")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_zone": "Europe/Berln"}, "'Europe/Berln' is no time zone; did you mean Europe/Berlin?"),
        ({"time_zone": "../../etc/passwd"}, "is no time zone"),
        ({"time_zone": ""}, "is no time zone; it takes a name such as"),
        ({"time_zone": "Europe"}, "is no time zone"),
        ({"from": "22:00", "to": "06:00"}, "from must be at least an hour before to, on the same day"),
        ({"from": "09:00", "to": "09:30"}, "at least an hour"),
        ({"from": "09:00Z"}, "must be like 09:00"),
        ({"from": "9am"}, "must be like 09:00"),
        ({"from": 9}, "must be like 09:00"),
        ({"days": []}, "at least 1 item"),
        ({"days": ["monday"]}, "'mon'"),
        ({"begins": "09:00"}, "Extra inputs"),
    ],
)
def test_a_table_that_is_wrong_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        table(**changes)
