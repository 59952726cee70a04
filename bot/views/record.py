"""The exported record of a thread: JSON lines, each chained to the one before by a hash.

    {"record": "deploybot/1", "thread": "t…", "prev": "", "hash": "…"}
    {"n": 1, "event": {…}, "prev": "…", "hash": "…"}             one for each event: requested, shown, decided …
    {"end": 41, "prev": "…", "hash": "…", "signature": "…"}

A hash is SHA-256 over the previous hash and the line's own content as canonical JSON. It reveals a line that was
changed, removed, added or moved, and a missing end. Somebody who rewrites the whole record can recompute all hashes.
Against that, the end is signed (HMAC-SHA-256) if BOT_SECRET_KEY is set; otherwise keep the last hash in a safe place.
It reads a thread and changes none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from store.codec import encode
from store.thread import Thread

FORMAT = "deploybot/1"
LINE_CHARS_MAX = 2_000_000


class Altered(Exception):
    """The record was altered. The message is one line: where, and what."""


@dataclass(frozen=True, slots=True)
class Verified:
    thread: str
    events: int
    head: str
    """The last hash."""
    signed: bool


def record(thread: Thread, secret: str = "") -> Iterator[str]:
    """The lines, without line breaks. `secret` signs the last one."""
    head = ""
    contents: list[dict[str, Any]] = [{"record": FORMAT, "thread": thread.id}]
    contents += ({"n": n, "event": json.loads(encode(event))} for n, event in enumerate(thread.events, 1))
    for content in contents:
        line = _line(content, head)
        head = line["hash"]
        yield _canonical(line)
    end = _line({"end": thread.version}, head)
    if secret:
        end["signature"] = _signature(end["hash"], secret)
    yield _canonical(end)


def verify(lines: Iterable[str], secret: str = "") -> Verified:
    """Check a record. Raises Altered. With `secret`, the record must be signed with it."""
    head, thread, count, end = "", "", 0, None
    for number, text in enumerate(lines, 1):
        where = f"Line {number}"
        if end is not None:
            raise Altered(f"{where} follows the end of the record.")
        line = _parsed(text, where)
        signature = line.pop("signature", "")
        if line.pop("prev", None) != head or line.pop("hash", None) != _hash(line, head):
            raise Altered(f"{where} was changed after the export.")
        head = _hash(line, head)
        match line:
            case {"record": str(form), "thread": str(thread)} if number == 1:
                if form != FORMAT:
                    raise Altered(f"{where}: the format {form!r} is unknown; expected {FORMAT!r}.")
            case {"n": n, "event": dict()} if n == count + 1 and number > 1:
                count = n
            case {"end": n} if n == count and number > 1:
                end = signature
            case _:
                raise Altered(f"{where} does not continue the line before it.")
    if end is None:
        raise Altered("The record has no end: the last lines are missing.")
    if secret and not (isinstance(end, str) and hmac.compare_digest(end.encode(), _signature(head, secret).encode())):
        raise Altered("The record is not signed with the key in BOT_SECRET_KEY.")
    return Verified(thread, count, head, signed=bool(secret))


def _line(content: dict[str, Any], prev: str) -> dict[str, Any]:
    return content | {"prev": prev, "hash": _hash(content, prev)}


def _hash(content: dict[str, Any], prev: str) -> str:
    return hashlib.sha256(f"{prev}\n{_canonical(content)}".encode()).hexdigest()


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _signature(head: str, secret: str) -> str:
    return hmac.digest(secret.encode(), f"audit\n{head}".encode(), "sha256").hex()


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text[:LINE_CHARS_MAX])
    except (ValueError, RecursionError):
        raise Altered(f"{where} is not a line of a record.") from None
    if not isinstance(line, dict):
        raise Altered(f"{where} is not a line of a record.")
    return line
