"""The values that events are made of: people, places, attachments, token counts.

Values are frozen like the events, and keep fields that a newer version added. This module knows no event, no
channel's address format and no team file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Trust = Literal["verified", "unverified", "third_party", "forwarded"]
"""How the sender was authenticated. Only `verified` people may decide requests."""

Effect = Literal[
    "says",  # reports the outcome, then stops
    "updates",  # sends a message, then continues
    "lists",  # shows people its tasks, then continues
    "asks",  # asks people, then stops until they answer
    "rests",  # stops
    "withdraws",  # withdraws the request that waits for a decision
    "waits",  # stops until a given time
    "reminds",  # wakes the agent at a given time; other work continues meanwhile
    "runs",  # runs a tool
]
"""What choosing a step does."""


class Fact(BaseModel):
    """Frozen. Keeps unknown fields of newer versions, so that showing or copying a log loses nothing."""

    # Validators are built at the first use: a command that only looks needs few of them.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Place(Fact):
    """Where a conversation takes place: a channel's name, and an address that only that channel parses."""

    channel: str
    address: str


class Person(Fact):
    name: str
    address: str = ""
    """The channel's id for the person: a Slack user id, a mail address, a login name."""
    trust: Trust = "unverified"
    member: str = ""
    """The person's name in the team file, the same for all their addresses. Empty: not in the team file."""
    email: str = ""
    """A further mail address, verified by the channel (the one in a Slack profile, say)."""
    login: str = ""
    """At a terminal: the OS user and the host, `dex@build-1`, whatever name they gave."""
    token: str = ""
    """By the HTTP API: the name of the person's token in the team file."""


class CardWords(Fact):
    """What people read on a request for what it holds. Bound as the facts are, whose place the words take."""

    labels: dict[str, str] = {}
    """By the path of an argument or a fact (`new.sha`), in the order of a card."""
    warnings: dict[str, str] = {}
    """By key of a danger, a sentence that says it."""


class Attachment(Fact):
    name: str
    media_type: str = ""
    size_bytes: int = 0
    text: str = ""
    """The content, where the channel could read it as text; otherwise empty."""
    image: str = ""
    """The id under which `store.images` keeps it, where it is an image for models that look at images."""


class Usage(Fact):
    """Tokens, as counted by the model's endpoint, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    """By the prices of the team file at the time; None: it has no prices for this model."""
