"""Shows in a Slack thread that the agent is working. Best effort: nothing waits for it, and it never raises.

It owns the status that this process has set in each thread, and makes at most one call at a time per thread. It
persists nothing and posts no messages.

Sources: docs.slack.dev/reference/methods/assistant.threads.setStatus and agents.sessions.setStatus.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.place import thread_at
from channels.slack.refusals import CALL_FAILED
from store.status import Turn
from store.values import Place

log = structlog.get_logger(__name__)

COURTESY_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class _Shown:
    status: str = ""
    session: str = ""


class Status:
    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._wanted: dict[Place, _Shown] = {}
        self._shown: dict[Place, _Shown] = {}
        """The threads in which this process has set a status."""
        self._calls: dict[Place, asyncio.Task[None]] = {}

    def busy(self, place: Place, doing: str) -> None:
        if thread_at(place):
            self._want(place, _Shown(doing, "processing"))

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
                try:
                    async with asyncio.timeout(COURTESY_SECONDS_MAX):
                        # Only direct messages are agent sessions, with a stop button.
                        if wanted.session != before.session and address.is_direct:
                            await self._client.agents_sessions_setStatus(
                                channel_id=channel, thread_ts=thread, status=wanted.session
                            )
                        if wanted.status != before.status:
                            await self._client.assistant_threads_setStatus(
                                channel_id=channel, thread_ts=thread, status=wanted.status
                            )
                except CALL_FAILED as error:
                    log.debug("status_not_shown", place=place.address, error=str(error)[:200])
                if wanted.status:
                    self._shown[place] = wanted
                else:
                    self._shown.pop(place, None)
        finally:
            self._calls.pop(place, None)

    async def aclose(self) -> None:
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
