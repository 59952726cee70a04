"""What the approve-loop costs when others do it: the floor, and the two usual ways of writing an agent by hand.

They have no fence, no deduplication, no write-ahead and no lease, and the second and the third keep the history as
standard chat messages with tool calls that grow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import redis.asyncio
from openai import AsyncOpenAI

from agent.definition import Agent
from tests.benchmarks.stub import DEPLOY, STEPS
from tests.benchmarks.work import FACTS, FOUND


@dataclass(frozen=True, slots=True)
class PeerTook:
    """One loop, in seconds; `None` where this peer has no such thing."""

    whole: float
    cpu: float
    pause: float | None = None
    resume: float | None = None


class Floor:
    """As many requests over a bare HTTP client, with one short body; nothing is read and nothing is kept."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._url = f"{base_url}/chat/completions"

    async def approve_loop(self, conversation: str) -> PeerTook:
        body = json.dumps({"model": "stub", "messages": [{"role": "user", "content": conversation}]}).encode()
        began, cpu = time.monotonic(), time.process_time()
        for _ in range(STEPS):
            async with self._session.post(self._url, data=body) as response:
                await response.read()
        return PeerTook(time.monotonic() - began, time.process_time() - cpu)


@dataclass
class StandardMessages:
    """The openai SDK's `create` with tools and messages that grow; with a store, the whole thread is saved as JSON
    after every message, and loaded again when the approval is there.
    """

    client: AsyncOpenAI
    agent: Agent
    store: redis.asyncio.Redis | None = None
    before: list[dict[str, Any]] = field(default_factory=list)
    """Messages that the thread holds already."""
    saved_bytes: int = 0

    def __post_init__(self) -> None:
        self._system = {"role": "system", "content": self.agent.prompt}
        self._tools = [
            {"type": "function", "function": tool_schema(name, step)} for name, step in self.agent.steps.items()
        ]

    async def approve_loop(self, conversation: str) -> PeerTook:
        pause = resume = 0.0
        began, cpu = time.monotonic(), time.process_time()
        messages = [*self.before, {"role": "user", "content": f"deploy v1.4.2 to production {conversation}"}]
        await self._save(conversation, messages)
        while True:
            message = await self._ask(messages)
            answered = time.monotonic()
            messages.append(message)
            await self._save(conversation, messages)
            if not message.get("tool_calls"):
                break
            call = message["tool_calls"][0]
            result: Any = FOUND
            if call["function"]["name"] == DEPLOY["intent"]:
                messages.append({"role": "developer", "content": json.dumps({"approval_requested": FACTS})})
                await self._save(conversation, messages)
                pause = time.monotonic() - answered
                messages.append({"role": "developer", "content": json.dumps({"approved": True, "by": "Bob"})})
                await self._save(conversation, messages)
                recorded = time.monotonic()
                messages = await self._load(conversation, messages)
                resume = time.monotonic() - recorded
                result = {"run_id": "r18"}
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
            await self._save(conversation, messages)
        whole, cpu = time.monotonic() - began, time.process_time() - cpu
        return PeerTook(whole, cpu, pause, resume) if self.store else PeerTook(whole, cpu)

    async def _ask(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        create: Callable[..., Any] = self.client.chat.completions.create
        completion = await create(model="stub", messages=[self._system, *messages], tools=self._tools)
        message: dict[str, Any] = completion.choices[0].message.model_dump(exclude_none=True)
        return message

    async def _save(self, conversation: str, messages: list[dict[str, Any]]) -> None:
        if self.store is not None:
            whole = json.dumps(messages).encode()
            self.saved_bytes += len(whole)
            await self.store.set(f"peer:{conversation}", whole)

    async def _load(self, conversation: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.store is None:
            return messages
        saved = await self.store.get(f"peer:{conversation}")
        assert saved
        return list(json.loads(saved))


def tool_schema(name: str, step: type[Any]) -> dict[str, Any]:
    """The step as standard tools describe it."""
    schema = step.model_json_schema()
    del schema["properties"]["intent"]
    schema["required"] = [name for name in schema["required"] if name != "intent"]
    return {"name": name, "description": step.__doc__, "parameters": schema}


def standard_history(events: int) -> list[dict[str, Any]]:
    """As many messages as that many of our events are: a question, then a call of a tool and its result, again."""
    history: list[dict[str, Any]] = []
    for number in range(events // 3):
        call_id = f"call_{number:024d}"
        function = {"name": "check_deployment_status", "arguments": '{"component":"backend","environment":"staging"}'}
        calls = [{"id": call_id, "type": "function", "function": function}]
        history.append({"role": "assistant", "content": None, "tool_calls": calls})
        history.append({"role": "tool", "tool_call_id": call_id, "content": json.dumps(FOUND)})
    return history
