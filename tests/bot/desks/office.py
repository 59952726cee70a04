"""A Slack workspace with the agent `ops` in it: everything in one process, over real sockets to the Slack for tests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from agent.authority import AnyoneMay, Authority
from agent.definition import Limits
from agent.loop import Loop
from bot.arrivals import Arrivals
from bot.desks.slack import SlackDesk, home_in
from bot.inbox import Inbox
from bot.team.people import People
from bot.worker import Worker
from channels.slack.channel import SlackChannel
from channels.slack.connection import client_of, identify, listening
from channels.slack.place import place_of
from store.arrivals import ClickArrived
from store.base import Store
from store.events import Event
from store.keys import thread_id_of
from store.memory import MemoryStore
from store.recorded import Recorded
from store.thread import Thread
from store.values import Place
from tests import ROOT
from tests.fakes.slack import Message, SlackServer
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.telling.playbook import Desk, ScriptedModel, ops

MANIFEST = ROOT / "manifest.yml"
_UNHURRIED: dict[str, Any] = {
    "retry_waits_seconds": (0.05, 0.2, 0.5),
    "acknowledge_seconds": PATIENCE_SECONDS,
    "trigger_seconds": PATIENCE_SECONDS,
}

E = TypeVar("E", bound=Recorded)


class Office:
    def __init__(self, slack: SlackServer, store: Store, inbox: Inbox) -> None:
        self.slack = slack
        self.store = store
        self.inbox = inbox
        self.desk = Desk([])
        self.model = ScriptedModel()
        self.client = client_of(slack.bot_token, slack.api_url)
        self.limits = Limits()
        self.callers: frozenset[str] = frozenset()
        self.alerts: Place | None = None
        self.authority: Authority = AnyoneMay()
        self.reads_images = False
        self.people = People()

    @contextlib.asynccontextmanager
    async def listens(self) -> AsyncIterator[None]:
        me, _ = await identify(self.client)
        me = replace(me, callers=self.callers)
        channel = SlackChannel(self.client)
        desk = SlackDesk(
            self.store,
            lambda _: "ops",
            me,
            reads_images=self.reads_images,
            channels={channel.name: channel},
            alerts=self.alerts,
        )
        async with listening(self.client, me, self.inbox, desk, app_token=self.slack.app_token, signing_secret=""):
            await self.slack.connected()
            yield

    @contextlib.asynccontextmanager
    async def works(self) -> AsyncIterator[None]:
        home_of = functools.partial(home_in, self.store, self.people, lambda: datetime.now(UTC))
        channel = SlackChannel(self.client, self.inbox.keep_image if self.reads_images else None, home_of)
        loop = Loop(
            authority=self.authority,
            alerts=self.alerts,
            store=self.store,
            roster={"ops": ops(self.desk, limits=self.limits)},
            channels={channel.name: channel},
            model=self.model,
            clock=lambda: datetime.now(UTC),
            readers=Arrivals(self.inbox, {channel.name: channel.reader}),
        )
        worker = Worker(self.store, loop, grace_seconds=1)
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await working
            await channel.aclose()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with self.listens(), self.works():
            yield

    async def reads_arrivals(self, thread_id: str) -> Thread:
        """The thread, once all that has arrived anywhere is read as a worker reads it. Nothing else is done."""
        arrivals = Arrivals(self.inbox, {"slack": SlackChannel(self.client).reader})
        for each in (*await thread_ids(self.store), thread_id):
            thread = await self.store.load(each)
            while arrived := thread.arrived:
                if isinstance(arrived, ClickArrived):
                    read: Sequence[Event] = [await arrivals.judge(thread, arrived, last_try=True)]
                else:
                    read = await arrivals.events_of(thread, arrived, last_try=True)
                thread = await self.store.append(thread, *read)
        return thread

    async def thread(self, message: Message) -> Thread:
        place = place_of(self.slack.workspace.team_id, message.channel, message.thread or message.ts)
        return await self.store.load(thread_id_of(place))

    async def until(self, message: Message, *statuses: str) -> Thread:
        """The thread of this message when it has one of these states."""
        await self.slack.acknowledged(message)
        thread = await self.thread(message)
        async with asyncio.timeout(PATIENCE_SECONDS):
            if thread.status in statuses and not thread.state.outbox:
                return thread
            async for now in self.store.follow(thread):
                if now.status in statuses and not now.state.outbox:
                    return now
        raise AssertionError

    async def clicks_read(self, message: Message) -> Thread:
        """The thread, once its clicks are judged as a worker does it. Nothing else is done."""
        arrivals = Arrivals(self.inbox, {"slack": SlackChannel(self.client).reader})
        thread = await self.thread(message)
        while isinstance(clicked := thread.arrived, ClickArrived):
            judged = await arrivals.judge(thread, clicked, last_try=True)
            thread = await self.store.append(await self.store.refresh(thread), judged)
        return thread

    async def says(self, text: str, thread: Message) -> Message:
        """The bot's message with these words in that thread, as soon as it is there."""
        return await self.slack.said(text, thread.channel, thread, PATIENCE_SECONDS)

    def of_bot(self, thread: Message) -> list[str]:
        bot = self.slack.workspace.bot.id
        return [self.slack.text_of(m) for m in self.slack.messages(thread.channel, thread) if m.user == bot]


@contextlib.asynccontextmanager
async def new_office(**settings: Any) -> AsyncIterator[Office]:
    store = MemoryStore()
    async with SlackServer.from_manifest(MANIFEST, **(_UNHURRIED | settings)) as slack:
        yield Office(slack, store, Inbox(store))


def kinds(thread: Thread, *wanted: type[E]) -> list[E]:
    return [event for event in thread.events if isinstance(event, wanted)]
