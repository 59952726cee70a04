"""The event by which a machine starts a thread, or tells one something: a schedule, a hook, a caller of the API.

What it says is data. Who answers for it depends on where it comes from (`store.authority.words`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from store.recorded import Recorded
from store.values import Person

CRON = "cron"
"""`TriggerReceived.source` of the team's schedules, and of nothing else."""


class TriggerReceived(Recorded):
    """A machine started the thread, or has news for it."""

    kind: Literal["trigger_received"] = "trigger_received"
    source: str
    name: str
    data: dict[str, JsonValue] = {}
    third_party: tuple[str, ...] = ()
    """The keys of `data` with text that people wrote: titles, say. Nobody vouches for it. Older logs: none."""
    by: Person | None = None
    """Who sent it over the HTTP API: what it says are their words. None: a schedule or a hook, which is nobody."""
