"""How the headers of our mails are written: lines end with CRLF, and Message-IDs stand verbatim. It sends nothing."""

from __future__ import annotations

from email.policy import EmailPolicy
from typing import Any

_IDS = ("message-id", "in-reply-to", "references")


class _Policy(EmailPolicy):
    """The standard library would decode Message-IDs, or break long ones."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if name.lower() in _IDS:
            return name, str(value)
        stored: tuple[str, Any] = super().header_store_parse(name, value)
        return stored

    def fold(self, name: str, value: Any) -> str:
        if name.lower() in _IDS:
            return f"{name}: " + "\r\n ".join(str(value).split()) + "\r\n"
        folded: str = super().fold(name, value)
        return folded

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii", "surrogateescape")


LETTERS = _Policy(linesep="\r\n")
