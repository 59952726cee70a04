"""What a thread does while its model is unavailable: it says so once, and asks again and again.

Nothing is wrong with the thread, so this is no error of it, and no number of failures stops it, only time
(`Limits.unavailable_seconds`): it is counted from the first failure in the log, so it goes on counting in whichever
worker. As soon as the model answers, the thread goes on by itself. Which model is left alone, and for how long, belongs
to `agent.model`.
"""

from __future__ import annotations

from datetime import timedelta

from agent.model.base import ModelFailure
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from store import keys
from store.choices import ChoiceFailed

FIRST_RETRY_SECONDS = 2.0
BACKOFF_SECONDS_MAX = 60.0
"""The longest delay before the next attempt, if the model does not ask for a longer one."""
RETRY_SECONDS_MAX = 600.0


class ModelAway(Exception):
    """The model is still unavailable, which the thread has noted before."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"the model is still unavailable; again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


def unavailable(turn: Turn, failure: ModelFailure) -> ChoiceFailed:
    """What to note. Raises ModelAway if that would be nothing new."""
    now, since = turn.now(), turn.thread.state.unavailable_since
    away_seconds = (now - since).total_seconds() if since else 0.0
    left_seconds = turn.agent.limits.unavailable_seconds - away_seconds
    retry_at = None
    if left_seconds > 0:
        # 2, 8, 32 seconds: each delay is longer than all before it together.
        backoff_seconds = min(FIRST_RETRY_SECONDS + 3 * away_seconds, BACKOFF_SECONDS_MAX)
        delay_seconds = min(failure.retry_after_seconds or backoff_seconds, RETRY_SECONDS_MAX, left_seconds)
        if since and failure.is_known and not failure.usage:
            raise ModelAway(delay_seconds)
        retry_at = now + timedelta(seconds=delay_seconds)
    return ChoiceFailed(
        id=keys.choice_failed(turn.thread.number),
        at=now,
        reason="unavailable",
        error=failure.error[:ERROR_CHARS_MAX],
        retry_at=retry_at,
        counted=False,
        model=failure.model,
        usage=failure.usage,
    )
