"""The terminal: a person at a prompt on this machine.

A terminal shows the thread's log as it grows (`bot.transcript`), so a message is said as soon as it is in the log:
`send` has nothing to do outside, and a crash can neither lose nor double it. What comes in is a line of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from channels.base import Channel, Outgoing
from store.events import Event, Place

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

    command: Literal["say", "approve", "reject", "pause", "resume", "cancel", "help", "quit", "nothing"]
    text: str = ""


def parse(line: str) -> Typed:
    """Commands are whole words at the beginning of the line; everything else is said to the agent."""
    line = line.strip()
    if not line:
        return Typed("nothing")
    word, *rest = line.split(maxsplit=1)
    match word.lower():
        case "approve" | "pause" | "resume" | "help" | "quit" as command if not rest:
            return Typed(command)
        case "?" if not rest:
            return Typed("help")
        case "exit" if not rest:
            return Typed("quit")
        case "reject" | "cancel" as command:
            return Typed(command, *rest)
        case _:
            return Typed("say", line)
