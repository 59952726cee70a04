"""conversations.*: what the bot reads, and the conversations it opens."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from tests.fakes.slack.chat_api import place
from tests.fakes.slack.limits import Refused
from tests.fakes.slack.shapes import channel_json, message_json
from tests.fakes.slack.web_api import method, need_scope, truth
from tests.fakes.slack.workspace import SCOPE_FAMILIES, Channel, ChannelKind, Json, Message, ts_key

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer


def _history(server: SlackServer, arguments: Json) -> Channel:
    channel = place(server, arguments["channel"])
    need_scope(server, f"{SCOPE_FAMILIES[channel.kind]}:history")
    if server.workspace.bot.id not in channel.members:
        raise Refused("not_in_channel")
    return channel


def _window(arguments: Json, messages: list[Message], limit_default: int) -> tuple[list[Message], Json]:
    """`oldest` and `latest` bound a page, `cursor` goes on from where one ended. In the order given."""
    inclusive = truth(arguments, "inclusive")
    for bound in ("oldest", "latest"):
        try:
            edge = ts_key(str(arguments[bound])) if arguments.get(bound) else None
        except ValueError:
            raise Refused(f"invalid_ts_{bound}") from None
        if edge is not None:
            sign = 1 if bound == "oldest" else -1
            messages = [
                message
                for message in messages
                if (ts_key(message.ts) > edge) - (ts_key(message.ts) < edge) in ((sign, 0) if inclusive else (sign,))
            ]
    try:
        limit = min(int(arguments.get("limit") or limit_default), 1000)
    except ValueError:
        raise Refused("invalid_limit") from None
    start = _cursor(arguments["cursor"]) if arguments.get("cursor") else 0
    rest: Json = {"has_more": len(messages) > start + limit}
    if rest["has_more"]:
        rest["response_metadata"] = {"next_cursor": base64.b64encode(f"next:{start + limit}".encode()).decode()}
    return messages[start : start + limit], rest


def _cursor(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except (ValueError, binascii.Error):
        raise Refused("invalid_cursor") from None


@method("conversations.replies", required="channel")
def replies(server: SlackServer, arguments: Json) -> Json:
    """The root comes first on every page, whatever the bounds."""
    channel = _history(server, arguments)
    workspace = server.workspace
    root = workspace.message(channel.id, str(arguments.get("ts")))
    if root is None or root.visible_to:
        raise Refused("thread_not_found")
    page, rest = _window(arguments, [] if root.thread_ts else workspace.replies(channel.id, root.ts), 1000)
    with_metadata = truth(arguments, "include_all_metadata")
    shapes = [message_json(workspace, message, with_metadata=with_metadata) for message in (root, *page)]
    return {"messages": shapes, **rest}


@method("conversations.history", required="channel")
def history(server: SlackServer, arguments: Json) -> Json:
    """Newest first, without replies unless they were broadcast."""
    channel = _history(server, arguments)
    shown = [
        message
        for message in reversed(server.workspace.messages(channel.id))
        if message.visible_to is None and (message.thread_ts is None or message.broadcast)
    ]
    page, rest = _window(arguments, shown, 100)
    with_metadata = truth(arguments, "include_all_metadata")
    shapes = [message_json(server.workspace, message, with_metadata=with_metadata) for message in page]
    return {"messages": shapes, "pin_count": 0, **rest}


@method("conversations.info", required="channel")
def info(server: SlackServer, arguments: Json) -> Json:
    channel = place(server, arguments["channel"])
    need_scope(server, f"{SCOPE_FAMILIES[channel.kind]}:read")
    shape = channel_json(server.workspace, channel)
    if truth(arguments, "include_num_members"):
        shape["num_members"] = len(channel.members)
    return {"channel": shape}


@method("conversations.members", required="channel")
def members(server: SlackServer, arguments: Json) -> Json:
    channel = place(server, arguments["channel"])
    need_scope(server, f"{SCOPE_FAMILIES[channel.kind]}:read")
    return {"members": sorted(channel.members), "response_metadata": {"next_cursor": ""}}


_LISTED: dict[str, ChannelKind] = {"public_channel": "public", "private_channel": "private", "im": "im", "mpim": "mpim"}


@method("conversations.list")
def list_channels(server: SlackServer, arguments: Json) -> Json:
    bot = server.workspace.bot.id
    visible = [each for each in _of_kinds(server, arguments) if each.kind == "public" or bot in each.members]
    return _listed(server, visible, arguments)


@method("users.conversations")
def list_joined(server: SlackServer, arguments: Json) -> Json:
    """Without `user`: those in which the bot is."""
    who = str(arguments.get("user") or server.workspace.bot.id)
    return _listed(server, [channel for channel in _of_kinds(server, arguments) if who in channel.members], arguments)


def _of_kinds(server: SlackServer, arguments: Json) -> list[Channel]:
    kinds = [_LISTED.get(name.strip()) for name in str(arguments.get("types") or "public_channel").split(",")]
    found: list[Channel] = []
    for kind in kinds:
        if kind is None:
            raise Refused("invalid_types")
        need_scope(server, f"{SCOPE_FAMILIES[kind]}:read")
        found += [channel for channel in server.workspace.channels.values() if channel.kind == kind]
    if truth(arguments, "exclude_archived"):
        found = [channel for channel in found if not channel.archived]
    return found


def _listed(server: SlackServer, channels: list[Channel], arguments: Json) -> Json:
    """Pages are by `limit` and `cursor`; without a limit all come at once."""
    start = _cursor(arguments["cursor"]) if arguments.get("cursor") else 0
    end = start + int(arguments.get("limit") or len(channels))
    shapes = [channel_json(server.workspace, channel) for channel in channels[start:end]]
    next_cursor = base64.b64encode(f"next:{end}".encode()).decode() if end < len(channels) else ""
    return {"channels": shapes, "response_metadata": {"next_cursor": next_cursor}}


@method("conversations.open")
def open_conversation(server: SlackServer, arguments: Json) -> Json:
    if arguments.get("channel"):
        channel = place(server, arguments["channel"])
        return {"channel": channel_json(server.workspace, channel), "no_op": True, "already_open": True}
    users = [user for user in str(arguments.get("users") or "").split(",") if user]
    if not users:
        raise Refused("users_list_not_supplied")
    if any(user not in server.workspace.users for user in users):
        raise Refused("user_not_found")
    if any(server.workspace.users[user].deleted for user in users):
        raise Refused("user_disabled")
    if len(users) > 8:
        raise Refused("too_many_users")
    if len(users) == 1:
        need_scope(server, "im:write")
        channel = server.workspace.im(users[0])
    else:
        need_scope(server, "mpim:write")
        wanted = frozenset({*users, server.workspace.bot.id})
        known = (each for each in server.workspace.channels.values() if each.kind == "mpim" and each.members == wanted)
        name = "mpdm-" + "--".join(server.workspace.users[user].name for user in users) + "-1"
        channel = next(known, None) or server.workspace.add_channel(name, kind="mpim", members=tuple(wanted))
    whole = truth(arguments, "return_im")
    return {"channel": channel_json(server.workspace, channel) if whole else {"id": channel.id}}
