"""Catches up after an absence: fetches the messages for us that were posted or edited while nobody listened.

Slack redelivers events for about an hour at most. Which places are read: the channels in which we are, the direct
messages and the threads that we know. A thread that others began is read if it began at most a day before the absence.
Each message goes the way of an event, under the same id, so one that was received already changes nothing.

What is older than a day is not acted on: who wrote it does not expect that any more. People are told of it instead.

`channels.slack.inbound` decides whether a message is for us, and `channels.slack.absence` which process reads.
Slack's limits: conversations.history and conversations.replies are Tier 3 for internal apps; an app that is distributed
outside the Marketplace gets 15 messages a minute (docs.slack.dev/apis/web-api/rate-limits).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import SendFailed
from channels.slack.absence import Absences
from channels.slack.events import Installation, Payload, Posted, parse_event, text_in
from channels.slack.place import Address, link_to, thread_at
from channels.slack.refusals import CALL_FAILED, failure_of, in_words, is_lasting, is_refusal
from store.base import StoreUnavailable
from store.text import instant
from store.values import Place

log = structlog.get_logger(__name__)

OLD_SECONDS = 86_400.0
"""Older messages are not acted on."""
ROOTS_SECONDS = 86_400.0
"""How long before the absence a thread of others may have begun."""
LOOK_BACK_SECONDS = 7 * 86_400.0
"""Nothing older is looked for."""
OVERLAP_SECONDS = 120.0
"""What was posted shortly before the absence is read too: its event may not have arrived."""
TRIES_MAX = 5
RETRY_SECONDS = 5.0
HOLD_SECONDS = 20.0
"""The claim is renewed so often while Slack asks to wait."""
PAGE = 200
PAGES_MAX = 50
"""Of one channel or thread."""
LINKS_MAX = 10


class Inbound(Protocol):
    """Of `channels.slack.inbound.SlackInbound`."""

    async def is_missed(self, posted: Posted, /) -> bool: ...

    async def receive(self, posted: Posted, /) -> bool: ...


class Desk(Protocol):
    """Of `channels.slack.inbound.Desk`."""

    async def places_to_sweep(self) -> Mapping[Place, str]: ...

    async def direct_messages(self) -> Sequence[str]: ...

    async def tell_of_missed(self, key: str, text: str, authors: Sequence[str], /) -> None: ...


class _ClaimLost(Exception):
    """Another process reads now."""


@dataclass
class _Found:
    since: float
    received: int = 0
    places: int = 0
    failed: int = 0
    """Places that could not be read."""
    old: list[Posted] = field(default_factory=list)
    roots: set[tuple[str, str]] = field(default_factory=set)
    """The first messages that were seen in the history of their channels."""


class Sweep:
    def __init__(
        self, client: AsyncWebClient, me: Installation, inbound: Inbound, desk: Desk, absences: Absences
    ) -> None:
        self._client = client
        self._me = me
        self._inbound = inbound
        self._desk = desk
        self._absences = absences

    async def catch_up(self) -> bool:
        """Read what is to be read, unless another process does. False: something could not be read. Never raises."""
        try:
            since = await self._absences.claim()
            return since is None or await self._read(since)
        except _ClaimLost:
            return True
        except (StoreUnavailable, SendFailed) as error:
            log.warning("sweep_failed", error=str(error))
        except CALL_FAILED as error:
            log.warning("sweep_failed", error=in_words(error))
        except Exception:
            # A bug of ours must not stop the listener.
            log.exception("sweep_failed")
        return False

    async def _read(self, since: float) -> bool:
        found = _Found(max(since, self._absences.now() - LOOK_BACK_SECONDS) - OVERLAP_SECONDS)
        is_whole = False
        try:
            known = await self._desk.places_to_sweep()
            for channel in await self._channels():
                await self._try(found, channel, self._channel(found, channel))
            for place, newest in known.items():
                address = thread_at(place)
                if address and (address.channel, address.thread) not in found.roots:
                    # What came live since we are back says nothing of what came before.
                    after = min(newest, _ts(found.since))
                    await self._try(found, place.address, self._thread(found, address.channel, address.thread, after))
            await self._tell(found, since)
            is_whole = not found.failed
        finally:
            await self._absences.let_go(all_read=is_whole)
        log.info(
            "sweep_done",
            since=_instant(since),
            places=found.places,
            messages=found.received,
            old=len(found.old),
            failed=found.failed,
        )
        return is_whole

    async def _channels(self) -> list[str]:
        """The ids of the channels in which we are, and of the direct messages that we know."""
        joined: list[str] = []
        try:
            types = "public_channel,private_channel"
            pages = self._pages(self._client.users_conversations, types=types, exclude_archived=True)
            async for page in pages:
                joined += [str(channel["id"]) for channel in page["channels"]]
        except SlackApiError as error:
            if not is_lasting(error):
                raise
            log.warning("sweep_failed", error=in_words(error))
        return list(dict.fromkeys([*joined, *await self._desk.direct_messages()]))

    async def _try(self, found: _Found, place: str, reading: Awaitable[None]) -> None:
        received = found.received
        try:
            await reading
        except CALL_FAILED as error:
            log.warning("sweep_failed", place=place, error=in_words(error))
            # Where we are not any more, say, there is nothing to read later either.
            found.failed += not (isinstance(error, SlackApiError) and is_refusal(error))
        found.places += 1
        if new := found.received - received:
            log.info("sweep_found", place=place, messages=new)

    async def _channel(self, found: _Found, channel: str) -> None:
        """What was posted or edited there, and in the threads in which there are new replies."""
        oldest = _ts(found.since - ROOTS_SECONDS)
        kept: list[Payload] = []
        history = self._pages(self._client.conversations_history, channel=channel, oldest=oldest)
        async for page in history:
            found.roots |= {(channel, text_in(message, "ts")) for message in page["messages"]}
            kept += [one for one in page["messages"] if found.since < max(map(_seconds, _times(one)))]
        for message in reversed(kept):
            ts = text_in(message, "ts")
            if _seconds(ts) > found.since or _seconds(_edited(message)) > found.since:
                await self._take(found, channel, message)
            if _seconds(text_in(message, "latest_reply")) > found.since:
                await self._thread(found, channel, ts, _ts(found.since))

    async def _thread(self, found: _Found, channel: str, thread: str, since: str) -> None:
        replies = self._pages(self._client.conversations_replies, channel=channel, ts=thread, oldest=since)
        async for page in replies:
            for message in page["messages"]:
                if text_in(message, "ts") > since and text_in(message, "ts") != thread:
                    await self._take(found, channel, {"thread_ts": thread, **message})

    async def _take(self, found: _Found, channel: str, message: Payload) -> None:
        """Receive it, if it is for us and not known."""
        posted = parse_event({"event": {"type": "message", "channel": channel, **message}}, self._me)
        if not isinstance(posted, Posted) or not await self._inbound.is_missed(posted):
            return
        if self._absences.now() - max(_seconds(posted.ts), _seconds(_edited(message))) > OLD_SECONDS:
            found.old.append(posted)
        else:
            found.received += await self._inbound.receive(posted)

    async def _tell(self, found: _Found, since: float) -> None:
        """Tell people of messages that are too old to act on."""
        if not found.old:
            return
        count = len(found.old)
        links = [link_to(self._me.url, Address(self._me.team, one.channel, one.ts)) for one in found.old]
        lines = [link for link in links if link][:LINKS_MAX]
        more = [f"… and {count - len(lines)} more."] if count > len(lines) else []
        messages = "There was one message" if count == 1 else f"There were {count} messages"
        text = (
            f"{messages} for me in Slack while I was away, since {_instant(since)}, that are older than a day. "
            "I did nothing about them. Whoever still wants an answer, please mention me again."
        )
        authors = list(dict.fromkeys(one.user for one in found.old if not one.program))
        await self._desk.tell_of_missed(f"missed-{since:.0f}", "\n".join([text, *lines, *more]), authors)

    async def _pages(self, method: Callable[..., Awaitable[Any]], **arguments: Any) -> AsyncIterator[Any]:
        """Raises CALL_FAILED when Slack refuses or stays silent, StoreUnavailable, _ClaimLost."""
        cursor = None
        for _ in range(PAGES_MAX):
            page = await self._page(method, limit=PAGE, cursor=cursor, **arguments)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
        log.warning("sweep_failed", place=arguments.get("channel"), error=f"more than {PAGES_MAX} pages")

    async def _page(self, method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:
        tries = 0
        while True:
            await self._hold()
            try:
                return await method(**arguments)
            except SlackApiError as error:
                seconds = failure_of(error).retry_after_seconds
                tries += error.response.status_code != 429
                if is_lasting(error) or seconds is None or tries >= TRIES_MAX:
                    raise
            except CALL_FAILED:
                seconds, tries = RETRY_SECONDS, tries + 1
                if tries >= TRIES_MAX:
                    raise
            await self._wait(seconds)

    async def _wait(self, seconds: float) -> None:
        while seconds > 0:
            await asyncio.sleep(min(seconds, HOLD_SECONDS))
            seconds -= HOLD_SECONDS
            await self._hold()

    async def _hold(self) -> None:
        if not await self._absences.hold():
            raise _ClaimLost


def _times(message: Payload) -> tuple[str, str, str]:
    return text_in(message, "ts"), _edited(message), text_in(message, "latest_reply")


def _edited(message: Payload) -> str:
    """The ts of the last edit; empty: it was not edited."""
    edited = message.get("edited")
    return text_in(edited, "ts") if isinstance(edited, Mapping) else ""


def _seconds(ts: str) -> float:
    try:
        return float(ts or 0)
    except ValueError:
        return 0.0


def _ts(seconds: float) -> str:
    return f"{seconds:.6f}"


def _instant(seconds: float) -> str:
    return instant(datetime.fromtimestamp(seconds, UTC))
