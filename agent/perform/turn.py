"""One worker's turn on one thread: the thread as it moves, and the two ways of appending to it.

Whatever begins something (a step, a request, a tool) is appended by `begin`: only if the thread has not moved, and the
lease is still ours. So a message, a pause or a cancellation that lands before it is read first, and a worker that lost
its thread cannot act. A fact (a tool ended, a message went out) is appended by `note`: it always lands, and is tried
again for as long as the store is away, because nobody else knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.authority import Authority
from agent.context.window import Context
from agent.definition import Agent
from agent.model.base import Model
from agent.speech.requests import requester
from agent.steps import Call, Facts, LookAgain, RequestHumanInput, SetReminder, Step
from channels.base import Channel
from store import keys
from store.base import Lease, Store, StoreUnavailable, ThreadMoved
from store.events import Event, StepChosen
from store.state import StepState
from store.thread import Thread
from store.values import Place

ERROR_CHARS_MAX = 1_000
STORE_RETRY_SECONDS = 0.1
STORE_RETRY_SECONDS_MAX = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """What every turn works with."""

    store: Store
    roster: Mapping[str, Agent]
    channels: Mapping[str, Channel]
    model: Model
    clock: Callable[[], datetime]
    authority: Authority
    """Who may approve what."""
    alerts: Place | None = None
    """Where people hear of what could not be said in its own place; None: the last of them who wrote."""


class Turn:
    def __init__(self, services: Services, thread: Thread, lease: Lease) -> None:
        self.services = services
        self.thread = thread
        self.loaded = thread.version
        """How many events there were when this worker took the thread."""
        self._lease = lease
        self._contexts: dict[str, Context] = {}

    @property
    def agent(self) -> Agent:
        """The thread's agent. One without tools where there is none of that name here."""
        name = self.thread.agent
        return self.services.roster.get(name) or Agent(name=name, prompt="", tools=())

    @property
    def context(self) -> Context:
        """Of the agent, kept for the turn: it renders each finished event once."""
        agent = self.agent
        return self._contexts.setdefault(agent.name, Context(agent))

    @property
    def channel(self) -> Channel | None:
        """The thread's own; None: this process does not have it."""
        return self.services.channels.get(self.thread.place.channel) if self.thread.exists else None

    def now(self) -> datetime:
        return self.services.clock()

    async def begin(self, *events: Event) -> None:
        """Append what may only happen if nobody spoke meanwhile.

        Raises ThreadMoved, and then `thread` is the thread as it is now; LeaseLost, StoreUnavailable.
        """
        try:
            after = await self.services.store.append(self.thread, *events, if_unmoved=True, lease=self._lease)
        except ThreadMoved as moved:
            self.thread = moved.thread
            raise
        self._moved_to(after, events)

    async def note(self, *events: Event) -> None:
        """Append what has happened, however long the store is away."""
        delay = STORE_RETRY_SECONDS
        while True:
            try:
                after = await self.services.store.append(self.thread, *events)
            except StoreUnavailable as error:
                ids = [event.id for event in events]
                log.warning("fact_waits_for_store", thread=self.thread.id, events=ids, error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, STORE_RETRY_SECONDS_MAX)
            else:
                self._moved_to(after, events)
                return

    async def fire(self, *events: Event) -> None:
        """Append what the clock did. Raises LeaseLost."""
        self._moved_to(await self.services.store.append(self.thread, *events, lease=self._lease), events)

    def _moved_to(self, after: Thread, events: tuple[Event, ...]) -> None:
        """Assert that our events were appended: otherwise the loop would repeat them for ever."""
        before = self.thread
        ids = [event.id for event in events]
        assert after.version > before.version, f"{ids} changed nothing in thread {before.id}"
        self.thread = after

    def busy(self, doing: str) -> None:
        """Show people what the agent is doing."""
        if channel := self.channel:
            channel.busy(self.thread.place, doing)

    def chosen(self, step: Step, *, by: str, step_id: str = "") -> StepChosen:
        """The event that writes down the choice of this step now."""
        step_id = step_id or keys.step_at(self.thread.version)
        return StepChosen.model_validate(
            {
                "id": keys.chosen(step_id),
                "at": self.now(),
                "step": step_id,
                "intent": step.intent_name(),
                "arguments": step.arguments,
                "effect": None if step.effect == "runs" else step.effect,
                "by": by,
                "acts": self.agent.acts(step),
                "closes": isinstance(step, RequestHumanInput) and step.options.format != "free_text",
                "until": step.until(self.now()) if isinstance(step, LookAgain | SetReminder) else None,
            }
        )

    def call(self, step: StepState, attempt: int, facts: Facts | None = None) -> Call:
        """What the tool is given for this step."""
        return Call(
            thread_id=self.thread.id,
            key=keys.call(self.thread.id, step.id),
            attempt=attempt,
            now=self.now(),
            requested_by=requester(self.thread.events),
            facts=facts or {},
            resources=self.agent.resources_of(step.chosen.intent),
        )
