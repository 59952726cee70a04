"""The first step of a thread that a schedule opened: what the schedule says or asks, without the model.

Only triggers from schedules count: other machines may send the same data, but the team did not write it.
Pure: it only reads the thread.
"""

from __future__ import annotations

from agent.steps import DoneForNow, Step, as_question
from store.events import CRON, MessageReceived, StepChosen, TriggerReceived
from store.thread import Thread


def schedule_trigger(thread: Thread) -> TriggerReceived | None:
    """The newest trigger, if it came from a schedule and nobody has written since."""
    for event in reversed(thread.events):
        match event:
            case TriggerReceived():
                return event if event.source == CRON else None
            case MessageReceived():
                return None
            case _:
                pass
    return None


def opening_step(thread: Thread) -> Step | None:
    """The step for a trigger with `say` or `ask`; None once a step was chosen that knew of it, or somebody wrote.

    `agent.decide` asks this before the agent's own plan.
    """
    trigger = schedule_trigger(thread)
    if trigger is None:
        return None
    index = thread.events.index(trigger)
    if any(isinstance(event, StepChosen) and not 0 < event.seen <= index for event in thread.events[index:]):
        return None
    match trigger.data:
        case {"say": str(text)}:
            return DoneForNow(message=text)
        case {"ask": str(text)}:
            return as_question(text)
        case _:
            return None


def opening_of(thread: Thread) -> str:
    """The name of the opening for the agent's plan to carry out; empty: none, or somebody has written."""
    trigger = schedule_trigger(thread)
    return str(trigger.data.get("opening", "")) if trigger else ""
