"""The same work on several checkouts of this repository, in turns: `python -m tests.benchmarks --before DIR …`.

Every checkout has a process of its own (`tests.benchmarks.checkout`) and its own stub, on the same server. In each
round each of them does a little, so what else the machine does falls on all of them; the ratios are of the two halves
of a round. CPU is what the process itself took, and says more than the time on a machine that is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import ROOT
from tests.benchmarks import checkout
from tests.benchmarks.figures import short
from tests.benchmarks.process import environment_of
from tests.benchmarks.steps import Site, marginal
from tests.benchmarks.stub import STEPS, running_stub
from tests.fakes.servers import Server

COMMANDS = (("--help",), ("threads",))


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often each work is done, and how much of it at once."""

    loops: int = 40
    loops_at_once: int = 4
    long: int = 15
    floods: int = 6
    flood: int = 100
    parked: int = 60
    commands: int = 15


@dataclass
class Side:
    """A checkout, and its process."""

    folder: Path
    name: str
    prefix: str
    process: asyncio.subprocess.Process
    taken: dict[str, list[float]] = field(default_factory=dict)

    async def do(self, work: str, number: int) -> dict[str, list[float]]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{work} {number}\n".encode())
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the benchmarks of {self.folder} ended; what they said stands above")
        return {name: list(map(float, values)) for name, values in json.loads(line).items()}

    def note(self, figure: str, value: float) -> None:
        self.taken.setdefault(figure, []).append(value)


async def compared(site: Site, folders: Sequence[Path], rounds: Rounds) -> str:
    """A table of all figures on the checkouts in these folders, and on this one."""
    async with contextlib.AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(_side(site, folder, f"v{number:02}"))
            for number, folder in enumerate([*folders, ROOT])
        ]
        for side in sides:
            await side.do("loops", 10)  # warm
        for number in range(rounds.loops):
            for side in _in_turn(sides, number):
                await _loops(site.server, side, rounds.loops_at_once)
        for number in range(rounds.long):
            few = {side.prefix: await _long(side, 10) for side in _in_turn(sides, number)}
            many = {side.prefix: await _long(side, 1000) for side in _in_turn(sides, number)}
            for side in sides:
                side.note("growth of a step, 1,000 events against 10", many[side.prefix] / few[side.prefix])
        for number in range(rounds.floods):
            for side in _in_turn(sides, number):
                side.note("approve-loops, 50 at once (/s)", (await side.do("flood", rounds.flood))["per_s"][0])
        for side in sides:
            await _parked(site.server, side, rounds.parked)
        for number in range(rounds.commands):
            for side in _in_turn(sides, number):
                for words in COMMANDS:
                    took = await asyncio.to_thread(_command_seconds, side.folder, site.server.url, words)
                    side.note(f"CPU of bot {' '.join(words)} (ms)", took * 1000)
    return _table(sides)


def _in_turn(sides: list[Side], number: int) -> list[Side]:
    """Each goes first as often as last."""
    return sides if number % 2 == 0 else sides[::-1]


@contextlib.asynccontextmanager
async def _side(site: Site, folder: Path, prefix: str) -> AsyncIterator[Side]:
    async with running_stub(folder) as stub:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", checkout.__file__, site.server.url, stub.url("steps"), prefix),
            env=environment_of(folder),
            stdin=PIPE,
            stdout=PIPE,
        )
        try:
            assert process.stdout
            assert await process.stdout.readline() == b"ready\n", f"the benchmarks of {folder} do not run"
            yield Side(folder, _name(folder), prefix, process)
        finally:
            assert process.stdin
            process.stdin.close()
            await process.wait()


def _name(folder: Path) -> str:
    """Its commit, with a + if files were changed since."""
    described = subprocess.run(
        ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"], capture_output=True, text=True
    )
    return described.stdout.strip() or folder.name


async def _loops(server: Server, side: Side, count: int) -> None:
    calm, before = _received(server), _received(server)
    took = await side.do("loops", count)
    sent = _received(server) - before - (before - calm)  # Less what it takes to ask for it.
    side.note("overhead per step (ms)", statistics.median(took["whole_ms"]))
    side.note("CPU per step (ms)", statistics.median(took["cpu_ms"]))
    side.note("pause -> durable (ms)", statistics.median(took["pause_ms"]))
    side.note("approval recorded -> tool started (ms)", statistics.median(took["resume_ms"]))
    side.note("bytes sent to Redis per step", sent / count / STEPS)


async def _long(side: Side, length: int) -> float:
    """One step more on a thread of that length, in milliseconds."""
    took = await side.do("long", length)
    one_more = marginal(took["chosen_at"]) * 1000
    side.note(f"step at {length:,} events (ms)", took["whole_ms"][0])
    side.note(f"  without reading the thread, at {length:,} events (ms)", one_more)
    side.note(f"  CPU, reading the thread included, at {length:,} events (ms)", took["cpu_ms"][0])
    side.note(f"  approval recorded -> tool started at {length:,} events (ms)", took["resume_ms"][0])
    return one_more


async def _parked(server: Server, side: Side, threads: int) -> None:
    before = _memory(server, side.prefix)
    await side.do("park", threads)
    side.note("parked thread, in Redis (B)", (_memory(server, side.prefix) - before) / threads)


def _memory(server: Server, prefix: str) -> int:
    keys = server.command("KEYS", f"{prefix}:*")
    return sum(server.command("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys)


def _received(server: Server) -> int:
    return int(server.command("INFO", "stats")["total_net_input_bytes"])


def _command_seconds(folder: Path, redis_url: str, words: Sequence[str]) -> float:
    """The CPU time of one command, from its start to its end; its modules are compiled once, as installed ones are."""
    code = "import sys; from bot.cli import main; sys.argv[0] = 'bot'; main()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *words],
        env=environment_of(folder) | {"REDIS_URL": redis_url, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"bot {' '.join(words)} failed in {folder}"
    return used.ru_utime + used.ru_stime


def _table(sides: Sequence[Side]) -> str:
    """A row for each figure: the median of each checkout, and its ratio to the first."""
    first = sides[0]
    rows = [("", *(side.name for side in sides))]
    for figure, before in first.taken.items():
        cells = [short(statistics.median(before))]
        for side in sides[1:]:
            ratios = [now / then for then, now in zip(before, side.taken[figure], strict=True)]
            cells.append(f"{short(statistics.median(side.taken[figure]))} ({statistics.median(ratios):.2f}x)")
        rows.append((figure, *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return "\n".join(lines)
