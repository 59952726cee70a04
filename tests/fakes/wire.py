"""A wire to a server that speaks lines (IMAP, SMTP, Redis): it can be listened to, held at a line, cut and frozen.

    async with Wire(dovecot.imap_port) as wire:                     # clients connect to `wire.port`
        async with wire.hold(r"UID STORE", direction="client") as gate:
            await gate.reached()                                    # the server has not seen that line yet
            gate.release()

Only whole lines are passed on, so that one can be held, until a connection goes over to TLS: then it is bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, Self

from tests.patience import PATIENCE_SECONDS

HOST = "127.0.0.1"

Direction = Literal["client", "server"]

_TLS_HANDSHAKE = b"\x16\x03"


@dataclass(frozen=True)
class Line:
    """`direction` is who said it, `connection` counts from 1; without its line end."""

    direction: Direction
    connection: int
    text: bytes


class Gate:
    """Where a line waits. `line` is the one, once it has been reached."""

    def __init__(self, pattern: re.Pattern[bytes], nth: int, direction: Direction, after: bool) -> None:
        self.line = b""
        self.after = after
        self._pattern = pattern
        self._direction = direction
        self._left = nth
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reached.wait()

    def release(self) -> None:
        self._released.set()

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    def _stops(self, line: Line) -> bool:
        if line.direction != self._direction or not self._pattern.search(line.text):
            return False
        self._left -= 1
        return self._left == 0

    async def _holds(self, line: Line, speaker: _Side) -> bool:
        """Returns when it is released, or false when whoever said the line has gone before that."""
        self.line = line.text
        self._reached.set()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._released, speaker.closed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._released.is_set()


class Wire:
    """`port` leads to `server_port`, which may change. All that was passed on is in `lines`, in order."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.lines: list[Line] = []
        self.connected = 0
        self._refuses = False
        self._gates: list[Gate] = []
        self._connections: set[_Connection] = set()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side("client", self._taken), HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [connection.task for connection in self._connections]
        self.cut()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None, "use it with `async with`"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open(self) -> int:
        """How many connections there are now; `connected` counts those that ever were."""
        return len(self._connections)

    def said(self, direction: Direction) -> list[bytes]:
        return [line.text for line in self.lines if line.direction == direction]

    @contextlib.asynccontextmanager
    async def hold(
        self, pattern: str, nth: int = 1, direction: Direction = "client", after: bool = False
    ) -> AsyncIterator[Gate]:
        """The nth line from now on that has `pattern` in it waits, or with `after` what follows it.

        The other direction goes on. At the end of the block it is released. If either side closes the connection while
        a line is held, that line and what comes after it are lost; `cut` before the end of the block to be sure of it.
        """
        gate = Gate(re.compile(pattern.encode()), nth, direction, after)
        self._gates.append(gate)
        try:
            yield gate
        finally:
            self._gates.remove(gate)
            gate.release()

    def cut(self) -> None:
        """Every connection ends at once, for both sides; new ones are welcome."""
        for connection in list(self._connections):
            connection.cut()

    def freeze(self) -> None:
        """A dead network: nothing gets through, not even that somebody has closed or wants to connect."""
        self._thawed.clear()

    def thaw(self) -> None:
        """What was sent meanwhile arrives."""
        self._thawed.set()

    def refuse(self) -> None:
        """New connections are closed at once. Those that are open stay."""
        self._refuses = True

    def accept(self) -> None:
        self._refuses = False

    def _taken(self, client: _Side) -> None:
        if self._refuses:
            client.abort()
            return
        self.connected += 1
        connection = _Connection(self, client, self.connected)
        self._connections.add(connection)
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))


class _Side(asyncio.Protocol):
    """One end of a connection: what it has said and nobody has taken yet, and whether it is still there."""

    def __init__(self, direction: Direction, taken: Callable[[_Side], None] | None = None) -> None:
        self.direction = direction
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._taken is not None:
            self._taken(self)

    def data_received(self, data: bytes) -> None:
        self.heard.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.put_nowait(b"")
        self.closed.set()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """After what has been written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Connection:
    def __init__(self, wire: Wire, client: _Side, number: int) -> None:
        self._wire = wire
        self._number = number
        self._client = client
        self._server = _Side("server")
        self._is_tls = False
        self.task = asyncio.create_task(self._run())

    def cut(self) -> None:
        self._client.abort()  # not left to the task, which may not have begun yet
        self._server.abort()
        self.task.cancel()

    async def _run(self) -> None:
        try:
            await self._wire._thawed.wait()
            with contextlib.suppress(OSError):  # it is down: the client hears that nobody is there
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: self._server, HOST, self._wire.server_port)
                await asyncio.gather(
                    self._relay(self._client, self._server),
                    self._relay(self._server, self._client),
                )
        finally:
            self._client.abort()
            self._server.abort()

    async def _relay(self, speaker: _Side, listener: _Side) -> None:
        """Until the speaker has closed, which closes the listener as well."""
        rest = b""
        while heard := await speaker.heard.get():
            rest += heard
            self._is_tls |= speaker is self._client and rest.startswith(_TLS_HANDSHAKE)
            if self._is_tls:
                await self._passes(rest, listener)
                rest = b""
            while b"\n" in rest:
                line, _, rest = rest.partition(b"\n")
                if not await self._passes_line(line + b"\n", speaker, listener):
                    await self._passes(b"", listener)
                    listener.close()
                    return
        await self._passes(rest, listener)
        listener.close()

    async def _passes_line(self, data: bytes, speaker: _Side, listener: _Side) -> bool:
        """False if it has got lost: the speaker has gone while it was held."""
        line = Line(speaker.direction, self._number, data.rstrip(b"\r\n"))
        gates = [gate for gate in self._wire._gates if gate._stops(line)]
        for gate in gates:
            if not gate.after and not await gate._holds(line, speaker):
                return False
        await self._passes(data, listener)
        self._wire.lines.append(line)
        for gate in gates:
            if gate.after and not await gate._holds(line, speaker):
                return False
        return True

    async def _passes(self, data: bytes, listener: _Side) -> None:
        await self._wire._thawed.wait()
        listener.write(data)
