"""views.*, and what interactivity hands out to answer with: trigger ids and response URLs.

A trigger lives 3 seconds and opens one thing; a response URL 30 minutes and takes five answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.slack.chat_api import by_bot
from tests.fakes.slack.limits import VIEW_STACK_MAX, Refused, check_blocks, check_view
from tests.fakes.slack.web_api import method, truth
from tests.fakes.slack.workspace import Json

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer

TRIGGER_SECONDS = 3.0
RESPONSE_URL_SECONDS = 30 * 60.0
RESPONSE_URL_USES_MAX = 5


@dataclass(frozen=True)
class View:
    """A modal that is or was open, or someone's App Home."""

    id: str
    user: str
    content: Json
    """As the bot gave it; blocks and inputs without an id were given one."""
    hash: str
    root_id: str
    previous_id: str | None = None
    is_open: bool = True
    errors: tuple[tuple[str, str], ...] = ()
    """What the bot said against the last submission: block id and text."""

    @property
    def title(self) -> str:
        return str(self.content.get("title", {}).get("text", ""))

    @property
    def private_metadata(self) -> str:
        return str(self.content.get("private_metadata") or "")

    @property
    def callback_id(self) -> str:
        return str(self.content.get("callback_id") or "")


@dataclass(frozen=True)
class Trigger:
    user: str
    until: float
    view_id: str | None = None
    """The view it came from, for views.push."""
    used: bool = False


@dataclass(frozen=True)
class ResponseUrl:
    user: str
    channel: str
    ts: str
    """The message that was clicked."""
    until: float
    uses: int = 0


def view_json(server: SlackServer, view: View, state: Json | None = None) -> Json:
    workspace = server.workspace
    defaults: Json = {"private_metadata": "", "callback_id": "", "external_id": "", "close": None, "submit": None}
    flags = {"clear_on_close": False, "notify_on_close": False, "submit_disabled": False}
    return {
        "id": view.id,
        "team_id": workspace.team_id,
        **defaults,
        **flags,
        **view.content,
        "state": {"values": state or {}},
        "hash": view.hash,
        "root_view_id": view.root_id,
        "previous_view_id": view.previous_id,
        "app_id": workspace.app_id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.bot.bot_id,
    }


def _trigger(server: SlackServer, trigger_id: Any) -> Trigger:
    trigger = server.triggers.get(str(trigger_id))
    if trigger is None:
        raise Refused("invalid_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    if server.clock() > trigger.until:
        raise Refused("expired_trigger_id")
    return trigger


def _checked(server: SlackServer, content: Any, kind: str, but: str | None = None) -> Json:
    check_view(content)
    if content["type"] != kind:
        told = [f"[ERROR] unsupported type: {content['type']} [json-pointer:/view/type]"]
        raise Refused("invalid_arguments", response_metadata={"messages": told})
    external = content.get("external_id")
    others = (view for view in server.all_views.values() if view.is_open and view.id != but)
    if external and any(view.content.get("external_id") == external for view in others):
        raise Refused("duplicate_external_id")
    return {**content, "blocks": list(server.named(content["blocks"]))}


def open_view(server: SlackServer, user: str, content: Json, previous: View | None = None) -> View:
    """A new modal on the person's screen, over `previous` if there is one."""
    view_id = server.workspace.new_id("V")
    root_id, previous_id = (previous.root_id, previous.id) if previous else (view_id, None)
    view = View(view_id, user, content, server.workspace.new_ts(), root_id, previous_id)
    server.put_view(view)
    return view


@method("views.open", required="trigger_id view")
def open_(server: SlackServer, arguments: Json) -> Json:
    trigger = _trigger(server, arguments["trigger_id"])
    content = _checked(server, arguments["view"], "modal")
    server.triggers[arguments["trigger_id"]] = replace(trigger, used=True)
    return {"view": view_json(server, open_view(server, trigger.user, content))}


@method("views.push", required="trigger_id view")
def push(server: SlackServer, arguments: Json) -> Json:
    trigger = _trigger(server, arguments["trigger_id"])
    previous = server.all_views.get(trigger.view_id or "")
    if previous is None or not previous.is_open:
        raise Refused("not_found")
    if len(server.view_stack(previous)) >= VIEW_STACK_MAX:
        raise Refused("push_limit_reached")
    content = _checked(server, arguments["view"], "modal")
    server.triggers[arguments["trigger_id"]] = replace(trigger, used=True)
    return {"view": view_json(server, open_view(server, trigger.user, content, previous))}


@method("views.update", required="view")
def update(server: SlackServer, arguments: Json) -> Json:
    named = (arguments.get("view_id"), arguments.get("external_id"))
    view = next(
        (
            view
            for view in server.all_views.values()
            if view.is_open and (view.id == named[0] or (named[1] and view.content.get("external_id") == named[1]))
        ),
        None,
    )
    if view is None:
        raise Refused("not_found")
    if arguments.get("hash") and arguments["hash"] != view.hash:
        raise Refused("hash_conflict")
    content = _checked(server, arguments["view"], view.content["type"], but=view.id)
    after = replace(view, content=content, hash=server.workspace.new_ts(), errors=())
    server.put_view(after)
    return {"view": view_json(server, after)}


@method("views.publish", required="user_id view")
def publish(server: SlackServer, arguments: Json) -> Json:
    if not server.features.home_tab:
        raise Refused("not_enabled")
    user = server.workspace.users.get(str(arguments["user_id"]))
    if user is None:
        raise Refused("user_not_found")
    before = server.home_of(user)
    if before and arguments.get("hash") and arguments["hash"] != before.hash:
        raise Refused("hash_conflict")
    content = _checked(server, arguments["view"], "home", but=before.id if before else None)
    if before:
        after = replace(before, content=content, hash=server.workspace.new_ts())
    else:
        view_id = server.workspace.new_id("V")
        after = View(view_id, user.id, content, server.workspace.new_ts(), view_id)
    server.put_view(after)
    return {"view": view_json(server, after)}


def take_response(server: SlackServer, key: str, body: Any) -> None:
    """What a bot sends to a response URL. Raises Refused; Slack answers those with 404."""
    url = server.response_urls.get(key)
    if url is None or server.clock() > url.until:
        raise Refused("expired_url")
    if url.uses >= RESPONSE_URL_USES_MAX:
        raise Refused("used_url")
    if not isinstance(body, dict):
        raise Refused("invalid_payload")
    server.response_urls[key] = replace(url, uses=url.uses + 1)
    workspace = server.workspace
    original = workspace.message(url.channel, url.ts)
    if truth(body, "delete_original"):
        if original:
            server.remove(original)
        return
    blocks = body.get("blocks") or []
    check_blocks(blocks)
    if not body.get("text") and not blocks:
        raise Refused("no_text")
    content: Json = {"text": body.get("text") or "", "blocks": server.named(blocks)}
    if truth(body, "replace_original"):
        if original is None:
            raise Refused("message_not_found")
        server.change(original, replace(original, **content, edited_ts=workspace.new_ts(), edited_by=original.bot_id))
        return
    everyone = body.get("response_type") == "in_channel"
    channel = workspace.channel(url.channel)
    message = by_bot(server, channel, thread_ts=body.get("thread_ts"), **content)
    server.post(message if everyone else replace(message, visible_to=url.user))
