"""The one notation of a place, as people write it: `slack:C0123`, `email:ops@example.com`, `terminal:ops`.

This module owns the notation, and the purposes for which a place can be named. Each channel has a grammar of its own
for the part after the colon and for the address made from it; `bot.app` registers them all. Nothing here looks into an
address, and only channels make addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from store.values import Place


@dataclass(frozen=True, slots=True)
class Alerts:
    """Messages that could not be delivered elsewhere are sent there."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Requests for approval are shown there, in addition to their own thread."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A schedule opens a thread there each time it fires. `mark` is unique to the firing."""

    schedule: str
    mark: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command or an API call opens or continues a thread there. A full address is accepted as well."""

    label: str
    """Tells threads apart if the place alone does not."""


Purpose = Alerts | Approvals | Firing | Command


class NoPlace(ValueError):
    """The text names no place for that purpose. The message follows a setting's name: `must be slack:CHANNEL_ID, …`."""


class Grammar(Protocol):
    """How one channel writes its places."""

    channel: str
    """The part before the colon; `Place.channel` holds it too."""

    def form(self, purpose: Purpose) -> str:
        """A placeholder for the part after the colon (`ADDRESS`); empty: no place can serve that purpose."""

    def place(self, name: str, purpose: Purpose) -> Place | None:
        """The place for the part after the colon; None: it is malformed, or cannot serve that purpose."""

    def name(self, place: Place) -> str:
        """The part after the colon: `C0123` for any thread in that channel."""

    def is_personal(self, name: str) -> bool:
        """Whether what is said there is for one person: a mailbox, a direct message."""


_grammars: dict[str, Grammar] = {}


def register(*grammars: Grammar) -> None:
    _grammars.update({grammar.channel: grammar for grammar in grammars})


def split(text: str) -> tuple[str, str]:
    """The parts before and after the colon; either may be empty."""
    channel, _, name = text.partition(":")
    return channel, name


def parse(text: str, purpose: Purpose) -> Place:
    """Raises NoPlace."""
    assert _grammars, "no channel has registered its grammar; importing bot.app does that"
    channel, name = split(text)
    grammar = _grammars.get(channel)
    place = grammar.place(name, purpose) if grammar else None
    if place is None:
        raise NoPlace(f"must be {forms(purpose)}")
    return place


def name_of(place: Place) -> str:
    """How people write the place, or the one that it is a thread of; empty: nobody can write it."""
    grammar = _grammars.get(place.channel)
    name = grammar.name(place) if grammar else ""
    return f"{place.channel}:{name}" if name else ""


def normal(text: str) -> str:
    """The one way to write this place, for comparing. Raises NoPlace."""
    return name_of(parse(text, Command("any")))


def is_personal(text: str) -> bool:
    """Whether what is said there is for one person. A place of no channel counts as one."""
    channel, name = split(text)
    grammar = _grammars.get(channel)
    return grammar is None or grammar.is_personal(name)


def forms(purpose: Purpose, *others: str) -> str:
    """A description of all accepted forms for this purpose. `others` are forms outside this notation."""
    found = [f"{grammar.channel}:{form}" for grammar in _grammars.values() if (form := grammar.form(purpose))]
    *first, last = (*found, *others)
    return f"{', '.join(first)}, or {last}" if first else last
