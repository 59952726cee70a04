"""What a worker does about a thread that it cannot serve: leaves it to others, and after a while tells people.

During an upgrade, workers of two versions run: one knows an agent, a tool or a kind of event that the other does not.
So nothing is handed over, refused or dropped before every worker has had its chance. It never acts on the thread.
"""

from __future__ import annotations

from agent.decide import CannotServe
from agent.perform.run import refused
from agent.perform.turn import Turn
from store import keys
from store.events import ThreadUnserved
from store.keys import EventId, MessageKey

UNSERVED_SECONDS_MAX = 120.0
"""After so long without a worker that knows what is needed, people are told."""


def has_waited_long(turn: Turn) -> bool:
    """Whether the thread was left to others for so long that people should know, and have not been told.

    Counted from this worker's first look, not from the last event: after a night without any worker, the first one to
    look may be the one that cannot serve it.
    """
    since = turn.unserved_since
    late = since is not None and (turn.now() - since).total_seconds() >= UNSERVED_SECONDS_MAX
    return late and not turn.thread.state.unserved


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
    else:
        event_id = keys.unserved(turn.thread.number)
        await turn.begin(ThreadUnserved(id=event_id, at=turn.now(), why=action.why))
