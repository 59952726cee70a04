"""Names the messages that a step may quote: a short name for each, which the model reads and code looks up.

A name is the message's position in the log, so it never changes. Only what a verified person wrote has one, for only
their words can be quoted. Pure.
"""

from __future__ import annotations

import re

from agent.steps import Said
from store.authority.words import is_machine
from store.events import Event, MessageReceived
from store.thread import Thread

_NAME = re.compile(r"m([1-9][0-9]{0,6})")


def name_of(event: Event, index: int) -> str:
    """The name of the event at this index of the log; empty: it cannot be quoted."""
    if not isinstance(event, MessageReceived) or event.sender.trust != "verified" or is_machine(event.sender):
        return ""
    return f"m{index + 1}"


def said(thread: Thread, name: str) -> Said | None:
    """The message with this name. None: there is none, it was deleted, or no verified person wrote it."""
    found = _NAME.fullmatch(name)
    index = int(found[1]) - 1 if found else thread.version
    event = thread.events[index] if index < thread.version else None
    if not isinstance(event, MessageReceived) or not name_of(event, index):
        return None
    text = thread.state.edits.texts.get(event.id, event.text)
    return Said(event.sender, text) if text is not None else None
