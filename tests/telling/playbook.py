"""An agent at play in one process, so that a test of the loop reads as a dialogue.

    world = World()
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push to prod, please")
    assert await world.run() == ["requested: push(target: prod)"]
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]

Everything is real (store, inbox, lease, loop, agent) but what stands at the edges: the model reads its answers from a
script, the channel remembers what it sent, the clock stands still, and the tools do nothing but say so.

What happens in between is part of the dialogue too: `world.store.before(ToolStarted, …)` acts just before that append,
`world.desk.during("push", …)` while that tool runs, an async function in the model's script while it thinks, and
`killed` in any of these is the death of the worker.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn, assert_never

from pydantic import JsonValue

from agent.authority import AnyoneMay, Authority
from agent.decide import decide
from agent.definition import Agent, Limits, no_plan
from agent.loop import Loop, Postponed
from agent.model.base import Answer, Model, ModelFailure, Prompt
from agent.model.schema import validated
from agent.perform.listen import PeopleAreWriting
from agent.perform.turn import LeftAlone
from agent.steps import (
    Call,
    DoneForNow,
    Facts,
    NothingToDo,
    RequestHumanInput,
    SendUpdate,
    Step,
    Tool,
    ToolError,
    Wait,
    WithdrawRequest,
    as_question,
)
from bot.arrivals import Arrivals
from bot.deciding import DecisionResult
from bot.inbox import Inbox
from bot.team.people import People
from bot.worker import Worker
from channels.base import Channel
from channels.inbound import InboundMessage, Reader
from channels.messages import (
    NEW,
    Approval,
    Ended,
    New,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Tasks,
    Text,
    Unanswered,
    Waiting,
    Way,
)
from store.base import Lease, Server, Store
from store.events import Event, TriggerReceived
from store.memory import MemoryStore
from store.pages import Page
from store.rows import EVERY_THREAD, Filter
from store.shelves import Keep, Kept
from store.thread import Thread
from store.values import Person, Place, Usage
from tests.fakes.clock import Clock
from tests.telling.story import ANN, PLACE

LEASE_SECONDS = 15.0
APPENDS_MAX = 2_000
"""A run that appends more than this does not come to rest."""

Hook = Callable[[], Awaitable[object]]
"""Something that happens in between."""


class Killed(BaseException):
    """The worker's process died here."""


async def killed() -> NoReturn:
    """As a hook: the worker dies at this point."""
    raise Killed


# The agent `ops` and its tools


@dataclass
class Desk:
    """What the tools did, and what happens while they run."""

    lines: list[str]
    ran: list[str] = field(default_factory=list)
    keys: Counter[str] = field(default_factory=Counter)
    """How often each call was really made, by its key."""
    facts: Facts = field(default_factory=dict)
    """What `push` finds out for the person to see."""
    setup: Mapping[str, JsonValue] = field(default_factory=dict)
    """What `push` would run with: what an approval covers beside the call."""
    result: JsonValue = "ok"
    """What `look` answers."""
    sent: dict[str, str] = field(default_factory=dict)
    """What `sent` finds again, by the call's key; `away`: whom it asks does not answer."""
    _during: dict[str, deque[Hook]] = field(default_factory=lambda: defaultdict(deque))

    def during(self, intent: str, hook: Hook) -> None:
        """Let this happen while the tool runs, once."""
        self._during[intent].append(hook)

    async def do(self, tool: Tool, call: Call) -> None:
        words = in_words(tool.intent, tool.arguments)
        self.ran.append(words)
        self.lines.append(f"ran: {words}")
        self.keys[call.key] += 1
        if hooks := self._during[tool.intent]:
            await hooks.popleft()()


class _OpsTool(Tool):
    needs: ClassVar[tuple[type, ...]] = (Desk,)

    async def run(self, call: Call) -> JsonValue | Wait:
        desk = call.need(Desk)
        await desk.do(self, call)
        return await self.work(call, desk)

    async def work(self, call: Call, desk: Desk) -> JsonValue | Wait:
        return "ok"


