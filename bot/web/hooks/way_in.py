"""`POST /hooks/NAME`: reads a bounded body, has its sender proven, and only then looks at what it says.

The order is part of what it promises: no such hook, too large, not proven, of another type, unreadable, taken. So who
proves nothing learns nothing but that the hook is there, and nothing of theirs is parsed. What is answered with 2xx is
durable. A service that is told 5xx sends again, or a person does: `bot hooks replay`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.web.callers import address_of, problem, reply
from bot.web.guard import SeldomLog
from bot.web.hooks.taking import Hook, Hooks
from channels.hooks.kind import Delivery, Posted, Unreadable, headers_of
from channels.hooks.payload import is_json
from store.base import NoteStore, StoreUnavailable
from store.codec import EventTooLarge
from store.text import one_line

BODY_BYTES_MAX = 10_000_000
"""GitHub sends at most 25 MB, and hardly ever more than one."""
SMALL_BYTES = 256_000
LARGE_BYTES_MAX = 64_000_000
"""What of all bodies that are being read lies beyond SMALL_BYTES, before anybody has proven anything."""
RETRY_SECONDS = 5
REFUSED_EVERY = timedelta(seconds=10)
"""How often it is noted that a hook refused something, so that nobody can keep the store busy."""

log = structlog.get_logger(__name__)


class TooLarge(Exception):
    pass


class NoRoom(Exception):
    """Others are sending large bodies."""


class WayIn:
    """The route. One for each process."""

    def __init__(self, hooks: Hooks, store: NoteStore) -> None:
        self._hooks = hooks
        self._refusals = Refusals(store, hooks)
        self._held = 0

    @property
    def route(self) -> Route:
        return Route("/hooks/{name}", self.receive, methods=["POST"])

    async def receive(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        hook = self._hooks.by_name.get(name)
        if hook is None:
            return problem(404, f"There is no hook {one_line(name, 60)}.")
        headers = _joined(request)
        declared = headers.get("content-length", "0")
        if not declared.isdigit() or len(declared) > 12 or int(declared) > BODY_BYTES_MAX:
            return problem(413, f"A body may have at most {BODY_BYTES_MAX:,} bytes.")
        if missing := hook.kind.proof(hook.options).missing(headers):
            return await self._unproven(request, hook, missing)
        try:
            body = await self._body(request)
        except TooLarge:
            return problem(413, f"A body may have at most {BODY_BYTES_MAX:,} bytes.")
        except NoRoom:
            return _later("Too many large bodies come at once. Send it again.")
        posted = Posted(headers, body, self._hooks.now())
        if why := hook.kind.proof(hook.options).wrong(posted, hook.secrets):
            return await self._unproven(request, hook, why)
        return await self._proven(hook, posted)

    async def _proven(self, hook: Hook, posted: Posted) -> Response:
        media_type = posted.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _takes(hook, media_type):
            wanted = " or ".join(hook.kind.media_types)
            return problem(415, f"The body must be {wanted}, as its Content-Type says.")
        try:
            delivery = hook.kind.read(posted, hook.options)
        except Unreadable as error:
            log.warning("hook_unreadable", hook=hook.name, why=str(error))
            return problem(error.status, str(error))
        named_by, _ = headers_of(hook.kind, hook.options)
        event = posted.headers.get(named_by.lower(), "")
        return await self._taken(hook, delivery, posted.body, event)

    async def _taken(self, hook: Hook, delivery: Delivery, body: bytes, event: str) -> Response:
        try:
            taken = await self._hooks.take(hook, delivery, body, event_header=event)
        except StoreUnavailable as error:
            return _later(str(error))
        except EventTooLarge as error:
            return problem(413, str(error))
        except Unreadable as error:  # What only its own road finds out.
            return problem(error.status, str(error))
        said = {"status": "known" if taken.known else taken.did, **({"why": taken.why} if taken.why else {})}
        return reply(said, 202)

    async def _unproven(self, request: Request, hook: Hook, why: str) -> Response:
        address = address_of(request.scope)
        await self._refusals.refused(hook, address, why)
        challenge = {"WWW-Authenticate": 'Bearer realm="deploybot"'}
        return problem(401, f"It is not proven who sent this: {why}.", headers=challenge)

    async def _body(self, request: Request) -> bytes:
        """Raises TooLarge, NoRoom, and ClientDisconnect if it ends before its end."""
        parts: list[bytes] = []
        size = held = 0
        try:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > BODY_BYTES_MAX:
                    raise TooLarge
                more = max(size - SMALL_BYTES, 0) - held
                if self._held + more > LARGE_BYTES_MAX:
                    raise NoRoom
                self._held, held = self._held + more, held + more
            return b"".join(parts)
        finally:
            self._held -= held


class Refusals:
    """Says seldom that a hook refused something: in the log, and for `bot hooks` in a note."""

    def __init__(self, store: NoteStore, hooks: Hooks) -> None:
        self._store = store
        self._hooks = hooks
        self._log = SeldomLog()
        self._noted: dict[str, float] = {}

    async def refused(self, hook: Hook, address: str, why: str) -> None:
        self._log.log(f"hook {hook.name}: {why}", address)
        now = self._hooks.now()
        if now.timestamp() - self._noted.get(hook.name, 0.0) < REFUSED_EVERY.total_seconds():
            return
        self._noted[hook.name] = now.timestamp()
        name, text = refused_note(hook.name), json.dumps({"at": now.isoformat(), "why": why, "address": address})
        try:
            await self._store.set_note(name, text, expected=await self._store.get_note(name))
        except StoreUnavailable as error:
            log.warning("store_unavailable", hook=hook.name, error=str(error))


def refused_note(hook: str) -> str:
    """The note that says when this hook refused something last, and why."""
    return f"hooks/{hook}/last-refusal"


def _joined(request: Request) -> Mapping[str, str]:
    """A header that comes twice is one with commas (RFC 9110, 5.3), as a proxy would make of it."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    return found


def _takes(hook: Hook, media_type: str) -> bool:
    wanted = hook.kind.media_types
    return media_type in wanted or ("application/json" in wanted and is_json(media_type))


def _later(text: str) -> Response:
    return problem(503, text, headers={"Retry-After": str(RETRY_SECONDS)})
