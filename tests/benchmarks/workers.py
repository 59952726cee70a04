"""What workers do with many threads, and with few: loops a second, the way through the queue, and parked threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from store.keys import thread_id_of
from store.values import Place
from tests.benchmarks.figures import Figure, median_ms, p95_ms
from tests.benchmarks.steps import Site
from tests.benchmarks.work import BOB, Bot, model_asked_at, new_prefix, opened_bot, tool_started_at
from tests.benchmarks.worker import running_worker

THINK_MILLISECONDS = 100
PAUSE_SECONDS = 0.02
"""Between two questions to an idle worker, so that it is idle again."""


async def one_process(site: Site, loops: int) -> list[Figure]:
    async with site.bot() as bot:
        await bot.flood(loops // 4, 50)
        took = await bot.flood(loops, 50)
    return [Figure("approve-loops/s, one process, 50 at once", loops / took, "/s", at_least=80)]


async def two_processes(site: Site, loops: int, loops_thinking: int) -> list[Figure]:
    """Once with a model that thinks, so that cores last; once with one that answers at once, until they do not."""
    thinking = [await _rate(site, count, loops_thinking * count, 20, THINK_MILLISECONDS) for count in (1, 2)]
    at_once = [await _rate(site, count, loops * count, 50, 0) for count in (1, 2)]
    return [
        Figure(
            "two workers against one, while cores last",
            thinking[1] / thinking[0],
            "x",
            at_least=1.8,
            note=f"20 threads each, the model thinks {THINK_MILLISECONDS} ms: {thinking[0]:.0f} -> {thinking[1]:.0f}/s",
        ),
        Figure(
            "  a model that answers at once",
            at_once[1] / at_once[0],
            "x",
            note=f"{at_once[0]:.0f} -> {at_once[1]:.0f}/s; stub, server and we take our part of the cores",
        ),
    ]


async def _rate(site: Site, workers: int, loops: int, concurrency: int, think_milliseconds: int) -> float:
    """Loops a second, from the first message's append to the last end."""
    prefix, model_url = new_prefix(), site.stub.url("steps", think_milliseconds)
    async with contextlib.AsyncExitStack() as stack:
        bot = await stack.enter_async_context(opened_bot(site.server.url, model_url, prefix))
        lines = [
            await stack.enter_async_context(
                running_worker(site.server.url, model_url, prefix, concurrency=concurrency, approve=True)
            )
            for _ in range(workers)
        ]
        ended = asyncio.Semaphore(0)

        async def listen(said: AsyncIterator[str]) -> None:
            async for line in said:
                if line.startswith("end"):
                    ended.release()

        async def round_of(count: int) -> float:
            began = time.monotonic()
            await asyncio.gather(*(bot.say(bot.new_place()) for _ in range(count)))
            for _ in range(count):
                await ended.acquire()
            return time.monotonic() - began

        for said in lines:
            assert await anext(said) == "ready"
        listening = [asyncio.create_task(listen(said)) for said in lines]
        try:
            await round_of(5 * workers)  # warm
            return loops / await round_of(loops)
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)


async def through_the_queue(site: Site, rounds: int) -> list[Figure]:
    """From before the append in this process to the model being asked, and the tool started, by an idle worker."""
    prefix, model_url = new_prefix(), site.stub.url("steps")
    asked: list[float] = []
    started: list[float] = []
    async with (
        opened_bot(site.server.url, model_url, prefix) as bot,
        running_worker(site.server.url, model_url, prefix, concurrency=50) as said,
    ):
        assert await anext(said) == "ready"
        for number in range(rounds + 3):
            place = bot.new_place()
            thread_id = thread_id_of(place)
            await asyncio.sleep(PAUSE_SECONDS)
            wrote = time.monotonic()
            await bot.say(place)
            assert await anext(said) == f"card {thread_id}"
            pending = (await bot.store.load(thread_id)).pending
            assert pending
            await asyncio.sleep(PAUSE_SECONDS)
            clicked = time.monotonic()
            await bot.inbox.decide(thread_id, BOB, approved=True, digest=pending.digest, proof="bench")
            assert await anext(said) == f"end {thread_id}"
            thread = await bot.store.load(thread_id)
            if number >= 3:
                asked.append(model_asked_at(thread) - wrote)
                started.append(tool_started_at(thread) - clicked)
    return [
        Figure("message -> model asked, through the queue", median_ms(asked), "ms", 10, note=_p95(asked)),
        Figure("click -> tool started, through the queue", median_ms(started), "ms", 10, note=_p95(started)),
    ]


def _p95(seconds: list[float]) -> str:
    return f"p95 {p95_ms(seconds):.1f} ms; an idle worker in another process"


async def parked(site: Site, threads: int) -> list[Figure]:
    """Threads that wait for an approval."""
    prefix = new_prefix()
    async with opened_bot(site.server.url, site.stub.url("steps"), prefix) as bot:
        worker = bot.worker()
        working = asyncio.create_task(worker.run())
        await _parked(bot, 1)
        idle = await _tasks()
        await _parked(bot, threads)
        tasks = await _tasks() - idle
        worker.stop()
        await working
        keys = site.server.command("KEYS", f"{prefix}:*")
        size = sum(site.server.command("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys)
    return [
        Figure(
            "parked thread, in Redis", size / (threads + 1), "B", 5000, note="its log, its ids, its part of indexes"
        ),
        Figure("parked thread, tasks in a worker", tasks / threads, "", at_most=0),
    ]


async def _tasks() -> int:
    """The fewest of a short while: the worker's own come and go."""
    counts = []
    for _ in range(20):
        await asyncio.sleep(0.02)
        counts.append(len(asyncio.all_tasks()))
    return min(counts)


async def _parked(bot: Bot, threads: int) -> None:
    waiting: asyncio.Queue[Place] = asyncio.Queue()
    bot.channel.on_card = lambda place, card: waiting.put_nowait(place)
    for _ in range(threads):
        await bot.say(bot.new_place())
    for _ in range(threads):
        await waiting.get()
