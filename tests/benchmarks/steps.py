"""What one step costs: against its peers in the same run, and when the thread is long already."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import redis.asyncio
from openai import AsyncOpenAI

from agent.roster.deploy import NAME
from store import keys
from store.codec import encode
from store.events import Event, MessageReceived, StepChosen, ThreadOpened, ToolFinished
from store.keys import thread_id_of
from store.thread import Thread
from store.values import Place, Usage
from tests.benchmarks import framework
from tests.benchmarks.figures import Figure, median_ms
from tests.benchmarks.framework import PydanticAI
from tests.benchmarks.peers import Floor, PeerTook, StandardMessages, standard_history
from tests.benchmarks.stub import LOOKS, STEPS, Stub, marker
from tests.benchmarks.work import ANN, FOUND, Bot, Took, bench_agent, new_prefix, opened_bot
from tests.fakes.servers import Server

LENGTHS = (10, 100, 1000)
WARM = 3
"""Rounds that are not counted."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything of one run is."""

    server: Server
    stub: Stub

    def bot(self) -> AbstractAsyncContextManager[Bot]:
        """A process of the program (this one), with threads of its own."""
        return opened_bot(self.server.url, self.stub.url("steps"), new_prefix())


@dataclass(frozen=True, slots=True)
class _Peers:
    floor: Floor
    create: StandardMessages
    whole: StandardMessages
    framework: PydanticAI | None
    """None: its package is not there."""


@contextlib.asynccontextmanager
async def _peers(site: Site, history: int = 0) -> AsyncIterator[_Peers]:
    agent, before = bench_agent(), standard_history(history)
    async with (
        aiohttp.ClientSession() as session,
        AsyncOpenAI(base_url=site.stub.url("tools"), api_key="sk-bench") as client,
        redis.asyncio.Redis.from_url(site.server.url) as store,
    ):
        yield _Peers(
            Floor(session, site.stub.url("steps")),
            StandardMessages(client, agent, before=before),
            StandardMessages(client, agent, store, before=before),
            PydanticAI(site.stub.url("tools"), agent, store) if framework.is_there() and not history else None,
        )


async def overhead(site: Site, rounds: int) -> list[Figure]:
    ours: list[Took] = []
    floor: list[PeerTook] = []
    create: list[PeerTook] = []
    whole: list[PeerTook] = []
    other: list[PeerTook] = []
    async with site.bot() as bot, _peers(site) as peers:
        for number in range(WARM + rounds):
            if number == WARM:
                for taken in (ours, floor, create, whole, other):
                    taken.clear()
            ours.append((await bot.approve_loop())[0])
            for peer, took in ((peers.floor, floor), (peers.create, create), (peers.whole, whole)):
                took.append(await peer.approve_loop(marker(next(bot.numbers))))
            if peers.framework:
                other.append(await peers.framework.approve_loop(marker(next(bot.numbers))))

    def step(taken: list[Took] | list[PeerTook]) -> float:
        return median_ms([took.whole / STEPS for took in taken])

    def cpu(taken: list[Took] | list[PeerTook]) -> float:
        return median_ms([took.cpu / STEPS for took in taken])

    return [
        Figure("overhead per step", step(ours), "ms", at_most=1.2),
        Figure("  against bare create", step(ours) / step(create), "x", at_most=0.3, note=f"{step(create):.2f} ms"),
        Figure("  against whole-thread JSON", step(ours) / step(whole), "x", note=f"{step(whole):.2f} ms"),
        *_against_a_framework(step(ours), step(other) if other else None),
        Figure("  against the floor", step(ours) / step(floor), "x", note=f"bare HTTP client: {step(floor):.2f} ms"),
        Figure("CPU per step", cpu(ours), "ms"),
        Figure("  against bare create", cpu(ours) / cpu(create), "x", note=f"{cpu(create):.2f} ms"),
        Figure("  against whole-thread JSON", cpu(ours) / cpu(whole), "x", note=f"{cpu(whole):.2f} ms"),
        *([Figure("  against a framework", cpu(ours) / cpu(other), "x", note=f"{cpu(other):.2f} ms")] if other else []),
        Figure("  against the floor", cpu(ours) / cpu(floor), "x", note=f"bare HTTP client: {cpu(floor):.2f} ms"),
        Figure("pause -> durable", median_ms([took.pause for took in ours]), "ms", at_most=0.8),
        Figure("approval recorded -> tool started", median_ms([took.resume for took in ours]), "ms", at_most=0.8),
    ]


def _against_a_framework(ours: float, other: float | None) -> list[Figure]:
    if other is None:
        return [Figure("  frameworks beside us", 0, note=f"{framework.PACKAGE} is not installed")]
    note = f"{framework.name()}: {other:.2f} ms"
    return [Figure("  against a framework", ours / other, "x", at_most=0.15, note=note)]


@dataclass(slots=True)
class _Grown:
    """What the approve-loop took on threads of one length."""

    steps: list[float] = field(default_factory=list)
    marginal: list[float] = field(default_factory=list)
    resumes: list[float] = field(default_factory=list)
    resumes_elsewhere: list[float] = field(default_factory=list)
    events: float = 0.0
    """Bytes a step: of the events, over the socket in both directions, and in the append-only file."""
    sent: float = 0.0
    received: float = 0.0
    kept: float = 0.0


