"""The client for any endpoint with OpenAI's chat completions API.

A request is one system and one user message; an answer is one step. There is no message history, no tool calling and no
streaming: the history is in the user message (see `agent.context`).

Endpoints differ in what they support. The client uses the strictest of `MODES` that works, finds it once and remembers
it. Answers are parsed leniently and validated strictly (see `reading` and `schema`).
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import httpx2
import structlog
from openai import APIStatusError, OpenAIError
from pydantic import JsonValue
from pydantic_core import to_json

from agent.definition import Agent
from agent.model.base import Answer, ModelFailure, Prompt
from agent.model.endpoint import BODY_BYTES_MAX, Answered, BodyTooLarge, Endpoint
from agent.model.failures import (
    ENVIRONMENT,
    Failures,
    SettingNames,
    error_text,
    is_too_long,
    refused_parameter,
    rejects_format,
)
from agent.model.frame import MODES, Frame, Mode, frame_of
from agent.model.parameters import DEFAULTS, Accepted, Parameters
from agent.model.reading import Read, completion_of, step_in, total_of, usage_of
from agent.model.room import CHARS_MIN, Room
from store.values import Usage

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 90.0
IGNORED_MAX = 2
"""After this many answers that ignore the schema, the schema is put into the prompt for good."""

CANNOT_SEE = "\n\nYou cannot see the images that are named above."


class TooLong(Exception):
    """The request is longer than the model's context, as the endpoint says."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request without its user message, encoded once for each agent."""

    agent: Agent
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class _Reply:
    mode: Mode
    completion: dict[str, Any]
    read: Read


