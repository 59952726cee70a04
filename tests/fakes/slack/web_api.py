"""The Web API's door: reads a call, checks its token, its scopes, the rate and the planned faults, and answers.

The methods themselves are in `chat_api`, `streams_api`, `conversations_api`, `people_api` and `views_api`; each is a
function of the server and the arguments that returns the answer's fields or raises Refused. They are not async: an
effect is whole or is not there. Not here: tiers per method and workspace, warnings about charset or missing text, and
user tokens.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.slack.faults import Call, Fault
from tests.fakes.slack.limits import Refused
from tests.fakes.slack.workspace import Json

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer

Handle = Callable[["SlackServer", Json], Json]


@dataclass(frozen=True)
class Method:
    name: str
    handle: Handle
    scopes: tuple[str, ...] = ()
    """One of these is enough. Those that depend on the kind of channel are checked by the method itself."""
    required: tuple[str, ...] = ()
    app_token: bool = False


METHODS: dict[str, Method] = {}


def method(name: str, *scopes: str, required: str = "", app_token: bool = False) -> Callable[[Handle], Handle]:
    """Registers a method. `required`: the names of the arguments that must be there."""

    def register(handle: Handle) -> Handle:
        METHODS[name] = Method(name, handle, scopes, tuple(required.split()), app_token)
        return handle

    return register


# Arguments that are JSON inside a form or a query.
_JSON_ARGUMENTS = {
    "blocks",
    "attachments",
    "metadata",
    "view",
    "chunks",
    "prompts",
    "loading_messages",
    "message",
    "files",
}
# What counts for the rate of posting, about one message per second and channel.
POSTING = {"chat.postMessage", "chat.postEphemeral", "chat.startStream"}


async def answer(server: SlackServer, request: web.Request) -> web.StreamResponse:
    """Handles `/api/{method}`."""
    name = request.match_info["method"]
    arguments = await _arguments(request)
    token = _token(request, arguments)
    call = server.record(Call(len(server.calls), name, arguments, server.clock(), token))
    try:
        return await _answer(server, request, call)
    except asyncio.CancelledError:
        server.record(replace(call, status=0))
        raise


async def _answer(server: SlackServer, request: web.Request, call: Call) -> web.StreamResponse:
    name, arguments = call.method, call.args
    if fault := await _interfere(server, request, call, after_effect=False):
        return await _fail(server, request, call, fault)
    wait_seconds = server.posting_wait_seconds(str(arguments.get("channel"))) if name in POSTING else 0
    if wait_seconds:
        return _send(server, call, {"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(wait_seconds)})
    try:
        said: Json = {"ok": True} | _run(server, name, call.token, dict(arguments))
    except Refused as refused:
        said = {"ok": False, "error": refused.error} | refused.fields
    # Told before the answer is on its way: a test may act between the effect and the bot's knowing of it.
    server.changes.tell()
    if fault := await _interfere(server, request, call, after_effect=True):
        return await _fail(server, request, call, fault)
    return _send(server, call, said)


def _run(server: SlackServer, name: str, token: str | None, arguments: Json) -> Json:
    found = METHODS.get(name)
    if found is None:
        raise Refused("unknown_method", req_method=name)
    if not token:
        raise Refused("not_authed")
    if token not in (server.bot_token, server.app_token):
        raise Refused("invalid_auth")
    if (token == server.app_token) != found.app_token:
        raise Refused("not_allowed_token_type")
    if found.scopes:
        need_scope(server, *found.scopes)
    missing = [argument for argument in found.required if arguments.get(argument) in (None, "")]
    if missing:
        told = [f"[ERROR] missing required field: {argument}" for argument in missing]
        raise Refused(_MISSING.get(missing[0], "invalid_arguments"), response_metadata={"messages": told})
    return found.handle(server, arguments)


_MISSING = {"channel": "channel_not_found", "ts": "message_not_found", "users": "users_list_not_supplied"}


def need_scope(server: SlackServer, *scopes: str) -> None:
    """Raises Refused missing_scope unless the installation has one of them."""
    if not server.scopes.intersection(scopes):
        raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(sorted(server.scopes)))


async def _interfere(server: SlackServer, request: web.Request, call: Call, *, after_effect: bool) -> Fault | None:
    for hold in server.holds:
        if hold.fits(call.method, call.args, after_effect):
            await hold.wait(call.args)
            # The gate may have opened in the moment when the bot was killed, before its end was noticed here.
            if _hung_up(request):
                return Fault(call.method, cut=True)
    fault = next((fault for fault in server.faults if fault.fits(call.method, call.args, after_effect)), None)
    return fault.use() if fault else None


def _hung_up(request: web.Request) -> bool:
    if request.transport is None or request.transport.is_closing():
        return True
    own = request.transport.get_extra_info("socket")
    with socket.socket(fileno=os.dup(own.fileno())) as peer:
        try:
            return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


async def _fail(server: SlackServer, request: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
    if fault.cut:
        server.record(replace(call, status=0))
        if request.transport:
            request.transport.close()
        return web.Response()
    headers = {} if fault.retry_after_seconds is None else {"Retry-After": str(fault.retry_after_seconds)}
    if fault.body is not None:
        server.record(replace(call, status=fault.status))
        return web.Response(body=fault.body, status=fault.status, headers={"Content-Type": "text/html"} | headers)
    return _send(server, call, {"ok": False, "error": fault.error}, fault.status, headers)


def _send(
    server: SlackServer, call: Call, said: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    server.record(replace(call, answer=said, status=status))
    scopes = {"X-OAuth-Scopes": ",".join(sorted(server.scopes))} if call.token == server.bot_token else {}
    needed = METHODS[call.method].scopes if call.method in METHODS else ()
    accepted = {"X-Accepted-OAuth-Scopes": ",".join(needed)} if needed else {}
    return web.json_response(said, status=status, headers={**scopes, **accepted, **(headers or {})})


async def _arguments(request: web.Request) -> Json:
    """Query, form and JSON, all three at once: slack_sdk sends a POST whose arguments are in the query."""
    arguments: Json = dict(request.query)
    if request.content_type == "application/json":
        body = await request.read()
        try:
            given = json.loads(body) if body else {}
        except ValueError:
            given = {}
        arguments |= given if isinstance(given, dict) else {}
    elif request.method == "POST":
        arguments |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    return {key: _unpacked(key, value) for key, value in arguments.items() if value is not None}


def _unpacked(key: str, value: Any) -> Any:
    if key in _JSON_ARGUMENTS and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _token(request: web.Request, arguments: Json) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    named = arguments.pop("token", None)
    return token if scheme == "Bearer" and token else named


def truth(arguments: Json, key: str) -> bool:
    """slack_sdk sends 1 and 0 in forms and true and false in JSON."""
    return arguments.get(key) in (True, 1, "1", "true", "True")
