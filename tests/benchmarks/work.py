"""The approve-loop on the program itself: its store, inbox, loop and model client, put together as `bot.app` does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from agent.authority import AnyoneMay
from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import Answer, Prompt
from agent.model.openai import OpenAIModel
from agent.roster import deploy
from agent.roster.deploy.site import read_site
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools import tools_of
from agent.steps import Call, Facts, Tool
from bot.inbox import Inbox
from bot.logs import set_up_logging
from bot.memory import Memory, Remembered
from bot.worker import Worker
from channels.base import Channel
from channels.inbound import InboundMessage
from channels.messages import NEW, Approval, Outgoing, Text, Waiting, Way
from store.events import Event, StepChosen, ToolFinished
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Person, Place
from tests.benchmarks.stub import DEPLOY, marker
from tests.benchmarks.world import World

ANN = Person(name="Ann", address="U1", trust="verified")
BOB = Person(name="Bob", address="U2", trust="verified")
LEASE_SECONDS = 15.0

_SHA = "4af9ec024c7f132fd21fb4962aa6725f4e14bf07"
FOUND: JsonValue = {"sha": _SHA[:7], "name": "v1.4.2", "subject": "Pay by invoice", "by": "ada"}
FACTS: Facts = {"new": {"sha": _SHA, "name": "v1.4.2", "subject": "Pay by invoice"}, "running": {"sha": _SHA[::-1]}}


def _answered_at_once(tool: type[Tool]) -> type[Tool]:
    """The same step to the model; it only does nothing. A deployment tells when it was started."""

    async def prepare(self: Tool, call: Call) -> Facts:
        return FACTS if self.needs_approval() else {}

    async def run(self: Tool, call: Call) -> JsonValue:
        return {"run_id": "r18", "started": time.monotonic()} if self.needs_approval() else FOUND

    def body(namespace: dict[str, Any]) -> None:
        namespace |= {"__doc__": tool.__doc__, "__module__": __name__, "needs": (), "run": run}
        namespace["bound_to"] = Tool.bound_to
        if tool.prepare is not Tool.prepare:
            namespace["prepare"] = prepare

    return types.new_class(tool.__name__, (tool,), exec_body=body)


def bench_agent() -> Agent:
    """Deploybot without its plan: here the model takes every step."""
    targets = Targets(read_site(World(0).table()), Path("deployments"))
    return Agent(
        name=deploy.NAME,
        prompt=deploy.prompt_of(targets, Path(deploy.__file__)),
        tools=tuple(_answered_at_once(tool) for tool in tools_of(targets.config)),
    )


@dataclass
class BenchChannel(Channel):
    """Says nothing, and tells whoever asked when a card or the last word came."""

    name: str = "bench"
    on_card: Callable[[Place, Approval], None] = lambda place, card: None
    on_end: Callable[[Place], None] = lambda place: None

    async def send(
        self,
        place: Place,
        message: Outgoing,
        way: Way = NEW,
        *,
        key: str,
        since: datetime | None = None,
        so_far: Sequence[Event] = (),
    ) -> str:
        match message:
            case Approval(state=Waiting()):
                self.on_card(place, message)
            case Text():
                self.on_end(place)
            case _:
                pass
        return ""


class TimedModel:
    """The real client; notes when it was asked last, and when the answer was there."""

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model
        self.name = model.name
        self.answered_at = 0.0

    async def answer(self, prompt: Prompt) -> Answer:
        answer = await self._model.answer(prompt)
        self.answered_at = time.monotonic()
        return answer


@dataclass(frozen=True, slots=True)
class Took:
    """One approve-loop, in seconds."""

    whole: float
    cpu: float
    """Of this process."""
    pause: float
    """From the model's answer to the request being durable, its card in the channel's hands."""
    resume: float
    """From the approval being recorded to the tool's first line: claim, a look at what is new, and write-ahead."""


