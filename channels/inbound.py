"""The way in: what a channel hands over when people have done something, and what it is told in return.

A channel parses what came, and calls an `Inbox`; `bot.inbox` is the one that keeps it. Whatever returns is durable, so
only then may the channel acknowledge, and whatever comes again under the same id changes nothing. Nothing here knows a
channel, and nothing here decides who may do what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal["not_entitled", "expired", "unknown", "moved", "not_possible"]
"""`unknown`: what it is about is not there; `moved`: it is not as the person saw it; `not_possible`: all else."""


class Refused(Exception):
    """It cannot be done, for the reason given in one line; nothing was changed."""

    def __init__(self, text: str, reason: Reason = "not_possible") -> None:
        super().__init__(text)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Earlier:
    """What somebody said at a place before the agent was called there. Nobody vouches for it."""

    name: str
    address: str
    text: str
    event_id: str
