"""After downtime: what was said in our threads while nobody listened is fetched, and heard as if it came now.

Slack delivers events again for an hour or so at most. What was heard already changes nothing: it is known by its id.
Which places to look at, the program says; whether what is found there is for us, whoever hears it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.events import Me, Said, parse_event
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
        me: Me,
        hear: Callable[[Said], Awaitable[bool]],
        places: Callable[[], Awaitable[Mapping[Place, str]]],
    ) -> None:
        """`places`: our threads, each with the ts of the newest message that is known."""
        self._client = client
        self._me = me
        self._hear = hear
        self._places = places

    async def all(self) -> None:
        """Never raises: whoever looks after the socket goes on."""
        try:
            for place, since in (await self._places()).items():
                await self._try(place, since)
        except StoreUnavailable as error:
            log.warning("sweep_failed", error=str(error))
        except Exception:
            # Our own mistake, about one thread perhaps.
            log.exception("sweep_failed")

    async def _try(self, place: Place, since: str) -> None:
        for _ in range(RETRIES_MAX):
            try:
                if heard := await self.thread(place, since):
                    log.info("sweep_found", place=place.address, messages=heard)
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
        """Hear what was said in a thread of ours since that ts. Gives how many messages.

        Raises SlackApiError, SlackClientError, aiohttp.ClientError; what was heard until then is durable.
        """
        address = thread_at(place)
        assert address is not None, f"no thread hangs at {place.address!r}"
        heard, cursor = 0, None
        while True:
            page: Any = await self._client.conversations_replies(
                channel=address.channel, ts=address.thread, oldest=since, limit=PAGE, cursor=cursor
            )
            for message in page["messages"]:
                event = {"type": "message", "channel": address.channel, "thread_ts": address.thread, **message}
                said = parse_event({"event": event}, self._me)
                if isinstance(said, Said) and said.ts > since:
                    heard += await self._hear(said)
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return heard
