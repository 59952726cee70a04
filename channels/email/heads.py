"""How the headers of our mails are written: lines end with CRLF, and Message-IDs stand verbatim. It sends nothing."""

from __future__ import annotations

from email.policy import EmailPolicy
from typing import Any

from store.text import one_line

SUBJECT_CHARS_MAX = 200
REFERENCES_MAX = 100
"""Message-IDs in References: the first one, and the last of the others."""

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


def is_valid_id(message_id: str) -> bool:
    return bool(message_id) and message_id.isascii() and message_id.isprintable()


def trimmed(references: list[str]) -> list[str]:
    over = len(references) > REFERENCES_MAX
    return [references[0], *references[1 - REFERENCES_MAX :]] if over else references


def subject_line(thread: str, title: str) -> str:
    """The subject of a mail in a thread with this subject; `title`: of one that opens a thread."""
    # Mail programs would decode an encoded word, which may hold line breaks.
    if not thread:
        return title.replace("=?", "= ?")
    subject = one_line(thread, SUBJECT_CHARS_MAX).replace("=?", "= ?")
    return subject if subject[:3].lower() == "re:" else f"Re: {subject}"
