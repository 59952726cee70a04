"""This machine's own folder of deployments: the machine's identity, and the runs whose end the store does not have yet.

A run has a mark here from before it is claimed in the store until its end is stored there, so no crash makes anybody
forget it. A machine is its folder, not its host name: a container that comes back on the same disk is the same machine.
It does blocking file I/O: call it in a thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.roster.deploy.deployers import runner
from agent.roster.deploy.fields import folder_name

_IDENTITY = "machine"
_UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Mark:
    """A run of this machine whose end the store does not have."""

    run_id: str
    component: str
    environment: str


class Machine:
    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir.expanduser().absolute()
        self._marks = self.folder / _UNTOLD

    def target(self, component: str, environment: str) -> Path:
        """The folder of one target."""
        return self.folder / folder_name(component, environment)

    def identity(self) -> str:
        """Made once. Raises OSError."""
        file = self.folder / _IDENTITY
        with contextlib.suppress(FileNotFoundError):
            return file.read_text(encoding="ascii")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.folder / f"{_IDENTITY}.{secrets.token_hex(8)}"
        beside.write_text(secrets.token_hex(10), encoding="ascii")
        try:
            with contextlib.suppress(FileExistsError):  # Another process was faster.
                os.link(beside, file)
        finally:
            beside.unlink()
        return file.read_text(encoding="ascii")

    def mark(self, mark: Mark) -> None:
        """Durable when it returns. Raises OSError."""
        self.mark_older_runs()
        self._marks.mkdir(mode=0o700, parents=True, exist_ok=True)
        runner.write_json(self._marks / mark.run_id, {"component": mark.component, "environment": mark.environment})

    def is_marked(self, run_id: str) -> bool:
        return (self._marks / run_id).exists()

    def unmark(self, run_id: str) -> None:
        with contextlib.suppress(OSError):  # It is told again.
            (self._marks / run_id).unlink(missing_ok=True)

    def marks(self) -> list[Mark]:
        """In the order in which they were made. Raises OSError, ValueError."""
        found: list[tuple[int, Mark]] = []
        for file in self._marks.iterdir() if self._marks.exists() else ():
            if file.suffix:
                continue  # It is being written.
            with contextlib.suppress(FileNotFoundError):
                target = json.loads(file.read_bytes())
                found.append((file.stat().st_mtime_ns, Mark(file.name, target["component"], target["environment"])))
        return [mark for _, mark in sorted(found, key=lambda each: each[0])]

    def mark_older_runs(self) -> None:
        """The runs from before there were marks, once. Raises OSError."""
        if self._marks.exists() or not self.folder.exists():
            return
        preparing = self.folder / f"{_UNTOLD}.{secrets.token_hex(8)}"
        preparing.mkdir(mode=0o700)
        for request in sorted(self.folder.glob(f"*/runs/*/{runner.REQUEST}"), key=lambda file: file.stat().st_mtime_ns):
            with contextlib.suppress(OSError, ValueError, KeyError):  # Not readable: it has never been listed.
                run = json.loads(request.read_bytes())
                target = {"component": run["component"], "environment": run["environment"]}
                runner.write_json(preparing / request.parent.name, target)
        try:
            preparing.rename(self._marks)
        except OSError:
            shutil.rmtree(preparing, ignore_errors=True)  # Another process was faster.
