"""What a worker does after it lost something, at each point at which it acts: before and after each append, and before
and in the middle of each call outside.

It loses its lease, stands still for longer than its lease, or finds that the store is away for longer than a lease or
has lost its last writes. Alone, or while another worker takes over. A ledger outside of the program judges: nothing
runs twice, nothing that a worker knows is dropped, nothing waits for ever, and people are told what is so.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import agent.perform.turn
import bot.hold
from agent.steps import Step
from bot.hold import Hold
from bot.memory import Remembered
from store.base import Lease, Server, StoreUnavailable
from store.events import Event, EventsLost, ToolFinished, ToolInterrupted, ToolNotBegun
from store.memory import MemoryStore
from store.recovery import write_back
from store.thread import Thread
from tests.fakes.clock import Clock
from tests.telling.playbook import LEASE_SECONDS, Push, StoreWithHooks, Touch, World, done

ROUNDS_MAX = 80
APPENDS = 11
"""Of the worker, when nothing is lost."""
STARTS = (5, 8)
"""Those of them that hold the start of a tool."""
CALLS = ("model 1", "model 2", "model 3", "push", "touch", "send 1", "send 2", "send 3")
RESTS = ("rest 1", "rest 2")
"""When nobody works on it: people are to decide, and all is done."""
POINTS = [f"{when} append {n}" for n in range(1, APPENDS + 1) for when in ("before", "after")] + [*CALLS, *RESTS]


class Forgetful(MemoryStore):
    """Can go back to how it was a few writes ago, as after a failover to a replica that was behind."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._past: list[Any] = []

    async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
        self._past.append(copy.deepcopy((self._logs, self._due, self._leases, self._claims)))
        return await super().append(thread, *events, **how)

    def go_back(self, writes: int) -> None:
        self._logs, self._due, self._leases, self._claims = self._past[-min(writes, len(self._past))]
        self._past.clear()
        self.server = Server(f"{self.server.id}'", float("-inf"))


class Breakable(StoreWithHooks):
    """The same for a worker, to which it may be away."""

    away_until: float = float("-inf")

    def __init__(self, store: Forgetful, clock: Clock) -> None:
        super().__init__(store)
        self._clock = clock

    def _look(self) -> None:
        if self._clock().timestamp() < self.away_until:
            self._clock.advance(2)
            raise StoreUnavailable("The store is away.")

    async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
        self._look()
        return await super().append(thread, *events, **how)

    async def refresh(self, thread: Thread) -> Thread:
        self._look()
        return await super().refresh(thread)

    async def renew(self, lease: Lease) -> bool:
        self._look()
        return await super().renew(lease)

    async def hand_back(self, lease: Lease) -> None:
        self._look()
        await super().hand_back(lease)


class Room:
    """A world with two workers, each with a memory of its own, and people who look before they decide."""

    def __init__(self) -> None:
        clock = Clock()
        self.store = Forgetful(clock)
        self.breakable = Breakable(self.store, clock)
        self.world = World(store=self.breakable, clock=clock)
        self.world.model.otherwise = self._choose
        self.memories: list[dict[str, Thread]] = [{}, {}]
        self.holds: list[Hold | None] = [None, None]
        self.at_rest: Callable[[int], Awaitable[None]] | None = None
        self.faults = 0

    def _choose(self, prompt: str) -> Step:
        if not self._happened("push"):
            return Push(target="prod")
        return done() if self._happened("touch") else Touch()

    def _happened(self, intent: str) -> bool:
        """As people see it who look there."""
        return any(ran.startswith(intent) for ran in self.world.desk.ran)

    async def hold(self, worker: int) -> bool:
        """One worker claims the thread, if it is due, and works on it until it lets it go."""
        memory = self.memories[worker]
        for lease in await self.store.claim(1, LEASE_SECONDS):
            known = Remembered(memory.get(lease.thread_id, Thread(lease.thread_id)))
            hold = Hold(self.breakable, self.world.loop, lease, known, clock=self.world.clock)
            self.holds[worker] = hold
            await hold.run()
            self.holds[worker] = None
            memory[lease.thread_id] = hold.thread
            return True
        return False

    async def see_another_server(self) -> None:
        """What each worker does when another server answers (`bot.worker`), before anybody claims anything."""
        for memory, hold in zip(self.memories, self.holds, strict=True):
            for thread in [*memory.values(), *([hold.thread] if hold else [])]:
                memory[thread.id] = (await write_back(self.store, thread, now=self.world.clock)).thread

    async def tell(self) -> Thread:
        """Until nobody has anything to do."""
        world = self.world
        await world.say("push it to prod, then touch it")
        rests = 0
        for number in range(ROUNDS_MAX):
            if await self.hold(number % 2):
                continue
            due_in = await self.store.due_in_seconds()
            if due_in is not None:
                world.clock.advance(due_in)
                continue
            rests += 1
            if self.at_rest:
                await self.at_rest(rests)
            world.thread = await self.store.load(world.thread.id)
            if not await self._act(world.thread):
                return world.thread
        raise AssertionError(f"it does not come to rest: {world.thread.status}, {world.kinds}")

    async def _act(self, thread: Thread) -> bool:
        """What a person does now, if anything."""
        match thread.status:
            case "waiting_for_approval":
                if self._happened("push"):
                    await self.world.reject("It is there already.")
                else:
                    await self.world.approve()
            case "waiting_for_answer":
                asked = str(thread.state.steps[thread.state.question].chosen.arguments["question"])
                await self.world.answer("yes" if self._happened(asked.split()[5]) else "no")
            case "handed_to_human":
                await self.world.say("Go on.")
            case _:
                return False
        return True


