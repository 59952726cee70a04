"""One worker's turn on one thread: the thread as it grows, and the two ways of appending to it.

An event that begins something (a step, a request, a tool) is appended by `begin`: only if the thread has not moved and
the lease is still ours. So a message, a pause or a cancellation that lands first is read first, and a worker that lost
its lease cannot act. A fact (a tool ended, a message was sent) is appended by `note`: unconditionally, and retried
while the store is down, because nobody else knows it.

When the store turns out to have lost what this worker appended, both write it back first (`store.recovery`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import structlog

from agent.authority import Authority
from agent.context.window import Context
from agent.definition import Agent
from agent.model.base import Answer, Model
from agent.notes import Notes, StoredNotes, bound
from agent.perform.read import Readers
from agent.quoting import said
from agent.reporting import report
from agent.speech.requests import requester
from agent.steps import Call, Facts, RequestHumanInput, Step, TimedStep, Tool
from channels.base import Channel
from store import keys
from store.base import Lease, LeaseLost, NotReplicated, Store, StoreUnavailable, ThreadDiverged, ThreadMoved
from store.codec import encode
from store.events import SEEN_AND_HELD, Event, StepChosen, ToolNotBegun, ToolStarted
from store.keys import OutsideId
from store.recovery import write_back
from store.state import StepState
from store.thread import Thread
from store.values import Person, Place

ERROR_CHARS_MAX = 1_000
STORE_RETRY_SECONDS = 0.1
STORE_RETRY_SECONDS_MAX = 2.0
LAST_TRY_SECONDS = 1.5
CONFIRM_SECONDS_MAX = 30.0
"""How long to wait for the store to confirm what must be durable before something begins."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """What every turn needs from outside."""

    store: Store
    roster: Mapping[str, Agent]
    channels: Mapping[str, Channel]
    model: Model
    clock: Callable[[], datetime]
    authority: Authority
    """Who may approve what."""
    alerts: Place | None = None
    """Where lost messages are reported; None: to the last person who wrote in the thread."""
    readers: Readers | None = None
    """Whoever reads what has arrived; None: nobody here."""
    host: str = field(default_factory=socket.gethostname)
    """This machine's name, for people."""

    @property
    def notes(self) -> Notes:
        return StoredNotes(self.store, self.clock)


class LeftAlone(NamedTuple):
    """What this worker cannot serve in a thread, and leaves to others."""

    what: str
    """See `agent.decide.CannotServe`."""
    why: str
    since: datetime
    """When this worker found it first."""


