"""When schedules are due: cron on the wall of a time zone, what was missed, and business hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.definition import Agent
from bot.app import roster_problems
from bot.setup import load
from bot.team.calendar import schedules_of
from bot.team.hours import Hours
from bot.team.problems import SettingsError
from bot.team.schedules import GRACE, Schedule, ScheduleTable

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
WEEKDAYS = Hours(ZoneInfo(BERLIN), frozenset(range(5)), time(9), time(18))
MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
"""At 09:00 in Berlin."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def schedule(cron: str, zone: str = BERLIN, *, hours: Hours | None = None, **more: Any) -> Schedule:
    table = {"cron": cron, "time_zone": zone, "agent": "ops", "place": "terminal:ops", "say": "hello", **more}
    return Schedule("monday", ScheduleTable.model_validate(table), hours or Hours())


def due_on(day: date, cron: str, zone: str) -> list[str]:
    """What is due on that day in that zone, as the clock on the wall has it."""
    midnight = datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = takewhile(lambda due: due < midnight + 30 * HOUR, schedule(cron, zone).dues(midnight - MINUTE))
    local = [due.astimezone(ZoneInfo(zone)) for due in found]
    return [f"{at:%H:%M %Z}" for at in local if at.date() == day]


@pytest.mark.parametrize(
    ("zone", "day", "at"),
    [
        (BERLIN, date(2026, 3, 29), ["03:00 CEST"]),
        (BERLIN, date(2026, 10, 25), ["02:30 CEST"]),
        (NEW_YORK, date(2026, 3, 8), ["03:00 EDT"]),
        (BERLIN, date(2026, 7, 1), ["02:30 CEST"]),
        (NEW_YORK, date(2026, 11, 1), ["02:30 EST"]),
    ],
)
def test_a_daily_schedule_comes_once_where_its_hour_is_left_out_or_comes_twice(
    zone: str, day: date, at: list[str]
) -> None:
    assert due_on(day, "30 2 * * *", zone) == at


def test_an_hour_that_comes_twice_in_new_york_is_the_one_after_one() -> None:
    assert due_on(date(2026, 11, 1), "30 1 * * *", NEW_YORK) == ["01:30 EDT"]


def test_what_came_in_an_hour_does_not_come_again_when_the_hour_does() -> None:
    second_time = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    assert f"{second_time.astimezone(ZoneInfo(BERLIN)):%H:%M %Z}" == "02:15 CET"
    assert next(schedule("30 2 * * *").dues(second_time)) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_hours_that_are_left_out_come_together_and_once() -> None:
    assert due_on(date(2026, 3, 29), "0 1-4 * * *", BERLIN) == ["01:00 CET", "03:00 CEST", "04:00 CEST"]


def test_what_comes_every_hour_comes_every_hour() -> None:
    assert len(due_on(date(2026, 3, 29), "0 * * * *", BERLIN)) == 23
    assert len(due_on(date(2026, 10, 25), "0 * * * *", BERLIN)) == 25


