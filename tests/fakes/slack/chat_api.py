"""chat.* and reactions.*: what the bot says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.fakes.slack import limits
from tests.fakes.slack.limits import Refused, check_blocks, check_metadata
from tests.fakes.slack.shapes import file_json, message_json
from tests.fakes.slack.web_api import method, truth
from tests.fakes.slack.workspace import Channel, File, Json, Message

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer


def place(server: SlackServer, channel_id: Any, *, writing: bool = False) -> Channel:
    """The channel, if the bot may know of it; to write it must be a member, and the channel open.

    `chat.postMessage` takes a person's id for the conversation with them.
    """
    workspace = server.workspace
    if writing and channel_id in workspace.users and not workspace.users[channel_id].is_bot:
        channel_id = workspace.im(channel_id).id
    channel = workspace.channels.get(str(channel_id))
    member = channel is not None and workspace.bot.id in channel.members
    if channel is None or (channel.kind != "public" and not member):
        raise Refused("channel_not_found")
    if writing and channel.archived:
        raise Refused("is_archived")
    if writing and channel.kind == "im" and not server.features.messages_tab:
        raise Refused("messages_tab_disabled")
    if writing and not member and "chat:write.public" not in server.scopes:
        raise Refused("not_in_channel")
    return channel


def _content(server: SlackServer, arguments: Json, text_chars_max: int = limits.TEXT_CHARS_MAX) -> Json:
    """The fields of a Message that a caller gives; raises Refused for what Slack would not take."""
    text, blocks = arguments.get("text") or "", arguments.get("blocks") or []
    markdown = arguments.get("markdown_text")
    if markdown and (text or blocks):
        raise Refused("markdown_text_conflict")
    if markdown and len(markdown) > limits.MARKDOWN_CHARS_MAX:
        raise Refused("msg_too_long")
    if markdown:
        blocks = [{"type": "markdown", "text": markdown}]
    if not text and not blocks and not arguments.get("attachments"):
        raise Refused("no_text")
    if len(text) > text_chars_max:
        raise Refused("msg_too_long")
    check_blocks(blocks)
    check_metadata(arguments.get("metadata"))
    return {
        "text": text or markdown or "",
        "blocks": server.named(blocks),
        "attachments": tuple(arguments.get("attachments") or ()),
        "metadata": arguments.get("metadata"),
    }


def own(server: SlackServer, arguments: Json, refusal: str) -> Message:
    channel = place(server, arguments["channel"])
    message = server.workspace.message(channel.id, str(arguments.get("ts")))
    if message is None or message.visible_to:
        raise Refused("message_not_found")
    if message.user != server.workspace.bot.id:
        raise Refused(refusal)
    return message


def root_ts(server: SlackServer, channel: Channel, thread_ts: Any) -> str | None:
    """Stricter than Slack, which hangs a reply on a wrong `thread_ts` somewhere: that is always the bot's mistake."""
    if not thread_ts:
        return None
    root = server.workspace.message(channel.id, str(thread_ts))
    if root is None:
        raise Refused("thread_not_found")
    if root.thread_ts:
        raise Refused("cannot_reply_to_message")
    return root.ts


def by_bot(server: SlackServer, channel: Channel, **fields: Any) -> Message:
    bot = server.workspace.bot
    ts = server.workspace.new_ts()
    return Message(channel.id, ts, bot.id, bot_id=bot.bot_id, app_id=bot.app_id, **fields)


def _shared_by(server: SlackServer, text: str) -> tuple[File, ...]:
    """The bot's own files whose permalinks are in the text."""
    mine = [file for file in server.workspace.files.values() if file.user == server.workspace.bot.id]
    return tuple(file for file in mine if file_json(server.workspace, file)["permalink"] in text)


@method("chat.postMessage", "chat:write", required="channel")
def post_message(server: SlackServer, arguments: Json) -> Json:
    channel = place(server, arguments["channel"], writing=True)
    message = by_bot(
        server,
        channel,
        files=_shared_by(server, str(arguments.get("text") or "")),
        thread_ts=root_ts(server, channel, arguments.get("thread_ts")),
        username=arguments.get("username"),
        broadcast=truth(arguments, "reply_broadcast"),
        unfurl_links=truth(arguments, "unfurl_links") if "unfurl_links" in arguments else None,
        **_content(server, arguments),
    )
    server.post(message)
    shape = message_json(server.workspace, message, with_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shape}


@method("chat.update", "chat:write", required="channel ts")
def update(server: SlackServer, arguments: Json) -> Json:
    """Blocks that are not given stay only when there is no text either: a new text alone takes the blocks away."""
    before = own(server, arguments, "cant_update_message")
    if before.streaming:
        raise Refused("streaming_state_conflict")
    content = _content(server, arguments, limits.UPDATED_TEXT_CHARS_MAX)
    if content["metadata"] is None:
        content["metadata"] = before.metadata
    after = replace(
        before, **content, edited_ts=server.workspace.new_ts(), edited_by=before.bot_id, subtype=before.subtype
    )
    server.change(before, after)
    shape = message_json(server.workspace, after, with_metadata=True)
    return {"channel": after.channel, "ts": after.ts, "text": after.text, "message": shape}


@method("chat.delete", "chat:write", required="channel ts")
def delete(server: SlackServer, arguments: Json) -> Json:
    message = own(server, arguments, "cant_delete_message")
    if message.streaming:
        raise Refused("cant_delete_message")
    server.remove(message)
    return {"channel": message.channel, "ts": message.ts}


@method("chat.postEphemeral", "chat:write", required="channel user")
def post_ephemeral(server: SlackServer, arguments: Json) -> Json:
    channel = place(server, arguments["channel"], writing=True)
    if arguments["user"] not in channel.members:
        raise Refused("user_not_in_channel")
    thread_ts = root_ts(server, channel, arguments.get("thread_ts"))
    content = _content(server, arguments)
    message = by_bot(server, channel, thread_ts=thread_ts, visible_to=arguments["user"], **content)
    server.post(message)
    return {"message_ts": message.ts}


@method("chat.getPermalink", required="channel message_ts")
def get_permalink(server: SlackServer, arguments: Json) -> Json:
    channel = place(server, arguments["channel"])
    message = server.workspace.message(channel.id, str(arguments["message_ts"]))
    if message is None:
        raise Refused("message_not_found")
    return {"channel": channel.id, "permalink": server.permalink(message)}


# Reactions


def _reacted(server: SlackServer, arguments: Json) -> Message:
    channel = place(server, arguments["channel"])
    message = server.workspace.message(channel.id, str(arguments["timestamp"]))
    if message is None:
        raise Refused("message_not_found")
    return message


@method("reactions.add", "reactions:write", required="channel name timestamp")
def add_reaction(server: SlackServer, arguments: Json) -> Json:
    message, bot = _reacted(server, arguments), server.workspace.bot
    if bot.id in dict(message.reactions).get(arguments["name"], ()):
        raise Refused("already_reacted")
    server.put_reaction(message, bot, str(arguments["name"]), remove=False)
    return {}


@method("reactions.remove", "reactions:write", required="channel name timestamp")
def remove_reaction(server: SlackServer, arguments: Json) -> Json:
    message, bot = _reacted(server, arguments), server.workspace.bot
    if bot.id not in dict(message.reactions).get(arguments["name"], ()):
        raise Refused("no_reaction")
    server.put_reaction(message, bot, str(arguments["name"]), remove=True)
    return {}
