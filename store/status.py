"""Where a thread stands, and whose turn that makes it. `store.thread` computes it from the events."""

from __future__ import annotations

from typing import Literal

ThreadStatus = Literal[
    "working",
    "waiting_for_approval",
    "waiting_for_answer",
    "waiting",
    "handed_to_human",
    "paused",
    "cancelled",
    "done",
    "unreadable",
]
Turn = Literal["agent", "human", "clock", "nobody"]


def turn_of(status: ThreadStatus) -> Turn:
    """Whose turn it is in a thread with this status."""
    match status:
        case "working":
            return "agent"
        case "waiting":
            return "clock"
        case "done" | "cancelled":
            return "nobody"
        case _:
            return "human"
