"""When a thread wants to be looked at again, and for what. Pure: the clock belongs to whoever asks.

A timer is only a time with a key. What happens when it fires is an event in the log, and `store.fold` reads that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from store.keys import TimerKey
from store.state import Request, State


def timers_of(state: State) -> dict[TimerKey, datetime]:
    """Every timer that runs, with its time."""
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
    """Those whose time has come. Nobody is reminded of a request that has expired meanwhile."""
    ripe = [key for key, at in timers.items() if at <= now]
    expired = {key.about for key in ripe if key.kind == "expire"}
    return [key for key in ripe if not (key.kind in ("remind", "widen") and key.about in expired)]


def _escalation(request: Request) -> Iterator[tuple[TimerKey, datetime]]:
    """What happens to a request that nobody decides: it is reminded of, put to more people, and expires."""
    terms = request.terms
    if terms.remind_at and not request.reminded:
        yield TimerKey("remind", request.step), terms.remind_at
    if terms.widen_at and not request.widened:
        yield TimerKey("widen", request.step), terms.widen_at
    if terms.expires_at:
        yield TimerKey("expire", request.step), terms.expires_at
