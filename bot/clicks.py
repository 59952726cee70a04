"""Appends clicks as they arrived: the part of the inbox for what people do by buttons.

Nothing is judged here: whoever reads a click calls the inbox as if the person had come by any other way. Anybody who
sees a message can press its buttons, so of one person on one request only so many clicks are kept: strangers fill no
thread, and cost nobody else a click.
"""

from __future__ import annotations

from agent.reporting import report_posted
from bot.fitting import NAME_CHARS_MAX
from bot.placing import Placing
from channels.inbound import Click, Kept
from store.arrivals import ClickArrived, arrived_id
from store.base import UnknownThread
from store.events import Event, FeedbackGiven, WorkStopped
from store.keys import OutsideId
from store.thread import Thread
from store.values import Person

CLICKS_MAX = 3
"""Of one person, on one request; to stop a thread, since it was stopped last."""


class Clicks(Placing):
    async def clicked(self, thread_id: str, click: Click) -> Kept:
        """Raises StoreUnavailable, EventTooLarge."""
        event = self.event_of_click(click)
        try:
            thread = await self._store.load(thread_id)
        except UnknownThread:
            return "gone"
        if _has_too_many(thread, event):
            return "too_many"
        return "kept" if await self._post(thread_id, event, opens=False) else "gone"

    async def rate(self, thread_id: str, channel: str, by: Person, *, step: str, helpful: bool, event_id: str) -> bool:
        event = FeedbackGiven(
            id=str(OutsideId(channel, event_id)),
            at=self._clock(),
            step=step[:NAME_CHARS_MAX],
            by=self._people.identified(by),
            helpful=helpful,
        )
        return await self._post(thread_id, event, opens=False)

    def event_of_click(self, click: Click) -> ClickArrived:
        return ClickArrived(
            id=arrived_id(str(OutsideId(click.channel, click.event_id))),
            at=self._clock(),
            channel=click.channel,
            act=click.act,
            payload=dict(click.payload),
            by=click.by,
            about=click.about,
        )

    async def _post(self, thread_id: str, *events: Event, opens: bool = True) -> bool:
        """Post, and report what was new. False: there is no such thread."""
        new = await self._store.post(thread_id, *events, opens=opens)
        report_posted(events, thread_id, new)
        return new is not None


def _has_too_many(thread: Thread, click: ClickArrived) -> bool:
    """Whether this person has clicked there too often, before this click."""
    same, theirs = (click.channel, click.by, click.about), set[str]()
    for event in reversed(thread.events):
        if isinstance(event, WorkStopped) and click.act == "stops":
            break  # What they did before is not what there is to stop now.
        if isinstance(event, ClickArrived) and (event.channel, event.by, event.about) == same:
            theirs.add(event.id)
    return len(theirs) >= CLICKS_MAX and click.id not in theirs
