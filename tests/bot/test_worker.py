"""The worker: what it claims, how many at once, and how it lets go, in order and otherwise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import pytest

from agent.model.base import ModelBusy
from agent.steps import Step
from bot.hold import CLAIMS_WITHOUT_RELEASE_MAX
from store.base import Lease, StoreUnavailable
from store.deliveries import MessageSent
from store.events import StepChosen, ToolFinished
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Place
from tests.fakes.clock import Clock
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.telling.playbook import LEASE_SECONDS, Look, Push, Slow, Touch, World, done, killed
from tests.telling.story import ANN, BOB


@contextlib.asynccontextmanager
async def working(world: World, **options: Any) -> AsyncIterator[None]:
    """A worker works meanwhile, and has stopped in order at the end."""
    worker = world.worker(**options)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        worker.stop()
        await running


async def until(world: World, reached: Callable[[Thread], bool], thread_id: str = "") -> Thread:
    """Follows the thread until it is there."""
    now = await world.store.load(thread_id or world.thread.id)
    if not reached(now):
        async for later in world.store.follow(now):
            if reached(later):
                now = later
                break
    world.thread = now
    return now


async def until_said(world: World, line: str) -> None:
    """And until it is on record that it was said."""
    await until(world, lambda thread: line in world.lines and not thread.state.outbox)


def is_done(thread: Thread) -> bool:
    return thread.status == "done" and not thread.state.outbox


async def test_a_worker_moves_what_is_due_and_lets_it_go() -> None:
    world = World()
    world.model.answers(Look(), done())
    await world.say("look")
    async with working(world):
        await until(world, is_done)
    assert world.lines == ["ran: look", "said: Done."]
    assert await world.store.due_in_seconds() is None


async def test_a_message_wakes_an_idle_worker() -> None:
    world = World()
    async with working(world):
        for number in range(3):
            world.model.answers(done(f"Hello {number}."))
            await world.say("hello")
            await until_said(world, f"said: Hello {number}.")


async def test_a_message_that_arrives_while_the_thread_is_let_go_is_not_lost() -> None:
    world = World()
    world.model.answers(done("One."), done("Two."))
    await world.say("hello")
    world.store.after(MessageSent, lambda: world.say("and?", by=BOB))
    async with working(world):
        await until_said(world, "said: Two.")


async def test_a_worker_holds_as_many_threads_as_it_may_and_no_more() -> None:
    world = World()
    thinking, most = 0, 0
    begins: asyncio.Queue[None] = asyncio.Queue()
    go_on = asyncio.Semaphore(0)

    async def think(_: str) -> Step:
        nonlocal thinking, most
        thinking += 1
        most = max(most, thinking)
        begins.put_nowait(None)
        await go_on.acquire()
        thinking -= 1
        return done()

    places = ("a", "b", "c", "d", "e")
    for address in places:
        world.model.answers(think)
        world.place = Place(channel="terminal", address=address)
        await world.say("hello")
    async with working(world, concurrency=2):
        for _ in places[:2]:
            await begins.get()
        for _ in places[2:]:
            go_on.release()
            await begins.get()
        for _ in places[:2]:
            go_on.release()
        for thread_id in await thread_ids(world.store):
            await until(world, is_done, thread_id)
    assert (world.lines, most) == (["said: Done."] * len(places), 2)


async def busy(_: str) -> NoReturn:
    raise ModelBusy(5)


async def until_due_in(world: World, seconds: float) -> None:
    while await world.store.due_in_seconds() != seconds:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)


async def test_a_thread_that_needs_a_busy_model_is_let_go_so_that_a_click_is_served() -> None:
    world = World()
    world.model.answers(Push(target="prod"), busy)
    pushing = (await world.say("push to prod")).id
    async with working(world, concurrency=1):
        await until(world, lambda thread: thread.status == "waiting_for_approval" and not thread.state.outbox)
        world.place = Place(channel="terminal", address="next desk")
        waiting = (await world.say("hello")).id
        await until_due_in(world, 5)
        assert (await world.store.load(waiting)).status == "working"

        world.thread = await world.store.load(pushing)
        world.model.answers(done("It is out."), done())
        await world.approve()
        await until_said(world, "said: It is out.")
        world.clock.advance(5)
        await world.store.wake(pushing)
        thread = await until(world, is_done, waiting)
    assert world.lines[2:] == ["ran: push(target: prod)", "said: It is out.", "said: Done."]
    assert [event.kind for event in thread.events] == [
        *("thread_opened", "message_received", "step_chosen", "message_sent")
    ], "it was never in trouble"


async def test_a_thread_that_was_let_go_comes_back_for_its_timer_and_for_a_message() -> None:
    world = World()
    world.model.answers(Slow(), busy, done())
    await world.say("wait for it")
    async with working(world):
        await until(world, lambda thread: thread.status == "waiting")
        world.clock.advance(7)
        await world.say("and?")
        await until_due_in(world, 3)
        world.clock.advance(1)
        await world.say("hello?")
        await until_said(world, "said: Done.")


async def test_a_worker_that_stops_finishes_what_is_under_way_and_hands_the_rest_back() -> None:
    world = World()
    world.model.answers(Touch(), done())
    await world.say("touch it")
    worker = world.worker()

    async def stop() -> None:
        worker.stop()

    world.desk.during("touch", stop)
    await worker.run()
    world.thread = await world.store.load(world.thread.id)
    assert (world.lines, world.kinds[-1]) == (["ran: touch"], "tool_finished")
    assert await world.store.due_in_seconds() == 0
    (lease,) = await world.store.claim(1, LEASE_SECONDS)
    assert lease.claims == 1


async def test_the_next_worker_takes_up_what_was_handed_back() -> None:
    world = World()
    world.model.answers(Touch(), done())
    await world.say("touch it")
    first = world.worker()

    async def stop() -> None:
        first.stop()

    world.desk.during("touch", stop)
    await first.run()
    world.loop.draining = False  # each process has a loop of its own
    async with working(world):
        await until(world, is_done)
    assert world.lines == ["ran: touch", "said: Done."]


async def test_a_worker_that_may_not_wait_any_longer_breaks_off_and_a_person_is_asked() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    worker = world.worker(grace_seconds=0.01)

    async def stop_and_hang() -> None:
        worker.stop()
        await asyncio.Event().wait()

    world.desk.during("touch", stop_and_hang)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.run()
    assert (await world.store.load(world.thread.id)).open_steps("running")
    world.loop.draining = False
    async with working(world):  # at once: it was handed back, no lease has to run out
        await until_said(world, "asked: I do not know how touch ended. Did it happen?")


async def test_what_can_be_repeated_is_broken_off_when_the_thread_was_taken_over() -> None:
    world = World()
    world.model.answers(Look())
    await world.say("look")
    broken_off = asyncio.Event()

    async def taken_over() -> None:
        world.clock.advance(60)
        await world.claim()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            broken_off.set()
            raise

    world.desk.during("look", taken_over)
    async with working(world, lease_seconds=0.03):
        await broken_off.wait()
    assert world.lines == ["ran: look"]
    assert (await world.store.load(world.thread.id)).open_steps("running")


async def test_what_cannot_be_repeated_ends_although_the_thread_was_taken_over_and_its_ending_lands() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")

    async def taken_over() -> None:
        world.clock.advance(60)
        await world.claim()
        (hold,) = worker._holds.values()
        while await hold.renew():  # noqa: ASYNC110 - until the worker has seen that it lost it
            await asyncio.sleep(0)

    world.desk.during("touch", taken_over)
    worker = world.worker(lease_seconds=0.03)
    running = asyncio.create_task(worker.run())
    await until(world, lambda thread: thread.events[-1].kind == "tool_finished")
    worker.stop()
    await running
    assert world.lines == ["ran: touch"]


async def test_a_waiting_thread_is_woken_by_its_timer_and_by_nothing_else() -> None:
    world = World()
    world.model.answers(Slow())
    await world.say("wait for it")
    async with working(world):
        await until(world, lambda thread: thread.status == "waiting")
    assert await world.store.due_in_seconds() == 10


async def test_a_thread_on_which_workers_die_is_given_to_a_person() -> None:
    world = World()
    await world.say("hello")
    for _ in range(CLAIMS_WITHOUT_RELEASE_MAX):
        assert await world.store.claim(1, LEASE_SECONDS)
        world.clock.advance(LEASE_SECONDS)
    async with working(world):
        await until_said(
            world,
            "noted: I stopped and need a person: 5 workers died while working on this. "
            "Write to me and I will continue.",
        )
    world.model.answers(done())
    world.loop.draining = False
    await world.say("try again")
    async with working(world):
        await until_said(world, "said: Done.")


async def test_a_thread_of_an_unknown_agent_stays_due_for_a_worker_that_knows_it() -> None:
    world = World()
    older = World(store=world.store.real)
    older.roster["other"] = older.roster.pop("ops")
    older.clock = world.clock
    world.model.answers(done())
    await world.say("hello")
    async with working(older):
        await until_handed_back(world)
        assert await world.store.due_in_seconds() == 0
        async with working(world):
            await until(world, is_done)
    assert (world.lines, older.lines) == (["said: Done."], [])


async def until_handed_back(world: World) -> None:
    """Somebody has claimed it, and let it go."""
    store = world.store.real
    handed_back = asyncio.Event()
    hand_back = store.hand_back

    async def hand_it_back(lease: Lease) -> None:
        await hand_back(lease)
        handed_back.set()

    store.hand_back = hand_it_back  # type: ignore[method-assign]
    await handed_back.wait()


def broken_plan(_: Thread) -> NoReturn:
    raise ZeroDivisionError("a mistake of ours")


async def test_an_error_of_our_own_gives_the_thread_to_a_person_who_is_told() -> None:
    world = World(plan=broken_plan)
    await world.say("hello")
    said = (
        "noted: I stopped and need a person: I hit a bug (ZeroDivisionError). "
        "An administrator should look at the log. Write to me and I will continue."
    )
    async with working(world):
        await until_said(world, said)
    assert world.lines == [said]
    assert await world.store.due_in_seconds() is None


class Unreasonable(Touch):
    """Cannot even be asked whether it needs an approval."""

    def needs_approval(self) -> bool:
        raise ZeroDivisionError("a mistake of ours")


async def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    world = World(tools=(Look, Unreasonable))
    world.model.answers(lambda prompt: Unreasonable() if "touch" in prompt else done())
    world.model.answers(lambda prompt: Unreasonable() if "touch" in prompt else done())
    await world.say("touch it")
    bad = world.thread.id
    world.place = Place(channel="terminal", address="next desk")
    await world.say("hello")
    async with working(world):
        await until_said(world, "said: Done.")
        await until(world, lambda thread: thread.status == "handed_to_human" and not thread.state.outbox, bad)
    assert len(world.lines) == 2


async def test_an_error_that_comes_again_is_told_once_and_then_rests() -> None:
    """The fault is where the worker would tell people of it."""
    world = World()
    await world.say("hello")
    appends = 0

    async def fault() -> None:
        nonlocal appends
        appends += 1
        raise ZeroDivisionError("a mistake of ours")

    world.model.answers(done())
    world.store.before(StepChosen, fault)
    world.store.before(MessageSent, fault)
    async with working(world):
        await until(world, lambda thread: thread.state.handed_to_human)
        for _ in range(100):
            await asyncio.sleep(0)
    assert appends == 2
    assert (await world.store.load(world.thread.id)).version == 3
    assert await world.store.due_in_seconds() is None


async def test_a_store_that_is_away_for_a_moment_loses_nothing() -> None:
    world = World()

    async def away() -> NoReturn:
        raise StoreUnavailable("gone for lunch")

    for kind in (StepChosen, ToolFinished, ToolFinished, MessageSent):
        world.store.before(kind, away)
    world.model.answers(Touch(), Touch(), done())
    await world.say("touch it")
    async with working(world):
        await until(world, is_done)
    assert world.lines == ["ran: touch", "said: Done."]


async def test_a_worker_for_one_thread_leaves_others_alone_and_does_not_spin() -> None:
    class Counted(MemoryStore):
        claims = 0
        spins = asyncio.Event()

        async def claim(self, limit: int, lease_seconds: float, only: str = "", **how: Any) -> list[Lease]:
            self.claims += 1
            if self.claims > 100:
                self.spins.set()
            return await super().claim(limit, lease_seconds, only, **how)

    store = Counted(Clock())
    world = World(store=store)
    await world.say("hello")
    with pytest.raises(TimeoutError):
        async with working(world, only="another thread"), asyncio.timeout(0.3):
            await store.spins.wait()
    assert world.model.prompts == []


async def test_a_worker_that_died_with_a_message_on_its_lips_is_followed_by_one_that_says_it() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    world.store.after(StepChosen, killed)
    assert await world.run() == ["killed"]
    async with working(world):
        await until(world, is_done)
    assert world.lines == ["killed", "said: Done."]
    assert ANN.name in world.model.prompts[0]


async def test_a_thread_that_lost_events_is_given_to_a_person_and_nothing_is_begun_on_the_rest() -> None:
    world = World()
    world.model.answers(Look(), Touch())

    async def a_failover_loses_the_newest() -> None:
        log = world.store.real._logs[world.thread.id]  # type: ignore[attr-defined]
        del log.lines[2:]
        log.ids = {"opened", world.thread.events[1].id}

    world.desk.during("look", a_failover_loses_the_newest)
    await world.say("look, then touch")
    async with working(world):
        thread = await until(world, lambda now: now.status == "handed_to_human" and not now.state.outbox)
    assert world.lines == [
        "ran: look",
        "noted: I stopped and need a person: The store lost events of this thread. I remembered 1 of them and wrote "
        "them back. Please check what was under way. Write to me and I will continue.",
    ]
    assert [event.kind for event in thread.events[:5]] == [
        *("thread_opened", "message_received", "step_chosen", "tool_finished", "events_lost")
    ]


async def test_a_thread_whose_log_is_gone_is_written_back_whole() -> None:
    world = World()
    world.model.answers(Look())

    async def all_of_it_is_lost() -> None:
        del world.store.real._logs[world.thread.id]  # type: ignore[attr-defined]

    world.desk.during("look", all_of_it_is_lost)
    await world.say("look")
    async with working(world):
        thread = await until(world, lambda now: now.status == "handed_to_human" and not now.state.outbox)
    assert [event.kind for event in thread.events[:5]] == [
        *("thread_opened", "message_received", "step_chosen", "tool_finished", "events_lost")
    ]
