"""The worker after the store was away, and after another server answered; and what it leaves to others.

What a hold does about a lost lease or a lost log, at each point, is in `tests.stories.test_lost_anywhere`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agent.perform.unserved import UNSERVED_SECONDS_MAX
from bot.hold import RETURN_LEASES
from bot.worker import POLL_SECONDS_MAX, UNSERVED_RETRY_AFTER, Worker
from store.base import Lease, NotReplicated, Server, StoreUnavailable
from store.events import ToolStarted
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Place
from tests.fakes.clock import Clock
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import LEASE_SECONDS, Push, Touch, World, done
from tests.telling.story import message, opened

RETURN_SECONDS = LEASE_SECONDS * RETURN_LEASES


class Watched(MemoryStore):
    """Writes down what is renewed and claimed, and may be away."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.calls: list[str] = []
        self.away = False

    async def claim(self, limit: int, lease_seconds: float, only: str = "", **how: Any) -> list[Lease]:
        if self.away:
            raise StoreUnavailable("gone for lunch")
        leases = await super().claim(limit, lease_seconds, only, **how)
        self.calls += [f"claimed {lease.thread_id}" for lease in leases]
        return leases

    async def renew(self, lease: Lease) -> bool:
        self.calls.append(f"renewed {lease.thread_id}")
        return await super().renew(lease)


class Driven(Worker):
    """Its rounds are taken one by one."""

    async def round(self, *, was_away: bool = False) -> None:
        await self._look_after(LEASE_SECONDS if was_away else 0.0)
        await self._claim()


def driven(world: World) -> Driven:
    return Driven(world.store, world.loop, clock=world.clock, seconds=world.clock.seconds)


async def begun(store: MemoryStore, thread_id: str) -> Thread:
    return await store.append(Thread(thread_id), opened(), message())


async def hanging(world: World, worker: Driven) -> asyncio.Event:
    """The worker runs a tool that ends when the event is set."""
    began, end = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        await end.wait()

    world.desk.during("touch", hang)
    world.model.answers(Touch(), done())
    await world.say("touch it")
    await worker.round()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await began.wait()
    return end


async def ended(worker: Driven) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*worker._tasks)


async def test_after_the_store_was_away_it_renews_what_it_holds_before_it_claims_anything() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    end = await hanging(world, worker)
    clock.advance(LEASE_SECONDS + 5)
    await begun(store, "t2")
    store.calls.clear()
    await worker.round(was_away=True)
    held = world.thread.id
    assert store.calls == [f"renewed {held}", "claimed t2"]
    end.set()
    world.model.answers(done())
    await ended(worker)
    assert (await store.load(held)).status == "done"
    assert world.desk.ran == ["touch"]


async def test_it_never_claims_what_it_holds_itself_also_when_its_lease_expired() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    end = await hanging(world, worker)
    clock.advance(LEASE_SECONDS + 5)
    store.calls.clear()
    await worker.round()
    assert store.calls == []
    end.set()
    await ended(worker)
    await worker.round()  # It let go of the thread, since it could not know that nobody else had claimed it.
    await ended(worker)
    assert world.lines == ["ran: touch", "said: Done."]


async def test_what_others_held_is_theirs_for_a_time_after_the_store_was_away() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    await begun(store, "t1")
    (lease,) = await store.claim(1, LEASE_SECONDS)
    clock.advance(LEASE_SECONDS + 5)
    worker = driven(world)
    store.calls.clear()
    await worker.round(was_away=True)
    assert await worker._claim() == POLL_SECONDS_MAX, "it does not look again and again at what is theirs"
    clock.advance(RETURN_SECONDS - 1)
    await worker.round()
    assert store.calls == []
    assert await store.renew(lease)
    clock.advance(RETURN_SECONDS + 1)
    world.model.answers(done())
    await worker.round()
    assert store.calls[-1] == "claimed t1"
    await ended(worker)


async def test_a_short_absence_of_the_store_makes_nobody_wait() -> None:
    """Or one that comes and goes would let no worker take over what a dead one left."""
    clock = Clock()

    class AwayOnce(Watched):
        async def claim(self, *limits: Any, **how: Any) -> list[Lease]:
            self.away, was = True, self.away
            if not was:
                raise StoreUnavailable("gone for lunch")
            return await MemoryStore.claim(self, *limits, **how)

    store = AwayOnce(clock)
    world = World(store=store, clock=clock)
    world.model.answers(done())
    await world.say("hello")
    await MemoryStore.claim(store, 1, LEASE_SECONDS)
    clock.advance(LEASE_SECONDS + 5)
    worker = world.worker()
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for now in store.follow(world.thread):
            if now.status == "done":
                break
        worker.stop()
        await running


