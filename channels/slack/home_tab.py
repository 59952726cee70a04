"""Publishes the App Home of a person: when they open it, and after each click of theirs in it.

The program says what a person may see (`channels.slack.inbound.Desk`), and `channels.slack.home` renders it. Publishing
replaces what was shown, so doing it again does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.calls import BackgroundCalls, try_call
from channels.slack.home import Home, home_view, notice_view
from channels.slack.reading import MessageReader
from store.base import StoreUnavailable
from store.values import Person

log = structlog.get_logger(__name__)


class HomeTab:
    def __init__(
        self,
        client: AsyncWebClient,
        reader: MessageReader,
        home_of: Callable[[Person], Awaitable[Home]] | None,
        background: BackgroundCalls,
    ) -> None:
        """`home_of`: None where nothing is known of threads."""
        self._client = client
        self._reader = reader
        self._home_of = home_of
        self._background = background

    async def show(self, user: str, notice: str = "") -> None:
        """Raises StoreUnavailable."""
        view = notice_view(notice)
        if self._home_of:
            by = await self._reader.person(user, external=False)
            view = home_view(await self._home_of(by), notice)
        await try_call("views.publish", self._client.views_publish(user_id=user, view=view))

    def show_soon(self, user: str, notice: str) -> None:
        """Show it in the background: reading the store may take longer than Slack waits for a click."""
        self._background.start(self._try(user, notice))

    async def _try(self, user: str, notice: str) -> None:
        try:
            await self.show(user, notice)
        except StoreUnavailable as error:
            log.warning("home_not_shown", user=user, error=str(error))
            await try_call("views.publish", self._client.views_publish(user_id=user, view=notice_view(notice)))
