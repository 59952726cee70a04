"""What becomes of the threads after events were cut off the end of the store (`bot store check --lose-events`).

A log may now lack that a call was approved, begun or done, and nobody can see which. So every thread that is not at
rest is handed to people. `bot.stores` does that before anybody gets the store, so no worker acts on such a thread
before. No clock decides which threads these are: nothing was appended since the cut.
"""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import structlog

from agent.reporting import report
from bot import listing
from store import keys
from store.base import Store
from store.events import HandedToHuman
from store.rows import Filter
from store.status import ThreadStatus

NOT_AT_REST = frozenset(get_args(ThreadStatus)) - {"done", "cancelled"}
REASON = (
    "The store was damaged, and its last events were cut off. What was said, approved or done here lately may be "
    "missing, and a call that has run may run again. Check what has really happened before you approve anything."
)

log = structlog.get_logger(__name__)


async def hand_over(store: Store, cut: str, at: datetime) -> None:
    """Hand every thread that is not at rest to people, once for each cut. Raises StoreUnavailable."""
    event = HandedToHuman(id=keys.handed_over_after_cut(cut), at=at, limit="lost_events", reason=REASON)
    found = [row.id async for row in listing.rows(store, Filter(statuses=NOT_AT_REST))]
    async for thread in store.load_each(found):
        report([event], await store.append(thread, event), thread.version)
    log.warning("events_cut", cut=cut, handed_over=len(found))