async def test_it_looks_again_when_the_next_thread_is_due() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    for thread_id in ("t1", "t2"):
        await begun(store, thread_id)
    store._due["t2"] = clock() + timedelta(seconds=0.3)
    worker = driven(world)
    assert await worker._claim() == pytest.approx(0.3)
    await ended(worker)


async def test_when_another_server_answers_what_it_lost_is_written_back_and_nothing_is_claimed_for_a_time() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    world.model.answers(Touch(), done(), done())
    await world.say("touch it")
    await worker.round()
    await ended(worker)
    thread = await store.load(world.thread.id)
    log = store._logs[thread.id]
    for event in thread.events[2:]:
        log.ids.remove(event.id)
    del log.lines[2:]
    store.server = Server("another", float("-inf"))
    await begun(store, "t2")
    store.calls.clear()
    await worker.round()
    restored = await store.load(thread.id)
    assert restored.events[: thread.version] == thread.events
    assert restored.events[-1].kind == "events_lost"
    clock.advance(RETURN_SECONDS - 1)
    await worker.round()
    assert store.calls == []
    clock.advance(2)
    await worker.round()
    assert {"claimed t2", f"claimed {thread.id}"} == set(store.calls)
    await ended(worker)
    assert world.desk.ran == ["touch"]


async def test_what_it_holds_stays_its_own_when_another_server_has_lost_the_lease() -> None:
    """Otherwise another worker would ask people how a call ended that goes on here."""
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    end = await hanging(world, worker)
    store._leases.clear()  # The claim is lost, so the thread is due.
    store._claims.clear()
    store._due[world.thread.id] = clock()
    store.server = Server("another", float("-inf"))
    await worker.round()
    clock.advance(LEASE_SECONDS - 1)
    assert await store.claim(1, LEASE_SECONDS) == []
    end.set()
    world.model.answers(done())
    await ended(worker)
    assert world.lines == ["ran: touch", "said: Done."]
    assert "tool_interrupted" not in world.kinds


async def test_what_it_holds_is_taken_again_when_a_lease_ends_that_another_server_still_knows() -> None:
    """That server never heard that it was given up: the worker that gave it up will not renew it."""
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker, other = driven(world), driven(world)
    end = await hanging(world, worker)
    held = worker._holds[world.thread.id]
    store._leases[world.thread.id] = "given up"
    store.server = Server("another", float("-inf"))
    assert not await held.renew(), "its own round may be later than the time to renew"
    await worker.round()
    await other.round()
    for _ in range(2):
        assert not await held.renew()
        clock.advance(LEASE_SECONDS / 2)
    store.calls.clear()
    assert await held.renew()
    assert store.calls == [f"renewed {world.thread.id}", f"claimed {world.thread.id}"]
    clock.advance(RETURN_SECONDS - LEASE_SECONDS)
    await other.round()
    assert other._holds == {}
    end.set()
    world.model.answers(done())
    await ended(worker)
    assert world.lines == ["ran: touch", "said: Done."]


async def test_a_lease_that_another_renews_is_not_taken_from_it_after_a_failover() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    end = await hanging(world, worker)
    held = worker._holds[world.thread.id]
    theirs = Lease(world.thread.id, "theirs", 1, LEASE_SECONDS, 0.0)
    store._leases[world.thread.id] = "theirs"
    store.server = Server("another", float("-inf"))
    await worker.round()
    for _ in range(6):
        clock.advance(LEASE_SECONDS / 3)
        assert await store.renew(theirs)
        assert not await held.renew()
    assert not any(call.startswith("claimed") for call in store.calls[1:])
    end.set()
    await ended(worker)


async def test_a_claim_that_reaches_another_server_first_begins_nothing() -> None:
    """Another worker may know what that server lost, and must be able to write it back."""
    clock = Clock()

    class Failing(Watched):
        async def claim(self, *limits: Any, **how: Any) -> list[Lease]:
            self.server = Server("another", float("-inf"))
            return await super().claim(*limits, **how)

    store = Failing(clock)
    world = World(store=store, clock=clock)
    worker = driven(world)
    await begun(store, "t1")
    for seconds in (0, 0, RETURN_SECONDS - 1):
        clock.advance(seconds)
        await worker.round()
        assert worker._holds == {}
    assert store.calls == ["claimed t1"]
    assert await store.due_in_seconds() == 0
    clock.advance(1)
    await worker.round()
    assert store.calls == ["claimed t1"] * 2
    await ended(worker)


