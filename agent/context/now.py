"""Renders the ongoing work: the only part of the context that changes from one prompt to the next. Pure."""

from __future__ import annotations

from agent.context.writer import Writer
from store.text import call_in_words, instant
from store.thread import Thread


def under_way(thread: Thread) -> str:
    """YAML: the time, and every call that waits or runs."""
    text = Writer(400)
    text.put("time", instant(thread.events[-1].at))
    calls: dict[str, list[str]] = {}
    for step in thread.open_steps():
        call = call_in_words(step.chosen.intent, step.chosen.arguments)
        match step.status:
            case "requested":
                calls.setdefault("waits_for_approval", []).append(call)
            case "approved":
                calls.setdefault("approved_and_about_to_run", []).append(call)
            case "waiting" if step.chosen.until:
                calls.setdefault("waits", []).append(f"{call} (until {instant(step.chosen.until)})")
            case "waiting" | "due" | "running":
                calls.setdefault("under_way", []).append(call)
            case _:
                pass
    for key, found in calls.items():
        text.put(key, found[0] if len(found) == 1 else found)
    return str(text)
