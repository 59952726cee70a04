"""One checkout's side of a comparison: does the work that it is told to, and says what it took.

It runs as a file, with another checkout of this repository as PYTHONPATH: the program, and the approve-loop on it, are
that checkout's. So it uses only what the benchmarks have had from the beginning. Each line of its stdin is the name of
a work and a number; each line of its stdout is the samples of one work as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import uvloop

from bot.logs import set_up_logging
from store.events import StepChosen
from store.keys import thread_id_of
from store.thread import Thread
from tests.benchmarks.steps import history
from tests.benchmarks.stub import STEPS
from tests.benchmarks.work import Bot, opened_bot

Samples = dict[str, list[float]]


async def loops(bot: Bot, count: int) -> Samples:
    """That many approve-loops, one after the other."""
    taken = [(await bot.approve_loop())[0] for _ in range(count)]
    return {
        "whole_ms": [took.whole * 1000 / STEPS for took in taken],
        "cpu_ms": [took.cpu * 1000 / STEPS for took in taken],
        "pause_ms": [took.pause * 1000 for took in taken],
        "resume_ms": [took.resume * 1000 for took in taken],
    }


async def long(bot: Bot, length: int) -> Samples:
    """An approve-loop on a thread that holds so many events already."""
    place = bot.new_place()
    await bot.store.append(Thread(thread_id_of(place)), *history(place, length))
    gc.collect()
    took, thread = await bot.approve_loop(place)
    return {
        "chosen_at": [event.at.timestamp() for event in thread.events if isinstance(event, StepChosen)],
        "whole_ms": [took.whole * 1000 / STEPS],
        "cpu_ms": [took.cpu * 1000 / STEPS],
        "resume_ms": [took.resume * 1000],
    }


async def flood(bot: Bot, count: int) -> Samples:
    """That many approve-loops through a worker, 50 at once."""
    return {"per_s": [count / await bot.flood(count, 50)]}


async def park(bot: Bot, count: int) -> Samples:
    """That many threads until each of them waits for an approval."""
    waiting: asyncio.Queue[object] = asyncio.Queue()
    bot.channel.on_card = lambda place, card: waiting.put_nowait(place)
    worker = bot.worker()
    working = asyncio.create_task(worker.run())
    for _ in range(count):
        await bot.say(bot.new_place())
    for _ in range(count):
        await waiting.get()
    worker.stop()
    await working
    return {}


WORKS: Mapping[str, Callable[[Bot, int], Awaitable[Samples]]] = {
    "loops": loops,
    "long": long,
    "flood": flood,
    "park": park,
}


async def main(redis_url: str, model_url: str, prefix: str) -> None:
    async with opened_bot(redis_url, model_url, prefix) as bot:
        gc.freeze()  # as a worker does
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, number = line.split()
            print(json.dumps(await WORKS[name](bot, int(number))), flush=True)


if __name__ == "__main__":
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        set_up_logging("INFO", nowhere)
        uvloop.run(main(*sys.argv[1:]))
