"""The event of a reply that decided nothing, and what follows from it: code tells its author. No model reads either."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from store.recorded import Recorded
from store.values import Person, Place

WhyUndecided = Literal["", "unverified", "unsigned", "no_proof", "not_addressed"]
"""Why a plain `approve` or `reject` decided nothing; empty: it is not plain, or not a reply to the request.

`unsigned`: no signature of the sender's own domain could be checked; `no_proof`: our mail server is not proven to
remove forged verdicts; `not_addressed`: it did not go to the address that only its sender got.
"""


class ReplyDecidedNothing(Recorded):
    """A reply to a request was no certain decision. Its author is told at `place`."""

    kind: Literal["reply_decided_nothing"] = "reply_decided_nothing"
    step: str
    digest: str
    by: Person
    place: Place
    words: str
    """The beginning of what they wrote, on one line."""
    reads_as: Literal["approval", "rejection", "neither"]
    """`neither`: it is a message to the agent as well, which has an event of its own."""
    elsewhere: bool = False
    """It did not reply to the message that shows the request in full."""
    why: WhyUndecided = ""
    details: str = ""
    """More of `unverified` and `unsigned`, in words that follow "because"."""
    known_to_others: bool = False
    """Others know the reply address that this person got with the request, so no reply of theirs decides it."""
    subject: str = ""
    origin: dict[str, JsonValue] = {}
    """As in `MessageReceived`."""
