"""The `Deployer` protocol: deploys one component to one environment, and reports on each run.

To add a deployer, put a module next to `command.py` that implements `Deployer`, and let `Targets.deployer` choose it.
This module starts nothing and queries nothing.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.process import (
    one_line,
)
from agent.roster.deploy.repository import FULL_SHA

RunState = Literal["running", "succeeded", "failed", "timed_out", "lost", "not_live", "unconfirmed"]
DOUBTED: frozenset[RunState] = frozenset({"not_live", "unconfirmed"})
"""The command succeeded, but `Deployer.confirm` found that it had not deployed, or could not find out."""


@dataclass(frozen=True, slots=True)
class Run:
    """One deployment, as far as known. The command's output is cleaned and clipped."""

    id: str
    component: str
    environment: str
    sha: str
    name: str
    previous: str
    by: str
    thread_id: str
    url: str
    state: RunState
    """`lost`: the outcome is unknown; it is not run again. `not_live`: the command succeeded, and the target runs
    something else. `unconfirmed`: the command succeeded, and the target could not be asked what it runs.
    """
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    """Negative: the signal that ended it."""
    note: str = ""
    """Why it did not succeed, in a sentence."""
    output: str = ""
    """The last lines."""
    host: str = ""
    """The name of the machine that runs it, for people."""
    machine: str = ""
    """The identity of that machine (see `machine`)."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs there, as the target reports it; only the SHA is always present."""

    sha: str
    since: str = ""
    by: str = ""
    url: str = ""


class TargetBusy(ToolError):
    """Another deployment of the target is running; nothing was started."""


class Deployer(Protocol):
    """One component on one environment."""

    component: str
    environment: str

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """Start deploying exactly this commit, and return. The same key again returns the same run.

        Raises TargetBusy or another ToolError if nothing was started.
        """
        ...

    async def look(self, run_id: str) -> Run:
        """The state of the run. Raises ToolError if there is no such run."""
        ...

    async def confirm(self, run: Run) -> Run:
        """Ask the target whether it runs what this run has deployed, and record it with the run if that is in doubt.

        Only a run whose command succeeded needs it.
        """
        ...

    async def status(self) -> Running | None:
        """Ask the target what runs there; None: nothing yet. Raises ToolError if it does not answer."""
        ...


def minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def parse_status(printed: bytes) -> Running | None:
    """Parse the output of a status command: a full SHA, or JSON in which everything but the SHA is optional."""
    text = printed.decode("utf-8", "replace").strip()
    fields: dict[str, JsonValue] = {"sha": text}
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(text)
            fields = parsed if isinstance(parsed, dict) else fields
    sha = fields.get("sha")
    if sha is None or sha == "":
        if "sha" in fields:
            return None
    elif isinstance(sha, str) and FULL_SHA.fullmatch(sha.lower()):
        since, by, url = (one_line(str(fields.get(key) or ""), 300) for key in ("since", "by", "url"))
        return Running(sha.lower(), since, by, url if url.startswith(("https://", "http://")) else "")
    raise ToolError(f"The status command printed neither a full SHA nor JSON with one: {one_line(text, 200)!r}.")
