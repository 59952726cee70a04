"""The terminal: a person at a prompt on this machine.

The terminal shows the thread's log as it grows (`bot.views.transcript`), so a message is delivered once it is in the
log: `send` does nothing, and a crash can neither lose nor repeat a message. Input is a line of text, parsed here.

An address is any name. A firing of a schedule appends its own: `ops/nightly@2026-11-20T09:00:00Z`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from channels.base import Channel
from channels.messages import NEW, Outgoing, Way
from channels.places import Alerts, Approvals, Command, Firing, Purpose
from store.events import Event
from store.values import Place

NAME = "terminal"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def place_of(name: str) -> Place:
    return Place(channel=NAME, address=name)


class TerminalPlaces:
    """`terminal:ops`."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        match purpose:
            case Alerts() | Approvals():
                return ""  # a terminal shows only the thread that its user has opened
            case Firing() | Command():
                return "NAME"
        assert_never(purpose)

    def place(self, name: str, purpose: Purpose) -> Place | None:
        match purpose:
            case Alerts() | Approvals():
                return None
            case Firing(schedule, mark):
                return place_of(f"{name}/{schedule}@{mark}") if _NAME.fullmatch(name) else None
            case Command():
                return place_of(name) if name else None
        assert_never(purpose)


GRAMMAR = TerminalPlaces()


class TerminalChannel(Channel):
    name = NAME

    async def send(
        self,
        place: Place,
        message: Outgoing,
        way: Way = NEW,
        *,
        key: str,
        since: datetime | None = None,
        so_far: Sequence[Event] = (),
    ) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Typed:
    """A line of input: a command with its text, or a message to the agent (`say`)."""

    command: Literal["say", "approve", "reject", "edit", "pause", "resume", "cancel", "help", "quit", "nothing"]
    text: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """For `edit`: the new values by argument name."""
    error: str = ""
    """Why the command is invalid, in one line; empty: it is valid."""


def parse(line: str) -> Typed:
    """A command is a whole word at the start of the line; everything else is a message to the agent."""
    line = line.strip()
    if not line:
        return Typed("nothing")
    word, *rest = line.split(maxsplit=1)
    text = rest[0] if rest else ""
    match word.lower():
        case "approve" | "pause" | "resume" | "help" | "quit" as command if not rest:
            return Typed(command)
        case "?" if not rest:
            return Typed("help")
        case "exit" if not rest:
            return Typed("quit")
        case "edit" if "=" in text or not text:
            return _edit(text)
        case "reject" | "cancel" as command:
            return Typed(command, text)
        case _:
            return Typed("say", line)


def _edit(text: str) -> Typed:
    """`edit NAME=VALUE …`, quoted as in a shell."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError as error:
        return Typed("edit", error=f"Cannot parse that ({error}). Close every quote.")
    if not pairs or any(not name or not sign for name, sign, _ in pairs):
        return Typed("edit", error="Usage: edit NAME=VALUE. Put quotes around a value that contains spaces.")
    return Typed("edit", arguments={name: value for name, _, value in pairs})
