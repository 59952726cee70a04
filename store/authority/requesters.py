"""Who counts as a requester of a call: everybody whose words led to it.

The answer comes from the log alone. This module does not read the team file; the caller adds who the people are there.
"""

from __future__ import annotations

from typing import NamedTuple

from store.events import MessageReceived, StepChosen
from store.thread import Thread
from store.values import Person


class Requesters(NamedTuple):
    people: tuple[Person, ...]
    """Everybody who wrote in the thread so far, or edited one of its calls."""
    all_verified: bool
    """Whether all senders are verified, and it was not a schedule alone that led here."""


def requesters_of(thread: Thread) -> Requesters:
    """The requesters of a call that is chosen now."""
    senders = [event.sender for event in thread.events if isinstance(event, MessageReceived)]
    editors = [event.editor for event in thread.events if isinstance(event, StepChosen) and event.editor]
    verified = not thread.state.unattended and all(sender.trust == "verified" for sender in senders)
    return Requesters((*senders, *editors), verified)
