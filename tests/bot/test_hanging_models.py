"""A model's endpoint that hangs or is down: nobody else waits for it, neither people nor other models.

The program's own worker with its own models, over real HTTP; the store is in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.definition import Agent
from agent.model.choice import Models
from agent.model.circuit import FAILURES_MAX
from bot.app import App, model_of, policies_of
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from channels.inbound import InboundMessage
from store.events import ChoiceFailed
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Place
from tests.agent.model.endpoints import DOWN, hanging
from tests.fakes.model_server import ModelServer
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import World, ops
from tests.telling.story import ANN

DONE = {"intent": "done_for_now", "message": "Done."}
PUSH = {"intent": "push", "target": "prod"}
THREADS = 60
CALLS_MAX = 50
"""As `BOT_CONCURRENCY` is if nobody sets it; there are more threads than that."""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEAD_KEY", "sk-dead")


def two_models(healthy: ModelServer, dead: ModelServer, **of_the_dead: object) -> Setup:
    """The agent `stuck` has a model of its own; there is nothing wrong with that of the others."""
    table = {"model": "dead-1", "base_url": dead.url, "api_key_env": "DEAD_KEY", "agents": ["stuck"], **of_the_dead}
    team = {"models": {"dead": table}, "policy": {"*": {"*": {"group": "anyone"}}}}
    settings = Settings.model_validate(
        {
            "openai_base_url": healthy.url,
            "openai_api_key": "sk-healthy",
            "openai_model": "healthy-1",
            "bot_grace_seconds": 0,
        }
    )
    return Setup(settings, Team.model_validate(team))


class Room:
    """A world in which the program's own worker works."""

    def __init__(self, setup: Setup, models: Models) -> None:
        self.world = world = World(store=MemoryStore())
        world.inbox = Inbox(world.store.real)
        roster: dict[str, Agent] = {"ops": world.agent, "stuck": ops(world.desk, name="stuck")}
        channels = {world.channel.name: world.channel}
        self.app = App(setup, world.store, world.inbox, roster, channels, authority=policies_of(setup))
        self.worker = self.app.worker(models)

    async def opened(self, agent: str, address: str) -> str:
        message = InboundMessage(ANN, "hello", f"m/{address}")
        return await self.app.inbox.message(Place(channel="terminal", address=address), message, agent=agent)

    async def until(self, thread_id: str, status: str) -> Thread:
        """Follows the thread until it has this status."""
        thread = await self.app.store.load(thread_id)
        if thread.status == status:
            return thread
        return await anext(later async for later in self.app.store.follow(thread) if later.status == status)


@contextlib.asynccontextmanager
async def room(setup: Setup) -> AsyncIterator[Room]:
    async with model_of(setup) as models:
        here = Room(setup, models)
        running = asyncio.create_task(here.worker.run())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                yield here
        finally:
            here.worker.stop()
            await running


async def test_clicks_and_other_models_are_served_while_more_threads_than_places_hang() -> None:
    async with (
        ModelServer(PUSH, DONE, DONE) as healthy,
        ModelServer(hanging(), repeat=True) as dead,
        room(two_models(healthy, dead)) as here,
    ):
        pushing = await here.opened("ops", "the one who clicks")
        await here.until(pushing, "waiting_for_approval")
        for number in range(THREADS):
            await here.opened("stuck", f"desk {number}")
        await dead.arrived(CALLS_MAX)

        await here.app.inbox.decide(pushing, ANN, approved=True)
        await here.until(pushing, "done")
        await here.until(await here.opened("ops", "another one"), "done")

        assert "ran: push(target: prod)" in here.world.lines
        assert len(dead.requests) == CALLS_MAX, "nobody had to wait for any of them to end"


async def test_those_who_wait_for_a_place_get_one_without_a_new_wake_up() -> None:
    go_on = asyncio.Event()

    async def answer(_: object) -> dict[str, str]:
        await go_on.wait()
        return DONE

    async with (
        ModelServer() as healthy,
        ModelServer(answer) as slow,
        room(two_models(healthy, slow)) as here,
    ):
        waiting = [await here.opened("stuck", f"desk {number}") for number in range(THREADS)]
        await slow.arrived(CALLS_MAX)
        go_on.set()
        for thread_id in waiting:
            thread = await here.until(thread_id, "done")
            assert not any(isinstance(event, ChoiceFailed) for event in thread.events)


async def test_an_endpoint_that_is_down_is_left_alone_and_the_fallback_serves_its_threads() -> None:
    async with (
        ModelServer(DONE, repeat=True) as healthy,
        ModelServer(DOWN, repeat=True) as dead,
        room(two_models(healthy, dead, fallback="default")) as here,
    ):
        for number in range(THREADS):
            await here.until(await here.opened("stuck", f"desk {number}"), "done")
        assert (len(dead.requests), len(healthy.requests)) == (FAILURES_MAX, THREADS)


async def test_without_a_fallback_the_thread_learns_at_once_what_is_wrong_and_when_it_goes_on() -> None:
    async with (
        ModelServer() as healthy,
        ModelServer(DOWN, repeat=True) as dead,
        room(two_models(healthy, dead)) as here,
    ):
        for number in range(FAILURES_MAX + 1):
            thread = await here.until(await here.opened("stuck", f"desk {number}"), "waiting")
        assert len(dead.requests) == FAILURES_MAX
    failed = thread.events[-1]
    assert isinstance(failed, ChoiceFailed)
    assert failed.error.startswith("The model dead-1 was not asked, because it failed 5 times in a row. The last time:")
    assert failed.retry_at
