"""The row of a thread: what a list shows of it and filters by, and which rows a filter takes. Pure.

A row is computed from a thread alone, so it can always be computed again. It holds the length of the log that it was
computed from: it is true as long as the log has that length. A store keeps rows so that a list need not load whole
logs; what it keeps is never trusted beyond that.

Who may decide is kept by group, never by person: who is in a group changes with the team file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_core import from_json

from store.authority.terms import names_of
from store.events import ApprovalDecided, MessageReceived, TriggerReceived
from store.state import Request
from store.text import call_in_words, one_line
from store.thread import Thread, ThreadStatus, Turn, turn_of
from store.values import Person, Place

FORMAT = 1
"""Of a row as it is kept. Raise it when the fields change, or when the fold gives an old log another status: rows of
another format are computed again."""
TITLE_CHARS_MAX = 100
PEOPLE_MAX = 10
"""A row names at most so many people."""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    version: int
    """The number of events that it was computed from."""
    status: ThreadStatus
    agent: str
    """Empty: a record (see `bot.team.standing`), which no list shows."""
    channel: str
    address: str
    """The place."""
    updated_at: datetime
    """The time of the newest event."""
    title: str
    requester: tuple[str, ...] = ()
    """The name of who asked first, then all identifiers (see `names_of`). For a trigger, its source and name."""
    people: tuple[str, ...] = ()
    """The first of `people_of` the thread."""
    crowded: bool = False
    """There are more of them than PEOPLE_MAX."""
    groups: tuple[str, ...] = ()
    """The groups that may decide the request that waits."""
    detailed: bool = False
    """A request or a question is open."""

    @property
    def place(self) -> Place:
        return Place(channel=self.channel, address=self.address)

    @property
    def turn(self) -> Turn:
        return turn_of(self.status)


def row_of(thread: Thread) -> Row:
    """The row of a thread that has events."""
    people = people_of(thread)
    pending, place = thread.pending, thread.state.place
    return Row(
        id=thread.id,
        version=thread.version,
        status=thread.status,
        agent=thread.agent,
        channel=place.channel if place else "",
        address=place.address if place else "",
        updated_at=thread.events[-1].at,
        title=title_of(thread),
        requester=_requester(thread),
        people=tuple(people[:PEOPLE_MAX]),
        crowded=len(people) > PEOPLE_MAX,
        groups=_groups(pending) if pending else (),
        detailed=pending is not None or thread.step(thread.state.question) is not None,
    )


def title_of(thread: Thread) -> str:
    """What the thread is about, on one line: the open request or question, or else the last message."""
    if pending := thread.pending:
        return one_line(call_in_words(pending.chosen.intent, pending.chosen.arguments), TITLE_CHARS_MAX)
    if asked := thread.step(thread.state.question):
        return one_line(str(asked.chosen.arguments.get("question", "")), TITLE_CHARS_MAX)
    for event in reversed(thread.events):
        match event:
            case MessageReceived():
                return one_line(event.subject or event.text, TITLE_CHARS_MAX)
            case TriggerReceived():
                return one_line(f"{event.source} {event.name}", TITLE_CHARS_MAX)
            case _:
                pass
    return ""


def people_of(thread: Thread) -> list[str]:
    """The addresses of everybody who wrote or decided in the thread, in order."""
    senders = [e.sender.address for e in thread.events if isinstance(e, MessageReceived)]
    deciders = [e.by.address for e in thread.events if isinstance(e, ApprovalDecided)]
    return [address for address in dict.fromkeys((*senders, *deciders)) if address]


def _requester(thread: Thread) -> tuple[str, ...]:
    for event in thread.events:
        match event:
            case MessageReceived():
                return _named(event.sender)
            case TriggerReceived():
                return (one_line(f"{event.source} {event.name}", TITLE_CHARS_MAX),)
            case _:
                pass
    return ()


def _named(person: Person) -> tuple[str, ...]:
    name = one_line(person.name or person.address, TITLE_CHARS_MAX)
    return (name, *sorted(other for other in names_of(person) if other != name))


def _groups(request: Request) -> tuple[str, ...]:
    terms = request.terms
    if terms.standing:
        return ()  # Only the standing approval decides it.
    return tuple(filter(None, (terms.group, terms.then if request.widened else "")))


# What a list asks for


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows: the threads for which all of this holds. Empty fields hold for every thread."""

    statuses: frozenset[ThreadStatus] = frozenset()
    turn: Turn | None = None
    groups: frozenset[str] | None = None
    """A request waits that one of these groups may decide."""
    agent: str = ""
    requester: str = ""
    """A name or an identifier of who asked first."""
    person: str = ""
    """The address of somebody who wrote or decided there."""
    channel: str = ""
    address: str = ""
    """The place's address, or the beginning of it."""
    changed_after: datetime | None = None
    changed_before: datetime | None = None

    def wants(self, status: ThreadStatus) -> bool:
        """Whether a thread with this status may match. In one that is done, no request waits."""
        if self.groups is not None and status == "done":
            return False
        return (not self.statuses or status in self.statuses) and self.turn in (None, turn_of(status))

    def takes(self, row: Row) -> bool:
        """Whether the list shows this thread. True as well if only the log can tell: see `Row.crowded`."""
        return (
            bool(row.agent)
            and self.wants(row.status)
            and (self.groups is None or not self.groups.isdisjoint(row.groups))
            and self.agent in ("", row.agent)
            and (not self.requester or _is_named(self.requester, row.requester))
            and (not self.person or row.crowded or self.person in row.people)
            and self.channel in ("", row.channel)
            and row.address.startswith(self.address)
            and (self.changed_after is None or row.updated_at >= self.changed_after)
            and (self.changed_before is None or row.updated_at < self.changed_before)
        )


EVERY_THREAD = Filter()


def _is_named(wanted: str, names: tuple[str, ...]) -> bool:
    return wanted.casefold() in (name.casefold() for name in names)


# As it is kept


def encode(row: Row) -> bytes:
    """One line of JSON that begins with the format, the length of the log and the status: a script reads no more.

    Empty for a thread that this version cannot read: a newer one may know better.
    """
    if row.status == "unreadable":
        return b""
    fields = [
        FORMAT,
        row.version,
        row.status,
        row.agent,
        row.channel,
        row.address,
        row.updated_at.astimezone(UTC).isoformat(),
        row.title,
        row.requester,
        row.people,
        int(row.crowded),
        row.groups,
        int(row.detailed),
    ]
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace")


def decode(thread_id: str, line: bytes) -> Row:
    """A row of this FORMAT."""
    fields: list[Any] = from_json(line)
    _, version, status, agent, channel, address, updated_at, title, requester, people, crowded, groups, detailed = (
        fields
    )
    return Row(
        id=thread_id,
        version=version,
        status=cast(ThreadStatus, status),
        agent=agent,
        channel=channel,
        address=address,
        updated_at=datetime.fromisoformat(updated_at),
        title=title,
        requester=tuple(requester),
        people=tuple(people),
        crowded=bool(crowded),
        groups=tuple(groups),
        detailed=bool(detailed),
    )
