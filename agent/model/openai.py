"""The model behind whatever speaks OpenAI's chat completions.

A request is one system and one user message, and an answer is one step. There is no message history, no tool calling
and no streaming here: what happened so far is in the user message (see `agent.context`).

Endpoints differ in what they take, so a step is asked for in the strictest of `MODES` that works, which is found once
and remembered. What comes back is read leniently and validated strictly (see `reading` and `schema`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import httpx2
from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from agent.definition import Agent
from agent.model.base import Answer, ModelFailure, Prompt
from agent.model.failures import Failures, error_text, rejects_format, retry_after
from agent.model.reading import Read, completion_of, step_in, total_of, usage_of
from agent.model.schema import step_schema
from store.values import Usage

log = logging.getLogger(__name__)

Mode = Literal["json_schema", "json_object", "prompt"]
MODES: tuple[Mode, ...] = ("json_schema", "json_object", "prompt")
"""How strictly the endpoint constrains the answer: to the schema, to JSON, not at all. The strictest comes first.

In the latter two the schema stands in the prompt.
"""

RETRIES = 1
"""By the SDK: after a time-out, a broken connection, 408, 409, 429 and 5xx. More of them are the caller's business."""
WAIT_HERE_SECONDS_MAX = 5.0
"""A longer Retry-After is not waited for in this process; the caller is told at once."""
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0
"""Longer than most tools run, so that a thread's next question needs no new TLS handshake."""
CONNECTIONS_MAX = 1_000
BODY_BYTES_MAX = 4_000_000
IGNORED_MAX = 2
"""After so many answers that do not keep to the schema it goes into the prompt for good."""

