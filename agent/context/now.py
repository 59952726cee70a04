"""Renders the ongoing work: the only part of the context that changes from one prompt to the next. Pure."""

from __future__ import annotations

from agent.context.blocks import who
from agent.context.writer import Writer
from store.events import ApprovalDecided, MessageReceived, StepRefused, ToolFinished, ToolInterrupted
from store.text import call_in_words, instant, one_line
from store.thread import Thread

PART_CHARS_MAX = 600
READ = (ToolFinished, StepRefused, ApprovalDecided, ToolInterrupted)
"""What the model reads after the words, so that they are no longer the last thing before the question."""
WORDS_CHARS_MAX = 400
"""Of the newest message, whose whole stands further up."""


def under_way(thread: Thread) -> str:
    """YAML: the time, every call that waits or runs, and the newest words, if much has been read since."""
    text = Writer(PART_CHARS_MAX)
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
    if newest := _newest_words(thread):
        text.put("newest_message", newest)
    return str(text)


def _newest_words(thread: Thread) -> str:
    """Who wrote last, and what, if something else has happened since; empty: the model has just read it."""
    newest = thread.state.words_at
    event = thread.events[newest] if newest >= 0 else None
    if not isinstance(event, MessageReceived) or not any(isinstance(one, READ) for one in thread.events[newest + 1 :]):
        return ""
    words = thread.state.edits.texts.get(event.id, event.text)
    return f"{who(event.sender)}: {one_line(words, WORDS_CHARS_MAX)}" if words else ""
