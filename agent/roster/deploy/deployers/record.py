"""The record of each run: a folder that outlives the worker.

This module and `runner` own the layout of a target's folder:

    lock          held while a deployment of the target runs
    preparing     an incomplete record
    runs/<id>/    one run; the id is a hash of the step's key

A record appears atomically. A run without a result whose runner is dead is `lost`: this module never guesses how it
ended. It starts nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent import ToolError
from agent.roster.deploy.deployers import runner
from agent.roster.deploy.deployers.base import Run, RunState
from agent.roster.deploy.deployers.process import (
    OUTPUT_READ_BYTES,
    last_lines,
    one_line,
)

_RUN_ID = re.compile(r"[0-9a-f]{20}")


def is_run_id(text: str) -> bool:
    return bool(_RUN_ID.fullmatch(text))


class Request(BaseModel):
    """`request.json`, which the runner reads, too. It has no environment variables: they may hold secrets."""

    model_config = ConfigDict(frozen=True)

    id: str
    component: str
    environment: str
    sha: str
    name: str
    previous: str
    key: str
    by: str
    thread_id: str
    url: str
    host: str = ""
    machine: str = ""
    started_at: AwareDatetime
    command: tuple[str, ...]
    cwd: str
    timeout_seconds: float
    grace_seconds: float

    def as_run(self) -> Run:
        """Just begun."""
        return _run(self, None, alive=True, began=False, output="")


class _Result(BaseModel):
    """`result.json`, written by the runner."""

    model_config = ConfigDict(frozen=True)

    state: Literal["succeeded", "failed", "timed_out"]
    exit_code: int | None
    note: str
    ended_at: AwareDatetime


class Records:
    """The records of one component and environment. It does blocking file I/O: call it in a thread."""

    def __init__(self, folder: Path, component: str, environment: str) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self._where = f"{component} on {environment}"

    def begin(self, request: Request) -> int:
        """Create the record atomically. Returns an open file whose lock says that the run is alive.

        Raises OSError.
        """
        preparing = self.folder / "preparing"
        shutil.rmtree(preparing, ignore_errors=True)
        preparing.mkdir(mode=0o700)
        alive = os.open(preparing / runner.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            runner.write_json(preparing / runner.REQUEST, request.model_dump(mode="json"))
            preparing.rename(self.runs / request.id)
        except OSError:
            os.close(alive)
            raise
        return alive

    def look(self, run_id: str) -> Run:
        """The state of the run. Raises ToolError if there is no such run, or its record cannot be read."""
        if found := self.find(run_id):
            return found
        raise self.no_such_run(run_id)

    def no_such_run(self, run_id: str) -> ToolError:
        return ToolError(f"No run {one_line(run_id, 60)!r} of {self._where}.")

    def try_lock(self) -> int | None:
        """The target's lock as an open file; None: a runner or its command holds it. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise
            return None
        return lock

    def find(self, run_id: str) -> Run | None:
        """None: this machine has no such run. Raises ToolError if its record cannot be read."""
        folder = self.runs / run_id
        if not is_run_id(run_id) or not folder.exists():
            return None
        try:
            request = Request.model_validate_json((folder / runner.REQUEST).read_bytes())
            result = _result(folder)
            alive = result is None and runner.is_locked(folder / runner.ALIVE)
            if result is None and not alive:
                result = _result(folder)  # It may have ended between the two checks.
            return _run(request, result, alive=alive, began=(folder / runner.STARTED).exists(), output=_tail(folder))
        except (OSError, ValidationError):
            raise ToolError(f"The record of run {run_id} cannot be read. A person has to check {folder}.") from None

    def stop(self, run_id: str) -> None:
        """Tell the runner of this machine to stop its command. It records that. Raises ToolError."""
        folder = self.runs / run_id
        try:
            began = json.loads((folder / runner.STARTED).read_bytes())
            # While it lives, it holds this lock, and its number is nobody else's.
            if runner.is_locked(folder / runner.ALIVE):
                os.kill(int(began["runner"]), signal.SIGTERM)
                return
        except ProcessLookupError:
            pass
        except (OSError, ValueError, KeyError):
            raise ToolError(f"Run {run_id} has not begun its command yet: try again.") from None
        raise ToolError(f"Run {run_id} has just ended.")

    def newest_first(self) -> Iterator[Run]:
        # Sort by the time of a file that never changes, so that only the requested runs are read.
        dated: list[tuple[int, str]] = []
        for folder in self.runs.iterdir() if self.runs.exists() else ():
            with contextlib.suppress(OSError):  # Not the folder of a run.
                dated.append(((folder / runner.REQUEST).stat().st_mtime_ns, folder.name))
        for _, run_id in sorted(dated, reverse=True):
            yield self.look(run_id)


def _run(request: Request, result: _Result | None, *, alive: bool, began: bool, output: str) -> Run:
    state: RunState = result.state if result else "running" if alive else "lost"
    if state == "lost" and began:
        note = "Its runner died before the command ended: its outcome is unknown."
    elif state == "lost":
        note = "It was recorded, but its runner died before the command was started."
    else:
        note = result.note if result else ""
    return Run(
        id=request.id,
        component=request.component,
        environment=request.environment,
        sha=request.sha,
        name=request.name,
        previous=request.previous,
        by=request.by,
        thread_id=request.thread_id,
        url=request.url,
        state=state,
        started_at=request.started_at,
        ended_at=result.ended_at if result else None,
        exit_code=result.exit_code if result else None,
        note=one_line(note, 300),
        output=output,
        host=request.host,
        machine=request.machine,
    )


def _result(folder: Path) -> _Result | None:
    try:
        return _Result.model_validate_json((folder / runner.RESULT).read_bytes())
    except FileNotFoundError:
        return None


def _tail(folder: Path) -> str:
    try:
        with (folder / runner.OUTPUT).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - OUTPUT_READ_BYTES))
            return last_lines(file.read(OUTPUT_READ_BYTES))
    except FileNotFoundError:
        return ""
