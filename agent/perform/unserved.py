"""What a worker does about a thread that it cannot serve: leaves it to others, and after a while tells people.

During an upgrade, workers of two versions run: one knows an agent, a tool, a kind of event or a form of message that
the other does not. Or only some workers have the channel through which something arrived. So nothing is handed over,
refused or dropped before every worker has had its chance. It never acts on the thread.

What has arrived and nobody can read is then set aside (`store.arriving`): it is neither lost nor does it hold up for
ever what people do by other ways.
"""

from __future__ import annotations

from agent.decide import CannotServe, Say, say_next
from agent.perform.read import is_late, why_not
from agent.perform.run import refused
from agent.perform.turn import LeftAlone, Turn
from store import keys
from store.arrivals import Arrived, ClickArrived, MessageArrived, key_of
from store.events import ThreadUnserved
from store.keys import EventId, MessageKey
from store.values import Place

UNSERVED_SECONDS_MAX = 120.0
"""After so long without a worker that knows what is needed, people are told."""


def left(turn: Turn, what: str, why: str) -> LeftAlone:
    """What this worker leaves to others, since it found it first."""
    before = turn.left_before
    return LeftAlone(what, why, before.since if before and before.what == what else turn.now())


def has_waited_long(turn: Turn, action: CannotServe) -> bool:
    """Whether it was left to others for so long that people should know, and have not been told.

    Counted from this worker's first look, not from the last event: after a night without any worker, the first one to
    look may be the one that cannot serve it.
    """
    before = turn.left_before
    since = before.since if before and before.what == action.what else turn.now()
    late = (turn.now() - since).total_seconds() >= UNSERVED_SECONDS_MAX
    return late and (action.arrived is not None or not turn.thread.state.unserved)


def sayable(turn: Turn) -> Say | None:
    """A message that this worker can send while it leaves the rest to others: what it says is settled."""
    message, thread = say_next(turn.thread), turn.thread
    place = (message.unsent.place or thread.place) if message else thread.place
    return message if place.channel in turn.services.channels else None


def is_unserved_notice(key: str) -> bool:
    """Whether the message with this key tells people that nobody can serve the thread."""
    message = MessageKey.parse(key)
    event = EventId.parse(message.about) if message else None
    return event is not None and event.name == "unserved"


async def give_up(turn: Turn, action: CannotServe) -> None:
    """Tell people. A step that nobody can begin is refused, so that the agent may choose another.

    Not one that was begun, nor one that was approved and whose tool is unknown: it waits for a worker that knows it.
    """
    if action.step and action.error:
        await turn.begin(refused(turn, action.step, action.error))
        return
    cannot_read = action.arrived
    aside = [one for one in turn.thread.unread if cannot_read and _is_set_aside_with(turn, one, cannot_read)]
    await turn.begin(
        ThreadUnserved(
            id=keys.unserved(turn.thread.number),
            at=turn.now(),
            why=action.why,
            set_aside=tuple(map(key_of, aside)),
            holds=any(_holds(turn, one) for one in aside),
            place=_place_to_tell(turn),
        )
    )


def _is_set_aside_with(turn: Turn, one: Arrived, cannot_read: Arrived) -> bool:
    """So that people are told once of what nobody can read now, for whatever reason."""
    if one == cannot_read or why_not(turn, one):
        return True
    is_silent = not why_not(turn, cannot_read)  # Then its service does not answer, and so it is with the others.
    return is_silent and one.channel == cannot_read.channel and isinstance(one, MessageArrived) and is_late(turn, one)


def _holds(turn: Turn, one: Arrived) -> bool:
    """Whether it may forbid what is about to begin; in a cancelled thread: whether somebody waits for an answer."""
    return not isinstance(one, ClickArrived) or (one.act != "rates" and not turn.thread.state.cancelled)


def _place_to_tell(turn: Turn) -> Place | None:
    """Where this worker can tell people, if it does not have the thread's channel; None: at the thread's own place.

    Otherwise nobody would hear of it, because the worker that has that channel is missing.
    """
    channels, thread = turn.services.channels, turn.thread
    if thread.place.channel in channels:
        return None
    request = thread.pending
    shown = enumerate(request.places, 1) if request else ()
    where = (turn.services.alerts, *(place for surface, place in shown if request and surface in request.shown_at))
    return next((place for place in where if place and place.channel in channels), None)
