"""Authenticates the callers of the HTTP API, before a body is read, and limits the size of bodies.

Every failure is an RFC 9457 problem document. It repeats nothing of the request except names, and logs nothing of it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.team.people import MACHINE, People
from store.text import one_line
from store.values import Person

BODY_BYTES_MAX = 1_000_000
DETAIL_CHARS_MAX = 1_000
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Caller:
    person: Person
    proof: str
    """As in `ApprovalDecided.proof`."""


def caller_of(token: str, people: People, machine_token: str) -> Caller | None:
    """The caller with this token; None: unknown. Takes the same time for a wrong token."""
    member = people.by_token(token)
    if machine_token and hmac.compare_digest(_bytes(token), _bytes(machine_token)):
        return Caller(Person(name=MACHINE, address=MACHINE, trust="verified"), "BOT_API_TOKEN")
    if not member:
        return None
    name = people.members[member].name or member
    return Caller(Person(name=name, address=member, member=member, trust="verified"), f"API token of {member}")


class Authentication:
    """ASGI middleware for everything under /api. It puts the caller into `scope["state"]["caller"]`."""

    def __init__(self, app: ASGIApp, known: Callable[[str], Caller | None]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        scheme, _, token = headers.get(b"authorization", b"").decode(errors="surrogateescape").partition(" ")
        caller = self._known(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            error = ', error="invalid_token"' if scheme else ""
            challenge = {"WWW-Authenticate": f'Bearer realm="deploybot"{error}'}
            what = "The token is not valid." if scheme else "There is no token."
            refusal = problem(401, f"{what} Send one as `Authorization: Bearer TOKEN`.", headers=challenge)
            await refusal(scope, receive, send)
            return
        declared = headers.get(b"content-length", b"0")
        body = await _body(receive) if declared.isdigit() and len(declared) <= 9 else None
        if body is None or int(declared) > BODY_BYTES_MAX:
            await problem(413, f"A body may have at most {BODY_BYTES_MAX:,} bytes.")(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, _again(body, receive), send)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None: it is too long. If the client disconnects, what has arrived so far."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read


def reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """ASCII JSON, because old logs may contain half surrogates, which UTF-8 cannot encode."""
    return Response(json.dumps(content), status, {**HEADERS, **(headers or {})}, "application/json")


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = json.dumps(document | {"detail": one_line(detail, DETAIL_CHARS_MAX)} | more)
    return Response(body, status, {**HEADERS, **(headers or {})}, "application/problem+json")


def _bytes(token: str) -> bytes:
    return token.encode(errors="surrogateescape")
