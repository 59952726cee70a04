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
from typing import Annotated, Literal, TypeVar

from pydantic import Field, JsonValue

from agent import Facts, NotesUnavailable, ToolError
from agent.roster.deploy.deployers import runner
from agent.roster.deploy.deployers.base import (
    DOUBTED,
    At,
    Deployer,
    Holder,
    Run,
    Running,
    Target,
    TargetBusy,
    minute,
    require_commits,
    require_same,
    run_id,
)
from agent.roster.deploy.deployers.confirming import confirmed
from agent.roster.deploy.deployers.local import LocalRuns
from agent.roster.deploy.deployers.machine import Machine, Mark
from agent.roster.deploy.deployers.process import command_environment, not_startable, one_line, why_not
from agent.roster.deploy.deployers.record import Request, is_run_id
from agent.roster.deploy.deployers.status_command import STATUS_SECONDS_MAX, ask_status
from agent.roster.deploy.fields import Argument, Command, Variable, command_with, filled, text_with
from agent.roster.deploy.repository import is_revision_text

BUSY_GRACE_SECONDS = 2.0
"""How long `start` waits for a lock whose holder is just starting or ending."""
SPAWN_SECONDS_MAX = 30.0
STORE_SECONDS_MAX = 30.0
"""How long a start waits for the store."""

T = TypeVar("T")
PLACEHOLDERS = ("component", "environment", "key", "name", "previous", "sha")


class CommandTarget(Target):
    """How to deploy one component to one environment. Commands are lists of arguments; there is no shell."""

    kind: Literal["command"] = "command"
    """What carries it out. `command`: a command on the machine of the worker that begins the deployment."""
    deploy: Annotated[Command, command_with(*PLACEHOLDERS, required="sha")]
    """Deploys `{sha}`, the commit that was approved; runs in the repository. Beside it, `{name}` is the requested tag
    or branch (or the SHA), which may mean another commit by then, `{previous}` the SHA that ran before (or nothing),
    `{key}` an idempotency key for the deployment, and `{component}` and `{environment}` are the names. The first
    argument is the program; it takes no placeholder."""
    status: Annotated[Command, command_with("component", "environment")]
    """Prints what runs there: a full SHA, or a JSON object with `sha` and optionally `since`, `by`, `url`; nothing, if
    nothing was deployed yet. May contain `{component}` and `{environment}`."""
    timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """A longer deployment is stopped."""
    grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """The time between SIGTERM and SIGKILL when it is stopped."""
    url: Annotated[str, text_with(*PLACEHOLDERS)] = Field(default="", max_length=1_000)
    """Where to watch a deployment; may contain the placeholders of `deploy`."""
    env: dict[Variable, Argument] = Field(default_factory=dict)
    """Environment variables for both commands. Of the bot's own they get only PATH, HOME, LANG, USER and TMPDIR."""

    def deployer(self, at: At) -> Deployer:
        return CommandDeployer(self, at)

    def misplaced(self, *, local: bool, github: str) -> str:
        return "" if local else "a command runs in the component's local repository: give the component a `repository`"

    def bound_to(self) -> dict[str, JsonValue]:
        hashes = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in self.env.items()}
        return {**super().bound_to(), "env": {**hashes}}


