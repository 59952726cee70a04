"""An agent that follows what it touched: what has begun outside goes on, whatever keeps it from beginning more."""

from __future__ import annotations

from typing import ClassVar

from agent.steps import Step
from store.thread import Thread
from tests.telling.playbook import Look, Slow


class Watch(Slow):
    """Follows what was touched to its end."""

    follows: ClassVar[bool] = True


def watches_what_was_touched(thread: Thread) -> Step | None:
    intents = [step.chosen.intent for step in thread.state.steps.values()]
    return Watch() if "touch" in intents and "watch" not in intents else Look()
