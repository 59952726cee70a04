"""The values that events are made of: people, places, attachments, token counts.

They are facts like the events themselves: frozen, and what a newer version added to them is kept. Nothing here is an
event, and nothing here knows a channel's addresses or a team's people.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Trust = Literal["verified", "unverified", "third_party", "forwarded"]
"""How sure we are of who is speaking. Only `verified` people may decide requests."""


class Fact(BaseModel):
    """Frozen; keeps the fields of newer versions, so that showing or copying a log loses nothing."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Place(Fact):
    """Where a thread is held: a channel's name and an address that only that channel reads."""

    channel: str
    address: str


class Person(Fact):
    name: str
    address: str = ""
    """As the channel knows the person: a Slack user id, a mail address, a login name."""
    trust: Trust = "unverified"
    member: str = ""
    """Who they are in the team file, the same for all their addresses; empty: it does not know them."""
    email: str = ""
    """A mail address that the channel vouches for, beside the one that it knows them by."""


class Attachment(Fact):
    name: str
    media_type: str = ""
    size_bytes: int = 0
    text: str = ""
    """What it says, where it is a text that the channel could read; else it is known by its name only."""


class Usage(Fact):
    """Tokens, as the model's endpoint counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
