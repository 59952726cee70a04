"""Reads what has arrived: has its channel look up what it needs, and appends what the message or the click means.

It is broken off and repeated without harm: looking up changes nothing outside, and what a click decides has the same id
each time. While the channel's service does not answer, the thread is postponed; after a time the message is read with
what is known of it. What cannot be read even then, or not by this worker, is left to others (`agent.perform.unserved`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from store.arrivals import Arrived, ClickArrived, ClickRead, MessageArrived
from store.events import Event
from store.thread import Thread

if TYPE_CHECKING:
    from agent.perform.turn import Turn

LOOK_UP_MAX = timedelta(seconds=60)
"""Older arrivals are read with what is known of them."""


class NotReadYet(Exception):
    """What the message needs cannot be looked up now."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"not read yet; again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class CannotRead(Exception):
    """This worker cannot read it. Another one may."""

    def __init__(self, arrived: Arrived, why: str) -> None:
        super().__init__(why)
        self.arrived = arrived
        self.why = why
        """In a sentence, and what helps."""


class Readers(Protocol):
    """The port to whoever reads what has arrived: `bot.arrivals`."""

    def why_not(self, arrived: Arrived, /) -> str:
        """Why this process cannot read it, in a sentence, and what helps; empty: it can."""

    async def events_of(self, thread: Thread, arrived: MessageArrived, *, last_try: bool) -> Sequence[Event]:
        """What it means. `last_try`: what cannot be looked up now is left out. Raises NotReadYet, StoreUnavailable."""

    async def judge(self, thread: Thread, clicked: ClickArrived, *, last_try: bool) -> ClickRead:
        """Look up who clicked, and append what they did. `last_try`: else nothing is done. Raises as `events_of`."""

    async def tell(self, clicked: ClickArrived, read: ClickRead, /) -> None:
        """Tell that person alone what came of it. Never raises."""


def why_not(turn: Turn, arrived: Arrived) -> str:
    """As `Readers.why_not`."""
    readers = turn.services.readers
    return readers.why_not(arrived) if readers else "This worker reads nothing that arrives."


def is_late(turn: Turn, arrived: Arrived) -> bool:
    """Whether it has waited long enough for what is looked up."""
    return turn.now() - arrived.at >= LOOK_UP_MAX


async def read(turn: Turn, arrived: Arrived) -> None:
    """Raises NotReadYet, CannotRead, LeaseLost, StoreUnavailable."""
    if why := why_not(turn, arrived):
        raise CannotRead(arrived, why)
    last_try = is_late(turn, arrived)
    try:
        await _read(turn, arrived, last_try=last_try)
    except NotReadYet as error:
        if last_try:
            why = f"{arrived.channel} does not answer, so who wrote it is not known (`bot doctor` says what is wrong)."
            raise CannotRead(arrived, why) from error
        raise


async def _read(turn: Turn, arrived: Arrived, *, last_try: bool) -> None:
    readers = turn.services.readers
    assert readers is not None, "that is a reason not to read it"
    if isinstance(arrived, ClickArrived):
        with turn.may_be_broken_off():
            judged = await readers.judge(turn.thread, arrived, last_try=last_try)
        await turn.record(judged)
        if judged in turn.thread.events:  # Otherwise another process has told them.
            await readers.tell(arrived, judged)
        return
    with turn.may_be_broken_off():
        events = await readers.events_of(turn.thread, arrived, last_try=last_try)
    await turn.record(*events)


async def read_clicks(turn: Turn) -> None:
    """Judge the clicks that wait, after what arrived before them, as far as it can be read now.

    Raises LeaseLost, StoreUnavailable.
    """
    with contextlib.suppress(NotReadYet, CannotRead):
        while any(isinstance(one, ClickArrived) for one in turn.thread.unread):
            await read(turn, turn.thread.unread[0])
