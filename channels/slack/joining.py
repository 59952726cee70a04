"""What happens when we are invited to a channel: people read what the agent does here, and see what waited for it.

Requests that could not be shown there are shown. The greeting goes out once for each invitation: its metadata has the
event's id, for which the channel is searched before posting. `bot.desks.slack` writes the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Inbox
from channels.slack.calls import BackgroundCalls, try_call
from channels.slack.events import Joined
from channels.slack.place import NAME
from channels.slack.text import escape

GREETING = "deploybot_greeting"
"""The `event_type` of the metadata."""
LOOKED_AT = 50
"""The newest messages of the channel."""


class Desk(Protocol):
    """Of `channels.slack.inbound.Desk`."""

    def words_on_joining(self, channel: str, /) -> str: ...

    async def threads_not_shown_in(self, channel: str, /) -> Sequence[str]: ...


class Joining:
    def __init__(self, client: AsyncWebClient, inbox: Inbox, desk: Desk, background: BackgroundCalls) -> None:
        self._client = client
        self._inbox = inbox
        self._desk = desk
        self._background = background

    async def joined(self, event: Joined) -> None:
        """Raises StoreUnavailable."""
        for thread_id in await self._desk.threads_not_shown_in(event.channel):
            await self._inbox.place_regained(thread_id, NAME, event_id=event.id)
        self._background.start(try_call("chat.postMessage", self._greet(event)))

    async def _greet(self, event: Joined) -> None:
        page: Any = await self._client.conversations_history(
            channel=event.channel, limit=LOOKED_AT, include_all_metadata=True
        )
        if any(_greets(message, event.id) for message in page["messages"]):
            return
        await self._client.chat_postMessage(
            channel=event.channel,
            text=escape(self._desk.words_on_joining(event.channel)),
            metadata={"event_type": GREETING, "event_payload": {"id": event.id}},
        )


def _greets(message: Any, event_id: str) -> bool:
    match message.get("metadata"):
        case {"event_type": kind, "event_payload": {"id": about}}:
            return (kind, about) == (GREETING, event_id)
        case _:
            return False
