"""Finds calls that a model chose again: one that has begun since anybody wrote, and one that code has refused, or that
names something else in place of what is not there. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from store.events import Event, MessageReceived, StepChosen, StepRefused, ToolFinished, TriggerReceived
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


def in_place_of_unknown(thread: Thread, step: StepState, apart_from: Collection[str]) -> str:
    """What names nothing, as code has said, and in place of which the model now names something else; empty: nothing.

    What people of whom somebody vouches have written themselves since the thread began, it may name. `apart_from`: the
    arguments that do not count.
    """
    if step.chosen.by != "model":
        return ""
    for event in _before(thread, step):
        match event:
            case MessageReceived() | TriggerReceived():
                return ""
            case StepRefused(unknown=unknown) if unknown:
                before = thread.state.steps[event.step].chosen
                instead = _named_instead(before, step.chosen, unknown, apart_from)
                if instead and not all(_was_written(thread, value) for value in instead):
                    return unknown
            case _:
                pass
    return ""


def _named_instead(before: StepChosen, now: StepChosen, unknown: str, apart_from: Collection[str]) -> list[str]:
    """The values that stand now where the unknown one stood, in what is the same call otherwise."""
    names = {name for name in {*before.arguments, *now.arguments} if name not in apart_from}
    changed = {name for name in names if before.arguments.get(name) != now.arguments.get(name)}
    is_same = before.intent == now.intent and all(before.arguments.get(name) == unknown for name in changed)
    return [str(now.arguments.get(name, "")) for name in sorted(changed)] if is_same else []


def _was_written(thread: Thread, value: str) -> bool:
    whole = re.compile(rf"(?<![\w.-]){re.escape(value)}(?![\w-]|\.\w)")
    messages = (event for event in thread.events if isinstance(event, MessageReceived))
    return any(one.sender.trust == "verified" and whole.search(one.text) for one in messages)


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
