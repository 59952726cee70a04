"""What a deployer is: how one component gets to one environment, and what is known of each run.

To add one, put a module beside `command.py` that keeps `Deployer`, and let `Targets.deployer` choose it. Nothing here
starts or asks anything.
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

RunState = Literal["running", "succeeded", "failed", "timed_out", "lost"]


@dataclass(frozen=True, slots=True)
class Run:
    """One deployment, as far as it is known. Text of the command is cleaned and clipped."""

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
    """`lost`: nobody knows how it ended, and it is not run again."""
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    """Negative: the signal that ended it."""
    note: str = ""
    """Why it did not succeed, in a sentence."""
    output: str = ""
    """The last lines."""


@dataclass(frozen=True, slots=True)
class Running:
    """What the target says runs there; everything but the SHA may be empty."""

    sha: str
    since: str = ""
    by: str = ""
    url: str = ""


class TargetBusy(ToolError):
    """Another deployment of the target is under way; nothing was started."""


class Deployer(Protocol):
    """One component on one environment."""

    component: str
    environment: str

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """Begins to deploy exactly this commit and returns. The same key again gives the run that it began.

        Raises TargetBusy, or another ToolError where nothing was started.
        """
        ...

    async def look(self, run_id: str) -> Run:
        """How the run is doing. Raises ToolError where there is none of this id."""
        ...

    async def status(self) -> Running | None:
        """What runs there, asked now; None: nothing yet. Raises ToolError where the target does not say."""
        ...


def parse_status(printed: bytes) -> Running | None:
    """What a status command printed. The SHA has to be a full one; anything else in a JSON object may be missing."""
    text = printed.decode("utf-8", "replace").strip()
    said: dict[str, JsonValue] = {"sha": text}
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(text)
            said = parsed if isinstance(parsed, dict) else said
    sha = said.get("sha")
    if sha is None or sha == "":
        if "sha" in said:
            return None
    elif isinstance(sha, str) and FULL_SHA.fullmatch(sha.lower()):
        since, by, url = (one_line(str(said.get(key) or ""), 300) for key in ("since", "by", "url"))
        return Running(sha.lower(), since, by, url if url.startswith(("https://", "http://")) else "")
    raise ToolError(f"The status command printed neither a full SHA nor JSON with one: {one_line(text, 200)!r}.")
