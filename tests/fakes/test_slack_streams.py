"""Streamed messages: how they grow, who stops them, and what they do not take."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import NotPossible, SlackServer
from tests.fakes.slack_bots import BUTTONS, Json, channel_id, refusal, rich


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
