"""Catches up after downtime: fetches the messages of our threads that were posted while nobody listened.

Slack redelivers events for about an hour at most. Messages that were received already change nothing, because their id
is known. The program says which threads to read; `channels.slack.inbound` decides whether a message is for us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.events import Installation, Posted, parse_event
from channels.slack.place import thread_at
from channels.slack.refusals import CALL_FAILED
from store.base import StoreUnavailable
from store.values import Place

log = structlog.get_logger(__name__)

RETRIES_MAX = 5
RETRY_SECONDS = 5.0
PAGE = 200


class Sweep:
    def __init__(
        self,
        client: AsyncWebClient,
        me: Installation,
        receive: Callable[[Posted], Awaitable[bool]],
        places: Callable[[], Awaitable[Mapping[Place, str]]],
    ) -> None:
        """`places`: our threads, each with the ts of its newest known message."""
        self._client = client
        self._me = me
        self._receive = receive
        self._places = places

    async def all(self) -> None:
        """Read all threads. Never raises."""
        try:
            for place, since in (await self._places()).items():
                await self._try(place, since)
        except StoreUnavailable as error:
            log.warning("sweep_failed", error=str(error))
        except Exception:
            # A bug of ours must not stop the listener.
            log.exception("sweep_failed")

    async def _try(self, place: Place, since: str) -> None:
        for _ in range(RETRIES_MAX):
            try:
                if received := await self.thread(place, since):
                    log.info("sweep_found", place=place.address, messages=received)
                return
            except SlackApiError as error:
                if error.response.get("error") != "ratelimited":
                    log.warning("sweep_failed", place=place.address, error=str(error.response.get("error")))
                    return
                await asyncio.sleep(float(error.response.headers.get("Retry-After", "10")))
            except (*CALL_FAILED, StoreUnavailable) as error:
                log.warning("sweep_failed", place=place.address, error=str(error)[:200])
                await asyncio.sleep(RETRY_SECONDS)

    async def thread(self, place: Place, since: str) -> int:
        """Receive the messages posted in a thread since that ts. Returns how many there were.

        Raises SlackApiError, SlackClientError, aiohttp.ClientError; the messages received before that are durable.
        """
        address = thread_at(place)
        assert address is not None, f"no thread hangs at {place.address!r}"
        received, cursor = 0, None
        while True:
            page: Any = await self._client.conversations_replies(
                channel=address.channel, ts=address.thread, oldest=since, limit=PAGE, cursor=cursor
            )
            for message in page["messages"]:
                event = {"type": "message", "channel": address.channel, "thread_ts": address.thread, **message}
                posted = parse_event({"event": event}, self._me)
                if isinstance(posted, Posted) and posted.ts > since:
                    received += await self._receive(posted)
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return received
