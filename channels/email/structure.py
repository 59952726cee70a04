"""Takes a mail apart into its headers and parts, in bounded time. Pure.

Anybody can send us a mail, and the standard library takes long over some, or fails. So headers are cut, and of a body
that has too many lines or boundaries the rest is not read. `channels.email.parse` reads what the parts say.
"""

from __future__ import annotations

import email
import email.policy
from email.message import Message
from email.parser import BytesParser
from typing import Any

NESTED_MAX = 60
"""A mail with deeper parts is not read. Parsing time grows with lines times depth."""
LINES_MAX = 200_000
"""The rest of a mail's body is not read. Attachments of 10 MB have fewer."""
HEAD_BYTES_MAX = 256_000
"""All headers of a mail together. Parsing time grows faster than their size."""
VALUE_CHARS_MAX = 20_000
"""A single header, also of a part. Parsing time grows faster than its size."""
CONTENT_CHARS_MAX = 4_000
"""As VALUE_CHARS_MAX, for the headers that each part has."""
BOUNDARIES_MAX = 2_000
"""The rest of a mail is not read after this many lines that begin with `--`."""
REPORT_BYTES_MAX = 200_000
"""Body of a delivery report, which may have the whole original attached."""


class _Policy(email.policy.Compat32):
    """Cuts long headers. Non-ASCII bytes in them are decoded as UTF-8 (RFC 6532), or become U+FFFD."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if name.lower() in _MAY_BE_LONG:
            return name, value
        return name, value[: CONTENT_CHARS_MAX if name.lower().startswith("content-") else VALUE_CHARS_MAX]

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not value.isascii() else value
        return super().header_fetch_parse(name, value)


class _TooDeep(Exception):
    pass


class _Part(Message):
    """Ends the parsing of a mail whose parts are nested deeper than NESTED_MAX."""

    depth = 0

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        if payload.depth > NESTED_MAX:
            raise _TooDeep
        super().attach(payload)


# These matter at both ends, so `_ids` cuts them in the middle.
_MAY_BE_LONG = ("references", "in-reply-to")
_POLICY = _Policy()
_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")


def message_of(raw: bytes) -> tuple[Message[Any, Any], bool]:
    """The parsed mail, and whether nothing was cut off."""
    end = end_of_head(raw)
    head, body = raw[: min(end, HEAD_BYTES_MAX)], raw[end:]
    if b"delivery-status" in head.lower():
        body = body[:REPORT_BYTES_MAX]
    pieces = body.split(b"\n--", BOUNDARIES_MAX + 1)
    kept = body if len(pieces) <= BOUNDARIES_MAX else b"\n--".join(pieces[:BOUNDARIES_MAX])
    kept = _first_lines(kept)
    whole = len(head) + len(kept) == len(raw)
    try:
        return BytesParser(_Part, policy=_POLICY).parsebytes(head + kept), whole
    except Exception:
        # Parts nested too deeply, for example. The headers can still be parsed.
        message = email.message_from_bytes(head, policy=_POLICY)
        if message.get_content_type() != "multipart/report":
            # So that the payload is shown as text.
            del message["Content-Type"], message["Content-Transfer-Encoding"]
        message.set_payload("(This mail could not be read: its parts are not put together as mail is.)")
        return message, False


def _first_lines(body: bytes) -> bytes:
    """Up to LINES_MAX lines, by whichever line end there is."""
    for end in (b"\n", b"\r"):
        if body.count(end) > LINES_MAX:
            body = end.join(body.split(end, LINES_MAX)[:LINES_MAX])
    return body


def end_of_head(raw: bytes) -> int:
    found = ((raw.find(blank), blank) for blank in _BLANK_LINES)
    return min((at + len(blank) for at, blank in found if at >= 0), default=len(raw))
