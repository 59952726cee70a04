"""Addresses in Slack: this module alone makes and reads them. Pure.

An address is `team/channel/ts`, the ts being that of the message which the thread hangs from. `/channel/` is a place
for messages of their own, and `/channel/#name` that of a thread which has no message yet: its first one stands in the
channel, and the thread hangs from it. Instead of a channel there may be a user, with whom we have a conversation.

Whether a channel exists, and whether we are in it, is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never

from channels.places import Alerts, Approvals, Command, Firing, Purpose
from store.values import Place

NAME = "slack"

_CHANNEL_OR_USER = re.compile(r"[CGDUW][A-Z0-9]{2,30}")


@dataclass(frozen=True, slots=True)
class Address:
    """An address, read."""

    team: str
    channel: str
    """Or a user."""
    thread: str
    """The ts that the thread hangs from; `#name` before there is one; empty: messages of their own."""

    @property
    def place(self) -> Place:
        return Place(channel=NAME, address=f"{self.team}/{self.channel}/{self.thread}")

    @property
    def alias(self) -> str:
        """The message that the thread hangs from, by whatever name of the team it was told."""
        return f"{self.channel}/{self.thread}"

    @property
    def is_user(self) -> bool:
        return is_user(self.channel)

    @property
    def is_direct(self) -> bool:
        """A conversation with one person, as Slack numbers it."""
        return self.channel.startswith("D")

    @property
    def begins_thread(self) -> bool:
        """Its first message is still to be posted."""
        return self.thread.startswith("#")


def is_user(channel: str) -> bool:
    """Whether it is a user's id, where a channel's may stand."""
    return channel.startswith(("U", "W"))


def place_of(team: str, channel: str, thread: str) -> Place:
    return Address(team, channel, thread).place


def address_of(place: Place) -> Address | None:
    """None: it is no place in Slack."""
    parts = place.address.split("/", 2)
    return Address(*parts) if place.channel == NAME and len(parts) == 3 else None


def thread_at(place: Place) -> Address | None:
    """Where a thread hangs already, from a message; None: it is no such place."""
    address = address_of(place)
    if address is None or not (address.team and address.channel and address.thread):
        return None
    return None if address.begins_thread or "/" in address.thread else address


class SlackPlaces:
    """`slack:C0123`, or `slack:U0123` for a person."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        match purpose:
            case Alerts() | Approvals():
                return "a channel's id"
            case Firing() | Command():
                return "the id of a channel or a person"
        assert_never(purpose)

    def place(self, name: str, purpose: Purpose) -> Place | None:
        if not _CHANNEL_OR_USER.fullmatch(name):
            return _whole(name) if isinstance(purpose, Command) else None
        match purpose:
            case Alerts() | Approvals():
                return place_of("", name, "")
            case Firing(schedule, mark):
                return place_of("", name, f"#{schedule}@{mark}")
            case Command(label):
                return place_of("", name, f"#{label}")
        assert_never(purpose)


def _whole(text: str) -> Place | None:
    place = Place(channel=NAME, address=text)
    address = address_of(place)
    return place if address and address.channel and "/" not in address.thread else None


GRAMMAR = SlackPlaces()
