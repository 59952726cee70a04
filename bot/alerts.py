"""Tells people of trouble that belongs to no thread, at the team's place for alerts.

It sends through the channels of this process and keeps no state: the caller repeats what could not be sent. Without a
place for alerts the text is only in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from channels.base import Channel, SendFailed, SentInPart
from channels.messages import Notice
from store.keys import SendKey, thread_id_of
from store.values import Place

SEND_SECONDS_MAX = 30.0
RETRY_SECONDS = 60.0
LOOK_BACK = timedelta(days=1)
"""An alert that a process sent within this time, and did not live to record, is not sent again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Alerts:
    channels: Mapping[str, Channel]
    place: Place | None
    """None: the team has none."""

    async def tell(self, key: str, text: str) -> None:
        """Raises SendFailed if it is to be tried again later, with the same key. What cannot be sent is logged."""
        log.error("alert", text=text)
        channel = self.channels.get(self.place.channel) if self.place else None
        if channel is None or self.place is None:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                since = datetime.now(UTC) - LOOK_BACK
                sent_under = str(SendKey(thread_id_of(self.place), key))
                await channel.send(self.place, Notice(text), key=sent_under, since=since)
        except SentInPart as partly:
            log.warning("alert_sent_in_part", error=str(partly))
        except TimeoutError:
            raise SendFailed(f"no answer within {SEND_SECONDS_MAX:g} s", RETRY_SECONDS) from None
        except SendFailed as error:
            if error.retry_after_seconds is not None:
                raise
            log.error("alert_not_sent", error=str(error))
