"""What a thread has done already, by class: how a plan reads the steps that were taken.

The log keeps a step as a name and JSON. `calls` makes it the class again, so that a plan compares no names and looks
into no dictionaries. Pure: it reads the thread.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from agent.steps import Result, Step
from store.events import StepRefused, ToolFinished
from store.state import OPEN, StepState
from store.thread import Thread

S = TypeVar("S", bound=Step)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Called(Generic[S]):
    """A step that was chosen in a thread, and what came of it."""

    step: S
    """With its arguments, as they were chosen."""
    state: StepState
    index: int
    """Among all that were `taken`: of two, the one chosen later has the higher."""

    @property
    def at(self) -> datetime:
        return self.state.chosen.at

    @property
    def by_code(self) -> bool:
        return self.state.chosen.by == "code"

    @property
    def by_model(self) -> bool:
        return self.state.chosen.by == "model"

    @property
    def is_open(self) -> bool:
        """It has not ended: it waits for somebody or something, or is under way."""
        return self.state.status in OPEN

    @property
    def error(self) -> str:
        """Why it was refused, or failed; empty: it did not."""
        return self.state.ended.error if isinstance(self.state.ended, ToolFinished | StepRefused) else ""

    def result(self, kind: type[R]) -> R | None:
        """What it answered. None: it has not ended, has failed, or its answer is none of this kind."""
        if not isinstance(self.state.result, dict):
            return None
        try:
            return kind.model_validate(self.state.result)
        except ValidationError:
            return None


def calls(thread: Thread, *kinds: type[S]) -> list[Called[S]]:
    """The steps of these classes, in the order in which they were chosen.

    One whose arguments the class does not take any more is left out.
    """
    by_intent = {kind.intent_name(): kind for kind in kinds}
    found = []
    for index, state in enumerate(taken(thread)):
        if kind := by_intent.get(state.chosen.intent):
            with contextlib.suppress(ValidationError):
                found.append(Called(kind.model_validate(state.chosen.arguments), state, index))
    return found


def taken(thread: Thread) -> list[StepState]:
    """All steps, without those that somebody's words overtook before they began: they are as good as not chosen."""
    return [state for state in thread.state.steps.values() if state.status != "superseded"]
