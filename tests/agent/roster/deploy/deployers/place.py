"""A place to deploy to: a repository, a target's folder, what the deployers keep, and commands that wait at a gate."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent import Notes
from agent.roster.deploy.deployers.base import At, Deployer, Run
from agent.roster.deploy.deployers.command import CommandDeployer, CommandTarget
from agent.roster.deploy.deployers.local import Tending
from agent.roster.deploy.deployers.runner import OUTPUT, STARTED
from agent.roster.deploy.site import ComponentConfig
from tests import ROOT
from tests.agent.roster.deploy.deployers.notes import FileNotes
from tests.patience import PATIENCE_SECONDS, wait_until

ONE, TWO, THREE = ("4af9ec0" + "0" * 33, "b" * 40, "c" * 40)

# Says that it runs, waits until somebody opens and closes the gate, and notes what runs now.
GATED = 'echo "$1" >> "$2/ran"; echo began "$1"; cat "$2/gate" > "$2/passed"; echo "$1" > "$2/now"; echo ended'
PLAIN = 'echo "$1" >> "$2/ran"; echo "$1" > "$2/now"'


class Place:
    """Seen from one machine."""

    def __init__(self, top: Path) -> None:
        self.repository, self.target, self.state = top / "repository", top / "target", top / "state"
        self.notes = FileNotes(top / "notes")
        self.status_seconds = PATIENCE_SECONDS
        for folder in (self.repository, self.target):
            folder.mkdir(parents=True)

    def from_another_machine(self, name: str) -> Place:
        """The same repository, target and store; another disk for what deployers keep."""
        other = copy.copy(self)
        other.state = self.state.with_name(f"state-{name}")
        other.notes = FileNotes(self.notes.folder)
        return other

    async def tend(self) -> None:
        """What a worker of this machine does beside its work."""
        await Tending(self.state)(self.notes)

    def config(self, script: str = PLAIN, *, component: str = "web", **target: object) -> ComponentConfig:
        return ComponentConfig(
            name=component,
            repository=self.repository,
            targets={
                "production": CommandTarget(
                    **{
                        "deploy": ["/bin/sh", "-c", script, "deploy", "{sha}", str(self.target)],
                        "status": ["/bin/sh", "-c", f'cat "{self.target}/now" 2> /dev/null || :'],
                        "grace_seconds": 0.3,
                        **target,
                    }
                )
            },
        )

    def deployer(self, script: str = PLAIN, *, component: str = "web", **target: object) -> CommandDeployer:
        config = self.config(script, component=component, **target)
        return deployer_of(config, self.state, self.notes, status_seconds=self.status_seconds)

    def gated(self, *, component: str = "web", **target: object) -> CommandDeployer:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.target / "gate")
        return self.deployer(GATED, component=component, **target)

    def ran(self) -> list[str]:
        file = self.target / "ran"
        return file.read_text().split() if file.exists() else []

    def folder(self, run: Run) -> Path:
        return self.state / f"{run.component}-{run.environment}" / "runs" / run.id

    def printed(self, run: Run) -> str:
        file = self.folder(run) / OUTPUT
        return file.read_text() if file.exists() else ""

    def processes(self, run: Run) -> dict[str, int]:
        """The runner and the command's process group, as far as they are on record."""
        try:
            found: dict[str, int] = json.loads((self.folder(run) / STARTED).read_bytes())
        except FileNotFoundError:
            return {}
        return found


async def until(holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, holds)


def deployer_of(config: ComponentConfig, state: Path, notes: Notes, **more: float) -> CommandDeployer:
    target = config.targets["production"]
    assert isinstance(target, CommandTarget)
    return CommandDeployer(target, At(config.name, "production", config.repository, "", state, notes), **more)


async def ended(deployer: Deployer, run: Run) -> Run:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await deployer.look(run.id)).state == "running":
        assert time.monotonic() < deadline, f"still running: {found}"
        await asyncio.sleep(0.01)
    return found


async def start(deployer: Deployer, sha: str = ONE, *, key: str = "t1/s1", name: str = "v1") -> Run:
    return await deployer.start(sha, name=name, key=key, by="Ann", thread_id="t1")


def open_gate(place: Place) -> None:
    """Lets the command that waits at the gate go on."""

    def opened() -> bool:
        try:
            os.close(os.open(place.target / "gate", os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:  # Nobody waits there yet.
                raise
            return False
        return True

    wait_until(opened)


STARTER = """
import asyncio, os, signal, sys
from pathlib import Path
from agent.roster.deploy.site import ComponentConfig
from agent.roster.deploy.deployers.base import At
from agent.roster.deploy.deployers.command import CommandDeployer
from agent.roster.deploy.deployers.record import Records
from tests import ROOT
from tests.agent.roster.deploy.deployers.notes import FileNotes

class DyingRecords(Records):
    def begin(self, *given):
        if sys.argv[4] == "before it is recorded":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().begin(*given)

class Dying(CommandDeployer):
    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self._records = DyingRecords(self._records.folder, self.component, self.environment)
        self._local.records = self._records

    def _spawn(self, *given):
        if sys.argv[4] == "before the runner":
            os.kill(os.getpid(), signal.SIGKILL)
        super()._spawn(*given)

async def main():
    config, die_at = ComponentConfig.model_validate_json(sys.argv[1]), sys.argv[4]
    notes = FileNotes(Path(sys.argv[5]), int(die_at) if die_at.isdecimal() else 0)
    at = At(config.name, "production", config.repository, "", Path(sys.argv[2]), notes)
    deployer = Dying(config.targets["production"], at)
    run = await deployer.start(sys.argv[3], key="t1/s1", by="Ann", thread_id="t1")
    print(run.id, run.state, flush=True)
    if sys.argv[4] == "stays":
        await asyncio.Event().wait()

asyncio.run(main())
"""


def starter(place: Place, config: ComponentConfig, how: str = "ends") -> subprocess.Popen[str]:
    """Another process that starts the deployment of ONE with the key t1/s1."""
    notes = str(place.state.parent / "notes")
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, config.model_dump_json(), str(place.state), ONE, how, notes],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
