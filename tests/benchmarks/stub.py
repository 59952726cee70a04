"""The model of the benchmarks: a process that answers chat completions at once, and knows only the approve-loop.

Raw HTTP/1.1 over asyncio, so that it takes as little as can be from the machine that is measured. A base URL is
`http://127.0.0.1:PORT/STYLE/MILLISECONDS`: the style is `steps` (our JSON), `tools` (a call of a tool) or `done` (our
JSON, which is done at once), and the rest is how long the model thinks. It goes by the marker in the conversation's
message, and tells in `model` when it was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

from tests import ROOT
from tests.benchmarks.process import spoken, until_stdin_ends

LOOKS: tuple[dict[str, str], ...] = (
    {"intent": "list_git_tags", "component": "backend"},
    {"intent": "list_commits", "component": "backend"},
    {"intent": "list_deployments"},
    {"intent": "check_deployment_status", "component": "backend", "environment": "staging"},
    {"intent": "check_deployment_status", "component": "backend", "environment": "production"},
    {"intent": "list_workflow_runs", "component": "backend", "environment": "staging"},
    {"intent": "get_workflow_status", "component": "backend", "environment": "staging", "run_id": "r17"},
    {"intent": "list_workflow_runs", "component": "backend", "environment": "production"},
)
DEPLOY = {"intent": "deploy", "component": "backend", "environment": "production", "revision": "v1.4.2"}
DONE = {"intent": "done_for_now", "message": "v1.4.2 of the backend runs on production."}
ANSWERS: tuple[dict[str, str], ...] = (*LOOKS, DEPLOY, DONE)
STEPS = len(ANSWERS)

MARKER = b"#loop-"
MARKER_CHARS = len(MARKER) + 12
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def marker(number: int) -> str:
    """What a conversation's message holds, so that the stub knows it again. `number` is its own in this run."""
    return f"{MARKER.decode()}{number:012x}"


@dataclass(frozen=True, slots=True)
class Stub:
    address: str

    def url(self, style: str, think_milliseconds: int = 0) -> str:
        return f"{self.address}/{style}/{think_milliseconds}"


@contextlib.asynccontextmanager
async def running_stub(checkout: Path = ROOT) -> AsyncIterator[Stub]:
    async with spoken("tests.benchmarks.stub", checkout=checkout) as lines:
        yield Stub(f"http://127.0.0.1:{await anext(lines)}")


class _Connection(asyncio.Protocol):
    asked: dict[bytes, int] = {}  # noqa: RUF012 - of the whole process
    """How often each conversation has asked."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_ends = self._buffer.find(b"\r\n\r\n")
        if head_ends < 0:
            return
        found = _LENGTH.search(self._buffer, 0, head_ends)
        if len(self._buffer) < head_ends + 4 + (int(found[1]) if found else 0):
            return
        request, self._buffer = self._buffer, b""
        _, style, think_milliseconds, _ = request[: request.find(b" HTTP")].split(b"/", 3)
        reply = self._reply(request, style)
        if think_milliseconds == b"0":
            self._transport.write(reply)
        else:
            asyncio.get_running_loop().call_later(int(think_milliseconds) / 1000, self._transport.write, reply)

    def _reply(self, request: bytes, style: bytes) -> bytes:
        at = request.rfind(MARKER)
        conversation = style + request[at : at + MARKER_CHARS]
        turn = self.asked.get(conversation, 0)
        self.asked[conversation] = turn + 1
        bodies = _BODIES[style.decode()]
        if turn + 1 >= len(bodies):
            del self.asked[conversation]
        body = bodies[turn].replace(b"stub@0", b"stub@%.6f" % time.monotonic())
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _body(style: str, turn: int, answer: dict[str, str]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    finish_reason = "stop"
    if style in ("steps", "done"):
        message["content"] = json.dumps({"step": answer})
    elif answer is DONE:
        message["content"] = answer["message"]
    else:
        arguments = {name: value for name, value in answer.items() if name != "intent"}
        function = {"name": answer["intent"], "arguments": json.dumps(arguments)}
        message["tool_calls"] = [{"id": f"call_{turn:024d}", "type": "function", "function": function}]
        finish_reason = "tool_calls"
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": "stub@0",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": 2100,
            "completion_tokens": 31,
            "total_tokens": 2131,
            "prompt_tokens_details": {"cached_tokens": 1920},
        },
    }
    return json.dumps(completion).encode()


_BODIES = {
    style: [_body(style, turn, answer) for turn, answer in enumerate(answers)]
    for style, answers in (("steps", ANSWERS), ("tools", ANSWERS), ("done", (DONE,)))
}


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await until_stdin_ends()
    os._exit(0)  # whoever is still connected is about to end too


if __name__ == "__main__":
    uvloop.run(_serve())
    sys.exit()
