"""Posts a prepared body to an endpoint, with the retries and the errors of the openai SDK at a fraction of its cost.

The SDK builds every request anew: headers, URL and options cost it as much as sending them. So the first request goes
through the SDK, and later ones are copies of it with another body. Only what is not a good answer is given to the SDK,
as the outcome of its own first attempt: it decides whether to try again, waits, and raises its errors. Nothing here
knows what a body says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from agent.model.failures import retry_after

PATH = "/chat/completions"
RETRIES = 1
"""Retries by the SDK, after a time-out, a broken connection, 408, 409, 429 and 5xx. Callers may retry further."""
WAIT_HERE_SECONDS_MAX = 5.0
"""A longer Retry-After is not waited for here; the caller gets the failure at once."""
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0
"""Longer than most tools run, so that the next request of a thread needs no new TLS handshake."""
CONNECTIONS_MAX = 1_000
BODY_BYTES_MAX = 4_000_000


class BodyTooLarge(OpenAIError):
    """The answer is larger than BODY_BYTES_MAX. An OpenAIError, because the SDK neither wraps nor retries those."""


class Endpoint:
    def __init__(self, url: httpx2.URL, key: str, timeout_seconds: float) -> None:
        timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._http = _Http(
            auth=(url.username, url.password) if url.userinfo else None,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_SECONDS),
            event_hooks={"response": [_before_reading]},
        )
        self._sdk = AsyncOpenAI(
            base_url=url.copy_with(userinfo=b""),  # Credentials in the URL would be logged.
            api_key=key or "none",
            timeout=timeout,
            max_retries=RETRIES,
            default_headers={"Accept-Encoding": "identity"},  # Otherwise BODY_BYTES_MAX would count compressed bytes.
            http_client=self._http,
        )

    async def close(self) -> None:
        await self._sdk.close()

    async def post(self, body: bytes) -> httpx2.Response:
        """Raises APIStatusError for a status other than 2xx, after the retry, BodyTooLarge, and errors of transport."""
        if self._http.template is None:
            return await self._through_sdk(body)
        outcome: httpx2.Response | Exception
        try:
            outcome = await self._http.send(self._http.template.with_body(body))
        except OpenAIError:
            raise
        except Exception as error:
            outcome = error
        else:
            if outcome.is_success:
                return outcome
        resumed = _first_outcome.set(outcome)
        try:
            return await self._through_sdk(body)
        finally:
            _first_outcome.reset(resumed)

    async def _through_sdk(self, body: bytes) -> httpx2.Response:
        return await self._sdk.post(PATH, content=body, cast_to=httpx2.Response)


_first_outcome: ContextVar[httpx2.Response | Exception | None] = ContextVar("first_outcome", default=None)
"""Of the attempt that was made before the SDK was called; the SDK takes it for its own."""


@dataclass(frozen=True, slots=True)
class _Template:
    """A request of the SDK without its body."""

    url: httpx2.URL
    headers: list[tuple[bytes, bytes]]
    extensions: dict[str, Any]

    @classmethod
    def of(cls, request: httpx2.Request) -> _Template:
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        return cls(request.url, headers, request.extensions)

    def with_body(self, body: bytes) -> httpx2.Request:
        extensions = dict(self.extensions)
        request = httpx2.Request("POST", self.url, headers=self.headers, content=body, extensions=extensions)
        request.headers.encoding = "ascii"  # Otherwise each look at a header tries to decode all of them.
        return request


class _Http(DefaultAioHttpClient):
    """Keeps the SDK's first request as a template."""

    template: _Template | None = None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if outcome := _first_outcome.get():
            _first_outcome.set(None)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        if self.template is None:
            self.template = _Template.of(request)
        return await super().send(request, **options)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise BodyTooLarge
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _before_reading(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _BoundedStream(response.stream)
    if response.is_success:
        return
    if response.status_code == 501 or (retry_after(response.headers) or 0) > WAIT_HERE_SECONDS_MAX:
        # The SDK obeys this header; otherwise it would wait up to two minutes.
        response.headers["x-should-retry"] = "false"
