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
from store.text import one_line
from store.values import Place

NAME = "terminal"
WORD_CHARS_MAX = 40
"""The longest word that an error quotes."""

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

    def name(self, place: Place) -> str:
        return place.address.partition("/")[0]

    def is_personal(self, name: str) -> bool:
        return False


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
    """A line of input: a command with its text, a message to the agent (`say`), or neither (`mistake`)."""

    command: Literal[
        "say", "approve", "reject", "edit", "stop", "pause", "resume", "cancel", "help", "quit", "nothing", "mistake"
    ]
    text: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """For `edit`: the new values by argument name."""
    error: str = ""
    """For `mistake`: what is wrong, in one line."""


BARE_COMMANDS = frozenset({"approve", "reject", "edit", "stop", "pause", "resume", "cancel", "help", "quit", "exit"})
"""Commands without their slash. They are messages, but whoever types one alone probably means the command."""


def parse(line: str) -> Typed:
    """`/` begins a command, and `//` a message that begins with a slash. Everything else is a message to the agent.

    So no ordinary sentence ("cancel that, deploy v1.3.0 instead") is ever a command, and a mistyped command is sent to
    nobody.
    """
    line = line.strip()
    if not line:
        return Typed("nothing")
    if not line.startswith("/"):
        return Typed("say", line)
    if line.startswith("//"):
        return Typed("say", line[1:])
    word, *rest = line.split(maxsplit=1)
    text = rest[0] if rest else ""
    match word.lower():
        case "/approve" | "/stop" | "/pause" | "/resume" | "/help" | "/quit" | "/exit" | "/?" if text:
            return Typed("mistake", error=f"{word.lower()} takes no text, so nothing was done.")
        case "/approve":
            return Typed("approve")
        case "/reject":
            return Typed("reject", text)
        case "/edit":
            return _edit(text)
        case "/stop":
            return Typed("stop")
        case "/pause":
            return Typed("pause")
        case "/resume":
            return Typed("resume")
        case "/cancel":
            return Typed("cancel", text)
        case "/help" | "/?":
            return Typed("help")
        case "/quit" | "/exit":
            return Typed("quit")
    unknown = one_line(word, WORD_CHARS_MAX)
    return Typed("mistake", error=f"There is no command {unknown}, see /help. A message with / at its start needs //.")


def _edit(text: str) -> Typed:
    """`/edit NAME=VALUE …`, quoted as in a shell."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError as error:
        return Typed("mistake", error=f"Cannot parse that ({error}). Close every quote.")
    if not pairs or any(not name or not sign for name, sign, _ in pairs):
        return Typed("mistake", error="Usage: /edit NAME=VALUE. Put quotes around a value that contains spaces.")
    return Typed("edit", arguments={name: value for name, _, value in pairs})
