"""The list of tasks that an agent shows people (`show_tasks`), and what has become of each. Pure.

The agent says once what it will do; the rest is computed from its steps. A task belongs to the first step of its intent
that the agent chooses after the list, and until one of them succeeds, to each further one. This module writes no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from store.keys import MessageKey

if TYPE_CHECKING:
    from store.state import State, StepState, StepStatus

TaskState = Literal["to_do", "waiting_for_approval", "under_way", "done", "not_done"]

_STATES: dict[StepStatus, TaskState] = {
    "chosen": "under_way",
    "requested": "waiting_for_approval",
    "approved": "under_way",
    "running": "under_way",
    "waiting": "under_way",
    "due": "under_way",
    "finished": "done",
    "failed": "not_done",
    "rejected": "not_done",
    "expired": "not_done",
    "refused": "not_done",
    "interrupted": "not_done",
    "cancelled": "not_done",
}
"""Of a task, by its step. A step with another status gave way before it began: its task is still to do."""


class Task(NamedTuple):
    title: str
    intent: str
    """Of the step that does it."""
    state: TaskState = "to_do"


def tasks_of(state: State, list_step: str) -> tuple[Task, ...]:
    """The tasks of this list as they stand."""
    listed = state.steps[list_step].chosen.arguments.get("tasks")
    tasks = [
        Task(str(task.get("title", "")), str(task.get("does", "")))
        for task in cast(list[Any], listed if isinstance(listed, list) else [])
        if isinstance(task, dict)
    ]
    for step in reversed([*_after(state, list_step)]):
        if new := _STATES.get(step.status):
            of_it = (n for n, task in enumerate(tasks) if task.intent == step.chosen.intent and task.state != "done")
            if (number := next(of_it, None)) is not None:
                tasks[number] = tasks[number]._replace(state=new)
    return tuple(tasks)


def _after(state: State, list_step: str) -> Iterator[StepState]:
    """The steps that were chosen after the list, the last one first."""
    for step in reversed(state.steps.values()):
        if step.id == list_step:
            return
        yield step


def follow_tasks(state: State, before: tuple[Task, ...], index: int) -> None:
    """Show the list again if this event changed it, until everything is done."""
    now = tasks_of(state, state.tasks)
    if now != before:
        key = MessageKey(state.tasks, "tasks", str(index))
        state.outbox.put_instead(key, "tasks_moved", index, state.tasks)
    if all(task.state == "done" for task in now):
        state.tasks = ""
