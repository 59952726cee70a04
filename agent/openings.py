"""How a thread begins that no person opened: what a schedule of the team says or asks by code.

Only a schedule's own trigger counts. What other machines send may hold the same words, and they are not the team's.
Pure: it reads the thread.
"""

from __future__ import annotations

from itertools import takewhile

from agent.steps import DoneForNow, Step, as_question
from store.events import CRON, MessageReceived, StepChosen, TriggerReceived
from store.thread import Thread


def unheard(thread: Thread) -> TriggerReceived | None:
    """The schedule's trigger that stands last, as long as nobody has spoken since."""
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
    """What a trigger with `say` or `ask` leads to; None once any step was chosen after it, or somebody spoke.

    For `agent.decide`, before the agent's own plan.
    """
    trigger = unheard(thread)
    if trigger is None:
        return None
    since = reversed(thread.events)
    if any(isinstance(event, StepChosen) for event in takewhile(lambda event: event is not trigger, since)):
        return None
    match trigger.data:
        case {"say": str(text)}:
            return DoneForNow(message=text)
        case {"ask": str(text)}:
            return as_question(text)
        case _:
            return None


def opening_of(thread: Thread) -> str:
    """The name of the opening that the agent's plan is to carry out, as long as nobody has spoken; else empty."""
    trigger = unheard(thread)
    return str(trigger.data.get("opening", "")) if trigger else ""
