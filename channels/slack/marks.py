"""Our idempotency key in a post's metadata, and which part of a message the post holds. Pure.

Slack's API has no idempotency keys, so we put our own into each post, and into a stream when it ends. A stream without
a key was abandoned. This module makes no calls.
"""

from __future__ import annotations

from typing import Any

from store.keys import SendKey

METADATA = "deploybot_message"


def mark(key: str, part: int, *, holds: int = 1) -> dict[str, Any]:
    """The `metadata` of a post. `part` is the index of its first part; `holds` is the number of parts it holds."""
    payload = {"key": key, "part": part} | ({"holds": holds} if holds > 1 else {})
    return {"event_type": METADATA, "event_payload": payload}


def parts_in(message: Any, key: str) -> range:
    """The parts of the message with this key that the post holds."""
    match message.get("metadata"):
        case {"event_type": kind, "event_payload": {"key": its, "part": int(part), **others}}:
            if (kind, its) == (METADATA, key):
                holds = others.get("holds")
                return range(part, part + (holds if isinstance(holds, int) else 1))
        case _:
            pass
    return range(0)


def thread_in(message: Any) -> str:
    """The id of the thread that this post belongs to, from its key; empty: it has none."""
    match message.get("metadata"):
        case {"event_type": kind, "event_payload": {"key": str(key)}} if kind == METADATA:
            return SendKey.parse(key).thread_id
        case _:
            return ""


def is_abandoned_stream(message: Any) -> bool:
    """Whether it is a stream without a key: its process died, or Slack ended it."""
    marked = (message.get("metadata") or {}).get("event_type") == METADATA
    return "streaming_state" in message and not marked