async def growth(site: Site, rounds: int, *, with_peer: bool) -> list[Figure]:
    """The approve-loop on a thread that holds so many events already. The worker reads all of them once."""
    grown = {length: _Grown() for length in LENGTHS}
    peer: dict[int, float] = {}
    async with site.bot() as bot:
        for number in range(WARM + rounds):
            for length, of_length in grown.items():
                await _grow(site.server, bot, length, of_length, counted=number >= WARM)
        for length in LENGTHS if with_peer else ():
            async with _peers(site, length) as peers:
                loops = [await peers.create.approve_loop(marker(next(bot.numbers))) for _ in range(2)]
            peer[length] = min(each.whole for each in loops) * 1000 / STEPS
    step = {length: median_ms(of_length.steps) for length, of_length in grown.items()}
    figures = [
        Figure(
            f"step at {length:,} events",
            step[length],
            "ms",
            at_most=4 if length == 1000 else None,
            note=f"bare create with as many messages: {peer[length]:.1f} ms" if peer else "",
        )
        for length in LENGTHS
    ]
    figures.append(Figure("  1,000 against 10 events", step[1000] / step[10], "x", note="reading the thread included"))
    more = {length: median_ms(of_length.marginal) for length, of_length in grown.items()}
    figures += [
        Figure("one more step at 10 events", more[10], "ms", note="from one look-up to the next"),
        Figure("  at 1,000 events, against that", more[1000] / more[10], "x", at_most=1.5, note=f"{more[1000]:.2f} ms"),
    ]
    for length, of_length in grown.items():
        figures += _figures_of(length, of_length)
    return figures


async def _grow(server: Server, bot: Bot, length: int, grown: _Grown, *, counted: bool) -> None:
    place = bot.new_place()
    await _seed(bot, place, length)
    aof, calm, before = _aof_bytes(server), _socket_bytes(server), _socket_bytes(server)
    loop, thread = await bot.approve_loop(place)
    after = _socket_bytes(server)
    # Less what it takes to ask for it.
    grown.sent, grown.received = (
        (end - begin - (begin - rest)) / STEPS for rest, begin, end in zip(calm, before, after, strict=True)
    )
    grown.kept = (_aof_bytes(server) - aof) / STEPS
    grown.events = sum(len(encode(event)) for event in thread.events[length:]) / STEPS
    place = bot.new_place()
    await _seed(bot, place, length)
    elsewhere, _ = await bot.approve_loop(place, elsewhere=True)
    if counted:
        grown.steps.append(loop.whole / STEPS)
        grown.marginal.append(marginal([e.at.timestamp() for e in thread.events if isinstance(e, StepChosen)]))
        grown.resumes.append(loop.resume)
        grown.resumes_elsewhere.append(elsewhere.resume)


def marginal(chosen_at: Sequence[float]) -> float:
    """Seconds that one more step takes: the median from one look-up of the last loop to the next.

    `chosen_at`: when each step was chosen, in seconds.
    """
    looks = chosen_at[-STEPS:-2]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(looks))


def _figures_of(length: int, grown: _Grown) -> list[Figure]:
    at = f"at {length:,} events"
    at_most = 4 if length == 1000 else None
    return [
        Figure(f"approval recorded -> tool started {at}", median_ms(grown.resumes), "ms", at_most=at_most),
        Figure("  by a worker that has not seen it", median_ms(grown.resumes_elsewhere), "ms", note="it loads the log"),
        Figure(
            f"bytes sent to Redis a step {at}", grown.sent, "B", at_most=1000, note="by all commands, at the socket"
        ),
        Figure("  received from Redis", grown.received, "B", note="what is read of the thread is in it"),
        Figure("  of events", grown.events, "B", note="as they stand in the log"),
        Figure("  in the append-only file", grown.kept, "B", note="with ids, leases and indexes"),
    ]


def _socket_bytes(server: Server) -> tuple[int, int]:
    """Sent to the server and received from it so far."""
    stats = server.command("INFO", "stats")
    return int(stats["total_net_input_bytes"]), int(stats["total_net_output_bytes"])


def _aof_bytes(server: Server) -> int:
    return int(server.command("INFO", "persistence")["aof_current_size"])


async def _seed(bot: Bot, place: Place, length: int) -> Thread:
    """A thread with exactly so many events, at rest: questions, and look-ups that answered."""
    thread = await bot.store.append(Thread(thread_id_of(place)), *history(place, length))
    assert thread.version == length
    return thread


def history(place: Place, length: int) -> list[Event]:
    at = datetime.now(UTC)
    events: list[Event] = [ThreadOpened(id=keys.OPENED, at=at, agent=NAME, place=place)]
    usage = Usage(input_tokens=2100, output_tokens=31, cached_tokens=1920)
    while len(events) < length:
        number = len(events)
        if (length - number) % 2:
            events.append(MessageReceived(id=f"before/{number}", at=at, sender=ANN, text="and what runs on staging?"))
            continue
        look, step = LOOKS[number % len(LOOKS)], f"s{number}"
        arguments = {name: value for name, value in look.items() if name != "intent"}
        events += [
            StepChosen.model_validate(
                {
                    "id": f"{step}/chosen",
                    "at": at,
                    "step": step,
                    "intent": look["intent"],
                    "arguments": arguments,
                    "begun": True,
                    "model": "stub@0",
                    "usage": usage,
                }
            ),
            ToolFinished(id=f"{step}/finished", at=at, step=step, result=FOUND),
        ]
        if number % 30 < 2 and length - len(events) >= 3:
            for more in range(3):
                events.append(MessageReceived(id=f"and/{number}/{more}", at=at, sender=ANN, text="thanks, and then?"))
    return events


async def settle() -> None:
    """Let what the last figure left behind end before the next one is taken."""
    await asyncio.sleep(0.2)
    gc.collect()
