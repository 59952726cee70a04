"""What has arrived is kept within limits, and read in the thread to which it belongs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.arrivals import Arrivals
from bot.clicks import CLICKS_MAX
from channels.inbound import Click
from store.arrivals import ArrivalDropped, ClickArrived
from store.events import ApprovalDecided
from store.thread import Thread
from store.values import Place
from tests.agent.pushing import asked_to_push
from tests.telling.arrivals import Does, PlainReader, click, clicked
from tests.telling.playbook import World, done
from tests.telling.story import AT, BOB, EVE

ELSEWHERE = Place(channel="terminal", address="elsewhere")


async def test_clicks_of_a_stranger_fill_no_thread_and_others_still_decide() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world, done("It is out."))
    before = world.thread.version
    kept = [await click(world, "approves", EVE) for _ in range(50)]
    assert kept == [*["kept"] * CLICKS_MAX, *["too_many"] * (50 - CLICKS_MAX)]
    await world.run()
    assert [await click(world, "rejects", EVE) for _ in range(50)] == ["too_many"] * 50
    assert world.thread.version - before <= 2 * CLICKS_MAX + 2
    assert await click(world, "approves", BOB) == "kept"
    assert "ran: push(target: prod)" in await world.run()


async def test_a_click_that_is_delivered_again_is_kept_once_also_at_the_limit() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world)
    one = clicked(world, "approves", EVE)
    assert await world.inbox.clicked(world.thread.id, one) == "kept"
    for _ in range(CLICKS_MAX):
        await click(world, "approves", EVE)
    assert await world.inbox.clicked(world.thread.id, one) == "kept"
    assert await click(world, "approves", EVE) == "too_many"


async def test_the_clicks_on_another_request_are_counted_apart() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world)
    for _ in range(CLICKS_MAX + 1):
        await click(world, "approves", BOB)
    assert await click(world, "approves", BOB, about="s99") == "kept"


async def test_a_click_in_no_thread_is_gone() -> None:
    world = World(reader=PlainReader())
    assert await world.inbox.clicked("t1", Click("terminal", "c1", "decides", {}, by="U1", about="s1")) == "gone"


async def moved(world: World) -> tuple[Arrivals, Thread]:
    """A thread whose arrivals belong to another one."""
    await asked_to_push(world)
    there = await world.inbox.arrived_in(world.thread.id, PlainReader.arrival("hello"))
    assert there
    thread = await world.store.load(world.thread.id)
    arrived = thread.arrived
    assert arrived
    assert not isinstance(arrived, ClickArrived)
    other = await world.inbox.clicked_at(ELSEWHERE, clicked(world, "stops", EVE), agent="ops")
    gone = ArrivalDropped(id=f"{arrived.becomes}/dropped", at=AT, becomes=arrived.becomes, moved_to=other)
    world.thread = await world.store.append(thread, gone)
    return Arrivals(world.inbox, {"terminal": PlainReader()}), world.thread


@pytest.mark.parametrize(("does", "goes"), [("stops", True), ("approves", False), ("rates", False)])
async def test_of_the_clicks_in_a_thread_that_has_moved_only_a_stop_moves(does: Does, goes: bool) -> None:
    world = World(reader=PlainReader())
    arrivals, thread = await moved(world)
    assert await click(world, does, BOB, step="s2") == "kept"
    one = world.thread.arrived
    assert isinstance(one, ClickArrived)
    world.clock.advance(90)
    read = await arrivals.judge(world.thread, one, last_try=False)
    assert bool(read.moved_to) == goes
    decided = [event for event in (await world.store.load(thread.id)).events if isinstance(event, ApprovalDecided)]
    assert len(decided) == (does == "approves")
    if goes:
        there = await world.store.load(read.moved_to)
        assert there.events[-1] == one, "it happened when it happened"
        assert world.clock() - one.at == timedelta(seconds=90)


async def test_a_stop_that_held_lets_people_stop_again_as_often() -> None:
    world = World(reader=PlainReader())
    await world.say("hello")
    world.model.answers(done("Hello."))
    for _ in range(CLICKS_MAX + 2):
        assert await click(world, "stops", BOB) == "kept"
        await world.run()
    assert [await click(world, "stops", EVE) for _ in range(CLICKS_MAX + 2)][-1] == "too_many"
