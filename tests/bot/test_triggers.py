"""News for what waits: the tool looks at once, as often as there is something new, and nothing else happens."""

from __future__ import annotations

import asyncio

from agent.steps import LookAgain
from store.events import TimerFired
from tests.telling.playbook import Slow, World, done
from tests.telling.story import ANN


def fired(world: World) -> list[str]:
    return [event.by for event in world.thread.events if isinstance(event, TimerFired)]


async def waiting() -> World:
    """A tool waits, and would look again in ten seconds."""
    world = World()
    world.model.answers(Slow(), done("It is out."))
    await world.say("wait for it, please")
    await world.run()
    assert world.thread.status == "waiting"
    return world


async def test_what_waits_looks_at_once_and_not_twice() -> None:
    world = await waiting()
    first = world.thread.open_steps("waiting")[0]
    assert await world.inbox.wake(world.thread.id, "hook github") == "woken"
    assert await world.inbox.wake(world.thread.id, "hook github") == "woken"
    await world.run()
    (step,) = world.thread.open_steps("waiting")
    assert (step.id, step.attempt) == (first.id, first.attempt + 1)
    assert fired(world) == ["hook github"]
    assert await world.inbox.wake(world.thread.id, "hook github") == "woken"
    assert "said: It is out." in await world.run()
    assert fired(world) == ["hook github"] * 2


async def test_its_own_time_comes_all_the_same() -> None:
    world = await waiting()
    await world.inbox.wake(world.thread.id, "hook github")
    await world.run()
    assert "said: It is out." in await world.advance(10)
    assert fired(world) == ["hook github", ""]


async def test_news_that_come_while_it_looks_let_it_look_again() -> None:
    world = World()
    world.model.answers(Slow(), done("It is out."))
    await world.say("wait for it, please")

    async def news() -> None:
        assert await world.inbox.wake(world.thread.id, "hook github") == "woken"
        assert await world.inbox.wake(world.thread.id, "hook vercel") == "woken"

    world.desk.during("slow", news)
    await world.run()
    (step,) = world.thread.open_steps("waiting")
    assert step.attempt == 2  # Without the news it would have looked once.
    assert fired(world) == ["hook github"]


async def test_many_news_at_once_are_one() -> None:
    world = await waiting()
    await asyncio.gather(*(world.inbox.wake(world.thread.id, f"hook {number}") for number in range(8)))
    await world.run()
    assert len(fired(world)) == 1


async def test_a_thread_that_waits_for_nothing_outside_is_left_alone() -> None:
    world = World()
    world.model.answers(LookAgain(in_minutes=10, reason="later"))
    await world.say("look again later")
    await world.run()
    before = world.thread.version
    assert await world.inbox.wake(world.thread.id, "hook github") == "nothing_waits"
    assert not await world.inbox.waits(world.thread.id)
    assert await world.inbox.wake("t-nobody", "hook github") == "gone"
    assert not await world.inbox.waits("t-nobody")
    assert (await world.store.load(world.thread.id)).version == before


async def test_a_cancelled_thread_is_not_woken() -> None:
    world = await waiting()
    await world.inbox.cancel(world.thread.id, ANN)
    assert await world.inbox.wake(world.thread.id, "hook github") in ("nothing_waits", "woken")
    await world.run()
    assert world.thread.status == "cancelled"
