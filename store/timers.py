"""The timers of a thread: when a worker has to look at it again, and why. Pure: the caller passes the time.

A timer is a time with a key. Firing appends an event; `store.fold` says what that event does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from store.keys import TimerKey
from store.state import Request, State


def timers_of(state: State) -> dict[TimerKey, datetime]:
    """Every running timer, with its time."""
    waits: dict[TimerKey, datetime] = {}
    if not state.cancelled:
        for step in (state.steps[step_id] for step_id in state.open_steps):
            if step.status == "waiting" and step.until:
                waits[TimerKey("wait", step.id, step.attempt)] = step.until
            elif step.status == "requested" and step.request:
                waits.update(_escalation(step.request))
        if state.retry_choice_at and not state.paused:
            waits[TimerKey("choice", number=state.choice_failures)] = state.retry_choice_at
    for key, unsent in state.outbox.items():
        if unsent.retry_at:
            waits[TimerKey("send", key, unsent.failures)] = unsent.retry_at
    return waits


def due(timers: dict[TimerKey, datetime], now: datetime) -> list[TimerKey]:
    """The timers whose time has come, without reminders of requests that expire at the same moment."""
    reached = [key for key, at in timers.items() if at <= now]
    expired = {key.about for key in reached if key.kind == "expire"}
    return [key for key in reached if not (key.kind in ("remind", "widen") and key.about in expired)]


def _escalation(request: Request) -> Iterator[tuple[TimerKey, datetime]]:
    """A request without a decision: people are reminded, then more people may decide, then it expires."""
    terms = request.terms
    if terms.remind_at and not request.reminded:
        yield TimerKey("remind", request.step), terms.remind_at
    if terms.widen_at and not request.widened:
        yield TimerKey("widen", request.step), terms.widen_at
    if terms.expires_at:
        yield TimerKey("expire", request.step), terms.expires_at
