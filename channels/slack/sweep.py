"""Catches up after an absence: fetches the messages for us that were posted or edited while nobody listened.

Slack redelivers events for about an hour at most. Which places are read: the channels in which we are, the direct
messages and the threads that we know. A thread that others began is read if it began at most a day before the absence.
Each message goes the way of an event, under the same id, so one that was received already changes nothing.

What is older than a day is not acted on: who wrote it does not expect that any more. People are told of it instead,
of each place in which more was written than is read, and of there being more channels than are read
(`channels.slack.missed` has the words).

`channels.slack.inbound` decides whether a message is for us, and `channels.slack.absence` which process reads.
Slack's limits: conversations.history and conversations.replies are Tier 3 for internal apps; an app that is distributed
outside the Marketplace gets 15 messages a minute (docs.slack.dev/apis/web-api/rate-limits).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import SendFailed
from channels.slack.absence import Absences
from channels.slack.events import Installation, Payload, Posted, parse_event, text_in
from channels.slack.missed import instant_of, notices_of
from channels.slack.place import Address, thread_at
from channels.slack.refusals import CALL_FAILED, failure_of, in_words, is_lasting, is_refusal
from store.base import StoreUnavailable
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
"""Of one channel or thread, and of the list of channels."""


class Inbound(Protocol):
    """Of `channels.slack.inbound.SlackInbound`."""

    async def is_missed(self, posted: Posted, /) -> bool: ...

    async def receive(self, posted: Posted, /) -> bool: ...


class Desk(Protocol):
    """Of `channels.slack.inbound.Desk`."""

    async def places_to_sweep(self) -> Mapping[Place, str]: ...

    async def direct_messages(self) -> Sequence[str]: ...

    async def tell_of_missed(self, key: str, text: str, otherwise_at: Sequence[Place], /) -> None: ...


class _ClaimLost(Exception):
    """Another process reads now."""


class _PagesLeft(Exception):
    """There are more pages than are read. Those before were yielded."""


@dataclass
class _Found:
    since: float
    received: int = 0
    places: int = 0
    failed: int = 0
    """Places that could not be read."""
    old: list[Posted] = field(default_factory=list)
    cut: list[Address] = field(default_factory=list)
    """Places with more new messages than are read."""
    channels_read: int | None = None
    """We are in more channels than these, which are not read; None: all are."""
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
            for channel in await self._channels(found):
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
            since=instant_of(since),
            places=found.places,
            messages=found.received,
            old=len(found.old),
            cut=len(found.cut),
            failed=found.failed,
        )
        return is_whole

    async def _channels(self, found: _Found) -> list[str]:
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
        except _PagesLeft:
            log.warning("sweep_failed", error=f"more than {PAGES_MAX} pages of channels")
            found.channels_read = len(joined)
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
        reached = math.inf
        try:
            async for page in self._pages(self._client.conversations_history, channel=channel, oldest=oldest):
                found.roots |= {(channel, text_in(message, "ts")) for message in page["messages"]}
                kept += [one for one in page["messages"] if found.since < max(map(_seconds, _times(one)))]
                reached = min([reached, *(_seconds(text_in(message, "ts")) for message in page["messages"])])
        except _PagesLeft:
            log.warning("sweep_failed", place=channel, error=f"more than {PAGES_MAX} pages")
            if reached > found.since:  # Slack's pages go back in time: what was not read is older than what was.
                found.cut.append(Address("", channel, ""))
        for message in reversed(kept):
            ts = text_in(message, "ts")
            if _seconds(ts) > found.since or _seconds(_edited(message)) > found.since:
                await self._take(found, channel, message)
            if _seconds(text_in(message, "latest_reply")) > found.since:
                await self._thread(found, channel, ts, _ts(found.since))

    async def _thread(self, found: _Found, channel: str, thread: str, since: str) -> None:
        replies = self._pages(self._client.conversations_replies, channel=channel, ts=thread, oldest=since)
        try:
            async for page in replies:
                for message in page["messages"]:
                    if text_in(message, "ts") > since and text_in(message, "ts") != thread:
                        await self._take(found, channel, {"thread_ts": thread, **message})
        except _PagesLeft:
            log.warning("sweep_failed", place=f"{channel}/{thread}", error=f"more than {PAGES_MAX} pages")
            found.cut.append(Address(self._me.team, channel, thread))

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
        for notice in notices_of(self._me, since, found.old, found.cut, found.channels_read):
            await self._hold()
            await self._desk.tell_of_missed(notice.key, notice.text, notice.otherwise_at)

    async def _pages(self, method: Callable[..., Awaitable[Any]], **arguments: Any) -> AsyncIterator[Any]:
        """Raises CALL_FAILED when Slack refuses or stays silent, StoreUnavailable, _ClaimLost, _PagesLeft."""
        cursor = None
        for _ in range(PAGES_MAX):
            page = await self._page(method, limit=PAGE, cursor=cursor, **arguments)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
        raise _PagesLeft

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
