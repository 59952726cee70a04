"""The inbox: appends what people and machines did to the right thread, and wakes it in the same operation.

All channels and the CLI call it. When a method returns, the event is durable; only then may a channel acknowledge.
Every method may be called again with the same event id, after a crash or a redelivery. It works on no thread itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from agent.reporting import report
from agent.speech.messages import question
from bot.fitting import ATTACHMENTS_MAX, NAME_CHARS_MAX, QUOTED_CHARS_MAX, SUBJECT_CHARS_MAX, fitting, fitting_arrival
from bot.placing import offered_in
from bot.team.people import People
from bot.team.steer import Steering
from bot.triggers import Triggers
from channels.inbound import (
    Arrival,
    Click,
    InboundDeletion,
    InboundEdit,
    InboundMessage,
    Refused,
    UndecidedReply,
)
from store import images, keys
from store.arrivals import ClickArrived, MessageArrived, arrived_id
from store.base import Store, ThreadMoved, UnknownThread
from store.deliveries import DeliveryFailed, MessageSent, PlaceRegained
from store.events import (
    TEXT_CHARS_MAX,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ThreadCancelled,
    ThreadForked,
    ThreadPaused,
    ThreadReopened,
    ThreadResumed,
    WorkStopped,
)
from store.keys import OutsideId, thread_id_of
from store.replies import ReplyDecidedNothing
from store.text import one_line
from store.thread import Thread
from store.values import Person, Place

WORDS_CHARS_MAX = 200
"""Shown of a reply that decided nothing."""


def _now() -> datetime:
    return datetime.now(UTC)


class Inbox(Triggers):
    def __init__(
        self,
        store: Store,
        *,
        people: People | None = None,
        steering: Steering | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        super().__init__(store, people or People(), clock)
        self._steering = steering or Steering(self._people)

    async def thread_at(self, place: Place, alias: str = "") -> str:
        """See `channels.inbound`. A thread's own place wins over an alias."""
        thread_id = thread_id_of(place)
        if await self._store.exists(thread_id):
            return thread_id
        return await self._store.get_note(_alias_note(place.channel, alias)) if alias else ""

    async def add_alias(self, channel: str, alias: str, thread_id: str) -> bool:
        if not await self._store.exists(thread_id):
            return False
        # A note that exists already is the same one: a message belongs to one thread.
        await self._store.set_note(_alias_note(channel, alias), thread_id, expected="")
        return True

    async def message(self, place: Place, message: InboundMessage, *, agent: str) -> str:
        """See `channels.inbound`. The thread is not read, so the cost does not depend on its length."""
        return await self._open(place, agent, *self._with_earlier(place.channel, message))

    async def reply(self, thread_id: str, channel: str, message: InboundMessage) -> bool:
        return await self._post(thread_id, *self._with_earlier(channel, message), opens=False)

    async def arrived(self, place: Place, arrival: Arrival, *, agent: str) -> str:
        return await self._open(place, agent, self._arrived(arrival))

    async def arrived_in(self, thread_id: str, arrival: Arrival) -> bool:
        return await self._post(thread_id, self._arrived(arrival), opens=False)

    async def clicked_at(self, place: Place, click: Click, *, agent: str) -> str:
        return await self._open(place, agent, self.event_of_click(click))

    async def has_arrived(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        outside = str(OutsideId(channel, event_id))
        try:
            thread = await self._store.load(thread_id)
        except UnknownThread:
            return False
        return any(event.id in (outside, arrived_id(outside)) for event in thread.events)

    def events_of(
        self, arrived: MessageArrived, message: InboundMessage, *, answers: str = ""
    ) -> list[MessageReceived]:
        """What was read of an arrival, after what was said before it. `answers`: the open question that it answers."""
        *earlier, last = self._with_earlier(arrived.channel, message)
        update = {"clipped_from": last.clipped_from or arrived.clipped_from, "answers": answers}
        events = [*earlier, last.model_copy(update=update)]
        return [event.model_copy(update={"at": arrived.at}) for event in events]

    def event_of_edit(self, arrived: MessageArrived, edit: InboundEdit) -> MessageEdited:
        message = str(OutsideId(arrived.channel, edit.event_id))
        text = self._message(InboundMessage(Person(name=""), edit.text, ""), message).text
        return MessageEdited(id=arrived.becomes, at=arrived.at, message=message, text=text, passes_on=edit.passes_on)

    def event_of_deletion(self, arrived: MessageArrived, deletion: InboundDeletion) -> MessageDeleted:
        message = str(OutsideId(arrived.channel, deletion.event_id))
        return MessageDeleted(id=arrived.becomes, at=arrived.at, message=message)

    def now(self) -> datetime:
        return self._clock()

    async def move(self, arrived: MessageArrived | ClickArrived, thread_id: str, *, answers: str = "") -> bool:
        """What arrived in one thread belongs to another. False: there is no such thread.

        `answers`: the question there that the author of a message said that it answers. A message is new there, and
        what it takes to read it can be looked up anew; a click happened when it did.
        """
        if isinstance(arrived, MessageArrived):
            arrived = arrived.model_copy(update={"at": self._clock(), "answers": answers})
        return await self._post(thread_id, arrived, opens=False)

    async def delivery_failed(
        self, thread_id: str, channel: str, *, key: str, recipient: str, error: str, event_id: str
    ) -> None:
        event = DeliveryFailed(
            id=str(OutsideId(channel, event_id)),
            at=self._clock(),
            key=key,
            recipient=recipient[:NAME_CHARS_MAX],
            error=error[:SUBJECT_CHARS_MAX],
        )
        await self._post(thread_id, event, opens=False)

    async def undecided(self, thread_id: str, channel: str, reply: UndecidedReply) -> bool:
        event = ReplyDecidedNothing(
            id=str(OutsideId(channel, f"{reply.event_id} decides nothing")),
            at=self._clock(),
            step=reply.step,
            digest=reply.digest,
            by=self._people.identified(reply.sender),
            place=reply.place,
            words=one_line(reply.words, WORDS_CHARS_MAX),
            reads_as=reply.reads_as,
            elsewhere=reply.elsewhere,
            why=reply.why,
            details=one_line(reply.details, WORDS_CHARS_MAX),
            known_to_others=reply.known_to_others,
            subject=reply.subject[:SUBJECT_CHARS_MAX],
            origin=dict(reply.origin),
        )
        return await self._post(thread_id, event, opens=False)

    async def edited(
        self, thread_id: str, channel: str, *, event_id: str, text: str, edit_id: str, passes_on: bool = False
    ) -> bool:
        """See `channels.inbound`. The fold decides whether the edit takes effect."""
        message = str(OutsideId(channel, event_id))
        fitting = self._message(InboundMessage(Person(name=""), text, event_id), message).text
        edit, at = keys.edited(message, edit_id), self._clock()
        event = MessageEdited(id=edit, at=at, message=message, text=fitting, passes_on=passes_on)
        return await self._post(thread_id, event, opens=False)

    async def say(self, thread_id: str, sender: Person, text: str, *, event_id: str = "") -> Thread:
        """Write to an existing thread. Raises UnknownThread, Refused."""
        thread = await self._conversation(thread_id)
        if thread.state.cancelled:
            raise _cancelled(thread)
        outside = str(OutsideId(thread.place.channel, event_id)) if event_id else keys.new("m")
        return await self._append(thread, self._message(InboundMessage(sender, text, event_id), outside))

    async def answer(
        self,
        thread_id: str,
        sender: Person,
        text: str = "",
        *,
        step: str = "",
        number: int = -1,
        clicked: ClickArrived | None = None,
    ) -> Thread:
        """Answer the open question, by text or by the number of a choice (from 0).

        `step`: the question that the person saw, or the offer to place their words (`bot.placing`). If given, only that
        is answered, and a second click of the same person is the same answer. `clicked`: the click by which they did;
        None: they do it now. Raises UnknownThread, Refused if it is not open.
        """
        thread = await self._conversation(thread_id)
        if offered := offered_in(thread, step):
            return await self._place(thread, offered, sender, text, number)
        asked = thread.step(thread.state.question)
        event_id = keys.answered(step, sender.address or sender.name) if step else keys.new("m")
        if step and any(event.id == event_id for event in thread.events):
            return thread
        if thread.state.cancelled:
            raise _cancelled(thread)
        if asked is None and thread.state.offered:
            raise Refused("Its author chooses by the buttons in that conversation what the message is for.", "unknown")
        if asked is None:
            text = f"Thread {thread_id} has no open question (it is {thread.status}). `bot send` writes to it."
            raise Refused(text, "unknown")
        if step and step != asked.id:
            raise Refused("This question no longer needs an answer.", "moved")
        if number >= 0:
            choices = question(asked.chosen).offers
            if number >= len(choices):
                raise Refused("That question has no such choice.", "unknown")
            text = choices[number]
        event = self._message(InboundMessage(sender, text, event_id), event_id, answers=asked.id)
        event = event.model_copy(update={"click": clicked.id}) if clicked else event
        try:
            return await self._append(thread, event, if_unmoved=True)
        except ThreadMoved:
            # Somebody may have answered in the meantime; check again.
            return await self.answer(thread_id, sender, text, step=step, number=number, clicked=clicked)

    async def keep_image(self, content: bytes) -> str:
        return await images.keep(self._store, content)

    async def place_regained(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        event = PlaceRegained(id=str(OutsideId(channel, event_id)), at=self._clock())
        return await self._post(thread_id, event, opens=False)

    async def pause(self, thread_id: str, by: Person) -> Thread:
        """Raises UnknownThread, Refused. Like `resume`, `cancel`, `stop` and `fork`, it takes the right to steer."""
        thread, by = await self._steered(thread_id, by)
        if thread.state.cancelled:
            raise _cancelled(thread)
        if thread.state.paused:
            raise Refused(f"Thread {thread_id} is paused already.", "moved")
        return await self._append(thread, ThreadPaused(id=keys.new("pause"), at=self._clock(), by=by))

    async def resume(self, thread_id: str, by: Person) -> Thread:
        """Resume a paused thread, or reopen a cancelled one. Raises UnknownThread, Refused if it is neither."""
        thread, by = await self._steered(thread_id, by)
        if thread.state.cancelled:
            return await self._append(thread, ThreadReopened(id=keys.new("reopen"), at=self._clock(), by=by))
        if not thread.state.paused:
            raise Refused(f"Thread {thread_id} is not paused, nor cancelled (it is {thread.status}).", "moved")
        return await self._append(thread, ThreadResumed(id=keys.new("resume"), at=self._clock(), by=by))

    async def cancel(self, thread_id: str, by: Person, reason: str = "") -> Thread:
        thread, by = await self._steered(thread_id, by)
        if thread.state.cancelled:
            raise _cancelled(thread)
        event = ThreadCancelled(id=keys.new("cancel"), at=self._clock(), by=by, reason=reason[:TEXT_CHARS_MAX])
        return await self._append(thread, event)

    async def stop(
        self, thread_id: str, by: Person, *, channel: str = "", event_id: str = "", clicked: ClickArrived | None = None
    ) -> Thread:
        """End what is under way and withdraw the request; the next words go on. Raises UnknownThread, Refused.

        `channel`, `event_id`: what names the event, if its channel may deliver it twice. `clicked`: as in `answer`.
        """
        thread, by = await self._steered(thread_id, by)
        if thread.state.cancelled:
            raise _cancelled(thread)
        known = str(OutsideId(channel, event_id)) if event_id else keys.new("stop")
        click = clicked.id if clicked else ""
        return await self._append(thread, WorkStopped(id=known, at=self._clock(), by=by, click=click))

    async def fork(self, thread_id: str, at: int, by: Person, place: Place) -> Thread:
        """Open a thread at `place` with the first `at` events of this one. Ongoing work does not continue there."""
        source, by = await self._steered(thread_id, by)
        if not 1 <= at <= source.version:
            raise Refused(f"Thread {thread_id} has {source.version} events; --at takes 1 to {source.version}.")
        now = self._clock()
        # The copy's messages go to its own place.
        copied = [
            e.model_copy(update={"place": None}) if isinstance(e, MessageSent) else e for e in source.events[1:at]
        ]
        opened = source.events[0].model_copy(update={"place": place, "at": now})
        ended = ThreadForked(id=keys.forked(thread_id, at), at=now, source=thread_id, at_event=at, by=by)
        try:
            fork = await self._store.append(Thread(thread_id_of(place)), opened, *copied, ended, if_unmoved=True)
        except ThreadMoved:
            raise Refused(f"There is a thread at {place.channel}:{place.address} already.") from None
        report([opened, ended], fork)  # What was copied happened elsewhere.
        return fork

    async def _conversation(self, thread_id: str) -> Thread:
        thread = await self._store.load(thread_id)
        if not thread.agent:
            raise Refused(f"{thread_id} is a record, not a conversation.")
        return thread

    async def _steered(self, thread_id: str, by: Person) -> tuple[Thread, Person]:
        """The thread, and the person, identified. Raises UnknownThread, Refused if they may not steer it."""
        thread = await self._conversation(thread_id)
        return thread, self._steering.check_thread(by, thread)

    def _arrived(self, arrival: Arrival) -> MessageArrived:
        becomes = str(OutsideId(arrival.channel, arrival.event_id))
        if arrival.edit_id:
            becomes = keys.edited(becomes, arrival.edit_id)
        elif arrival.deletes:
            becomes = keys.deleted(becomes)
        return fitting_arrival(
            MessageArrived(
                id=arrived_id(becomes),
                at=self._clock(),
                channel=arrival.channel,
                becomes=becomes,
                text=arrival.text[:TEXT_CHARS_MAX],
                clipped_from=len(arrival.text) if len(arrival.text) > TEXT_CHARS_MAX else 0,
                payload=dict(arrival.payload),
            )
        )

    def _with_earlier(self, channel: str, message: InboundMessage) -> list[MessageReceived]:
        """The message, after those that others wrote before it."""
        earlier = (
            InboundMessage(
                Person(name=e.name, address=e.address, trust="third_party"),
                e.text,
                e.event_id,
                attachments=e.attachments,
                left_out=e.left_out,
            )
            for e in message.earlier
        )
        return [self._received(channel, one) for one in (*earlier, message)]

    def _received(self, channel: str, message: InboundMessage) -> MessageReceived:
        return self._message(message, str(OutsideId(channel, message.event_id)))

    def _message(self, message: InboundMessage, event_id: str, *, answers: str = "") -> MessageReceived:
        text = message.text
        return fitting(
            MessageReceived(
                id=event_id,
                at=self._clock(),
                sender=self._people.identified(message.sender),
                subject=message.subject[:SUBJECT_CHARS_MAX],
                text=text[:TEXT_CHARS_MAX],
                clipped_from=len(text) if len(text) > TEXT_CHARS_MAX else 0,
                attachments=message.attachments[:ATTACHMENTS_MAX],
                answers=answers,
                quoted=message.quoted[:QUOTED_CHARS_MAX],
                passes_on=message.passes_on,
                origin=dict(message.origin),
                left_out=message.left_out[:SUBJECT_CHARS_MAX],
            )
        )


def _cancelled(thread: Thread) -> Refused:
    return Refused(
        f"Thread {thread.id} was cancelled. `bot resume {thread.id}` reopens it; or start a new one with "
        f"`bot send --agent {thread.agent}`.",
        "moved",
    )


def _alias_note(channel: str, alias: str) -> str:
    """The name of the note that maps this alias to a thread."""
    return f"{channel}/held/{alias}"
