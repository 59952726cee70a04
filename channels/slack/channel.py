"""The way out: posts the agents' messages to Slack.

Slack's API has no idempotency keys, so each post carries our key in its metadata. If a message may have been posted
already (the worker died, the response was lost), the thread is searched for the key before posting again. Cards,
questions and progress are edited in place; their receipt is the ts of the post. A text of several posts is streamed if
Slack allows it (`channels.slack.stream`).

The Slack client must not retry by itself, because that would post twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar, assert_never

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import Channel, SendFailed
from channels.messages import NEW, New, Outgoing, Question, Rewrite, Text, Unanswered, Under, Way
from channels.slack.arrivals import HomeOf, SlackArrivals
from channels.slack.blocks import Post, TooLongToShow
from channels.slack.calls import try_call
from channels.slack.files import sharing_text
from channels.slack.images import Keep
from channels.slack.marks import is_abandoned_stream, mark, parts_in
from channels.slack.place import NAME, address_of, is_user, link_to, place_of, thread_at
from channels.slack.posts import posts_of
from channels.slack.refusals import failure_of
from channels.slack.status import Status
from channels.slack.stream import Reader, Streams
from store.events import Event, MessageReceived
from store.keys import SendKey
from store.status import Turn
from store.values import Person, Place

PAGE = 200
PAGES_MAX = 20
"""Pages of a thread that are searched for a message."""
LOOK_BACK_SECONDS = 60.0
"""Tolerance for Slack's clock running behind ours."""
KNOWN_MAX = 5_000
"""Entries of a cache."""

K = TypeVar("K")
V = TypeVar("V")


