"""A channel whose clicks and messages have to be read: what arrives says in plain words who did what.

    world = World(reader=PlainReader())
    await click(world, "approves", BOB)

`PlainReader` stands in for what a channel looks up at its service. All else is real.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import JsonValue

from channels.inbound import Arrival, CannotLookUp, Click, InboundMessage, Inbox, Kept, Refused
from store.arrivals import Arrived, ClickAct, ClickArrived, MessageArrived
from store.thread import Thread
from store.values import Person
from tests.telling.playbook import World
from tests.telling.story import ANN, PLACE

Does = Literal["approves", "rejects", "answers", "stops", "rates"]

_ACTS: Mapping[Does, ClickAct] = {
    "approves": "decides",
    "rejects": "decides",
    "answers": "answers",
    "stops": "stops",
    "rates": "rates",
}
_numbers = itertools.count(1)


class PlainReader:
    def __init__(self) -> None:
        self.is_silent = False
        """The service does not say who it was."""
        self.told: list[str] = []

    def understands(self, arrived: Arrived, /) -> bool:
        return "future" not in arrived.payload

    @staticmethod
    def arrival(text: str, by: Person = ANN, **more: JsonValue) -> Arrival:
        """A message, as it arrives."""
        return Arrival(PLACE.channel, f"w{next(_numbers)}", text, {"by": by.model_dump(mode="json"), **more})

    async def judge(self, clicked: ClickArrived, thread: Thread, inbox: Inbox, /, *, last_try: bool) -> str:
        payload: Any = clicked.payload
        by, does = Person.model_validate(payload["by"]), payload["does"]
        if self.is_silent and last_try:
            return "I could not look up who you are."
        if self.is_silent:
            raise CannotLookUp(2.0)
        try:
            match does:
                case "approves" | "rejects":
                    result = await inbox.decide(
                        thread.id, by, approved=does == "approves", digest=payload["digest"], clicked=clicked
                    )
                    return "" if result.outcome == "settled" else result.text
                case "answers":
                    await inbox.answer(thread.id, by, number=0, step=clicked.about, clicked=clicked)
                case "stops":
                    await inbox.stop(thread.id, by, channel=clicked.channel, event_id=clicked.id, clicked=clicked)
                case _:
                    await inbox.rate(
                        thread.id, clicked.channel, by, step=payload["step"], helpful=True, event_id=clicked.id
                    )
        except Refused as refused:
            return str(refused)
        return ""

    async def tell(self, clicked: ClickArrived, text: str, /) -> None:
        if text:
            self.told.append(text)

    async def look_up(
        self, arrived: MessageArrived, thread: Thread, *, last_try: bool, stays: bool = False
    ) -> InboundMessage:
        if self.is_silent:
            raise CannotLookUp(2.0)
        by = Person.model_validate(arrived.payload["by"])
        return InboundMessage(by, arrived.text, arrived.id.split("/")[2])


def clicked(world: World, does: Does, by: Person, *, about: str = "", **more: JsonValue) -> Click:
    """What arrives when somebody presses a button of the request that somebody here saw last."""
    request = world.thread.last_request
    payload = {"does": does, "by": by.model_dump(mode="json"), "digest": request.digest if request else "", **more}
    about = about or (request.step if request else "")
    return Click(PLACE.channel, f"c{next(_numbers)}", _ACTS[does], payload, by=by.address, about=about)


async def click(world: World, does: Does, by: Person, *, about: str = "", **more: JsonValue) -> Kept:
    """Somebody presses it."""
    kept = await world.inbox.clicked(world.thread.id, clicked(world, does, by, about=about, **more))
    world.thread = await world.store.load(world.thread.id)
    return kept


async def write(world: World, text: str, by: Person = ANN, **more: JsonValue) -> None:
    """A message arrives, which has to be read."""
    assert await world.inbox.arrived_in(world.thread.id, PlainReader.arrival(text, by, **more))
    world.thread = await world.store.load(world.thread.id)
