"""Which images of a thread the model is shown: the newest, as far as their messages were not taken back. Pure.

The text of the prompt names each one by the beginning of its id (see `agent.context.attachments`).
"""

from __future__ import annotations

from collections.abc import Iterator

from store.events import MessageReceived
from store.thread import Thread
from store.values import Attachment

IMAGES_MAX = 4
NAME_CHARS = 8


def images_of(thread: Thread) -> list[Attachment]:
    """The newest ones, oldest first, each once."""
    newest = {image.image: image for image in _newest_first(thread)}
    return list(newest.values())[:IMAGES_MAX][::-1]


def name_of_image(image: Attachment) -> str:
    """What the prompt calls it."""
    return image.image[:NAME_CHARS]


def _newest_first(thread: Thread) -> Iterator[Attachment]:
    taken_back = {message for message, text in thread.state.edits.texts.items() if text is None}
    for index in reversed(thread.state.pictured):
        event = thread.events[index]
        if isinstance(event, MessageReceived) and event.id not in taken_back:
            yield from (one for one in reversed(event.attachments) if one.image)