class OpenAIModel:
    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        names: SettingNames = ENVIRONMENT,
        takes_images: bool = False,
        parameters: Parameters = DEFAULTS,
        context_tokens: int = 0,
    ) -> None:
        """`timeout_seconds` limits a whole call. `context_tokens`: what the model reads and writes in one call; 0: not
        known. Raises ValueError for unusable settings."""
        key, url = api_key.strip(), httpx2.URL(base_url)
        if not (key.isascii() and key.isprintable()):
            raise ValueError(f"{names.key} contains characters that no key has; please copy it again.")
        self._where = str(url.copy_with(userinfo=b"", query=None, fragment=None))
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"{names.url} must be like https://host/v1, not {self._where!r}.")
        self.name = model
        self._names = names
        self._timeout_seconds = timeout_seconds
        self._takes_images = takes_images
        self._accepted = Accepted(parameters)
        self._room = Room(context_tokens, parameters.output_tokens)
        self._failures = Failures(
            where=self._where,
            model=model,
            secrets=[secret for secret in (key, url.password) if len(secret) > 3],
            names=names,
        )
        self._endpoint = Endpoint(url, key, timeout_seconds)
        self._requests: dict[tuple[str, Mode, bool], _Request] = {}
        self._ignored = 0
        self.mode: Mode = MODES[0]
        """The mode in use; it becomes looser as the endpoint rejects stricter ones."""

    async def close(self) -> None:
        await self._endpoint.close()

    def chars_max(self, agent: Agent) -> int | None:
        """The longest user message that this agent can send; None: no limit is known."""
        return self._room.chars_of(agent)

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer:
        """Raises ModelFailure. `within_seconds`: a time limit, if it is shorter than the model's own."""
        spent: list[Usage] = []
        limit_seconds = min(self._timeout_seconds, within_seconds)
        try:
            return await self._ask_within(limit_seconds, prompt, spent)
        except ModelFailure as failure:
            error = self._failures.shown(failure.error)
            answer = self._failures.shown(failure.answer)
            raise failure.changed(error=error, answer=answer, model=self.name, usage=total_of(spent)) from None

    async def _ask_within(self, seconds: float, prompt: Prompt, spent: list[Usage]) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(prompt, spent)
        except TimeoutError:
            raise self._failures.of_time(seconds) from None

    async def _ask(self, prompt: Prompt, spent: list[Usage]) -> Answer:
        """Appends the cost of each request to `spent`, even if there is no step. Raises ModelFailure."""
        if (limit := self.chars_max(prompt.agent)) and len(prompt.user) > limit and prompt.shortened:
            prompt = replace(prompt, user=prompt.shortened(limit))
        sees = self._takes_images and bool(prompt.images)
        while True:
            user = await _with_images(prompt) if sees else _json(_only_text(prompt))
            try:
                return await self._step_for(prompt, user, spent)
            except TooLong as error:
                if not sees:
                    prompt = self._shorter(prompt, str(error))
                sees = False

    def _shorter(self, prompt: Prompt, error: str) -> Prompt:
        """What is asked instead of a prompt that is too long for the model. Raises ModelFailure."""
        limit = len(prompt.user) // 2
        if prompt.shortened is None or limit < CHARS_MIN:
            # No error of the model, so it does not read about it: that would make the next request longer still.
            text = f"The model's context is too short for this thread at its shortest. {error}"
            raise ModelFailure("unavailable", text, concerns="request")
        log.info("model_context_exceeded", where=self._where, chars=len(prompt.user), now=limit)
        self._room.learn(prompt.agent, limit)
        return replace(prompt, user=prompt.shortened(limit))

    async def _step_for(self, prompt: Prompt, user: bytes, spent: list[Usage]) -> Answer:
        """Raises ModelFailure, TooLong."""
        reply = await self._reply_to(prompt, user, self.mode, spent)
        if reply.read.step is None and reply.mode == "json_schema" and not reply.read.keeps_to_schema:
            # The endpoint ignored the schema, so the model never saw it. Ask again with the schema in the prompt.
            reply = await self._reply_to(prompt, user, _looser(reply.mode), spent)
        if reply.read.step is None:
            raise ModelFailure("invalid", reply.read.problem, answer=reply.read.answer, hint=reply.read.hint)
        return Answer(reply.read.step, total_of(spent), str(reply.completion.get("model") or self.name)[:200])

    async def _reply_to(self, prompt: Prompt, user: bytes, mode: Mode, spent: list[Usage]) -> _Reply:
        """One answer, in this mode or in the first looser one that the endpoint accepts. Raises ModelFailure."""
        answered, used = await self._post_in_supported_mode(prompt, user, mode)
        completion = completion_of(answered.content, answered.content_type, self._names.url)
        if used != mode:
            # Remember only a mode that worked: a wrong guess costs one request.
            self._remember(used)
        if usage := usage_of(completion.get("usage")):
            spent.append(usage)
        read = step_in(completion, prompt.agent)
        if used == "json_schema" and not read.keeps_to_schema:
            self._ignored += 1
            if self._ignored >= IGNORED_MAX:
                self._remember(_looser(used))
        return _Reply(used, completion, read)

    async def _post_in_supported_mode(self, prompt: Prompt, user: bytes, mode: Mode) -> tuple[Answered, Mode]:
        while True:
            sent = [*self._accepted.values]
            try:
                return await self._post(self._request(prompt, user, mode)), mode
            except APIStatusError as error:
                said = self._failures.shown(error_text(error))
                if is_too_long(error):
                    raise TooLong(said) from None
                if name := refused_parameter(error, sent):
                    if self._accepted.leave_out(name):  # Another call may have done it meanwhile.
                        self._requests.clear()
                        log.info("model_parameter_refused", where=self._where, parameter=name, error=said)
                    continue
                if mode == MODES[-1] or not rejects_format(error):
                    raise self._failures.of_status(error) from None
                log.info("model_format_refused", where=self._where, format=mode, error=said)
            mode = _looser(mode)

    def _remember(self, mode: Mode) -> None:
        """Use this mode from now on. Never returns to a stricter one, since threads ask concurrently."""
        self.mode = max(self.mode, mode, key=MODES.index)

    def _request(self, prompt: Prompt, user: bytes, mode: Mode) -> bytes:
        key = (prompt.agent.name, mode, prompt.insists)
        request = self._requests.get(key)
        if request is None or request.agent is not prompt.agent:
            frame = frame_of(prompt.agent, mode, insists=prompt.insists)
            request = self._requests[key] = _request(prompt.agent, frame, self.name, self._accepted.values)
        return request.before + user + request.after

    async def _post(self, body: bytes) -> Answered:
        """Raises ModelFailure, and APIStatusError for a status other than 2xx, after the retry."""
        try:
            return await self._endpoint.post(body)
        except APIStatusError:
            raise
        except BodyTooLarge:
            raise ModelFailure("invalid", f"The answer is larger than {BODY_BYTES_MAX:,} bytes.") from None
        except (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
            # Not chained: a traceback with local variables would show the key.
            raise self._failures.of_connection(error) from None


def _looser(mode: Mode) -> Mode:
    return MODES[MODES.index(mode) + 1]


def _request(agent: Agent, frame: Frame, model: str, parameters: dict[str, JsonValue]) -> _Request:
    after = dict(parameters) | ({"response_format": frame.response_format} if frame.response_format else {})
    before = b'{"model":%b,"messages":[{"role":"system","content":%b},%b{"role":"user","content":'
    return _Request(agent, before % (_json(model), _json(frame.system), _examples(agent)), b"}]%b}" % _more(after))


def _examples(agent: Agent) -> bytes:
    """The messages before the user's, each with a comma after it."""
    said = (
        message
        for user, step in agent.examples
        for message in (
            {"role": "user", "content": user},
            {"role": "assistant", "content": json.dumps({"step": {"intent": step.intent, **step.arguments}})},
        )
    )
    return b"".join(b"%b," % _json(message) for message in said)


def _more(fields: dict[str, Any]) -> bytes:
    """These fields, to be appended to others of an object."""
    return b",%b" % _json(fields)[1:-1] if fields else b""


def _only_text(prompt: Prompt) -> str:
    return f"{prompt.user}{CANNOT_SEE}" if prompt.images else prompt.user


async def _with_images(prompt: Prompt) -> bytes:
    """The user message in parts: the text, and each image after its name. Raises StoreUnavailable."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt.user}]
    for image in prompt.images:
        url = await image.data_url()
        parts.append({"type": "text", "text": f"image {image.name}:" if url else f"image {image.name} is lost."})
        if url:
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return _json(parts)


def _json(value: Any) -> bytes:
    try:
        return to_json(value)  # In a quarter of the time of `json`.
    except ValueError:  # Half surrogates, which UTF-8 cannot encode.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
