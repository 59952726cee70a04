"""Appends clicks as they arrived: the part of the inbox for what people do by buttons.

Nothing is judged here: whoever reads a click calls the inbox as if the person had come by any other way.
"""

from __future__ import annotations

from agent.reporting import report_posted
from bot.placing import Placing
from channels.inbound import Click
from store.arrivals import ClickArrived, arrived_id
from store.keys import OutsideId


class Clicks(Placing):
    async def clicked(self, thread_id: str, click: Click) -> bool:
        """Raises StoreUnavailable, EventTooLarge."""
        event = self.event_of_click(click)
        new = await self._store.post(thread_id, event, opens=False)
        report_posted((event,), thread_id, new)
        return new is not None

    def event_of_click(self, click: Click) -> ClickArrived:
        event_id, at = arrived_id(str(OutsideId(click.channel, click.event_id))), self._clock()
        return ClickArrived(id=event_id, at=at, channel=click.channel, act=click.act, payload=dict(click.payload))
