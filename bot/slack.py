"""The desk at which everything ends that people do in Slack. See `channels.slack.adapter.Desk`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.inbox import Inbox, Refused, thread_id_of
from bot.transcript import topic
from channels.base import Earlier
from channels.slack.channel import NAME
from channels.slack.home import Home, HomeItem
from channels.slack.parse import Me
from store.base import Store, UnknownThread
from store.events import ApprovalDecided, Attachment, MessageReceived, Person, Place
from store.thread import Thread

HOME_THREADS_MAX = 60
"""How many of the newest threads App Home looks through."""
HOME_ITEMS_MAX = 10
"""In each of its lists."""
SWEEP_THREADS_MAX = 200
SWEEP_DAYS = 7


@dataclass(frozen=True)
class SlackDesk:
    store: Store
    inbox: Inbox
    agent_of: Callable[[str], str]
    """Which agent answers in a channel."""
    me: Me

    async def mentioned(
        self,
        place: Place,
        sender: Person,
        text: str,
        *,
        event_id: str,
        attachments: tuple[Attachment, ...],
        before: Sequence[Earlier],
    ) -> None:
        agent = self.agent_of(place.address.split("/")[1])
        await self.inbox.message(
            place, sender, text, agent=agent, event_id=event_id, attachments=attachments, before=before
        )

    async def knows(self, place: Place) -> bool:
        return await self.inbox.knows(place)

    async def reply(
        self, place: Place, sender: Person, text: str, *, event_id: str, attachments: tuple[Attachment, ...] = ()
    ) -> bool:
        return await self.inbox.reply(place, sender, text, event_id=event_id, attachments=attachments)

    async def edited(self, place: Place, *, event_id: str, text: str, edit_id: str) -> bool:
        return await self.inbox.edited(place, event_id=event_id, text=text, edit_id=edit_id)

    async def deleted(self, place: Place, *, event_id: str) -> bool:
        return await self.inbox.deleted(place, event_id=event_id)

    async def decided(self, thread_id: str, by: Person, *, approved: bool, comment: str, step: str, digest: str) -> str:
        try:
            settlement = await self.inbox.decide(
                thread_id,
                by,
                approved=approved,
                comment=comment,
                step_id=step,
                digest=digest,
                proof=f"slack {self.me.team}/{by.address}",
            )
        except (Refused, UnknownThread):
            return "There is nothing to decide here any more."
        return "" if settlement.outcome == "settled" else settlement.text

    async def answered(self, thread_id: str, by: Person, *, step: str, text: str, number: int | None) -> str:
        try:
            await self.inbox.answer(thread_id, by, text, step=step, number=-1 if number is None else number)
        except (Refused, UnknownThread):
            return "That question needs no answer any more."
        return ""

    async def stopped(self, place: Place, by: Person) -> None:
        with contextlib.suppress(Refused, UnknownThread):
            await self.inbox.cancel(thread_id_of(place), by, "stopped in Slack")

    async def home_of(self, user: str) -> Home:
        waiting: list[HomeItem] = []
        asked: list[HomeItem] = []
        recent: list[HomeItem] = []
        for thread in await self._newest(HOME_THREADS_MAX):
            people = [e.sender.address for e in thread.events if isinstance(e, MessageReceived)]
            people += [e.by.address for e in thread.events if isinstance(e, ApprovalDecided)]
            if user not in people:
                continue  # it may be held where this person cannot look
            item = self._item(thread)
            if thread.turn == "human":
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

    def _item(self, thread: Thread) -> HomeItem:
        _, channel, ts = thread.place.address.split("/")
        first = next((e for e in thread.events if isinstance(e, MessageReceived)), None)
        link = f"{self.me.url}archives/{channel}/p{ts.replace('.', '')}" if self.me.url else ""
        return HomeItem(
            thread_id=thread.id,
            title=topic(thread),
            status=thread.status.replace("_", " "),
            link=link,
            at=thread.events[-1].at,
            requested_by=first.sender.name if first else "",
        )

    async def _newest(self, limit: int) -> list[Thread]:
        """Of those in Slack."""
        threads = await asyncio.gather(*map(self.store.load, await self.store.recent(limit)))
        return [thread for thread in threads if _is_ours(thread)]

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads of the last days, each with the ts of the newest message that is known."""
        since = datetime.now(UTC) - timedelta(days=SWEEP_DAYS)
        places = {}
        for thread in await self._newest(SWEEP_THREADS_MAX):
            if thread.events[-1].at > since and not thread.state.cancelled:
                known = [e.id.rpartition(":")[2] for e in thread.events if isinstance(e, MessageReceived)]
                newest = max((ts for ts in known if _is_ts(ts)), default="")
                if newest:
                    places[thread.place] = newest
        return places


def _is_ours(thread: Thread) -> bool:
    place = thread.state.place
    return place is not None and place.channel == NAME and place.address.count("/") == 2


def _is_ts(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isdecimal() and part.isdecimal()
