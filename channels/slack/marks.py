"""Whose a message is: our key, in its metadata, and which part of what was to be said.

Slack has no idempotency key for posting. So each message that we post carries ours from its birth, and a stream from
its end; a stream without it is one that nobody ended.
"""

from __future__ import annotations

from typing import Any

from store.keys import SendKey

METADATA = "deploybot_message"


def mark(key: str, part: int, *, holds: int = 1) -> dict[str, Any]:
    """For `metadata`. `part` is the number of a post; `holds`: the message is that one and so many in all."""
    payload = {"key": key, "part": part} | ({"holds": holds} if holds > 1 else {})
    return {"event_type": METADATA, "event_payload": payload}


def parts_in(message: Any, key: str) -> range:
    """The numbers of the posts that this message holds of what was said under the key."""
    match message.get("metadata"):
        case {"event_type": kind, "event_payload": {"key": its, "part": int(part), **others}}:
            if (kind, its) == (METADATA, key):
                holds = others.get("holds")
                return range(part, part + (holds if isinstance(holds, int) else 1))
        case _:
            pass
    return range(0)


def thread_in(message: Any) -> str:
    """The id of the thread that this message was said for, with which its key begins; empty: it has no mark."""
    match message.get("metadata"):
        case {"event_type": kind, "event_payload": {"key": str(key)}} if kind == METADATA:
            return SendKey.parse(key).thread_id
        case _:
            return ""


def is_left_stream(message: Any) -> bool:
    """It came as a stream, and has no mark: its process died, or Slack ended it."""
    marked = (message.get("metadata") or {}).get("event_type") == METADATA
    return "streaming_state" in message and not marked
