"""The rows of the index as plain data: what a list shows of a thread, what it may ask for, and how a row is kept. Pure.

`store.index` computes a row from a thread. This module knows no event, so a list can be read without importing any.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_core import from_json

from store.status import ThreadStatus, Turn, turn_of

FORMAT = 3
"""Of a row as it is kept. Raise it when the fields change, or when the fold gives an old log another status: rows of
another format are computed again."""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    version: int
    """The number of events that it was computed from."""
    status: ThreadStatus
    agent: str
    """Empty: no list shows it. It is a record (see `bot.team.standing`), or nothing was said in it."""
    channel: str
    address: str
    """The place."""
    updated_at: datetime
    """The time of the newest event."""
    title: str
    requester: tuple[str, ...] = ()
    """The name of who asked first, then all identifiers (see `names_of`). For a trigger, its source and name."""
    people: tuple[str, ...] = ()
    """The first of `store.index.people_of` the thread."""
    crowded: bool = False
    """There are more of them."""
    groups: tuple[str, ...] = ()
    """The groups that may decide the request that waits."""
    detailed: bool = False
    """A request or a question is open."""

    @property
    def turn(self) -> Turn:
        return turn_of(self.status)


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
    """The address of somebody who wrote, decided or forked there."""
    channel: str = ""
    address: str = ""
    """The place's address, or the beginning of it."""
    changed_after: datetime | None = None
    changed_before: datetime | None = None
    sees: Callable[[Row], bool] | None = None
    """Whether whoever asks for the list may see this thread; None: they may see all."""

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
            and (self.sees is None or self.sees(row))
        )


EVERY_THREAD = Filter()


def _is_named(wanted: str, names: tuple[str, ...]) -> bool:
    return wanted.casefold() in (name.casefold() for name in names)


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
