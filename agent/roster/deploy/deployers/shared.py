"""What all workers know of one target's deployments: which run holds the target, and how the earlier ones ended.

It is kept in the store's notes, so any worker on any machine can tell how a deployment goes, and one deployment at a
time holds a target over all machines: `claim` is a compare-and-set. Only workers of the machine that began a run write
how it goes (see `local`), and any worker whether the target then runs what was deployed. From a machine that is not
heard of any more, nothing is guessed: its run keeps the target until a person releases it.

It starts nothing and looks at no process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from agent import Notes, ToolError
from agent.roster.deploy.deployers.base import DOUBTED, Run
from agent.roster.deploy.deployers.process import one_line

SILENT_AFTER = timedelta(seconds=90)
"""A machine that was not heard of for so long counts as gone."""
PAST_MAX = 100
"""How many ended runs of a target are listed. The record of each is kept."""


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True)

    holder: Run | None = None
    """The run that holds the target: it runs, or it is lost and its command may still run."""
    past: tuple[Run, ...] = ()
    """Ended runs, newest first, without their output."""


_RUN = TypeAdapter(Run)


class SharedRuns:
    """The runs of one component on one environment. All methods raise NotesUnavailable."""

    def __init__(self, notes: Notes, component: str, environment: str) -> None:
        self._notes = notes
        self._where = f"{component} on {environment}"
        self._name = f"deployment-targets/{component}/{environment}"

    async def claim(self, run: Run) -> Run | None:
        """Let this run hold the target. Another run: that one holds it. The same run, not running: it was begun before.

        None: it holds the target now, or did so already on this machine.
        """
        other: Run | None = None

        def claimed(target: _Target) -> _Target:
            nonlocal other
            begun = next((past for past in target.past if past.id == run.id), None)
            holder = target.holder
            is_ours = holder is not None and (holder.id, holder.machine) == (run.id, run.machine)
            other = begun or (None if is_ours else holder)
            return target if other else target.model_copy(update={"holder": run})

        await self._change(claimed)
        if other and other.id != run.id and (ended := await self._record(other.id)) and ended.state != "lost":
            # Whoever wrote how it ended died before it freed the target.
            await self.end(ended)
            return await self.claim(run)
        return other

    async def hold(self, run: Run) -> None:
        """It holds the target, as far as its machine knows: it runs, or its command does. Others are left alone."""

        def held(target: _Target) -> _Target:
            is_past = any(past.id == run.id for past in target.past)
            free = target.holder is None or target.holder.id == run.id
            # Its output grows, and is read where it runs.
            return target.model_copy(update={"holder": replace(run, output="")}) if free and not is_past else target

        await self._change(held)

    async def end(self, run: Run) -> None:
        """It has ended, and does not hold the target any more. A doubt that is stored already remains."""
        name = _record_name(run.id)
        while True:
            text = await self._notes.read(name)
            stored = self._parsed(name, text)
            if run.state == "succeeded" and stored and stored.state in DOUBTED:
                run = stored
            new = _RUN.dump_json(run).decode()
            if text == new or await self._notes.change(name, new, expected=text):
                break

        def ended(target: _Target) -> _Target:
            others = [past for past in target.past if past.id != run.id]
            past = sorted([replace(run, output=""), *others], key=lambda each: each.started_at, reverse=True)
            free = target.holder is None or target.holder.id == run.id
            return _Target(holder=None if free else target.holder, past=tuple(past[:PAST_MAX]))

        await self._change(ended)

    async def give_up(self, run_id: str, machine: str) -> None:
        """The run of this machine was claimed and never begun."""

        def given_up(target: _Target) -> _Target:
            held = target.holder
            is_it = held is not None and (held.id, held.machine) == (run_id, machine)
            return target.model_copy(update={"holder": None}) if is_it else target

        await self._change(given_up)

    async def release(self, run_id: str, why: str) -> None:
        """The run that holds the target holds it no more, and how it ended is not known. Raises ToolError."""
        held = await self.holder()
        if held is None or held.id != run_id:
            raise ToolError(f"Run {run_id} does not hold {self._where.replace(' on ', ' ')} any more.")
        await self.end(replace(held, state="lost", note=one_line(f"{why}: its outcome is unknown.", 300)))

    async def find(self, run_id: str) -> Run | None:
        """As far as the store knows."""
        if record := await self._record(run_id):
            return record
        target, _ = await self._read()
        return next((run for run in (target.holder, *target.past) if run and run.id == run_id), None)

    async def holder(self) -> Run | None:
        return (await self._read())[0].holder

    async def history(self) -> list[Run]:
        """Newest first."""
        target, _ = await self._read()
        return [*([target.holder] if target.holder else []), *target.past]

    async def silent_since(self, run: Run) -> datetime | None:
        """When a worker of the run's machine was last heard of; None: not long ago."""
        heard = await self._notes.read(_machine_name(run.machine))
        last = max(run.started_at, datetime.fromisoformat(heard)) if heard else run.started_at
        return last if self._notes.now() - last > SILENT_AFTER else None

    async def _record(self, run_id: str) -> Run | None:
        name = _record_name(run_id)
        return self._parsed(name, await self._notes.read(name))

    def _parsed(self, name: str, text: str) -> Run | None:
        try:
            return _RUN.validate_json(text) if text else None
        except ValidationError:
            raise self._unreadable(name) from None

    async def _change(self, change: Callable[[_Target], _Target]) -> None:
        while True:
            before, text = await self._read()
            after = change(before)
            if after == before or await self._notes.change(self._name, after.model_dump_json(), expected=text):
                return

    async def _read(self) -> tuple[_Target, str]:
        text = await self._notes.read(self._name)
        try:
            return (_Target.model_validate_json(text) if text else _Target()), text
        except ValidationError:
            raise self._unreadable(self._name) from None

    def _unreadable(self, name: str) -> ToolError:
        return ToolError(
            f"The store's note {one_line(name, 100)!r} on {self._where} cannot be read; a newer version may have "
            "written it. Nothing is deployed there until it can."
        )


async def heard_of(notes: Notes, machine: str) -> None:
    """A worker of this machine is alive."""
    before = await notes.read(_machine_name(machine))
    await notes.change(_machine_name(machine), notes.now().isoformat(), expected=before)


def _record_name(run_id: str) -> str:
    return f"deployment-runs/{run_id}"


def _machine_name(machine: str) -> str:
    return f"deployment-machines/{machine}"
