"""What Slack takes, to the last character, and what it refuses beyond: blocks, messages, views and rates."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SlackServer
from tests.fakes.slack_bots import (
    BUTTONS,
    MODAL,
    Json,
    actions,
    button,
    channel_id,
    client_of,
    opening,
    refusal,
    rich,
    select,
    table,
    text_block,
)

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


async def test_blocks_are_validated_without_being_posted(slack: SlackServer, client: AsyncWebClient) -> None:
    assert (await client.blocks_validate(blocks=BUTTONS))["ok"]
    said = await refusal(client.blocks_validate(blocks=[text_block(3001)]))
    assert said["error"] == "invalid_blocks"
    assert said["errors"][0]["pointer"] == "/blocks/0/text/text"
    assert (await refusal(client.blocks_validate(view={"type": "panel"})))["error"] == "invalid_view"
    assert (await refusal(client.blocks_validate()))["error"] == "invalid_arguments"
    assert slack.messages("deploys") == []


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