class SlackChannel(Channel):
    name = NAME

    def __init__(self, client: AsyncWebClient, keep_image: Keep | None = None, home_of: HomeOf | None = None) -> None:
        """`keep_image`: None if no model looks at images, so nobody needs them. For `home_of` see `SlackArrivals`."""
        self._client = client
        self._arrivals = SlackArrivals(client, keep_image, home_of)
        self._streams = Streams(client)
        self._status = Status(client)
        self._user = self._team = self._url = ""
        self._direct: dict[str, str] = {}
        """The ids of our direct message channels, by user."""
        self._anchors: dict[tuple[Place, str], Place] = {}
        """The new places of threads that this process has begun, by their old place and the first message's receipt."""

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
        address = address_of(place)
        if address is None:
            raise SendFailed(f"{place.address!r} is not a place in Slack.")
        if isinstance(message, Question) and not isinstance(message.state, Unanswered) and isinstance(way, New):
            return ""  # the question never went out
        try:
            posts = posts_of(message, SendKey.parse(key).thread_id, way)
        except TooLongToShow as error:
            raise SendFailed(f"It is too long to be shown in full: {error}") from None
        try:
            channel = await self._direct_channel(address.channel) if address.is_user else address.channel
            match way:
                case Rewrite(receipt):
                    return await self._rewrite(channel, receipt, posts)
                case Under(receipt) if not thread_at(place):
                    return (await self._post(channel, receipt, posts, key, since))[-1]
                case New() | Under() if address.begins_thread:
                    return await self._begin_thread(place, channel, posts, key, since)
                case New() | Under():
                    # In a thread, every message is a reply.
                    is_long = isinstance(message, Text) and len(posts) > 1 and not posts[-1].file
                    reader = self._reader(place, so_far) if is_long else None
                    ts = (await self._post(channel, address.thread, posts, key, since, reader))[-1]
                    self._status.said(place)
                    return ts
        except SlackApiError as error:
            raise failure_of(error) from error
        assert_never(way)

    def place_for(self, person: Person, beside: Place) -> Place | None:
        """Our direct messages with that person."""
        return place_of("", person.address, "") if is_user(person.address) else None

    async def link(self, place: Place) -> str:
        address = address_of(place)
        if address is None or await try_call("auth.test", self._identity()) is False:
            return ""
        return link_to(self._url, address)

    @property
    def reader(self) -> SlackArrivals:
        return self._arrivals

    def covers(self, place: Place, other: Place) -> bool:
        """Whether both are in the same channel, where a second card would be redundant."""
        here, there = address_of(place), address_of(other)
        return here is not None and there is not None and here.channel == there.channel

    def anchored(self, place: Place, receipt: str) -> Place | None:
        return self._anchors.get((place, receipt))

    async def _begin_thread(
        self, place: Place, channel: str, posts: list[Post], key: str, since: datetime | None
    ) -> str:
        """Post the first message of a thread. Its further posts are replies to its first one."""
        _, team = await self._identity()
        (root,) = await self._post(channel, "", posts[:1], key, since)
        rest = await self._post(channel, root, posts[1:], key, since, first=1) if posts[1:] else []
        receipt = [root, *rest][-1]
        _remember(self._anchors, (place, receipt), place_of(team, channel, root))
        return receipt

    async def _direct_channel(self, user: str) -> str:
        """The id of our direct message channel with this user."""
        channel = self._direct.get(user)
        if not channel:
            opened = await self._client.conversations_open(users=user)
            channel = str(opened["channel"]["id"])
            _remember(self._direct, user, channel)
        return channel

    async def _post(
        self,
        channel: str,
        thread: str,
        posts: list[Post],
        key: str,
        since: datetime | None,
        reader: Reader | None = None,
        *,
        first: int = 0,
    ) -> list[str]:
        """Post what was not posted yet; returns the ts of each. `first`: the index of `posts[0]` in the message."""
        sent = await self._already_posted(channel, thread, key, since) if since else {}
        if reader and thread and not sent:
            sent = await self._streams.send(channel, thread, posts, reader, key=key)
        said = []
        for number, post in enumerate(posts, first):
            ts = sent.get(number, "")
            if not ts:
                text = post.text
                if post.file:
                    text = await sharing_text(self._client, post.file, SendKey.parse(key).thread_id)
                answer = await self._client.chat_postMessage(
                    channel=channel,
                    thread_ts=thread or None,
                    text=text,
                    blocks=post.blocks or None,
                    metadata=mark(key, number),
                    unfurl_links=bool(post.file),
                    unfurl_media=bool(post.file),
                )
                ts = str(answer["ts"])
            said.append(ts)
        return said

    def _reader(self, place: Place, so_far: Sequence[Event]) -> Reader | None:
        """The author of the last message, whom the text answers."""
        address = address_of(place)
        said = next((event for event in reversed(so_far) if isinstance(event, MessageReceived)), None)
        if address is None or said is None or not said.sender.address:
            return None
        # Keep the session's status: by default, the end of a stream removes the stop button while the agent works on.
        session = self._status.session(place)
        home, _, user = said.sender.address.rpartition("/")
        return Reader(home or address.team, user, session or None)

    async def _rewrite(self, channel: str, ts: str, posts: list[Post]) -> str:
        """Edit a message. Only the last post is used; of a card, it is the one with the buttons."""
        await self._client.chat_update(channel=channel, ts=ts, text=posts[-1].text, blocks=posts[-1].blocks)
        return ts

    async def _already_posted(self, channel: str, thread: str, key: str, since: datetime) -> dict[int, str]:
        """The ts of each part of the message that was posted already. Deletes abandoned streams."""
        found: dict[int, str] = {}
        left: list[str] = []
        cursor = None
        oldest = f"{since.timestamp() - LOOK_BACK_SECONDS:.6f}"
        for _ in range(PAGES_MAX):
            method = self._client.conversations_replies if thread else self._client.conversations_history
            where = {"channel": channel} | ({"ts": thread} if thread else {})
            page: Any = await method(
                **where, oldest=oldest, limit=PAGE, cursor=cursor, include_all_metadata=True, inclusive=True
            )
            for message in page["messages"]:
                for part in parts_in(message, key):
                    found.setdefault(part, str(message["ts"]))
                if thread and is_abandoned_stream(message) and message.get("user") == (await self._identity())[0]:
                    left.append(str(message["ts"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        # Only one worker serves a thread at a time, so none of these is still being written.
        for ts in dict.fromkeys(left):
            await self._streams.delete(channel, ts)
        return found

    async def _identity(self) -> tuple[str, str]:
        """The ids of our user and our team."""
        if not self._user:
            answer = await self._client.auth_test()
            self._user, self._team = str(answer["user_id"]), str(answer["team_id"])
            self._url = str(answer.get("url") or "")
        return self._user, self._team

    def busy(self, place: Place, doing: str, *, about: str = "") -> None:
        self._status.busy(place, doing, about)

    def at_rest(self, place: Place, turn: Turn) -> None:
        self._status.at_rest(place, turn)

    async def aclose(self) -> None:
        await self._status.aclose()
        await self._arrivals.aclose()


def _remember(known: dict[K, V], key: K, value: V) -> None:
    known[key] = value
    if len(known) > KNOWN_MAX:
        known.pop(next(iter(known)))
