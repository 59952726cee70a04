"""AUTHENTICATE XOAUTH2 over aioimaplib, whose own `xoauth2` hangs when the server refuses the token.

A server that refuses sends a challenge with the reason, and answers NO only after an empty line
(developers.google.com/workspace/gmail/imap/xoauth2-protocol).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import aioimaplib

from store.text import one_line


class TokenLogin(aioimaplib.Command):  # type: ignore[misc]
    """One attempt."""

    def __init__(self, protocol: Any, user: str, token: str) -> None:
        """`protocol`: aioimaplib's, of a connection that has not logged in."""
        response = base64.b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()
        super().__init__("AUTHENTICATE", protocol.new_tag(), "XOAUTH2", response, loop=protocol.loop)
        self._protocol = protocol
        self.reason = ""
        """What the server said of a refusal."""

    async def run(self) -> Any:
        """The server's answer, as aioimaplib has it."""
        answer = await self._protocol.execute(self)
        if answer.result == "OK":
            self._protocol.state = aioimaplib.AUTH
        return answer

    def append_to_resp(self, line: bytes, result: str = "Pending") -> None:
        if result == "Pending" and line.startswith(b"+"):
            self.reason = _decoded(line.removeprefix(b"+").strip())
            self._protocol.send("")
        super().append_to_resp(line, result)


def _decoded(challenge: bytes) -> str:
    """It is JSON, in which only its authors know what matters."""
    try:
        return one_line(base64.b64decode(challenge).decode(errors="replace"), 200)
    except binascii.Error:
        return ""
