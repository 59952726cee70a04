"""Durations as people write them: `90s`, `30m`, `4h` or `2d`. Pure.

What a day is depends on the business hours (`bot.team.hours`). A command that only looks for an age needs none of
those, so this module imports no more than it uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

DURATION_DAYS_MAX = 90

PATTERN = r"([0-9]{1,7})([smhd])"
_DURATION = re.compile(PATTERN)
_SECONDS = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True, slots=True)
class Duration:
    days: int = 0
    """The business hours define the length of a day."""
    seconds: int = 0


def parse_duration(text: str) -> Duration:
    """`90s`, `30m`, `4h` or `2d`. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not (number := int(found[1])):
        raise ValueError(f"must be a number and s, m, h or d, such as 30m, 4h or 2d, not {text[:40]!r}")
    duration = Duration(days=number) if found[2] == "d" else Duration(seconds=number * _SECONDS[found[2]])
    if plain(duration) > timedelta(days=DURATION_DAYS_MAX):
        raise ValueError(f"must be {DURATION_DAYS_MAX}d at most, not {text[:40]!r}")
    return duration


def plain(duration: Duration) -> timedelta:
    """The duration in elapsed time, ignoring business hours."""
    return timedelta(days=duration.days, seconds=duration.seconds)
