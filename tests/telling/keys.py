"""Every key in an event, read back: what `store.keys` wrote, it reads, and writes to the same letters."""

from __future__ import annotations

from store.deliveries import DeliveryFailed, MessageFailed, MessageSent
from store.events import Event, MessageReceived, TimerFired, TriggerReceived, WorkStopped
from store.keys import EventId, MessageKey, OutsideId, TimerKey


def assert_reads_back(event: Event) -> None:
    """Its id, and the key of the message or the timer that it tells of."""
    match event:
        case MessageReceived() | TriggerReceived() | DeliveryFailed() | WorkStopped():
            assert str(EventId.parse(event.id) or OutsideId.parse(event.id)) == event.id
        case _:
            assert str(EventId.parse(event.id)) == event.id
    match event:
        case MessageSent() | MessageFailed() | DeliveryFailed():
            assert str(MessageKey.parse(event.key)) == event.key
        case TimerFired():
            assert str(TimerKey.parse(event.timer)) == event.timer
        case _:
            pass
