"""What becomes of a run of a workflow: which states it goes through, what it prints, what nobody expected of it.

A run goes one state further each time that somebody looks at it, or when the test says so. Nothing happens by a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Flow:
    """Of one run. Without states, it stays queued."""

    states: tuple[str, ...] = ("in_progress", "success")
    """Where it goes: a status, or a conclusion at the end."""
    log: str = "Deploying\ndone\n"
    head: str = ""
    """It runs on another commit than the head of the ref that was asked for."""
    title: str = ""
    """Another title than its workflow says."""
    appears: bool = True
    """False: it is asked for, and never begins."""
    listed_after: int = 0
    """So many lists, and looks at it by its id, do not have it yet."""
    cancels: bool = True


STUCK = Flow(states=())
SLOW = Flow(states=("in_progress",))
FAILED = Flow(states=("in_progress", "failure"), log="Deploying\ncopying files\nno space left on device\n")


@dataclass
class Run:
    id: int
    number: int
    workflow: str
    """The path of its file."""
    name: str
    title: str
    head: str
    branch: str
    inputs: dict[str, str]
    at: datetime
    flow: Flow
    by: str
    status: str = "queued"
    conclusion: str | None = None
    updated: datetime | None = None
    event: str = "workflow_dispatch"
    attempt: int = 1
    coming: deque[str] = field(default_factory=deque)
    hidden: int = 0
    on_change: Callable[[Run], None] = lambda run: None

    def step(self) -> None:
        if self.coming:
            self.goes(self.coming.popleft())

    def finish(self, conclusion: str = "success") -> None:
        self.coming.clear()
        self.goes(conclusion)

    def goes(self, state: str) -> None:
        if state in ("queued", "in_progress", "waiting", "pending", "requested"):
            self.status = state
        else:
            self.status, self.conclusion = "completed", state
        self.on_change(self)
