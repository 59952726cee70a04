"""What people are told when somebody has stopped the agent's work: what that ended, what goes on, how it ends. Pure.

`store.moves.stop` says what a stop ends. What has begun outside goes on, and code says how it ended, because the model
is not asked again before somebody writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import JsonValue

from channels.messages import HEADLINE_CHARS_MAX
from store.events import StepChosen, StepRefused, ToolFinished, ToolNotBegun, WorkStopped
from store.state import StepState, effect_of
from store.text import call_in_words, one_line
from store.thread import Thread

VALUES_MAX = 8
VALUE_CHARS_MAX = 200


def stop_in_words(thread: Thread, event: WorkStopped) -> str:
    """`thread` ends with the stop."""
    before = thread.at(thread.version - 1)
    withdrawn = [step for step in before.open_steps("requested", "approved") if step.request]
    going_on = [step for step in thread.open_steps("running", "waiting", "due") if _concerns_people(step)]
    said = [f"Stopped by {event.by.name}."]
    said += [f"Withdrawn, and not run: {_named(step)}." for step in withdrawn]
    said += [f"It has begun already, so it goes on, and I will say how it ends: {_named(step)}." for step in going_on]
    return " ".join([*said, "Write to me to go on."])


def _concerns_people(step: StepState) -> bool:
    """Nobody waits any more for the result of a look."""
    return step.effect == "runs" and (step.chosen.acts or step.progress_shown)


def ended_since_stop(thread: Thread, following: Collection[str]) -> str:
    """What has ended since the stop, and since people were told last, and how; empty: nothing that concerns them.

    `following`: the intents of the tools that follow what others have begun.
    """
    said = []
    for event in reversed(thread.events):
        match event:
            case WorkStopped():
                break
            case StepChosen(by="code") if effect_of(event) == "says":
                break
            case ToolFinished() | StepRefused() | ToolNotBegun():
                step = thread.state.steps[event.step]
                concerns = _concerns_people(step) or step.chosen.intent in following
                if concerns and event == step.ended:
                    said.append(f"- {_named(step)}: {_ending(event, step)}")
            case _:
                pass
    return "\n".join(["I was stopped, and this has ended since:", *reversed(said)]) if said else ""


def _ending(event: ToolFinished | StepRefused | ToolNotBegun, step: StepState) -> str:
    match event:
        case ToolNotBegun():
            return f"not begun. {event.why}"
        case ToolFinished(error="", result=dict() as result):
            return _values(result, step.chosen.arguments) or "done"
        case ToolFinished(error="", result=result):
            return f"done. {one_line(str(result), VALUE_CHARS_MAX)}" if result is not None else "done"
        case ToolFinished(error=error) | StepRefused(error=error):
            return f"failed. {error}"


def _values(result: Mapping[str, JsonValue], known: Mapping[str, JsonValue]) -> str:
    news = [(name, value) for name, value in result.items() if known.get(name) != value and value not in ("", None)]
    short = (f"{name} {one_line(str(value), VALUE_CHARS_MAX)}" for name, value in news[:VALUES_MAX])
    return ", ".join(short)


def _named(step: StepState) -> str:
    call = step.request.title if step.request else call_in_words(step.chosen.intent, step.chosen.arguments)
    return one_line(call, HEADLINE_CHARS_MAX)