class Turn:
    def __init__(
        self, services: Services, thread: Thread, lease: Lease, contexts: dict[str, Context] | None = None
    ) -> None:
        self.services = services
        self.thread = thread
        self.lease = lease
        self.loaded_version = thread.version
        """The thread's version when this worker loaded it."""
        self.left: LeftAlone | None = None
        """What it cannot do of what is to be done; None: it can do all."""
        self.left_before: LeftAlone | None = None
        """The same, when this worker looked at the thread before."""
        self.unreadable: dict[str, str] = {}
        """What has arrived and cannot be read here, by the id of its event, and why."""
        self.model_seconds: float | None = None
        """How long the model took to answer last; None: it was not asked."""
        self.can_be_broken_off = False
        """Whether what is under way may be cancelled when the lease is lost."""
        self.starting: ToolStarted | None = None
        """The start that is being appended, of a tool that has not begun."""
        self.why_not_begun = ""
        self._is_fresh = False
        self.contexts = {} if contexts is None else contexts
        """By agent and length: what has been rendered of the thread, in this turn or in an earlier one."""

    @property
    def agent(self) -> Agent:
        """The thread's agent; one without tools if there is no agent of that name here."""
        name = self.thread.agent
        return self.services.roster.get(name) or Agent(name=name, prompt="", tools=())

    def context(self, chars_max: int = 0) -> Context:
        """The agent's context, in so many characters at most. It is kept, so it renders each finished event once."""
        agent = self.agent
        return self.contexts.setdefault(f"{agent.name}/{chars_max}", Context(agent, chars_max))

    @property
    def channel(self) -> Channel | None:
        """The thread's channel; None: this process does not have it."""
        return self.services.channels.get(self.thread.place.channel) if self.thread.exists else None

    def now(self) -> datetime:
        return self.services.clock()

    def check_lease(self) -> None:
        """Before acting outside. Raises LeaseLost if another worker may hold the thread by now."""
        if not self.lease.is_good:
            raise LeaseLost(self.thread.id)

    @contextlib.contextmanager
    def may_be_broken_off(self) -> Iterator[None]:
        """For what can be done again without harm. Raises LeaseLost."""
        self.check_lease()
        self.can_be_broken_off = True
        try:
            yield
        finally:
            self.can_be_broken_off = False

    async def refresh(self) -> None:
        """See what has happened meanwhile. Raises StoreUnavailable."""
        tail, self.lease.tail = self.lease.tail, None
        try:
            read = tail.extending(self.thread) if tail else None
            self.thread = read or await self.services.store.refresh(self.thread)
        except ThreadDiverged:
            await self._recover()
        if not self._is_fresh:
            self._is_fresh, self.loaded_version = True, self.thread.version
        if started := self.starting:
            # Something went wrong between the start and the tool: the append has failed, or only its answer.
            why, self.starting, self.why_not_begun = self.why_not_begun, None, ""
            if started in self.thread.events:
                await self.note(
                    _not_begun(started, self.now(), why or "the store did not say that its start is stored")
                )

    async def settle(self) -> None:
        """Before this worker leaves the thread: say of a tool that was started and not begun that it was not."""
        if self.starting:
            with contextlib.suppress(StoreUnavailable):
                await self.refresh()

    async def begin(self, *events: Event, confirm: bool = False) -> None:
        """Append, if the thread has not moved and the lease is ours.

        `confirm`: something will be done outside that must not be forgotten (DURABLE_BEFORE_ACTING). Raises
        ThreadMoved (`thread` is then the thread as it is now), LeaseLost, StoreUnavailable, and NotReplicated when the
        events are appended but not confirmed.
        """
        try:
            after = await self._append(events, confirm=confirm)
        except ThreadMoved as moved:
            self.thread = moved.thread
            raise
        except ThreadDiverged:
            await self._recover()
            raise ThreadMoved(self.thread) from None
        self._moved_to(after, events)

    async def _append(self, events: tuple[Event, ...], *, confirm: bool) -> Thread:
        store, give_up_at = self.services.store, self.lease.clock() + CONFIRM_SECONDS_MAX
        while True:
            try:
                return await store.append(self.thread, *events, if_unmoved=True, lease=self.lease, confirm=confirm)
            except NotReplicated as error:
                log.warning("not_confirmed", thread=self.thread.id, events=[e.id for e in events], error=str(error))
                if not self.lease.is_good or self.lease.clock() >= give_up_at:
                    raise
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def note(self, *events: Event) -> None:
        """Append what has happened, retrying until the store is back."""
        delay = STORE_RETRY_SECONDS
        while True:
            try:
                await self._land(events)
            except StoreUnavailable as error:
                ids = [event.id for event in events]
                log.warning("fact_waits_for_store", thread=self.thread.id, events=ids, error=str(error))
            except asyncio.CancelledError:
                await self._land_at_last(events)
                raise
            else:
                return
            try:
                await asyncio.sleep(delay)
            except asyncio.CancelledError:
                await self._land_at_last(events)
                raise
            delay = min(delay * 2, STORE_RETRY_SECONDS_MAX)

    async def _land(self, events: tuple[Event, ...]) -> None:
        try:
            after = await self.services.store.append(self.thread, *events)
        except ThreadDiverged:
            await self._recover(*events)
        else:
            self._moved_to(after, events)

    async def _land_at_last(self, events: tuple[Event, ...]) -> None:
        """This process ends. If the store does not take the fact now, only the program's log has it."""
        try:
            async with asyncio.timeout(LAST_TRY_SECONDS):
                await self._land(events)
        except (StoreUnavailable, TimeoutError):
            lines = [encode(event).decode() for event in events]
            log.error("fact_dropped", thread=self.thread.id, events=lines)

    async def record(self, *events: Event) -> None:
        """Append what does no harm wherever the thread has moved to: a fired timer. Raises LeaseLost, StoreUnavailable.

        If the log lost events, they are written back instead.
        """
        try:
            after = await self.services.store.append(self.thread, *events, lease=self.lease)
        except ThreadDiverged:
            await self._recover()
        else:
            self._moved_to(after, events)

    async def _recover(self, *facts: Event) -> None:
        """The store lost what we appended: write it back, with these facts. Raises StoreUnavailable."""
        log.error("log_diverged", thread=self.thread.id, seen=self.thread.version)
        recovery = await write_back(self.services.store, self.thread, *facts, now=self.now)
        self.thread = recovery.thread
        self.loaded_version = self.thread.version
        self.contexts.clear()
        self._report((*facts, recovery.record) if recovery.record else facts)

    def _moved_to(self, after: Thread, events: tuple[Event, ...]) -> None:
        """Assert that our events were appended; otherwise the loop would repeat them for ever. Report them."""
        before = self.thread
        ids = [event.id for event in events]
        assert after.version > before.version, f"{ids} changed nothing in thread {before.id}"
        self.thread = after
        self._report(events, before.version)

    def _report(self, events: tuple[Event, ...], read: int = 0) -> None:
        agent = self.services.roster.get(self.thread.agent)
        report(events, self.thread, read, agent=agent, model_seconds=self.model_seconds)

    def busy(self, doing: str) -> None:
        """Show people what the agent is doing."""
        if channel := self.channel:
            channel.busy(self.thread.place, doing, about=_newest_by(channel.name, self.thread))

    def chosen(
        self,
        step: Step,
        *,
        by: str,
        step_id: str = "",
        answer: Answer | None = None,
        seen: int = 0,
        begun: bool = False,
    ) -> StepChosen:
        """The event that records the choice of this step. For `seen` and `begun` see there."""
        step_id = step_id or keys.step_at(self.thread.number)
        return StepChosen.model_validate(
            {
                "id": keys.chosen(step_id),
                "at": self.now(),
                "step": step_id,
                "intent": step.intent_name(),
                "arguments": step.arguments,
                "effect": None if step.effect == "runs" else step.effect,
                "by": by,
                "acts": step.acts,
                "third_party": isinstance(step, Tool) and step.third_party,
                "closes": isinstance(step, RequestHumanInput) and step.options.format != "free_text",
                "until": step.until(self.now()) if isinstance(step, TimedStep) else None,
                "model": answer.model if answer else "",
                "usage": answer.usage if answer else None,
                "seen": seen,
                "on_behalf_of": self._wanted_by(step),
                "v": SEEN_AND_HELD if seen else 1,
                "begun": begun,
            }
        )

    def _wanted_by(self, step: Step) -> tuple[Person, ...]:
        wanted = step.on_behalf_of() if isinstance(step, Tool) else ()
        return tuple(self.services.authority.identified(person) for person in wanted)

    def call(self, step: StepState, attempt: int, facts: Facts | None = None) -> Call:
        """The `Call` for the tool of this step."""
        return Call(
            thread_id=self.thread.id,
            key=keys.call(self.thread.id, step.id),
            attempt=attempt,
            now=self.now(),
            requested_by=requester(self.thread),
            facts=facts or {},
            said=functools.partial(said, self.thread),
            resources=bound(self.agent.resources_of(step.chosen.intent), self.services.notes),
            votes=step.request.votes if step.request else (),
        )


def _newest_by(channel: str, thread: Thread) -> str:
    """The channel's own id of the newest message, if it came by this channel; otherwise empty."""
    newest = thread.state.message_at
    outside = OutsideId.parse(thread.events[newest].id) if newest >= 0 else None
    return outside.event_id if outside and outside.source == channel else ""


def _not_begun(started: ToolStarted, at: datetime, why: str) -> ToolNotBegun:
    start = int(started.id.rpartition("/")[2])
    return ToolNotBegun(
        id=keys.not_begun(started.step, start), at=at, step=started.step, start=start, why=why[:ERROR_CHARS_MAX]
    )
