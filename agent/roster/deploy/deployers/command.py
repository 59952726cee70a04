"""The deployer that ships: runs a command of the team, once for each approved deployment.

`start` hands the revision to a detached runner (see `runner`) on this machine and returns. The run survives a dead
worker, and neither a second worker, on whatever machine, nor a repeated step starts it twice. What runs on a target is
always queried (`status`), never stored. Each run has a record here (see `record`), and one in the store (see `shared`),
which claims the target before anything begins.

It never runs two deployments of a target at once, never uses a shell or unknown placeholders, never passes on the bot's
environment (a command gets PATH, HOME, LANG, USER, TMPDIR and its target's `env`), and never guesses how a lost run
ended.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from agent import Notes, NotesUnavailable, ToolError
from agent.roster.deploy.deployers import runner
from agent.roster.deploy.deployers.base import (
    DOUBTED,
    Run,
    Running,
    TargetBusy,
    minute,
    parse_status,
)
from agent.roster.deploy.deployers.local import LocalRuns
from agent.roster.deploy.deployers.machine import Machine, Mark
from agent.roster.deploy.deployers.process import (
    command_environment,
    last_lines,
    one_line,
    run_bounded,
    why_not,
)
from agent.roster.deploy.deployers.record import Request, is_run_id
from agent.roster.deploy.repository import FULL_SHA, is_revision_text
from agent.roster.deploy.site import ComponentConfig, filled

STATUS_SECONDS_MAX = 20.0
STATUS_BYTES_MAX = 64_000
BUSY_GRACE_SECONDS = 2.0
"""How long `start` waits for a lock whose holder is just starting or ending."""
SPAWN_SECONDS_MAX = 30.0
STORE_SECONDS_MAX = 30.0
"""How long a start waits for the store."""

T = TypeVar("T")


class CommandDeployer:
    """A `Deployer` that runs `TargetConfig.deploy`.

    Any number of instances, in any number of processes, may share a `state_dir`; it belongs to one machine. Machines
    share `notes`.
    """

    def __init__(
        self,
        component: ComponentConfig,
        environment: str,
        *,
        state_dir: Path,
        notes: Notes,
        status_seconds: float = STATUS_SECONDS_MAX,
    ) -> None:
        self.component = component.name
        self.environment = environment
        self._target = component.targets[environment]
        self._cwd = str(component.repository.expanduser().absolute())
        self._notes = notes
        self._machine = Machine(state_dir)
        self._local = LocalRuns(self._machine, notes, component.name, environment)
        self._records, self._shared = self._local.records, self._local.shared
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
            host=socket.gethostname(),
            started_at=self._notes.now(),
            command=tuple(filled(argument, values) for argument in self._target.deploy),
            cwd=self._cwd,
            timeout_seconds=self._target.timeout_seconds,
            grace_seconds=self._target.grace_seconds,
        )
        begun = await self._shared.find(run_id)
        if begun and begun.machine != await asyncio.to_thread(self._identity):
            return self._same(begun, request)
        # In a thread: it ends what it has begun, also if this is cancelled.
        return await asyncio.to_thread(self._start, request, asyncio.get_running_loop())

    async def look(self, run_id: str) -> Run:
        if not is_run_id(run_id):
            raise self._records.no_such_run(run_id)
        run = await asyncio.to_thread(self._local.find, run_id)
        if run is None:
            return await self._look_elsewhere(run_id)
        if run.state != "running":
            with contextlib.suppress(NotesUnavailable):  # It is told later, beside the work.
                await self._local.tell(run_id)
                return await self._as_confirmed(run)
        return run

    async def confirm(self, run: Run) -> Run:
        """See `Deployer.confirm`. Raises NotesUnavailable."""
        if run.state != "succeeded":
            return run
        try:
            running = await self.status()
        except ToolError as error:
            note = f"The command succeeded, but what runs there could not be asked: {error}"
            doubted = replace(run, state="unconfirmed", note=one_line(note, 300))
        else:
            if running and running.sha == run.sha:
                return run
            found = running.sha[:7] if running else "nothing"
            where = f"{self.component} {self.environment}"
            note = f"The command succeeded, but {found} runs on {where}, not {run.sha[:7]}."
            doubted = replace(run, state="not_live", note=note)
        await self._shared.end(doubted)
        return doubted

    async def _as_confirmed(self, run: Run) -> Run:
        """A run of this machine, whose record here says no more than how its command ended."""
        stored = await self._shared.find(run.id) if run.state == "succeeded" else None
        return replace(run, state=stored.state, note=stored.note) if stored and stored.state in DOUBTED else run

    async def _look_elsewhere(self, run_id: str) -> Run:
        run = await self._shared.find(run_id)
        if run is None:
            raise self._records.no_such_run(run_id)
        if run.state != "running":
            return run
        if run.machine == await asyncio.to_thread(self._identity):
            return replace(run, state="lost", note="Its target was claimed, but it was not begun.")
        if silent := await self._shared.silent_since(run):
            note = (
                f"No worker on {run.host}, where it was begun, has been heard of since {minute(silent)}: "
                "its outcome is unknown."
            )
            return replace(run, state="lost", note=note)
        return run

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
        """The runs on record, newest first, without their output."""
        runs = (await self._shared.history())[: max(0, limit)]
        return [await self.look(run.id) if run.state == "running" else run for run in runs]

    async def holder(self) -> tuple[Run, datetime | None] | None:
        """The run that holds the target, and since when its machine is silent; None: the target is free."""
        run = await self._shared.holder()
        return (run, await self._shared.silent_since(run)) if run else None

    async def release(self, run_id: str, by: str) -> None:
        """A person has decided that a run of a machine that is gone does not hold the target any more."""
        held = await self.holder()
        if held is None or held[0].id != run_id:
            raise ToolError(f"Run {run_id} does not hold {self.component} {self.environment} any more.")
        note = f"Its machine was gone, and the target was released for {by}: its outcome is unknown."
        await self._shared.end(replace(held[0], state="lost", note=one_line(note, 300)))

    @property
    def _names(self) -> dict[str, str]:
        return {"component": self.component, "environment": self.environment}

    def _identity(self) -> str:
        try:
            return self._machine.identity()
        except OSError as error:
            raise _no_record(error) from None

    def _start(self, request: Request, loop: asyncio.AbstractEventLoop) -> Run:
        """Runs in a thread. `loop`: where the store is."""
        request = request.model_copy(update={"machine": self._identity()})
        folder = self._records.runs / request.id
        with contextlib.ExitStack() as held:
            try:
                self._records.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = self._lock_unless_begun(folder)
                if lock is None:
                    return self._same(self._records.look(request.id), request)
                held.callback(os.close, lock)
                # Before the claim, so that a claim without a run is found and given up.
                self._machine.mark(Mark(request.id, self.component, self.environment))
                if begun := self._claim(request, loop):
                    return self._same(begun, request)
                alive = self._records.begin(request)
                held.callback(os.close, alive)
            except OSError as error:
                raise _no_record(error) from None
            # The run is on record now: if this process dies here, the run counts as lost and is not started again.
            try:
                self._spawn(folder, lock, alive)
            except OSError as error:
                with contextlib.suppress(OSError):
                    runner.end(folder, "failed", None, f"The runner could not be started: {why_not(error)}.")
        return self._records.look(request.id)

    def _claim(self, request: Request, loop: asyncio.AbstractEventLoop) -> Run | None:
        """Claim the target over all machines, while its lock of this machine is held.

        A run: this very one was begun before, elsewhere. Raises TargetBusy, NotesUnavailable.
        """
        claimed = request.as_run()
        while other := _on(loop, self._shared.claim(claimed)):
            if other.id == claimed.id and other.state != "running":
                return other
            if other.machine != claimed.machine:
                self._machine.unmark(claimed.id)
                raise self._busy(other, _on(loop, self._shared.silent_since(other)))
            _on(loop, self._over(other.id))  # This machine's lock is ours.
        return None

    async def _over(self, run_id: str) -> None:
        """Nothing of this run goes on here, and the store does not know that yet."""
        run = await asyncio.to_thread(self._local.find, run_id)
        if run and run.state != "running":
            await self._local.end(run)
        else:
            await self._local.give_up(run_id)

    def _lock_unless_begun(self, folder: Path) -> int | None:
        """The target's lock; None: the run is on record already. Raises TargetBusy."""
        give_up_at = time.monotonic() + BUSY_GRACE_SECONDS
        while not folder.exists():
            lock = self._records.try_lock()
            if lock is not None:
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

    def _busy(self, run: Run | None, silent_since: datetime | None = None) -> TargetBusy:
        where = f"{self.component} {self.environment}"
        if run is None or run.state not in ("running", "lost"):
            return TargetBusy(
                f"Another deployment of {where} is just starting.",
                hint="Look at what runs there, then try again.",
            )
        since = run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        on = f" on {run.host}" if run.machine and run.machine != self._identity() else ""
        what = f"run {run.id} of {run.sha[:7]}, started {since} by {run.by or 'somebody unknown'}{on}"
        if silent_since:
            return TargetBusy(
                f"{where} is locked by {what}: no worker there has been heard of since {minute(silent_since)}, so its "
                "outcome is unknown.",
                hint="Ask a person to check; when they say that it is over, choose release_target.",
            )
        if run.state == "running":
            return TargetBusy(f"{where} is busy with {what}. Wait for it to end.")
        return TargetBusy(
            f"{where} is locked: the runner of {what}, died, but its command still runs. Ask a person to check."
        )

    def _same(self, run: Run, request: Request) -> Run:
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


def _on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[object, object, T]) -> T:
    """Wait in this thread for what `loop` does. Raises NotesUnavailable."""
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(STORE_SECONDS_MAX)
    except (TimeoutError, concurrent.futures.CancelledError):
        raise NotesUnavailable("Nothing was deployed: the store did not answer in time.") from None


def _no_record(error: OSError) -> ToolError:
    return ToolError(f"Nothing was deployed: the bot cannot write the record of the run: {why_not(error)}.")
