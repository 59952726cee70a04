"""The terminal: a person at a prompt on this machine.

A terminal shows the thread's log as it grows (`bot.views.transcript`), so a message is said as soon as it is in the
log: `send` has nothing to do outside, and a crash can neither lose nor double it. What comes in is a line of text.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from channels.base import Channel, Outgoing
from store.events import Event
from store.values import Place

NAME = "terminal"


class TerminalChannel(Channel):
    name = NAME

    async def send(
        self, place: Place, message: Outgoing, *, key: str, since: datetime | None = None, so_far: Sequence[Event] = ()
    ) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person typed: a command with its text, or words for the agent (`say`)."""

    command: Literal["say", "approve", "reject", "edit", "pause", "resume", "cancel", "help", "quit", "nothing"]
    text: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What `edit` changes, by name."""
    error: str = ""
    """Why the command cannot be obeyed, in one line; empty: it can."""


def parse(line: str) -> Typed:
    """Commands are whole words at the beginning of the line; everything else is said to the agent."""
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
        return Typed("edit", error=f"That could not be read ({error}). Quotes have to be closed.")
    if not pairs or any(not name or not sign for name, sign, _ in pairs):
        return Typed("edit", error="Write: edit NAME=VALUE, with quotes around a value that has spaces.")
    return Typed("edit", arguments={name: value for name, _, value in pairs})