class Look(_OpsTool):
    """Look at something. Changes nothing."""

    acts: ClassVar[bool] = False

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        return desk.result


class Touch(_OpsTool):
    """Touch something, which nobody has to approve."""


class Push(_OpsTool):
    """Push to a target. A person approves it first."""

    target: str

    editable: ClassVar[tuple[str, ...]] = ("target",)

    def needs_approval(self) -> bool:
        return True

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return call.need(Desk).setup

    async def prepare(self, call: Call) -> Facts:
        if self.target == "nowhere":
            raise ToolError("There is no target 'nowhere'. Try 'prod'.")
        return {"revision": f"newest for {self.target}", **call.need(Desk).facts}

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        return {"pushed": call.facts["revision"]}


class Flaky(_OpsTool):
    """Works where it is held right; says how, where it is not."""

    how: str

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        if self.how != "right":
            raise ToolError("" if self.how == "mute" else f"Not {self.how!r}. Try 'right'.")
        return "ok"


class Broken(_OpsTool):
    """Breaks, and does not tell whether it did anything."""

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        raise RuntimeError("the wire\nwas cut")


class BrokenLook(Broken):
    """Breaks, and may be repeated."""

    acts: ClassVar[bool] = False


class Slow(_OpsTool):
    """Has to look twice before it knows."""

    acts: ClassVar[bool] = False

    async def work(self, call: Call, desk: Desk) -> JsonValue | Wait:
        return Wait(10, f"look {call.attempt}") if call.attempt <= 2 else "done at last"


class Rollout(_OpsTool):
    """Goes on for a while, and then breaks without telling how it ended."""

    async def work(self, call: Call, desk: Desk) -> JsonValue | Wait:
        if call.attempt == 1:
            return Wait(10, "rolling out")
        raise RuntimeError("the wire\nwas cut")


class Stuck(_OpsTool):
    """Never ends, and does not tell whether it did anything."""

    timeout_seconds: ClassVar[float] = 0.01

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        await asyncio.Event().wait()
        return None


class Sent(_OpsTool):
    """Breaks after it has done it, and finds out by its key what it has done. Not among the tools of `ops`."""

    async def work(self, call: Call, desk: Desk) -> JsonValue:
        desk.sent[call.key] = "sent"
        raise RuntimeError("the wire\nwas cut")

    async def found_again(self, call: Call) -> JsonValue | None:
        desk = call.need(Desk)
        if desk.sent.get(call.key) == "away":
            raise ToolError("It does not answer.")
        return desk.sent.get(call.key)


class StuckLook(Stuck):
    """Never ends, and may be repeated."""

    acts: ClassVar[bool] = False


TOOLS: tuple[type[Tool], ...] = (Look, Touch, Push, Flaky, Broken, BrokenLook, Slow, Rollout, Stuck, StuckLook)


def ops(
    desk: Desk | None = None,
    *,
    name: str = "ops",
    plan: Callable[[Thread], Step | None] = no_plan,
    limits: Limits | None = None,
    tools: tuple[type[Tool], ...] = TOOLS,
) -> Agent:
    return Agent(
        name=name,
        prompt="You do as you are told.",
        tools=tools,
        plan=plan,
        limits=limits or Limits(),
        resources={Desk: desk or Desk([])},
    )


def done(message: str = "Done.") -> DoneForNow:
    return DoneForNow(message=message)


def update(message: str) -> SendUpdate:
    return SendUpdate(message=message)


def ask(question: str, context: str = "") -> RequestHumanInput:
    return as_question(question, context)


def withdraw(reason: str = "no longer wanted") -> WithdrawRequest:
    return WithdrawRequest(reason=reason)


NOTHING = NothingToDo()


# The edges


Line = Step | ModelFailure | Callable[[str], Step | ModelFailure | Awaitable[Step | ModelFailure]]


