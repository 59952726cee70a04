"""Appends what machines say: triggers, and news for what waits. The part of the inbox for schedules, hooks and the API.

A trigger is an event of a thread like a message: it opens one or goes on with it. News are less: they let a tool that
waits look at once, and are no outcome themselves. Nothing here judges what a machine may say.
"""

from __future__ import annotations

from typing import Literal

from bot.clicks import Clicks
from store import keys
from store.awaited import looks_of
from store.base import ThreadMoved, UnknownThread
from store.events import Event, ThreadOpened, TimerFired, TriggerReceived
from store.keys import OutsideId, thread_id_of
from store.values import Place

Woken = Literal["woken", "nothing_waits", "gone"]
"""A tool there looks now; none waits there; there is no such thread."""


class Triggers(Clicks):
    async def trigger(self, place: Place, trigger: TriggerReceived, *, agent: str, namespace: str = "") -> str:
        """Append to the thread at the place, opening it for `agent` if there is none. Returns the thread's id.

        The id of the trigger is one from outside, unique in its namespace; default: the source.
        """
        return await self._open(place, agent, _of_outside(trigger, namespace))

    async def trigger_in(self, thread_id: str, trigger: TriggerReceived, *, namespace: str = "") -> bool:
        """The same in a thread that exists. False: there is none, and nothing happened."""
        return await self._post(thread_id, _of_outside(trigger, namespace), opens=False)

    async def wake(self, thread_id: str, by: str) -> Woken:
        """What waits there for something outside looks at once, as if its time had come. `by`: who has the news.

        While a tool looks, it is too late for that look, so another one follows. Twice is once, until it has looked.
        """
        while True:
            try:
                thread = await self._store.load(thread_id)
            except UnknownThread:
                return "gone"
            waiting, news = looks_of(thread)
            if not news:
                return "woken" if waiting else "nothing_waits"
            at = self._clock()
            events = (TimerFired(id=keys.fired(str(key)), at=at, timer=str(key), by=by) for key in news)
            try:
                # Not posted: the worker that has the thread may append the same.
                await self._append(thread, *events, if_unmoved=True)
                return "woken"
            except ThreadMoved:
                continue

    async def waits(self, thread_id: str) -> bool:
        """Whether a tool waits there for something outside, or looks just now."""
        try:
            return looks_of(await self._store.load(thread_id))[0]
        except UnknownThread:
            return False

    async def _open(self, place: Place, agent: str, *events: Event) -> str:
        thread_id, at = thread_id_of(place), events[-1].at
        opened = ThreadOpened(id=keys.OPENED, at=at, agent=agent, place=place)
        await self._post(thread_id, opened, *events)
        return thread_id


def _of_outside(trigger: TriggerReceived, namespace: str) -> TriggerReceived:
    outside = OutsideId(namespace or trigger.source, trigger.id)
    return trigger.model_copy(update={"id": str(outside)})
