"""Callers who are slow, many or ambiguous, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import structlog.testing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.web.admission import Limits
from bot.web.server import SHUTDOWN_SECONDS_MAX, serving
from bot.web.strict import HEAD_BYTES_MAX
from tests.patience import PATIENCE_SECONDS

OTHER_HOST = "127.0.0.2"
needs_other_host = pytest.mark.skipif(
    sys.platform != "linux", reason="sudo ifconfig lo0 alias 127.0.0.2 makes another address; Linux has them all"
)
SOON = 0.05
NEVER = 10 * PATIENCE_SECONDS
PATIENT = Limits(head_seconds=NEVER, body_seconds=NEVER, write_seconds=NEVER, linger_seconds=NEVER)
HEAD = b"POST /echo HTTP/1.1\r\nHost: bot\r\n"
ASKED = b"GET / HTTP/1.1\r\nHost: bot\r\n\r\n"


@dataclass
class Door:
    """A server, and who knocks."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    """The bodies that the application read whole."""
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    """A body ended before its end."""
    works: asyncio.Event = field(default_factory=asyncio.Event)
    """The application was asked for what takes long."""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    gave_up: asyncio.Event = field(default_factory=asyncio.Event)
    """The endless answer ended."""
    clients: list[Client] = field(default_factory=list)

    async def knock(self, sent: bytes = b"", host: str = "127.0.0.1") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(host, 0))
        client = Client(reader, writer)
        self.clients.append(client)
        writer.write(sent)
        return client


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self) -> bytes:
        """Until the server closes."""
        found = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while part := await self.reader.read(100_000):
                    found += part
        return found

    async def answer(self) -> bytes:
        """The next one, whose length is told."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await self.reader.readexactly(int(length.partition(b":")[2]))


