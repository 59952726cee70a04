"""Says what has arrived means: its channel looks up what it needs, and the inbox makes events of it.

Implements `agent.perform.read.Readers`. Of a message it appends nothing to the thread that it is asked about: the
worker does. What a click decides is appended by the inbox, as if it had come by any other way. What belongs to another
thread is moved there first, so it is never lost between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.perform.read import NotReadYet
from bot.inbox import Inbox
from bot.placing import offered_in, placed_in
from channels.inbound import CannotLookUp, Elsewhere, InboundDeletion, InboundEdit, InboundMessage, Reader
from store import keys
from store.arrivals import (
    AnswerOffered,
    ArrivalDropped,
    Arrived,
    ClickArrived,
    ClickRead,
    MessageArrived,
    dropped_id,
    offered_id,
    read_id,
)
from store.events import Event
from store.thread import Thread


class Arrivals:
    def __init__(self, inbox: Inbox, readers: Mapping[str, Reader | None]) -> None:
        """`readers`: by the name of their channel; None: nothing has to be read that arrives through it."""
        self._inbox = inbox
        self._readers = {channel: reader for channel, reader in readers.items() if reader}

    def why_not(self, arrived: Arrived, /) -> str:
        channel = arrived.channel
        reader = self._readers.get(channel)
        if reader is None:
            return (
                f"No worker here can read what arrives through {channel}: one has to run where {channel} is set up "
                "(`bot doctor` says what is missing)."
            )
        if not reader.understands(arrived):
            return (
                f"It arrived through {channel} in a form that this version of me does not know: a worker of the newer "
                "version has to run."
            )
        return ""

    async def events_of(self, thread: Thread, arrived: MessageArrived, *, last_try: bool) -> Sequence[Event]:
        known = {event.id for event in thread.events}
        if arrived.becomes in known:
            return [self._dropped(arrived)]  # It came as the history of another message, say.
        if thread_id := _moved_to(thread):
            return await self._moved(arrived, thread_id)
        placed = placed_in(thread, arrived.becomes)
        if placed and placed.thread and await self._inbox.move(arrived, placed.thread, answers=placed.step):
            return [self._dropped(arrived, placed.thread)]
        reader = self._readers[arrived.channel]
        try:
            found = await reader.look_up(arrived, thread, last_try=last_try)
            if isinstance(found, Elsewhere):
                if await self._inbox.add_alias(arrived.channel, found.alias, found.thread_id):
                    return await self._moved(arrived, found.thread_id)
                found = await reader.look_up(arrived, thread, last_try=last_try, stays=True)
        except CannotLookUp as later:
            raise NotReadYet(later.retry_after_seconds) from later
        match found:
            case None | Elsewhere():
                return [self._dropped(arrived)]
            case InboundEdit():
                return [self._inbox.event_of_edit(arrived, found)]
            case InboundDeletion():
                return [self._inbox.event_of_deletion(arrived, found)]
            case InboundMessage():
                if offer := await self._offer(thread, arrived, found):
                    return [offer]
                answers = arrived.answers if arrived.answers == thread.state.question else ""
                events = self._inbox.events_of(arrived, found, answers=answers)
                return [event for event in events if event.id not in known]

    async def _offer(self, thread: Thread, arrived: MessageArrived, message: InboundMessage) -> AnswerOffered | None:
        """To be made once, of a message that may answer a question which waits elsewhere; None: none."""
        was_deleted = keys.deleted(arrived.becomes) in thread.state.arrivals
        if not message.beside or was_deleted or offered_in(thread, offered_id(arrived.becomes)):
            return None
        return await self._inbox.offer(thread, arrived, message)

    async def judge(self, thread: Thread, clicked: ClickArrived, *, last_try: bool) -> ClickRead:
        # Any other click names the thread of its button.
        event_id, moved_to = read_id(clicked.id), _moved_to(thread) if clicked.act == "stops" else ""
        if not moved_to:
            try:
                found = await self._readers[clicked.channel].judge(clicked, thread, self._inbox, last_try=last_try)
            except CannotLookUp as later:
                raise NotReadYet(later.retry_after_seconds) from later
            if isinstance(found, str):
                return ClickRead(id=event_id, at=self._inbox.now(), click=clicked.id, told=found)
            if await self._inbox.add_alias(clicked.channel, found.alias, found.thread_id):
                moved_to = found.thread_id
        if moved_to:
            await self._inbox.move(clicked, moved_to)
        return ClickRead(id=event_id, at=self._inbox.now(), click=clicked.id, moved_to=moved_to)

    async def tell(self, clicked: ClickArrived, read: ClickRead, /) -> None:
        if not read.moved_to:
            await self._readers[clicked.channel].tell(clicked, read.told)

    async def _moved(self, arrived: MessageArrived, thread_id: str) -> list[Event]:
        await self._inbox.move(arrived, thread_id)
        return [self._dropped(arrived, thread_id)]

    def _dropped(self, arrived: MessageArrived, moved_to: str = "") -> ArrivalDropped:
        event_id, at = dropped_id(arrived.becomes), self._inbox.now()
        return ArrivalDropped(id=event_id, at=at, becomes=arrived.becomes, moved_to=moved_to)


def _moved_to(thread: Thread) -> str:
    """The thread to which all goes that arrives in this one; empty: it stays here."""
    moved = (e.moved_to for e in thread.events if isinstance(e, ArrivalDropped | ClickRead) and e.moved_to)
    return next(moved, "")
