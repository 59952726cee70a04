"""Reads the Slack messages that have arrived: who wrote them, names, files, and what was said before.

A worker calls it, after the message is durable, so it may take its time. What was said before is read for the first
message of a thread; for later ones, what other programs wrote since the last message that the log has, because their
messages wake nobody and come as no event. While Slack does not answer, the worker tries again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from pydantic import ValidationError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import ChannelUnavailable
from channels.inbound import CannotLookUp, Elsewhere, InboundDeletion, InboundEdit, InboundMessage, Inbox, Meaning
from channels.slack.calls import BackgroundCalls, deadline, unhurried
from channels.slack.connection import identify
from channels.slack.events import Deleted, Edited, Installation, Posted, Stopped
from channels.slack.home import Home
from channels.slack.home_tab import HomeTab
from channels.slack.images import Keep
from channels.slack.judging import UNKNOWN_PERSON, Judging
from channels.slack.marks import thread_in
from channels.slack.payloads import act_in, clicker_of, message_in
from channels.slack.place import NAME, Address, place_of
from channels.slack.private import Private
from channels.slack.reading import Earlier, MessageReader
from channels.slack.refusals import CALL_FAILED, failure_of, is_refusal
from channels.slack.shortcuts import AskedAbout
from store.arrivals import Arrived, ClickArrived, MessageArrived
from store.events import MessageReceived
from store.keys import OutsideId
from store.thread import Thread
from store.values import Person, Place

RETRY_SECONDS = 2.0


HomeOf = Callable[[Installation, Person], Awaitable[Home]]
"""What a person may see in their App Home. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What needs our identity."""

    me: Installation
    reader: MessageReader
    private: Private


class SlackArrivals:
    def __init__(self, client: AsyncWebClient, keep_image: Keep | None = None, home_of: HomeOf | None = None) -> None:
        """For `keep_image` see `MessageReader`. `home_of`: None if nobody clicks in App Home."""
        self._client = client
        self._keep_image = keep_image
        self._home_of = home_of
        self._background = BackgroundCalls()
        self._known: _Known | None = None

    def understands(self, arrived: Arrived, /) -> bool:
        """See `channels.inbound.Reader`."""
        try:
            if isinstance(arrived, ClickArrived):
                act_in(arrived.payload)
            else:
                message_in(arrived.payload, arrived.text)
        except (KeyError, ValidationError):
            return False
        return True

    async def look_up(
        self, arrived: MessageArrived, thread: Thread, *, last_try: bool, stays: bool = False
    ) -> Meaning | Elsewhere | None:
        """See `channels.inbound.Reader`."""
        with unhurried(), _later():
            known = await self._identified()
            me, reader = known.me, known.reader
            found = message_in(arrived.payload, arrived.text)
            heard = found.posted if isinstance(found, AskedAbout) else found
            if thread.has_only_arrivals:
                owner = "" if stays else await self._owner_of(heard, me, last_try=last_try)
                if owner not in (None, "", thread.id):
                    return Elsewhere(owner, Address(me.team, heard.channel, heard.thread).alias)
                if owner == "" and not (isinstance(heard, Posted) and heard.to_us):
                    return None
            match heard:
                case Deleted():
                    return InboundDeletion(heard.id)
                case Edited():
                    return InboundEdit(heard.id, await reader.readable(heard.text), heard.passes_on)
                case Posted():
                    message = await self._message(reader, me, heard, thread, last_try=last_try)
                    return await _about(found, message, reader) if isinstance(found, AskedAbout) else message
        assert_never(heard)

    async def judge(self, clicked: ClickArrived, thread: Thread, inbox: Inbox, /, *, last_try: bool) -> str | Elsewhere:
        """See `channels.inbound.Reader`."""
        try:
            with unhurried(), _later():
                return await self._judged(clicked, thread, inbox)
        except CannotLookUp:
            if last_try:
                return UNKNOWN_PERSON
            raise

    async def _judged(self, clicked: ClickArrived, thread: Thread, inbox: Inbox) -> str | Elsewhere:
        """Raises as Slack's client does, ChannelUnavailable, CannotLookUp."""
        act, known = act_in(clicked.payload), await self._identified()
        if isinstance(act, Stopped) and thread.has_only_arrivals:
            owner = await self._owner(act.channel, act.thread, known.me)
            if not owner or owner == thread.id:
                return ""
            return Elsewhere(owner, Address(known.me.team, act.channel, act.thread).alias)
        told = await Judging(known.me, known.reader, inbox).judge(act, thread.id, clicked)
        if told is None:
            raise CannotLookUp(RETRY_SECONDS)
        return told

    async def tell(self, clicked: ClickArrived, text: str, /) -> None:
        """See `channels.inbound.Reader`."""
        with contextlib.suppress(ChannelUnavailable):
            (await self._identified()).private.tell(clicker_of(act_in(clicked.payload)), text)

    async def _identified(self) -> _Known:
        if self._known is None:
            me, _ = await identify(self._client)
            reader = MessageReader(self._client, me, self._keep_image)
            home_of = functools.partial(self._home_of, me) if self._home_of else None
            home = HomeTab(self._client, reader, home_of, self._background)
            self._known = _Known(me, reader, Private(self._client, home, self._background))
        return self._known

    async def _owner_of(self, heard: Posted | Edited | Deleted, me: Installation, *, last_try: bool) -> str | None:
        """As `_owner`; None as well where Slack does not say at the last try, for what is for us in any case."""
        if heard.thread == heard.ts or heard.parent not in ("", me.user):
            return None
        try:
            return await self._owner(heard.channel, heard.thread, me)
        except CALL_FAILED:
            if last_try and isinstance(heard, Posted) and heard.to_us:
                return None
            raise

    async def _owner(self, channel: str, ts: str, me: Installation) -> str | None:
        """The id of the thread for which we posted this message; empty: for none, or we may not read it.

        None: somebody else posted it. Raises as Slack's client does.
        """
        try:
            async with deadline():
                page: Any = await self._client.conversations_replies(
                    channel=channel, ts=ts, limit=1, include_all_metadata=True
                )
        except SlackApiError as error:
            if is_refusal(error):
                return ""
            raise
        for message in page["messages"]:
            if message.get("ts") == ts and message.get("user") == me.user:
                return thread_in(message)
        return None

    async def aclose(self) -> None:
        await self._background.aclose()

    async def _message(
        self, reader: MessageReader, me: Installation, posted: Posted, thread: Thread, *, last_try: bool
    ) -> InboundMessage:
        place = place_of(me.team, posted.channel, posted.thread)
        is_first = not any(isinstance(event, MessageReceived) for event in thread.events)
        begins = posted.thread == posted.ts or posted.direct
        earlier = None if begins else Earlier(after="" if is_first else _newest_known(thread, place, posted))
        message = await reader.message_of(posted, earlier=earlier, must_know=not last_try)
        if place != thread.place:
            # Record the place if it is not the thread's own, for the sweep.
            message = dataclasses.replace(message, origin={"slack": place.address})
        if is_first and posted.direct and posted.thread == posted.ts and place == thread.place:
            message = dataclasses.replace(message, beside=place_of(me.team, posted.channel, "").address)
        return message


@contextlib.contextmanager
def _later() -> Iterator[None]:
    """What Slack does not answer now is asked again. Raises CannotLookUp."""
    try:
        yield
    except SlackApiError as error:
        raise CannotLookUp(failure_of(error).retry_after_seconds or RETRY_SECONDS) from error
    except (*CALL_FAILED, ChannelUnavailable) as error:
        raise CannotLookUp(RETRY_SECONDS) from error


async def _about(asked: AskedAbout, message: InboundMessage, reader: MessageReader) -> InboundMessage:
    """The message that the shortcut makes, with the one that it is about."""
    about = await reader.earlier_message(asked.channel, asked.message)
    earlier = [one for one in message.earlier if one.event_id != about.event_id]
    return dataclasses.replace(message, event_id=asked.id, earlier=(*earlier, about))


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
        and ":" not in known.event_id.removeprefix(own)  # A shortcut is no message there.
    ]
    return max((ts for ts in found if ts < posted.ts), default=posted.thread)
