"""What a kind of hook is: how a delivery proves who sent it, and what it says. Pure.

To add one, copy a neighbour of this file, add it to `channels.hooks.kinds`, and put samples into
`tests/payloads/hooks/NAME`: the contract suite (tests/channels/hooks) finds both. A kind proves a delivery by its raw
bytes before anybody parses them. It never believes what a delivery says beyond who sent it: text that people wrote in
it is named as such (`Ready.words`), and what it is about is only a key for whoever waits (`store.awaited`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from pydantic import JsonValue

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Posted:
    """One request, as it came."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    at: datetime
    """When it came, by our clock."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Which HMAC a header holds, where the team may choose it."""

    header: str
    prefix: str = ""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp: str = ""
    """The header with the time at which it was signed, which is then signed too. Empty: there is none."""
    separator: str = "."
    """Between the time and the body."""
    tolerance_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the team file says of a hook, for kinds that leave it open."""

    signature: Signature | None = None
    bearer: bool = False
    delivery: str = ""
    """The header with the delivery's id. Empty: its bytes tell it apart."""
    event: str = ""
    """The header, or `body.` and the path, with the event's name."""
    form: str = ""
    """Of mail: whose form the post has."""


class Proof(Protocol):
    """Who sent a delivery. Both answers are words for the log and the sender; empty: nothing is wrong."""

    def missing(self, headers: Mapping[str, str], /) -> str:
        """What can be said before the body is read."""

    def wrong(self, posted: Posted, secrets: Sequence[str], /) -> str:
        """By the raw body, in constant time. Any of the secrets counts, so that they can be changed."""


class Unreadable(Exception):
    """It is proven, and makes no sense. The message is for its sender."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Ready:
    """An event that a kind brings, with fields of its own: a team writes no template for it."""

    facts: tuple[str, ...]
    """Fields that a machine made: numbers, hashes, states, names that a service has checked."""
    words: tuple[str, ...] = ()
    """Fields with text that people wrote, outsiders among them."""
    shown: tuple[str, ...] = ()
    """Those words that the agent sees unasked, because without them it knows nothing. They raise doubt."""
    has_subject: bool = False
    """Its occurrences have a subject."""
    ends: bool = False
    """It ends what an earlier event with the same subject began."""

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.facts, *self.words)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A ready-made event."""

    event: str
    """A key of `Kind.events`."""
    fields: Mapping[str, JsonValue]
    subject: str = ""
    """What it is about, the same for all that happens to it until it ends: an incident. Empty: it stands alone."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a delivery says."""

    id: str
    """The same for each time that it is sent, and no other's."""
    event: str
    """As the service names it: `pull_request.closed`."""
    body: Mapping[str, JsonValue]
    ready: Occurrence | None = None
    awaited: tuple[str, ...] = ()
    """Keys of `store.awaited`: whoever waits for one of them looks now."""
    test: bool = False
    """The service only tries whether we answer."""
    mail: bytes = field(default=b"", repr=False)
    """Of mail: the raw message. It has its own road."""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    proof: Callable[[Options], Proof]
    """Only for options that `unfit` finds nothing wrong with."""
    read: Callable[[Posted, Options], Delivery]
    """Raises Unreadable."""
    signed_with: str
    """Where its secret comes from, in words that follow a variable's name."""
    options: frozenset[str] = frozenset()
    """The names of the `Options` that it takes."""
    unfit: Callable[[Options], str] = lambda _: ""
    """Why the options do not make a hook, in a sentence that follows its name; empty: they do."""
    events: Mapping[str, Ready] = field(default_factory=dict)
    raw: Collection[str] | None = None
    """The names of all events that the service sends, without what follows a full stop. None: any."""
    media_types: tuple[str, ...] = (JSON,)
    event_header: str = ""
    """The header with the name of the event, where the body alone does not say it."""
    delivery_header: str = ""
    """The header with the delivery's id, likewise."""
    wakes: bool = False
    """Some of its deliveries are news for what waits (`Delivery.awaited`), so that it needs no rule."""
    is_mail: bool = False
    """Its deliveries are mails, which need no rule."""


def headers_of(kind: Kind, options: Options) -> tuple[str, str]:
    """Which headers say the event and the delivery's id, as this hook is set up; empty: the body does."""
    named = options.event if options.event and not options.event.startswith("body.") else kind.event_header
    return named, options.delivery or kind.delivery_header
