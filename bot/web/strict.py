"""Refuses requests whose heads two readers could understand differently.

h11 is lenient where RFC 9112 lets it be, and a proxy in front of us may read the same bytes another way: then the two
disagree where a request ends, or who sends it. Such a request is not repaired but refused (RFC 9112, 5.2 and 6.3). h11
itself refuses two Host headers, different lengths, and every transfer coding but `chunked`.
"""

from __future__ import annotations

import re

import h11

ONCE = frozenset((b"idempotency-key", b"last-event-id"))
"""Headers of which a request has at most one, beside Host (h11 counts it) and Authorization (the API does)."""

HEAD_BYTES_MAX = 16_384

_FOLDED = re.compile(rb"\n[ \t]")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class StrictConnection(h11.Connection):
    """The server's side of one connection."""

    heads: int = 0
    """The number of heads that were received whole."""
    why: str = ""
    """Why the last one was refused."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises h11.RemoteProtocolError."""
        before = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.heads += 1
            head = before[: len(before) - len(self.trailing_data[0])]
            self.why = _ambiguous(head, event)
            if self.why:
                raise h11.RemoteProtocolError(self.why)
        return event


def _ambiguous(head: bytes, request: h11.Request) -> str:
    """What is wrong with it; empty: nothing."""
    if len(head) > HEAD_BYTES_MAX:
        return "its head is too long"
    if _FOLDED.search(head):
        return "a header is folded over two lines"
    if _BARE_LINE_FEED.search(head):
        return "a line ends without a carriage return"
    names = [name for name, _ in request.headers]
    if b"content-length" in names and b"transfer-encoding" in names:
        return "there are two lengths of the body"
    if request.http_version != b"1.1" and b"transfer-encoding" in names:
        return "HTTP/1.0 has no transfer codings"
    twice = sorted(name.decode() for name in ONCE if names.count(name) > 1)
    return f"there is more than one {twice[0]} header" if twice else ""
