"""The approve-loop on a framework, Pydantic AI, beside us in the same run. Only where its package is there.

Its own way of doing it: tools with messages that grow, a deferred tool for the approval, and the history as JSON in
Redis at the pause, from which it is resumed. It is no dependency of ours, so it is imported when it is measured.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import redis.asyncio

from agent.definition import Agent
from tests.benchmarks.peers import PeerTook, tool_schema
from tests.benchmarks.stub import DEPLOY
from tests.benchmarks.work import FOUND

PACKAGE = "pydantic_ai"


def is_there() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def name() -> str:
    return f"Pydantic AI {version('pydantic-ai-slim')}"


def _module(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}" if name else PACKAGE)


@dataclass
class PydanticAI:
    base_url: str
    agent: Agent
    store: redis.asyncio.Redis

    def __post_init__(self) -> None:
        top = _module("")
        provider = _module("providers.openai").OpenAIProvider(base_url=self.base_url, api_key="sk-bench")
        tools = []
        for intent, step in self.agent.steps.items():
            schema = tool_schema(intent, step)
            tool = top.Tool.from_schema(_answers, intent, schema["description"], schema["parameters"])
            tool.requires_approval = intent == DEPLOY["intent"]
            tools.append(tool)
        self._agent = top.Agent(
            _module("models.openai").OpenAIChatModel("stub", provider=provider),
            instructions=self.agent.prompt,
            tools=tools,
            output_type=[str, top.DeferredToolRequests],
        )
        self._results: Callable[..., Any] = top.DeferredToolResults
        self._messages: Any = _module("messages").ModelMessagesTypeAdapter

    async def approve_loop(self, conversation: str) -> PeerTook:
        key = f"framework:{conversation}"
        began, cpu = time.monotonic(), time.process_time()
        paused = await self._agent.run(f"deploy v1.4.2 to production {conversation}")
        calls = {call.tool_call_id: True for call in paused.output.approvals}
        assert calls
        await self.store.set(key, paused.all_messages_json())
        history = self._messages.validate_json(await self.store.get(key))
        await self._agent.run(message_history=history, deferred_tool_results=self._results(approvals=calls))
        return PeerTook(time.monotonic() - began, time.process_time() - cpu)


async def _answers(**arguments: object) -> object:
    return FOUND
