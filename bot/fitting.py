"""Clips messages to the limits of an event: names, subjects and the number of attachments, then the size in bytes.
Pure.

`clipped_from` records that a text was clipped; clipped attachments keep their names. Nothing is refused.
"""

from __future__ import annotations

from store.arrivals import MessageArrived
from store.codec import EventTooLarge, encode
from store.events import ApprovalDecided, MessageReceived

SUBJECT_CHARS_MAX = 1_000
ATTACHMENTS_MAX = 100
ATTACHED_CHARS_MAX = 20_000
"""For the text of one attachment; channels read no more than this."""
QUOTED_CHARS_MAX = 20_000
NAME_CHARS_MAX = 200
"""For the name of a sender, an address or an attachment."""


def fitting(message: MessageReceived) -> MessageReceived:
    """The message, clipped until it fits into an event."""
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
                # Keep only their names, as for attachments that cannot be read.
                bare = tuple(one.model_copy(update={"text": ""}) for one in message.attachments)
                message = message.model_copy(update={"attachments": bare})
                continue
            half = message.text[: len(message.text) // 2]
            whole = message.clipped_from or len(message.text)
            message = message.model_copy(update={"text": half, "clipped_from": whole})
    return message


def fitting_arrival(arrived: MessageArrived) -> MessageArrived:
    """What arrived, with its text clipped until it fits into an event, and at last without its payload's lists."""
    while True:
        try:
            encode(arrived)
            return arrived
        except EventTooLarge:
            whole = arrived.clipped_from or len(arrived.text)
            update: dict[str, object] = {"text": arrived.text[: len(arrived.text) // 2], "clipped_from": whole}
            if not arrived.text:
                bare = {name: value for name, value in arrived.payload.items() if not isinstance(value, list)}
                update = {"payload": bare if bare != arrived.payload else {}}
            arrived = arrived.model_copy(update=update)


def fitting_decision(decision: ApprovalDecided) -> ApprovalDecided:
    """The decision, with its comment clipped until it fits into an event."""
    while True:
        try:
            encode(decision)
            return decision
        except EventTooLarge:
            decision = decision.model_copy(update={"comment": decision.comment[: len(decision.comment) // 2]})
