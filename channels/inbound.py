"""The way in: what a channel hands over when people have done something, and what it is told in return.

A channel parses what came, and calls an `Inbox`; `bot.inbox` is the one that keeps it. Whatever returns is durable, so
only then may the channel acknowledge, and whatever comes again under the same id changes nothing. Nothing here knows a
channel, and nothing here decides who may do what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue

from store.state import Outcome
from store.values import Attachment, Person, Place

Reason = Literal["not_entitled", "expired", "unknown", "moved", "not_possible"]
"""`unknown`: what it is about is not there; `moved`: it is not as the person saw it; `not_possible`: all else."""


class Refused(Exception):
    """It cannot be done, for the reason given in one line; nothing was changed."""

    def __init__(self, text: str, reason: Reason = "not_possible") -> None:
        super().__init__(text)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Earlier:
    """What somebody said at a place before the agent was called there. Nobody vouches for it."""

    name: str
    address: str
    text: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Words:
    """One message of a person, as the channel read it."""

    sender: Person
    text: str
    event_id: str
    """As the channel names it: the same however often, and by whatever way, the message comes."""
    subject: str = ""
    attachments: tuple[Attachment, ...] = ()
    quoted: str = ""
    """What it quotes of others, apart from `text`."""
    origin: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the channel wants to find in the log again: whom an answer goes to, say."""
    before: tuple[Earlier, ...] = ()
    """What was said there before; kept only with a message that comes to a place, not with a reply."""


class Settlement(Protocol):
    """What came of a decision."""

    @property
    def outcome(self) -> Outcome: ...

    @property
    def text(self) -> str:
        """For the person who decided."""


class Inbox(Protocol):
    """Each of these raises StoreUnavailable. A `channel` is a name as in `Place.channel`."""

    async def thread_at(self, place: Place, spot: str = "") -> str:
        """The id of the thread that is held at the place, or goes on there; empty: none.

        `spot`: what `goes_on_at` was told.
        """

    async def goes_on_at(self, channel: str, spot: str, thread_id: str) -> bool:
        """Note that what is said at this spot (the channel's own name for it) belongs to the thread as well.

        False: there is no such thread.
        """

    async def message(self, place: Place, words: Words, *, agent: str) -> str:
        """A message at a place, which opens its thread if it is the first there. Gives the thread's id.

        `agent` counts for a new thread only.
        """

    async def reply(self, thread_id: str, channel: str, words: Words) -> bool:
        """A message in a thread that is there. False: there is no such thread, and nothing happened."""

    async def edited(self, thread_id: str, channel: str, *, event_id: str, text: str, edit_id: str) -> bool:
        """Its author changed the message. False: there is no such thread.

        `event_id` as in `Words`; `edit_id` tells edits of one message apart.
        """

    async def deleted(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        """Its author took the message back. Likewise."""

    async def came_back(
        self, thread_id: str, channel: str, *, key: str, recipient: str, error: str, event_id: str
    ) -> None:
        """A message that was sent under this key did not reach somebody."""

    async def decide(
        self,
        thread_id: str,
        by: Person,
        *,
        approved: bool,
        comment: str = "",
        step_id: str = "",
        digest: str = "",
        proof: str = "",
        by_message: bool = False,
    ) -> Settlement:
        """Approve or reject a request. Raises UnknownThread, and Refused where there is no request at all.

        `digest`: of what the person saw; `proof`: why it is them; `by_message`: they wrote it, and clicked nothing.
        """

    async def editable(self, thread_id: str, *, step_id: str, digest: str) -> tuple[str, Mapping[str, str]]:
        """The intent of the call that waits, and its arguments that a person may change; empty: nothing of it."""

    async def edit(
        self, thread_id: str, by: Person, *, step_id: str, digest: str, arguments: Mapping[str, str], proof: str
    ) -> object:
        """Change the call that waits instead of approving it; a request of its own follows.

        Raises UnknownThread, Refused.
        """

    async def answer(
        self, thread_id: str, sender: Person, text: str = "", *, step: str = "", number: int = -1
    ) -> object:
        """Answer the open question, in words or with the choice of that number. Raises UnknownThread, Refused."""

    async def cancel(self, thread_id: str, by: Person, reason: str = "") -> object:
        """End the thread. Raises UnknownThread, Refused."""
