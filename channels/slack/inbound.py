"""The way in: listens to Slack's events, and appends those that concern us to the inbox.

A listener acknowledges an event only after it is durable (`process_before_response`). If it raises, because the store
cannot be reached, for example, the event stays unacknowledged and Slack redelivers it. Redeliveries are recognised by
their ids: a message by channel and ts, whichever event brings it, and a click by person and action.

A thread of ours is found by its place. A reply to another message of ours (a card shown elsewhere, for example) belongs
to the thread whose id is in that message's metadata. Slack is asked for it when the reply is read, not here: nothing
that Slack has to answer stands between an event and its being durable.

`channels.slack.events` parses payloads, `channels.slack.arrivals` reads what has arrived, and `channels.slack.clicking`
handles clicks. This module posts nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Arrival, Inbox
from channels.slack.asking import Asking
from channels.slack.calls import BackgroundCalls, try_call, unhurried
from channels.slack.clicking import ClickHandler
from channels.slack.events import (
    Deleted,
    Edited,
    HomeOpened,
    Ignored,
    Installation,
    Joined,
    Posted,
    Stopped,
    parse_event,
)
from channels.slack.home import Home
from channels.slack.home_tab import HomeTab
from channels.slack.joining import Joining
from channels.slack.judging import Judging
from channels.slack.payloads import click_of, payload_of
from channels.slack.place import NAME, Address, place_of
from channels.slack.private import Private
from channels.slack.reading import MessageReader
from channels.slack.text import unescaped
from store.base import NoteStore, StoreUnavailable
from store.text import one_line
from store.values import Person, Place

log = structlog.get_logger(__name__)

TITLE_CHARS_MAX = 80
CHANGES_MAX = 1_000


class Desk(Protocol):
    """What Slack needs from the rest of the program. Whatever is awaited raises StoreUnavailable."""

    @property
    def reads_images(self) -> bool:
        """Whether the images of messages are kept for a model that looks at them."""

    def agent_in(self, channel: str, /) -> str:
        """The agent that answers in this channel."""

    def words_on_joining(self, channel: str, /) -> str:
        """What people of this channel read when we join it: what the agent does there, and who may approve."""

    async def home_of(self, by: Person) -> Home:
        """Only what this person may see."""

    async def threads_not_shown_in(self, channel: str, /) -> Sequence[str]:
        """The ids of the threads there with a request that could not be shown there, and that still waits."""

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads of the last days, each with the ts of its newest known message."""

    async def direct_messages(self) -> Sequence[str]:
        """The channels of the direct messages in which people wrote to us."""

    async def tell_of_missed(self, key: str, text: str, otherwise_at: Sequence[Place], /) -> None:
        """Tell people of messages that nobody acts on; `otherwise_at`: where, if the team has no place for alerts.

        The same under the same key is told once. Raises SendFailed if it is to be tried again.
        """

    @property
    def notes(self) -> NoteStore: ...

    def now(self) -> datetime:
        """The time of the store."""


