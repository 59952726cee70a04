"""Faults before and after their effect, and bots that are stopped in between."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SlackServer
from tests.fakes.slack_bots import channel_id, refusal


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
