"""deploybot on a site of its own: git, commands and the disk are real, the model is the stand-in or a script."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.authority import AnyoneMay
from agent.decide import decide
from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import Answer, Model, Prompt
from agent.model.schema import find_step, validated
from agent.roster import deploy as deploybot
from agent.roster import rollback
from agent.roster.stand_in import StandIn
from bot.deciding import DecisionResult
from bot.inbox import Inbox
from bot.team.file import read_team
from bot.worker import Worker
from channels.inbound import InboundMessage
from channels.terminal import TerminalChannel
from store.events import Event, TriggerReceived
from store.memory import MemoryStore
from store.state import Request
from store.thread import Thread
from store.values import Place
from tests.patience import PATIENCE_SECONDS
from tests.shop import Site
from tests.telling.story import ANN


class Scripted:
    """Answers these steps in order, and then nothing_to_do."""

    name = "script"

    def __init__(self, *steps: dict[str, Any]) -> None:
        self._steps = list(steps)
        self.prompts: list[str] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt.user)
        step = self._steps.pop(0) if self._steps else {"intent": "nothing_to_do"}
        data, _ = find_step(json.dumps({"step": step}))
        return Answer(validated(prompt.agent, data), None, self.name)


class Bot:
    def __init__(self, home: Path, template: Path) -> None:
        self.site = Site(home / "site")
        shutil.copytree(template, self.site.home, symlinks=True)
        self.site.write_team_file(home / "bot.toml")
        self._home = self._disk = home
        self.roster: dict[str, Agent] = {}
        self.set_up(lambda _: None)
        self.store = MemoryStore()
        self.inbox = Inbox(self.store)

    def set_up(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Build the agents from the team file's table, with this change to it."""
        table = copy.deepcopy(dict(read_team(self._home / "bot.toml").agents["deploy"]))
        change(table)
        self.roster = {one.NAME: one.build(table, self._disk) for one in (deploybot, rollback)}

    def on_another_machine(self) -> Bot:
        """The same store and site; another disk for what the bot keeps."""
        other = copy.copy(self)
        other._disk = self._home / "another-disk"
        other.set_up(lambda _: None)
        return other

    @asynccontextmanager
    async def working(
        self,
        model: Model | None = None,
        *,
        only: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> AsyncIterator[None]:
        channel = TerminalChannel()
        loop = Loop(
            authority=AnyoneMay(),
            store=self.store,
            roster=self.roster,
            channels={channel.name: channel},
            model=model or StandIn(),
            clock=clock,
        )
        worker = Worker(self.store, loop, only=only, clock=clock)
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await task

    async def say(self, text: str, place: str = "desk") -> Thread:
        event_id = f"m/{datetime.now(UTC).timestamp()}"
        where = Place(channel="terminal", address=place)
        return await self.rest(
            await self.store.load(await self.inbox.message(where, InboundMessage(ANN, text, event_id), agent="deploy"))
        )

    async def trigger(self, place: Place, trigger: TriggerReceived) -> Thread:
        return await self.store.load(await self.inbox.trigger(place, trigger, agent="deploy"))

    async def rest(self, thread: Thread) -> Thread:
        """The thread when it is a person's turn, or nobody's."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            if self._rests(thread):
                return thread
            async for now in self.store.follow(thread):
                if self._rests(now):
                    return now
        raise AssertionError

    def _rests(self, thread: Thread) -> bool:
        return thread.turn != "clock" and decide(self.roster[thread.agent], thread) is None

    async def settle(self, thread: Thread, *, approved: bool, comment: str = "") -> Thread:
        assert thread.pending
        result: DecisionResult = await self.inbox.decide(
            thread.id, ANN, approved=approved, digest=thread.pending.digest, comment=comment
        )
        assert result.outcome == "settled"
        return await self.rest(result.thread)

    def by_hand(self, *command: str) -> None:
        """Somebody does something without the bot."""
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def output(self, *command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def fail_end_to_end_tests_in_production(self) -> None:
        script = self.site.home / "end-to-end"
        script.write_text('#!/bin/sh\n[ "$1" = staging ] || { echo "FAILED: checkout is broken"; exit 1; }\n')


def without_tests(*environments: str) -> Callable[[dict[str, Any]], None]:
    """A change of the team file's table."""

    def change(table: dict[str, Any]) -> None:
        for name in environments:
            del table["environments"][name]["test"]
            table["environments"][name].pop("on_failed_test", None)

    return change


def without_environment(name: str) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        del table["environments"][name]
        for other in table["environments"].values():
            if other.get("after") == name:
                del other["after"]
        for component in table["components"].values():
            del component["targets"][name]

    return change


def events(thread: Thread, kind: type[Event]) -> list[Any]:
    return [event for event in thread.events if isinstance(event, kind)]


def pending(thread: Thread) -> Request:
    assert thread.pending, f"{thread.status}: {thread.events[-1]}"
    return thread.pending


def facts(thread: Thread) -> dict[str, Any]:
    return pending(thread).asked.facts


def deploy(component: str, environment: str, revision: str, **waiver: str) -> dict[str, Any]:
    step = {"intent": "deploy", "component": component, "environment": environment, "revision": revision}
    return {**step, "waiver": waiver} if waiver else step
