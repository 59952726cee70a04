"""Finds a call that has begun already since anybody wrote. A model that chooses it again may not have noticed. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from store.events import Event, MessageReceived, StepChosen, ToolFinished, TriggerReceived
from store.state import StepState
from store.thread import Thread


def begun_before(thread: Thread, step: StepState) -> StepState | None:
    """The last call of the same tool with the same arguments that has begun in this turn; None: there is none.

    Only what a model chose: code that repeats a call has its reasons.
    """
    if step.chosen.by != "model":
        return None
    for event in _before(thread, step):
        match event:
            case MessageReceived() | TriggerReceived():
                return None
            case StepChosen(by="model") if _is_same(event, step.chosen):
                known = thread.state.steps[event.step]
                if known.attempt and not _changed_nothing(known):
                    return known
            case _:
                pass
    return None


def _before(thread: Thread, step: StepState) -> Iterator[Event]:
    """The events before the choice of this step, the newest first."""
    events = reversed(thread.events)
    for event in events:
        if event.id == step.chosen.id:
            break
    return events


def _changed_nothing(step: StepState) -> bool:
    """It failed, and its tool guarantees that nothing came of it: it may be tried again."""
    return isinstance(step.ended, ToolFinished) and bool(step.ended.error)


def _is_same(one: StepChosen, other: StepChosen) -> bool:
    return (one.intent, one.arguments) == (other.intent, other.arguments)
