"""A worker process that dies on demand. `tests.stories.program` forks it: `crash_worker ORDER`, the order in JSON.

Every append of the worker, every claim of a target and every call to the outside (the model, a deployer's command, a
channel) has a point before and a point after it. A worker counts them, and kills itself with SIGKILL at the one that it
was told: nothing is flushed, nobody is told, as when the machine goes. The points that it came to are in its report,
one a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.authority import AnyoneMay
from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import Answer, Prompt
from agent.roster.deploy.deployers.base import Deployer, Run, Running
from agent.roster.deploy.end_to_end import EndToEnd
from agent.roster.deploy.targets import Targets
from agent.roster.stand_in import StandIn
from bot.logs import set_up_logging
from bot.worker import Worker
from channels.messages import NEW, Outgoing, Way
from channels.terminal import TerminalChannel
from store.events import Event
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Place
from tests.stories.canonical import World


class Points:
    def __init__(self, crash_at: int, report: str) -> None:
        self._left = crash_at
        self._report = Path(report)

    @contextlib.asynccontextmanager
    async def around(self, what: str) -> AsyncIterator[None]:
        self._point(f"before {what}")
        yield
        self._point(f"after {what}")

    def _point(self, name: str) -> None:
        with self._report.open("a") as report:
            print(name, file=report)
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class CrashingStore(RedisStore):
    points: Points

    async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
        async with self.points.around("append of " + ", ".join(event.id for event in events)):
            return await super().append(thread, *events, **how)

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        # Other notes change beside the work, so their points would move about.
        if '"holder":{' not in text:
            return await super().set_note(name, text, expected=expected)
        async with self.points.around(f"claim of {name}"):
            return await super().set_note(name, text, expected=expected)


@dataclasses.dataclass(frozen=True)
class CrashingModel(StandIn):
    points: Points

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer:
        async with self.points.around("the model"):
            return await super().answer(prompt, within_seconds=within_seconds)


class CrashingChannel(TerminalChannel):
    def __init__(self, points: Points) -> None:
        self._points = points

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
        async with self._points.around(f"sending {key}"):
            return await super().send(place, message, way, key=key)


@dataclasses.dataclass(frozen=True)
class CrashingTargets(Targets):
    points: Points

    def deployer(self, component: str, environment: str) -> Deployer:
        return CrashingDeployer(super().deployer(component, environment), self.points)

    def end_to_end(self) -> EndToEnd:
        return CrashingEndToEnd(super().end_to_end(), self.points)


_looked_at: set[str] = set()


class CrashingDeployer:
    """Its other methods are those of the deployer itself."""

    def __init__(self, deployer: Deployer, points: Points) -> None:
        self._deployer, self._points = deployer, points
        self.component, self.environment = deployer.component, deployer.environment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deployer, name)

    async def start(self, sha: str, **more: Any) -> Run:
        async with self._points.around(f"starting to deploy {self.component} to {self.environment}"):
            return await self._deployer.start(sha, **more)

    async def look(self, run_id: str) -> Run:
        # How often a run is looked at must not hang on the machine's speed, or the points would move about: one
        # deployment is found running at the first look, and all others have ended.
        async with self._points.around("looking at a run"):
            run = await self._deployer.look(run_id)
            if (self.component, self.environment) == ("frontend", "production") and run_id not in _looked_at:
                _looked_at.add(run_id)
                return dataclasses.replace(run, state="running")
            while run.state == "running":
                await asyncio.sleep(0.01)
                run = await self._deployer.look(run_id)
            return run

    async def confirm(self, run: Run) -> Run:
        return await self._deployer.confirm(run)

    async def status(self) -> Running | None:
        return await self._deployer.status()


class CrashingEndToEnd(EndToEnd):
    def __init__(self, tests: EndToEnd, points: Points) -> None:
        self._tests, self._points = tests, points

    async def check(self, environment: str) -> Any:
        async with self._points.around(f"testing {environment}"):
            return await self._tests.check(environment)


def on_crashing_targets(roster: dict[str, Agent], points: Points) -> dict[str, Agent]:
    crashing: dict[str, Agent] = {}
    for name, agent in roster.items():
        targets = agent.resources[Targets]
        assert isinstance(targets, Targets)
        resources: dict[type, object] = {Targets: CrashingTargets(targets.config, targets.state_dir, points)}
        crashing[name] = dataclasses.replace(agent, resources=resources)
    return crashing


async def work(world: World, points: Points) -> None:
    CrashingStore.points = points
    store = await CrashingStore.open(world.redis_url, world.prefix)
    roster = on_crashing_targets(world.roster(), points)
    channel = CrashingChannel(points)
    loop = Loop(
        authority=AnyoneMay(),
        store=store,
        roster=roster,
        channels={channel.name: channel},
        model=CrashingModel(points),
        clock=lambda: datetime.now(UTC),
    )
    worker = Worker(store, loop, lease_seconds=5.0, grace_seconds=5.0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await store.aclose()


def main() -> None:
    set_up_logging("error", sys.stderr)
    order = json.loads(sys.argv[1])
    asyncio.run(work(World(Path(order["home"]), order["redis_url"], order["prefix"]), Points(**order["points"])))
