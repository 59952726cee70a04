"""Recognises automatic mail, which must not be answered, and reports of failed deliveries. Pure.

RFC 3834: an automatic responder answers neither automatic mail nor mail without a return path.
RFC 3464 defines delivery reports. Some servers ignore it, so the original's Message-ID is searched for in the whole
report. `channels.email.inbound` verifies our signature in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from typing import Any

from channels.email.identity.senders import is_plain_address
from store.text import one_line

_DAEMONS = {"mailer-daemon", "postmaster", "mail-daemon", "bounce", "bounces"}
_NOBODY = re.compile(r"(no-?reply|do-?not-?reply|donotreply)", re.IGNORECASE)
# Blank space is bounded, or a report of blank lines alone would take quadratic time.
_ID = re.compile(
    r"^[ \t]{0,9}(?:Message-ID|X-Original-Message-ID|Original-Message-ID)\s{0,99}:\s{0,99}(<[^<>\s]{1,900}>)",
    re.IGNORECASE | re.MULTILINE,
)
# Subject prefixes of automatic replies, in common languages. Most such mails also carry a header that says so.
_AWAY = re.compile(
    r"(automatic reply|auto(matic)?[- ]?(reply|response)|out of (the )?office|ooo|automatische antwort"
    r"|abwesenheits\w+|r\S+ponse automatique|absence du bureau|respuesta autom\S+tica|fuera de (la )?oficina"
    r"|risposta automatica|resposta autom\S+tica|automatisch antwoord|afwezig\w*|autosvar|automatiskt svar) ?:",
    re.IGNORECASE,
)
_SUPPRESS = {"all", "oof", "autoreply"}
_STATUS = re.compile(r"\b[45](?:\d\d(?=[ -])|\.\d{1,3}\.\d{1,3}\b)")
_FIELDS_MAX = 50
_LOOK_CHARS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Bounce:
    originals: tuple[str, ...]
    """The Message-IDs that the report names."""
    recipient: str
    """The plain address that was not reached; empty: the report does not give one."""
    error: str


def why_automatic(message: Message[Any, Any], sender: str) -> str:
    """What marks the mail as automatic; empty: a person seems to have written it."""
    # The topmost of repeated headers counts, because our own server adds its headers on top.
    header: dict[str, str] = {}
    for name, value in message.items():
        header.setdefault(name.lower(), " ".join(str(value).split()).lower())
    kind = header.get("auto-submitted", "no").partition(";")[0].strip()
    local = sender.partition("@")[0].lower()
    checks = {
        f"auto-submitted: {one_line(kind, 40)}": kind not in ("no", ""),
        "null return path": header.get("return-path") == "<>",
        "no sender": not sender,
        "mail system": local in _DAEMONS,
        "no-reply address": bool(_NOBODY.fullmatch(local)),
        "report": message.get_content_type() == "multipart/report",
        "read receipt": message.get_content_type() == "message/disposition-notification",
        f"precedence: {one_line(header.get('precedence', ''), 40)}": header.get("precedence", "")
        in ("bulk", "list", "junk", "auto_reply"),
        "mailing list": "list-id" in header or "list-unsubscribe" in header,
        "automatic answer": "x-autoreply" in header or "x-autorespond" in header or "x-autoresponder" in header,
        "answer of a calendar": _is_calendar_reply(message),
        "out of office": bool(_AWAY.match(" ".join(str(message.get("Subject", "")).split()))),
        "asks for no automatic answer": bool(
            _SUPPRESS & {word.strip() for word in header.get("x-auto-response-suppress", "").split(",")}
        ),
    }
    return next((why for why, is_so in checks.items() if is_so), "")


def _is_calendar_reply(message: Message[Any, Any]) -> bool:
    parts = (part for _, part in zip(range(_FIELDS_MAX), message.walk(), strict=False))
    return any(
        part.get_content_type() == "text/calendar" and str(part.get_param("method", "")).upper() == "REPLY"
        for part in parts
    )


def bounce_of(message: Message[Any, Any], body: str) -> Bounce | None:
    """The permanent failure that the mail reports; None: it is no report, or one of a mere delay."""
    local = " ".join(str(message.get("From", "")).split()).lower()
    is_report = message.get_content_type() == "multipart/report" and "delivery-status" in str(
        message.get_param("report-type", "delivery-status")
    )
    if not is_report and not any(f"{daemon}@" in local for daemon in _DAEMONS):
        return None
    parts = [part for _, part in zip(range(_FIELDS_MAX), message.walk(), strict=False)]
    fields = _status_fields(parts)
    actions = [value.lower() for name, value in fields if name == "action"]
    if actions and not any(action.startswith("failed") for action in actions):
        return None
    originals = [_clean(part.get("Message-ID", "")) for part in parts[1:]]
    originals += _ID.findall(_text_of(parts) + "\n" + body[:_LOOK_CHARS_MAX])
    recipient = _field(fields, "original-recipient") or _field(fields, "final-recipient")
    address = recipient.rpartition(";")[2].strip().strip("<>")
    error = _field(fields, "diagnostic-code") or _field(fields, "status") or body.strip().partition("\n\n")[0]
    return Bounce(
        originals=tuple(dict.fromkeys(one for one in originals if one)),
        recipient=address if is_plain_address(address) else "",
        error=_status_codes(error),
    )


def _status_codes(error: str) -> str:
    """The status codes in a report. Its text is dropped, because anybody can write a report."""
    found = _STATUS.findall(error[:_LOOK_CHARS_MAX])
    return f"not delivered: {' '.join(dict.fromkeys(found[:4]))}" if found else "not delivered"


def _status_fields(parts: list[Message[Any, Any]]) -> list[tuple[str, str]]:
    """The fields of message/delivery-status. The standard library parses each block as a message."""
    found = []
    for part in parts:
        if part.get_content_type() == "message/delivery-status":
            blocks = part.get_payload()
            for block in blocks if isinstance(blocks, list) else []:
                if isinstance(block, Message):
                    found += [(name.lower(), " ".join(str(value).split())) for name, value in block.items()]
    return found[:_FIELDS_MAX]


def _field(fields: list[tuple[str, str]], name: str) -> str:
    return next((value for its, value in fields if its == name), "")


def _text_of(parts: list[Message[Any, Any]]) -> str:
    """The parts in which servers return the original's headers as text."""
    texts = []
    for part in parts:
        if part.get_content_type() in ("text/rfc822-headers", "text/plain", "message/rfc822-headers"):
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                texts.append(payload[:_LOOK_CHARS_MAX].decode("latin-1"))
    return "\n".join(texts)


def _clean(value: Any) -> str:
    return " ".join(str(value).split())
