"""A worker of the benchmarks as a process of its own: `python -m tests.benchmarks.worker REDIS_URL MODEL_URL PREFIX N`.

It is `bot.worker.Worker` with room for N threads. It says `ready`, then `card THREAD` and `end THREAD` as they come;
with `approve` behind N it decides each card by itself, as a click that reached this process would.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import uvloop

from channels.messages import Approval
from store.keys import thread_id_of
from store.values import Person, Place
from tests.benchmarks.process import spoken, until_stdin_ends
from tests.benchmarks.work import log_as_the_program_does, opened_bot

BOB = Person(name="Bob", address="U2", trust="verified")


def running_worker(
    redis_url: str, model_url: str, prefix: str, *, concurrency: int, approve: bool = False
) -> AbstractAsyncContextManager[AsyncIterator[str]]:
    """Gives the lines that it says, from `ready` on."""
    more = ["approve"] if approve else []
    return spoken("tests.benchmarks.worker", redis_url, model_url, prefix, str(concurrency), *more)


async def _work(redis_url: str, model_url: str, prefix: str, concurrency: int, *, approve: bool) -> None:
    async with opened_bot(redis_url, model_url, prefix) as bot, asyncio.TaskGroup() as clicks:

        def carded(place: Place, card: Approval) -> None:
            thread_id = thread_id_of(place)
            print("card", thread_id, flush=True)
            if approve:
                clicks.create_task(bot.inbox.decide(thread_id, BOB, approved=True, digest=card.digest, proof="bench"))

        bot.channel.on_card = carded
        bot.channel.on_end = lambda place: print("end", thread_id_of(place), flush=True)
        worker = bot.worker(concurrency)
        working = asyncio.create_task(worker.run())
        print("ready", flush=True)
        await until_stdin_ends()
        worker.stop()
        await working


if __name__ == "__main__":
    redis_url, model_url, prefix, concurrency, *more = sys.argv[1:]
    with log_as_the_program_does():
        uvloop.run(_work(redis_url, model_url, prefix, int(concurrency), approve="approve" in more))
