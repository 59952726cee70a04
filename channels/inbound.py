"""The way in: the `Inbox` protocol that every channel calls, and the values that it hands over.

A channel parses its payloads and calls an `Inbox`; `bot.inbox` implements it. An event is durable when a method
returns, so a channel acknowledges a payload only after that. A redelivery under the same event id changes nothing.
This module knows no particular channel, and it does not decide who may do what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue

from store.arrivals import Arrived, ClickAct, ClickArrived, MessageArrived
from store.authority.terms import Way
from store.failures import Explained
from store.replies import WhyUndecided
from store.state import Outcome
from store.thread import Thread
from store.values import Attachment, Person, Place

Reason = Literal["not_entitled", "expired", "unknown", "moved", "not_possible"]
"""`unknown`: no such thread, request or question; `moved`: it has changed since the person saw it."""


class Refused(Explained):
    """The action is not possible, and nothing was changed. The message says why, in one line."""

    def __init__(self, text: str, reason: Reason = "not_possible") -> None:
        super().__init__(text)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class EarlierMessage:
    """A message from before the agent was mentioned. It is context only; its sender is not verified."""

    name: str
    address: str
    text: str
    event_id: str
    attachments: tuple[Attachment, ...] = ()
    left_out: str = ""
    """As in `InboundMessage`."""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message from a person."""

    sender: Person
    text: str
    event_id: str
    """The channel's own id for the message, the same for every redelivery and for every path it comes by."""
    subject: str = ""
    attachments: tuple[Attachment, ...] = ()
    quoted: str = ""
    """The text that the message quotes; not part of `text`."""
    passes_on: bool = False
    """The subject or the text may hold somebody else's words: a forwarded mail, say."""
    origin: Mapping[str, JsonValue] = field(default_factory=dict)
    """Data that the channel needs again to answer, such as the recipients of a mail. Kept in the log."""
    earlier: tuple[EarlierMessage, ...] = ()
    """What others said before it, and the log does not have: the conversation so far, or what programs wrote since."""
    left_out: str = ""
    """What people see of it, or of the conversation before it, and is not here, in the channel's own words."""
    beside: str = ""
    """It begins a conversation among direct messages: how the addresses of all places there begin. Empty: it does not.
    """


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, or an edit or the deletion of one, as a channel got it. What it takes to read it comes later."""

    channel: str
    event_id: str
    """The message's, as in `InboundMessage`."""
    text: str
    payload: Mapping[str, JsonValue]
    """The rest of it, for the channel's own `Reader`."""
    edit_id: str = ""
    """Tells several edits of one message apart; empty: it is the message."""
    deletes: bool = False
    """The message was deleted."""


@dataclass(frozen=True, slots=True)
class Click:
    """What a person did by a button or a form, as a channel got it. Who that is, is looked up later."""

    channel: str
    event_id: str
    """The same for every redelivery."""
    act: ClickAct
    payload: Mapping[str, JsonValue]
    """All of it, for the channel's own `Reader`."""
    by: str
    """Who clicked, by the channel's own id."""
    about: str
    """The step whose button it was; empty: it concerns the whole thread."""


Kept = Literal["kept", "too_many", "gone"]
"""Of a click: it is durable, and a worker judges it; this person has clicked there so often that no more is kept, so it
may only be judged at once; there is no such thread."""


@dataclass(frozen=True, slots=True)
class InboundEdit:
    """The author edited a message."""

    event_id: str
    """The message's, as in `InboundMessage`."""
    text: str
    passes_on: bool = False
    """As in `InboundMessage`."""


@dataclass(frozen=True, slots=True)
class InboundDeletion:
    """The author deleted a message."""

    event_id: str
    """The message's, as in `InboundMessage`."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What arrived belongs to another thread, which `Inbox.thread_at` shall find under this alias from now on."""

    thread_id: str
    alias: str


Meaning = InboundMessage | InboundEdit | InboundDeletion
"""What something that has arrived says."""


