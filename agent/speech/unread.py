"""What people are told of what has arrived and no worker can read: what it is, what is not known, how it goes on. Pure.

`store.arriving` says what it holds up.
"""

from __future__ import annotations

from collections import Counter

from store.arrivals import Arrived, ClickAct, ClickArrived, key_of
from store.events import ThreadUnserved
from store.thread import Thread

_CLICKS: dict[ClickAct, tuple[str, str]] = {
    "decides": ("a click on the request", "clicks on the request"),
    "edits": ("an edit of the request", "edits of the request"),
    "answers": ("an answer by a button", "answers by a button"),
    "stops": ("a stop", "stops"),
    "rates": ("a rating", "ratings"),
}


def unread_in_words(thread: Thread, event: ThreadUnserved) -> str:
    """`thread` ends with the event."""
    aside = [one for one in thread.aside if _is_named(one, event)]
    said = [f"I cannot read what arrived in this conversation ({thread.id}): {listed(aside)}. {event.why}"]
    acts = {one.act for one in aside if isinstance(one, ClickArrived)}
    if "decides" in acts:
        said.append(
            "I do not know who pressed it, nor whether it approves or rejects, so it counts for nothing now: if it was "
            "you, please decide by another way. It no longer holds up what others decide by other ways."
        )
    if event.holds:
        said.append("Until somebody goes on, I begin nothing here; what has begun goes on to its end.")
    return " ".join([*said, _how_to_go_on(thread)])


def _is_named(one: Arrived, event: ThreadUnserved) -> bool:
    return key_of(one) in event.set_aside


def _how_to_go_on(thread: Thread) -> str:
    request = thread.pending
    decide = (
        f"`bot approve {thread.id} --digest {request.digest[:12]}` or `bot reject` decides, and " if request else ""
    )
    return (
        f"As soon as a worker can, I read it by myself. To go on without it: {decide}"
        f"`bot send --thread {thread.id} TEXT` tells me what to do; `bot cancel {thread.id}` ends it all."
    )


def listed(arrivals: list[Arrived]) -> str:
    """What arrived, by its kinds, in the order in which they came first."""
    names = [_CLICKS[one.act] if isinstance(one, ClickArrived) else ("a message", "messages") for one in arrivals]
    return ", ".join(one if often == 1 else f"{often} {many}" for (one, many), often in Counter(names).items())
