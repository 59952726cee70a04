"""The Slack for tests, spoken to by the real slack_sdk and slack_bolt over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncSay
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SCOPES, SUBSCRIPTIONS, Installation, NotPossible, SlackServer, View, Workspace
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


class Clock:
    def __init__(self) -> None:
        self.moved_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved_seconds


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    """Events are sent again at once, and after 50 and 100 ms."""
    async with SlackServer(retry_waits_seconds=(0.0, 0.05, 0.1)) as server:
        yield server


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    return client_of(slack)


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


# The Web API


async def test_a_message_is_posted_changed_and_deleted(slack: SlackServer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=channel_id(slack), text="one", blocks=BUTTONS)

    [message] = slack.messages("deploys")
    assert (message.ts, message.text) == (posted["ts"], "one")
    assert slack.text_of(message).splitlines() == ["Deploy *v1.4.2*?", "Approve", "Reject"]
    assert slack.buttons_of(message) == ["Approve", "Reject"]
    assert posted["message"]["blocks"][0]["block_id"]

    await client.chat_update(channel=message.channel, ts=message.ts, text="two")
    assert (slack.now(message).text, slack.buttons_of(slack.now(message))) == ("two", [])
    assert slack.now(message).edited_ts

    await client.chat_delete(channel=message.channel, ts=message.ts)
    assert slack.messages("deploys") == []
    gone = await refusal(client.chat_update(channel=message.channel, ts=message.ts, text="three"))
    assert gone["error"] == "message_not_found"


async def test_metadata_is_told_only_to_who_asks_for_it(slack: SlackServer, client: AsyncWebClient) -> None:
    channel = channel_id(slack)
    root = await client.chat_postMessage(channel=channel, text="root")
    mark = {"event_type": "deploybot", "event_payload": {"id": "m1"}}
    await client.chat_postMessage(channel=channel, text="reply", thread_ts=root["ts"], metadata=mark)

    asked = await client.conversations_replies(channel=channel, ts=root["ts"], include_all_metadata=True)
    assert [(each["text"], each.get("metadata")) for each in asked["messages"]] == [("root", None), ("reply", mark)]
    assert asked["messages"][0]["reply_count"] == 1
    plain = await client.conversations_replies(channel=channel, ts=root["ts"])
    assert "metadata" not in plain["messages"][1]
    history = await client.conversations_history(channel=channel, include_all_metadata=True)
    assert [each["text"] for each in history["messages"]] == ["root"]


async def test_histories_come_in_pages_and_between_bounds(slack: SlackServer, client: AsyncWebClient) -> None:
    channel = channel_id(slack)
    ts = [(await client.chat_postMessage(channel=channel, text=str(number)))["ts"] for number in range(5)]

    texts = [
        [message["text"] for message in page["messages"]]
        async for page in await client.conversations_history(channel=channel, limit=2)
    ]
    assert texts == [["4", "3"], ["2", "1"], ["0"]]

    async def between(**bounds: Any) -> list[str]:
        page = await client.conversations_history(channel=channel, oldest=ts[1], latest=ts[3], **bounds)
        return [message["text"] for message in page["messages"]]

    assert await between() == ["2"]
    assert await between(inclusive=True) == ["3", "2", "1"]
    unknown = await refusal(client.conversations_history(channel=channel, oldest="yesterday"))
    assert unknown["error"] == "invalid_ts_oldest"


async def test_forms_json_and_queries_are_understood(slack: SlackServer) -> None:
    channel = channel_id(slack)
    url, header = slack.api_url + "chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    blocks = [{"type": "divider"}]
    async with aiohttp.ClientSession() as session:
        form = {"token": slack.bot_token, "channel": channel, "text": "form", "blocks": json.dumps(blocks)}
        await session.post(url, data=form)
        await session.post(url, json={"channel": channel, "text": "json", "blocks": blocks}, headers=header)
        await session.get(url, params={"channel": channel, "text": "query"}, headers=header)
    assert [(message.text, len(message.blocks)) for message in slack.messages("deploys")] == [
        ("form", 1),
        ("json", 1),
        ("query", 0),
    ]


def test_a_timestamp_is_given_once_even_when_the_clock_stands_still() -> None:
    workspace = Workspace(clock=lambda: 1_790_000_000.0)
    assert [workspace.new_ts() for _ in range(2)] == ["1790000000.000000", "1790000000.000001"]


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


PAIRS: dict[str, tuple[list[Json], list[Json]]] = {
    "50 blocks": ([{"type": "divider"}] * 50, [{"type": "divider"}] * 51),
    "section of 3,000": ([text_block(3000)], [text_block(3001)]),
    "header of 150": ([text_block(150, "header", "plain_text")], [text_block(151, "header", "plain_text")]),
    "header in plain text": ([text_block(5, "header", "plain_text")], [text_block(5, "header")]),
    "10 fields": (
        [{"type": "section", "fields": [text_block(9)["text"]] * 10}],
        [{"type": "section", "fields": [text_block(9)["text"]] * 11}],
    ),
    "field of 2,000": (
        [{"type": "section", "fields": [text_block(2000)["text"]]}],
        [{"type": "section", "fields": [text_block(2001)["text"]]}],
    ),
    "25 actions": (
        [actions(*(button(action_id=str(n)) for n in range(25)))],
        [actions(*(button(action_id=str(n)) for n in range(26)))],
    ),
    "10 in a context": (
        [{"type": "context", "elements": [text_block(9)["text"]] * 10}],
        [{"type": "context", "elements": [text_block(9)["text"]] * 11}],
    ),
    "button of 75": (
        [actions(button(text={"type": "plain_text", "text": "x" * 75}))],
        [actions(button(text={"type": "plain_text", "text": "x" * 76}))],
    ),
    "value of 2,000": ([actions(button(value="x" * 2000))], [actions(button(value="x" * 2001))]),
    "action_id of 255": ([actions(button(action_id="x" * 255))], [actions(button(action_id="x" * 256))]),
    "block_id of 255": ([actions(button(), block_id="x" * 255)], [actions(button(), block_id="x" * 256)]),
    "unique block_id": (
        [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "b"}],
        [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}],
    ),
    "known type": ([{"type": "divider"}], [{"type": "separator"}]),
    "100 options": ([actions(select(100))], [actions(select(101))]),
    "option of 75": ([actions(select(1, 75))], [actions(select(1, 76))]),
    "markdown of 12,000": ([{"type": "markdown", "text": "x" * 12000}], [{"type": "markdown", "text": "x" * 12001}]),
    "one table": ([table(2)], [table(2), table(2)]),
    "table of 100 rows": ([table(100)], [table(101)]),
    "table of 20 columns": ([table(1, 20)], [table(1, 21)]),
    "table of 10,000 characters": ([table(2, 1, 5000)], [table(2, 1, 5001)]),
    "cells with text": ([table(1, 1, 1)], [table(1, 1, 0)]),
    "rich text with text": ([rich({"type": "text", "text": "x"})], [rich({"type": "text", "text": ""})]),
    "rich text of known parts": ([rich({"type": "emoji", "name": "x"})], [rich({"type": "smiley", "name": "x"})]),
    "section with text": ([text_block(1)], [{"type": "section"}]),
    "section text not empty": ([text_block(1)], [text_block(0)]),
}


@pytest.mark.parametrize("name", PAIRS)
async def test_blocks_are_taken_up_to_a_limit_and_refused_beyond(
    slack: SlackServer, client: AsyncWebClient, name: str
) -> None:
    good, bad = PAIRS[name]
    await client.chat_postMessage(channel=channel_id(slack), text="x", blocks=good)
    said = await refusal(client.chat_postMessage(channel=channel_id(slack), text="x", blocks=bad))
    assert said["error"] == "invalid_blocks"
    assert "[json-pointer:/blocks" in said["response_metadata"]["messages"][0]
    assert len(slack.messages("deploys")) == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"blocks": [text_block(2700) for _ in range(5)], "text": "x"}, "msg_blocks_too_long"),
        ({"blocks": "[1]"}, "invalid_blocks_format"),
        ({"blocks": "not json"}, "invalid_blocks_format"),
        ({"markdown_text": "x", "text": "x"}, "markdown_text_conflict"),
        ({"text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_format"),
        ({"text": "x", "metadata": {"event_type": "", "event_payload": {}}}, "invalid_metadata_format"),
        ({"text": "x", "thread_ts": "1.2"}, "thread_not_found"),
    ],
)
async def test_a_message_that_cannot_be_is_refused(
    slack: SlackServer, client: AsyncWebClient, arguments: Json, error: str
) -> None:
    call = client.api_call("chat.postMessage", json={"channel": channel_id(slack), **arguments})
    assert (await refusal(call))["error"] == error
    assert slack.messages("deploys") == []


async def test_channels_are_open_to_members(slack: SlackServer, client: AsyncWebClient) -> None:
    async def error(name: str) -> str | None:
        call = client.chat_postMessage(channel=name, text="x")
        with contextlib.suppress(SlackApiError):
            await call
        return slack.calls[-1].error

    private = slack.workspace.add_channel("hr", kind="private", members=("ana",))
    assert await error("C404") == "channel_not_found"
    assert await error(channel_id(slack, "random")) == "not_in_channel"
    assert await error(private.id) == "channel_not_found"
    slack.workspace.change_channel("deploys", archived=True)
    assert await error(channel_id(slack)) == "is_archived"
    await slack.join("random", slack.workspace.bot)
    assert await error(channel_id(slack, "random")) is None
    assert await error(slack.workspace.user("ana").id) is None
    assert [message.text for message in slack.messages(slack.workspace.im("ana"))] == ["x"]


async def test_tokens_methods_and_scopes_are_checked(slack: SlackServer, client: AsyncWebClient) -> None:
    channel = channel_id(slack)
    assert (await refusal(client_of(slack, "xoxb-wrong").auth_test()))["error"] == "invalid_auth"
    assert (await refusal(client_of(slack, slack.app_token).auth_test()))["error"] == "not_allowed_token_type"
    assert (await refusal(client.apps_connections_open(app_token=slack.bot_token)))["error"] == "not_allowed_token_type"
    assert (await refusal(AsyncWebClient(base_url=slack.api_url).auth_test()))["error"] == "not_authed"
    assert (await refusal(client.api_call("chat.shout")))["error"] == "unknown_method"

    header = (await client.auth_test()).headers["X-OAuth-Scopes"]
    assert set(header.split(",")) == SCOPES
    slack.scopes.discard("chat:write")
    said = await refusal(client.chat_postMessage(channel=channel, text="x"))
    assert (said["error"], said["needed"]) == ("missing_scope", "chat:write")
    assert "users:read" in said["provided"]
    slack.scopes.discard("channels:history")
    assert (await refusal(client.conversations_history(channel=channel)))["needed"] == "channels:history"


async def test_blocks_are_validated_without_being_posted(slack: SlackServer, client: AsyncWebClient) -> None:
    assert (await client.blocks_validate(blocks=BUTTONS))["ok"]
    said = await refusal(client.blocks_validate(blocks=[text_block(3001)]))
    assert said["error"] == "invalid_blocks"
    assert said["errors"][0]["pointer"] == "/blocks/0/text/text"
    assert (await refusal(client.blocks_validate(view={"type": "panel"})))["error"] == "invalid_view"
    assert (await refusal(client.blocks_validate()))["error"] == "invalid_arguments"
    assert slack.messages("deploys") == []


async def test_channels_are_described_and_listed_when_the_scopes_allow_it(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    assert (await refusal(client.conversations_info(channel=channel_id(slack))))["needed"] == "channels:read"
    slack.scopes |= {"channels:read", "groups:read", "im:read", "mpim:write"}
    info = await client.conversations_info(channel=channel_id(slack), include_num_members=True)
    assert (info["channel"]["name"], info["channel"]["is_member"], info["channel"]["num_members"]) == (
        "deploys",
        True,
        3,
    )
    listed = await client.conversations_list(types="public_channel,private_channel")
    assert {channel["name"] for channel in listed["channels"]} == {"deploys", "random", "secrets"}
    ana, ben = (slack.workspace.user(name).id for name in ("ana", "ben"))
    group = await client.conversations_open(users=[ana, ben])
    again = await client.conversations_open(users=[ben, ana])
    assert group["channel"]["id"] == again["channel"]["id"]
    assert slack.workspace.channel(group["channel"]["id"]).kind == "mpim"


async def test_a_broadcast_reply_is_in_the_channels_history(slack: SlackServer, client: AsyncWebClient) -> None:
    root = await slack.say("deploys", "ana", "root")
    reply = await client.chat_postMessage(channel=root.channel, thread_ts=root.ts, text="all", reply_broadcast=True)
    history = await client.conversations_history(channel=root.channel)
    assert [message["ts"] for message in history["messages"]] == [reply["ts"], root.ts]
    link = (await client.chat_getPermalink(channel=root.channel, message_ts=reply["ts"]))["permalink"]
    assert f"thread_ts={root.ts}" in link
    assert slack.deliveries.all[-1].type == "message.thread_broadcast"


async def test_people_are_found_and_their_addresses_are_a_scope(slack: SlackServer, client: AsyncWebClient) -> None:
    ana = slack.workspace.user("ana")
    assert (await client.users_lookupByEmail(email="ANA@example.com"))["user"]["id"] == ana.id
    assert (await refusal(client.users_lookupByEmail(email="eve@example.com")))["error"] == "users_not_found"
    assert (await refusal(client.users_info(user="U404")))["error"] == "user_not_found"
    assert (await client.users_info(user=ana.id))["user"]["profile"]["email"] == "ana@example.com"
    slack.scopes.discard("users:read.email")
    assert "email" not in (await client.users_info(user=ana.id))["user"]["profile"]
    assert (await refusal(client.users_lookupByEmail(email="ana@example.com")))["error"] == "missing_scope"
    assert len((await client.users_list())["members"]) == 3


async def test_slack_says_whether_an_address_is_confirmed(slack: SlackServer, client: AsyncWebClient) -> None:
    workspace = slack.workspace
    workspace.change_user("ben", email_confirmed=False)
    told: list[Any] = [await client.users_info(user=user.id) for user in workspace.users.values()]
    assert [(one["user"]["name"], one["user"]["is_email_confirmed"]) for one in told] == [
        ("deploybot", False),
        ("ana", True),
        ("ben", False),
    ]


async def test_nobody_who_is_gone_is_written_to(slack: SlackServer, client: AsyncWebClient) -> None:
    gone = slack.workspace.change_user("ben", deleted=True)
    assert (await refusal(client.conversations_open(users=gone.id)))["error"] == "user_disabled"


async def test_a_reply_tells_whose_message_it_stands_under(slack: SlackServer, client: AsyncWebClient) -> None:
    deploys, bot = slack.workspace.channel("deploys"), slack.workspace.bot
    posted: Any = await client.chat_postMessage(channel=deploys.id, text="Good morning.")
    reply = await slack.say("deploys", "ana", "good morning", posted["ts"])
    edited = await slack.edit(reply, "hello")
    await slack.delete(edited)
    events = [delivery.payload["event"] for delivery in slack.deliveries.all if delivery.about[1] == reply.ts]
    said, changed, deleted = events
    assert said["parent_user_id"] == bot.id
    assert changed["message"]["parent_user_id"] == bot.id
    assert deleted["previous_message"]["parent_user_id"] == bot.id


async def test_a_dm_is_opened_and_reactions_are_counted(slack: SlackServer, client: AsyncWebClient) -> None:
    opened = await client.conversations_open(users=[slack.workspace.user("ana").id])
    said = await slack.dm("ana", "hello")
    assert opened["channel"]["id"] == said.channel

    await client.reactions_add(channel=said.channel, timestamp=said.ts, name="eyes")
    again = client.reactions_add(channel=said.channel, timestamp=said.ts, name="eyes")
    assert (await refusal(again))["error"] == "already_reacted"
    assert slack.now(said).reactions == (("eyes", (slack.workspace.bot.id,)),)
    await client.reactions_remove(channel=said.channel, timestamp=said.ts, name="eyes")
    assert slack.now(said).reactions == ()


async def test_a_file_is_downloaded_with_the_bots_token_only(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.scopes.add("files:read")
    shared = await slack.upload("deploys", "ana", "build.log", b"all green", "look")
    assert shared.subtype == "file_share"
    file = (await client.files_info(file=shared.files[0].id))["file"]
    async with aiohttp.ClientSession() as session:
        good = await session.get(file["url_private"], headers={"Authorization": f"Bearer {slack.bot_token}"})
        assert await good.read() == b"all green"
        bad = await session.get(file["url_private"])
        assert (bad.status, bad.content_type) == (200, "text/html")


async def test_an_ephemeral_message_is_seen_by_one_person_and_is_in_no_history(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    channel, ana = channel_id(slack), slack.workspace.user("ana").id
    await client.chat_postEphemeral(channel=channel, user=ana, text="psst", blocks=BUTTONS)
    [message] = slack.messages("deploys")
    assert message.visible_to == ana
    assert (await client.conversations_history(channel=channel))["messages"] == []
    with pytest.raises(NotPossible):
        await slack.click("ben", message, "Approve")


async def test_a_stream_grows_until_a_person_stops_it(slack: SlackServer, client: AsyncWebClient) -> None:
    asked = await slack.mention("deploys", "ana", "go")
    whom: Json = {"recipient_user_id": asked.user, "recipient_team_id": slack.workspace.team_id}
    with pytest.raises(NotPossible):
        await slack.stop_session("ana", "deploys", asked)
    stream = await client.chat_startStream(channel=asked.channel, thread_ts=asked.ts, markdown_text="a", **whom)
    await client.chat_appendStream(channel=asked.channel, ts=stream["ts"], markdown_text="b")
    assert slack.session_status("deploys", asked) == "processing"

    stopped = await slack.stop_session("ana", "deploys", asked)

    assert stopped
    assert stopped.event["streaming_message_ts"] == [stream["ts"]]
    more = client.chat_appendStream(channel=asked.channel, ts=stream["ts"], markdown_text="c")
    assert (await refusal(more))["error"] == "stopped_by_user"
    assert slack.messages("deploys", asked)[-1].text == "ab"
    await client.assistant_threads_setStatus(channel_id=asked.channel, thread_ts=asked.ts, status="is thinking…")
    assert slack.typing_in(asked.channel, asked.ts) == "is thinking…"
    wrong = client.agents_sessions_setStatus(channel_id=asked.channel, thread_ts=asked.ts, status="asleep")
    assert (await refusal(wrong))["error"] == "invalid_status"

    other = await client.chat_startStream(channel=asked.channel, thread_ts=asked.ts, markdown_text="1", **whom)
    await client.chat_stopStream(channel=asked.channel, ts=other["ts"], markdown_text="2", session_status="active")
    assert slack.messages("deploys", asked)[-1].text == "12"
    assert slack.typing_in(asked.channel, asked.ts) == ""
    assert slack.session_status("deploys", asked) == "active"


def blocks_chunk(count: int, text: str = "x") -> Json:
    return {"type": "blocks", "blocks": [rich({"type": "text", "text": text})] * count}


async def test_a_stream_begins_in_a_thread_and_is_for_somebody(slack: SlackServer, client: AsyncWebClient) -> None:
    asked = await slack.mention("deploys", "ana", "go")
    said = await slack.dm("ana", "go")
    team = slack.workspace.team_id

    async def refused(**others: Any) -> str:
        call = {"channel": asked.channel, "thread_ts": asked.ts, "chunks": [blocks_chunk(1)]} | others
        return str((await refusal(client.api_call("chat.startStream", json=call)))["error"])

    assert await refused() == "missing_recipient_user_id"
    assert await refused(recipient_user_id=asked.user) == "missing_recipient_team_id"
    assert await refused(recipient_user_id="U0NOBODY", recipient_team_id=team) == "user_not_found"
    assert await refused(recipient_user_id=asked.user, recipient_team_id="T0OTHER") == "team_not_found"
    assert await refused(recipient_user_id=asked.user, recipient_team_id=team, thread_ts="") == "invalid_thread_ts"
    assert await refused(channel=channel_id(slack, "random")) == "not_in_channel"
    assert len(slack.messages("deploys")) == 1
    slack.scopes.remove("chat:write")
    assert await refused() == "missing_scope"
    slack.scopes.add("chat:write")
    slack.fail("chat.startStream", retry_after_seconds=1)
    assert await refused() == "ratelimited"
    await client.chat_startStream(channel=said.channel, thread_ts=said.ts)
    assert slack.session_status(said.channel, said) == "processing"


async def test_a_stream_of_blocks_keeps_them_in_order_and_says_whose_it_is_at_its_end(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    said = await slack.dm("ana", "go")
    mark = {"event_type": "mine", "event_payload": {"key": "k"}}

    async def in_thread() -> Json:
        answer = await client.conversations_replies(channel=said.channel, ts=said.ts, include_all_metadata=True)
        return answer["messages"][-1]  # type: ignore[no-any-return]

    begun = await client.chat_startStream(channel=said.channel, thread_ts=said.ts, chunks=[blocks_chunk(1, "<1>")])
    where: Json = {"channel": said.channel, "ts": begun["ts"]}
    unfinished = await in_thread()
    assert unfinished["streaming_state"] == "in_progress"
    assert "metadata" not in unfinished
    assert unfinished["text"] == "&lt;1&gt;"
    await client.chat_appendStream(**where, chunks=[blocks_chunk(1, "2")])
    stopped = await client.chat_stopStream(**where, chunks=[blocks_chunk(1, "3")], blocks=BUTTONS, metadata=mark)
    finished = await in_thread()
    assert finished["streaming_state"] == "completed"
    assert finished["metadata"] == stopped["message"]["metadata"] == mark
    assert slack.text_of(slack.messages(said.channel, said)[-1]).startswith("<1>\n2\n3\nDeploy *v1.4.2*?\n")
    assert slack.session_status(said.channel, said) == "active"


async def test_an_open_stream_can_only_grow_and_a_closed_one_cannot(slack: SlackServer, client: AsyncWebClient) -> None:
    said = await slack.dm("ana", "go")
    begun = await client.chat_startStream(channel=said.channel, thread_ts=said.ts, chunks=[blocks_chunk(1)])
    where: Json = {"channel": said.channel, "ts": begun["ts"]}
    assert (await refusal(client.chat_update(**where, text="x")))["error"] == "streaming_state_conflict"
    assert (await refusal(client.chat_delete(**where)))["error"] == "cant_delete_message"
    await client.chat_stopStream(**where)
    for call in (client.chat_appendStream(**where, chunks=[blocks_chunk(1)]), client.chat_stopStream(**where)):
        assert (await refusal(call))["error"] == "message_not_in_streaming_state"
    await client.chat_update(**where, text="x")
    await client.chat_delete(**where)
    assert (await refusal(client.chat_stopStream(**where)))["error"] == "message_not_found"
    theirs = client.chat_appendStream(channel=said.channel, ts=said.ts, chunks=[blocks_chunk(1)])
    assert (await refusal(theirs))["error"] == "message_not_owned_by_app"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "markdown_text_or_chunks_required"),
        ({"markdown_text": "x"}, "streaming_mode_mismatch"),
        ({"markdown_text": "x", "chunks": [blocks_chunk(1)]}, "cannot_provide_both_markdown_text_and_chunks"),
        ({"chunks": {"type": "blocks"}}, "invalid_chunks"),
        ({"chunks": [{"type": "picture"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "blocks"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "blocks", "blocks": [{"type": "nonsense"}]}]}, "invalid_blocks"),
        ({"chunks": [blocks_chunk(51)]}, "msg_blocks_too_many"),
        ({"chunks": [blocks_chunk(1, "x" * 13_201)]}, "msg_blocks_too_long"),
        ({"chunks": [{"type": "markdown_text", "text": "x" * 12_001}]}, "msg_too_long"),
    ],
)
async def test_what_a_stream_does_not_take_is_refused(
    slack: SlackServer, client: AsyncWebClient, arguments: Json, error: str
) -> None:
    said = await slack.dm("ana", "go")
    begun = await client.chat_startStream(channel=said.channel, thread_ts=said.ts, chunks=[blocks_chunk(1)])
    call = {"channel": said.channel, "ts": begun["ts"], **arguments}
    assert (await refusal(client.api_call("chat.appendStream", json=call)))["error"] == error
    assert len(slack.messages(said.channel, said)[-1].blocks) == 1


async def test_a_stream_drops_what_is_more_than_fifty_blocks_and_takes_as_many_at_its_end(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    said = await slack.dm("ana", "go")
    begun = await client.chat_startStream(channel=said.channel, thread_ts=said.ts, chunks=[blocks_chunk(30)])
    where: Json = {"channel": said.channel, "ts": begun["ts"]}
    warned = await client.chat_appendStream(**where, chunks=[blocks_chunk(30)])
    assert warned["response_metadata"]["warnings"]
    assert len(slack.messages(said.channel, said)[-1].blocks) == 50
    too_many = client.chat_stopStream(**where, blocks=blocks_chunk(51)["blocks"])
    assert (await refusal(too_many))["error"] == "invalid_blocks"
    await client.chat_stopStream(**where, blocks=blocks_chunk(50)["blocks"])
    assert len(slack.messages(said.channel, said)[-1].blocks) == 100


async def test_a_channel_takes_one_message_a_second_when_that_is_enforced() -> None:
    async with SlackServer(posts_per_second=5, posts_burst=1) as slack:
        client, channel = client_of(slack), channel_id(slack)
        await client.chat_postMessage(channel=channel, text="1")
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel=channel, text="2")
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "1"
        await client.chat_postMessage(channel=channel_id(slack, "secrets"), text="elsewhere")

        client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
        slack.fail("auth.test", retry_after_seconds=0)
        assert (await client.auth_test())["ok"]
        assert [call.status for call in slack.calls_of("auth.test")] == [429, 200]


# Faults


async def test_a_fault_before_the_effect_leaves_nothing(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.fail("chat.postMessage", "internal_error", times=2)
    slack.fail("chat.postMessage", status=503, body=b"<html>", when=lambda arguments: arguments["text"] == "page")
    for _ in range(2):
        said = await refusal(client.chat_postMessage(channel=channel_id(slack), text="x"))
        assert said["error"] == "internal_error"
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=channel_id(slack), text="page")
    assert slack.messages("deploys") == []
    await client.chat_postMessage(channel=channel_id(slack), text="x")
    assert len(slack.messages("deploys")) == 1


async def test_a_fault_after_the_effect_leaves_a_message_that_the_bot_does_not_know_of(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    fault = slack.fail("chat.postMessage", "internal_error", after_effect=True)
    await refusal(client.chat_postMessage(channel=channel_id(slack), text="x"))
    assert [message.text for message in slack.messages("deploys")] == ["x"]
    assert (fault.met, slack.calls[-1].ok) == (1, False)


async def test_after_a_cut_connection_slack_sdk_posts_a_second_time_by_itself(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    slack.fail("chat.postMessage", cut=True, after_effect=True)
    await client.chat_postMessage(channel=channel_id(slack), text="x")
    assert [message.text for message in slack.messages("deploys")] == ["x", "x"]

    careful = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    slack.fail("chat.postMessage", cut=True, after_effect=True)
    with pytest.raises(aiohttp.ClientError):
        await careful.chat_postMessage(channel=channel_id(slack), text="y")
    assert [message.text for message in slack.messages("deploys")] == ["x", "x", "y"]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_caller_can_be_stopped_right_before_or_after_the_effect(
    slack: SlackServer, client: AsyncWebClient, after_effect: bool
) -> None:
    gate = slack.hold("chat.postMessage", after_effect=after_effect)
    calling = asyncio.ensure_future(client.chat_postMessage(channel=channel_id(slack), text="x"))
    assert (await gate.reached())["text"] == "x"
    assert len(slack.messages("deploys")) == int(after_effect)
    assert not calling.done()

    calling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await calling
    await gate.abandoned()
    gate.release()
    await client.chat_postMessage(channel=channel_id(slack), text="y")
    texts = ["x", "y"] if after_effect else ["y"]
    assert [message.text for message in slack.messages("deploys")] == texts


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command)


def kill(bot: subprocess.Popen[bytes]) -> None:
    """Without a turn of the event loop: the server has no moment to notice by itself."""
    bot.kill()
    bot.wait()


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_bots_process_can_be_killed_right_before_or_after_the_effect(
    slack: SlackServer, after_effect: bool
) -> None:
    post = "import asyncio, sys; from slack_sdk.web.async_client import AsyncWebClient as Client; "
    post += "url, token, channel = sys.argv[1:]; client = Client(token=token, base_url=url); "
    post += "asyncio.run(client.chat_postMessage(channel=channel, text='x'))"
    async with slack.hold("chat.postMessage", after_effect=after_effect) as gate:
        bot = start(sys.executable, "-c", post, slack.api_url, slack.bot_token, channel_id(slack))
        await gate.reached()
        kill(bot)
    # The gate opened at once: that the bot is gone is seen, not waited for.
    await slack.wait_for(lambda: slack.calls[-1].status == 0)
    assert [message.text for message in slack.messages("deploys")] == ["x"] * after_effect


async def test_waiting_in_vain_tells_what_there_was(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=channel_id(slack), text="something else")
    with pytest.raises(TimeoutError, match=r"chat.postMessage.*something else"):
        await slack.said("hello", seconds=0.05)


# Events by HTTP


async def test_deliveries_are_signed_and_bolt_takes_them(slack: SlackServer) -> None:
    app = AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)

    async def answer(event: Json, say: AsyncSay) -> None:
        await say(text=f"you said {event['text']}", thread_ts=event["ts"])

    async def pressed(ack: AsyncAck, body: Json, say: AsyncSay) -> None:
        await ack()
        await say(text=f"pressed {body['actions'][0]['value']}")

    listening(app_mention=answer)(app)
    app.action("yes")(pressed)
    bodies: list[tuple[str, dict[str, str]]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        bodies.append((await request.text(), dict(request.headers)))
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async with http_bot(handle) as url:
        slack.http_target = url
        assert await slack.verify_url()
        asked = await slack.mention("deploys", "ana", "hi")
        await slack.said("you said", thread=asked)
        await slack.acknowledged(asked)
        await client_of(slack).chat_postMessage(channel=asked.channel, text="card", blocks=BUTTONS)
        await slack.acknowledged(await slack.click("ana", slack.messages("deploys")[-1], "Approve"))
        await slack.said("pressed p1")

        verify = SignatureVerifier(slack.signing_secret).is_valid_request
        assert all(verify(body, headers) for body, headers in bodies)
        assert not verify(bodies[0][0] + " ", bodies[0][1])
        assert any(body.startswith("payload=") for body, _ in bodies)

        slack.signing_secret = "another"
        forged = await slack.open_home("ana")
        assert forged
        await slack.wait_for(lambda: forged.state == "failed")
        assert {attempt.status for attempt in forged.attempts} == {401}


async def test_what_is_not_answered_in_time_is_delivered_again_and_then_given_up(slack: SlackServer) -> None:
    slack.acknowledge_seconds = 0.5
    seen: list[tuple[str | None, str | None, str]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        number = request.headers.get("X-Slack-Retry-Num")
        seen.append((number, request.headers.get("X-Slack-Retry-Reason"), (await request.json())["event_id"]))
        if number is None:
            await asyncio.Event().wait()
        return web.Response(status=500)

    async with http_bot(handle) as url:
        slack.http_target = url
        delivery = await slack.open_home("ana")
        assert delivery
        await slack.wait_for(lambda: delivery.state == "failed")

    assert [(number, reason) for number, reason, _ in seen] == [
        (None, None),
        ("1", "http_timeout"),
        ("2", "http_error"),
        ("3", "http_error"),
    ]
    assert {event_id for _, _, event_id in seen} == {delivery.event_id}
    assert [attempt.outcome for attempt in delivery.attempts] == ["http_timeout"] + ["http_error"] * 3

    later = await slack.open_home("ana")
    assert later
    await slack.wait_for(lambda: later.state == "failed")
    assert later.attempts[-1].outcome == "connection_failed"


# Socket Mode


async def test_a_mention_comes_as_two_events_with_one_ts(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        asked = await slack.mention("deploys", "ana", "a < b & <@U1>")
        frames = [await ws.receive_json(timeout=PATIENCE_SECONDS) for _ in range(2)]
        for frame in frames:
            await ws.send_json({"envelope_id": frame["envelope_id"]})
        await slack.acknowledged(asked)

    events = {frame["payload"]["event"]["type"]: frame["payload"]["event"] for frame in frames}
    assert events.keys() == {"app_mention", "message"}
    assert {event["ts"] for event in events.values()} == {asked.ts}
    assert len({frame["payload"]["event_id"] for frame in frames}) == 2
    assert events["message"]["channel_type"] == "channel"
    assert events["message"]["text"] == f"<@{slack.workspace.bot.id}> a &lt; b &amp; <@U1>"
    assert [(frame["type"], frame["retry_attempt"]) for frame in frames] == [("events_api", 0)] * 2


async def test_an_unacknowledged_event_is_sent_again_with_its_retry_number(slack: SlackServer) -> None:
    slack.acknowledge_seconds = 0.5
    async with raw_socket(slack) as ws:
        delivery = await slack.open_home("ana")
        assert delivery
        first = await ws.receive_json(timeout=PATIENCE_SECONDS)
        second = await ws.receive_json(timeout=PATIENCE_SECONDS)
        await ws.send_json({"envelope_id": second["envelope_id"]})
        await slack.acknowledged(delivery)

    assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
    assert first["payload"] == second["payload"]
    assert [attempt.outcome for attempt in delivery.attempts] == ["timeout", "acknowledged"]


async def test_several_sockets_share_and_a_closed_ones_events_go_to_another(slack: SlackServer) -> None:
    async with raw_socket(slack) as one, raw_socket(slack) as two:
        deliveries = [await slack.open_home("ana") for _ in range(4)]
        got = [await ws.receive_json(timeout=PATIENCE_SECONDS) for ws in (one, two, one, two)]
        assert len({frame["payload"]["event_id"] for frame in got}) == 4
        for ws, frame in zip((one, two, one), got, strict=False):
            await ws.send_json({"envelope_id": frame["envelope_id"]})

        await two.close()

        again = await one.receive_json(timeout=PATIENCE_SECONDS)
        assert again["payload"] == got[3]["payload"]
        await one.send_json({"envelope_id": again["envelope_id"]})
        assert deliveries[3]
        await slack.acknowledged(deliveries[3])
        assert [attempt.outcome for attempt in deliveries[3].attempts] == ["connection_failed", "acknowledged"]


async def test_a_ticket_opens_one_socket_and_an_eleventh_is_turned_away(slack: SlackServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(raw_socket(slack))
        url = (await client_of(slack).apps_connections_open(app_token=slack.app_token))["url"]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with session.ws_connect(url) as ws:
            assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "too_many_websockets"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_what_happens_while_no_socket_is_open_comes_later() -> None:
    async with SlackServer(retry_waits_seconds=(0.0, 0.4)) as slack:
        got = asyncio.Event()

        async def answer(event: Json) -> None:
            got.set()

        asked = await slack.mention("deploys", "ana", "anybody?")
        assert [delivery.attempts[0].outcome for delivery in slack.deliveries_of(asked)] == ["no_connection"] * 2
        async with bolt(slack, listening(app_mention=answer)):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await got.wait()
            assert [each.state for each in await slack.acknowledged(asked)] == ["acknowledged"] * 2


@pytest.mark.parametrize("how", ["refreshed", "refreshed at once", "cut"])
async def test_bolt_connects_again_when_its_socket_goes(slack: SlackServer, how: str) -> None:
    async def answer(event: Json, say: AsyncSay) -> None:
        await say(text="here", thread_ts=event["ts"])

    async with bolt(slack, listening(app_mention=answer)):
        [before] = await slack.connected()
        if how == "cut":
            slack.cut_sockets()
        else:
            await slack.disconnect("refresh_requested", grace_seconds=1.0 if how == "refreshed" else 0.0)
        await slack.wait_for(lambda: slack.sockets.open and slack.sockets.open[0] is not before)
        asked = await slack.mention("deploys", "ana", "still there?")
        await slack.said("here", thread=asked)
        if how == "refreshed":  # Without a grace time slack_sdk may connect for the frame and for the close.
            assert len(slack.calls_of("apps.connections.open")) == 2


async def test_a_refreshed_socket_gets_nothing_more(slack: SlackServer) -> None:
    async with raw_socket(slack) as old, raw_socket(slack) as new:
        closing = asyncio.ensure_future(slack.disconnect(connection=slack.sockets.open[0]))
        assert (await old.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "refresh_requested"
        for _ in range(2):
            assert await slack.open_home("ana")
            assert (await new.receive_json(timeout=PATIENCE_SECONDS))["type"] == "events_api"
        await old.close()
        await closing


async def test_a_warning_leaves_the_socket_open(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        await slack.disconnect("warning")
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "warning"
        assert await slack.open_home("ana")
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["type"] == "events_api"


# What people do


async def test_a_click_is_acknowledged_and_the_card_is_settled(slack: SlackServer, client: AsyncWebClient) -> None:
    seen: list[Json] = []

    async def pressed(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        seen.append(body)
        channel, ts = body["channel"]["id"], body["message"]["ts"]
        await client.chat_update(channel=channel, ts=ts, text=f"Approved by <@{body['user']['id']}>", blocks=[])

    def listen(app: AsyncApp) -> None:
        listening()(app)
        app.action("yes")(pressed)

    async with bolt(slack, listen):
        asked = await slack.say("deploys", "ana", "deploy")
        await client.chat_postMessage(channel=asked.channel, thread_ts=asked.ts, text="?", blocks=BUTTONS)
        card = await slack.said("Deploy", thread=asked)
        delivery = await slack.click("ben", card, "Approve")
        await slack.acknowledged(delivery)
        await slack.wait_for(lambda: "Approved" in slack.text_of(slack.now(card)))
        with pytest.raises(NotPossible, match="Approve"):
            await slack.click("ben", slack.now(card), "Approve")
        late = await slack.click("ben", card, "Approve")
        assert late.payload["message"]["text"].startswith("Approved")

    body = seen[0]
    assert body["user"]["id"] == slack.workspace.user("ben").id
    assert body["container"] == {
        "type": "message",
        "message_ts": card.ts,
        "channel_id": card.channel,
        "is_ephemeral": False,
        "thread_ts": asked.ts,
    }
    assert body["message"]["blocks"] == list(card.blocks)
    [action] = body["actions"]
    assert (action["type"], action["action_id"], action["block_id"], action["value"]) == ("button", "yes", "card", "p1")


async def test_a_click_that_nobody_takes_fails_once(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
    delivery = await slack.click("ana", slack.messages("deploys")[0], "yes")
    await slack.wait_for(lambda: delivery.state == "failed")
    assert [attempt.outcome for attempt in delivery.attempts] == ["no_connection"]


async def opening(slack: SlackServer, client: AsyncWebClient) -> tuple[Delivery, str]:
    """A click with its trigger, unused."""
    await client.chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
    delivery = await slack.click("ana", slack.messages("deploys")[-1], "no")
    return delivery, str(delivery.payload["trigger_id"])


async def test_a_modal_is_refused_corrected_and_submitted(slack: SlackServer, client: AsyncWebClient) -> None:
    seen: list[Json] = []

    async def submitted(ack: AsyncAck, body: Json) -> None:
        text = body["view"]["state"]["values"]["reason"]["text"]["value"]
        if len(text) < 3:
            await ack({"response_action": "errors", "errors": {"reason": "Say more."}})
            return
        seen.append(body)
        await ack()

    async def rejected(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)
        await ack()

    def listen(app: AsyncApp) -> None:
        listening()(app)
        app.action("no")(rejected)
        app.view("why")(submitted)

    async with bolt(slack, listen):
        await opening(slack, client)
        [view] = await slack.wait_for(lambda: slack.views)
        assert (view.title, view.private_metadata) == ("Why not?", "p1")
        with pytest.raises(NotPossible, match="must be filled in"):
            await slack.submit("ana", view)
        with pytest.raises(NotPossible, match="not on the screen"):
            await slack.submit("ben", view, {"Reason": "mine"})

        await slack.acknowledged(await slack.submit("ana", view, {"Reason": "no"}))
        [view] = slack.views
        assert dict(view.errors) == {"reason": "Say more."}
        await slack.acknowledged(await slack.submit("ana", view, {"text": "too late today"}))
        assert slack.views == []

    assert seen[0]["view"]["state"]["values"]["reason"]["text"]["value"] == "too late today"
    assert seen[0]["view"]["private_metadata"] == "p1"
    assert seen[0]["type"] == "view_submission"


async def test_a_form_keeps_what_was_chosen_before_it_is_submitted(slack: SlackServer, client: AsyncWebClient) -> None:
    options = [{"text": {"type": "plain_text", "text": name}, "value": name[:1]} for name in ("low", "high")]
    risk = {"type": "static_select", "action_id": "risk", "options": options}
    label = {"type": "plain_text", "text": "Risk"}
    more = {"type": "input", "block_id": "r", "label": label, "element": risk}
    live = {**more, "block_id": "d", "dispatch_action": True, "element": {**risk, "action_id": "live"}}
    _, trigger = await opening(slack, client)
    await client.views_open(trigger_id=trigger, view={**MODAL, "blocks": [*MODAL["blocks"], more, live]})
    [view] = slack.views

    assert await slack.select("ana", view, "risk", "high") is None
    told = await slack.select("ana", view, "live", "low")
    assert told
    assert told.payload["actions"][0]["selected_option"]["value"] == "l"
    with pytest.raises(NotPossible, match="no option 'none'"):
        await slack.select("ana", view, "risk", "none")
    sent = await slack.submit("ana", view, {"Reason": "because"})

    values = sent.payload["view"]["state"]["values"]
    assert values["r"]["risk"]["selected_option"] == options[1]
    assert values["d"]["live"]["selected_option"] == options[0]


async def test_a_modal_can_be_changed_and_stacked_by_the_answer_to_its_submission(slack: SlackServer) -> None:
    second = {**MODAL, "title": {"type": "plain_text", "text": "Sure?"}}
    answers = iter(
        [{"response_action": "push", "view": second}, {"response_action": "update"}, {"response_action": "clear"}]
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        payload = json.loads((await request.post())["payload"])  # type: ignore[arg-type]
        return web.json_response(next(answers)) if payload["type"] == "view_submission" else web.Response()

    async with http_bot(handle) as url:
        slack.http_target, slack.subscriptions = url, set()
        _, trigger = await opening(slack, client_of(slack))
        await client_of(slack).views_open(trigger_id=trigger, view=MODAL)
        await slack.acknowledged(await slack.submit("ana", slack.views[-1], {"Reason": "a"}))
        assert [view.title for view in slack.views] == ["Why not?", "Sure?"]
        broken = await slack.submit("ana", slack.views[-1], {"Reason": "b"})
        await slack.acknowledged(broken)
        assert broken.problem.startswith("invalid_arguments")
        await slack.acknowledged(await slack.submit("ana", slack.views[-1], {"Reason": "c"}))
        assert slack.views == []


async def test_a_command_is_answered_in_its_acknowledgement(slack: SlackServer) -> None:
    async def command(ack: AsyncAck, body: Json) -> None:
        await ack(f"{body['command']} {body['text']}?")

    async with bolt(slack, lambda app: app.command("/deploy")(command) and None):
        await slack.acknowledged(await slack.command("ana", "deploys", "/deploy", "api"))
        [message] = slack.messages("deploys")
        assert (message.text, message.visible_to) == ("/deploy api?", slack.workspace.user("ana").id)


async def test_a_trigger_is_good_once_and_for_three_seconds() -> None:
    clock = Clock()
    async with SlackServer() as slack:
        slack.clock = clock
        client = client_of(slack)
        _, trigger = await opening(slack, client)
        await client.views_open(trigger_id=trigger, view=MODAL)
        assert (await refusal(client.views_open(trigger_id=trigger, view=MODAL)))["error"] == "exchanged_trigger_id"
        assert (await refusal(client.views_open(trigger_id="1.2.3", view=MODAL)))["error"] == "invalid_trigger_id"

        _, trigger = await opening(slack, client)
        clock.moved_seconds += 3.1
        assert (await refusal(client.views_open(trigger_id=trigger, view=MODAL)))["error"] == "expired_trigger_id"
        assert len(slack.views) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"title": {"type": "plain_text", "text": "x" * 25}}, "/view/title/text"),
        ({"submit": {"type": "plain_text", "text": "x" * 25}}, "/view/submit/text"),
        ({"private_metadata": "x" * 3001}, "/view/private_metadata"),
        ({"callback_id": "x" * 256}, "/view/callback_id"),
        ({"submit": None}, "submit"),
        ({"blocks": [{"type": "divider"}] * 101}, "/view/blocks"),
    ],
)
async def test_a_view_beyond_its_limits_is_refused(
    slack: SlackServer, client: AsyncWebClient, change: Json, told: str
) -> None:
    _, trigger = await opening(slack, client)
    said = await refusal(client.views_open(trigger_id=trigger, view=MODAL | change))
    assert said["error"] == "invalid_arguments"
    assert told in said["response_metadata"]["messages"][0]
    await client.views_open(trigger_id=trigger, view=MODAL)


async def test_views_are_changed_pushed_and_closed(slack: SlackServer, client: AsyncWebClient) -> None:
    _, trigger = await opening(slack, client)
    opened = (await client.views_open(trigger_id=trigger, view=MODAL))["view"]
    stale = await client.views_update(view_id=opened["id"], hash=opened["hash"], view=MODAL)
    assert stale["ok"]
    again = client.views_update(view_id=opened["id"], hash=opened["hash"], view=MODAL)
    assert (await refusal(again))["error"] == "hash_conflict"

    async with raw_socket(slack) as ws:
        closed = await slack.close_view("ana", slack.views[0])
        assert closed
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["payload"]["type"] == "view_closed"
    assert slack.views == []
    gone = client.views_update(view_id=opened["id"], view=MODAL)
    assert (await refusal(gone))["error"] == "not_found"


async def test_a_home_is_published_and_comes_with_the_event(slack: SlackServer, client: AsyncWebClient) -> None:
    ana = slack.workspace.user("ana")
    first = await slack.open_home("ana")
    assert first
    assert "view" not in first.event
    home = {"type": "home", "blocks": [text_block(3)]}
    await client.views_publish(user_id=ana.id, view=home)
    shown = slack.home_of("ana")
    assert isinstance(shown, View)
    assert slack.text_of(shown) == "xxx"
    second = await slack.open_home("ana")
    assert second
    assert second.event["view"]["id"] == shown.id


async def test_a_response_url_is_good_for_five_answers_and_half_an_hour(client: AsyncWebClient) -> None:
    clock = Clock()
    async with SlackServer() as slack, aiohttp.ClientSession() as session:
        slack.clock = clock
        delivery, _ = await opening(slack, client_of(slack))
        url = delivery.payload["response_url"]
        await session.post(url, json={"text": "done", "replace_original": True})
        assert [message.text for message in slack.messages("deploys")] == ["done"]
        for number in range(4):
            assert (await session.post(url, json={"text": str(number)})).status == 200
        assert slack.messages("deploys")[-1].visible_to == slack.workspace.user("ana").id
        used = await session.post(url, json={"text": "6"})
        assert (used.status, (await used.json())["error"]) == (404, "used_url")

        delivery, _ = await opening(slack, client_of(slack))
        clock.moved_seconds += 1801
        expired = await session.post(delivery.payload["response_url"], json={"text": "late"})
        assert (await expired.json())["error"] == "expired_url"


async def test_edits_deletions_files_joins_and_bots_are_events_of_their_own(slack: SlackServer) -> None:
    said = await slack.say("deploys", "ana", "one")
    await slack.edit(said, "two")
    await slack.delete(slack.now(said))
    await slack.upload("deploys", "ana", "a.txt", b"a")
    await slack.post_as_bot("deploys", "ci", "build passed")
    await slack.post_as_bot("deploys", "hook", "ping", classic=True)
    await slack.join("deploys", slack.workspace.add_user("eve"))
    await client_of(slack).chat_postMessage(channel=channel_id(slack), text="mine")

    events = [delivery.event for delivery in slack.deliveries.all]
    assert [event.get("subtype") for event in events] == [
        None,
        "message_changed",
        "message_deleted",
        "file_share",
        None,
        "bot_message",
        "channel_join",
        None,
    ]
    assert (events[1]["message"]["text"], events[1]["previous_message"]["text"]) == ("two", "one")
    assert events[2]["deleted_ts"] == said.ts
    assert events[3]["files"][0]["name"] == "a.txt"
    assert events[4]["bot_id"]
    assert "user" not in events[5]
    assert events[7]["user"] == slack.workspace.bot.id


async def test_an_edited_mention_is_a_new_app_mention_of_the_old_message(slack: SlackServer) -> None:
    said = await slack.say("deploys", "ana", "deploy")
    await slack.edit(said, f"<@{slack.workspace.bot.id}> deploy")
    [mention] = [delivery.event for delivery in slack.deliveries.all if delivery.type == "app_mention"]
    assert (mention["ts"], mention["edited"]["user"]) == (said.ts, said.user)


async def test_only_what_is_subscribed_to_granted_and_near_is_delivered(slack: SlackServer) -> None:
    async def types() -> list[str]:
        before = len(slack.deliveries.all)
        await slack.mention("deploys", "ana", "hi")
        return [delivery.type for delivery in slack.deliveries.all[before:]]

    await slack.mention("random", "ana", "the bot is not here")
    assert slack.deliveries.all == []
    await slack.dm("ana", f"<@{slack.workspace.bot.id}> hi")
    assert [delivery.type for delivery in slack.deliveries.all] == ["message"]
    assert await types() == ["app_mention", "message"]
    slack.subscriptions.discard("message.channels")
    assert await types() == ["app_mention"]
    slack.scopes.discard("app_mentions:read")
    assert await types() == []


async def test_a_manifest_says_what_the_app_may_and_gets(tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(
        """
        features: {bot_user: {display_name: porter}, app_home: {messages_tab_enabled: false}}
        oauth_config: {scopes: {bot: ["chat:write", "app_mentions:read"]}}
        settings: {event_subscriptions: {bot_events: [app_mention]}, socket_mode_enabled: true}
        """
    )
    async with SlackServer.from_manifest(tmp_path / "manifest.yml") as slack:
        assert slack.workspace.bot.name == "porter"
        await slack.mention("deploys", "ana", "hi")
        assert [delivery.type for delivery in slack.deliveries.all] == ["app_mention"]
        assert (await refusal(client_of(slack).users_list()))["needed"] == "users:read"
        with pytest.raises(NotPossible):
            await slack.dm("ana", "hi")
        dm = client_of(slack).chat_postMessage(channel=slack.workspace.user("ana").id, text="x")
        assert (await refusal(dm))["error"] == "messages_tab_disabled"
        home = client_of(slack).views_publish(
            user_id=slack.workspace.user("ana").id, view={"type": "home", "blocks": []}
        )
        assert (await refusal(home))["error"] == "not_enabled"
        await client_of(slack).chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
        with pytest.raises(NotPossible, match="interactivity"):
            await slack.click("ana", slack.messages("deploys")[-1], "yes")
    assert Installation().subscriptions == SUBSCRIPTIONS


async def test_deliveries_can_be_dropped_delayed_and_repeated(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        slack.drop(1)
        dropped = await slack.open_home("ana")
        assert dropped
        assert (dropped.state, dropped.attempts) == ("dropped", [])

        gate = asyncio.Event()
        slack.delay(1, until=gate)
        late = await slack.open_home("ana")
        prompt = await slack.open_home("ben")
        assert late
        assert prompt
        ids = []
        for _ in range(2):
            frame = await ws.receive_json(timeout=PATIENCE_SECONDS)
            ids.append(frame["payload"]["event_id"])
            await ws.send_json({"envelope_id": frame["envelope_id"]})
            gate.set()
        assert ids == [prompt.event_id, late.event_id]
        await slack.acknowledged(late)

        again = asyncio.ensure_future(slack.redeliver(late))
        frame = await ws.receive_json(timeout=PATIENCE_SECONDS)
        assert (frame["payload"]["event_id"], frame["retry_attempt"]) == (late.event_id, 1)
        await ws.send_json({"envelope_id": frame["envelope_id"]})
        await again
        assert [attempt.outcome for attempt in late.attempts] == ["acknowledged"] * 2


async def test_what_a_person_cannot_do_is_an_error_of_the_test(slack: SlackServer) -> None:
    eve = slack.workspace.add_user("eve")
    with pytest.raises(NotPossible, match="eve is not in #deploys"):
        await slack.say("deploys", eve, "hi")
    said = await slack.say("deploys", "ana", "hi")
    with pytest.raises(NotPossible, match="Approve"):
        await slack.click("ana", said, "Approve")
    with pytest.raises(KeyError, match="no channel 'deploy'"):
        await slack.say("deploy", "ana", "hi")
    await slack.delete(said)
    with pytest.raises(NotPossible, match="deleted"):
        await slack.edit(said, "hm")


async def test_it_runs_alone_and_is_driven_by_lines() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.slack", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            started = json.loads(await process.stdout.readline())
            client = AsyncWebClient(
                token=started["environment"]["SLACK_BOT_TOKEN"], base_url=started["environment"]["SLACK_API_URL"]
            )
            await client.chat_postMessage(channel=started["channels"]["deploys"], text="?", blocks=BUTTONS)
            said = json.loads(await process.stdout.readline())["said"]
            assert said["buttons"] == ["Approve", "Reject"]
            act = {"do": "click", "user": "ana", "ts": said["ts"], "target": "Approve"}
            process.stdin.write(json.dumps(act).encode() + b"\n")
            done = json.loads(await process.stdout.readline())["done"]
            assert done["type"] == "block_actions"
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
