"""Tells one person alone what came of a click: where they clicked, also in their App Home.

In the background and without a promise: what was decided is in the log.
"""

from __future__ import annotations

from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.calls import BackgroundCalls, try_call
from channels.slack.clicks import Clicker
from channels.slack.home_tab import HomeTab
from channels.slack.text import escape

CHARS_MAX = 2_000


class Private:
    def __init__(self, client: AsyncWebClient, home: HomeTab, background: BackgroundCalls) -> None:
        self._client = client
        self._home = home
        self._background = background

    def tell(self, clicker: Clicker, text: str) -> None:
        """An empty text only renews what their App Home shows."""
        if clicker.is_at_home:
            self._home.show_soon(clicker.user, text)
        elif text:
            call = self._client.chat_postEphemeral(
                channel=clicker.channel,
                user=clicker.user,
                thread_ts=clicker.thread or None,
                text=escape(text[:CHARS_MAX]),
            )
            self._background.start(try_call("chat.postEphemeral", call))
