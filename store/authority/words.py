"""Whose words led to a call: the one answer to who counts as its requester, and to which policy holds.

It reads the log alone. Which member of the team somebody is, the team file knows, and whoever asks adds it.
"""

from __future__ import annotations

from typing import NamedTuple

from store.events import MessageReceived, StepChosen
from store.thread import Thread
from store.values import Person


class WordsBehind(NamedTuple):
    people: tuple[Person, ...]
    """Everybody who wrote in the thread so far, or changed one of its calls."""
    verified: bool
    """We know for sure who all of them are, and it was not a schedule alone that led here."""


def words_behind(thread: Thread) -> WordsBehind:
    """For a call that is chosen now."""
    senders = [event.sender for event in thread.events if isinstance(event, MessageReceived)]
    editors = [event.editor for event in thread.events if isinstance(event, StepChosen) and event.editor]
    verified = not thread.state.unattended and all(sender.trust == "verified" for sender in senders)
    return WordsBehind((*senders, *editors), verified)
