"""Whether people have answered already, and are not asked for the same call again before anything has changed.

Small models propose at once what was just rejected. People must not have to reject it again and again. Pure.
"""

from __future__ import annotations

from agent.steps import Tool
from store.events import MessageReceived, StepChosen, TimerFired, TriggerReceived
from store.keys import TimerKey
from store.state import StepState
from store.thread import Thread


def answered_already(thread: Thread, state: StepState, tool: Tool) -> str:
    """Why people are not asked for the same call again, as nobody has written since; empty: they are.

    It has expired, and asking again would loop for ever. Or they rejected it, and nothing has begun since: what a
    comment wants first begins before the call is proposed again. A reminder that was set before the call was chosen
    asks for it too. One that the model has set since would only be insistence, unless a comment may have wished for it.
    """
    if state.chosen.by == "person":
        return ""
    came_back = set[str]()
    has_waited = False
    for event in reversed(thread.events):
        match event:
            case MessageReceived() | TriggerReceived():
                return ""
            case TimerFired() if woken := _woken_by(thread, event):
                has_waited = True
                if woken.effect == "reminds":
                    came_back.add(woken.id)
            case StepChosen() if event.step in came_back:
                came_back.remove(event.step)
            case StepChosen() if event.step != state.id:
                known = thread.state.steps[event.step]
                if known.attempt and event.acts:
                    return ""
                asked = known.request
                if asked and event.intent == state.chosen.intent and tool.is_same(event.arguments, asked.asked.facts):
                    if came_back:
                        return ""
                    if known.status == "expired":
                        return "Nobody decided on this in time. I will ask again when somebody writes here."
                    if known.status == "rejected" and asked.decision:
                        return _rejected(asked.decision.comment, has_waited=has_waited)
            case _:
                pass
    return ""


def _rejected(comment: str, *, has_waited: bool) -> str:
    if not comment:
        return "This was rejected, without a reason. I will propose it again when somebody asks for it."
    if has_waited:
        return ""
    return (
        "This was rejected, and nothing has begun since. First do what the comment says, or ask what to do. "
        "I will propose it again after that, or when somebody asks for it."
    )


def _woken_by(thread: Thread, event: TimerFired) -> StepState | None:
    """The step that set this timer, of those with which a model waits or is reminded."""
    key = TimerKey.parse(event.timer)
    step = thread.state.steps.get(key.about) if key else None
    return step if step and step.effect in ("reminds", "waits") else None