@dataclass
class Bot:
    """One process of the program."""

    store: RedisStore
    model: TimedModel
    agent: Agent
    inbox: Inbox = field(init=False)
    channel: BenchChannel = field(default_factory=BenchChannel)
    loop: Loop = field(init=False)
    memory: Memory = field(default_factory=Memory)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(time.monotonic_ns() & 0xFFFFFFFFFF))

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.store)
        self.loop = Loop(
            authority=AnyoneMay(),
            store=self.store,
            roster={deploy.NAME: self.agent},
            channels={self.channel.name: self.channel},
            model=self.model,
            clock=lambda: datetime.now(UTC),
        )

    def worker(self, concurrency: int = 50) -> Worker:
        return Worker(self.store, self.loop, concurrency=concurrency, lease_seconds=LEASE_SECONDS)

    def new_place(self) -> Place:
        return Place(channel=self.channel.name, address=marker(next(self.numbers)))

    async def say(self, place: Place, words: str = "deploy v1.4.2 to production") -> str:
        """The message that starts a loop, in a new thread or in the one that is there. Gives the thread's id."""
        return await self.inbox.message(
            place, InboundMessage(ANN, f"{words} {place.address}", f"m/{place.address}"), agent=deploy.NAME
        )

    async def hold(self, thread_id: str) -> Thread:
        """What a worker does with a thread that is due: claim, see what is new, advance, release, remember."""
        (lease,) = await self.store.claim(1, LEASE_SECONDS, thread_id)
        remembered = self.memory.take(thread_id)
        turn = self.loop.turn(remembered.thread, lease, remembered.contexts)
        await turn.refresh()
        await self.loop.advance(turn)
        assert await self.store.release(lease, turn.thread)
        self.memory.keep(Remembered(turn.thread, turn.contexts))
        return turn.thread

    async def approve(self, thread: Thread) -> None:
        request = thread.pending
        assert request, thread.status
        result = await self.inbox.decide(thread.id, BOB, approved=True, digest=request.digest, proof="bench")
        assert result.outcome == "settled"

    async def approve_loop(self, place: Place | None = None, *, elsewhere: bool = False) -> tuple[Took, Thread]:
        """One after the other, by hand, so that each part can be timed.

        `elsewhere`: after the approval, a worker goes on that has never seen the thread.
        """
        place = place or self.new_place()
        pause = 0.0

        def carded(_: Place, __: Approval) -> None:
            nonlocal pause
            pause = time.monotonic() - self.model.answered_at

        self.channel.on_card = carded
        began, cpu = time.monotonic(), time.process_time()
        thread = await self.hold(await self.say(place))
        await self.approve(thread)
        recorded = time.monotonic()
        if elsewhere:
            self.memory.take(thread.id)
        thread = await self.hold(thread.id)
        whole, cpu = time.monotonic() - began, time.process_time() - cpu
        assert thread.status == "done", thread.status
        return Took(whole, cpu, pause, tool_started_at(thread) - recorded), thread

    async def flood(self, loops: int, at_once: int) -> float:
        """That many loops through a real worker in this process. Gives the seconds that they took."""
        seats = asyncio.Semaphore(at_once)
        cards: dict[str, asyncio.Future[str]] = {}
        ends: dict[str, asyncio.Future[None]] = {}
        self.channel.on_card = lambda place, card: cards[place.address].set_result(card.digest)
        self.channel.on_end = lambda place: ends[place.address].set_result(None)
        futures = asyncio.get_running_loop().create_future

        async def one() -> None:
            async with seats:
                place = self.new_place()
                cards[place.address], ends[place.address] = futures(), futures()
                thread_id = await self.say(place)
                seen = await cards[place.address]
                result = await self.inbox.decide(thread_id, BOB, approved=True, digest=seen, proof="bench")
                assert result.outcome == "settled"
                await ends[place.address]

        worker = self.worker(at_once)
        self.loop.draining = False
        working = asyncio.create_task(worker.run())
        began = time.monotonic()
        await asyncio.gather(*(one() for _ in range(loops)))
        took = time.monotonic() - began
        worker.stop()
        await working
        self.loop.draining = False
        self.channel.on_card, self.channel.on_end = BenchChannel.on_card, BenchChannel.on_end
        return took


def tool_started_at(thread: Thread) -> float:
    """When the approved tool ran its first line, by this machine's clock."""
    for event in reversed(thread.events):
        if isinstance(event, ToolFinished) and isinstance(event.result, dict) and "started" in event.result:
            return float(str(event.result["started"]))
    raise AssertionError(f"{DEPLOY['intent']} did not run")


def model_asked_at(thread: Thread) -> float:
    """When the stub was asked about this thread for the first time, by this machine's clock."""
    chosen = next(event for event in thread.events if isinstance(event, StepChosen) and event.by == "model")
    return float(chosen.model.removeprefix("stub@"))


_prefixes = itertools.count(10)


def new_prefix() -> str:
    """Of its own, and as long as the one that ships: it stands in every key that is sent."""
    return f"b{next(_prefixes)}"


@contextlib.contextmanager
def log_as_the_program_does() -> Iterator[None]:
    """Its log is part of what it costs. Nobody reads it here."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        set_up_logging("INFO", nowhere)
        yield


@contextlib.asynccontextmanager
async def opened_bot(
    redis_url: str, model_url: str, prefix: str, agent: Callable[[], Agent] = bench_agent
) -> AsyncIterator[Bot]:
    async with contextlib.AsyncExitStack() as stack:
        store = await RedisStore.open(redis_url, prefix)
        stack.push_async_callback(store.aclose)
        model = OpenAIModel(base_url=model_url, api_key="sk-bench", model="stub")
        stack.push_async_callback(model.close)
        yield Bot(store, TimedModel(model), agent())