@contextlib.asynccontextmanager
async def opened(limits: Limits) -> AsyncIterator[Door]:
    async def echo(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            door.cut_off.set()
            return Response(status_code=408)
        door.heard.append(body)
        return PlainTextResponse(body)

    async def hello(_: Request) -> Response:
        return PlainTextResponse("hello")

    async def slow(_: Request) -> Response:
        door.works.set()
        await door.may_answer.wait()
        return PlainTextResponse("at last")

    async def endless(_: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 100_000
                    await asyncio.sleep(0)
            finally:
                door.gave_up.set()

        return StreamingResponse(parts())

    app = Starlette(
        routes=[
            Route("/", hello),
            Route("/echo", echo, methods=["POST"]),
            Route("/slow", slow),
            Route("/endless", endless),
        ]
    )
    door = Door()
    try:
        async with serving(app, "127.0.0.1", 0, limits) as url:
            door.port = int(url.rpartition(":")[2])
            yield door
            door.may_answer.set()
    finally:  # Only now: the server stops without the help of its callers.
        for client in door.clients:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


# Slow


@pytest.mark.parametrize(
    "sent", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: bot\r\nX-Header", ASKED + b"GET / HTTP/1.1\r\nHo"]
)
async def test_half_a_head_is_not_held(sent: bytes) -> None:
    async with opened(Limits(head_seconds=SOON)) as door:
        client = await door.knock(sent)
        assert (await client.rest()).rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")


async def test_a_head_that_comes_byte_by_byte_has_one_deadline_and_not_one_for_each() -> None:
    async with opened(Limits(head_seconds=0.3)) as door:
        client, sent = await door.knock(), 0

        async def drip() -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError):
                while True:
                    client.writer.write(b"G")
                    await client.writer.drain()
                    sent += 1
                    await asyncio.sleep(0.001)

        dripping = asyncio.create_task(drip())
        await client.rest()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        assert sent < HEAD_BYTES_MAX, "it was not its length that ended it"


async def test_who_says_nothing_is_closed_without_a_word() -> None:
    async with opened(Limits(head_seconds=SOON)) as door:
        assert await (await door.knock()).rest() == b""


@pytest.mark.parametrize("path", [b"/echo", b"/"])
@pytest.mark.parametrize(
    "length", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
async def test_half_a_body_is_not_held_and_never_read_as_a_whole_one(path: bytes, length: bytes) -> None:
    async with opened(Limits(body_seconds=SOON)) as door:
        client = await door.knock(b"POST " + path + b" HTTP/1.1\r\nHost: bot\r\n" + length)
        told = await client.rest()
        if path == b"/echo":
            assert told.startswith(b"HTTP/1.1 408 ")
            await asyncio.wait_for(door.cut_off.wait(), PATIENCE_SECONDS)
        else:
            assert told.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 408 "))
        assert door.heard == []


async def test_who_does_not_read_is_not_written_to_for_ever() -> None:
    async with opened(Limits(write_seconds=SOON)) as door:
        client = await door.knock(b"GET /endless HTTP/1.1\r\nHost: bot\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(door.gave_up.wait(), PATIENCE_SECONDS)
        assert await client.rest(), "what was under way still comes, and then an end"


async def test_work_of_our_own_has_no_deadline() -> None:
    hasty = Limits(head_seconds=1, body_seconds=SOON, write_seconds=SOON, linger_seconds=SOON)
    async with opened(hasty) as door:
        client = await door.knock(b"GET /slow HTTP/1.1\r\nHost: bot\r\n\r\n")
        assert b"408" in await (await door.knock(b"G")).rest(), "all deadlines have passed"
        door.may_answer.set()
        assert (await client.answer()).endswith(b"at last")


async def test_one_connection_serves_many_requests_each_with_a_deadline_of_its_own() -> None:
    async with opened(PATIENT) as door:
        client = await door.knock()
        for text in (b"one", b"two"):
            client.writer.write(HEAD + b"Content-Length: 3\r\n\r\n" + text)
            assert (await client.answer()).endswith(text)
        client.writer.write(ASKED + ASKED)
        for _ in range(2):
            assert (await client.answer()).endswith(b"hello")
        assert door.heard == [b"one", b"two"]


# Many


@needs_other_host
async def test_there_is_a_limit_and_a_share_for_each_address() -> None:
    async with opened(Limits(connections_max=5, connections_per_address_max=3, head_seconds=NEVER)) as door:
        held = [await door.knock(b"GET / HT") for _ in range(3)]
        assert b"hello" not in await (await door.knock(ASKED)).rest()
        other = await door.knock(ASKED, host=OTHER_HOST)
        assert (await other.answer()).endswith(b"hello")
        held[0].writer.write(b"TP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n")
        assert (await held[0].rest()).endswith(b"hello"), "who was let in stays"
        again = await door.knock(ASKED)
        assert (await again.answer()).endswith(b"hello"), "and leaves the place free"


async def test_who_waits_longest_for_the_rest_of_a_request_makes_room() -> None:
    async with opened(Limits(connections_max=3, head_seconds=NEVER, body_seconds=NEVER)) as door:
        slow = await door.knock(b"GET /slow HTTP/1.1\r\nHost: bot\r\n\r\n")
        await asyncio.wait_for(door.works.wait(), PATIENCE_SECONDS)
        oldest = await door.knock(b"GET / HT")
        newer = await door.knock(HEAD + b"Content-Length: 3\r\n\r\n")
        for _ in range(2):
            assert (await (await door.knock(ASKED + b"GET")).answer()).endswith(b"hello")
        for pushed_out in (oldest, newer):
            assert (await pushed_out.rest()).startswith(b"HTTP/1.1 503 ")
        door.may_answer.set()
        assert (await slow.answer()).endswith(b"at last"), "nobody loses an answer that we work on"


@needs_other_host
async def test_a_hundred_times_more_than_may_connect_do_not_keep_anybody_out() -> None:
    async with opened(Limits(connections_max=5, connections_per_address_max=4, head_seconds=NEVER)) as door:
        for _ in range(500):
            await door.knock(b"GET / HTTP/1.1\r\nHost: bot\r\n")
        friend = await door.knock(ASKED, host=OTHER_HOST)
        assert (await friend.answer()).endswith(b"hello")


async def test_half_requests_do_not_keep_us_from_stopping() -> None:
    async with asyncio.timeout(SHUTDOWN_SECONDS_MAX - 1), opened(PATIENT) as door:
        for sent in (b"", b"GET / HT", ASKED):
            await door.knock(sent)


# Ambiguous


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"two lengths"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"two lengths"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", b"not http"),
        (b"Content-Length: 3\r\nHost: other\r\n", b"not http"),
        (b"Content-Length: 3\r\nlast-event-id: 1\r\nLast-Event-ID: 1\r\n", b"last-event-id"),
        (b"Content-Length: 3\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n", b"idempotency-key"),
        (b"Content-Length: 3\r\nX-Note: a\r\n b\r\n", b"folded"),
        (b"Content-Length: 3\r\nX-Note: a\r\n\tAuthorization: b\r\n", b"folded"),
        (b"Content-Length: 3\nX-Note: a\r\n", b"carriage return"),
        (b"Content-Length : 3\r\n", b"not http"),
        (b"Transfer-Encoding: chunked, chunked\r\n", b"not http"),
        (b"Transfer-Encoding: xchunked\r\n", b"not http"),
        (b"Content-Length: 3\r\nX: " + b"x" * HEAD_BYTES_MAX + b"\r\n", b"too long"),
    ],
)
async def test_what_two_readers_could_understand_differently_is_refused(headers: bytes, why: bytes) -> None:
    async with opened(PATIENT) as door:
        client = await door.knock(HEAD + headers + b"\r\nabc")
        told = await client.rest()
        assert told.startswith(b"HTTP/1.1 400 "), told
        assert why in told.lower()
        assert door.heard == []
        after = await door.knock(ASKED)
        assert (await after.answer()).endswith(b"hello")


async def test_the_second_of_two_requests_at_once_is_looked_at_as_the_first() -> None:
    async with opened(PATIENT) as door:
        client = await door.knock(ASKED + HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        told = await client.rest()
        assert (told.count(b"HTTP/1.1 200 "), told.count(b"HTTP/1.1 400 ")) == (1, 1)
        assert door.heard == []


async def test_a_body_may_hold_what_a_head_may_not() -> None:
    async with opened(PATIENT) as door:
        body = b"a\n b\n\tc\r\n"
        client = await door.knock(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await client.answer()).endswith(body)


async def test_what_is_refused_is_logged_once_and_not_for_each() -> None:
    with structlog.testing.capture_logs() as logs:
        async with opened(PATIENT) as door:
            for _ in range(20):
                await (await door.knock(HEAD + b"X-Note: a\r\n b\r\n\r\n")).rest()
    (line,) = [line for line in logs if line["event"] == "request_refused"]
    assert (line["why"], line["address"]) == ("a header is folded over two lines", "127.0.0.1")
