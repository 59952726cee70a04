"""A thread as one JSON object, for scripts.

Its keys are a public interface and never change. It contains nothing that is not in the thread.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.speech.requests import cautions, groups_in_words
from store.index import row_of
from store.rows import Row
from store.thread import Thread


def document(thread: Thread, *, with_events: bool = False) -> dict[str, Any]:
    """`version` is the number of events; `with_events` includes the events themselves."""
    fields = summary(row_of(thread)) | {"place": thread.place.model_dump(mode="json")}
    if pending := thread.pending:
        fields["pending"] = {
            "request": pending.step,
            "digest": pending.digest,
            "intent": pending.chosen.intent,
            "title": pending.title,
            "arguments": pending.chosen.arguments,
            "facts": pending.asked.facts,
            "dangers": list(pending.asked.dangers),
            "group": groups_in_words(pending, widened=pending.widened),
            "quorum": pending.terms.quorum,
            "votes": [
                {"name": vote.by.name, "member": vote.by.member, "at": _instant(vote.at)} for vote in pending.votes
            ],
            "expires_at": _instant(pending.terms.expires_at),
            "cautions": list(cautions(thread, pending)),
            "editable": list(pending.asked.editable),
        }
    if asked := thread.step(thread.state.question):
        fields["question"] = {"step": asked.id, **asked.chosen.arguments}
    if with_events:
        fields["events"] = [event.model_dump(mode="json") for event in thread.events]
    return fields


def summary(row: Row) -> dict[str, Any]:
    """A thread without an open request or question, from its row in the index."""
    return {
        "id": row.id,
        "agent": row.agent,
        "place": {"channel": row.channel, "address": row.address},
        "status": row.status,
        "turn": row.turn,
        "version": row.version,
        "updated_at": _instant(row.updated_at),
        "title": row.title,
        "requested_by": row.requester[0] if row.requester else "",
        "pending": None,
        "question": None,
    }


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
