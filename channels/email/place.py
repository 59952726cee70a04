"""Addresses of threads held by mail: this module alone makes and reads them. Pure.

A thread that a mail opens is held at that mail's Message-ID. One that we open is held at `address/name`, the mail
address of whom it is for and what it is about. An address may also be a person's alone. `address/alone` is that person
without the others of the thread in which they wrote.

Who may write or be written to is not decided here.
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
    """Of the thread that this mail opens."""
    if len(message_id) > ADDRESS_CHARS_MAX:
        message_id = hashlib.sha256(message_id.encode(errors="replace")).hexdigest()
    return Place(channel=NAME, address=message_id)


def approvals_of(address: str) -> Place:
    """Where this person is asked to approve."""
    return Place(channel=NAME, address=f"{address.lower()}/approvals")


def alone(address: str) -> Place:
    """Where this person is told something of a thread that the others in it are not."""
    return Place(channel=NAME, address=f"{address}{_ALONE}")


def alone_at(place: Place) -> str:
    """The mail address of the one person who is told; empty: everybody in the thread is."""
    return place.address.removesuffix(_ALONE) if place.address.endswith(_ALONE) else ""


def person_at(place: Place) -> str:
    """The mail address of whom a thread that we opened is for; anything else where a mail opened it."""
    return place.address.partition("/")[0]


class EmailPlaces:
    """`email:ops@example.com`."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        return "an address"

    def place(self, name: str, purpose: Purpose) -> Place | None:
        if isinstance(purpose, Command):
            return _whole(name)
        if not _is_person(name):
            return None
        match purpose:
            case Alerts():
                return Place(channel=NAME, address=f"{name}/alerts")  # as it is written
            case Approvals():
                return approvals_of(name)
            case Firing(schedule, mark):
                return Place(channel=NAME, address=f"{name.lower()}/{schedule}@{mark}")
        assert_never(purpose)


def _is_person(address: str) -> bool:
    """A slash would end the address: see `person_at`."""
    return is_plain_address(address) and "/" not in address


def _whole(text: str) -> Place | None:
    """A person's address, one with a name behind it, or a Message-ID."""
    place = Place(channel=NAME, address=text)
    is_mail = text.startswith("<") and text.endswith(">")
    return place if is_mail or is_plain_address(person_at(place)) else None


GRAMMAR = EmailPlaces()
