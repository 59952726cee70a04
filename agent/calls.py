"""Reads the steps of a thread as typed objects, for plans.

The log stores a step as a name and JSON. `calls` turns it back into its class, so that a plan compares no names and
reads no dictionaries. Pure: it only reads the thread.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from agent.results import Result
from agent.steps import Step
from store.events import StepRefused, ToolFinished
from store.state import OPEN, StepState
from store.thread import Thread

S = TypeVar("S", bound=Step)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Called(Generic[S]):
    """A step that was chosen in a thread, and its state."""

    step: S
    """With the arguments that were chosen."""
    state: StepState
    index: int
    """Its position among the `steps_taken`."""

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
        """It has not ended: it waits or runs."""
        return self.state.status in OPEN

    @property
    def error(self) -> str:
        """Why it was refused or failed; empty: neither."""
        return self.state.ended.error if isinstance(self.state.ended, ToolFinished | StepRefused) else ""

    def result(self, kind: type[R]) -> R | None:
        """Its result. None: it has not ended, has failed, or has another kind of result."""
        if not isinstance(self.state.result, dict):
            return None
        try:
            return kind.model_validate(self.state.result)
        except ValidationError:
            return None


def calls(thread: Thread, *kinds: type[S]) -> list[Called[S]]:
    """The steps of these classes, in the order in which they were chosen.

    Steps whose arguments the class no longer accepts are left out.
    """
    by_intent = {kind.intent_name(): kind for kind in kinds}
    found = []
    for index, state in enumerate(steps_taken(thread)):
        if kind := by_intent.get(state.chosen.intent):
            with contextlib.suppress(ValidationError):
                found.append(Called(kind.model_validate(state.chosen.arguments), state, index))
    return found


def steps_taken(thread: Thread) -> list[StepState]:
    """All steps except superseded ones, which never began because somebody wrote first."""
    return [state for state in thread.state.steps.values() if state.status != "superseded"]
