"""What people say, cut to what an event may hold: names, subjects and attachments by number, the rest by bytes. Pure.

What is cut off the text is told by `clipped_from`; attachments stay known by their names. Nothing is refused here.
"""

from __future__ import annotations

from store.codec import EventTooLarge, encode
from store.events import ApprovalDecided, MessageReceived

SUBJECT_CHARS_MAX = 1_000
ATTACHMENTS_MAX = 100
ATTACHED_CHARS_MAX = 20_000
"""Of one attachment's own text; the channel reads no more of it either."""
QUOTED_CHARS_MAX = 20_000
NAME_CHARS_MAX = 200
"""Of a sender, an address, an attachment."""


def fitting(message: MessageReceived) -> MessageReceived:
    """The message, clipped further where its characters take more bytes than an event may have."""
    names = {"name": message.sender.name[:NAME_CHARS_MAX], "address": message.sender.address[:NAME_CHARS_MAX]}
    attachments = tuple(
        one.model_copy(
            update={
                "name": one.name[:NAME_CHARS_MAX],
                "media_type": one.media_type[:NAME_CHARS_MAX],
                "text": one.text[:ATTACHED_CHARS_MAX],
            }
        )
        for one in message.attachments
    )
    message = message.model_copy(update={"sender": message.sender.model_copy(update=names), "attachments": attachments})
    while message.text or any(one.text for one in message.attachments):
        try:
            encode(message)
            break
        except EventTooLarge:
            if message.quoted:
                message = message.model_copy(update={"quoted": ""})
                continue
            if any(one.text for one in message.attachments):
                # They stay known by their names, as those that could not be read.
                bare = tuple(one.model_copy(update={"text": ""}) for one in message.attachments)
                message = message.model_copy(update={"attachments": bare})
                continue
            half = message.text[: len(message.text) // 2]
            whole = message.clipped_from or len(message.text)
            message = message.model_copy(update={"text": half, "clipped_from": whole})
    return message


def with_room(decision: ApprovalDecided) -> ApprovalDecided:
    """The decision, its comment clipped where its characters take more bytes than an event may have."""
    while True:
        try:
            encode(decision)
            return decision
        except EventTooLarge:
            decision = decision.model_copy(update={"comment": decision.comment[: len(decision.comment) // 2]})
