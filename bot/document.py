"""A thread as scripts read it: one JSON object, whose names stay."""

from __future__ import annotations

from typing import Any

from store.thread import Thread


def document(thread: Thread, *, with_events: bool = False) -> dict[str, Any]:
    """`version` counts its events; the events themselves only where asked for."""
    last = thread.events[-1].model_dump(mode="json", include={"at"})
    told: dict[str, Any] = {
        "id": thread.id,
        "agent": thread.agent,
        "place": thread.place.model_dump(mode="json"),
        "status": thread.status,
        "turn": thread.turn,
        "version": thread.version,
        "updated_at": last["at"],
        "pending": None,
        "question": None,
    }
    pending = thread.pending
    if pending and pending.request:
        told["pending"] = {
            "request": pending.id,
            "digest": pending.request.digest,
            "intent": pending.chosen.intent,
            "arguments": pending.chosen.arguments,
            "facts": pending.request.facts,
        }
    if asked := thread.step(thread.state.question):
        told["question"] = {"step": asked.id, **asked.chosen.arguments}
    if with_events:
        told["events"] = [event.model_dump(mode="json") for event in thread.events]
    return told
