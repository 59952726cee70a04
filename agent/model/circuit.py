"""A circuit breaker: after several failed calls in a row, or when it asks for that, a model is left alone for a while.

While the circuit is open, callers learn at once that the model is unavailable, instead of waiting for another time-out.
When the pause is over, one call goes through as a probe: if it is answered, the circuit closes; if not, the next pause
is longer. One circuit belongs to one model in one process. It makes no call and starts no timer.
"""

from __future__ import annotations

from collections.abc import Callable

FAILURES_MAX = 5
"""Failed calls in a row that open the circuit."""
PAUSE_SECONDS = 15.0
PAUSE_SECONDS_MAX = 60.0
"""Each failed probe doubles the pause, up to this."""


class Circuit:
    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._failures = 0
        self._pause_seconds = PAUSE_SECONDS
        self._open_until: float | None = None
        self._slow_until = 0.0
        """Until then the endpoint has asked to be left alone."""
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @property
    def failures(self) -> int:
        """In a row, up to now."""
        return self._failures

    def wait_seconds(self) -> float:
        """How long until a call may be made; 0: now."""
        now = self._clock()
        if self._open_until is None:
            return max(self._slow_until - now, 0.0)
        if self._is_probing:
            return PAUSE_SECONDS  # However long the last pause was: what comes of the probe will be known soon.
        return max(self._open_until - now, self._slow_until - now, 0.0)

    def begin(self) -> bool:
        """A call begins. Returns whether it is the probe; `end` or `abandon` must follow."""
        assert not self.wait_seconds(), "the circuit is open"
        self._is_probing = self.is_open
        return self._is_probing

    def succeeded(self) -> None:
        """Some call was answered, which shows that the model is back, also if it began before the circuit opened."""
        self._failures = 0
        self._pause_seconds = PAUSE_SECONDS
        self._open_until = None
        self._is_probing = False

    def failed(self, *, was_probe: bool, retry_after_seconds: float = 0.0) -> None:
        """A call failed. `retry_after_seconds`: the pause that the endpoint asked for."""
        if self.is_open and not was_probe:
            return  # It began before the circuit opened, and tells nothing new.
        self._failures += 1
        if was_probe:
            self._is_probing = False
            self._pause_seconds = min(2 * self._pause_seconds, PAUSE_SECONDS_MAX)
        if was_probe or self._failures >= FAILURES_MAX:
            pause = min(max(self._pause_seconds, retry_after_seconds), PAUSE_SECONDS_MAX)
            self._open_until = self._clock() + pause

    def slowed_down(self, seconds: float, *, was_probe: bool) -> None:
        """The endpoint asked to be left alone for so long. That is no failure: it is there."""
        self.abandoned(was_probe=was_probe)
        self._slow_until = max(self._slow_until, self._clock() + min(seconds, PAUSE_SECONDS_MAX))

    def abandoned(self, *, was_probe: bool) -> None:
        """A call was cancelled, or refused for itself, which says nothing about the model."""
        if was_probe:
            self._is_probing = False