Fault = Callable[[Room], Awaitable[None]]


async def taken_over(room: Room) -> None:
    """This worker stands still; its lease expires, and another does all that there is to do."""
    room.world.clock.advance(LEASE_SECONDS + 1)
    await room.hold(1)


async def frozen(room: Room) -> None:
    room.world.clock.advance(LEASE_SECONDS + 1)


async def lease_gone(room: Room) -> None:
    """The store lost the lease, and nothing else."""
    room.store._leases.clear()


async def away(room: Room) -> None:
    room.breakable.away_until = room.world.clock().timestamp() + LEASE_SECONDS + 5


def gone_back(writes: int, *, taken: bool = False) -> Fault:
    async def fault(room: Room) -> None:
        room.store.go_back(writes)
        if taken or not any(room.holds):
            await room.see_another_server()
        if taken:
            room.world.clock.advance(LEASE_SECONDS + 1)
            await room.hold(1)

    return fault


FAULTS: dict[str, Fault] = {
    "taken over": taken_over,
    "frozen": frozen,
    "its lease is gone": lease_gone,
    "the store is away": away,
    "1 write lost": gone_back(1),
    "3 writes lost": gone_back(3),
    "6 writes lost": gone_back(6),
    "2 writes lost, and taken over": gone_back(2, taken=True),
    "5 writes lost, and taken over": gone_back(5, taken=True),
}


def strike(room: Room, point: str, fault: Fault) -> None:
    """Let it happen there, once."""

    async def happen(*_: Any) -> None:
        room.faults += 1
        await fault(room)

    world = room.world
    match point.split():
        case ["before", "append", number]:
            world.store.before(int(number), happen)
        case ["after", "append", number]:
            world.store.after(int(number), happen)
        case ["model", number]:

            async def asked(prompt: str) -> None:
                if len(world.model.prompts) == int(number):
                    await happen()

            world.model.asked = asked
        case ["send", number]:

            async def nothing() -> None:
                pass

            world.channel.next(*[nothing] * (int(number) - 1), happen)
        case ["rest", number]:

            async def resting(count: int) -> None:
                if count == int(number):
                    await happen()

            room.at_rest = resting
        case [intent]:
            world.desk.during(intent, happen)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (agent.perform.turn, bot.hold):
        monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.0)


async def test_the_story_has_so_many_appends() -> None:
    room = Room()
    thread = await room.tell()
    assert room.breakable.appends == APPENDS
    assert thread.status == "done"
    assert room.world.desk.ran == ["push(target: prod)", "touch"]


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("point", POINTS)
async def test_nothing_runs_twice_nothing_is_dropped_and_nothing_waits_for_ever(point: str, name: str) -> None:
    room = Room()
    strike(room, point, FAULTS[name])
    thread = await room.tell()
    assert room.faults == 1
    assert thread.status == "done"
    assert room.world.desk.ran == ["push(target: prod)", "touch"], "each once, and in order"
    assert_told(room, thread)
    assert_remembered(room, thread)


@pytest.mark.parametrize("taken_over", [False, True], ids=["alone", "taken over"])
@pytest.mark.parametrize("number", range(1, APPENDS + 1))
async def test_what_a_worker_did_not_begin_it_says_although_it_never_heard_of_its_start(
    number: int, taken_over: bool
) -> None:
    """The reply to an append is lost: it stands in the log, and the worker does not know."""
    room = Room()

    async def lose_reply(room: Room) -> None:
        if taken_over:
            await FAULTS["taken over"](room)
        raise StoreUnavailable("The reply was lost.")

    strike(room, f"after append {number}", lose_reply)
    thread = await room.tell()
    assert room.faults == 1
    assert thread.status == "done"
    assert room.world.desk.ran == ["push(target: prod)", "touch"]
    assert_told(room, thread)
    assert_remembered(room, thread)
    if number in STARTS:
        assert [event for event in thread.events if isinstance(event, ToolNotBegun)]
    if not taken_over:
        assert not [event for event in thread.events if isinstance(event, ToolInterrupted)]


def assert_told(room: Room, thread: Thread) -> None:
    """Whatever people have to know, they were told."""
    lines = "\n".join(room.world.lines)
    for event in thread.events:
        if isinstance(event, ToolInterrupted):
            assert "how" in lines
            assert "Did it happen?" in lines
        if isinstance(event, EventsLost):
            assert "The store lost events of this thread." in lines
    assert not thread.state.outbox


def assert_remembered(room: Room, thread: Thread) -> None:
    """Each call that ran has an ending in the log, or stands among what was lost."""
    told = {e.step for e in thread.events if isinstance(e, ToolFinished | ToolNotBegun)}
    lost = [str(raw) for e in thread.events if isinstance(e, EventsLost) for raw in e.conflicting]
    for key in room.world.desk.keys:
        step = key.rpartition("/")[2]
        assert step in told or any(step in raw for raw in lost), f"nobody knows how {step} ended"
