"""Writes a line to the program's log for each event, once: by the process that appended it.

Whoever appends calls it with what the store answered, because an append that changed nothing (a second click, a message
that was delivered twice) is no news. Whoever only reads events writes nothing. `agent.lines` says what a line holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from agent.definition import Agent
from agent.lines import level_of, line_of
from store.events import Event
from store.thread import Thread

log = structlog.get_logger(__name__)


def report(
    events: Iterable[Event],
    thread: Thread,
    read: int = 0,
    *,
    agent: Agent | None = None,
    model_seconds: float | None = None,
) -> None:
    """Report these events, which were to be appended, if they now stand in the thread as we wrote them.

    `read`: how many events of the thread had been read before. For the other parameters see `line_of`.
    """
    added = {event.id: event.at for event in thread.events[read:]}
    for event in events:
        # Another process may have appended an event of this id: a step's events have the same ids wherever they arise.
        if added.get(event.id) == event.at:
            _write(event, thread, agent, model_seconds)


def report_posted(events: Iterable[Event], thread_id: str, new: Collection[str] | None) -> None:
    """Report events that were appended without reading the thread. `new`: as from `Store.post`."""
    for event in events:
        if event.id in (new or ()):
            _write(event, Thread(thread_id), None, None)


def _write(event: Event, thread: Thread, agent: Agent | None, model_seconds: float | None) -> None:
    level, writer = level_of(event), log.bind()
    if writer.is_enabled_for(level) and (line := line_of(event, thread, agent, model_seconds=model_seconds)):
        writer.log(level, line.name, **line.fields)
