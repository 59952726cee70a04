"""TCP ports of 127.0.0.1 for the servers of tests, and for tests in which nobody listens.

Whoever can should listen on port 0 and tell what it got. This is for servers that have to be told a port before they
start, and for those that must come back on the same one.
"""

from __future__ import annotations

import socket
import weakref


class HeldPort:
    """A port that is ours for as long as this object lives: bound, and not listened on.

    Nobody else is given it, and who connects to it is refused. A server that sets SO_REUSEADDR, as all of them do, can
    listen on it all the same, and again after a restart.
    """

    def __init__(self) -> None:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Every address, and not the one the server binds: BSD and macOS refuse the same one twice.
        held.bind(("0.0.0.0", 0))  # noqa: S104 - nothing listens
        self.number: int = held.getsockname()[1]
        weakref.finalize(self, held.close)
