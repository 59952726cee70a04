"""Asking the model for the next step: the port, and its adapter for whatever speaks OpenAI's chat completions.

A request is one system and one user message, and an answer is one step. There is no message history, no tool calling
and no streaming here: what happened so far is in the user message (see `agent.context`).

Endpoints differ in what they take, so the step's schema goes out on the highest rung of `MODES` that works; the rung is
found once and remembered. What comes back is read leniently and validated strictly (see `agent.schema`). Whatever goes
wrong becomes a `ModelFailure` with one line that the model or a person can be shown; no key is in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol

import aiohttp
import httpx2
from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from agent.definition import Agent, UnusableStep
from agent.schema import find_step, step_schema, validated
from agent.steps import Step
from store.values import Usage

log = logging.getLogger(__name__)

Reason = Literal["invalid", "refused", "truncated", "unavailable"]
Mode = Literal["json_schema", "json_object", "prompt"]
MODES: tuple[Mode, ...] = ("json_schema", "json_object", "prompt")
"""The endpoint holds the model to the schema; to JSON, with the schema in the prompt; to nothing, likewise."""

RETRIES = 1
"""By the SDK: after a time-out, a broken connection, 408, 409, 429 and 5xx. More of them are the caller's business."""
WAIT_HERE_SECONDS_MAX = 5.0
"""A longer Retry-After is not waited for in this process; the caller is told at once."""
RETRY_AFTER_SECONDS_MAX = 3_600.0
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0
"""Longer than most tools run, so that a thread's next question needs no new TLS handshake."""
CONNECTIONS_MAX = 1_000
BODY_BYTES_MAX = 4_000_000
ERROR_CHARS_MAX = 400
IGNORED_MAX = 2
"""After so many answers that do not keep to the schema it goes into the prompt for good."""

IN_PROMPT = (
    "\n\nAnswer with one JSON object and nothing else: no prose, no code fence. It must be valid against this schema:\n"
)


@dataclass(frozen=True, slots=True)
class Prompt:
    agent: Agent
    """Its `prompt` is the system message, and its steps are what may be answered."""
    user: str


@dataclass(frozen=True, slots=True)
class Answer:
    step: Step
    usage: Usage | None
    model: str
    """As the endpoint names it."""


