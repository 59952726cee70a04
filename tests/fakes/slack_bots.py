"""Bots and clients that speak to the Slack for tests, by slack_sdk, slack_bolt and raw sockets, and what they send."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SlackServer
from tests.fakes.slack.delivery import Delivery
from tests.patience import PATIENCE_SECONDS

Json = dict[str, Any]
BUTTONS: list[Json] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Deploy *v1.4.2*?"}},
    {
        "type": "actions",
        "block_id": "card",
        "elements": [
            {"type": "button", "action_id": "yes", "value": "p1", "text": {"type": "plain_text", "text": "Approve"}},
            {"type": "button", "action_id": "no", "value": "p1", "text": {"type": "plain_text", "text": "Reject"}},
        ],
    },
]
MODAL: Json = {
    "type": "modal",
    "callback_id": "why",
    "private_metadata": "p1",
    "title": {"type": "plain_text", "text": "Why not?"},
    "submit": {"type": "plain_text", "text": "Reject"},
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text", "max_length": 100},
        }
    ],
}


def text_block(chars: int, kind: str = "section", text: str = "mrkdwn") -> Json:
    return {"type": kind, "text": {"type": text, "text": "x" * chars}}


def button(**fields: Any) -> Json:
    return {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "b"}} | fields


def actions(*elements: Json, **fields: Any) -> Json:
    return {"type": "actions", "elements": list(elements)} | fields


def select(count: int, chars: int = 1) -> Json:
    options = [{"text": {"type": "plain_text", "text": "x" * chars}, "value": str(n)} for n in range(count)]
    return {"type": "static_select", "action_id": "s", "options": options}


def table(rows: int, columns: int = 1, chars: int = 1) -> Json:
    cell = {"type": "raw_text", "text": "x" * chars}
    return {"type": "table", "rows": [[cell] * columns for _ in range(rows)]}


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


class Clock:
    def __init__(self) -> None:
        self.moved_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved_seconds


def client_of(slack: SlackServer, token: str | None = None) -> AsyncWebClient:
    return AsyncWebClient(token=token or slack.bot_token, base_url=slack.api_url)


def channel_id(slack: SlackServer, name: str = "deploys") -> str:
    return slack.workspace.channel(name).id


async def refusal(call: Awaitable[Any]) -> Json:
    """What Slack said no with."""
    with pytest.raises(SlackApiError) as caught:
        await call
    said = caught.value.response.data
    assert isinstance(said, dict)
    return said


@contextlib.asynccontextmanager
async def bolt(slack: SlackServer, listen: Callable[[AsyncApp], None]) -> AsyncIterator[AsyncSocketModeHandler]:
    """A bot of slack_bolt in Socket Mode, connected."""
    app = AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)
    listen(app)
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=0.2)
    before = len(slack.sockets.open)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await slack.connected(before + 1)
    try:
        yield handler
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


def listening(**listeners: Any) -> Callable[[AsyncApp], None]:
    """`listening(app_mention=function)`; all other messages are taken and left alone."""

    async def ignore() -> None:
        return None

    def listen(app: AsyncApp) -> None:
        for event, listener in listeners.items():
            app.event(event)(listener)
        if "message" not in listeners:
            app.event("message")(ignore)

    return listen


@contextlib.asynccontextmanager
async def http_bot(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A bot's Request URL."""
    app = web.Application()
    app.router.add_post("/slack/events", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_socket(slack: SlackServer) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket that acknowledges nothing by itself; its hello has been read."""
    url = (await client_of(slack).apps_connections_open(app_token=slack.app_token))["url"]
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        hello = await ws.receive_json(timeout=PATIENCE_SECONDS)
        assert hello["type"] == "hello"
        await slack.connected(hello["num_connections"])
        yield ws


async def opening(slack: SlackServer, client: AsyncWebClient) -> tuple[Delivery, str]:
    """A click with its trigger, unused."""
    await client.chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
    delivery = await slack.click("ana", slack.messages("deploys")[-1], "no")
    return delivery, str(delivery.payload["trigger_id"])
