"""Take every figure and print one table: `python -m tests.benchmarks [--quick] [--before DIR …]`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import platform
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.benchmarks.before import Rounds, compared
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.first_look import first_look
from tests.benchmarks.lists import lists
from tests.benchmarks.reading import context_tokens, thousand_events
from tests.benchmarks.steps import Site, growth, overhead, settle
from tests.benchmarks.stub import running_stub
from tests.benchmarks.work import log_as_the_program_does
from tests.benchmarks.workers import one_process, parked, through_the_queue, two_processes
from tests.fakes.servers import Server


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each is done."""

    overhead: int = 210
    growth: int = 15
    queue: int = 100
    first_looks: int = 15
    flood: int = 500
    worker_loops: int = 250
    worker_loops_thinking: int = 150
    parked: int = 100
    reading: int = 25
    listed: int = 10_000
    with_peer: bool = True


QUICK = Size(30, 3, 20, 3, 100, 60, 60, 20, 5, 1_000, with_peer=False)
QUICK_ROUNDS = Rounds(loops=8, long=2, floods=2, flood=50, parked=20, commands=3)


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    server = Server(appendfsync="everysec")
    try:
        server.start()
        async with running_stub() as stub:
            yield Site(server, stub)
    finally:
        server.stop()


async def figures(size: Size) -> AsyncIterator[Figure]:
    async with site() as place:
        for work in (
            overhead(place, size.overhead),
            growth(place, size.growth, with_peer=size.with_peer),
            thousand_events(place, size.reading),
            parked(place, size.parked),
            lists(place, size.listed, size.reading),
            through_the_queue(place, size.queue),
            first_look(place, size.first_looks),
            one_process(place, size.flood),
            two_processes(place, size.worker_loops, size.worker_loops_thinking),
            context_tokens(),
        ):
            await settle()
            for figure in await work:
                yield figure


async def main(size: Size) -> None:
    began = time.monotonic()
    gc.freeze()  # as a worker does
    taken = [figure async for figure in figures(size)]
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Valkey on a Unix "
        "socket, appendonly yes, appendfsync everysec.\nOnly ratios travel to another machine.\n"
    )
    print(table(taken))
    missed = sum(figure.holds is False for figure in taken)
    print(f"\n{sum(figure.holds is True for figure in taken)} targets hold, {missed} are missed.", end=" ")
    print(f"It took {time.monotonic() - began:.0f} s.")


async def compare(folders: Sequence[Path], rounds: Rounds) -> None:
    async with site() as place:
        print(await compared(place, folders, rounds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, in half a minute")
    parser.add_argument(
        "--before",
        metavar="DIR",
        type=Path,
        nargs="+",
        default=[],
        help="instead: the same work on these checkouts and on this one, in turns, with the ratios to the first",
    )
    chosen = parser.parse_args()
    if chosen.before:
        folders = [folder.resolve() for folder in chosen.before]
        uvloop.run(compare(folders, QUICK_ROUNDS if chosen.quick else Rounds()))
    else:
        with log_as_the_program_does():
            uvloop.run(main(QUICK if chosen.quick else Size()))