async def test_a_worker_that_starts_after_a_failover_leaves_time_to_those_that_remember() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    await driven(world).round()
    store.server = Server("another", float("-inf"), promoted=True)
    await begun(store, "t1")
    worker = driven(world)
    await worker.round()
    clock.advance(RETURN_SECONDS - 1)
    await worker.round()
    assert store.calls == []
    clock.advance(1)
    await worker.round()
    assert store.calls == ["claimed t1"]
    await ended(worker)
    store.calls.clear()
    await begun(store, "t2")
    later = driven(world)
    await later.round()
    assert "claimed t2" in store.calls, "all have had their time"
    await ended(later)


async def test_a_server_that_was_just_started_may_have_holders_that_are_on_their_way_back() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    await begun(store, "t1")
    await store.claim(1, LEASE_SECONDS)
    clock.advance(LEASE_SECONDS + 5)
    store.calls.clear()

    class JustStarted(Server):
        @property
        def age_seconds(self) -> float:
            return RETURN_SECONDS - 1

    store.server = JustStarted("memory", 0)
    await driven(world).round()
    assert store.calls == []


async def test_a_thread_that_it_cannot_serve_is_left_to_others_for_a_while_and_then_looked_at_again() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock)
    del world.roster["ops"]
    worker = driven(world)
    await world.say("hello")
    await worker.round()
    await ended(worker)
    store.calls.clear()
    await worker.round()
    assert store.calls == []
    assert await store.due_in_seconds() == 0
    clock.advance(UNSERVED_RETRY_AFTER.total_seconds() + 1)
    await worker.round()
    assert store.calls == [f"claimed {world.thread.id}"]
    await ended(worker)
    assert world.lines == []
    clock.advance(UNSERVED_SECONDS_MAX)
    await worker.round()
    await ended(worker)
    assert world.lines == [
        "noted: I cannot go on yet: No worker here knows the agent 'ops'. "
        "I will go on by myself as soon as a worker can."
    ]


async def test_what_is_not_confirmed_is_not_begun_and_people_hear_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.perform.turn.CONFIRM_SECONDS_MAX", 0.0)
    clock = Clock()

    class Unconfirmed(Watched):
        confirmed = False

        async def append(self, thread: Thread, *events: Any, **how: Any) -> Thread:
            appended = await super().append(thread, *events, **how)
            if how.get("confirm") and not self.confirmed:
                raise NotReplicated("The replica did not confirm the write in time.")
            return appended

    store = Unconfirmed(clock)
    world = World(store=store, clock=clock)
    world.model.answers(Push(target="prod"), done(), done())
    await world.say("push it to prod")
    await world.run()
    await world.approve()
    lines = await world.run()
    assert lines[-1] == (
        "noted: I stopped and need a person: It was not begun. The replica did not confirm the write in time. "
        "Write to me and I will continue."
    )
    assert world.desk.ran == []
    assert world.kinds.count("tool_started") == world.kinds.count("tool_not_begun") == 1
    store.confirmed = True
    await world.say("go on")
    lines = await world.run()
    assert "ran: push(target: prod)" in lines
    (first, second) = [event for event in world.thread.events if isinstance(event, ToolStarted)]
    assert (first.attempt, second.attempt) == (1, 1), "a tool that looks at the attempt has not begun before"


async def test_a_place_for_the_next_thread_is_free_while_another_cannot_be_served() -> None:
    clock = Clock()
    store = Watched(clock)
    world = World(store=store, clock=clock, place=Place(channel="terminal", address="one"))
    other = world.roster.pop("ops")
    await world.say("hello")
    world.roster["ops"] = other
    strange = await store.append(Thread("t9"), opened().model_copy(update={"agent": "stranger"}), message())
    world.model.answers(done())
    worker = Driven(world.store, world.loop, clock=clock, seconds=clock.seconds, concurrency=1)
    for _ in range(4):
        await worker.round()
        await ended(worker)
    assert world.lines == ["said: Done."]
    assert (await store.load(strange.id)).version == strange.version