@given(
    seconds=st.integers(0, 365 * 24 * 3_600),
    zone=st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "America/Santiago", "UTC"]),
    cron=st.sampled_from(["30 2 * * *", "0 0 * * *", "15,45 1,2 * * *", "*/30 * * * *", "0 9 * * MON-FRI"]),
)
def test_due_times_are_in_order_and_the_same_from_wherever_one_looks(seconds: int, zone: str, cron: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    found = list(islice(schedule(cron, zone).dues(start), 8))
    assert start < found[0]
    assert all(earlier < later for earlier, later in pairwise(found))
    assert next(schedule(cron, zone).dues(found[3])) == found[4]
    assert next(schedule(cron, zone).dues(found[4] - timedelta(microseconds=1))) == found[4]


# Missed


def test_it_fires_when_it_is_due_and_not_before() -> None:
    weekly = schedule("0 9 * * MON")
    assert weekly.look(MONDAY - DAY, MONDAY - MINUTE).fires == ()
    look = weekly.look(MONDAY - DAY, MONDAY)
    assert (look.fires, look.done, look.next) == ((MONDAY,), MONDAY, MONDAY + 7 * DAY)
    assert weekly.look(look.done, MONDAY + MINUTE).fires == ()


@pytest.mark.parametrize("missed", ["skip", "once"])
def test_a_little_late_is_not_missed(missed: str) -> None:
    weekly = schedule("0 9 * * MON", missed=missed)
    assert weekly.look(MONDAY - DAY, MONDAY + GRACE).fires == (MONDAY,)


def test_what_was_missed_is_forgotten_or_fired_once_for_the_newest() -> None:
    back = MONDAY + GRACE + timedelta(seconds=1)
    assert schedule("0 9 * * MON").look(MONDAY - 30 * DAY, back).fires == ()
    once = schedule("0 9 * * MON", missed="once").look(MONDAY - 30 * DAY, back)
    assert once.fires == (MONDAY,)
    assert schedule("0 9 * * MON", missed="once").look(once.done, back + MINUTE).fires == ()
    assert schedule("0 9 1 1 *", missed="once").look(MONDAY - 700 * DAY, back).fires == (
        datetime(2026, 1, 1, 8, tzinfo=UTC),
    )


def test_what_was_missed_is_not_made_up_for_beside_one_that_fires_now() -> None:
    hourly = schedule("0 * * * *", missed="once")
    assert hourly.look(MONDAY - 5 * HOUR, MONDAY).fires == (MONDAY,)


def test_a_clock_that_was_ahead_keeps_nothing_from_firing() -> None:
    weekly = schedule("0 9 * * MON", missed="once")
    look = weekly.look(MONDAY + 365 * DAY, MONDAY + MINUTE)
    assert look.fires == (MONDAY,)
    assert look.done == MONDAY + 365 * DAY
    assert weekly.look(MONDAY + 365 * DAY, MONDAY + DAY).fires == (), "what it missed, nobody knows then"


# Business hours


def test_what_is_due_at_night_waits_for_the_morning_and_fires_once() -> None:
    nightly = schedule("0 3 * * MON", hours=WEEKDAYS)
    at_night = MONDAY - 6 * HOUR
    early = nightly.look(at_night - DAY, at_night + MINUTE)
    assert (early.fires, early.next) == ((), MONDAY)
    fired = nightly.look(early.done, MONDAY)
    assert fired.fires == (at_night,)
    assert nightly.look(fired.done, MONDAY + MINUTE).fires == ()


def test_of_several_that_wait_for_one_opening_the_newest_fires() -> None:
    hourly = schedule("30 * * * *", hours=WEEKDAYS)
    friday_evening = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
    assert hourly.look(friday_evening, MONDAY - MINUTE).fires == ()
    assert hourly.look(friday_evening, MONDAY + MINUTE).fires == (MONDAY - 30 * MINUTE,)


def test_a_schedule_may_skip_or_ignore_the_business_hours() -> None:
    sunday = MONDAY - DAY
    skips = schedule("0 9 * * *", hours=WEEKDAYS, quiet="skip")
    assert skips.look(sunday - HOUR, sunday).fires == ()
    assert skips.look(sunday, MONDAY).fires == (MONDAY,)
    ignores = schedule("0 9 * * *", hours=WEEKDAYS, quiet="ignore")
    assert ignores.look(sunday - HOUR, sunday).fires == (sunday,)


def test_what_was_missed_is_not_made_up_for_at_night() -> None:
    daily = schedule("0 10 * * *", hours=WEEKDAYS, missed="once", quiet="skip")
    friday = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    saturday = daily.look(friday - HOUR, friday + DAY)
    assert saturday.fires == ()
    assert daily.look(saturday.done, MONDAY).fires == (friday,)


def test_the_next_times_are_those_at_which_it_fires() -> None:
    assert [f"{at:%a %H:%M}" for at in schedule("0 3 * * *", hours=WEEKDAYS).upcoming(MONDAY - 2 * DAY, 3)] == [
        "Mon 09:00",
        "Tue 09:00",
        "Wed 09:00",
    ]
    assert schedule("0 3 * * *", hours=WEEKDAYS, quiet="skip").upcoming(MONDAY, 3) == []


@pytest.mark.parametrize("quiet", ["wait", "skip", "ignore"])
@given(
    steps=st.lists(st.integers(1, 4_000), min_size=1, max_size=60), cron=st.sampled_from(["0 */5 * * *", "7 3 * * *"])
)
def test_however_often_one_looks_nothing_fires_twice_and_in_time_nothing_is_left_out(
    quiet: str, steps: list[int], cron: str
) -> None:
    some = schedule(cron, hours=WEEKDAYS, quiet=quiet, missed="once")
    done = now = start = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    fired: list[datetime] = []
    for minutes in steps:
        now += minutes * MINUTE
        look = some.look(done, now)
        assert look.done >= done
        assert look.next is None or look.next > now
        fired += look.fires
        done = look.done
    assert fired == sorted(set(fired))
    assert all(start < due <= now for due in fired)
    # Looking at the very moments leaves out only those that wait for the same opening as a later one.
    done, at_leisure = start, list[datetime]()
    following = some.look(start, start).next
    while following and following <= now:
        look = some.look(done, following)
        at_leisure += look.fires
        done, following = look.done, look.next
    assert set(fired) <= set(at_leisure)
    if at_leisure and WEEKDAYS.opens(now) == now:
        assert at_leisure[-1] in fired, "the newest is never lost"


# Where a firing opens its thread


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("slack:C0123", "/C0123/#monday@M"),
        ("email:Ada@example.com", "ada@example.com/monday@M"),
        ("terminal:ops", "ops/monday@M"),
    ],
)
def test_each_firing_has_a_place_of_its_own(place: str, address: str) -> None:
    found = schedule("0 9 * * MON", place=place).place("M")
    assert (found.channel, found.address) == (place.partition(":")[0], address)


