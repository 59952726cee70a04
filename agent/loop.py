"""The loop, and `perform`, the one function that acts.

    while (action := decide(agent, thread)) is not None:
        thread = await perform(action, thread)

Everything that begins something (a step, a request, a tool) is appended only if the thread has not moved and the lease
is still ours: so a message, a pause or a cancellation that lands before it is read first, and a worker that lost its
thread cannot act. Facts (a tool ended, a message went out) always land, and are tried again for as long as the store
is away, because they are known to nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import assert_never

import structlog
from pydantic import JsonValue

from agent.authority import Authority, Wanted
from agent.context.window import Context
from agent.decide import (
    Action,
    AskModel,
    ChangeAgent,
    ChooseStep,
    HandToHuman,
    NoteInterruption,
    RefuseStep,
    RequestApproval,
    RunTool,
    Say,
    decide,
    must_be_approved,
    question_of_outcome,
    say_next,
)
from agent.definition import Agent
from agent.model.base import Model, ModelFailure, Prompt
from agent.speech.messages import outgoing
from agent.speech.requests import requester
from agent.steps import Call, Facts, LookAgain, RequestHumanInput, SetReminder, Step, Tool, ToolError, Wait
from channels.base import Channel, Notice, SendFailed, SentInPart, Undelivered
from store import keys
from store.authority.binding import digest, still_binds
from store.authority.terms import has_expired, names_of
from store.authority.words import words_behind
from store.base import Lease, Store, StoreUnavailable, ThreadMoved
from store.codec import EventTooLarge, decode, encode
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    ChoiceFailed,
    DeliveryFailed,
    Event,
    HandedToHuman,
    MessageFailed,
    MessageSent,
    StandingGranted,
    StepChosen,
    StepRefused,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    ToolStarted,
    ToolWaiting,
)
from store.keys import SendKey
from store.state import Request, StepState
from store.text import instant
from store.thread import Thread
from store.timers import due
from store.values import Place

log = structlog.get_logger(__name__)

RETRY_SECONDS_MAX = 600.0
CHANNEL_RETRY_SECONDS = 60.0
"""Another process may have the channel, or this one after a restart."""
RESULT_BYTES_MAX = 100_000
"""What one tool may answer. A larger result is dropped, and the model told so."""
ERROR_CHARS_MAX = 1_000


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
    ) -> None:
        """`authority`: who may approve what.

        `alerts`: where people hear of what could not be said in its own place; None: the last of them who spoke.
        """
        self._store = store
        self._roster = roster
        self._channels = channels
        self._model = model
        self._clock = clock
        self._authority = authority
        self._alerts = alerts
        self.draining = False
        """Set it, and every thread is left alone after the action that is under way."""

    async def advance(self, thread: Thread, lease: Lease) -> Thread:
        """Do all that can be done now. Returns when it is somebody else's turn, or when draining.

        Raises LeaseLost when another worker took over, and StoreUnavailable when the store did not take a decision.
        """
        contexts: dict[str, Context] = {}
        loaded = thread.version
        while not self.draining:
            if fired := self._timers_due(thread):
                thread = _grown(thread, await self._store.append(thread, *fired, lease=lease), *fired)
                continue
            agent = self._roster.get(thread.agent)
            if agent is None:
                agent = Agent(name=thread.agent, prompt="", tools=())
                action = self._without_agent(thread)
            else:
                action = decide(agent, thread)
            if action is None:
                self._at_rest(thread)
                return thread
            self._show(action, thread)
            context = contexts.setdefault(agent.name, Context(agent))
            try:
                thread = await self._perform(action, thread, agent, context, lease, loaded)
            except ThreadMoved as moved:
                thread = moved.thread
        return thread

    async def _perform(
        self, action: Action, thread: Thread, agent: Agent, context: Context, lease: Lease, loaded: int
    ) -> Thread:
        """Act, and append what came of it. `loaded`: how many events there were when this worker took the thread."""
        now = self._clock()
        match action:
            case Say():
                return await self._say(action, thread, agent, loaded)
            case AskModel():
                return await self._ask(thread, agent, context, lease)
            case ChooseStep():
                chosen = self._chosen(thread, agent, action.step, by="code")
                return await self._choose(thread, agent, lease, action.step, chosen)
            case RequestApproval():
                return await self._request(action, thread, agent, lease)
            case RunTool():
                return await self._run(action, thread, agent, lease)
            case NoteInterruption():
                why = "the worker that ran it was stopped before it could tell how it ended"
                return await self._begin(thread, lease, *self._interrupted(thread, agent, action.step, why))
            case RefuseStep():
                return await self._begin(thread, lease, self._refused(action.step, action.error))
            case ChangeAgent():
                step = thread.state.current
                return await self._begin(
                    thread,
                    lease,
                    AgentChanged(id=keys.agent_changed(step), at=now, agent=action.agent, reason=action.reason),
                )
            case HandToHuman():
                return await self._begin(
                    thread,
                    lease,
                    HandedToHuman(
                        id=keys.handed_over(thread.version), at=now, limit=action.limit, reason=action.reason
                    ),
                )
        assert_never(action)

    async def _begin(self, thread: Thread, lease: Lease, *events: Event) -> Thread:
        """Append what may only happen if nobody spoke meanwhile. Raises ThreadMoved, LeaseLost."""
        return _grown(thread, await self._store.append(thread, *events, if_unmoved=True, lease=lease), *events)

    async def _note(self, thread: Thread, *events: Event) -> Thread:
        """Append what has happened, however long the store is away: nobody else knows it."""
        delay = 0.1
        while True:
            try:
                return _grown(thread, await self._store.append(thread, *events), *events)
            except StoreUnavailable as error:
                log.warning("fact_waits_for_store", thread=thread.id, events=[e.id for e in events], error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    def _timers_due(self, thread: Thread) -> list[Event]:
        timers = thread.timers
        if not timers:
            return []
        now = self._clock()
        return [TimerFired(id=keys.fired(str(key)), at=now, timer=str(key)) for key in due(timers, now)]

    # Telling people

    def _show(self, action: Action, thread: Thread) -> None:
        channel = self._channels.get(thread.place.channel)
        match action:
            case AskModel() if channel:
                channel.busy(thread.place, "is thinking…")
            case RunTool() if channel:
                channel.busy(thread.place, doing(action.tool))
            case _:
                pass

    def _at_rest(self, thread: Thread) -> None:
        if channel := self._channels.get(thread.place.channel) if thread.exists else None:
            channel.at_rest(thread.place, thread.turn)

    async def _say(self, action: Say, thread: Thread, agent: Agent, loaded: int) -> Thread:
        unsent = action.unsent
        place = unsent.place or thread.place
        if self._alerts and unsent.kind == "undelivered":
            place = self._alerts
        channel = self._channels.get(place.channel)
        attempt = unsent.failures + 1
        # What came up while we held the thread, nobody else can have sent.
        since = thread.events[unsent.event].at if unsent.event < loaded or unsent.failures else None
        try:
            if channel is None:
                raise SendFailed(f"The channel {place.channel!r} is not set up in this process.", CHANNEL_RETRY_SECONDS)
            async with asyncio.timeout(agent.limits.send_seconds):
                message = outgoing(thread, unsent)
                so_far = thread.events[: unsent.event + 1]
                if isinstance(message, Undelivered) and place is self._alerts:
                    message = Notice(message.text)
                if place != thread.place:
                    so_far = so_far[-1:]  # what was said here is not for the people there
                receipt = await channel.send(
                    place, message, key=str(SendKey(thread.id, action.key)), since=since, so_far=so_far
                )
        except SentInPart as partly:
            return await self._note(
                thread,
                MessageSent(id=keys.sent(action.key), at=self._clock(), key=action.key, receipt=partly.receipt),
                *(
                    DeliveryFailed(
                        id=keys.came_back(action.key, number),
                        at=self._clock(),
                        key=action.key,
                        recipient=who,
                        error=why,
                    )
                    for number, (who, why) in enumerate(partly.refused.items())
                ),
            )
        except SendFailed as error:
            text, retry_after = str(error), error.retry_after_seconds
        except Exception as error:
            log.exception("send_failed", thread=thread.id, key=action.key)
            text, retry_after = f"{type(error).__name__}: {error}", min(2.0**attempt, RETRY_SECONDS_MAX)
        else:
            sent = MessageSent(
                id=keys.sent(action.key),
                at=self._clock(),
                key=action.key,
                receipt=receipt,
                place=channel.anchored(place, receipt) if place == thread.place else None,
            )
            return await self._note(thread, sent)
        now = self._clock()
        again = retry_after is not None and attempt < agent.limits.send_attempts
        # Also where the other side names a time: many who wait for the same second get there one at a time.
        backoff = min(2.0 ** (attempt - 1), RETRY_SECONDS_MAX) if attempt > 1 else 0.0
        return await self._note(
            thread,
            MessageFailed(
                id=keys.failed(action.key, attempt),
                at=now,
                key=action.key,
                attempt=attempt,
                error=text[:ERROR_CHARS_MAX],
                retry_at=now + timedelta(seconds=max(retry_after or 0, backoff)) if again else None,
                elsewhere=not again and not unsent.is_minor,
            ),
        )

    # Choosing

    async def _ask(self, thread: Thread, agent: Agent, context: Context, lease: Lease) -> Thread:
        prompt = Prompt(agent=agent, user=context.render(thread))
        at_version = thread.version
        try:
            answer = await self._model.answer(prompt)
        except ModelFailure as failure:
            now = self._clock()
            retry_at = None
            if failure.reason == "unavailable":
                delay = failure.retry_after_seconds or 2.0 * 4**thread.state.errors_in_row
                retry_at = now + timedelta(seconds=min(delay, RETRY_SECONDS_MAX))
            failed = ChoiceFailed(
                id=keys.choice_failed(at_version),
                at=now,
                reason=failure.reason,
                error=failure.error[:ERROR_CHARS_MAX],
                retry_at=retry_at,
                model=failure.model,
                usage=failure.usage,
            )
            return await self._note(thread, failed)
        chosen = self._chosen(thread, agent, answer.step, by="model").model_copy(
            update={"model": answer.model, "usage": answer.usage}
        )
        try:
            return await self._choose(thread, agent, lease, answer.step, chosen)
        except EventTooLarge as error:
            too_large = ChoiceFailed(
                id=keys.choice_failed(at_version),
                at=self._clock(),
                reason="invalid",
                error=f"The step is too large. {error}"[:ERROR_CHARS_MAX],
                model=answer.model,
                usage=answer.usage,
            )
            return await self._note(thread, too_large)
        except ThreadMoved as moved:
            # Somebody spoke while the model was thinking. Its answer is dropped; what it cost is not forgotten.
            outdated = ChoiceFailed(
                id=keys.choice_outdated(at_version),
                at=self._clock(),
                reason="outdated",
                model=answer.model,
                usage=answer.usage,
            )
            return await self._note(moved.thread, outdated)

    async def _choose(self, thread: Thread, agent: Agent, lease: Lease, step: Step, chosen: StepChosen) -> Thread:
        """Write the choice down. A tool that only looks, and needs nothing first, is started by that."""
        if (
            not isinstance(step, Tool)
            or agent.acts(step)
            or step.has_prepare
            or thread.holds(chosen.intent, chosen.arguments)
        ):
            return await self._begin(thread, lease, chosen)
        if channel := self._channels.get(thread.place.channel):
            channel.busy(thread.place, doing(step))
        thread = await self._begin(thread, lease, chosen.model_copy(update={"begun": True}))
        return await self._finish(thread.state.steps[chosen.step], step, thread, agent, {})

    def _chosen(self, thread: Thread, agent: Agent, step: Step, *, by: str, step_id: str = "") -> StepChosen:
        # Unique: it is appended only while the thread still has this many events.
        step_id = step_id or keys.step_at(thread.version)
        return StepChosen.model_validate(
            {
                "id": keys.chosen(step_id),
                "at": self._clock(),
                "step": step_id,
                "intent": step.intent_name(),
                "arguments": step.arguments,
                "effect": None if step.effect == "runs" else step.effect,
                "by": by,
                "acts": agent.acts(step),
                "closes": isinstance(step, RequestHumanInput) and step.options.format != "free_text",
                "until": step.until(self._clock()) if isinstance(step, LookAgain | SetReminder) else None,
            }
        )

    # Approving and running

    async def _request(self, action: RequestApproval, thread: Thread, agent: Agent, lease: Lease) -> Thread:
        try:
            facts = await self._prepare(action.tool, self._call(action.step, thread, agent, 1))
        except ToolError as error:
            return await self._begin(thread, lease, self._refused(action.step, str(error)))
        chosen, now = action.step.chosen, self._clock()
        wanted = self._wanted(chosen, action.tool, thread, agent, now)
        ruling = self._authority.rule(wanted)
        if ruling is None:
            where = f" in {wanted.scope}" if wanted.scope else ""
            nobody = (
                f"It needs an approval, and nobody may approve {chosen.intent}{where}: the team file has no policy."
            )
            return await self._begin(thread, lease, self._refused(action.step, nobody))
        grant = await self._authority.standing(wanted)
        if ruling.too_few and not grant:
            return await self._begin(thread, lease, self._refused(action.step, ruling.too_few))
        terms = ruling.terms
        if grant:
            terms = terms.model_copy(update={"standing": grant.id, "expires_at": grant.until})
        policy = terms.model_dump(mode="json", exclude_defaults=True)
        try:
            request = ApprovalRequested(
                id=keys.requested(chosen.step),
                at=now,
                step=chosen.step,
                digest=digest(thread.id, chosen, {}, {}),
                facts=facts,
                policy=policy,
                asks=self._elsewhere(ruling.asks, thread),
                then_asks=ruling.then_asks,
                approvers=ruling.approvers,
                editable=tuple(name for name in action.tool.editable if isinstance(chosen.arguments.get(name), str)),
            )
            # What is bound is what the log gives back: some characters and numbers are not kept as they were.
            stored = decode(encode(request))
        except EventTooLarge as error:
            return await self._begin(thread, lease, self._refused(action.step, f"Too large to be shown whole: {error}"))
        except ValueError as error:
            why = f"What was found out for the approval cannot be shown: {error}"
            return await self._begin(thread, lease, self._refused(action.step, why))
        assert isinstance(stored, ApprovalRequested)
        bound = digest(thread.id, chosen, stored.facts, stored.policy)
        requested = stored.model_copy(update={"digest": bound})
        return await self._begin(thread, lease, requested, *([_granted(requested, grant)] if grant else []))

    def _elsewhere(self, places: tuple[Place, ...], thread: Thread) -> tuple[Place, ...]:
        """Those at which the thread itself does not show it already."""
        channel = self._channels.get(thread.place.channel)
        return tuple(place for place in places if not (channel and channel.covers(thread.place, place)))

    def _wanted(self, chosen: StepChosen, tool: Tool, thread: Thread, agent: Agent, now: datetime) -> Wanted:
        behind, identified = words_behind(thread), self._authority.identified
        names = (names_of(person) | names_of(identified(person)) for person in behind.people)
        return Wanted(
            agent=agent.name,
            intent=chosen.intent,
            scope=tool.scope,
            at=now,
            requesters=tuple(sorted(frozenset().union(*names))),
            unproven=not behind.verified,
        )

    async def _run(self, action: RunTool, thread: Thread, agent: Agent, lease: Lease) -> Thread:
        step, tool = action.step, action.tool
        facts: Facts = {}
        if step.request:
            if not still_binds(thread.id, step.request):
                return await self._begin(thread, lease, self._refused(step, "It is not what was approved."))
            if step.status == "approved" and (why := await self._stands_no_more(step.request, tool, thread, agent)):
                return await self._begin(thread, lease, self._refused(step, why))
            facts = step.request.asked.facts
        elif must_be_approved(agent, thread, step, tool):
            return await self._begin(thread, lease, self._refused(step, "It needs an approval that it does not have."))
        else:
            try:
                facts = await self._prepare(tool, self._call(step, thread, agent, action.attempt))
            except ToolError as error:
                return await self._begin(thread, lease, self._refused(step, str(error)))
        thread = await self._begin(thread, lease, self._started(step.id, tool, attempt=action.attempt))
        return await self._finish(thread.state.steps[step.id], tool, thread, agent, facts)

    async def _stands_no_more(self, request: Request, tool: Tool, thread: Thread, agent: Agent) -> str:
        """Why its approval is good no longer; empty: it is. It may have lain for a while: a pause, no worker."""
        now = self._clock()
        if has_expired(request.terms, now):
            return "Its approval has expired before it began. Ask for a new one if it is still wanted."
        if request.terms.standing:
            grant = await self._authority.standing(self._wanted(request.chosen, tool, thread, agent, now))
            if grant is None or grant.id != request.terms.standing:
                return "The standing approval that approved it does not cover it any more."
        return ""

    def _started(self, step_id: str, tool: Tool, *, attempt: int) -> ToolStarted:
        return ToolStarted(
            id=keys.started(step_id, attempt),
            at=self._clock(),
            step=step_id,
            attempt=attempt,
            repeatable=tool.repeatable,
        )

    async def _finish(self, step: StepState, tool: Tool, thread: Thread, agent: Agent, facts: Facts) -> Thread:
        """Run the tool that was started, and note how it ended."""
        call = self._call(step, thread, agent, step.attempt, facts)
        try:
            async with asyncio.timeout(tool.timeout_seconds):
                outcome = await tool.run(call)
        except ToolError as error:
            return await self._note(thread, self._finished(step, error=str(error) or "It failed and does not say why."))
        except Exception as error:
            # The tool did not say that it left the world alone.
            why = _in_one_line(error, tool)
            log.exception("tool_failed", thread=thread.id, step=step.id, intent=step.chosen.intent)
            if tool.repeatable:
                return await self._note(thread, self._finished(step, error=why))
            return await self._note(thread, *self._interrupted(thread, agent, step, why))
        if isinstance(outcome, Wait):
            return await self._note(
                thread,
                ToolWaiting(
                    id=keys.waiting(step.id, step.attempt),
                    at=self._clock(),
                    step=step.id,
                    attempt=step.attempt,
                    until=self._clock() + timedelta(seconds=outcome.seconds),
                    note=outcome.note[:ERROR_CHARS_MAX],
                    shown=True,
                ),
            )
        return await self._note(thread, self._finished(step, result=outcome))

    async def _prepare(self, tool: Tool, call: Call) -> Facts:
        try:
            async with asyncio.timeout(tool.timeout_seconds):
                return await tool.prepare(call)
        except ToolError:
            raise
        except Exception as error:
            log.exception("prepare_failed", thread=call.thread_id, key=call.key)
            raise ToolError(_in_one_line(error, tool)) from error

    def _call(self, step: StepState, thread: Thread, agent: Agent, attempt: int, facts: Facts | None = None) -> Call:
        return Call(
            thread_id=thread.id,
            key=f"{thread.id}/{step.id}",
            attempt=attempt,
            now=self._clock(),
            requested_by=requester(thread.events),
            facts=facts or {},
            resources=agent.resources_of(step.chosen.intent),
        )

    def _finished(self, step: StepState, *, result: JsonValue = None, error: str = "") -> ToolFinished:
        at = self._clock()
        event_id = keys.finished(step.id)
        try:
            event = ToolFinished(id=event_id, at=at, step=step.id, result=result, error=error[:ERROR_CHARS_MAX])
            size = len(encode(event))
        except ValueError as problem:
            kept = f"It was done, but its result could not be kept: {problem}"
            return ToolFinished(id=event_id, at=at, step=step.id, result=kept[:ERROR_CHARS_MAX])
        if size <= RESULT_BYTES_MAX:
            return event
        kept = f"It was done; its result of {size:,} bytes is over the limit of {RESULT_BYTES_MAX:,} and was dropped."
        return ToolFinished(id=event_id, at=at, step=step.id, result=kept)

    def _refused(self, step: StepState, error: str) -> StepRefused:
        return StepRefused(id=keys.refused(step.id), at=self._clock(), step=step.id, error=error[:ERROR_CHARS_MAX])

    def _interrupted(self, thread: Thread, agent: Agent, step: StepState, why: str) -> tuple[Event, Event]:
        # Whoever notes it, and whenever, it is the same question.
        question = self._chosen(
            thread, agent, question_of_outcome(step, why), by="code", step_id=keys.question_about(step.id)
        )
        noted = ToolInterrupted(id=keys.interrupted(step.id), at=self._clock(), step=step.id, why=why)
        return noted, question

    def _without_agent(self, thread: Thread) -> Action | None:
        """Nobody here can go on with it: people are told so, and what else the outbox holds."""
        state = thread.state
        if not thread.exists or state.unreadable:
            return None
        if not state.news or state.paused:
            return say_next(thread)
        reason = f"There is no agent {thread.agent!r} here; known are {', '.join(self._roster) or 'none'}."
        return say_next(thread) or HandToHuman("agent", reason)


def _granted(request: ApprovalRequested, grant: StandingGranted) -> ApprovalDecided:
    return ApprovalDecided(
        id=keys.decided_by_standing_approval(request.step),
        at=request.at,
        step=request.step,
        digest=request.digest,
        approved=True,
        by=grant.by,
        groups=grant.groups,
        comment=grant.reason,
        proof=f"standing approval {grant.id}, until {instant(grant.until)}",
        standing=grant.id,
    )


def doing(tool: Tool) -> str:
    return f"{tool.doing or f'is at {tool.intent_name()}'}…"


def _grown(before: Thread, after: Thread, *events: Event) -> Thread:
    """Assert that our events were appended: otherwise the loop would repeat them for ever."""
    assert after.version > before.version, f"{[event.id for event in events]} changed nothing in thread {before.id}"
    return after


def _in_one_line(error: Exception, tool: Tool) -> str:
    if isinstance(error, TimeoutError):
        return f"It took longer than {tool.timeout_seconds:g} s."
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:ERROR_CHARS_MAX]
