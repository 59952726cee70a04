"""Tells the store how this machine's deployments go: that they run, and how they ended.

A worker does it beside its work (`Tending`), for all runs of its machine, whichever worker began them, and at once
where it looks at a run or needs the target. A run whose runner died is lost: its target is free as soon as its command
is gone, too, which only this machine can see.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from agent import Notes
from agent.roster.deploy.deployers.base import Run
from agent.roster.deploy.deployers.machine import Machine, Mark
from agent.roster.deploy.deployers.record import Records
from agent.roster.deploy.deployers.shared import SharedRuns, heard_of

HEARD_EVERY = timedelta(seconds=15)
COMMAND_STILL_RUNS = "Its runner died, but its command still runs: ask a person to check."


class LocalRuns:
    """The runs that this machine began on one target. Its methods raise NotesUnavailable, and OSError."""

    def __init__(self, machine: Machine, notes: Notes, component: str, environment: str) -> None:
        self.machine = machine
        self.records = Records(machine.target(component, environment), component, environment)
        self.shared = SharedRuns(notes, component, environment)

    async def tell(self, run_id: str) -> None:
        """Tell the store what is known here of a run, unless its end is stored already."""
        if await asyncio.to_thread(self.machine.is_marked, run_id):
            await self._tell(run_id, await asyncio.to_thread(self.find, run_id))

    def find(self, run_id: str) -> Run | None:
        """None: this machine has no such run. Blocking. Raises ToolError if its record cannot be read."""
        run = self.records.find(run_id)
        if run and not run.machine:  # An older version began it.
            return replace(run, machine=self.machine.identity(), host=socket.gethostname())
        return run

    async def _tell(self, run_id: str, run: Run | None) -> None:
        if run and run.state == "running":
            await self.shared.hold(run)
            return
        if run and run.state != "lost":
            await self.end(run)
            return
        async with self._target() as is_free:
            if is_free:
                # Read again, for it may just have begun.
                run = await asyncio.to_thread(self.find, run_id)
                if run is None:
                    await self.give_up(run_id)
                elif run.state != "running":
                    await self.end(run)
            elif run:
                await self.shared.hold(replace(run, note=COMMAND_STILL_RUNS))

    async def end(self, run: Run) -> None:
        """It has ended, and is told."""
        await self.shared.end(run)
        await asyncio.to_thread(self.machine.unmark, run.id)

    async def give_up(self, run_id: str) -> None:
        """It was claimed, if at all, and never begun."""
        await self.shared.give_up(run_id, await asyncio.to_thread(self.machine.identity))
        await asyncio.to_thread(self.machine.unmark, run_id)

    @contextlib.asynccontextmanager
    async def _target(self) -> AsyncIterator[bool]:
        """Holds the target's lock of this machine, if it is free: nothing is begun meanwhile."""
        lock = self.records.try_lock()
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)


class Tending:
    """Called again and again by a worker. One for each process."""

    def __init__(self, state_dir: Path) -> None:
        self._machine = Machine(state_dir)
        self._heard_at: datetime | None = None
        self._is_new = True

    async def __call__(self, notes: Notes) -> None:
        """Raises NotesUnavailable; OSError and ValueError if the folder cannot be read."""
        marks = await asyncio.to_thread(self._marks)
        if marks:
            await self._be_heard(notes)
        for mark in marks:
            await LocalRuns(self._machine, notes, mark.component, mark.environment).tell(mark.run_id)

    def _marks(self) -> list[Mark]:
        if self._is_new:
            self._machine.mark_older_runs()
            self._is_new = False
        return self._machine.marks()

    async def _be_heard(self, notes: Notes) -> None:
        now = notes.now()
        if self._heard_at is None or now - self._heard_at >= HEARD_EVERY:
            await heard_of(notes, await asyncio.to_thread(self._machine.identity))
            self._heard_at = now