class CannotLookUp(Exception):
    """The service does not answer now."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class Reader(Protocol):
    """Reads what has arrived through a channel. A worker calls it."""

    def understands(self, arrived: Arrived, /) -> bool:
        """Whether this version knows what its payload says. The other methods take nothing else."""

    async def judge(self, clicked: ClickArrived, thread: Thread, inbox: Inbox, /, *, last_try: bool) -> str | Elsewhere:
        """Look up who clicked, and do it through the inbox. Returns what they are to be told; empty: nothing.

        `last_try`: if it cannot be looked up now, nothing is done and they are told so. Raises CannotLookUp,
        StoreUnavailable.
        """

    async def tell(self, clicked: ClickArrived, text: str, /) -> None:
        """Tell that person alone. Never raises."""

    async def look_up(
        self, arrived: MessageArrived, thread: Thread, *, last_try: bool, stays: bool = False
    ) -> Meaning | Elsewhere | None:
        """What it means in this thread; None: it is not for us.

        `last_try`: what cannot be looked up now is left out. `stays`: it belongs to no other thread. Raises
        CannotLookUp.
        """


class DecisionResult(Protocol):
    """What came of a decision."""

    @property
    def outcome(self) -> Outcome: ...

    @property
    def text(self) -> str:
        """The outcome in words, for the person who decided."""


@dataclass(frozen=True, slots=True)
class UndecidedReply:
    """A reply to a request that is no certain decision."""

    sender: Person
    event_id: str
    """As in `InboundMessage`."""
    place: Place
    """Where the sender is told."""
    step: str
    digest: str
    words: str
    reads_as: Literal["approval", "rejection", "neither"]
    elsewhere: bool = False
    """It does not reply to the message that shows the request in full."""
    why: WhyUndecided = ""
    """As in `ReplyDecidedNothing`."""
    details: str = ""
    """Likewise."""
    known_to_others: bool = False
    """Likewise."""
    subject: str = ""
    origin: Mapping[str, JsonValue] = field(default_factory=dict)


class Inbox(Protocol):
    """Every method raises StoreUnavailable. A `channel` is a name as in `Place.channel`."""

    async def thread_at(self, place: Place, alias: str = "") -> str:
        """The id of the thread at this place, or else under this alias (see `add_alias`); empty: none."""

    async def add_alias(self, channel: str, alias: str, thread_id: str) -> bool:
        """Let `thread_at` find the thread under `alias` too, a name that the channel chooses for a second place.

        False: there is no such thread.
        """

    async def arrived(self, place: Place, arrival: Arrival, *, agent: str) -> str:
        """Like `message`, for what a worker has to read first."""

    async def arrived_in(self, thread_id: str, arrival: Arrival) -> bool:
        """Like `reply` or `edited`, for what a worker has to read first. Also for the deletion of a message."""

    async def clicked(self, thread_id: str, click: Click) -> Kept:
        """Append a click that has to be read before it counts. Raises EventTooLarge."""

    async def clicked_at(self, place: Place, click: Click, *, agent: str) -> str:
        """Open a thread for `agent` with a click that has to be read. Returns the thread's id."""

    async def has_arrived(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        """Whether the thread has this message. `event_id` as in `InboundMessage`."""

    async def message(self, place: Place, message: InboundMessage, *, agent: str) -> str:
        """Append to the thread at the place, opening it for `agent` if there is none. Returns the thread's id."""

    async def reply(self, thread_id: str, channel: str, message: InboundMessage) -> bool:
        """Append to an existing thread. False: there is no such thread, and nothing happened."""

    async def edited(
        self, thread_id: str, channel: str, *, event_id: str, text: str, edit_id: str, passes_on: bool = False
    ) -> bool:
        """The author edited a message. False: there is no such thread.

        `event_id` is the message's; `edit_id` tells several edits of one message apart; `passes_on` as in
        `InboundMessage`.
        """

    async def delivery_failed(
        self, thread_id: str, channel: str, *, key: str, recipient: str, error: str, event_id: str
    ) -> None:
        """The message sent under this key did not reach a recipient."""

    async def decide(
        self,
        thread_id: str,
        by: Person,
        *,
        approved: bool,
        digest: str,
        comment: str = "",
        step_id: str = "",
        proof: str = "",
        way: Way | Literal[""] = "",
        by_message: bool = False,
        clicked: ClickArrived | None = None,
    ) -> DecisionResult:
        """Approve or reject a request. Raises UnknownThread, and Refused if there is no request at all.

        `digest` is that of the request the person saw, `proof` how the channel identified the person, `way` the way by
        which the decision came, and `by_message` says that they decided in a message instead of by a click. `clicked`:
        the click by which they did; None: they do it now.
        """

    async def undecided(self, thread_id: str, channel: str, reply: UndecidedReply) -> bool:
        """Record a reply to a request that is no certain decision, so that its author is told.

        False: there is no such thread.
        """

    async def editable(self, thread_id: str, *, step_id: str, digest: str) -> tuple[str, Mapping[str, str]]:
        """The intent of the pending call, and the arguments that a person may change; both empty if there is none."""

    async def edit(
        self,
        thread_id: str,
        by: Person,
        *,
        step_id: str,
        digest: str,
        arguments: Mapping[str, str],
        proof: str,
        way: Way | Literal[""] = "",
        clicked: ClickArrived | None = None,
    ) -> object:
        """Change the pending call instead of approving it. The changed call needs a request of its own.

        `clicked` as in `decide`. Raises UnknownThread, Refused.
        """

    async def answer(
        self,
        thread_id: str,
        sender: Person,
        text: str = "",
        *,
        step: str = "",
        number: int = -1,
        clicked: ClickArrived | None = None,
    ) -> object:
        """Answer the open question, with text or with the choice of that number. `clicked` as in `decide`.

        Raises UnknownThread, Refused.
        """

    async def rate(self, thread_id: str, channel: str, by: Person, *, step: str, helpful: bool, event_id: str) -> bool:
        """Note whether a message of the agent helped this person. False: there is no such thread."""

    async def keep_image(self, content: bytes) -> str:
        """Keep an image for an attachment (`Attachment.image`). Returns its id: the same content has the same."""

    async def place_regained(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        """The agent can post to the thread's own place again. False: there is no such thread."""

    async def stop(
        self, thread_id: str, by: Person, *, channel: str = "", event_id: str = "", clicked: ClickArrived | None = None
    ) -> object:
        """Stop what the agent is doing there; the next words go on. `clicked` as in `decide`.

        Raises UnknownThread, Refused.
        """
