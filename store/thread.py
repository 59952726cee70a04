"""A thread: its events in order, and the questions asked of them (status, turn, open steps, an earlier state).

Everything but the events is computed by `store.fold` and stored nowhere: not in a worker, not in Redis. A thread never
changes; `extended` returns a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from store.arrivals import ArrivalDropped, Arrived, ClickArrived, ClickRead, MessageArrived
from store.deliveries import MessageFailed, MessageSent
from store.events import Event, ThreadOpened, ThreadUnserved, TimerFired
from store.fold import fold
from store.keys import MessageKey, TimerKey
from store.state import Request, State, StepState, StepStatus
from store.status import ThreadStatus, Turn, turn_of
from store.timers import timers_of
from store.values import Place


@dataclass(frozen=True, slots=True)
class Thread:
    """Immutable; `extended` returns the thread with more events."""

    id: str
    events: tuple[Event, ...] = ()
    state: State = field(default_factory=State, compare=False, repr=False)
    mark: str = field(default="", compare=False, repr=False)
    """Identifies the last event's line in the store (`store.codec.mark`); empty: it was not read from one."""

    def extended(self, events: Iterable[Event], mark: str = "") -> Thread:
        more = tuple(events)
        return Thread(self.id, self.events + more, fold(self.state, more, len(self.events)), mark) if more else self

    @property
    def version(self) -> int:
        return len(self.events)

    @property
    def number(self) -> int:
        """For the id of an event that is appended now: the log's length, unless ids with that number may be taken."""
        return self.version + self.state.ahead

    @property
    def agent(self) -> str:
        return self.state.agent

    @property
    def place(self) -> Place:
        assert self.state.place is not None, f"thread {self.id} was never opened"
        return self.state.place

    @property
    def exists(self) -> bool:
        return bool(self.events)

    def step(self, step_id: str) -> StepState | None:
        return self.state.steps.get(step_id)

    def open_steps(self, *statuses: StepStatus) -> list[StepState]:
        """The open steps with one of these statuses (default: all open steps), oldest first."""
        found = (self.state.steps[i] for i in self.state.open_steps)
        return [s for s in found if not statuses or s.status in statuses]

    def has_ongoing_call(self, intent: str, arguments: dict[str, JsonValue]) -> bool:
        """Whether the same call is ongoing, so that choosing it again begins nothing new."""
        return self.state.ongoing_call(intent, arguments) is not None

    @property
    def unread(self) -> list[Arrived]:
        """What has arrived and is to be read, oldest first. While words are offered elsewhere, only clicks are."""
        kinds = ClickArrived if self.state.offered else (MessageArrived, ClickArrived)
        return [one for one in self._arrivals(aside=False) if isinstance(one, kinds)]

    @property
    def aside(self) -> list[Arrived]:
        """What has arrived and no worker could read for a while, oldest first. A worker that can reads it first."""
        return self._arrivals(aside=True)

    def _arrivals(self, *, aside: bool) -> list[Arrived]:
        state = self.state
        found = sorted(index for key, index in state.arrivals.items() if (key in state.aside) == aside)
        events = (self.events[index] for index in found)
        return [event for event in events if isinstance(event, MessageArrived | ClickArrived)]

    @property
    def arrived(self) -> Arrived | None:
        """The oldest of what is to be read."""
        return next(iter(self.unread), None) if self.state.arrivals else None

    @property
    def has_only_arrivals(self) -> bool:
        """Whether nothing has happened in it, but that something arrived, or went elsewhere, or cannot be read."""
        arrivals = (ThreadOpened, MessageArrived, ClickArrived, ArrivalDropped, ClickRead)
        of_unread = (ThreadUnserved, MessageSent, MessageFailed, TimerFired)
        return all(isinstance(event, (*arrivals, *of_unread)) for event in self.events)

    @property
    def pending(self) -> Request | None:
        """The request that waits for a decision. There is at most one."""
        return next((step.request for step in self.open_steps("requested")), None)

    @property
    def last_request(self) -> Request | None:
        """The request that waits, or else the one that was made last; None: there was none."""
        requests = (step.request for step in reversed(self.state.steps.values()) if step.request)
        return self.pending or next(requests, None)

    @property
    def timers(self) -> dict[TimerKey, datetime]:
        """When a worker has to look at the thread again, and why."""
        return timers_of(self.state)

    def at(self, version: int) -> Thread:
        """The thread as it was after its first `version` events."""
        return self if version >= self.version else Thread(self.id).extended(self.events[:version])

    def receipt(self, key: MessageKey) -> str:
        """The channel's reference to the message sent under this key; empty: it was not sent."""
        sent = (e.receipt for e in reversed(self.events) if isinstance(e, MessageSent) and e.key == str(key))
        return next(sent, "")

    @property
    def status(self) -> ThreadStatus:
        state = self.state
        if state.unreadable:
            return "unreadable"
        if state.cancelled:
            return "cancelled"
        if state.paused:
            return "paused"
        if state.handed_to_human or (state.held_back and not self.pending):
            return "handed_to_human"
        if self.open_steps("running", "due", "approved") or state.open_edit or self.arrived:
            return "working"
        if state.news or state.unanswered:
            return "waiting" if state.retry_choice_at else "working"
        if self.pending:
            return "waiting_for_approval"
        if self.open_steps("chosen"):
            return "working"
        if state.question or state.offered:
            return "waiting_for_answer"
        # A reminder alone does not keep the thread waiting.
        waiting = any(step.effect != "reminds" for step in self.open_steps("waiting"))
        return "waiting" if waiting else "done"

    @property
    def turn(self) -> Turn:
        return turn_of(self.status)
