"""Heads are read the same however the network cuts them, and nothing in them crashes the reader."""

from __future__ import annotations

from itertools import pairwise

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from bot.web.strict import StrictConnection

LINES = (
    *(b"POST / HTTP/1.1\r\n", b"GET /x HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"Host: bot\r\n", b"Host: other\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"X: a\r\n", b" b\r\n"),
    *(
        b"X: a\n",
        b"\tb\r\n",
        b"Last-Event-ID: 1\r\n",
        b"\r\n",
        b"\n",
        b"abc",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"\x16\x03\x01",
    ),
)
ASKED = b"GET / HTTP/1.1\r\nHost: bot\r\n\r\n"


def read(*parts: bytes) -> list[object]:
    """What a server would understand that answers each request at once."""
    connection, understood, body = StrictConnection(), list[object](), b""
    for part in parts:
        connection.receive_data(part)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return [*understood, body, "refused"]
            match event:
                case h11.Request():
                    understood.append((event.method, event.target, list(event.headers)))
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    understood.append(body)
                    body = b""
                    connection.send(h11.Response(status_code=204, headers=[]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is h11.MUST_CLOSE:
                        return understood
                    connection.start_next_cycle()
                case _:
                    break
    return [*understood, body]


@given(st.lists(st.sampled_from(LINES), max_size=12).map(b"".join), st.data())
@example(ASKED + ASKED, None)
def test_it_means_the_same_however_it_is_cut(sent: bytes, data: st.DataObject | None) -> None:
    cut = data.draw(st.lists(st.integers(0, len(sent)), max_size=6).map(sorted)) if data else range(len(sent))
    edges = [0, *cut, len(sent)]
    parts = [sent[start:end] for start, end in pairwise(edges) if start < end]
    assert read(*parts) == read(*filter(None, [sent]))


@given(st.binary(max_size=200))
def test_nothing_that_is_sent_breaks_it(sent: bytes) -> None:
    read(*filter(None, [sent]))
    read(ASKED + sent)
