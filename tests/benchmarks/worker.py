"""A worker of the benchmarks as a process of its own: `python -m tests.benchmarks.worker REDIS_URL MODEL_URL PREFIX N`.

It is `bot.worker.Worker` with room for N threads. It says `ready`, then `card THREAD` and `end THREAD` as they come;
with `approve` behind N it decides each card by itself, as a click that reached this process would. With `home=FOLDER`
it has the shipped agent, on the site and with the team file of that folder.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import uvloop

from agent.definition import Agent
from agent.roster import deploy
from bot.team.file import read_team
from channels.messages import Approval
from store.keys import thread_id_of
from store.values import Person, Place
from tests.benchmarks.process import spoken, until_stdin_ends
from tests.benchmarks.work import bench_agent, log_as_the_program_does, opened_bot

BOB = Person(name="Bob", address="U2", trust="verified")


def running_worker(
    redis_url: str, model_url: str, prefix: str, *, concurrency: int, approve: bool = False, home: Path | None = None
) -> AbstractAsyncContextManager[AsyncIterator[str]]:
    """Gives the lines that it says, from `ready` on."""
    more = [*(["approve"] if approve else []), *([f"home={home}"] if home else [])]
    return spoken("tests.benchmarks.worker", redis_url, model_url, prefix, str(concurrency), *more)


def shipped_agent(home: Path) -> Agent:
    return deploy.build(read_team(home / "bot.toml").agents[deploy.NAME], home)


async def _work(
    redis_url: str, model_url: str, prefix: str, concurrency: int, *, approve: bool, agent: Callable[[], Agent]
) -> None:
    async with opened_bot(redis_url, model_url, prefix, agent) as bot, asyncio.TaskGroup() as clicks:

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
    homes = [Path(each.removeprefix("home=")) for each in more if each.startswith("home=")]
    agent = functools.partial(shipped_agent, homes[0]) if homes else bench_agent
    with log_as_the_program_does():
        uvloop.run(_work(redis_url, model_url, prefix, int(concurrency), approve="approve" in more, agent=agent))
