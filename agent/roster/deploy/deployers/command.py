"""The deployer that ships: runs a command of the team, once for each approved deployment.

`start` hands the revision to a detached runner (see `runner`) and returns. The run survives a dead worker, and neither
a second worker nor a repeated step starts it twice. What runs on a target is always queried (`status`), never stored.
Each run has a record (see `record`).

It never runs two deployments of a target at once, never uses a shell or unknown placeholders, never passes on the bot's
environment (a command gets PATH, HOME, LANG, USER, TMPDIR and its target's `env`), and never guesses how a lost run
ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from agent import ToolError
from agent.roster.deploy.deployers import runner
from agent.roster.deploy.deployers.base import Run, Running, TargetBusy, parse_status
from agent.roster.deploy.deployers.process import (
    command_environment,
    last_lines,
    one_line,
    run_bounded,
    why_not,
)
from agent.roster.deploy.deployers.record import Records, Request
from agent.roster.deploy.repository import FULL_SHA, is_revision_text
from agent.roster.deploy.site import ComponentConfig, filled, folder_name

STATUS_SECONDS_MAX = 20.0
STATUS_BYTES_MAX = 64_000
BUSY_GRACE_SECONDS = 2.0
"""How long `start` waits for a lock whose holder is just starting or ending."""
SPAWN_SECONDS_MAX = 30.0
HISTORY_MAX = 200


class CommandDeployer:
    """A `Deployer` that runs `TargetConfig.deploy`.

    Any number of instances, in any number of processes, may share a `state_dir`.
    """

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
        folder = state_dir.expanduser().absolute() / folder_name(component.name, environment)
        self._records = Records(folder, component.name, environment)
        self._status_seconds = status_seconds

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """See `Deployer.start`. Durable when it returns; cancelling it does not stop a started deployment.

        An invalid `name` is left out.
        """
        assert key, "a deployment needs a key"
        if not FULL_SHA.fullmatch(sha) or (previous and not FULL_SHA.fullmatch(previous)):
            raise ToolError("A deployment takes full SHAs.")
        if not is_revision_text(name):
            name = ""  # Display only, but it is put into the command, so it must be harmless.
        run_id = hashlib.sha256("\0".join((self.component, self.environment, key)).encode()).hexdigest()[:20]
        values = {"sha": sha, "name": name or sha, "previous": previous, "key": run_id} | self._names
        request = Request(
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
        return await asyncio.to_thread(self._records.look, run_id)

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
            raise ToolError(f"Cannot ask {where}: the command cannot be started: {why_not(error)}.") from None
        if ended.timed_out:
            raise ToolError(f"Asking {where} took longer than {self._status_seconds:g} seconds.")
        if ended.exit_code != 0:
            last = last_lines(ended.errors or ended.output, lines_max=1)
            raise ToolError(f"Asking {where} failed with exit code {ended.exit_code}: {last}")
        return parse_status(ended.output)

    async def history(self, limit: int = 20) -> list[Run]:
        """The runs on record, newest first."""

        def read() -> list[Run]:
            return list(itertools.islice(self._records.newest_first(), max(0, min(limit, HISTORY_MAX))))

        return await asyncio.to_thread(read)

    @property
    def _names(self) -> dict[str, str]:
        return {"component": self.component, "environment": self.environment}

    def _start(self, request: Request) -> Run:
        folder = self._records.runs / request.id
        with contextlib.ExitStack() as held:
            try:
                self._records.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = self._lock_unless_begun(folder)
                if lock is None:
                    return self._begun(request)
                held.callback(os.close, lock)
                alive = self._records.begin(request)
                held.callback(os.close, alive)
            except OSError as error:
                raise ToolError(
                    f"Nothing was deployed: the bot cannot write the record of the run: {why_not(error)}."
                ) from None
            # The run is on record now: if this process dies here, the run counts as lost and is not started again.
            try:
                self._spawn(folder, lock, alive)
            except OSError as error:
                with contextlib.suppress(OSError):
                    runner.end(folder, "failed", None, f"The runner could not be started: {why_not(error)}.")
        return self._records.look(request.id)

    def _lock_unless_begun(self, folder: Path) -> int | None:
        """The target's lock; None: the run is on record already. Raises TargetBusy."""
        give_up_at = time.monotonic() + BUSY_GRACE_SECONDS
        while not folder.exists():
            lock = os.open(self._records.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
            newest = next(self._records.newest_first(), None)
            other = newest if newest and newest.id != folder.name else None
            if (other and other.state == "running") or time.monotonic() > give_up_at:
                raise self._busy(other)
            time.sleep(0.02)
        return None

    def _busy(self, run: Run | None) -> TargetBusy:
        where = f"{self.component} {self.environment}"
        if run is None or run.state not in ("running", "lost"):
            return TargetBusy(
                f"Another deployment of {where} is just starting. Look at what runs there, then try again."
            )
        since = run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        what = f"run {run.id} of {run.sha[:7]}, started {since} by {run.by or 'somebody unknown'}"
        if run.state == "running":
            return TargetBusy(f"{where} is busy with {what}. Wait for it to end.")
        return TargetBusy(
            f"{where} is locked: the runner of {what}, died, but its command still runs. Ask a person to check."
        )

    def _begun(self, request: Request) -> Run:
        run = self._records.look(request.id)
        if run.sha != request.sha:
            raise ToolError(f"This step has already started run {run.id}, with another commit: {run.sha}.")
        return run

    def _spawn(self, folder: Path, lock: int, alive: int) -> None:
        runner.sync_folder(self._records.runs)
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
