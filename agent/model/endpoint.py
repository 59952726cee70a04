"""Posts a prepared body to an endpoint, with the retries and the errors of the openai SDK at a fraction of its cost.

The SDK and its HTTP client build every request and every response anew: headers, URL, options and checks cost them
several times as much as the bytes. So the first request goes through the SDK, and later ones are copies of it with
another body, on the SDK's own connections. Only what is not a good answer is given to the SDK, as the outcome of its
own first attempt: it decides whether to try again, waits, and raises its errors. Nothing here knows what a body says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
from aiohttp.http_parser import RawResponseMessage
from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAIError
from yarl import URL

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


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer (2xx)."""

    content: bytes
    content_type: str


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

    async def post(self, body: bytes) -> Answered:
        """Raises APIStatusError for a status other than 2xx, after the retry, BodyTooLarge, and errors of transport."""
        if self._http.direct is None:
            return await self._through_sdk(body)
        outcome: httpx2.Response | Exception
        try:
            answered = await self._http.direct.post(body)
        except OpenAIError:
            raise
        except Exception as error:
            outcome = error
        else:
            if isinstance(answered, Answered):
                return answered
            if answered.has_redirect_location:
                return await self._through_sdk(body)
            outcome = answered
        resumed = _first_outcome.set(outcome)
        try:
            return await self._through_sdk(body)
        finally:
            _first_outcome.reset(resumed)

    async def _through_sdk(self, body: bytes) -> Answered:
        response = await self._sdk.post(PATH, content=body, cast_to=httpx2.Response)
        return Answered(response.content, response.headers.get("content-type", ""))


_first_outcome: ContextVar[httpx2.Response | Exception | None] = ContextVar("first_outcome", default=None)
"""Of the attempt that was made before the SDK was called; the SDK takes it for its own."""


class _Direct:
    """Sends copies of a request that the SDK has sent, with other bodies, over the same connections.

    It uses aiohttp's connections and its parser; to make its objects of a request and a response costs twice as much.
    """

    def __init__(self, connector: aiohttp.BaseConnector, sent: httpx2.Request) -> None:
        limits = sent.extensions.get("timeout", {})
        self._connector = connector
        self._sent = sent
        self._timeout = aiohttp.ClientTimeout(
            sock_connect=limits.get("connect"), sock_read=limits.get("read"), connect=limits.get("pool")
        )
        # Only for the connector: where to connect to.
        self._like = aiohttp.ClientRequest("POST", URL(str(sent.url)), loop=asyncio.get_running_loop())
        headers = {name.lower(): value for name, value in sent.headers.raw if name.lower() != b"content-length"}
        headers[b"x-stainless-retry-count"] = b"0"  # The one that was sent may have been a retry.
        lines = b"".join(b"%b: %b\r\n" % header for header in headers.items())
        self._head = b"POST %b HTTP/1.1\r\n%b" % (self._like.url.raw_path_qs.encode(), lines)

    async def post(self, body: bytes) -> Answered | httpx2.Response:
        """A response, if it is no good answer. Raises BodyTooLarge, and errors as the SDK expects them."""
        try:
            head, content = await self._asked(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body))
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            kind = httpx2.TimeoutException if isinstance(error, TimeoutError) else httpx2.NetworkError
            raise kind(str(error)) from error
        if 200 <= head.code < 300:
            return Answered(content, head.headers.get("content-type", ""))
        refused = httpx2.Response(head.code, headers=head.raw_headers, content=content, request=self._sent)
        _limit_waiting(refused)
        return refused

    async def _asked(self, request: bytes) -> tuple[RawResponseMessage, bytes]:
        """The head and the body of the response. Raises BodyTooLarge, and aiohttp's errors."""
        connection = await self._connector.connect(self._like, [], self._timeout)
        try:
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None
            assert transport is not None
            limit = self._timeout.sock_read
            protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_timeout=limit)
            transport.write(request)
            protocol.start_timeout()
            head, body = await protocol.read()
            while 100 <= head.code < 200 and head.code != 101:  # The real one follows.
                head, body = await protocol.read()
            content = await _read(body)
        except BaseException:  # The rest of the answer may still come.
            connection.close()
            raise
        connection.release()
        return head, content


async def _read(body: aiohttp.StreamReader) -> bytes:
    """Raises BodyTooLarge."""
    size, chunks = 0, []
    while chunk := await body.readany():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge
        chunks.append(chunk)
    return b"".join(chunks)


class _Http(DefaultAioHttpClient):
    """Notes how the SDK's first good answer was asked for."""

    direct: _Direct | None = None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if outcome := _first_outcome.get():
            _first_outcome.set(None)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        response = await super().send(request, **options)
        if self.direct is None and response.is_success and not response.history:
            self.direct = self._direct_as(response.request)
        return response

    def _direct_as(self, sent: httpx2.Request) -> _Direct | None:
        """None: only the SDK knows the way, such as through a proxy."""
        transport = self._transport_for_url(sent.url)
        session = getattr(transport, "client", None)
        if not isinstance(session, aiohttp.ClientSession) or getattr(transport, "proxy", None) is not None:
            return None
        return _Direct(session.connector, sent) if session.connector else None


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
    if not response.is_success:
        _limit_waiting(response)


def _limit_waiting(response: httpx2.Response) -> None:
    if response.status_code == 501 or (retry_after(response.headers) or 0) > WAIT_HERE_SECONDS_MAX:
        # The SDK obeys this header; otherwise it would wait up to two minutes.
        response.headers["x-should-retry"] = "false"
