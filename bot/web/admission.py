"""How many connections are open at once, and from where: a limit for all, and a share for each address.

When all places are taken, the connection that has waited longest for the rest of its request makes room for a new one.
So whoever holds many half requests only pushes out their own, and a caller who sends a request at once is always heard.
It knows no HTTP and closes nothing itself: a connection is any object that can be told to go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from bot.web.refusals import network_of


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process. Far above what a proxy in front of it opens, and below the usual limit of open files (1,024)."""

    connections_max: int = 400
    connections_per_address_max: int = 200
    head_seconds: float = 10
    """How long the head of a request may take, from the moment that one is expected."""
    body_seconds: float = 30
    """How long the body may take after that."""
    write_seconds: float = 30
    """How long a caller may leave an answer unread while more of it waits."""
    linger_seconds: float = 5
    """How long a connection that we close may take to be gone."""


class Guest(Protocol):
    def make_room(self) -> None:
        """Close: another connection needs the place."""


@dataclass
class Admission:
    limits: Limits
    _open: dict[Guest, str] = field(default_factory=dict)
    """Each with its address."""
    _per_address: Counter[str] = field(default_factory=Counter)
    _waiting: dict[Guest, None] = field(default_factory=dict)
    """Those that have not sent a whole request, the longest first."""

    def admit(self, guest: Guest, host: str) -> bool:
        """Whether it may stay. It counts until it leaves."""
        address = network_of(host)
        if self._per_address[address] >= self.limits.connections_per_address_max:
            return False
        if len(self._open) >= self.limits.connections_max:
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.make_room()
        self._open[guest] = address
        self._per_address[address] += 1
        return True

    def waits(self, guest: Guest) -> None:
        """It has begun to wait for a request."""
        self._waiting.pop(guest, None)
        if guest in self._open:
            self._waiting[guest] = None

    def has_asked(self, guest: Guest) -> None:
        """Its request is whole."""
        self._waiting.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        self._waiting.pop(guest, None)
        address = self._open.pop(guest, None)
        if address is None:
            return
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
