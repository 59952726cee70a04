"""Answers queries of the Slack channel: the Home tab, the places to sweep, which agent answers in a channel.

Implements `channels.slack.inbound.Desk`. It reads threads and writes nothing: people's actions go to the inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.team.people import People
from bot.views.transcript import topic
from channels.slack.events import Installation
from channels.slack.home import Home, HomeItem
from channels.slack.place import NAME, Address, address_of, thread_at
from store.base import Store
from store.events import ApprovalDecided, Event, MessageReceived, MessageSent
from store.keys import OutsideId
from store.thread import Thread
from store.values import Person, Place

HOME_THREADS_MAX = 60
"""How many of the newest threads App Home considers."""
HOME_ITEMS_MAX = 10
"""The longest list in it."""
SWEEP_THREADS_MAX = 200
SWEEP_DAYS = 7
"""How far back a sweep for missed messages looks."""


@dataclass(frozen=True)
class SlackDesk:
    store: Store
    agent_in: Callable[[str], str]
    """The agent that answers in a channel."""
    me: Installation
    people: People = field(default_factory=People)

    async def home_of(self, by: Person) -> Home:
        by, user = self.people.identified(by), by.address
        waiting: list[HomeItem] = []
        asked: list[HomeItem] = []
        recent: list[HomeItem] = []
        for thread in await self._newest(HOME_THREADS_MAX):
            if self._may_decide(thread, by):
                waiting.append(self._item(thread))
                continue
            if not _is_ours(thread):
                continue
            people = [e.sender.address for e in thread.events if isinstance(e, MessageReceived)]
            people += [e.by.address for e in thread.events if isinstance(e, ApprovalDecided)]
            if user not in people:
                continue  # This person may have no access to its place.
            item = self._item(thread)
            if thread.turn == "human" and not _has_voted(thread, by):
                waiting.append(item)
            elif people[0] == user:
                asked.append(item)
            else:
                recent.append(item)
        return Home(
            waiting=tuple(waiting[:HOME_ITEMS_MAX]),
            asked=tuple(asked[:HOME_ITEMS_MAX]),
            recent=tuple(recent[:HOME_ITEMS_MAX]),
            more=sum(max(len(items) - HOME_ITEMS_MAX, 0) for items in (waiting, asked, recent)),
        )

    def _may_decide(self, thread: Thread, by: Person) -> bool:
        """Whether a request waits there that this member may decide."""
        request = thread.pending
        if request is None or not by.member or request.has_voted(by):
            return False
        return request.verdict(by, self.people.groups_of(by), datetime.now(UTC), approved=True) == "valid"

    def _item(self, thread: Thread) -> HomeItem:
        at = thread_at(thread.place)
        first = next((e for e in thread.events if isinstance(e, MessageReceived)), None)
        link = f"{self.me.url}archives/{at.channel}/p{at.thread.replace('.', '')}" if self.me.url and at else ""
        return HomeItem(
            thread_id=thread.id,
            title=topic(thread),
            status=thread.status.replace("_", " "),
            link=link,
            at=thread.events[-1].at,
            requested_by=first.sender.name if first else "",
        )

    async def _newest(self, limit: int) -> list[Thread]:
        return await asyncio.gather(*map(self.store.load, await self.store.recent(limit)))

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our recent threads in Slack, each with the ts of the newest known message."""
        since = datetime.now(UTC) - timedelta(days=SWEEP_DAYS)
        places = {}
        for thread in await self._newest(SWEEP_THREADS_MAX):
            if _is_ours(thread) and thread.events[-1].at > since and not thread.state.cancelled:
                newest = max((ts for event in thread.events if _is_ts(ts := _ts_at(thread.place, event))), default="")
                if newest:
                    places[thread.place] = newest
        return places


def _has_voted(thread: Thread, by: Person) -> bool:
    """Whether this person approved the open request, which waits for others."""
    return thread.pending is not None and thread.pending.has_voted(by)


def _is_ours(thread: Thread) -> bool:
    return thread.state.place is not None and thread_at(thread.state.place) is not None


def _address(place: Place) -> Address:
    address = address_of(place)
    assert address is not None, f"{place.address!r} is no place in Slack"
    return address


def _ts_at(place: Place, event: Event) -> str:
    """The ts of the event's message in this Slack thread; empty: none."""
    match event:
        case MessageReceived() if event.origin.get("slack", place.address) == place.address:
            begins = str(OutsideId(NAME, f"{_address(place).channel}:"))
            return event.id.removeprefix(begins) if event.id.startswith(begins) else ""
        case MessageSent() if event.place == place:
            return event.receipt
        case _:
            return ""


def _is_ts(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isdecimal() and part.isdecimal()
