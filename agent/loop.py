"""The loop: decide what to do, do it, and look again.

    while (action := decide(agent, thread)) is not None:
        await perform(action)

Start, resume, retry and crash recovery are this one loop on the same events. `agent.perform` has what each action does,
and `agent.perform.turn` the two ways of appending. The loop keeps no state of a thread between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import assert_never

import structlog

from agent.authority import Authority
from agent.context.window import Context
from agent.decide import (
    Action,
    AskModel,
    CannotServe,
    ChangeAgent,
    ChooseStep,
    HandToHuman,
    NoteInterruption,
    ReadArrival,
    RefuseStep,
    RequestApproval,
    RunTool,
    Say,
    decide,
    decide_without_agent,
    say_next,
)
from agent.definition import Agent
from agent.model.base import Model, ModelBusy
from agent.notes import NotesUnavailable
from agent.perform.choose import ask, choose
from agent.perform.listen import PeopleAreWriting
from agent.perform.outage import ModelAway
from agent.perform.read import CannotRead, NotReadYet, Readers, read
from agent.perform.request import request
from agent.perform.run import doing, refused, run, settle
from agent.perform.say import say
from agent.perform.turn import Services, Turn
from agent.perform.unserved import give_up, has_waited_long, is_unserved_notice, left, sayable
from channels.base import Channel
from store import keys
from store.base import Lease, Store, ThreadMoved
from store.events import AgentChanged, HandedToHuman, TimerFired
from store.keys import TimerKey
from store.thread import Thread
from store.timers import due
from store.values import Place

log = structlog.get_logger(__name__)

SET_ASIDE = "what is set aside"
"""`LeftAlone.what` of a thread in which there is nothing else to do."""


class Postponed(Exception):
    """The thread needs the model, which is not to be asked now. Nobody should hold the thread meanwhile."""

    def __init__(self, thread: Thread, seconds: float) -> None:
        super().__init__(f"thread {thread.id} is postponed by {seconds:g} s")
        self.thread = thread
        """The thread as it is now."""
        self.seconds = seconds


class Loop:
    def __init__(
        self,
        *,
        store: Store,
        roster: Mapping[str, Agent],
        channels: Mapping[str, Channel],
        model: Model,
        clock: Callable[[], datetime],
        authority: Authority,
        alerts: Place | None = None,
        readers: Readers | None = None,
    ) -> None:
        """For the parameters see `agent.perform.turn.Services`."""
        self._services = Services(store, roster, channels, model, clock, authority, alerts, readers)
        self.draining = False
        """Once set, `advance` returns after the current action."""
        self._not_tended: set[str] = set()
        """The agents whose last `tend` failed, which was logged."""

    def turn(self, thread: Thread, lease: Lease, contexts: dict[str, Context] | None = None) -> Turn:
        """The turn of the holder of this lease, for `advance`. `contexts`: those of an earlier turn on the thread."""
        return Turn(self._services, thread, lease, contexts)

    async def advance(self, turn: Turn) -> None:
        """Do everything that can be done now. Returns when it is somebody else's turn, or when draining.

        What it cannot do, another worker may: see `Turn.left`. Raises LeaseLost when another worker took over,
        StoreUnavailable when an append by `Turn.begin` failed, and Postponed when nothing is left to do but to ask the
        model, later.
        """
        turn.left, turn.unreadable = None, {}
        while not self.draining:
            if fired := _timers_due(turn):
                await turn.record(*fired)
                continue
            action = self._next(turn)
            if action is None:
                _at_rest(turn)
                if still := [one for one in turn.thread.aside if one.id in turn.unreadable]:
                    turn.left = left(turn, SET_ASIDE, turn.unreadable[still[0].id])
                break
            if isinstance(action, CannotServe) and not has_waited_long(turn, action):
                message = sayable(turn) if action.arrived else None
                if message is None:
                    turn.left = left(turn, action.what, action.why)
                    break
                action = message
            _show(turn, action)
            try:
                await _perform_or_postpone(turn, action)
            except ThreadMoved:
                continue  # Decide again on the thread as it is now.
            except CannotRead as error:
                turn.unreadable[error.arrived.id] = error.why

    async def tend(self) -> None:
        """Let each agent look after what its tools left running on this machine."""
        for agent in self._services.roster.values():
            if not agent.tend:
                continue
            try:
                await agent.tend(self._services.notes)
                self._not_tended.discard(agent.name)
            except NotesUnavailable:
                pass  # The worker says that the store is away.
            except Exception:
                if agent.name not in self._not_tended:
                    log.exception("tend_failed", agent=agent.name)
                self._not_tended.add(agent.name)

    def _next(self, turn: Turn) -> Action | None:
        thread, agent = turn.thread, self._services.roster.get(turn.thread.agent)
        if agent is None or thread.state.unreadable:
            return decide_without_agent(thread)
        if aside := next((one for one in thread.aside if one.id not in turn.unreadable), None):
            return ReadArrival(aside)
        action = decide(agent, thread)
        if isinstance(action, ReadArrival) and (why := turn.unreadable.get(action.arrived.id)):
            return CannotServe(why, arrived=action.arrived)
        return action


async def _perform_or_postpone(turn: Turn, action: Action) -> None:
    """Raises Postponed if the model is busy or still unavailable, people are still writing, or what has arrived cannot
    be read yet.

    By then the messages that wait are sent, which need none of that.
    """
    try:
        await _perform(turn, action)
    except (ModelBusy, ModelAway, PeopleAreWriting, NotReadYet) as later:
        message = say_next(turn.thread)
        if message is None:
            if isinstance(later, ModelAway):
                _at_rest(turn)  # It may be long before the model is asked again.
            raise Postponed(turn.thread, later.retry_after_seconds) from later
        await _perform(turn, message)


async def _perform(turn: Turn, action: Action) -> None:
    """Act, and append the outcome."""
    match action:
        case Say():
            await say(turn, action)
        case ReadArrival():
            await read(turn, action.arrived)
        case AskModel():
            await ask(turn)
        case ChooseStep():
            await choose(turn, action.step)
        case RequestApproval():
            await request(turn, action)
        case RunTool():
            await run(turn, action)
        case NoteInterruption():
            await settle(turn, action.step)
        case CannotServe():
            await give_up(turn, action)
        case RefuseStep():
            await turn.begin(refused(turn, action.step, action.error, hint=action.hint))
        case ChangeAgent():
            event_id = keys.agent_changed(turn.thread.state.current)
            await turn.begin(AgentChanged(id=event_id, at=turn.now(), agent=action.agent, reason=action.reason))
        case HandToHuman():
            event_id = keys.handed_over(turn.thread.number)
            await turn.begin(HandedToHuman(id=event_id, at=turn.now(), limit=action.limit, reason=action.reason))
        case _:
            assert_never(action)


def _timers_due(turn: Turn) -> list[TimerFired]:
    now = turn.now()
    return [TimerFired(id=keys.fired(str(key)), at=now, timer=str(key)) for key in due_now(turn.thread, now)]


def due_now(thread: Thread, now: datetime) -> Sequence[TimerKey]:
    """The timers of the thread that may fire."""
    timers = thread.timers
    if not timers:
        return ()
    if arrived := thread.arrived:
        # What a person did before a request widens or expires is judged first.
        timers = {key: at for key, at in timers.items() if key.kind not in ("widen", "expire") or at <= arrived.at}
    if thread.state.unreadable:
        # Nothing that depends on the unknown event; but people are told that nobody can serve the thread.
        timers = {key: at for key, at in timers.items() if key.kind == "send" and is_unserved_notice(key.about)}
    return due(timers, now)


def _show(turn: Turn, action: Action) -> None:
    match action:
        case AskModel():
            turn.busy("is thinking…")
        case RunTool():
            turn.busy(doing(action.tool))
        case _:
            pass


def _at_rest(turn: Turn) -> None:
    if channel := turn.channel:
        channel.at_rest(turn.thread.place, turn.thread.turn)
