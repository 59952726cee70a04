"""Socket Mode's end at Slack: tickets, hello, envelopes, acknowledgements, disconnect frames.

At most ten sockets; a payload goes to one of them, in turn. A ticket opens one socket. What a socket has not
acknowledged when it closes is sent again on another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import WSMsgType, web

from tests.fakes.slack.workspace import Json

if TYPE_CHECKING:
    from tests.fakes.slack.delivery import Attempt, Delivery
    from tests.fakes.slack.server import SlackServer

CONNECTIONS_MAX = 10
Reason = Literal["warning", "refresh_requested", "link_disabled", "too_many_websockets"]


@dataclass(eq=False)
class Connection:
    id: str
    ws: web.WebSocketResponse
    request: web.Request
    sent: int = 0
    """Envelopes."""
    pending: dict[str, asyncio.Future[Json | None]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    """Envelopes acknowledged after their time."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Sockets:
    def __init__(self, server: SlackServer, *, ping_seconds: float) -> None:
        self._server = server
        self._ping_seconds = ping_seconds
        self._tickets: set[str] = set()
        self._numbers = itertools.count(1)
        self._turn = itertools.count()
        self.open: list[Connection] = []

    def new_url(self) -> str:
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        host = self._server.url.replace("http://", "ws://")
        return f"{host}/link/?ticket={ticket}&app_id={self._server.workspace.app_id}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPUnauthorized(text="unknown or used ticket")
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(heartbeat=self._ping_seconds, timeout=0.5)
        await ws.prepare(request)
        refusal: Reason | None = None
        if not self._server.features.socket_mode:
            refusal = "link_disabled"
        elif len(self.open) >= CONNECTIONS_MAX:
            refusal = "too_many_websockets"
        if refusal:
            await ws.send_json(_disconnect(refusal))
            await ws.close()
            return ws
        connection = Connection(f"socket-{next(self._numbers)}", ws, request)
        await ws.send_json(self._hello(len(self.open) + 1))
        self.open.append(connection)
        self._server.changes.tell()
        try:
            async for message in ws:
                if message.type == WSMsgType.TEXT:
                    self._received(connection, message.data)
        finally:
            self._gone(connection)
        return ws

    def _hello(self, count: int) -> Json:
        return {
            "type": "hello",
            "num_connections": count,
            "connection_info": {"app_id": self._server.workspace.app_id},
            "debug_info": {"host": "applink-test", "build_number": 1, "approximate_connection_time": 18060},
        }

    def _received(self, connection: Connection, text: str) -> None:
        try:
            said: Any = json.loads(text)
        except ValueError:
            return
        envelope_id = said.get("envelope_id") if isinstance(said, dict) else None
        waiting = connection.pending.pop(str(envelope_id), None)
        if waiting is None:
            connection.late += [str(envelope_id)]
        elif not waiting.done():
            waiting.set_result(said.get("payload"))

    def _gone(self, connection: Connection) -> None:
        self._out_of_turn(connection)
        connection.gone.set()
        for waiting in connection.pending.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError(connection.id))
        self._server.changes.tell()

    async def send(self, delivery: Delivery, attempt: Attempt) -> Attempt:
        """Returns the attempt with its outcome; called by Deliveries."""
        if not self.open:
            return replace(attempt, outcome="no_connection")
        connection = self.open[next(self._turn) % len(self.open)]
        attempt = replace(attempt, via=connection.id)
        envelope: Json = {
            "envelope_id": str(uuid.uuid4()),
            "type": delivery.kind,
            "payload": delivery.payload,
            "accepts_response_payload": delivery.accepts_response_payload,
        }
        if delivery.kind == "events_api":
            envelope |= {"retry_attempt": attempt.number, "retry_reason": attempt.retry_reason or ""}
        waiting: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        connection.pending[envelope["envelope_id"]] = waiting
        connection.sent += 1
        try:
            async with asyncio.timeout(self._server.acknowledge_seconds):
                await connection.ws.send_json(envelope)
                answer = await waiting
        except TimeoutError:
            connection.pending.pop(envelope["envelope_id"], None)
            return replace(attempt, outcome="timeout")
        except ConnectionError:
            connection.pending.pop(envelope["envelope_id"], None)
            return replace(attempt, outcome="connection_failed")
        return replace(attempt, outcome="acknowledged", answer=answer)

    async def disconnect(
        self, reason: Reason, connection: Connection | None = None, *, grace_seconds: float = 1.0
    ) -> None:
        """A `warning` leaves the socket open. After another reason nothing more is sent on it, the bot has the grace
        time to leave, then it is closed; with no grace slack_sdk may connect twice, for the frame and for the close.
        Without `connection`: all of them."""
        for each in [connection] if connection else list(self.open):
            if reason == "warning":
                await each.ws.send_json(_disconnect(reason))
                continue
            self._out_of_turn(each)
            await each.ws.send_json(_disconnect(reason))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(each.gone.wait(), grace_seconds)
            await each.ws.close()

    def cut(self, connection: Connection | None = None) -> None:
        """The network is gone: no frame, no close."""
        for each in [connection] if connection else list(self.open):
            self._gone(each)
            if each.request.transport:
                each.request.transport.abort()

    def _out_of_turn(self, connection: Connection) -> None:
        if connection in self.open:
            self.open.remove(connection)

    async def close(self) -> None:
        for each in list(self.open):
            self._gone(each)
            await each.ws.close(code=1001)


def _disconnect(reason: Reason) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-test"}}