class ScriptedModel:
    """Answers what it was told to, in order: a step, a failure, or a function of the prompt, which may be async."""

    name = "script"

    def __init__(self) -> None:
        self._script: deque[Line] = deque()
        self.otherwise: Callable[[str], Step] | None = None
        """What it answers where the script has ended."""
        self.asked: Callable[[str], Awaitable[None]] | None = None
        """Sees each prompt before it is answered."""
        self.prompts: list[str] = []
        """What it was asked."""
        self.doubts: dict[str, tuple[str, str]] = {}
        """What a second look has against a step, by intent."""

    def answers(self, *lines: Line) -> None:
        self._script.extend(lines)

    def forget(self) -> None:
        """Nothing is left of the script."""
        self._script.clear()

    @property
    def lines_left(self) -> int:
        return len(self._script)

    async def answer(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt.user)
        if self.asked:
            await self.asked(prompt.user)
        assert self._script or self.otherwise, f"the script has no answer to this:\n{prompt.user[-2000:]}"
        line: Any = self._script.popleft() if self._script else self.otherwise
        if callable(line):
            line = line(prompt.user)
        if isinstance(line, Awaitable):
            line = await line
        if isinstance(line, ModelFailure):
            raise line
        step = validated(prompt.agent, {"intent": line.intent, **line.arguments})
        doubt = self.doubts.get(line.intent, ("", ""))
        return Answer(step, Usage(input_tokens=10, output_tokens=1), self.name, doubt)


_APART = "to one person alone: "


class RecordingChannel(Channel):
    """Remembers what was sent under each key; a key that was sent before says nothing again."""

    def __init__(self, lines: list[str], name: str = PLACE.channel) -> None:
        self.name = name
        self.sent: dict[str, Outgoing] = {}
        self.so_far: dict[str, tuple[Event, ...]] = {}
        """The events of the thread that came with it, by its key."""
        self.tries: Counter[str] = Counter()
        self.fails_with: Exception | None = None
        """Raised at every attempt while it is set."""
        self._next: deque[Exception | Hook] = deque()
        self._lines = lines

    def next(self, *what: Exception | Hook) -> None:
        """What comes of the next attempts: an error, or this is awaited first."""
        self._next.extend(what)

    def forget(self) -> None:
        """Nothing comes in between any more."""
        self._next.clear()

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
        self.tries[key] += 1
        if self._next:
            item = self._next.popleft()
            if isinstance(item, Exception):
                raise item
            await item()
        if self.fails_with:
            raise self.fails_with
        if key not in self.sent:
            self.sent[key], self.so_far[key] = message, tuple(so_far)
            if line := heard(message, way):
                line = line.replace("noted", "told elsewhere", 1) if place.address.startswith(_APART) else line
                self._lines.append(line if self.name == PLACE.channel else f"{self.name}: {line}")
        return f"receipt {len(self.sent)}"

    def place_for(self, person: Person, beside: Place) -> Place | None:
        return Place(channel=self.name, address=f"{_APART}{person.name}") if person.address else None