# What may stand in the team file


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cron": "0 9 * * MONDAY"}, "Bad day-of-week"),
        ({"cron": "0 0 9 * * MON"}, "five fields"),
        ({"cron": "@daily"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, "must be due at some time, but '0 0 31 2 *' never is"),
        ({"cron": "0 0 32 2 *"}, "Bad day-of-month"),
        ({"cron": "0 0 31 13 *"}, "Bad month"),
        ({"cron": f"{'9' * 90} 0 * * *"}, "Bad minute"),
        ({"time_zone": "Europe/Brlin"}, "did you mean Europe/Berlin"),
        ({"place": "slack:#general"}, "must be slack:"),
        ({"place": "email:a/b@example.com"}, "must be slack:"),
        ({"place": "terminal:a/b"}, "must be slack:"),
        ({"say": "x" * 3_001}, "at most 3000"),
        ({"missed": "twice"}, "'skip' or 'once'"),
        ({"often": True}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        schedule(**({"cron": "0 9 * * MON"} | wrong))
    assert words in str(caught.value)


SITE = """
[agents.deploy.environments]
production = {}
[agents.deploy.components.backend]
repository = "/nowhere"
[agents.deploy.components.backend.targets.production]
deploy = ["true", "{sha}"]
status = ["true"]
"""
TABLE = 'cron = "0 9 * * MON"\ntime_zone = "UTC"\n'


def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    for name in ("SLACK_BOT_TOKEN", "EMAIL_ADDRESS", "BOT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.toml").write_text(SITE + text)
    try:
        load(roster_problems)
    except SettingsError as error:
        return error.problems
    return []


def test_names_that_mean_nothing_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(
        tmp_path,
        monkeypatch,
        f'[schedules.a]\n{TABLE}agent = "deply"\nplace = "terminal:ops"\nsay = "x"\n'
        + f'[schedules.b]\n{TABLE}agent = "deploy"\nplace = "slack:C0123"\nopening = "waiting"\n'
        + f'[schedules.c]\n{TABLE}place = "email:a@example.com"\n'
        + f'[schedules.d]\n{TABLE}agent = "deploy"\nplace = "terminal:ops"\nopening = "waiting_commits"\n'
        + f'[schedules.e]\n{TABLE}agent = "deply"\nplace = "terminal:ops"\nopening = "waiting"\nsay = "x"\n',
    ) == [
        "schedules.a in the team file: 'deply' is no agent that is set up; did you mean deploy?",
        "schedules.b in the team file: 'waiting' is no opening of deploy; did you mean waiting_commits?",
        "schedules.b in the team file names 'slack:C0123', and slack is not set up.",
        "schedules.c in the team file must have exactly one of say, ask, task, opening.",
        "schedules.c in the team file names 'email:a@example.com', and email is not set up.",
        "schedules.e in the team file must have exactly one of say, ask, task, opening.",
        "schedules.e in the team file: 'deply' is no agent that is set up; did you mean deploy?",
        "schedules.e in the team file: 'waiting' is no opening of any agent; did you mean waiting_commits?",
    ]


def test_who_is_not_named_is_the_agent_that_answers_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'[schedules.a]\n{TABLE}place = "terminal:ops"\nopening = "waiting_commits"\n'
    assert problems(tmp_path, monkeypatch, text) == []
    monkeypatch.setenv("BOT_CONFIG", "bot.toml")
    team = load().team
    for names, agent in ((["rollback", "deploy"], "deploy"), (["ops"], "ops"), (["ops", "web"], "ops")):
        roster = {name: Agent(name=name, prompt="", tools=(), openings={"waiting_commits": ""}) for name in names}
        assert [one.table.agent for one in schedules_of(team, roster, {}, {"terminal": None})] == [agent]
    with pytest.raises(SettingsError, match=r"no agent is set up; add a table such as \[agents.deploy\]"):
        schedules_of(team, {}, {}, {"terminal": None})


def test_a_schedule_has_a_plain_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = problems(
        tmp_path, monkeypatch, f'[schedules."a/b"]\n{TABLE}agent = "deploy"\nplace = "terminal:ops"\nsay = "x"\n'
    )
    assert "schedules in the team file holds 'a/b'" in problem