class SlackInbound:
    def __init__(self, client: AsyncWebClient, me: Installation, inbox: Inbox, desk: Desk) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._desk = desk
        self._reader = MessageReader(client, me, inbox.keep_image if desk.reads_images else None)
        self._background = BackgroundCalls()
        self._home = HomeTab(client, self._reader, desk.home_of, self._background)
        private = Private(client, self._home, self._background)
        self._judging = Judging(me, self._reader, inbox)
        self._clicks = ClickHandler(client, me, inbox, self._reader, private, self._judging, self._background)
        self._joining = Joining(client, inbox, desk, self._background)
        self._asking = Asking(me, inbox, desk, self._reader)
        self._changed: dict[str, Edited | Deleted] = {}
        """The latest edits and deletions by message id, because one may arrive before its message."""

    def listen(self, app: AsyncApp) -> None:
        """Register for everything, because Slack redelivers events that no listener acknowledges."""
        anything = re.compile("")
        app.event(anything)(self._event)
        app.action(anything)(self._clicks.click)
        app.view(anything)(self._clicks.click)
        app.view_closed(anything)(_nothing)
        app.shortcut(anything)(self._asking.shortcut)
        app.command(anything)(self._asking.command)
        app.options(anything)(_nothing)

    async def _event(self, body: dict[str, Any], ack: AsyncAck) -> None:
        event = parse_event(body, self._me)
        match event:
            case Posted():
                await self.receive(event)
            case Edited() | Deleted():
                self._changed[event.id] = event
                if len(self._changed) > CHANGES_MAX:
                    self._changed.pop(next(iter(self._changed)))
                await self._change(event)
                if isinstance(event, Edited) and event.posted:
                    await self.receive(event.posted)
            case HomeOpened(tab="home"):
                await self._home.show(event.user)
            case HomeOpened():
                pass  # the manifest has the suggested prompts
            case Stopped():
                await self._stop(event)
            case Joined():
                await self._joining.joined(event)
            case Ignored():
                log.debug("slack_ignored", why=event.why)
        await ack()

    async def _stop(self, stopped: Stopped) -> None:
        if thread_id := await self._thread_of(stopped.channel, stopped.thread):
            await self._clicks.append(stopped, thread_id)
            self._background.start(self._stop_at_once(stopped, thread_id))
        else:
            place = place_of(self._me.team, stopped.channel, stopped.thread)
            await self._inbox.clicked_at(place, click_of(stopped), agent=self._desk.agent_in(stopped.channel))

    async def _stop_at_once(self, stopped: Stopped, thread_id: str) -> None:
        """The worker may be waiting for the model. To stop twice is to stop once; the worker tells people of it."""
        with unhurried(), contextlib.suppress(StoreUnavailable):
            if by := await self._reader.person_who_decides(stopped.user, external=False):
                await self._judging.stop(stopped, by, thread_id)

    async def _change(self, changed: Edited | Deleted) -> None:
        edit = changed.edit if isinstance(changed, Edited) else ""
        arrival = Arrival(
            NAME,
            changed.id,
            changed.text if isinstance(changed, Edited) else "",
            payload_of(changed),
            edit_id=edit,
            deletes=isinstance(changed, Deleted),
        )
        if thread_id := await self._thread_of(changed.channel, changed.thread):
            await self._inbox.arrived_in(thread_id, arrival)
        elif self._may_be_ours(changed):
            await self._arrived_at(changed.channel, changed.thread, arrival)

    async def receive(self, posted: Posted) -> bool:
        """Append a person's message. False: it is not for us."""
        begins = posted.thread == posted.ts
        if begins and not posted.to_us:
            return False
        thread_id = "" if begins else await self._thread_of(posted.channel, posted.thread)
        if not thread_id and not posted.to_us and not self._may_be_ours(posted):
            return False
        changed = self._changed.get(posted.id)
        if isinstance(changed, Deleted):
            return False  # deleted before the message, or its redelivery, was handled
        if changed:
            posted = replace(posted, text=changed.text, passes_on=posted.passes_on or changed.passes_on)
        arrival = Arrival(NAME, posted.id, posted.text, payload_of(posted))
        if thread_id:
            return await self._inbox.arrived_in(thread_id, arrival)
        await self._arrived_at(posted.channel, posted.thread, arrival)
        if posted.direct and begins:
            self._set_title(posted, unescaped(posted.text, {}))
        return True

    async def is_missed(self, posted: Posted) -> bool:
        """Whether this message is for us, as far as is known here, and has not arrived."""
        if thread_id := await self._thread_of(posted.channel, posted.thread):
            return not await self._inbox.has_arrived(thread_id, NAME, event_id=posted.id)
        return posted.to_us or self._may_be_ours(posted)

    def _may_be_ours(self, message: Posted | Edited | Deleted) -> bool:
        """Whether it replies to a message of ours, so that it may belong to a thread: whoever reads it asks Slack."""
        return message.parent == self._me.user

    async def _arrived_at(self, channel: str, thread: str, arrival: Arrival) -> None:
        """In a thread that we do not know. If it belongs to another thread of ours, whoever reads it moves it there."""
        await self._inbox.arrived(place_of(self._me.team, channel, thread), arrival, agent=self._desk.agent_in(channel))

    async def _thread_of(self, channel: str, ts: str) -> str:
        """The id of our thread under this message; empty: none that is known."""
        at = Address(self._me.team, channel, ts)
        return await self._inbox.thread_at(at.place, at.alias)

    def _set_title(self, posted: Posted, text: str) -> None:
        """Set the title of the conversation in the agent view, in the background."""
        call = self._client.assistant_threads_setTitle(
            channel_id=posted.channel, thread_ts=posted.thread, title=one_line(text, TITLE_CHARS_MAX) or "(no words)"
        )
        self._background.start(try_call("assistant.threads.setTitle", call))

    async def aclose(self) -> None:
        await self._background.aclose()


async def _nothing(ack: AsyncAck) -> None:
    await ack()
