"""The way in: listens to what happens in Slack, and gives what concerns us to the inbox.

Each listener ends before Slack is acknowledged (`process_before_response`), and only when what happened is durable. An
exception, a store that cannot be reached for one, leaves it unacknowledged, and Slack delivers it again. Whatever comes
again is known by its ids: a message by its channel and ts, whichever event brings it, a click by request and person.

A thread of ours is known by its place. What hangs from another message of ours (one that opened a thread, a card that
is shown elsewhere too) belongs to the thread that the message was said for: its mark tells. Slack is asked for that
once; where it cannot say in time, the event is not acknowledged, and comes again.

What a payload means is `channels.slack.events`, what a person sees of a message `channels.slack.seen`, what a click
does `channels.slack.clicking`. Nothing is said here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Inbox, Refused
from channels.slack.calls import WAIT_SECONDS_MAX, Later, tried
from channels.slack.clicking import Clicking
from channels.slack.events import Deleted, Edited, HomeOpened, Ignored, Me, Said, Stopped, parse_event
from channels.slack.home import Home, home_view
from channels.slack.marks import thread_in
from channels.slack.place import NAME, Address, place_of
from channels.slack.refusals import is_refusal
from channels.slack.seen import Seen
from store.base import UnknownThread
from store.keys import thread_id_of
from store.text import one_line
from store.values import Person, Place

log = structlog.get_logger(__name__)

TITLE_CHARS_MAX = 80
CHANGES_MAX = 1_000
PARENTS_MAX = 5_000
"""Messages of which we remember whose thread hangs from them."""


class Desk(Protocol):
    """What the program alone knows. Each of these but `agent_in` raises StoreUnavailable."""

    def agent_in(self, channel: str, /) -> str:
        """Which agent answers there."""

    async def home_of(self, by: Person) -> Home: ...

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads of the last days, each with the ts of the newest message that is known."""


class SlackInbound:
    def __init__(self, client: AsyncWebClient, me: Me, inbox: Inbox, desk: Desk) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._desk = desk
        self._seen = Seen(client, me)
        self._later = Later()
        self._clicking = Clicking(client, me, inbox, self._seen, self._later)
        self._changed: dict[str, Edited | Deleted] = {}
        """The last changes of messages, by message: one may arrive before the message itself."""
        self._parents: dict[tuple[str, str], str] = {}
        """Messages that we asked Slack about, by channel and ts: the thread that each was said for, or nothing."""

    def listen(self, app: AsyncApp) -> None:
        """Register for everything: what has no listener would not be acknowledged, and come again."""
        anything = re.compile("")
        app.event(anything)(self._event)
        app.action(anything)(self._clicking.click)
        app.view(anything)(self._clicking.click)
        app.view_closed(anything)(_nothing)
        app.shortcut(anything)(_nothing)
        app.command(anything)(_nothing)
        app.options(anything)(_nothing)

    async def _event(self, body: dict[str, Any], ack: AsyncAck) -> None:
        happened = parse_event(body, self._me)
        match happened:
            case Said():
                await self.hear(happened)
            case Edited() | Deleted():
                self._changed[happened.id] = happened
                if len(self._changed) > CHANGES_MAX:
                    self._changed.pop(next(iter(self._changed)))
                await self._change(happened)
            case HomeOpened(tab="home"):
                by = await self._seen.person(happened.user, external=False)
                view = home_view(await self._desk.home_of(by))
                await tried("views.publish", self._client.views_publish(user_id=happened.user, view=view))
            case HomeOpened():
                pass  # the manifest has the suggested prompts
            case Stopped():
                if thread_id := await self._thread_of(happened.channel, happened.thread, ask=True):
                    by = await self._seen.person(happened.user, external=False)
                    with contextlib.suppress(Refused, UnknownThread):
                        await self._inbox.cancel(thread_id, by, "stopped in Slack")
            case Ignored():
                log.debug("slack_ignored", why=happened.why)
        await ack()

    async def _change(self, changed: Edited | Deleted) -> None:
        thread_id = await self._thread_of(changed.channel, changed.thread, ask=changed.parent == self._me.user)
        if not thread_id:
            return
        if isinstance(changed, Edited):
            text = await self._seen.readable(changed.text)
            await self._inbox.edited(thread_id, NAME, event_id=changed.id, text=text, edit_id=changed.edit)
        else:
            await self._inbox.deleted(thread_id, NAME, event_id=changed.id)

    async def hear(self, said: Said) -> bool:
        """A person's words. False: they are not for us."""
        begins = said.thread == said.ts
        if begins and not said.to_us:
            return False
        thread_id = ""
        if not begins:
            ask = said.parent == self._me.user or (said.to_us and not said.parent)
            thread_id = await self._thread_of(said.channel, said.thread, ask=ask)
        if not thread_id and not said.to_us:
            return False
        new = not (begins or said.direct or thread_id)
        words = await self._seen.message_of(said, with_history=new)
        changed = self._changed.get(said.id)
        if isinstance(changed, Deleted):
            return False  # its author was quicker than we are, or than a redelivery
        if changed:
            words = replace(words, text=await self._seen.readable(changed.text))
        place = place_of(self._me.team, said.channel, said.thread)
        if thread_id and thread_id != thread_id_of(place):
            # Where it was said is told where it is not what the thread's id is of: the sweep has to know.
            words = replace(words, origin={"slack": place.address})
        if thread_id:
            return await self._inbox.reply(thread_id, NAME, words)
        await self._inbox.message(place, words, agent=self._desk.agent_in(said.channel))
        if said.direct and begins:
            self._entitle(said, words.text)
        return True

    async def _thread_of(self, channel: str, ts: str, *, ask: bool) -> str:
        """The id of our thread that hangs from this message; empty: none.

        `ask`: the message may be one of ours. Raises SlackApiError, SlackClientError, aiohttp.ClientError,
        TimeoutError, OSError where Slack does not say whose it is.
        """
        known = self._parents.get((channel, ts))
        if known:
            return known
        at = Address(self._me.team, channel, ts)
        thread_id = await self._inbox.thread_at(at.place, at.alias)
        if thread_id or known is not None or not ask:
            return thread_id
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            thread_id = await self._said_for(channel, ts)
        if thread_id and not await self._inbox.add_alias(NAME, at.alias, thread_id):
            thread_id = ""
        self._parents[channel, ts] = thread_id
        if len(self._parents) > PARENTS_MAX:
            self._parents.pop(next(iter(self._parents)))
        return thread_id

    async def _said_for(self, channel: str, ts: str) -> str:
        """The id of the thread that a message of ours was said for; empty: it is not ours, or nobody can look."""
        try:
            page: Any = await self._client.conversations_replies(
                channel=channel, ts=ts, limit=1, include_all_metadata=True
            )
        except SlackApiError as error:
            if is_refusal(error):
                return ""
            raise
        parents = (message for message in page["messages"] if message.get("ts") == ts)
        return next((thread_in(parent) for parent in parents if parent.get("user") == self._me.user), "")

    def _entitle(self, said: Said, text: str) -> None:
        """Name the conversation in the agent view. Nobody waits for it."""
        call = self._client.assistant_threads_setTitle(
            channel_id=said.channel, thread_ts=said.thread, title=one_line(text, TITLE_CHARS_MAX) or "(no words)"
        )
        self._later.do(tried("assistant.threads.setTitle", call))

    async def aclose(self) -> None:
        await self._later.aclose()


async def _nothing(ack: AsyncAck) -> None:
    await ack()
