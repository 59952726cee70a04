"""The Web API of the Slack for tests, spoken to by the real slack_sdk over real sockets."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SCOPES, NotPossible, SlackServer, Workspace
from tests.fakes.slack_bots import BUTTONS, channel_id, client_of, refusal


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
    first = await client.conversations_list(limit=1)
    second = await client.conversations_list(limit=1, cursor=first["response_metadata"]["next_cursor"])
    assert [page["channels"][0]["name"] for page in (first, second)] == ["deploys", "random"]
    assert second["response_metadata"]["next_cursor"] == ""
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
