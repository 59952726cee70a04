"""Authenticates the callers of the HTTP API by their tokens, before a body is read, and limits the size of bodies.

Every failure is an RFC 9457 problem document. It repeats nothing of the request except names, and the log of it
(`bot.web.refusals`) holds no token. What a caller may do with a token is asked by the routes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from math import ceil
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.team.people import People
from bot.team.tokens import Token, Tokens
from bot.web.refusals import Refusals
from store.authority.words import MACHINE
from store.text import one_line
from store.values import Person

BODY_BYTES_MAX = 1_000_000
DETAIL_CHARS_MAX = 1_000
ADDRESS_CHARS_MAX = 100
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Caller:
    """Somebody with a token of ours. A machine is nobody in [people]: it has no `Person.member`."""

    name: str
    """Of the token."""
    token: Token
    person: Person
    proof: str
    """As in `ApprovalDecided.proof`."""
    addresses: frozenset[str]
    """All of the person, in lower case."""
    groups: tuple[str, ...] = ()


def caller_of(name: str, token: Token, people: People) -> Caller:
    """The caller with the token of this name."""
    member = people.members.get(token.owner)
    if member:
        person = Person(
            name=member.name or token.owner, address=token.owner, member=token.owner, token=name, trust="verified"
        )
        addresses = people.addresses_of(token.owner)
        return Caller(name, token, person, f"API token {name} of {token.owner}", addresses, member.groups)
    # With its colon, the address of a machine is that of no person and of no mailbox.
    address = MACHINE if name == MACHINE else f"{MACHINE}:{name}"
    proof = "BOT_API_TOKEN" if name == MACHINE else f"API token {name}"
    return Caller(name, token, Person(name=address, address=address, trust="verified"), proof, frozenset({address}))


@dataclass(frozen=True)
class Door:
    """Who is let in: the tokens that there are, and what has been refused lately."""

    tokens: Tokens
    people: People
    refusals: Refusals
    now: Callable[[], datetime]

    def judged(self, scope: Scope) -> Caller | Response:
        """The caller of a request, or the answer to somebody who is none."""
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        kind, _, text = (given[0] if given else b"").decode(errors="surrogateescape").partition(" ")
        name = self.tokens.name_of(text.strip()) if kind.lower() == "bearer" and len(given) == 1 else ""
        address = address_of(scope)
        if seconds := self.refusals.wait_seconds(address, name):
            wait = {"Retry-After": str(ceil(seconds))}
            return problem(429, "Too many requests from here were refused. Try again later.", headers=wait)
        if len(given) > 1:
            self.refusals.refused(address, "two_tokens")
            return problem(400, "There are two Authorization headers. Send one.")
        if not name:
            self.refusals.refused(address, "wrong_token" if given else "no_token")
            return _unknown("The token is not valid." if given else "There is no token.", is_wrong=bool(given))
        token = self.tokens.by_name[name]
        if self.now() >= token.until:
            self.refusals.refused(address, "token_ended", name)
            return _unknown("The token has ended.", is_wrong=True)
        self.refusals.accepted(address, name)
        return caller_of(name, token, self.people)


def address_of(scope: Scope) -> str:
    """Where a request comes from. A proxy before us may have been told anything."""
    client = scope.get("client")
    return one_line(str(client[0]), ADDRESS_CHARS_MAX) if client else "unknown"


def _unknown(what: str, *, is_wrong: bool) -> Response:
    error = ', error="invalid_token"' if is_wrong else ""
    challenge = {"WWW-Authenticate": f'Bearer realm="deploybot"{error}'}
    return problem(401, f"{what} Send one as `Authorization: Bearer TOKEN`.", headers=challenge)


class Authentication:
    """ASGI middleware for everything under /api. It puts the caller into `scope["state"]["caller"]`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith("/api/"):
            await self._app(scope, receive, send)
            return
        caller = self._door.judged(scope)
        if isinstance(caller, Response):
            await caller(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            body = await _body(receive) if declared.isdigit() and len(declared) <= 9 else None
        except ClientDisconnect:
            return  # Half a request is none, and nobody is there to be told.
        if body is None or int(declared) > BODY_BYTES_MAX:
            await problem(413, f"A body may have at most {BODY_BYTES_MAX:,} bytes.")(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, _again(body, receive), send)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None: it is too long. Raises ClientDisconnect if it ends before its end."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
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
