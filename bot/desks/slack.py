"""Answers queries of the Slack channel: the Home tab, the places to sweep, which agent answers in a channel.

Implements `channels.slack.inbound.Desk`. It reads threads and writes nothing: people's actions go to the inbox. It
tells people of messages that came while nobody listened and on which nobody acts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from agent.speech.messages import question
from agent.speech.requests import approval
from bot import listing
from bot.alerts import Alerts
from bot.questions import question_for
from bot.team.people import People
from channels.base import Channel
from channels.slack.events import Installation
from channels.slack.home import Home, HomeItem
from channels.slack.place import NAME, Address, address_of, link_to, thread_at
from store.authority.terms import ANYONE, TEAM
from store.base import NoteStore, Store
from store.deliveries import MessageSent
from store.events import Event, MessageReceived
from store.index import people_of
from store.keys import OutsideId
from store.rows import EVERY_THREAD, Filter, Row
from store.thread import Thread
from store.values import Person, Place

_HELLO = (
    "Hello, I am the agent {agent}. Mention me here and say what you need, for example: “What runs where?” "
    "I answer in a thread, and follow it."
)
HOME_ITEMS_MAX = 10
"""The longest list in App Home."""
HOME_THREADS_MAX = 1_000
"""Among so many threads, the newest, App Home looks for those in which nothing waits for the person."""
SWEEP_DAYS = 7
"""How far back a sweep for missed messages looks."""
DIRECT_MESSAGES_MAX = 200
TOLD_PLACES_MAX = 20


async def home_in(store: Store, people: People, clock: Callable[[], datetime], me: Installation, by: Person) -> Home:
    """What this person may see in their App Home, for whoever answers clicks in it."""
    return await SlackDesk(store, lambda _: "", me, people, clock).home_of(by)


@dataclass(frozen=True)
class SlackDesk:
    store: Store
    agent_in: Callable[[str], str]
    """The agent that answers in a channel."""
    me: Installation
    people: People = field(default_factory=People)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    home_threads_max: int = HOME_THREADS_MAX
    approvers: tuple[str, ...] = ()
    """The groups that the team's rules name."""
    acts_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By agent, what it can do that changes something."""
    reads_images: bool = False
    """Some model of the team looks at images."""
    channels: Mapping[str, Channel] = field(default_factory=dict)
    """Those by which people are told of messages that nobody acts on."""
    alerts: Place | None = None
    """Where they are told; None: each author in private, or in the place of the messages."""

    async def home_of(self, by: Person) -> Home:
        by = self.people.identified(by)
        waiting = {row.id: row async for row in self._waiting_for(by)}
        asked: list[Row] = []
        recent: list[Row] = []
        looked_at = 0
        # Not only their own: to look for those of a person who takes part in few would read the whole index.
        async for row in listing.rows(self.store, EVERY_THREAD):
            if row.channel == NAME and row.id not in waiting and await self._takes_part(row, by.address):
                (asked if row.people[0] == by.address else recent).append(row)
            looked_at += 1
            if looked_at >= self.home_threads_max or min(len(asked), len(recent)) > HOME_ITEMS_MAX:
                break
        newest = sorted(waiting.values(), key=lambda row: row.updated_at, reverse=True)
        return Home(
            waiting=await self._with_what_they_ask(newest[:HOME_ITEMS_MAX], by),
            asked=tuple(map(self._item, asked[:HOME_ITEMS_MAX])),
            recent=tuple(map(self._item, recent[:HOME_ITEMS_MAX])),
            more=max(map(len, (waiting, asked, recent))) > HOME_ITEMS_MAX,
        )

    async def _waiting_for(self, by: Person) -> AsyncIterator[Row]:
        """The newest threads with a request that this member may decide; then their own in which a person is next."""
        groups = frozenset({*self.people.groups_of(by), ANYONE, TEAM})
        found = 0
        if by.member:
            async for row, thread in self._loaded(Filter(groups=groups)):
                if self._may_decide(thread, by):
                    yield row
                    found += 1
                if found > HOME_ITEMS_MAX:
                    break
        found = 0
        async for row in self._taking_part(by.address, Filter(channel=NAME, turn="human")):
            if not row.groups or not _has_voted(await self.store.load(row.id), by):
                yield row
                found += 1
            if found > HOME_ITEMS_MAX:
                break

    async def _with_what_they_ask(self, rows: Sequence[Row], by: Person) -> tuple[HomeItem, ...]:
        """Requests that this person may decide, and questions that were put to them, with all details."""
        threads = {thread.id: thread async for thread in self.store.load_each([row.id for row in rows])}
        items = []
        for row in rows:
            item, thread = self._item(row), threads[row.id]
            if thread.pending and self._may_decide(thread, by):
                item = replace(item, asks=approval(thread, thread.pending))
            elif asked := question_for(thread, by):
                item = replace(item, asks=question(asked.chosen))
            items.append(item)
        return tuple(items)

    async def _taking_part(self, address: str, wanted: Filter) -> AsyncIterator[Row]:
        """The threads in which they wrote or decided: to others of these they may have no access."""
        async for row in listing.rows(self.store, replace(wanted, person=address)):
            if await self._takes_part(row, address):
                yield row

    async def _takes_part(self, row: Row, address: str) -> bool:
        if address in row.people:
            return True
        return row.crowded and address in people_of(await self.store.load(row.id))

    async def _loaded(self, wanted: Filter) -> AsyncIterator[tuple[Row, Thread]]:
        """The threads of a list, newest first, a page of them at a time."""
        async for page in listing.pages(self.store, wanted):
            rows = {row.id: row for row in page}
            async for thread in self.store.load_each(list(rows)):
                yield rows[thread.id], thread

    def _may_decide(self, thread: Thread, by: Person) -> bool:
        """Whether a request waits there that this member may decide."""
        request = thread.pending
        if request is None or not by.member or request.has_voted(by):
            return False
        return request.verdict(by, self.people.groups_of(by), self.clock(), approved=True, way="slack") == "valid"

    def _item(self, row: Row) -> HomeItem:
        at = thread_at(Place(channel=row.channel, address=row.address))
        link = link_to(self.me.url, at) if at else ""
        return HomeItem(
            thread_id=row.id,
            title=row.title,
            status=row.status.replace("_", " "),
            link=link,
            at=row.updated_at,
            requested_by=row.requester[0] if row.requester else "",
        )

    def words_on_joining(self, channel: str) -> str:
        agent = self.agent_in(channel)
        acts = self.acts_of.get(agent, ())
        does = f"I can {', '.join(one.replace('_', ' ') for one in acts)}, and look things up." if acts else ""
        groups = " or ".join(one for one in self.approvers if one not in (ANYONE, TEAM))
        who = f"What needs an approval waits for {groups}." if groups else ""
        return "\n".join(filter(None, (_HELLO.format(agent=agent), does, who)))

    async def threads_not_shown_in(self, channel: str) -> list[str]:
        found = []
        wanted = Filter(channel=NAME, address=f"{self.me.team}/{channel}/")
        async for _, thread in self._loaded(wanted):
            request = thread.pending
            if request and 0 in request.not_shown and 0 not in request.shown_at:
                found.append(thread.id)
        return found

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads in Slack that changed lately, newest first, each with the ts of the newest known message."""
        since = self.clock() - timedelta(days=SWEEP_DAYS)
        places = {}
        async for _, thread in self._loaded(Filter(channel=NAME, changed_after=since)):
            if _is_ours(thread) and not thread.state.cancelled:
                newest = max((ts for event in thread.events if _is_ts(ts := _ts_at(thread.place, event))), default="")
                if newest:
                    places[thread.place] = newest
        return places

    async def direct_messages(self) -> list[str]:
        found: dict[str, None] = {}
        async for row in listing.rows(self.store, Filter(channel=NAME, address=f"{self.me.team}/D")):
            found[_address(Place(channel=NAME, address=row.address)).channel] = None
            if len(found) >= DIRECT_MESSAGES_MAX:
                break
        return list(found)

    async def tell_of_missed(self, key: str, text: str, otherwise_at: Sequence[Place]) -> None:
        places: Sequence[Place | None] = [self.alerts]
        if self.alerts is None and otherwise_at:
            places = otherwise_at[:TOLD_PLACES_MAX]
        for place in places:
            await Alerts(self.channels, place).tell(key, text)

    @property
    def notes(self) -> NoteStore:
        return self.store

    def now(self) -> datetime:
        return self.clock()


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
