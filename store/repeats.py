"""Finds calls that a model chose again: one that has begun since anybody wrote, and one that code has refused. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

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


def insists(thread: Thread, apart_from: Mapping[str, Collection[str]]) -> bool:
    """Whether the model chose a call again that code had refused, and that was refused again.

    `apart_from`: the arguments of each tool that do not count.
    """
    if not apart_from:
        return False
    refused: Counter[tuple[str, str]] = Counter()
    for step in thread.state.steps.values():
        if step.status == "refused" and step.chosen.by == "model":
            ignored = apart_from.get(step.chosen.intent, ())
            given = {name: value for name, value in step.chosen.arguments.items() if name not in ignored}
            refused[step.chosen.intent, repr(sorted(given.items()))] += 1
    return any(times > 1 for times in refused.values())


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
