"""Makes and parses the addresses of email places; no other module does. Pure.

The place of a thread that a mail opened is that mail's Message-ID. The place of a thread that we open is the
recipient's mail address, or `address/name`. At `address/alone` a person is told about a thread in private.

This module does not decide who may write, or be written to.
"""

from __future__ import annotations

import hashlib
from typing import assert_never

from channels.email.identity.senders import is_plain_address
from channels.places import Alerts, Approvals, Command, Firing, Purpose
from store.values import Place

NAME = "email"
ADDRESS_CHARS_MAX = 150

_ALONE = "/alone"


def place_of(message_id: str) -> Place:
    """The place of the thread that this mail opens."""
    if len(message_id) > ADDRESS_CHARS_MAX:
        message_id = hashlib.sha256(message_id.encode(errors="replace")).hexdigest()
    return Place(channel=NAME, address=message_id)


def approvals_of(address: str) -> Place:
    """Where this person is asked for approvals."""
    return Place(channel=NAME, address=f"{address.lower()}/approvals")


def private_place(address: str) -> Place:
    """Where this person is told something about a thread in private."""
    return Place(channel=NAME, address=f"{address}{_ALONE}")


def private_recipient(place: Place) -> str:
    """The mail address of the person who is told in private; empty: the place is for everybody in a thread."""
    return place.address.removesuffix(_ALONE) if place.address.endswith(_ALONE) else ""


def person_at(place: Place) -> str:
    """The recipient of a thread that we opened. For a thread that a mail opened, the result is no mail address."""
    return place.address.partition("/")[0]


class EmailPlaces:
    """`email:ops@example.com`."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        return "ADDRESS"

    def place(self, name: str, purpose: Purpose) -> Place | None:
        if isinstance(purpose, Command):
            return _whole(name)
        if not _is_person(name):
            return None
        match purpose:
            case Alerts():
                return Place(channel=NAME, address=f"{name}/alerts")  # keeps its case
            case Approvals():
                return approvals_of(name)
            case Firing(schedule, mark):
                return Place(channel=NAME, address=f"{name.lower()}/{schedule}@{mark}")
        assert_never(purpose)

    def name(self, place: Place) -> str:
        return person_at(place).lower()

    def is_personal(self, name: str) -> bool:
        return True


def _is_person(address: str) -> bool:
    """A slash would end the address (see `person_at`)."""
    return is_plain_address(address) and "/" not in address


def _whole(text: str) -> Place | None:
    """A mail address, `address/name`, or a Message-ID."""
    place = Place(channel=NAME, address=text)
    is_mail = text.startswith("<") and text.endswith(">")
    return place if is_mail or is_plain_address(person_at(place)) else None


GRAMMAR = EmailPlaces()
