"""One entry of a thread as people read it: who speaks, the words, and the message that they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from channels.messages import Outgoing
from channels.plain import render
from store.text import one_line, visible

NAME_CHARS_MAX = 60

Kind = Literal["person", "bot", "step", "request", "decision", "problem", "note"]


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    who: str
    text: str
    message: Outgoing | None = None
    """What the text is rendered from, for a screen that lays it out itself; None: there is only the text."""

    @classmethod
    def of(cls, kind: Kind, message: Outgoing) -> Self:
        """A message of the bot."""
        return cls(kind, "bot", render(message), message)

    def made_safe(self) -> Entry:
        """All text is made safe, in case whoever wrote it forgot to: names are foreign text, too."""
        return Entry(self.kind, one_line(self.who, NAME_CHARS_MAX), visible(self.text), self.message)
