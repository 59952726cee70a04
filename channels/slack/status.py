"""Shows in a Slack thread that the agent is working. Best effort: nothing waits for it, and it never raises.

It owns the status that this process has set in each thread, and makes at most one call at a time per thread. It
persists nothing and posts no messages.

Where Slack refuses a status, the message that the agent works on gets a reaction instead. It says that the message was
seen, and stays: one that said "at work" would be wrong for ever after a crash.

Sources: docs.slack.dev/reference/methods/assistant.threads.setStatus, agents.sessions.setStatus and reactions.add.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass, replace

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.place import thread_at
from channels.slack.refusals import CALL_FAILED, is_lasting
from store.status import Turn
from store.values import Place

log = structlog.get_logger(__name__)

COURTESY_SECONDS_MAX = 5.0
SEEN = "eyes"
SEEN_MAX = 5_000
"""Cached messages that have the reaction."""


@dataclass(frozen=True, slots=True)
class _Shown:
    status: str = ""
    session: str = ""
    about: str = ""
    """The message that the agent works on, as `channels.slack.events.Posted.id`; empty: none."""


class Status:
    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._wanted: dict[Place, _Shown] = {}
        self._shown: dict[Place, _Shown] = {}
        """The threads in which this process has set a status."""
        self._calls: dict[Place, asyncio.Task[None]] = {}
        self._seen: dict[str, None] = {}

    def busy(self, place: Place, doing: str, about: str) -> None:
        if thread_at(place):
            self._want(place, _Shown(doing, "processing", about))

    def at_rest(self, place: Place, turn: Turn) -> None:
        if place in self._calls or place in self._shown:
            self._want(place, _Shown("", "suspended" if turn == "human" else "active"))

    def said(self, place: Place) -> None:
        """A message was posted, upon which Slack clears the status by itself."""
        if place in self._shown:
            self._shown[place] = replace(self._shown[place], status="")

    def session(self, place: Place) -> str:
        """The status of the agent session that is set there; empty: none."""
        return self._shown.get(place, _Shown()).session

    def _want(self, place: Place, shown: _Shown) -> None:
        """Only the newest wanted status counts: older ones are dropped while a call is in flight."""
        self._wanted[place] = shown
        if place not in self._calls:
            self._calls[place] = asyncio.create_task(self._show(place), name=f"slack status {place.address}")

    async def _show(self, place: Place) -> None:
        address = thread_at(place)
        assert address is not None, "only an existing thread has a status"
        channel, thread = address.channel, address.thread
        try:
            while wanted := self._wanted.pop(place, None):
                before = self._shown.get(place, _Shown())
                # Slack shows the stop button while the session is processing.
                if wanted.session != before.session:
                    await self._try(
                        place,
                        self._client.agents_sessions_setStatus(
                            channel_id=channel, thread_ts=thread, status=wanted.session
                        ),
                    )
                if wanted.status != before.status:
                    error = await self._try(
                        place,
                        self._client.assistant_threads_setStatus(
                            channel_id=channel, thread_ts=thread, status=wanted.status
                        ),
                    )
                    if error and wanted.status and is_lasting(error):
                        await self._react(place, wanted.about)
                if wanted.status:
                    self._shown[place] = wanted
                else:
                    self._shown.pop(place, None)
        finally:
            self._calls.pop(place, None)

    async def _try(self, place: Place, call: Awaitable[object]) -> BaseException | None:
        """The error, if the call failed."""
        try:
            async with asyncio.timeout(COURTESY_SECONDS_MAX):
                await call
        except CALL_FAILED as error:
            log.debug("status_not_shown", place=place.address, error=str(error)[:200])
            return error
        return None

    async def _react(self, place: Place, about: str) -> None:
        """Once for each message. Slack refuses a second one, so a restart does no harm."""
        channel, _, ts = about.partition(":")
        if not ts or about in self._seen:
            return
        self._seen[about] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))
        await self._try(place, self._client.reactions_add(channel=channel, timestamp=ts, name=SEEN))

    async def aclose(self) -> None:
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