class ModelFailure(Exception):
    """There is no usable step. The reasons are those of `store.events.ChoiceFailed`.

    `truncated`: the answer, or the thread, is too long for the model. `unavailable`: the model was not reached, which
    may pass, or a person has to put it right.
    """

    def __init__(
        self,
        reason: Reason,
        error: str,
        *,
        model: str = "",
        usage: Usage | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(error)
        self.reason: Reason = reason
        self.error = error
        """One line of at most ERROR_CHARS_MAX characters."""
        self.model = model
        self.usage = usage
        self.retry_after_seconds = retry_after_seconds
        """What the endpoint asked for, up to RETRY_AFTER_SECONDS_MAX; None: it did not say."""


class Model(Protocol):
    @property
    def name(self) -> str: ...

    async def answer(self, prompt: Prompt) -> Answer:
        """The next step. Raises ModelFailure."""
        ...


@dataclass(frozen=True, slots=True)
class _Frame:
    """A request around its user message, encoded once for each agent."""

    agent: Agent
    before: bytes
    after: bytes


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
        self._secrets = [secret for secret in (key, url.password) if len(secret) > 3]
        self._timeout_seconds = timeout_seconds
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
        self._rung = 0
        self._ignored = 0

    @property
    def mode(self) -> Mode:
        """How this endpoint is asked, as far as is known yet."""
        return MODES[self._rung]

    async def close(self) -> None:
        await self._client.close()

    async def answer(self, prompt: Prompt) -> Answer:
        spent: list[Usage] = []
        try:
            return await self._ask(prompt, spent)
        except ModelFailure as failure:
            raise ModelFailure(
                failure.reason,
                self._shown(failure.error),
                model=self.name,
                usage=_total(spent),
                retry_after_seconds=failure.retry_after_seconds,
            ) from None

    async def _ask(self, prompt: Prompt, spent: list[Usage]) -> Answer:
        agent, rung, rejected = prompt.agent, self._rung, False
        while True:
            try:
                response = await self._post(self._request(prompt, MODES[rung]))
            except APIStatusError as error:
                if rung + 1 == len(MODES) or not _rejects_format(error):
                    raise self._failure_of(error) from None
                log.info("%s does not take %s: %s", self._where, MODES[rung], self._shown(_told(error)))
                rung, rejected = rung + 1, True
                continue
            completion = _completion(response)
            if rejected:
                # Only a rung that then works is remembered: a wrong guess costs a request and nothing more.
                self._rung = max(self._rung, rung)
            if usage := _usage(completion.get("usage")):
                spent.append(usage)
            text = _text(completion, agent)
            step, keeps_to_schema, problem = None, False, ""
            try:
                data, keeps_to_schema = find_step(text)
                step = validated(agent, data)
            except UnusableStep as error:
                problem = str(error)
            if MODES[rung] == "json_schema" and not keeps_to_schema:
                self._ignored += 1
                if self._ignored >= IGNORED_MAX:
                    self._rung = max(self._rung, rung + 1)
                if step is None:
                    rung += 1  # it was not told the schema: no answer to hold against it
                    continue
            if step is None:
                raise ModelFailure("invalid", problem)
            return Answer(step, _total(spent), str(completion.get("model") or self.name)[:200])

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
            raise ModelFailure("unavailable", self._what_broke(error)) from None

    def _what_broke(self, error: BaseException) -> str:
        chain = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        for cause in reversed(chain):
            match cause:
                case socket.gaierror():
                    return f"The host of {self._where} is not known; check OPENAI_BASE_URL."
                case ssl.SSLError():
                    return f"No TLS connection to {self._where}: {getattr(cause, 'verify_message', cause.reason)}."
                case ConnectionRefusedError():
                    return f"{self._where} refuses connections; is it running, and is OPENAI_BASE_URL right?"
                case TimeoutError():
                    return f"{self._where} did not answer in time (limit {self._timeout_seconds:g} s)."
                case aiohttp.ServerConnectionError() | aiohttp.ClientPayloadError() | ConnectionError():
                    return f"{self._where} broke off the connection."
        return f"The connection to {self._where} failed ({type(chain[-1]).__name__})."

    def _failure_of(self, error: APIStatusError) -> ModelFailure:
        status, told = error.status_code, _told(error)
        if status == 401:
            return ModelFailure("unavailable", "The endpoint does not accept the API key (401); check OPENAI_API_KEY.")
        if status == 403:
            return ModelFailure("unavailable", f"The endpoint forbids this (403); check OPENAI_API_KEY. {told}")
        if _is_too_long(error):
            return ModelFailure("truncated", f"The thread is longer than the model's context. {told}")
        if error.code in ("content_filter", "content_policy_violation"):
            return ModelFailure("refused", f"The endpoint's content filter refused the request. {told}")
        if error.code == "json_validate_failed":  # Groq: the model failed to keep to the schema
            return ModelFailure("invalid", f"The answer did not keep to the schema. {told}")
        if status == 404:
            text = (
                f"The endpoint knows no such thing (404); check OPENAI_MODEL ({self.name}) and OPENAI_BASE_URL. {told}"
            )
            return ModelFailure("unavailable", text)
        what = "asks to slow down" if status == 429 else "is in trouble" if status >= 500 else "refuses the request"
        text = f"The endpoint {what} ({status}). {told}"
        return ModelFailure("unavailable", text, retry_after_seconds=_retry_after(error.response.headers))

    def _shown(self, text: str) -> str:
        """One line without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = "".join(c if c.isprintable() else " " for c in _SECRET.sub("***", text[: 4 * ERROR_CHARS_MAX]))
        return " ".join(line.split())[:ERROR_CHARS_MAX]


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


# Reading what came back. Nothing is known of its shape.


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
    if response.status_code == 501 or (_retry_after(response.headers) or 0) > WAIT_HERE_SECONDS_MAX:
        # The SDK obeys this header. By itself it waits for up to two minutes.
        response.headers["x-should-retry"] = "false"


def _retry_after(headers: httpx2.Headers) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date. OpenAI also sends milliseconds."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
            except (TypeError, ValueError, OverflowError):
                continue
        if seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
    return None


_FORMAT = re.compile(
    r"response.?format|json.?(schema|object|mode)|structured.?output|\bschema\b|grammar"
    r"|(unsupported|unknown|unrecognized).{0,20}(parameter|field|argument|value|variant)|extra.?(inputs|fields)",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}(context|tokens)|too many tokens|(prompt|input) is too long",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(sk-|Bearer\s+|Basic\s+)[\w*.+/=-]{4,}")


def _is_too_long(error: APIStatusError) -> bool:
    if error.status_code == 413 or error.code == "context_length_exceeded":
        return True
    return error.status_code in (400, 422) and bool(_TOO_LONG.search(_told(error)))


def _rejects_format(error: APIStatusError) -> bool:
    if error.status_code not in (400, 404, 422, 501) or error.code == "json_validate_failed" or _is_too_long(error):
        return False
    return bool(_FORMAT.search(f"{error.code} {error.param} {_told(error)}"))


def _told(error: APIStatusError) -> str:
    """The endpoint's own words, without what it may repeat of the request."""
    match error.body:
        case {"message": str(text)} | {"detail": str(text)}:
            return text
        case {"detail": [{"msg": str(text), **rest}, *_]}:
            return f"{rest.get('loc')}: {text}"
        case str(text) if not text.startswith("<"):
            return text
    return ""


def _completion(response: httpx2.Response) -> dict[str, Any]:
    try:
        data = json.loads(response.content)
    except (ValueError, RecursionError):
        data = None
    match data:
        case {"error": {"message": str(text)} | str(text)}:
            raise ModelFailure("unavailable", f"The endpoint is in trouble. {text}")
        case dict():
            return data
    kind = response.headers.get("content-type", "something unnamed")
    text = f"The endpoint answered with {kind} instead of a JSON object; check OPENAI_BASE_URL."
    raise ModelFailure("unavailable", text)


def _text(completion: dict[str, Any], agent: Agent) -> str:
    """What the model wrote. Raises ModelFailure where it stopped before it was done."""
    match completion.get("choices"):
        case [{"message": dict(message), **choice}, *_]:
            pass
        case _:
            raise ModelFailure("invalid", "The endpoint answered without a message.")
    finish = choice.get("finish_reason")
    if refusal := message.get("refusal"):
        raise ModelFailure("refused", f"The model refused: {refusal}")
    if finish == "content_filter":
        raise ModelFailure("refused", "The endpoint's content filter stopped the answer.")
    if finish == "length":
        raise ModelFailure("truncated", "The answer was cut off at the limit of tokens. Give a shorter one.")
    match message:
        case {"content": str(text)} if text.strip():
            return text
        case {"content": [*parts]}:
            return "".join(
                part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        case {"tool_calls": [*calls]}:  # not asked for; some models make them nevertheless
            return "\n".join(_called(call, agent) for call in calls)
    return ""


def _called(call: object, agent: Agent) -> str:
    match call:
        case {"function": {"name": str(name), "arguments": str(text)}}:
            try:
                arguments = json.loads(text)
            except (ValueError, RecursionError):
                return text
            if name in agent.steps and isinstance(arguments, dict) and not arguments.keys() & {"intent", "step"}:
                return json.dumps({"intent": name, **arguments})
            return text
    return ""


def _usage(data: object) -> Usage | None:
    if not isinstance(data, dict):
        return None
    details = data.get("prompt_tokens_details")
    return Usage(
        input_tokens=_count(data.get("prompt_tokens")),
        output_tokens=_count(data.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _total(spent: Sequence[Usage]) -> Usage | None:
    """Of all requests that one answer took."""
    if not spent:
        return None
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in spent),
        output_tokens=sum(usage.output_tokens for usage in spent),
        cached_tokens=sum(usage.cached_tokens for usage in spent),
    )
