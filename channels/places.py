"""The one notation of a place, as people write it: `slack:C0123`, `email:ops@example.com`, `terminal:ops`.

This module owns the notation and the purposes for which somebody names a place. What may follow the colon, and the
address that it makes, is the channel's own: each channel registers its grammar here (`bot.app` does it for all that
there are). Nothing here looks into an address, and nothing outside a channel makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from store.values import Place


@dataclass(frozen=True, slots=True)
class Alerts:
    """People read there what could not be said elsewhere."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """People are asked there to approve, beside the thread that asks."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing of a schedule opens its thread there; `mark` is different for each firing."""

    schedule: str
    mark: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command or an API call opens a thread there, or goes on with one: a whole address will do as well."""

    label: str
    """Names the thread where the place alone does not."""


Purpose = Alerts | Approvals | Firing | Command


class NoPlace(ValueError):
    """The text names no place for that purpose. Reads on from the setting's name: `must be slack: and …`."""


class Grammar(Protocol):
    """How one channel writes its places."""

    channel: str
    """As in `Place.channel`, and before the colon."""

    def form(self, purpose: Purpose) -> str:
        """What follows the colon, in words (`an address`); empty: the channel has no places for that purpose."""

    def place(self, name: str, purpose: Purpose) -> Place | None:
        """None: the name is none of this channel's, or not for that purpose."""


_grammars: dict[str, Grammar] = {}


def register(*grammars: Grammar) -> None:
    _grammars.update({grammar.channel: grammar for grammar in grammars})


def named(text: str) -> tuple[str, str]:
    """The channel, and what the text names there; either may be empty."""
    channel, _, name = text.partition(":")
    return channel, name


def read(text: str, purpose: Purpose) -> Place:
    """Raises NoPlace."""
    assert _grammars, "no channel has registered its grammar; importing bot.app does that"
    channel, name = named(text)
    grammar = _grammars.get(channel)
    place = grammar.place(name, purpose) if grammar else None
    if place is None:
        raise NoPlace(f"must be {forms(purpose)}")
    return place


def forms(purpose: Purpose, *others: str) -> str:
    """Everything that may be written for this purpose, in words. `others` are beside the notation."""
    found = [f"{grammar.channel}: and {form}" for grammar in _grammars.values() if (form := grammar.form(purpose))]
    *first, last = (*found, *others)
    return f"{', '.join(first)}, or {last}" if first else last
