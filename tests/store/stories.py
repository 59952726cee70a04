"""How stories of a thread begin, and what is asked of the thread that they make."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from store.events import ApprovalDecided
from store.state import Request, State, StepState
from store.thread import Thread
from store.values import Person
from tests.telling.story import AT, approved, chosen, message, requested, sent, started, thread

CARD = (message(), chosen("s1", acts=True), requested("s1"))
"""A request that stands."""
SHOWN = (*CARD, sent("s1/card"))
"""A request whose card the people have seen."""
RUNNING = (message(), chosen("s1"), started("s1"))


def step(of: Thread, step_id: str = "s1") -> StepState:
    return of.state.steps[step_id]


def unsent(of: Thread) -> list[str]:
    return list(of.state.outbox)


def timers(of: Thread) -> dict[str, datetime]:
    return {str(key): at for key, at in of.timers.items()}


def but_for_outcomes(of: Thread) -> State:
    """The state, as if nobody had tried to decide: that is on record, and changes nothing else."""
    state = of.state.copy()
    for step_id, one in state.steps.items():
        if one.request:
            state.steps[step_id] = one._replace(request=one.request._replace(outcomes={}))
    return state


def request_of(step: StepState) -> Request:
    assert step.request
    return step.request


def governed(**terms: Any) -> Thread:
    """A request under terms, its card out everywhere."""
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", "d1", **terms))
    return waiting.extended([sent(key) for key in waiting.state.outbox])


def member(person: Person, key: str) -> Person:
    return person.model_copy(update={"member": key})


def yes(by: Person, *groups: str, at: datetime = AT) -> ApprovalDecided:
    return approved("s1", by, "d1", groups=groups, at=at)
