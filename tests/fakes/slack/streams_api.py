"""chat.startStream, appendStream and stopStream: one message that grows.

Sources: docs.slack.dev/reference/methods/chat.startStream and its two sisters. Measured by others, and not documented:
`thread_ts` is needed (`invalid_thread_ts`), an open stream is refused by chat.update (`streaming_state_conflict`) and
chat.delete (`cant_delete_message`), Slack closes it some five minutes after its start, and `conversations.replies`
tells its `streaming_state`. Not here: how much text one stream takes in all. That is not documented either, and about
12,000 characters of Markdown were measured; a test plans it with `slack.fail("chat.appendStream", "msg_too_long")`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.fakes.slack import limits
from tests.fakes.slack.chat_api import by_bot, own, place, root_ts
from tests.fakes.slack.limits import Refused, check_blocks, check_metadata
from tests.fakes.slack.shapes import message_json, texts_in
from tests.fakes.slack.web_api import method
from tests.fakes.slack.workspace import Json, Message

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer

_CHUNKS = {"markdown_text", "task_update", "plan_update", "blocks"}


def _grown(server: SlackServer, message: Message, arguments: Json) -> tuple[Message, Json]:
    """The message with what a call adds to it, and what the answer says of that."""
    markdown, chunks = arguments.get("markdown_text") or "", arguments.get("chunks") or []
    if markdown and chunks:
        raise Refused("cannot_provide_both_markdown_text_and_chunks")
    if len(markdown) > limits.MARKDOWN_CHARS_MAX:
        raise Refused("msg_too_long")
    if not markdown and not chunks:
        return message, {}
    mode = "markdown_text" if markdown else "chunks"
    if message.stream_mode not in ("", mode):
        raise Refused("streaming_mode_mismatch")
    text, blocks = markdown, list(message.blocks)
    for chunk in _checked(chunks):
        if chunk["type"] == "blocks":
            blocks += server.named(chunk["blocks"])
        # The text that Slack makes of blocks by itself, for notifications.
        text += "\n".join(map(_escaped, texts_in(chunk)))
    told: Json = {}
    if len(blocks) > limits.BLOCKS_MAX["message"]:
        told["response_metadata"] = {"warnings": ["blocks over the limit were dropped"]}
    blocks = blocks[: limits.BLOCKS_MAX["message"]]
    return replace(message, text=message.text + text, blocks=tuple(blocks), stream_mode=mode), told


def _checked(chunks: Any) -> list[Json]:
    if not isinstance(chunks, list):
        raise Refused("invalid_chunks")
    for chunk in chunks:
        if not isinstance(chunk, dict) or chunk.get("type") not in _CHUNKS:
            raise Refused("invalid_chunks")
        if chunk["type"] == "blocks":
            if not isinstance(chunk.get("blocks"), list) or not chunk["blocks"]:
                raise Refused("invalid_chunks")
            if len(chunk["blocks"]) > limits.BLOCKS_MAX["message"]:
                raise Refused("msg_blocks_too_many")
            check_blocks(chunk["blocks"])
        elif chunk["type"] == "markdown_text" and len(str(chunk.get("text", ""))) > limits.MARKDOWN_CHARS_MAX:
            raise Refused("msg_too_long")
    return chunks


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _open(server: SlackServer, arguments: Json) -> Message:
    message = own(server, arguments, "message_not_owned_by_app")
    if message.ts in server.stopped_streams:
        raise Refused("stopped_by_user")
    if not message.streaming:
        raise Refused("message_not_in_streaming_state")
    return message


@method("chat.startStream", "chat:write", required="channel")
def start_stream(server: SlackServer, arguments: Json) -> Json:
    """Takes no metadata. Begins the thread's session where there is none, and sets it to `processing`."""
    channel = place(server, arguments["channel"], writing=True)
    if not arguments.get("thread_ts"):
        raise Refused("invalid_thread_ts")
    thread_ts = root_ts(server, channel, arguments["thread_ts"])
    user, team = arguments.get("recipient_user_id"), arguments.get("recipient_team_id")
    if channel.kind != "im" and not user:
        raise Refused("missing_recipient_user_id")
    if channel.kind != "im" and not team:
        raise Refused("missing_recipient_team_id")
    if user and user not in server.workspace.users:
        raise Refused("user_not_found")
    if team and team != server.workspace.team_id:
        raise Refused("team_not_found")
    begun = by_bot(server, channel, thread_ts=thread_ts, streaming=True, stream_mode="")
    message, told = _grown(server, begun, arguments)
    server.post(message)
    if server.features.agent:
        server.set_session(channel.id, message.thread, "processing")
    return {"channel": channel.id, "ts": message.ts, **told}


@method("chat.appendStream", "chat:write", required="channel ts")
def append_stream(server: SlackServer, arguments: Json) -> Json:
    message = _open(server, arguments)
    if not arguments.get("markdown_text") and not arguments.get("chunks"):
        raise Refused("markdown_text_or_chunks_required")
    after, told = _grown(server, message, arguments)
    server.workspace.put(after)  # No event: people just see it grow.
    return {"channel": message.channel, "ts": message.ts, **told}


@method("chat.stopStream", "chat:write", required="channel ts")
def stop_stream(server: SlackServer, arguments: Json) -> Json:
    """`blocks` have a limit of their own and come last, below what came through `chunks`."""
    message = _open(server, arguments)
    after, told = _grown(server, message, arguments)
    blocks = arguments.get("blocks") or []
    check_blocks(blocks)
    check_metadata(arguments.get("metadata"))
    text = after.text + "\n".join(map(_escaped, texts_in(blocks)))
    blocks = (*after.blocks, *server.named(blocks))
    after = replace(after, text=text, blocks=blocks, metadata=arguments.get("metadata"), streaming=False)
    if server.features.agent:
        server.set_session(message.channel, message.thread, str(arguments.get("session_status") or "active"))
    server.change(message, after)
    shape = message_json(server.workspace, after, with_metadata=True)
    return {"channel": after.channel, "ts": after.ts, "message": shape, **told}
