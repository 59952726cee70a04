"""Guards the HTTP server's connections: deadlines for what a caller sends and reads, admission, strict heads.

uvicorn has a time limit for idle connections alone: one byte of a request lifts it, for ever. Here every state in which
we wait for a caller has a deadline: the head, the body, and an answer that nobody reads. Work of our own has none, and
neither has an event stream whose reader keeps up. What a request means is the business of `bot.web.server`.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from bot.web.admission import Admission
from bot.web.strict import StrictConnection
from store.text import one_line

TOO_MANY = "too many connections"
REFUSALS_SECONDS = 60.0
"""Refusals of one kind are logged at most once within this time."""

log = structlog.get_logger(__name__)


class GuardedConfig(uvicorn.Config):
    """Carries what the connections of one server share."""

    def __init__(self, app: Any, admission: Admission, **more: Any) -> None:
        # Without WebSockets, whose protocol would take over a connection and leave its guard behind.
        super().__init__(app, http=GuardedProtocol, ws="none", **more)
        self.admission = admission
        self.refusals = SeldomLog()


class SeldomLog:
    """Logs what was refused, seldom: a caller must not be able to fill the log."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, int]] = {}

    def log(self, why: str, host: str) -> None:
        last, times = self._since.get(why, (float("-inf"), 0))
        now = time.monotonic()
        if now - last < REFUSALS_SECONDS:
            self._since[why] = (last, times + 1)
            return
        self._since[why] = (now, 0)
        log.warning("request_refused", why=why, address=host, more=times)


class GuardedProtocol(H11Protocol):
    """One connection."""

    conn: StrictConnection

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, GuardedConfig)
        self.conn = StrictConnection()
        self._admission, self._refusals = config.admission, config.refusals
        self._limits = self._admission.limits
        self._waits_for: tuple[object, int] | None = None
        """The state of the request, and which one it is."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    # What happens on the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._admission.admit(self, self._host):
            self._watch()
        else:
            self._refuse(503, TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._admission.leave(self)
        for timer in (self._deadline, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.write_seconds, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, self.conn.why or "it is not HTTP/1.1")

    def shutdown(self) -> None:
        if not self.transport.is_closing():  # h11 does not know of answers that it did not write.
            super().shutdown()

    def make_room(self) -> None:
        self._give_up(503, TOO_MANY)

    # Deadlines

    def _watch(self) -> None:
        """Set the deadline for what we wait for now. One that runs for the same part of the same request stays."""
        if self.transport.is_closing():
            waits_for: tuple[object, int] = ("end", 0)
        else:
            waits_for = (self.conn.their_state, self.conn.heads)
        if waits_for == self._waits_for:
            return
        self._waits_for = waits_for
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        match waits_for[0]:
            case "end":
                self._deadline = self.loop.call_later(self._limits.linger_seconds, self._abort)
            case h11.IDLE:
                self._admission.waits(self)
                self._deadline = self.loop.call_later(self._limits.head_seconds, self._too_slow)
            case h11.SEND_BODY:
                self._deadline = self.loop.call_later(self._limits.body_seconds, self._too_slow)
            case _:
                self._admission.has_asked(self)

    def _too_slow(self) -> None:
        self._give_up(408, "the request took too long")

    def _give_up(self, status: int, why: str) -> None:
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # It has not begun a request.
            self._watch()
        else:
            self._refuse(status, why)

    def _refuse(self, status: int, why: str) -> None:
        """Answer, if no answer has begun, and close."""
        self._refusals.log(why, self._host)
        if not self.transport.is_closing():
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(_answer(status, why))
            self.transport.close()
        if self.cycle and not self.cycle.response_complete:
            # The application has nobody to answer any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._watch()

    def _abort(self) -> None:
        """Close without waiting until the caller has read what was sent."""
        self.transport.abort()

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""


def _answer(status: int, why: str) -> bytes:
    body = f"{one_line(why, 100).capitalize()}.\n".encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
