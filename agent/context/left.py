"""What was under way when a thread was cancelled, for the block that tells the model that it goes on.

It is told where the thread was reopened and not where the calls were chosen: so a prompt still only grows at its end,
and stays in the provider's cache. It rests on what had happened until then, so an end that lands later changes nothing
of it. Pure.
"""

from __future__ import annotations

from store.events import (
    StepChosen,
    StepRefused,
    ThreadReopened,
    ToolFinished,
    ToolInterrupted,
    ToolNotBegun,
    ToolStarted,
)
from store.text import call_in_words
from store.thread import Thread


def is_reopened(thread: Thread, index: int) -> bool:
    """Whether the thread was reopened after this event."""
    return any(isinstance(event, ThreadReopened) for event in thread.events[index:])


def left_under_way(thread: Thread, index: int) -> list[str]:
    """The calls that waited or ran when the thread was cancelled, which the event at `index` has reopened."""
    chosen: dict[str, StepChosen] = {}
    begun: set[str] = set()
    for event in thread.events[:index]:
        match event:
            case StepChosen():
                chosen[event.step] = event
                if event.begun or event.until:
                    begun.add(event.step)
            case ToolStarted():
                begun.add(event.step)
            case ToolFinished() | ToolInterrupted() | ToolNotBegun() | StepRefused():
                begun.discard(event.step)
            case ThreadReopened():
                begun.clear()
            case _:
                pass
    left = (event for step, event in chosen.items() if step in begun and not _is_over(thread, event))
    return [call_in_words(one.intent, one.arguments) for one in left]


def _is_over(thread: Thread, chosen: StepChosen) -> bool:
    """A wait that had come to its end: no event of the step says so."""
    return bool(chosen.until) and thread.state.steps[chosen.step].status != "cancelled"
