"""What to do when the store lost events that this process remembers: write them back, and tell people.

After a failover or a restored backup a log may lack its end, and may have grown differently since. Nothing here relies
on what may be lost with the events: no lease, and no event id that holds the log's length. An event whose id now
belongs to another event is a conflict: it is kept in the log of what was lost, never overwritten and never dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from store import keys
from store.base import Store, ThreadDiverged, ThreadMoved
from store.codec import EVENT_BYTES_MAX, encode
from store.events import Event, EventsLost, StepChosen, ToolNotBegun, ToolStarted
from store.keys import EventId, OutsideId
from store.thread import Thread

CONFLICT_BYTES_MAX = EVENT_BYTES_MAX // 2


@dataclass(frozen=True, slots=True)
class Loss:
    """What a process remembers and the log does not hold."""

    missing: tuple[Event, ...]
    """To be appended again, in this order."""
    conflicting: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    thread: Thread
    """With what was written back."""
    record: EventsLost | None
    """The event that says so; None: nothing was missing."""


def loss(remembered: Iterable[Event], log: Thread) -> Loss:
    """Compares what was remembered with the log as it is now."""
    standing = {event.id: event for event in log.events}
    missing: list[Event] = []
    conflicting: list[Event] = []
    foreign: list[str] = []  # What now belongs to another event, and all that is about it.
    for event in remembered:
        found = standing.get(event.id)
        if found is None:
            (conflicting if _is_about(event.id, foreign) else missing).append(event)
        elif not _same(event, found):
            conflicting.append(event)
            foreign.append(event.step if isinstance(event, StepChosen) else event.id)
    return Loss(tuple(missing), tuple(conflicting))


async def write_back(store: Store, remembered: Thread, *facts: Event, now: Callable[[], datetime]) -> Recovery:
    """Appends what is missing of the remembered thread, says so, and appends these new facts.

    Raises StoreUnavailable.
    """
    while True:
        try:
            log = await store.refresh(Thread(remembered.id))
            known = loss(remembered.events, log)
            # A fact about what now belongs to another step would be taken for that step's.
            new = loss((*remembered.events, *facts), log)
            lost = Loss(known.missing, new.conflicting)
            events, record = list(new.missing), None
            if lost.missing or lost.conflicting:
                record = _record(lost, now(), numbered_from=remembered.number + len(facts) + 1)
                events.append(record)
            return Recovery(await store.append(log, *events, if_unmoved=True) if events else log, record)
        except (ThreadMoved, ThreadDiverged):
            continue


def _record(lost: Loss, at: datetime, numbered_from: int) -> EventsLost:
    raw: list[JsonValue] = []
    size = 0
    for event in lost.conflicting:
        line = encode(event)
        size += len(line)
        # Events are small. If these are not, the log still says which ones they were.
        raw.append(json.loads(line) if size < CONFLICT_BYTES_MAX else {"kind": event.kind, "id": event.id})
    ids = [event.id for event in (*lost.missing, *lost.conflicting)]
    stamp = max((event.at for event in (*lost.missing, *lost.conflicting)), default=at)
    event_id = keys.events_lost([*ids, stamp.isoformat()])
    return EventsLost(
        id=event_id, at=at, restored=len(lost.missing), conflicting=tuple(raw), numbered_from=numbered_from
    )


def _same(one: Event, other: Event) -> bool:
    """Whether both record the same. An id from outside names its content, and may be delivered twice.

    Two starts of one call at different times are two: it may have run twice, and people should know.
    """
    if OutsideId.parse(one.id):
        return True
    if isinstance(one, ToolStarted | ToolNotBegun):
        return one == other
    return one.model_copy(update={"at": other.at}) == other


def _is_about(event_id: str, foreign: Iterable[str]) -> bool:
    """Whether the event belongs to one of these: an event or a message of the step, its question, an edit of it."""
    parsed = EventId.parse(event_id)
    step = re.match(r"s\d+", parsed.step) if parsed else None
    return any(event_id.startswith(f"{one}/") or (step is not None and step[0] == one) for one in foreign)
