"""What a channel is: a way in, which parses what people did into events, and a way out, which says one message.

The way in is the channel's own (a socket, a mailbox, a terminal); it ends at `channels.inbound`. The way out is `send`.
What there is to say is the plain data of `channels.messages`, and each channel renders it as its medium wants. Nothing
here knows a medium.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from channels.messages import NEW, Outgoing, Way
from store.events import Event
from store.thread import Turn
from store.values import Person, Place

AnswersHttp = Callable[[Mapping[str, str], Mapping[str, str], bytes], Awaitable[tuple[int, dict[str, str], str]]]
"""Takes query, headers and body of what was posted to a channel; gives status, headers and body of the answer.

Raises UnicodeDecodeError.
"""


class ChannelUnavailable(Exception):
    """A channel that is set up does not work. One line: what is wrong, and what to do."""


class SendFailed(Exception):
    """The message did not go out. One line, for a person. Without `retry_after_seconds` it never will."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class SentInPart(Exception):
    """The message went out, and some of those whom it is for will never get it."""

    def __init__(self, receipt: str, refused: Mapping[str, str]) -> None:
        super().__init__(f"not to {', '.join(refused)}")
        self.receipt = receipt
        self.refused = dict(refused)
        """Address -> why, in one line."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of asking something that a channel needs, for `bot doctor`."""

    what: str
    is_well: bool
    text: str
    """One line: how it is; where it is not well, what to do."""


class Channel(Protocol):
    """A channel that inherits from this has to say things, and may leave the rest."""

    name: str
    """As in `Place.channel`."""

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
        """Say it there, and give the channel's reference to it (its receipt).

        `way`: as a new message, or how it relates to an earlier one at that place. A channel that cannot rewrite, or
        has no replies, says it as its medium allows, or not at all.
        `key`: a `store.keys.SendKey`, written out; what was said under it once is not said again.
        `since`: it has been owed since then and may have been sent already, by a process that died before it could
        note it. The channel looks before it says it again. None: nobody can have sent it yet.
        `so_far`: the thread's events up to the one that it is owed for, the same each time that it is tried; for a
        channel whose messages name those before them.

        Raises SendFailed, and SentInPart instead of giving a receipt; anything else that it raises is taken for a
        passing fault.
        """

    def anchored(self, place: Place, receipt: str) -> Place | None:
        """Where a thread is held whose first message there has this receipt; None: at `place`, as before.

        A thread that we open in a Slack channel has no place of its own before that message has.
        """
        return None

    def place_for(self, person: Person, beside: Place) -> Place | None:
        """Where this person, who wrote in the thread at `beside`, is told what could not be said there.

        None: the channel does not reach them. A channel that knows no people apart says it at `beside`.
        """
        return beside

    def covers(self, place: Place, other: Place) -> bool:
        """Whether people who look at `other` see what is said at `place` as well."""
        return place == other

    def busy(self, place: Place, doing: str) -> None:
        """Show there that the agent is at work (`is looking at the tags`), until the next message or `at_rest`.

        A courtesy that nothing waits for: it returns at once, keeps nothing and never raises.
        """
        return None

    def at_rest(self, place: Place, turn: Turn) -> None:
        """Show there that the agent has stopped, and whose turn it is. Likewise."""
        return None

    async def check(self) -> Sequence[Checked]:
        """Ask for real what it needs to say things. Empty: it is asked elsewhere, or needs nothing. Never raises."""
        return ()

    async def aclose(self) -> None:
        """Close what it holds open."""
        return None
