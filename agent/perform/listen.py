"""How long to listen before the model is asked: people often write several messages in a row.

A single message is never kept waiting. Pure: the caller passes the time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from store.choices import ChoiceFailed
from store.thread import Thread

PAUSE = timedelta(seconds=0.5)
"""Whoever writes several messages in a row pauses no longer than this between two of them."""
LISTEN_MAX = timedelta(seconds=1)


class PeopleAreWriting(Exception):
    """The model is not asked yet, because the next message will probably arrive in a moment."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"people are writing; again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


def listening_seconds(thread: Thread, now: datetime) -> float:
    """How much longer to listen; 0: ask now.

    Worth it where two unread messages came one right after the other, or where a message has just made an answer of
    the model outdated.
    """
    state = thread.state
    written = [thread.events[index].at for index in sorted(state.edits.fresh.values()) if index >= state.read]
    in_a_row = len(written) > 1 and written[-1] - written[-2] <= PAUSE
    if not written or not (in_a_row or state.outdated_in_row):
        return 0.0
    begun = max(written[0], _last_discard(thread)) if state.outdated_in_row else written[0]
    until = min(written[-1] + PAUSE, begun + LISTEN_MAX)
    if now < written[-1]:
        return 0.0  # The clock of the machine that received it is ahead of this one.
    return max((until - now).total_seconds(), 0.0)


def _last_discard(thread: Thread) -> datetime:
    failures = (event for event in reversed(thread.events) if isinstance(event, ChoiceFailed))
    return next(failure.at for failure in failures if failure.reason == "outdated")
