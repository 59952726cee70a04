"""Says to whom an open question was put: the one rule for App Home and for what a new direct message may answer. Pure.

It was put to those who take part in its thread, and in a direct conversation to the person there. Whoever was only
quoted to the agent was not asked. It is no permission: whoever sees a question may answer it where it stands.
"""

from __future__ import annotations

from store.authority.terms import names_of
from store.events import ApprovalDecided, MessageReceived, ThreadForked
from store.index import counted
from store.state import StepState
from store.thread import Thread
from store.values import Person


def question_for(thread: Thread, by: Person, *, beside: str = "") -> StepState | None:
    """The open question of this thread, if it was put to this person.

    `beside`: how the addresses of all direct conversations with them begin; empty: not known.
    """
    asked = thread.step(thread.state.question)
    if asked is None or thread.state.cancelled:
        return None
    is_direct = bool(beside) and thread.place.address.startswith(beside)
    return asked if is_direct or _takes_part(thread, by) else None


def _takes_part(thread: Thread, by: Person) -> bool:
    """Whether this person wrote, decided, or made this fork."""
    said = [e.sender for e in thread.events if isinstance(e, MessageReceived) and e.sender.trust != "third_party"]
    decided = [e.by for e in thread.events if isinstance(e, ApprovalDecided) and counted(thread, e)]
    forked = [e.by for e in thread.events if isinstance(e, ThreadForked)]
    return any(not names_of(by).isdisjoint(names_of(one)) for one in (*said, *decided, *forked))
