"""Hooks over a socket, as services post to them: signed, twice, in pieces, and by somebody who has no secret."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from bot.inbox import Inbox
from bot.team.file import Team
from bot.team.hooks import kind_of
from bot.web.hooks.records import Record, Records
from bot.web.hooks.taking import Hook, Hooks, Taker
from bot.web.hooks.way_in import WayIn
from bot.web.server import application, serving
from store.base import Store
from store.events import TriggerReceived
from store.thread import Thread
from tests.channels.hooks.samples import Sample, sample
from tests.channels.hooks.signing import GENERIC, NOW, SECRET, SIGNS
from tests.fakes.clock import Clock
from tests.store.threads import thread_ids

MERGED = """
[hooks.github]
[[hooks.github.on]]
event = "pull_request_merged"
when = { repository = "acme/*", base = "main" }
place = "terminal:merges"
task = "deploy SHA {sha} to live"
"""
GENERIC_HOOK = """
[hooks.generic]
event = "body.type"
signature = { header = "X-Signature", prefix = "sha256=", timestamp = "X-Time" }
"""


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def said(self) -> tuple[int, str]:
        return self.status, str(self.body.get("status", ""))


def hooks_in(text: str) -> dict[str, Hook]:
    tables = Team.model_validate(tomllib.loads(text)).hooks
    found = {}
    for name, table in tables.items():
        kind = kind_of(name, table)
        assert kind, name
        found[name] = Hook(name, table, kind, (SECRET,))
    return found


@dataclass
class Gate:
    """One replica, or several."""

    store: Store
    clock: Clock
    text: str
    takers: Sequence[Taker] = ()
    urls: list[str] = field(default_factory=list)
    turns: Any = field(default_factory=lambda: itertools.count())

    def hooks(self) -> Hooks:
        inbox = Inbox(self.store, clock=self.clock)
        return Hooks(self.store, inbox, hooks_in(self.text), agent="deploy", now=self.clock, takers=self.takers)

    @contextlib.asynccontextmanager
    async def open(self, replicas: int = 1) -> AsyncIterator[Gate]:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(replicas):
                app = application(self.store, None, hooks=WayIn(self.hooks(), self.store))
                self.urls.append(await stack.enter_async_context(serving(app, "127.0.0.1", 0)))
            self.session = await stack.enter_async_context(aiohttp.ClientSession())
            yield self

    async def post(self, hook: str, data: Any, headers: Mapping[str, str]) -> Answer:
        """To one replica after the other."""
        url = self.urls[next(self.turns) % len(self.urls)]
        data = io.BytesIO(data) if isinstance(data, bytes) else data  # in pieces, but with its length
        async with self.session.post(f"{url}/hooks/{hook}", data=data, headers=headers) as it:
            text = await it.text()
            return Answer(it.status, json.loads(text) if text.startswith("{") else {}, it.headers)

    async def deliver(self, it: Sample | str, *, hook: str = "", **headers: str) -> Answer:
        """Signed as its service does."""
        found = it if isinstance(it, Sample) else sample(it)
        signed = SIGNS[found.kind](found.body, SECRET, self.clock())
        return await self.post(hook or found.kind, found.body, {**found.headers, **signed, **headers})

    async def deliver_body(self, kind: str, document: Any, **headers: str) -> Answer:
        return await self.deliver_bytes(kind, json.dumps(document).encode(), **headers)

    async def deliver_bytes(self, kind: str, body: bytes, **headers: str) -> Answer:
        signed = SIGNS[kind](body, SECRET, self.clock())
        return await self.post(kind, body, {"Content-Type": "application/json", **signed, **headers})

    async def threads(self) -> list[Thread]:
        return [await self.store.load(thread_id) for thread_id in await thread_ids(self.store)]

    async def triggers(self) -> list[TriggerReceived]:
        """All that stand in threads."""
        threads = await self.threads()
        return [event for thread in threads for event in thread.events if isinstance(event, TriggerReceived)]

    async def records(self, hook: str) -> list[Record]:
        return await Records(self.store, hook).newest(99)


def clock_at(now: datetime = NOW) -> Clock:
    clock = Clock()
    clock.advance((now - clock()).total_seconds())
    return clock


async def at_once(*posts: Any) -> list[Any]:
    return [*await asyncio.gather(*posts)]


assert GENERIC.signature
