"""States in words what the store lost of a thread, and what a worker knew about it.

Pure. What is written back is decided by `store.recovery`.
"""

from __future__ import annotations

import json

from store.codec import decode
from store.events import ApprovalDecided, Event, EventsLost, StepChosen, ToolFinished, ToolStarted
from store.text import call_in_words, instant, one_line
from store.thread import Thread

CONFLICTS_MAX = 5
"""How many conflicting events are described; the log has all of them."""
CALL_CHARS_MAX = 300


def loss_in_words(thread: Thread, event: EventsLost) -> str:
    """Two or three sentences."""
    text = "The store lost events of this thread. "
    if event.restored:
        text += f"I remembered {event.restored} of them and wrote them back. "
    found = [decode(json.dumps(raw).encode()) for raw in event.conflicting]
    said = [words for each in found if (words := _in_words(thread, each, found))]
    if said:
        more = f"; and {len(said) - CONFLICTS_MAX} more" if len(said) > CONFLICTS_MAX else ""
        text += f"What stands here now differs from what I remember: {'; '.join(said[:CONFLICTS_MAX])}{more}. "
    return text + "Please check what was under way."


def _in_words(thread: Thread, event: Event, others: list[Event]) -> str:
    match event:
        case StepChosen():
            return f"I had chosen {_call(event)}"
        case ToolStarted():
            where = f" on {event.host}" if event.host else ""
            return f"I had begun {_named(thread, event.step, others)} at {instant(event.at)}{where}"
        case ToolFinished():
            how = f"failed ({one_line(event.error, CALL_CHARS_MAX)})" if event.error else "succeeded"
            return f"{_named(thread, event.step, others)} had {how}"
        case ApprovalDecided():
            verb = "approved" if event.approved else "rejected"
            return f"{event.by.name} had {verb} {_named(thread, event.step, others)} at {instant(event.at)}"
        case _:
            return ""


def _named(thread: Thread, step_id: str, others: list[Event]) -> str:
    """The call as it was remembered, or as it stands here."""
    remembered = next((e for e in others if isinstance(e, StepChosen) and e.step == step_id), None)
    step = thread.step(step_id)
    chosen = remembered or (step.chosen if step else None)
    return _call(chosen) if chosen else "a call"


def _call(chosen: StepChosen) -> str:
    return one_line(call_in_words(chosen.intent, chosen.arguments), CALL_CHARS_MAX)