IN_PROMPT = (
    "\n\nAnswer with one JSON object and nothing else: no prose, no code fence. It must be valid against this schema:\n"
)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A request around its user message, encoded once for each agent."""

    agent: Agent
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class _Reply:
    mode: Mode
    completion: dict[str, Any]
    read: Read


class OpenAIModel:
    def __init__(self, *, base_url: str, api_key: str, model: str, timeout_seconds: float = 90.0) -> None:
        """`timeout_seconds` is for one request together with its retry. Raises ValueError where nothing can work."""
        key, url = api_key.strip(), httpx2.URL(base_url)
        if not (key.isascii() and key.isprintable()):
            raise ValueError("OPENAI_API_KEY holds characters that no key has; please copy it again.")
        bare = url.copy_with(userinfo=b"")  # credentials in the URL would be logged with it
        self._where = str(bare.copy_with(query=None, fragment=None))
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"OPENAI_BASE_URL must be like https://host/v1, not {self._where!r}.")
        self.name = model
        self._timeout_seconds = timeout_seconds
        self._failures = Failures(
            where=self._where,
            model=model,
            timeout_seconds=timeout_seconds,
            secrets=[secret for secret in (key, url.password) if len(secret) > 3],
        )
        timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_SECONDS)
        self._client = AsyncOpenAI(
            base_url=bare,
            api_key=key or "none",
            timeout=timeout,
            max_retries=RETRIES,
            default_headers={"Accept-Encoding": "identity"},  # else BODY_BYTES_MAX would bound compressed bytes
            http_client=DefaultAioHttpClient(
                auth=(url.username, url.password) if url.userinfo else None,
                timeout=timeout,
                limits=limits,
                event_hooks={"response": [_before_reading]},
            ),
        )
        self._frames: dict[tuple[str, Mode], _Frame] = {}
        self._ignored = 0
        self.mode: Mode = MODES[0]
        """How this endpoint is asked, as far as is known yet."""

    async def close(self) -> None:
        await self._client.close()

    async def answer(self, prompt: Prompt) -> Answer:
        spent: list[Usage] = []
        try:
            return await self._ask(prompt, spent)
        except ModelFailure as failure:
            raise ModelFailure(
                failure.reason,
                self._failures.shown(failure.error),
                model=self.name,
                usage=total_of(spent),
                retry_after_seconds=failure.retry_after_seconds,
            ) from None

    async def _ask(self, prompt: Prompt, spent: list[Usage]) -> Answer:
        """`spent` takes what each request cost, also where none of them gives a step. Raises ModelFailure."""
        reply = await self._reply_to(prompt, self.mode, spent)
        if reply.read.step is None and reply.mode == "json_schema" and not reply.read.keeps_to_schema:
            # The model was not told the schema, so this is no answer to hold against it.
            reply = await self._reply_to(prompt, _looser(reply.mode), spent)
        if reply.read.step is None:
            raise ModelFailure("invalid", reply.read.problem)
        return Answer(reply.read.step, total_of(spent), str(reply.completion.get("model") or self.name)[:200])

    async def _reply_to(self, prompt: Prompt, mode: Mode, spent: list[Usage]) -> _Reply:
        """One answer, in this mode or in the first looser one that the endpoint takes. Raises ModelFailure."""
        response, taken = await self._in_a_mode_that_it_takes(prompt, mode)
        completion = completion_of(response.content, response.headers.get("content-type", ""))
        if taken != mode:
            # Only a mode that then works is remembered: a wrong guess costs a request and nothing more.
            self._remember(taken)
        if usage := usage_of(completion.get("usage")):
            spent.append(usage)
        read = step_in(completion, prompt.agent)
        if taken == "json_schema" and not read.keeps_to_schema:
            self._ignored += 1
            if self._ignored >= IGNORED_MAX:
                self._remember(_looser(taken))
        return _Reply(taken, completion, read)

    async def _in_a_mode_that_it_takes(self, prompt: Prompt, mode: Mode) -> tuple[httpx2.Response, Mode]:
        while True:
            try:
                return await self._post(self._request(prompt, mode)), mode
            except APIStatusError as error:
                if mode == MODES[-1] or not rejects_format(error):
                    raise self._failures.of_status(error) from None
                log.info("%s does not take %s: %s", self._where, mode, self._failures.shown(error_text(error)))
            mode = _looser(mode)

    def _remember(self, mode: Mode) -> None:
        """Never a stricter one: several threads ask at once, and each finds out by itself."""
        self.mode = max(self.mode, mode, key=MODES.index)

    def _request(self, prompt: Prompt, mode: Mode) -> bytes:
        frame = self._frames.get((prompt.agent.name, mode))
        if frame is None or frame.agent is not prompt.agent:
            frame = self._frames[prompt.agent.name, mode] = _frame(prompt.agent, mode, self.name)
        return frame.before + _json(prompt.user) + frame.after

    async def _post(self, body: bytes) -> httpx2.Response:
        """Raises ModelFailure; and APIStatusError for all but 2xx, after the retry."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Prebuilt bytes in, raw response out: the SDK keeps its retries and errors, and half of its cost goes.
                return await self._client.post("/chat/completions", content=body, cast_to=httpx2.Response)
        except APIStatusError:
            raise
        except _BodyTooLarge:
            raise ModelFailure("invalid", f"The answer is larger than {BODY_BYTES_MAX:,} bytes.") from None
        except (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            # Not chained: a traceback with local variables would show the key.
            raise self._failures.of_connection(error) from None


def _looser(mode: Mode) -> Mode:
    return MODES[MODES.index(mode) + 1]


def _frame(agent: Agent, mode: Mode, model: str) -> _Frame:
    shape = step_schema(agent)
    system = agent.prompt
    response_format: dict[str, Any] = {"type": mode}
    if mode == "json_schema":
        response_format["json_schema"] = {"name": "step", "strict": shape.strict, "schema": shape.schema}
    else:
        system += IN_PROMPT + _json(shape.schema).decode()
    before = b'{"model":%b,"messages":[{"role":"system","content":%b},{"role":"user","content":'
    after = b'}],"response_format":%b}' % _json(response_format) if mode != "prompt" else b"}]}"
    return _Frame(agent, before % (_json(model), _json(system)), after)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class _BodyTooLarge(OpenAIError):
    """An OpenAIError, because the SDK lets those through and does not retry."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise _BodyTooLarge
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _before_reading(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _BoundedStream(response.stream)
    if response.is_success:
        return
    if response.status_code == 501 or (retry_after(response.headers) or 0) > WAIT_HERE_SECONDS_MAX:
        # The SDK obeys this header. By itself it waits for up to two minutes.
        response.headers["x-should-retry"] = "false"
