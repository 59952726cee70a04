"""Trouble that belongs to no thread, told at the team's place for alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts import Alerts
from channels.base import Channel, SendFailed, SentInPart
from channels.messages import NEW, Notice, Outgoing, Way
from store.events import Event
from store.values import Person, Place

PLACE = Place(channel="paper", address="wall")


class Paper(Channel):
    name = "paper"

    def __init__(self, error: Exception | None = None) -> None:
        self.said: list[tuple[str, Place, str]] = []
        self._error = error

    async def send(
        self,
        place: Place,
        message: Outgoing,
        way: Way = NEW,
        *,
        key: str,
        since: datetime | None = None,
        so_far: Sequence[Event] = (),
    ) -> str:
        assert isinstance(message, Notice)
        assert since is not None
        assert datetime.now(UTC) - since > timedelta(hours=12), "it may have been sent before a long absence"
        self.said.append((key, place, message.text))
        if self._error:
            raise self._error
        return "1"

    def place_for(self, person: Person, beside: Place) -> Place | None:
        return None


async def test_it_is_said_at_the_place_under_one_key() -> None:
    paper = Paper()
    alerts = Alerts({"paper": paper}, PLACE)
    await alerts.tell("rebuilt-1", "The mailbox was rebuilt.")
    await alerts.tell("rebuilt-1", "The mailbox was rebuilt.")
    (key, place, text), again = paper.said
    assert (place, text) == (PLACE, "The mailbox was rebuilt.")
    assert key.endswith("/rebuilt-1")
    assert again[0] == key


async def test_what_may_be_sent_later_is_raised() -> None:
    with pytest.raises(SendFailed):
        await Alerts({"paper": Paper(SendFailed("away", 5))}, PLACE).tell("a", "b")


@pytest.mark.parametrize("error", [SendFailed("gone"), SentInPart("1", {"ben": "full"})])
async def test_what_cannot_be_sent_is_not_tried_again(error: Exception) -> None:
    await Alerts({"paper": Paper(error)}, PLACE).tell("a", "b")


@pytest.mark.parametrize("place", [None, Place(channel="elsewhere", address="x")])
async def test_without_a_place_it_is_in_the_log_alone(place: Place | None) -> None:
    paper = Paper()
    await Alerts({"paper": paper}, place).tell("a", "b")
    assert paper.said == []
