"""Models over real HTTP for the tests of their limits: `async with served("cheap", NOTHING) as cheap: …`"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent.definition import Agent
from agent.model.base import DEFAULT, Prompt
from agent.model.bounded import BoundedModel
from agent.model.openai import OpenAIModel
from tests.fakes.model_server import ModelServer, Reply, Script, Scripted, error, step

NOTHING = {"intent": "nothing_to_do"}
DOWN = error(401)
"""An endpoint that is of no use at the moment. It is not a 5xx, after which the client would wait and ask again."""


def prompt(user: str = "hello", agent: str = "ops") -> Prompt:
    return Prompt(Agent(name=agent, prompt="You do as you are told.", tools=()), user)


def hanging() -> Reply:
    """Never sent."""
    return step(NOTHING, after=asyncio.Event())


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Served:
    server: ModelServer
    model: BoundedModel
    clock: ManualClock

    @property
    def asked(self) -> int:
        return len(self.server.requests)


@asynccontextmanager
async def served(
    *script: Scripted | Script, label: str = DEFAULT, calls_max: int = 10, repeat: bool = False, **more: Any
) -> AsyncIterator[Served]:
    """A server with this script, and its model."""
    clock = ManualClock()
    async with ModelServer(*script, repeat=repeat) as server:
        client = OpenAIModel(base_url=server.url, api_key="sk-test", model=f"{label}-1", timeout_seconds=20)
        model = BoundedModel(label, client, calls_max=calls_max, clock=clock, **more)
        try:
            yield Served(server, model, clock)
        finally:
            await model.close()
