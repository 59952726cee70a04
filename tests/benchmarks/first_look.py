"""From a message to the model being asked, for the agent that ships: on a real repository, with real commands.

Against the agent without a plan, which looks nothing up, in the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from agent.roster.deploy.targets import SHARED_SECONDS
from bot.cli.demo.site import Site as DemoSite
from store.keys import thread_id_of
from store.values import Place
from tests.benchmarks.figures import Figure, median_ms, p95_ms
from tests.benchmarks.steps import Site
from tests.benchmarks.work import Bot, model_asked_at, new_prefix, opened_bot
from tests.benchmarks.worker import running_worker

AT_ONCE = 50
PAUSE_SECONDS = 0.02
"""Between two messages to an idle worker, so that it is idle again."""


async def first_look(site: Site, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        demo = DemoSite(home / "site")
        demo.build()
        demo.write_team_file(home / "bot.toml")
        # What a team's own command takes is not ours: this one is a shell and little more.
        status = demo.home / "status"
        status.write_text(status.read_text().replace('$(cd "$(dirname "$0")" && pwd)', "${0%/*}"))
        async with _worker(site, home) as (bot, said):
            alone = await _one_by_one(bot, said, rounds, SHARED_SECONDS + PAUSE_SECONDS)
            shared = await _one_by_one(bot, said, rounds, PAUSE_SECONDS)
            await asyncio.sleep(SHARED_SECONDS + PAUSE_SECONDS)
            together = await _together(bot, said)
        async with _worker(site) as (bot, said):
            no_look_alone = await _one_by_one(bot, said, rounds, PAUSE_SECONDS)
            no_look_together = await _together(bot, said)
    return [
        _figure("message -> model asked, the agent that ships", alone, 25, "nobody has looked for a while"),
        _against("  against one that looks nothing up", alone, no_look_alone),
        _figure("  while a look of another thread is fresh", shared),
        _figure(f"message -> model asked, {AT_ONCE} threads at once", together, 300, "the agent that ships"),
        _against("  against one that looks nothing up", together, no_look_together),
    ]


@contextlib.asynccontextmanager
async def _worker(site: Site, home: Path | None = None) -> AsyncIterator[tuple[Bot, AsyncIterator[str]]]:
    """A process beside us; without `home`, with the agent without a plan."""
    prefix, model_url = new_prefix(), site.stub.url("done")
    async with (
        opened_bot(site.server.url, model_url, prefix) as bot,
        running_worker(site.server.url, model_url, prefix, concurrency=AT_ONCE, home=home) as said,
    ):
        assert await anext(said) == "ready"
        await _one_by_one(bot, said, 3, PAUSE_SECONDS)  # warm
        yield bot, said


async def _one_by_one(bot: Bot, said: AsyncIterator[str], rounds: int, pause_seconds: float) -> list[float]:
    taken = []
    for _ in range(rounds):
        await asyncio.sleep(pause_seconds)
        taken += await _asked_after(bot, said, [bot.new_place()])
    return taken


async def _together(bot: Bot, said: AsyncIterator[str]) -> list[float]:
    return await _asked_after(bot, said, [bot.new_place() for _ in range(AT_ONCE)])


async def _asked_after(bot: Bot, said: AsyncIterator[str], places: list[Place]) -> list[float]:
    """The seconds from before each message's append to the model being asked."""
    wrote: dict[str, float] = {}

    async def say(place: Place) -> None:
        wrote[thread_id_of(place)] = time.monotonic()
        await bot.say(place)

    await asyncio.gather(*(say(place) for place in places))
    ended = {(await anext(said)).removeprefix("end ") for _ in places}
    assert ended == wrote.keys()
    return [model_asked_at(await bot.store.load(thread_id)) - at for thread_id, at in wrote.items()]


def _figure(name: str, seconds: list[float], at_most: float | None = None, note: str = "") -> Figure:
    return Figure(name, median_ms(seconds), "ms", at_most, note="; ".join(filter(None, (_p95(seconds), note))))


def _against(name: str, seconds: list[float], other: list[float]) -> Figure:
    return Figure(name, median_ms(seconds) / median_ms(other), "x", note=f"{median_ms(other):.1f} ms")


def _p95(seconds: list[float]) -> str:
    return f"p95 {p95_ms(seconds):.1f} ms"
