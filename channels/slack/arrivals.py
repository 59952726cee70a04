"""Reads the Slack messages that have arrived: who wrote them, names, files, and what was said before.

A worker calls it, after the message is durable, so it may take its time. What was said before is read for the first
message of a thread; for later ones, what other programs wrote since the last message that the log has, because their
messages wake nobody and come as no event. While Slack does not answer, the worker tries again.
"""

from __future__ import annotations

import dataclasses

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import ChannelUnavailable
from channels.inbound import CannotLookUp, Elsewhere, InboundEdit, InboundMessage
from channels.slack.calls import unhurried
from channels.slack.connection import identify
from channels.slack.events import Edited, Posted
from channels.slack.images import Keep
from channels.slack.payloads import message_in
from channels.slack.place import NAME, Address, place_of
from channels.slack.reading import Earlier, MessageReader
from channels.slack.refusals import CALL_FAILED, failure_of
from store.arrivals import MessageArrived
from store.events import MessageReceived
from store.keys import OutsideId
from store.thread import Thread
from store.values import Place

RETRY_SECONDS = 2.0


class SlackArrivals:
    def __init__(self, client: AsyncWebClient, keep_image: Keep | None = None) -> None:
        """For `keep_image` see `MessageReader`."""
        self._client = client
        self._keep_image = keep_image
        self._reader: MessageReader | None = None
        self._team = ""

    async def look_up(
        self, arrived: MessageArrived, thread: Thread, *, last_try: bool
    ) -> InboundMessage | InboundEdit | Elsewhere:
        """See `channels.inbound.Reader`."""
        with unhurried():
            try:
                reader = await self._identified()
                match message_in(arrived.payload, arrived.text):
                    case Edited() as edited:
                        return InboundEdit(edited.id, await reader.readable(edited.text), edited.passes_on)
                    case Posted() as posted:
                        return await self._message(reader, posted, thread, last_try=last_try)
            except SlackApiError as error:
                raise CannotLookUp(failure_of(error).retry_after_seconds or RETRY_SECONDS) from error
            except (*CALL_FAILED, ChannelUnavailable) as error:
                raise CannotLookUp(RETRY_SECONDS) from error

    async def _identified(self) -> MessageReader:
        if self._reader is None:
            me, _ = await identify(self._client)
            self._team = me.team
            self._reader = MessageReader(self._client, me, self._keep_image)
        return self._reader

    async def _message(
        self, reader: MessageReader, posted: Posted, thread: Thread, *, last_try: bool
    ) -> InboundMessage | Elsewhere:
        place = place_of(self._team, posted.channel, posted.thread)
        is_first = not any(isinstance(event, MessageReceived) for event in thread.events)
        begins = posted.thread == posted.ts or posted.direct
        earlier = None if begins else Earlier(after="" if is_first else _newest_known(thread, place, posted))
        read = await reader.message_of(posted, earlier=earlier, must_know=not last_try)
        message = read.message
        if place != thread.place:
            # Record the place if it is not the thread's own, for the sweep.
            message = dataclasses.replace(message, origin={"slack": place.address})
        if is_first and read.thread_id not in ("", thread.id):
            return Elsewhere(read.thread_id, Address(self._team, posted.channel, posted.thread).alias, message)
        return message


def _newest_known(thread: Thread, place: Place, posted: Posted) -> str:
    """The ts of the newest message before this one that the log has of this Slack thread."""
    own = f"{posted.channel}:"
    found = [
        known.event_id.removeprefix(own)
        for event in thread.events
        if isinstance(event, MessageReceived)
        and event.origin.get("slack", thread.place.address) == place.address
        and (known := OutsideId.parse(event.id))
        and known.source == NAME
        and known.event_id.startswith(own)
    ]
    return max((ts for ts in found if ts < posted.ts), default=posted.thread)
