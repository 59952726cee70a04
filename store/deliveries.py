"""The events of what was sent from a thread: it arrived, it could not be sent, it bounced; now it can be sent again.

What is to be sent is derived from all events of the thread (`store.outbox`); these say what became of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from store.recorded import Recorded
from store.values import Place


class MessageSent(Recorded):
    """The outbox message with this key was sent."""

    kind: Literal["message_sent"] = "message_sent"
    key: str
    receipt: str = ""
    """The channel's reference to it (a Slack ts, a Message-ID)."""
    place: Place | None = None
    """The thread's place from now on: it was opened before it had one, and this message starts it."""


class MessageFailed(Recorded):
    """A message could not be sent."""

    kind: Literal["message_failed"] = "message_failed"
    key: str
    attempt: int
    error: str
    retry_at: AwareDatetime | None = None
    """None: it is not retried."""
    elsewhere: bool = False
    """The requester is notified at another place."""
    instead: tuple[Place, ...] = ()
    """Of a request's card that nobody sees: where it is shown to those who may decide, in private."""


class PlaceRegained(Recorded):
    """The agent can post to the thread's own place again, where it could not: it was invited there."""

    kind: Literal["place_regained"] = "place_regained"


class DeliveryFailed(Recorded):
    """A sent message bounced."""

    kind: Literal["delivery_failed"] = "delivery_failed"
    key: str
    """As in `MessageSent`."""
    recipient: str
    error: str
