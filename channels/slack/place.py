"""Makes and parses the addresses of Slack places; no other module does. Pure.

An address is `team/channel/ts`, with the ts of the thread's first message. `/channel/` is for single messages outside
any thread, and `/channel/#name` is a thread whose first message is not posted yet. A user's id in place of the channel
stands for our direct messages with that user.

This module does not know whether a channel exists, or whether we are in it.
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
    """A parsed address."""

    team: str
    channel: str
    """The id of a channel or of a user."""
    thread: str
    """The ts of the thread's first message; `#name` before it is posted; empty: outside any thread."""

    @property
    def place(self) -> Place:
        return Place(channel=NAME, address=f"{self.team}/{self.channel}/{self.thread}")

    @property
    def alias(self) -> str:
        """The thread's first message, independent of the team's id."""
        return f"{self.channel}/{self.thread}"

    @property
    def is_user(self) -> bool:
        return is_user(self.channel)

    @property
    def begins_thread(self) -> bool:
        """Whether the thread's first message is not posted yet."""
        return self.thread.startswith("#")


def is_user(channel: str) -> bool:
    """Whether the id is a user's."""
    return channel.startswith(("U", "W"))


def place_of(team: str, channel: str, thread: str) -> Place:
    return Address(team, channel, thread).place


def address_of(place: Place) -> Address | None:
    """None: it is not a place in Slack."""
    parts = place.address.split("/", 2)
    return Address(*parts) if place.channel == NAME and len(parts) == 3 else None


def thread_at(place: Place) -> Address | None:
    """The address of a thread that has a first message; None: the place is something else."""
    address = address_of(place)
    if address is None or not (address.team and address.channel and address.thread):
        return None
    return None if address.begins_thread or "/" in address.thread else address


def link_to(url: str, address: Address) -> str:
    """A link to a thread or a channel; `url`: the workspace's, with a slash at its end. Empty: nothing to link to."""
    if not url or address.is_user:
        return ""
    message = f"/p{address.thread.replace('.', '')}" if address.thread and not address.begins_thread else ""
    return f"{url}archives/{address.channel}{message}"


class SlackPlaces:
    """`slack:C0123`, or `slack:U0123` for a person."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        match purpose:
            case Alerts() | Approvals():
                return "CHANNEL_ID"
            case Firing() | Command():
                return "CHANNEL_OR_USER_ID"
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

    def name(self, place: Place) -> str:
        address = address_of(place)
        return address.channel if address else ""

    def is_personal(self, name: str) -> bool:
        return is_user(name) or name.startswith("D")


def _whole(text: str) -> Place | None:
    place = Place(channel=NAME, address=text)
    address = address_of(place)
    return place if address and address.channel and "/" not in address.thread else None


GRAMMAR = SlackPlaces()
