"""What a deployer is, and the one that ships: a command of the team's, run once for each approved deployment.

`start` gives the revision to a detached runner (see `runner`) and returns; a dead worker, a second worker or the same
step run twice change nothing about it. What runs on a target is asked from the target (`status`) and never
remembered. The folder of a run is its record:

    <state_dir>/<component>-<environment>/lock          held while a deployment is under way there
    <state_dir>/<component>-<environment>/runs/<id>/    one run; the id is a hash of the step's key

It refuses: a second deployment of a target at a time, a shell, placeholders it does not know, the bot's environment
(a command sees PATH, HOME, LANG, USER, TMPDIR and what its target's `env` names), and guessing how a lost run ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError

from agent.roster.deploy import runner
from agent.roster.deploy.command import (
    OUTPUT_READ_BYTES,
    command_environment,
    last_lines,
    one_line,
    run_bounded,
    why_not,
)
from agent.roster.deploy.config import ComponentConfig, filled, folder_name
from agent.roster.deploy.repository import FULL_SHA, is_revision_text
from agent.steps import ToolError

STATUS_SECONDS_MAX = 20.0
STATUS_BYTES_MAX = 64_000
BUSY_GRACE_SECONDS = 2.0
"""How long `start` waits for a lock whose holder is just beginning or has just ended."""
SPAWN_SECONDS_MAX = 30.0
HISTORY_MAX = 200


_RUN_ID = re.compile(r"[0-9a-f]{20}")


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


class _Request(BaseModel):
    """`request.json`, read by the runner too. No environment in it: that may hold secrets."""

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
    started_at: AwareDatetime
    command: tuple[str, ...]
    cwd: str
    timeout_seconds: float
    grace_seconds: float


class _Result(BaseModel):
    """`result.json`, written by the runner."""

    model_config = ConfigDict(frozen=True)

    state: Literal["succeeded", "failed", "timed_out"]
    exit_code: int | None
    note: str
    ended_at: AwareDatetime


class CommandDeployer:
    """Deploys with `TargetConfig.deploy`. Any number of these, in any number of processes, may share a `state_dir`."""

    def __init__(
        self,
        component: ComponentConfig,
        environment: str,
        *,
        state_dir: Path,
        status_seconds: float = STATUS_SECONDS_MAX,
    ) -> None:
        self.component = component.name
        self.environment = environment
        self._target = component.targets[environment]
        self._cwd = str(component.repository.expanduser().absolute())
        self._folder = state_dir.expanduser().absolute() / folder_name(component.name, environment)
        self._runs = self._folder / "runs"
        self._status_seconds = status_seconds

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """See `Deployer.start`. Durable when it returns; cancelling it does not take a started deployment back.

        A `name` that could not be a revision's is left out.
        """
        assert key, "a deployment needs a key"
        if not FULL_SHA.fullmatch(sha) or (previous and not FULL_SHA.fullmatch(previous)):
            raise ToolError("A deployment takes full SHAs.")
        if not is_revision_text(name):
            name = ""  # Only for show, the SHA is what counts; but it must not bring anything into a command.
        run_id = hashlib.sha256("\0".join((self.component, self.environment, key)).encode()).hexdigest()[:20]
        values = {"sha": sha, "name": name or sha, "previous": previous, "key": run_id} | self._names
        request = _Request(
            id=run_id,
            component=self.component,
            environment=self.environment,
            sha=sha,
            name=name,
            previous=previous,
            key=key,
            by=one_line(by, 100),
            thread_id=thread_id,
            url=filled(self._target.url, values),
            started_at=datetime.now(UTC),
            command=tuple(filled(argument, values) for argument in self._target.deploy),
            cwd=self._cwd,
            timeout_seconds=self._target.timeout_seconds,
            grace_seconds=self._target.grace_seconds,
        )
        return await asyncio.to_thread(self._start, request)

    async def look(self, run_id: str) -> Run:
        return await asyncio.to_thread(self._look, run_id)

    async def status(self) -> Running | None:
        where = f"what runs on {self.component} {self.environment}"
        command = [filled(argument, self._names) for argument in self._target.status]
        try:
            ended = await run_bounded(
                command,
                cwd=self._cwd,
                env=command_environment(self._target.env),
                seconds=self._status_seconds,
                bytes_max=STATUS_BYTES_MAX,
            )
        except OSError as error:
            raise ToolError(f"Asking {where} failed, its command cannot be started: {why_not(error)}.") from None
        if ended.timed_out:
            raise ToolError(f"Asking {where} took longer than {self._status_seconds:g} seconds.")
        if ended.exit_code != 0:
            last = last_lines(ended.errors or ended.output, lines_max=1)
            raise ToolError(f"Asking {where} failed with exit code {ended.exit_code}: {last}")
        return parse_status(ended.output)

    async def history(self, limit: int = 20) -> list[Run]:
        """The runs on record, newest first."""

        def read() -> list[Run]:
            return list(itertools.islice(self._newest_first(), max(0, min(limit, HISTORY_MAX))))

        return await asyncio.to_thread(read)

    @property
    def _names(self) -> dict[str, str]:
        return {"component": self.component, "environment": self.environment}

    def _start(self, request: _Request) -> Run:
        folder = self._runs / request.id
        with contextlib.ExitStack() as held:
            try:
                self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = self._lock_unless_begun(folder)
                if lock is None:
                    return self._begun(request)
                held.callback(os.close, lock)
                alive = self._record(request, folder)
                held.callback(os.close, alive)
            except OSError as error:
                raise ToolError(f"Nothing was deployed: the bot cannot write its record: {why_not(error)}.") from None
            # From here on the run is on record: if this process dies now, it is lost, and nobody begins it again.
            try:
                self._spawn(folder, lock, alive)
            except OSError as error:
                with contextlib.suppress(OSError):
                    runner.end(folder, "failed", None, f"The runner could not be started: {why_not(error)}.")
        return self._look(request.id)

    def _lock_unless_begun(self, folder: Path) -> int | None:
        """The target's lock; None where the run is on record already. Raises TargetBusy."""
        give_up_at = time.monotonic() + BUSY_GRACE_SECONDS
        while not folder.exists():
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                if not isinstance(error, BlockingIOError):
                    raise
            else:
                if not folder.exists():
                    return lock
                os.close(lock)
                break
            newest = next(self._newest_first(), None)
            other = newest if newest and newest.id != folder.name else None
            if (other and other.state == "running") or time.monotonic() > give_up_at:
                raise self._busy(other)
            time.sleep(0.02)
        return None

    def _busy(self, run: Run | None) -> TargetBusy:
        where = f"{self.component} {self.environment}"
        if run is None or run.state not in ("running", "lost"):
            return TargetBusy(
                f"Another deployment of {where} is just beginning. Look at what runs there, then try again."
            )
        since = run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        what = f"run {run.id} of {run.sha[:7]}, started {since} by {run.by or 'somebody unknown'}"
        if run.state == "running":
            return TargetBusy(f"{where} is busy with {what}. Wait for it to end.")
        return TargetBusy(
            f"{where} is locked: the runner of {what}, died, but its command goes on. Ask a person to look."
        )

    def _begun(self, request: _Request) -> Run:
        run = self._look(request.id)
        if run.sha != request.sha:
            raise ToolError(f"This step has already started run {run.id}, of another commit: {run.sha}.")
        return run

    def _record(self, request: _Request, folder: Path) -> int:
        """Puts the run on record, in one step; gives the open file that says it is alive."""
        preparing = self._folder / "preparing"
        shutil.rmtree(preparing, ignore_errors=True)
        preparing.mkdir(mode=0o700)
        alive = os.open(preparing / runner.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            runner.write_json(preparing / runner.REQUEST, request.model_dump(mode="json"))
            preparing.rename(folder)
        except OSError:
            os.close(alive)
            raise
        return alive

    def _spawn(self, folder: Path, lock: int, alive: int) -> None:
        runner.sync_folder(self._runs)
        command = [sys.executable, "-I", "-S", str(Path(runner.__file__).absolute()), str(folder), str(lock)]
        with (folder / "runner.log").open("wb") as log:
            first = subprocess.Popen(
                command,
                cwd="/",
                env=command_environment(self._target.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(lock, alive),
                start_new_session=True,
            )
        try:
            first.wait(SPAWN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            first.kill()
            first.wait()

    def _look(self, run_id: str) -> Run:
        folder = self._runs / run_id
        if not _RUN_ID.fullmatch(run_id) or not folder.exists():
            raise ToolError(f"No run {one_line(run_id, 60)!r} of {self.component} on {self.environment}.")
        try:
            request = _Request.model_validate_json((folder / runner.REQUEST).read_bytes())
            result = _result(folder)
            alive = result is None and runner.is_locked(folder / runner.ALIVE)
            if result is None and not alive:
                result = _result(folder)  # It may have ended between the two looks.
            return _run(request, result, alive=alive, began=(folder / runner.STARTED).exists(), output=_tail(folder))
        except (OSError, ValidationError):
            raise ToolError(f"The record of run {run_id} cannot be read. A person has to look at {folder}.") from None

    def _newest_first(self) -> Iterator[Run]:
        # By the time of the file, which is never written again, so that only the runs asked for are read.
        dated: list[tuple[int, str]] = []
        for folder in self._runs.iterdir() if self._runs.exists() else ():
            with contextlib.suppress(OSError):  # What is no run's folder is somebody else's.
                dated.append(((folder / runner.REQUEST).stat().st_mtime_ns, folder.name))
        for _, run_id in sorted(dated, reverse=True):
            yield self._look(run_id)


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


def _run(request: _Request, result: _Result | None, *, alive: bool, began: bool, output: str) -> Run:
    state: RunState = result.state if result else "running" if alive else "lost"
    if state == "lost" and began:
        note = "Its runner died before the command ended: nobody knows how far it came."
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
