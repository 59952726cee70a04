"""The `Deployer` protocol: deploys one component to one environment, and reports on each run.

To add a kind of deployer, put a module next to `command.py` with a `Target` (its table in the team file) and a
`Deployer`, and name the target in `kinds.py`; docs/deployers.md shows one. What a service of somebody else carries out
is easiest built on `hosted.py`. Every kind passes the same suite of tests.

This module starts nothing and queries nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import JsonValue

from agent import Facts, Notes, ToolError
from agent.roster.deploy.fields import Config
from agent.roster.deploy.repository import FULL_SHA

RunState = Literal["running", "succeeded", "failed", "timed_out", "lost", "not_live", "unconfirmed"]
DOUBTED: frozenset[RunState] = frozenset({"not_live", "unconfirmed"})
"""The deployment succeeded, but `Deployer.confirm` found that its commit does not run, or could not find out."""


@dataclass(frozen=True, slots=True)
class Run:
    """One deployment, as far as known. What it printed is cleaned and clipped."""

    id: str
    """Made from the step's key: whoever knows the one knows the other. See `run_id`."""
    component: str
    environment: str
    sha: str
    name: str
    previous: str
    by: str
    thread_id: str
    url: str
    state: RunState
    """`lost`: the outcome is unknown; it is not run again. `not_live`: it succeeded, and the target runs something
    else. `unconfirmed`: it succeeded, and the target could not be asked what it runs.
    """
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    """Negative: the signal that ended it."""
    note: str = ""
    """Why it did not succeed, in a sentence."""
    output: str = ""
    """The last lines, where they cost nothing to know; `Deployer.log_tail` asks for them."""
    host: str = ""
    """The name of the machine that runs it, for people. Empty: another service does."""
    machine: str = ""
    """The identity of that machine (see `machine`), or of the one attempt that may begin it (see `hosted`)."""
    ref: str = ""
    """The name that a service has given it. Empty: it is not known yet, or there is no service."""
    head: str = ""
    """The commit that the service must show for it, where that is another one than `sha`: of its pipeline, say."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs there, as the target reports it; only the SHA is always present."""

    sha: str
    since: str = ""
    by: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that keeps others off a target."""

    run: Run
    silent_since: datetime | None
    """Since when nobody knows how it goes; None: it is followed, and will free the target by itself."""
    may_go_on: str = ""
    """For people who are to free the target: what may still happen, and where to look."""


class TargetBusy(ToolError):
    """Another deployment of the target is running; nothing was started."""


class NoAnswer(ToolError):
    """A service did not answer, or wants to be left alone for a while: what was asked is not known.

    Whoever only looks may ask again, after `retry_seconds`, by a durable wait.
    """

    def __init__(self, reason: str, *, retry_seconds: float = 0.0, may_have_begun: bool = True, hint: str = "") -> None:
        """`may_have_begun`: the service may have done it all the same."""
        super().__init__(reason, hint=hint)
        self.retry_seconds = retry_seconds
        self.may_have_begun = may_have_begun


class Deployer(Protocol):
    """One component on one environment. Any number of instances, in any number of processes, stand for the same target.

    It gets no name that was not resolved to the site's, and no revision but a full commit. Each method raises ToolError
    with what people can do, NoAnswer if a service is away, and NotesUnavailable if the store is.
    """

    component: str
    environment: str

    @property
    def carried_out(self) -> Facts:
        """For people who approve: what carries it out, and where."""
        ...

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """Start deploying exactly this commit, and return. The same key again returns the same run.

        It is durable before it begins, so that `find` finds it after a crash. What nobody knows the outcome of is a
        run, too; `look` says what came of it. Raises TargetBusy or another ToolError if nothing was started.
        """
        ...

    async def find(self, key: str) -> Run | None:
        """The run that `start` has begun, or may have begun, under this key. None: none is known."""
        ...

    async def look(self, run_id: str) -> Run:
        """The state of the run. Raises ToolError if there is no such run."""
        ...

    async def confirm(self, run: Run) -> Run:
        """Ask the target whether it runs what this run has deployed, and record it with the run if that is in doubt.

        Only a run that succeeded needs it.
        """
        ...

    async def cancel(self, run_id: str, by: str) -> Run:
        """Have it stopped for a person, and return how it goes by then. Raises ToolError with why it cannot be."""
        ...

    async def log_tail(self, run_id: str) -> str:
        """The last lines that tell how it goes, or why it failed: cleaned and clipped. Empty: there are none."""
        ...

    async def status(self) -> Running | None:
        """Ask the target what runs there; None: nothing yet. Raises ToolError if it does not answer."""
        ...

    async def history(self, limit: int = 20) -> list[Run]:
        """The runs on record, newest first, without their output."""
        ...

    async def about(self, sha: str) -> Facts:
        """What else people see before they approve this commit: where they can look at it, say.

        Raises ToolError if it could not be deployed anyway.
        """
        ...

    async def holder(self) -> Holder | None:
        """None: the target is free."""
        ...

    async def release(self, run_id: str, by: str) -> None:
        """A person has decided that a run that nobody knows about does not hold the target any more."""
        ...

    async def problems(self) -> list[str]:
        """What is wrong with the target's setup, and what to do about it, one line each. It changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class At:
    """Where a deployer deploys, and what it keeps its records with."""

    component: str
    environment: str
    folder: Path | None
    """The component's local repository; None: it has none."""
    github: str
    """The component's repository at GitHub; empty: it has none there."""
    state_dir: Path
    """Of this machine."""
    notes: Notes
    """What all workers know."""

    @property
    def where(self) -> str:
        return f"{self.component} {self.environment}"


class Target(Config):
    """How one component is deployed to one environment: a table of the team file. `kind` says which class it is."""

    kind: str

    def deployer(self, at: At) -> Deployer:
        raise NotImplementedError

    def misplaced(self, *, local: bool, github: str) -> str:
        """Why it makes no sense for a component with this repository; empty: it does."""
        return ""

    def bound_to(self) -> dict[str, JsonValue]:
        """What of it an approval covers: see `Tool.bound_to`. A secret only as a hash."""
        return self.model_dump(mode="json")


def run_id(component: str, environment: str, key: str) -> str:
    """The name of the run that a step's key stands for: 20 hexadecimal digits, which a service may show to anybody."""
    return hashlib.sha256("\0".join((component, environment, key)).encode()).hexdigest()[:20]


def require_commits(sha: str, previous: str) -> None:
    """Raises ToolError."""
    if not FULL_SHA.fullmatch(sha) or (previous and not FULL_SHA.fullmatch(previous)):
        raise ToolError("A deployment takes full SHAs.")


def require_same(run: Run, sha: str) -> Run:
    """The run of this key, which was begun before. Raises ToolError if it deploys another commit."""
    if run.sha != sha:
        raise ToolError(f"This step has already started run {run.id}, with another commit: {run.sha}.")
    return run


def minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
