"""The way out by webhook: posts messages for `webhook:NAME` to that endpoint, signed per Standard Webhooks.

The webhook-id is derived from the message's key. A message that may have been posted already is posted again with the
same id and the same body, and the receiver drops duplicates. A message cannot be edited; an update is another message
with the same `about` (see `channels.webhook.document`).

This module follows no redirects, reads only the beginning of a response, and retries nothing. There is no way in here:
people decide and answer over the HTTP API.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from channels.base import Channel, Checked, SendFailed
from channels.messages import NEW, Outgoing, Way
from channels.webhook.document import VERSION, body_of, document_of
from channels.webhook.endpoints import Endpoint
from channels.webhook.place import NAME, endpoint_at
from channels.webhook.refusals import RETRY_AFTER_REPAIR_SECONDS, RETRY_SECONDS, refusal
from channels.webhook.signature import headers_of, id_of
from store.events import Event
from store.values import Place

SECONDS_MAX = 20.0
"""Timeout of one attempt; the specification recommends 15 to 30 seconds."""
WORDS_SECONDS_MAX = 2.0
WORDS_BYTES_MAX = 1_000
"""How much of an error response is read."""


class WebhookChannel(Channel):
    name = NAME

    def __init__(self, endpoints: Mapping[str, Endpoint], api: str, *, seconds_max: float = SECONDS_MAX) -> None:
        """`api`: the URL of the threads in the HTTP API."""
        self._endpoints = endpoints
        self._api = api
        self._seconds_max = seconds_max
        self._opened: aiohttp.ClientSession | None = None

    async def send(
        self,
        place: Place,
        message: Outgoing,
        way: Way = NEW,
        *,
        key: str,
        since: datetime | None = None,
        so_far: Sequence[Event] = (),
    ) -> str:
        """The receipt is the webhook-id."""
        endpoint = self._endpoints.get(endpoint_at(place))
        if endpoint is None:
            name = endpoint_at(place)
            raise SendFailed(f"The webhook {name!r} is not in WEBHOOK_URLS here.", RETRY_AFTER_REPAIR_SECONDS)
        webhook_id = id_of(key)
        await self._post(endpoint, webhook_id, document_of(message, place, key=key, so_far=so_far, api=self._api))
        return webhook_id

    def covers(self, place: Place, other: Place) -> bool:
        """An endpoint receives the messages of all its places."""
        return place.channel == other.channel == NAME and endpoint_at(place) == endpoint_at(other)

    async def check(self) -> Sequence[Checked]:
        """Posts a signed `ping` to each endpoint."""
        return await asyncio.gather(*map(self._ping, self._endpoints.values()))

    async def _ping(self, endpoint: Endpoint) -> Checked:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        ping = {"type": "ping", "version": VERSION, "timestamp": now}
        what = f"{NAME}:{endpoint.name}"
        try:
            await self._post(endpoint, f"msg_{uuid.uuid4().hex}", ping)
        except SendFailed as error:
            text = str(error).rstrip(".")
            start = (
                "" if error.retry_after_seconds is None else f". Start it at {endpoint.where}, or correct WEBHOOK_URLS"
            )
            return Checked(what, False, f"{text}{start}.")
        return Checked(what, True, f"{endpoint.where} took a signed ping.")

    async def _post(self, endpoint: Endpoint, webhook_id: str, document: dict[str, Any]) -> None:
        """Raises SendFailed."""
        body, now = body_of(document), datetime.now(UTC)
        headers = headers_of(webhook_id, int(now.timestamp()), body, endpoint.keys)
        try:
            url = URL(endpoint.url, encoded=True)  # verbatim
            async with self._session().post(url, data=body, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    words = await _response_text(answer)
                    raise refusal(endpoint.name, answer.status, answer.headers, words, datetime.now(UTC))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = f"The webhook {endpoint.name} cannot be reached: {self._reason_of(error)}."
            raise SendFailed(text, RETRY_SECONDS) from error

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                # Never decompress a response: a small one could become huge.
                headers={"Content-Type": "application/json", "User-Agent": "deploybot", "Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds_max),
            )
        return self._opened

    def _reason_of(self, error: Exception) -> str:
        """The error in words, without the URL, which some of these errors contain."""
        match error:
            case TimeoutError():
                return f"no answer within {self._seconds_max:g} s"
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return "its certificate is not good"
            case OSError(strerror=str(reason)) if reason:
                return reason
            case aiohttp.ClientResponseError():
                return "its answer is no HTTP"
            case _:
                return "it broke off"

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.close()


async def _response_text(answer: aiohttp.ClientResponse) -> str:
    """The beginning of an error response, if it arrives in time; empty for HTML and for compressed responses."""
    if answer.content_type == "text/html" or "Content-Encoding" in answer.headers:
        return ""
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(WORDS_SECONDS_MAX):
            return (await answer.content.read(WORDS_BYTES_MAX)).decode(errors="replace")
    return ""
