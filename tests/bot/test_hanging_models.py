"""A model's endpoint that hangs or is down: nobody else waits for it, neither people nor other models.

The program's own worker with its own models, over real HTTP; the store is in memory. An outage of many minutes passes
on a clock that the test moves, with a client that makes no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.definition import Agent
from agent.model.base import Answer, ModelFailure, Prompt
from agent.model.bounded import BoundedModel
from agent.model.choice import Models, Option
from agent.model.circuit import FAILURES_MAX, PAUSE_SECONDS
from bot.app import App, model_of, policies_of
from bot.hold import Hold
from bot.inbox import Inbox
from bot.memory import Remembered
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from channels.inbound import InboundMessage
from store.choices import ChoiceFailed
from store.events import HandedToHuman
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Place
from tests.agent.model.endpoints import DOWN, hanging
from tests.fakes.model_server import ModelServer
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import LEASE_SECONDS, World, done, ops
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
    team = {"models": {"dead": table}, "rule": [{"tool": "*", "group": "anyone"}]}
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
        pending = (await here.until(pushing, "waiting_for_approval")).pending
        assert pending
        for number in range(THREADS):
            await here.opened("stuck", f"desk {number}")
        await dead.arrived(CALLS_MAX)

        await here.app.inbox.decide(pushing, ANN, approved=True, digest=pending.digest)
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


# An outage of many minutes


class Endpoint:
    """What a model's client says of an endpoint that a test takes away, and of how often it was asked."""

    mode = "prompt"

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_down = False
        self.asked = 0

    def chars_max(self, agent: Agent) -> None:
        pass

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer:
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise ModelFailure("unavailable", "It refuses connections.", model=self.name)
        return Answer(done(), None, self.name)

    async def close(self) -> None:
        pass


class Outage:
    """Many threads of one worker, whose time passes when all of them are let go."""

    def __init__(self, *, fallback_calls_max: int = 0) -> None:
        """`fallback_calls_max`: the calls at once of a second endpoint, which is never away; 0: there is none."""
        self.world = World()
        self.fallback_calls_max = fallback_calls_max
        self.endpoint = Endpoint("big-1")
        self.ids: list[str] = []
        self.restarted()

    def restarted(self) -> None:
        """Another process takes over, which knows only what is in the log."""
        options = [Option(self._model("default", self.endpoint, CALLS_MAX), 90)]
        if self.fallback_calls_max:
            options = [replace(options[0], fallback="cheap")]
            options.append(Option(self._model("cheap", Endpoint("small-1"), self.fallback_calls_max), 90))
        self.world.loop = self.world.loop_with(Models(options))

    def _model(self, label: str, endpoint: Endpoint, calls_max: int) -> BoundedModel:
        clock = self.world.clock
        return BoundedModel(label, endpoint, calls_max=calls_max, clock=lambda: clock().timestamp())

    async def opened(self, count: int) -> None:
        for number in range(len(self.ids), len(self.ids) + count):
            place = Place(channel="terminal", address=f"desk {number}")
            self.ids.append(await self.world.inbox.message(place, InboundMessage(ANN, "hello", "m"), agent="ops"))

    async def passes(self, **time: float) -> None:
        """All that happens in this time."""
        world, store = self.world, self.world.store.real
        until = world.clock() + timedelta(**time)
        while True:
            leases = await store.claim(CALLS_MAX, LEASE_SECONDS)
            holds = [
                Hold(store, world.loop, lease, Remembered(Thread(lease.thread_id)), clock=world.clock)
                for lease in leases
            ]
            await asyncio.gather(*(hold.run() for hold in holds))
            due_in = await store.due_in_seconds()
            if leases or (due_in is not None and due_in <= 0):
                continue
            left = (until - world.clock()).total_seconds()
            if due_in is None or due_in > left:
                world.clock.advance(left)
                return
            world.clock.advance(due_in)

    async def threads(self) -> list[Thread]:
        return [await self.world.store.load(thread_id) for thread_id in self.ids]


def failures_of(thread: Thread) -> list[ChoiceFailed]:
    return [event for event in thread.events if isinstance(event, ChoiceFailed)]


async def test_an_outage_of_ten_minutes_hands_nobody_over_and_all_go_on_by_themselves() -> None:
    outage = Outage()
    outage.endpoint.is_down = True
    await outage.opened(CALLS_MAX)
    await outage.passes(minutes=10)
    for thread in await outage.threads():
        (failed,) = failures_of(thread)
        assert failed.retry_at, "people can see that it goes on by itself"
        assert not thread.state.handed_to_human
    outage.endpoint.is_down = False
    await outage.passes(seconds=90)
    assert {thread.status for thread in await outage.threads()} == {"done"}


async def test_whoever_comes_while_the_model_is_left_alone_is_told_once_and_goes_on_too() -> None:
    outage = Outage()
    outage.endpoint.is_down = True
    await outage.opened(FAILURES_MAX)
    await outage.passes(minutes=1)
    await outage.opened(CALLS_MAX)
    await outage.passes(minutes=9)
    assert {len(failures_of(thread)) for thread in (await outage.threads())[FAILURES_MAX:]} == {1}
    assert outage.endpoint.asked < 3 * FAILURES_MAX + 10
    outage.endpoint.is_down = False
    await outage.passes(seconds=90)
    assert {thread.status for thread in await outage.threads()} == {"done"}


async def test_after_a_quarter_of_an_hour_without_the_model_a_person_is_asked_to_go_on() -> None:
    outage = Outage()
    outage.endpoint.is_down = True
    await outage.opened(CALLS_MAX)
    await outage.passes(minutes=8)
    outage.restarted()
    await outage.passes(minutes=6, seconds=59)
    assert not any(thread.state.handed_to_human for thread in await outage.threads())
    await outage.passes(seconds=3)
    for thread in await outage.threads():
        (handed,) = (event for event in thread.events if isinstance(event, HandedToHuman))
        assert handed.limit == "unavailable_seconds"
        assert failures_of(thread)[-1].retry_at is None, "it does not go on by itself any more"
        assert thread.status == "handed_to_human"


async def test_a_fallback_with_fewer_places_than_threads_serves_them_one_after_the_other() -> None:
    outage = Outage(fallback_calls_max=10)
    outage.endpoint.is_down = True
    await outage.opened(CALLS_MAX)
    await outage.passes(seconds=PAUSE_SECONDS - 1)
    threads = await outage.threads()
    assert {thread.status for thread in threads} == {"done"}
    assert {len(failures_of(thread)) for thread in threads} == {0, 1}, "a call that really failed is noted, once"
    assert not any(event.counted for thread in threads for event in failures_of(thread))
    await outage.opened(CALLS_MAX)
    await outage.passes(seconds=1)
    late = (await outage.threads())[CALLS_MAX:]
    assert {(thread.status, len(failures_of(thread))) for thread in late} == {("done", 0)}
