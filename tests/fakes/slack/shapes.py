"""How Slack writes its objects in JSON: one function for each, for answers and events alike.

Shapes follow the raw samples of slackapi/java-slack-sdk (json-logs); fields that no bot reads are left out.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.slack.workspace import Channel, File, Json, Message, User, Workspace


def user_json(workspace: Workspace, user: User, *, with_email: bool) -> Json:
    profile: Json = {
        "real_name": user.real_name,
        "real_name_normalized": user.real_name,
        "display_name": user.name,
        "display_name_normalized": user.name,
        "team": user.team_id or workspace.team_id,
    }
    # The address is a scope of its own: without users:read.email it is simply absent.
    if with_email and user.email:
        profile["email"] = user.email
    if user.is_bot:
        profile |= {"bot_id": user.bot_id, "api_app_id": user.app_id}
    enterprise = user.enterprise_id or ("" if user.team_id else workspace.enterprise_id)
    grid = {"enterprise_user": {"id": user.id, "enterprise_id": enterprise}} if enterprise else {}
    return grid | {
        "id": user.id,
        "team_id": user.team_id or workspace.team_id,
        "name": user.name,
        "real_name": user.real_name,
        "deleted": user.deleted,
        "tz": user.tz,
        "tz_label": user.tz,
        "tz_offset": user.tz_offset_seconds,
        "profile": profile,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "is_restricted": user.is_guest,
        "is_ultra_restricted": False,
        "is_email_confirmed": bool(user.email) and user.email_confirmed,
        "updated": 1_790_000_000,
    }


def channel_json(workspace: Workspace, channel: Channel) -> Json:
    member = workspace.bot.id in channel.members
    shape: Json = {
        "id": channel.id,
        "created": 1_790_000_000,
        "is_archived": channel.archived,
        "is_channel": channel.kind == "public",
        "is_group": channel.kind == "private",
        "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "public",
        "context_team_id": workspace.team_id,
    }
    if channel.kind == "im":
        [other] = channel.members - {workspace.bot.id}
        return shape | {"user": other}
    topic = {"value": channel.topic, "creator": "", "last_set": 0}
    return shape | {"name": channel.name, "name_normalized": channel.name, "is_member": member, "topic": topic}


def file_json(workspace: Workspace, file: File) -> Json:
    url = f"{workspace.base_url}/files-pri/{workspace.team_id}-{file.id}/{file.name}"
    preview = {"thumb_1024": url.replace("/files-pri/", "/files-tmb/", 1)} if file.preview else {}
    return {
        "id": file.id,
        **preview,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.name,
        "mimetype": file.mimetype,
        "filetype": file.name.rpartition(".")[2],
        "user": file.user,
        "user_team": workspace.team_id,
        "mode": "hosted",
        "size": len(file.content),
        "url_private": url,
        "url_private_download": url.replace("/files-pri/", "/files-pri/download/", 1),
        "permalink": f"https://{workspace.domain}.slack.com/files/{file.user}/{file.id}/{file.name}",
        "file_access": "visible",
    }


def _team_of(workspace: Workspace, user_id: str) -> str:
    user = workspace.users.get(user_id)
    return (user.team_id if user else "") or workspace.team_id


def message_json(workspace: Workspace, message: Message, *, with_metadata: bool = False) -> Json:
    """As in `conversations.replies`. `with_metadata`: it is told only to who asks for it."""
    shape: Json = {"type": "message", "text": message.text, "ts": message.ts}
    if message.subtype:
        shape["subtype"] = message.subtype
    if message.user:
        shape |= {"user": message.user, "team": _team_of(workspace, message.user)}
    if message.username:
        shape["username"] = message.username
    if message.bot_id:
        shape |= {"bot_id": message.bot_id, "app_id": message.app_id}
        shape["bot_profile"] = {
            "id": message.bot_id,
            "app_id": message.app_id,
            "user_id": message.user,
            "name": workspace.user(message.bot_id).name,
            "team_id": workspace.team_id,
            "deleted": False,
            "updated": 1_790_000_000,
        }
    if message.client_msg_id:
        shape["client_msg_id"] = message.client_msg_id
    if message.blocks:
        shape["blocks"] = list(message.blocks)
    if message.attachments:
        shape["attachments"] = list(message.attachments)
    if message.files:
        shape["files"] = [file_json(workspace, file) for file in message.files]
    if message.edited_ts:
        shape["edited"] = {"user": message.edited_by, "ts": message.edited_ts}
    if message.reactions:
        shape["reactions"] = [
            {"name": name, "users": list(users), "count": len(users)} for name, users in message.reactions
        ]
    if message.stream_mode is not None:
        shape["streaming_state"] = "in_progress" if message.streaming else "completed"
    if message.metadata and with_metadata:
        shape["metadata"] = message.metadata
    return shape | _thread_fields(workspace, message)


def _thread_fields(workspace: Workspace, message: Message) -> Json:
    if message.thread_ts:
        root = workspace.message(message.channel, message.thread_ts)
        parent = {"parent_user_id": root.user} if root and root.user else {}
        return {"thread_ts": message.thread_ts} | parent
    replies = workspace.replies(message.channel, message.ts)
    if not replies:
        return {}
    users = list(dict.fromkeys(reply.user for reply in replies if reply.user))
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users": users[:5],
        "reply_users_count": len(users),
        "latest_reply": replies[-1].ts,
        "is_locked": False,
    }


def person_in_payload(workspace: Workspace, user: User) -> Json:
    """As interactive payloads name the person."""
    return {"id": user.id, "username": user.name, "name": user.name, "team_id": _team_of(workspace, user.id)}


def team_in_payload(workspace: Workspace) -> Json:
    return {"id": workspace.team_id, "domain": workspace.domain}


def event_callback(workspace: Workspace, event: Json, event_id: str, context: str) -> Json:
    """The envelope of the Events API, which Socket Mode carries too."""
    bot = {"enterprise_id": None, "team_id": workspace.team_id, "user_id": workspace.bot.id}
    return {
        "token": "verification-token-of-old",
        "team_id": workspace.team_id,
        "context_team_id": workspace.team_id,
        "context_enterprise_id": None,
        "api_app_id": workspace.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": event_id,
        "event_time": int(workspace.clock()),
        "authorizations": [bot | {"is_bot": True, "is_enterprise_install": False}],
        "is_ext_shared_channel": False,
        "event_context": context,
    }


def texts_in(node: Any) -> list[str]:
    """All that a person reads in blocks or a view: texts, labels, options, table cells; no ids and no values."""
    if isinstance(node, list | tuple):
        return [text for item in node for text in texts_in(item)]
    if not isinstance(node, dict):
        return []
    match node.get("type"):
        case "plain_text" | "mrkdwn" | "markdown" | "raw_text" | "text" | "markdown_text":
            return [str(node.get("text", ""))]
        case "raw_number":
            return [str(node.get("text", node.get("value", "")))]
        case "user":
            return [f"<@{node.get('user_id')}>"]
        case "channel":
            return [f"<#{node.get('channel_id')}>"]
        case "link":
            return [str(node.get("text") or node.get("url", ""))]
        case "emoji":
            return [f":{node.get('name')}:"]
        case "rich_text_section" | "rich_text_preformatted" | "rich_text_quote":
            return ["".join(texts_in(node.get("elements", [])))]
        case "context_actions":
            return []  # pictures under the message; a click finds them by name
        case _:
            plain = [node[key] for key in ("alt_text", "title") if isinstance(node.get(key), str)]
            return plain + [text for key, item in node.items() if key not in _UNSEEN for text in texts_in(item)]


# `confirm` is a dialog that opens on a click; `state` is what was typed.
_UNSEEN = {"confirm", "state", "private_metadata", "metadata"}
