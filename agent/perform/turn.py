"""One worker's turn on one thread: the thread as it grows, and the two ways of appending to it.

An event that begins something (a step, a request, a tool) is appended by `begin`: only if the thread has not moved and
the lease is still ours. So a message, a pause or a cancellation that lands first is read first, and a worker that lost
its lease cannot act. A fact (a tool ended, a message was sent) is appended by `note`: unconditionally, and retried
while the store is down, because nobody else knows it.
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


class Turn:
    def __init__(self, services: Services, thread: Thread, lease: Lease) -> None:
        self.services = services
        self.thread = thread
        self.loaded_version = thread.version
        """The thread's version when this worker loaded it."""
        self._lease = lease
        self._contexts: dict[str, Context] = {}

    @property
    def agent(self) -> Agent:
        """The thread's agent; one without tools if there is no agent of that name here."""
        name = self.thread.agent
        return self.services.roster.get(name) or Agent(name=name, prompt="", tools=())

    @property
    def context(self) -> Context:
        """The agent's context. Kept for the turn, so that it renders each finished event once."""
        agent = self.agent
        return self._contexts.setdefault(agent.name, Context(agent))

    @property
    def channel(self) -> Channel | None:
        """The thread's channel; None: this process does not have it."""
        return self.services.channels.get(self.thread.place.channel) if self.thread.exists else None

    def now(self) -> datetime:
        return self.services.clock()

    async def begin(self, *events: Event) -> None:
        """Append, if the thread has not moved and the lease is ours.

        Raises ThreadMoved (`thread` is then the thread as it is now), LeaseLost, StoreUnavailable.
        """
        try:
            after = await self.services.store.append(self.thread, *events, if_unmoved=True, lease=self._lease)
        except ThreadMoved as moved:
            self.thread = moved.thread
            raise
        self._moved_to(after, events)

    async def note(self, *events: Event) -> None:
        """Append what has happened, retrying until the store is back."""
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
        """Append fired timers. Raises LeaseLost, StoreUnavailable."""
        self._moved_to(await self.services.store.append(self.thread, *events, lease=self._lease), events)

    def _moved_to(self, after: Thread, events: tuple[Event, ...]) -> None:
        """Assert that our events were appended; otherwise the loop would repeat them for ever."""
        before = self.thread
        ids = [event.id for event in events]
        assert after.version > before.version, f"{ids} changed nothing in thread {before.id}"
        self.thread = after

    def busy(self, doing: str) -> None:
        """Show people what the agent is doing."""
        if channel := self.channel:
            channel.busy(self.thread.place, doing)

    def chosen(self, step: Step, *, by: str, step_id: str = "") -> StepChosen:
        """The event that records the choice of this step."""
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
                "acts": self.agent.has_side_effects(step),
                "closes": isinstance(step, RequestHumanInput) and step.options.format != "free_text",
                "until": step.until(self.now()) if isinstance(step, LookAgain | SetReminder) else None,
            }
        )

    def call(self, step: StepState, attempt: int, facts: Facts | None = None) -> Call:
        """The `Call` for the tool of this step."""
        return Call(
            thread_id=self.thread.id,
            key=keys.call(self.thread.id, step.id),
            attempt=attempt,
            now=self.now(),
            requested_by=requester(self.thread.events),
            facts=facts or {},
            resources=self.agent.resources_of(step.chosen.intent),
        )
