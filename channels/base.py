"""The `Channel` protocol: the way out to people, and the errors that a channel may raise.

A channel renders the plain data of `channels.messages` for its medium and sends it. The way in is each channel's own (a
socket, a mailbox, a terminal) and ends at the `Inbox` of `channels.inbound`. This module knows no medium, and a channel
never retries by itself: the loop sends again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from channels.inbound import Reader
from channels.messages import NEW, Outgoing, Way
from store.events import Event
from store.failures import Explained
from store.status import Turn
from store.values import Person, Place

AnswersHttp = Callable[[Mapping[str, str], Mapping[str, str], bytes], Awaitable[tuple[int, dict[str, str], str]]]
"""An HTTP handler: (query, headers, body) of a request -> (status, headers, body)."""


class ChannelUnavailable(Explained):
    """A configured channel does not work. The message is one line: what is wrong, and what to do."""


class SendFailed(Exception):
    """The message was not sent. The text is one line for people. Without `retry_after_seconds`, retrying is useless."""

    def __init__(self, text: str, retry_after_seconds: float | None = None, *, until_repaired: bool = False) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds
        self.until_repaired = until_repaired
        """The whole channel waits for a person, who is told by an alert: the message is never given up."""


class SentInPart(Exception):
    """The message was sent, but some recipients were refused for good."""

    def __init__(self, receipt: str, refused: Mapping[str, str]) -> None:
        super().__init__(f"not to {', '.join(refused)}")
        self.receipt = receipt
        self.refused = dict(refused)
        """The reason for each refused address, in one line."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one check for `bot doctor`."""

    what: str
    is_well: bool
    text: str
    """One line: the status, or the problem and what to do."""


class Channel(Protocol):
    """A subclass must implement `send`; everything else has a default."""

    name: str
    """The value of `Place.channel`."""

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
        """Send the message, and return its receipt: the channel's own reference to it.

        `way`: as a new message, or in relation to an earlier one at that place. A channel that cannot edit or thread
        messages does what its medium allows, or sends nothing.
        `key`: the text of a `store.keys.SendKey`, an idempotency key: a message is sent once for each key.
        `since`: set if an earlier attempt may have succeeded, to the time of the first one. The channel then checks
        before it sends. None: this is certainly the first attempt.
        `so_far`: the thread's events up to the one that the message is about, the same for every attempt. For a channel
        whose messages refer to earlier ones.

        Raises SendFailed, or SentInPart (which carries the receipt). Any other exception counts as temporary.
        """

    def anchored(self, place: Place, receipt: str) -> Place | None:
        """The new place of a thread whose first message was sent to `place` with this receipt; None: it stays there.

        A thread that we open in a Slack channel, for example, gets its own place only from its first message.
        """
        return None

    def place_for(self, person: Person, beside: Place) -> Place | None:
        """Where to tell this person in private about the thread at `beside`. None: the channel cannot reach them.

        A channel without private messages returns `beside`.
        """
        return beside

    async def link(self, place: Place) -> str:
        """A link that opens this place; empty: there is none, or it is not known now. Never raises."""
        return ""

    def covers(self, place: Place, other: Place) -> bool:
        """Whether people who read `other` also see the messages sent to `place`."""
        return place == other

    def busy(self, place: Place, doing: str, *, about: str = "") -> None:
        """Show that the agent is working (`is looking at the tags`), until the next message or `at_rest`.

        `about`: the newest message, by this channel's own id; empty: it came another way.

        Best effort: it returns at once and never raises.
        """
        return None

    def at_rest(self, place: Place, turn: Turn) -> None:
        """Show that the agent has stopped, and whose turn it is. Best effort, like `busy`."""
        return None

    @property
    def reader(self) -> Reader | None:
        """Reads what has arrived through this channel; None: its messages arrive in full."""
        return None

    async def check(self) -> Sequence[Checked]:
        """Test the connections that `send` needs. Empty: there are none, or others test them. Never raises."""
        return ()

    async def aclose(self) -> None:
        """Close all connections."""
        return None