class CommandDeployer:
    """A `Deployer` that runs `CommandTarget.deploy`.

    Any number of instances, in any number of processes, may share a `state_dir`; it belongs to one machine. Machines
    share `notes`.
    """

    def __init__(self, target: CommandTarget, at: At, *, status_seconds: float = STATUS_SECONDS_MAX) -> None:
        assert at.folder is not None, "see CommandTarget.misplaced"
        self.component = at.component
        self.environment = at.environment
        self._target = target
        self._cwd = str(at.folder.expanduser().absolute())
        self._notes = at.notes
        self._machine = Machine(at.state_dir)
        self._local = LocalRuns(self._machine, at.notes, at.component, at.environment)
        self._records, self._shared = self._local.records, self._local.shared
        self._status_seconds = status_seconds

    @property
    def carried_out(self) -> Facts:
        return {"command_runs": "on the machine of the worker that begins it"}

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        """See `Deployer.start`. Durable when it returns; cancelling it does not stop a started deployment.

        An invalid `name` is left out.
        """
        assert key, "a deployment needs a key"
        require_commits(sha, previous)
        if not is_revision_text(name):
            name = ""  # Display only, but it is put into the command, so it must be harmless.
        name_of_run = run_id(self.component, self.environment, key)
        values = {"sha": sha, "name": name or sha, "previous": previous, "key": name_of_run} | self._names
        request = Request(
            id=name_of_run,
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
        begun = await self._shared.find(name_of_run)
        if begun and begun.machine != await asyncio.to_thread(self._identity):
            return require_same(begun, sha)
        # In a thread: it ends what it has begun, also if this is cancelled.
        return await asyncio.to_thread(self._start, request, asyncio.get_running_loop())

    async def find(self, key: str) -> Run | None:
        name = run_id(self.component, self.environment, key)
        here, stored = await asyncio.to_thread(self._local.find, name), await self._shared.find(name)
        # One that this machine has claimed and not begun is none: `start` begins it.
        begun = here or (stored if stored and stored.machine != await asyncio.to_thread(self._identity) else None)
        return await self.look(name) if begun else None

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
        return await confirmed(self, self._shared, run)

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
        return await ask_status(
            [filled(argument, self._names) for argument in self._target.status],
            where=f"{self.component} {self.environment}",
            cwd=self._cwd,
            env=command_environment(self._target.env),
            seconds=self._status_seconds,
        )

    async def history(self, limit: int = 20) -> list[Run]:
        runs = (await self._shared.history())[: max(0, limit)]
        return [await self.look(run.id) if run.state == "running" else run for run in runs]

    async def about(self, sha: str) -> Facts:
        return {}

    async def cancel(self, run_id: str, by: str) -> Run:
        """Its command gets the same time to end as at its time limit."""
        run = await self.look(run_id)
        if run.state != "running":
            raise ToolError(f"Run {run_id} has ended already: {run.state.replace('_', ' ')}.")
        if run.machine != await asyncio.to_thread(self._identity):
            raise ToolError(f"Run {run_id} can only be stopped on {run.host}, the machine that it runs on.")
        await asyncio.to_thread(self._records.stop, run_id)
        return await self.look(run_id)

    async def log_tail(self, run_id: str) -> str:
        return (await self.look(run_id)).output

    async def holder(self) -> Holder | None:
        run = await self._shared.holder()
        may_go_on = f"its command may STILL RUN on {run.host}: look there before you approve" if run else ""
        return Holder(run, await self._shared.silent_since(run), may_go_on) if run else None

    async def release(self, run_id: str, by: str) -> None:
        await self._shared.release(run_id, f"Its machine was gone, and the target was released for {by}")

    async def problems(self) -> list[str]:
        """Of all commands it runs only `status`."""
        env, cwd = command_environment(self._target.env), Path(self._cwd)
        found = []
        if problem := not_startable(self._target.deploy, cwd, env):
            found.append(f"`deploy` cannot be started: {problem}")
        if problem := not_startable(self._target.status, cwd, env):
            found.append(f"`status` cannot be started: {problem}")
        elif await asyncio.to_thread(cwd.is_dir):
            try:
                await self.status()
            except ToolError as error:
                found.append(f"{str(error).rstrip('.')}. Run its `status` command by hand in {self._cwd!r}.")
        return found

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
                    return require_same(self._records.look(request.id), request.sha)
                held.callback(os.close, lock)
                # Before the claim, so that a claim without a run is found and given up.
                self._machine.mark(Mark(request.id, self.component, self.environment))
                if begun := self._claim(request, loop):
                    return require_same(begun, request.sha)
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
