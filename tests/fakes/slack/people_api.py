"""auth.*, users.*, agents.*, assistant.*, apps.connections.open and blocks.validate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fakes.slack.chat_api import place
from tests.fakes.slack.limits import Refused, check_blocks, check_view
from tests.fakes.slack.shapes import user_json
from tests.fakes.slack.web_api import method
from tests.fakes.slack.workspace import Json

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer


@method("auth.test")
def auth_test(server: SlackServer, arguments: Json) -> Json:
    workspace = server.workspace
    return {
        "url": f"https://{workspace.domain}.slack.com/",
        "team": workspace.team_name,
        "team_id": workspace.team_id,
        "user": workspace.bot.name,
        "user_id": workspace.bot.id,
        "bot_id": workspace.bot.bot_id,
        "is_enterprise_install": False,
        **({"enterprise_id": workspace.enterprise_id} if workspace.enterprise_id else {}),
    }


@method("apps.connections.open", app_token=True)
def open_connection(server: SlackServer, arguments: Json) -> Json:
    """The URL is good for one connection."""
    return {"url": server.sockets.new_url()}


@method("blocks.validate")
def validate_blocks(server: SlackServer, arguments: Json) -> Json:
    given = [key for key in ("blocks", "view", "message") if key in arguments]
    if len(given) != 1:
        told = ["must provide exactly one of `blocks`, `view`, or `message`"]
        raise Refused("invalid_arguments", response_metadata={"messages": told})
    try:
        match given[0]:
            case "blocks":
                check_blocks(arguments["blocks"])
            case "message":
                check_blocks(arguments["message"].get("blocks", []))
            case _:
                check_view(arguments["view"])
    except Refused as refused:
        raise Refused(
            f"invalid_{given[0]}", errors=[_issue(told) for told in refused.fields.get("errors", [])]
        ) from None
    return {}


def _issue(problem: str) -> Json:
    message, _, pointer = problem.removesuffix("]").partition(" [json-pointer:")
    return {"code": "failed_constraint", "message": message, "pointer": pointer}


# Users


@method("users.info", "users:read", required="user")
def user_info(server: SlackServer, arguments: Json) -> Json:
    user = server.workspace.users.get(str(arguments["user"]))
    if user is None:
        raise Refused("user_not_found")
    return {"user": user_json(server.workspace, user, with_email="users:read.email" in server.scopes)}


@method("users.list", "users:read")
def list_users(server: SlackServer, arguments: Json) -> Json:
    """Pages are by `limit` and `cursor`; without a limit all come at once."""
    users = sorted(server.workspace.users.values(), key=lambda user: user.id)
    start = int(arguments.get("cursor") or 0)
    end = start + int(arguments.get("limit") or len(users))
    with_email = "users:read.email" in server.scopes
    shapes = [user_json(server.workspace, user, with_email=with_email) for user in users[start:end]]
    next_cursor = str(end) if end < len(users) else ""
    return {"members": shapes, "response_metadata": {"next_cursor": next_cursor}}


@method("users.lookupByEmail", "users:read.email", required="email")
def look_up_user(server: SlackServer, arguments: Json) -> Json:
    for user in server.workspace.users.values():
        if user.email and user.email.lower() == str(arguments["email"]).lower() and not user.deleted:
            return {"user": user_json(server.workspace, user, with_email=True)}
    raise Refused("users_not_found")


@method("usergroups.list", "usergroups:read")
def list_user_groups(server: SlackServer, arguments: Json) -> Json:
    named = server.workspace.user_groups.items()
    return {"usergroups": [{"id": key, "handle": handle, "name": handle.capitalize()} for key, handle in named]}


# Sessions and the assistant's thread

STATUSES = ("active", "processing", "suspended", "closed")


def _thread(server: SlackServer, arguments: Json, refusal: str) -> tuple[str, str]:
    channel = place(server, arguments["channel_id"])
    thread_ts = str(arguments.get("thread_ts") or "")
    root = server.workspace.message(channel.id, thread_ts)
    if root is None or root.thread_ts:
        raise Refused(refusal)
    return channel.id, thread_ts


@method("agents.sessions.setStatus", "chat:write", required="channel_id status")
def set_session_status(server: SlackServer, arguments: Json) -> Json:
    if not server.features.agent:
        raise Refused("feature_disabled")
    if arguments["status"] not in STATUSES:
        raise Refused("invalid_status")
    if not arguments.get("thread_ts"):
        raise Refused("thread_ts_required")
    channel = place(server, arguments["channel_id"])
    if server.workspace.bot.id not in channel.members:
        raise Refused("not_authorized")
    initiator = arguments.get("initiator_user_id")
    if initiator and initiator not in channel.members:
        raise Refused("user_not_found")
    title = str(arguments.get("title") or "")
    if len(title) > 200:
        told = ["[ERROR] must be less than 201 characters [json-pointer:/title]"]
        raise Refused("invalid_arguments", response_metadata={"messages": told})
    where = _thread(server, arguments, "channel_not_found")
    session = server.set_session(*where, arguments["status"], title)
    said = {"status": session.status, "agent_status": session.status, "title": session.title}
    if "agent_session_stopped" in server.subscriptions:
        return said
    warning = "missing_agent_session_stopped_event_subscription"
    return said | {"warning": warning, "response_metadata": {"warnings": [warning]}}


@method("agents.sessions.rename", "chat:write", required="channel_id title")
def rename_session(server: SlackServer, arguments: Json) -> Json:
    where = (str(arguments["channel_id"]), str(arguments.get("thread_ts") or ""))
    session = server.sessions.get(where)
    if session is None:
        raise Refused("session_not_found")
    return {"title": server.set_session(*where, session.status, str(arguments["title"]), rename=True).title}


@method("assistant.threads.setStatus", "chat:write", "assistant:write", required="channel_id thread_ts")
def set_assistant_status(server: SlackServer, arguments: Json) -> Json:
    """An empty status takes the line away; so does any message of the bot in the thread."""
    where = _thread(server, arguments, "invalid_thread_ts")
    server.set_typing(*where, str(arguments.get("status") or ""))
    return {}


@method("assistant.threads.setTitle", "assistant:write", required="channel_id thread_ts title")
def set_assistant_title(server: SlackServer, arguments: Json) -> Json:
    server.titles[_thread(server, arguments, "invalid_thread_ts")] = str(arguments["title"])
    return {}


@method("assistant.threads.setSuggestedPrompts", "assistant:write", required="channel_id prompts")
def set_suggested_prompts(server: SlackServer, arguments: Json) -> Json:
    """At most four, in a thread or, for an agent, at the top of the conversation."""
    if not server.features.agent:
        raise Refused("not_agent_app")
    channel = place(server, arguments["channel_id"])
    prompts = arguments["prompts"]
    good = isinstance(prompts, list) and all(
        isinstance(prompt, dict) and prompt.get("title") and prompt.get("message") for prompt in prompts
    )
    if not good or not 1 <= len(prompts) <= 4:
        told = [f"[ERROR] 1 to 4 prompts with title and message, got {json.dumps(prompts)[:200]}"]
        raise Refused("invalid_arguments", response_metadata={"messages": told})
    server.prompts[channel.id, str(arguments.get("thread_ts") or "")] = tuple(prompts)
    return {}