class StoreWithHooks:
    """Stands between a loop and its store: things happen just before or after an append of the loop's.

    A point is the number of an append, from 1, or a kind of event: the next append that holds one.
    """

    def __init__(self, store: Store) -> None:
        self.real = store
        self.appends = 0
        self._before: list[tuple[int | type[Event], Hook]] = []
        self._after: list[tuple[int | type[Event], Hook]] = []

    def before(self, point: int | type[Event], hook: Hook) -> None:
        self._before.append((point, hook))

    def after(self, point: int | type[Event], hook: Hook) -> None:
        self._after.append((point, hook))

    def forget(self) -> None:
        """Nothing happens in between any more."""
        self._before.clear()
        self._after.clear()

    @property
    def server(self) -> Server:
        return self.real.server

    async def append(
        self,
        thread: Thread,
        *events: Event,
        if_unmoved: bool = False,
        lease: Lease | None = None,
        confirm: bool = False,
    ) -> Thread:
        self.appends += 1
        assert self.appends < APPENDS_MAX, f"it does not come to rest: {[e.id for e in thread.events[-12:]]}"
        for hook in self._due(self._before, events):
            await hook()
        after = self._due(self._after, events)
        thread = await self.real.append(thread, *events, if_unmoved=if_unmoved, lease=lease, confirm=confirm)
        for hook in after:
            await hook()
        return thread

    def _due(self, hooks: list[tuple[int | type[Event], Hook]], events: tuple[Event, ...]) -> list[Hook]:
        def is_here(point: int | type[Event]) -> bool:
            return point == self.appends if isinstance(point, int) else any(isinstance(e, point) for e in events)

        due = [item for item in hooks if is_here(item[0])]
        for item in due:
            hooks.remove(item)
        return [hook for _, hook in due]

    # The rest as it is

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        return await self.real.post(thread_id, *events, opens=opens)

    async def exists(self, thread_id: str) -> bool:
        return await self.real.exists(thread_id)

    async def load(self, thread_id: str) -> Thread:
        return await self.real.load(thread_id)

    async def refresh(self, thread: Thread) -> Thread:
        return await self.real.refresh(thread)

    async def page(self, wanted: Filter = EVERY_THREAD, *, limit: int = 50, after: str = "") -> Page:
        return await self.real.page(wanted, limit=limit, after=after)

    def load_each(self, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
        return self.real.load_each(thread_ids)

    async def shelve(self, shelf: str, name: str, text: str, *, expected: str, keep: Keep) -> bool:
        return await self.real.shelve(shelf, name, text, expected=expected, keep=keep)

    async def shelved(self, shelf: str, name: str) -> str:
        return await self.real.shelved(shelf, name)

    async def newest(self, shelf: str, limit: int) -> list[Kept]:
        return await self.real.newest(shelf, limit)

    async def reindex(self) -> int:
        return await self.real.reindex()

    def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        return self.real.follow(thread)

    async def claim(
        self,
        limit: int,
        lease_seconds: float,
        only: str = "",
        *,
        skip: Collection[str] = (),
        expired: bool = True,
    ) -> list[Lease]:
        return await self.real.claim(limit, lease_seconds, only, skip=skip, expired=expired)

    async def renew(self, lease: Lease) -> bool:
        return await self.real.renew(lease)

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        return await self.real.release(lease, seen, wake_in_seconds)

    async def hand_back(self, lease: Lease) -> None:
        await self.real.hand_back(lease)

    async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
        return await self.real.due_in_seconds(skip)

    async def work_arrived(self, timeout_seconds: float) -> None:
        await self.real.work_arrived(timeout_seconds)

    async def wake(self, thread_id: str) -> None:
        await self.real.wake(thread_id)

    async def get_note(self, name: str) -> str:
        return await self.real.get_note(name)

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        return await self.real.set_note(name, text, expected=expected)

    async def count_distinct(self, name: str, member: str, window_seconds: float) -> int:
        return await self.real.count_distinct(name, member, window_seconds)

    async def aclose(self) -> None:
        await self.real.aclose()


# The world


class World:
    """One thread with `ops`, and the people around it.

    `lines` is all that could be seen from outside, in order: what tools ran and what people were told.
    """

    def __init__(
        self,
        *,
        plan: Callable[[Thread], Step | None] = no_plan,
        limits: Limits | None = None,
        tools: tuple[type[Tool], ...] = TOOLS,
        others: Mapping[str, Agent] | None = None,
        place: Place = PLACE,
        store: Store | None = None,
        people: People | None = None,
        authority: Authority | None = None,
        rooms: Sequence[str] = (),
        clock: Clock | None = None,
        reader: Reader | None = None,
    ) -> None:
        """`rooms`: other channels, at which a request may be shown too. `reader`: see `tests.telling.arrivals`."""
        self.lines: list[str] = []
        self.clock = clock or Clock()
        self.desk = Desk(self.lines)
        self.model = ScriptedModel()
        self.channel = RecordingChannel(self.lines)
        self.agent = ops(self.desk, plan=plan, limits=limits, tools=tools)
        self.roster = {"ops": self.agent, **(others or {})}
        hooked = store if isinstance(store, StoreWithHooks) else None
        self.store = hooked or StoreWithHooks(store or MemoryStore(self.clock))
        """As the loop sees it; `store.real` is the one that people reach."""
        self.inbox = Inbox(self.store.real, people=people, clock=self.clock)
        self.rooms = {name: RecordingChannel(self.lines, name) for name in rooms}
        self._channels: Mapping[str, Channel] = {self.channel.name: self.channel, **self.rooms}
        self._authority = authority or AnyoneMay()
        self.alerts: Place | None = None
        self._readers = Arrivals(self.inbox, {PLACE.channel: reader})
        self.loop = self.loop_with(self.model)
        self.place = place
        self.thread = Thread("")
        """As it was when somebody here last looked."""
        self.left_alone: LeftAlone | None = None
        """What the worker left to others when it looked last (`run_unserved`)."""
        self._messages = 0

    def loop_with(self, model: Model) -> Loop:
        """The loop of this world, with another model."""
        return Loop(
            authority=self._authority,
            store=self.store,
            roster=self.roster,
            channels=self._channels,
            model=model,
            clock=self.clock,
            readers=self._readers,
            alerts=self.alerts,
        )

    def worker_becomes(
        self,
        *,
        reader: Reader | None = None,
        channels: Mapping[str, Channel] | None = None,
        alerts: Place | None = None,
    ) -> None:
        """The worker is another one from now on. `channels`: what it reaches people by; None: as before."""
        self.alerts, self._readers = alerts, Arrivals(self.inbox, {PLACE.channel: reader})
        self._channels = self._channels if channels is None else channels
        self.loop = self.loop_with(self.model)

    def people_become(self, people: People) -> None:
        """The team file names others from now on."""
        self.inbox = Inbox(self.store.real, people=people, clock=self.clock)

    # What people do

    @property
    def said(self) -> int:
        """How many messages there were: the last one's event id is `m` and this."""
        return self._messages

    async def say(self, text: str, by: Person = ANN, **more: Any) -> Thread:
        self._messages += 1
        event_id = more.pop("event_id", f"m{self._messages}")
        thread_id = await self.inbox.message(self.place, InboundMessage(by, text, event_id, **more), agent="ops")
        self.thread = await self.store.load(thread_id)
        return self.thread

    async def answer(self, text: str, by: Person = ANN) -> Thread:
        self.thread = await self.inbox.answer(self.thread.id, by, text)
        return self.thread

    async def trigger(self, name: str, **data: JsonValue) -> Thread:
        self._messages += 1
        event = TriggerReceived(id=f"hook/{self._messages}", at=self.clock(), source="hook", name=name, data=data)
        self.thread = await self.store.load(await self.inbox.trigger(self.place, event, agent="ops"))
        return self.thread

    @property
    def digest(self) -> str:
        """Of the request that somebody here last saw."""
        request = self.thread.last_request
        assert request, self.thread.status
        return request.digest

    async def approve(self, by: Person = ANN, comment: str = "", **more: Any) -> DecisionResult:
        return await self._decide(by, comment, approved=True, **more)

    async def reject(self, reason: str = "", by: Person = ANN, **more: Any) -> DecisionResult:
        return await self._decide(by, reason, approved=False, **more)

    async def _decide(self, by: Person, comment: str, *, approved: bool, **more: Any) -> DecisionResult:
        """By default on the request that waits in the store, or else the last one."""
        now = await self.store.load(self.thread.id)
        step = now.step(more.get("step_id", ""))
        request = step.request if step else now.last_request
        seen = {"digest": request.digest if request else ""} | more
        result = await self.inbox.decide(self.thread.id, by, approved=approved, comment=comment, **seen)
        self.thread = result.thread
        return result

    async def pause(self) -> Thread:
        self.thread = await self.inbox.pause(self.thread.id, ANN)
        return self.thread

    async def resume(self) -> Thread:
        self.thread = await self.inbox.resume(self.thread.id, ANN)
        return self.thread

    async def stop(self, by: Person = ANN) -> Thread:
        self.thread = await self.inbox.stop(self.thread.id, by, channel="terminal", event_id=str(self.thread.version))
        return self.thread

    async def cancel(self, reason: str = "", by: Person = ANN) -> Thread:
        self.thread = await self.inbox.cancel(self.thread.id, by, reason)
        return self.thread

    async def log(self, *events: Event) -> Thread:
        """Put events there that nobody in this world can make happen."""
        self.thread = await self.store.real.append(self.thread, *events)
        return self.thread

    # What the worker and the clock do

    async def run(self) -> list[str]:
        """What comes of doing all that can be done now, under a lease; a worker that is killed ends it too."""
        start = len(self.lines)
        lease = await self.claim()
        try:
            while True:
                self.thread = await self._advance(lease)
                if await self.store.release(lease, self.thread):
                    break
        except Killed:
            self.lines.append("killed")
            self.clock.advance(LEASE_SECONDS)
            self.thread = await self.store.load(self.thread.id)
            return self.lines[start:]
        assert self.at_rest, "the loop came back with something to do"
        return self.lines[start:]

    async def _advance(self, lease: Lease) -> Thread:
        while True:
            turn = self.loop.turn(await self.store.load(self.thread.id), lease)
            try:
                await self.loop.advance(turn)
            except Postponed as postponed:
                if not isinstance(postponed.__cause__, PeopleAreWriting):
                    raise
                await self.time_passes(postponed.seconds)
            else:
                return turn.thread

    async def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def run_unserved(
        self, *, left_alone_seconds: float | None = None, left: LeftAlone | None = None
    ) -> list[str]:
        """The same, for a worker that may have to leave the thread to others, and has for so long.

        `left`: what it left when it looked at the thread before.
        """
        start = len(self.lines)
        lease = await self.claim()
        turn = self.loop.turn(await self.store.load(self.thread.id), lease)
        turn.left_before = left
        await self.loop.advance(turn)
        if left_alone_seconds is not None and turn.left:
            turn.left_before = turn.left._replace(since=self.clock() - timedelta(seconds=left_alone_seconds))
            await self.loop.advance(turn)
        await self.store.hand_back(lease)
        self.thread, self.left_alone = turn.thread, turn.left
        return self.lines[start:]

    async def claim(self) -> Lease:
        await self.store.wake(self.thread.id)
        leases = await self.store.claim(1, LEASE_SECONDS, self.thread.id)
        assert leases, f"somebody else holds {self.thread.id}"
        return leases[0]

    async def advance(self, seconds: float) -> list[str]:
        """Time passes; what comes of the timers that fire."""
        self.clock.advance(seconds)
        return await self.run()

    def worker(self, **options: Any) -> Worker:
        """The real one, over this world's store and loop."""
        return Worker(self.store, self.loop, clock=self.clock, seconds=self.clock.seconds, **options)

    @property
    def at_rest(self) -> bool:
        agent = self.roster.get(self.thread.agent)
        return agent is None or decide(agent, self.thread) is None

    @property
    def kinds(self) -> list[str]:
        """The log, in short."""
        return [event.kind for event in self.thread.events]


# How it reads


def in_words(intent: str, arguments: Mapping[str, JsonValue]) -> str:
    inside = ", ".join(f"{name}: {value}" for name, value in arguments.items())
    return f"{intent}({inside})" if inside else intent


def heard(message: Outgoing, way: Way) -> str:
    match message:
        case Text(text):
            return f"said: {text}"
        case Notice(text):
            return f"noted: {text}"
        case Question():
            return f"asked: {message.question}" if isinstance(message.state, Unanswered) else ""
        case Approval():
            return _heard_of_request(message, way)
        case Progress() | Tasks():
            return ""  # it changes a message that is there
    assert_never(message)


def _heard_of_request(request: Approval, way: Way) -> str:
    match request.state:
        case Waiting() if isinstance(way, New):
            return f"requested: {in_words(request.intent, request.arguments)}"
        case Waiting():
            return f"counted: {request.intent}, {len(request.votes)} of {request.quorum}"
        case Reminded():
            return f"reminded: {request.intent}, for {request.group}"
        case Ended() as end:
            by = f" by {end.by.name}" if end.by else ""
            comment = f": {end.comment}" if end.comment else ""
            return f"settled: {request.intent} {end.outcome}{by}{comment}"
    assert_never(request.state)
