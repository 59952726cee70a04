"""Runs a tool: checks its approval a last time, records the start, runs it, and records the outcome.

The start is durable before the tool begins. If the outcome of a tool is unknown and it is not repeatable, people are
asked; it is never run again on a guess. Every error of a tool becomes an event here.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from pydantic import JsonValue

from agent.decide import RunTool, must_be_approved, question_of_outcome
from agent.definition import UnusableStep
from agent.perform.again import judge_again
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.steps import Call, Facts, OutcomeUnknown, Tool, ToolError, Wait
from store import keys
from store.authority.binding import still_binds
from store.base import LeaseLost, NotReplicated, ThreadMoved
from store.codec import encode
from store.events import (
    Event,
    HandedToHuman,
    StepRefused,
    ToolFinished,
    ToolInterrupted,
    ToolStarted,
    ToolWaiting,
)
from store.state import StepState
from store.text import instant

RESULT_BYTES_MAX = 100_000
"""The largest result of a tool. A larger one is dropped, and the model is told."""

log = structlog.get_logger(__name__)


def doing(tool: Tool) -> str:
    """What people see while the tool runs, after the agent's name."""
    return f"{tool.doing or f'is at {tool.intent_name()}'}…"


async def run(turn: Turn, action: RunTool) -> None:
    step, tool = action.step, action.tool
    try:
        facts, rules = await _facts_to_run_with(turn, action)
    except ToolError as error:
        await turn.begin(*_not_to_begin(turn, step, error))
        return
    started = ToolStarted(
        id=keys.started(step.id, step.starts + 1),
        at=turn.now(),
        step=step.id,
        attempt=action.attempt,
        repeatable=tool.repeatable,
        host=turn.services.host,
        rules=rules,
    )
    turn.starting = None if tool.repeatable else started
    try:
        await turn.begin(started, confirm=not tool.repeatable)
    except NotReplicated as error:
        turn.why_not_begun = str(error)
        await turn.refresh()
        why = f"It was not begun. {error}"
        event_id = keys.handed_over(turn.thread.number)
        await turn.begin(HandedToHuman(id=event_id, at=turn.now(), limit="not_replicated", reason=why))
        return
    if not _is_in_log(turn, started):
        raise ThreadMoved(turn.thread)  # Another worker has begun it, under the same id.
    await finish(turn, turn.thread.state.steps[step.id], tool, facts)


def _not_to_begin(turn: Turn, step: StepState, error: ToolError) -> tuple[Event, ...]:
    """What is recorded of a step that may not begin: of one that had begun before, people are asked how that ended."""
    if step.may_have_happened:
        return interrupted(turn, step, f"{what_is_known(turn, step)}; I cannot repeat it: {error}")
    return (refused_by_tool(turn, step, error),)


def _is_in_log(turn: Turn, started: ToolStarted) -> bool:
    """This start, and not that of another worker under the same id."""
    found = next((event for event in reversed(turn.thread.events) if event.id == started.id), None)
    return found == started


async def _facts_to_run_with(turn: Turn, action: RunTool) -> tuple[Facts, str]:
    """The facts to run with (the approved ones, or fresh ones), and the hash of the rules that allow it.

    Raises ToolError if the tool may not run.
    """
    step, tool = action.step, action.tool
    call = turn.call(step, action.attempt)
    if step.request is None:
        if must_be_approved(turn.agent, turn.thread, step, tool):
            raise ToolError("It needs approval and has none.")
        return await prepare(turn, tool, call), ""
    facts = step.request.asked.facts
    if step.status == "due":  # It goes on with what has begun while its approval held.
        if not still_binds(turn.thread.id, step.request):
            raise ToolError("It differs from what was approved.")
        return facts, ""
    return facts, await judge_again(turn, step.request, tool, call)


async def finish(turn: Turn, step: StepState, tool: Tool, facts: Facts) -> None:
    """Run a tool that was started, and record the outcome. Raises LeaseLost if it may not begin any more."""
    if not tool.repeatable and not turn.lease.is_good:
        # This machine stood still between the start and now, so somebody else may have been asked about it.
        turn.why_not_begun = "its machine stood still for so long that another worker may have taken over"
        await turn.refresh()
        raise LeaseLost(turn.thread.id)
    turn.starting = None
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            outcome = await _run(turn, tool, turn.call(step, step.attempt, facts))
    except LeaseLost:
        raise
    except ToolError as error:
        reason = str(error) or "It failed without giving a reason."
        if step.restarts and step.chosen.acts:
            # It tells of this try only: the one that was interrupted may have happened.
            why = f"it was interrupted, and of the try after that I know only: {reason}"
            await turn.note(*interrupted(turn, step, why))
        else:
            await turn.note(_finished(turn, step, error=reason, hint=error.hint))
    except Exception as error:
        # Only a ToolError guarantees that the tool changed nothing.
        why = _in_one_line(error, tool)
        log.exception("tool_failed", thread=turn.thread.id, step=step.id, intent=step.chosen.intent)
        if tool.acts:
            # Also if it could be repeated: chosen again it would be another call, under another key.
            found = await _found_again(turn, step, tool)
            await turn.note(*([found] if found else interrupted(turn, step, why)))
        else:
            await turn.note(_finished(turn, step, error=why))
    else:
        await turn.note(
            _waiting(turn, step, outcome) if isinstance(outcome, Wait) else _finished(turn, step, result=outcome)
        )


async def settle(turn: Turn, step: StepState) -> None:
    """Of a tool that was started and has no ending: what it finds of it, or a question to people."""
    try:
        tool = turn.agent.parse(step.chosen.intent, step.chosen.arguments)
    except UnusableStep:
        tool = None
    if isinstance(tool, Tool) and (found := await _found_again(turn, step, tool)):
        await turn.note(found)
        return
    await turn.begin(*interrupted(turn, step, what_is_known(turn, step)))


async def _found_again(turn: Turn, step: StepState, tool: Tool) -> Event | None:
    """The ending that the tool knows of; None: it knows none. A fact, whoever holds the lease by now."""
    facts = step.request.asked.facts if step.request else {}
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            found = await tool.found_again(turn.call(step, step.attempt, facts))
    except ToolError:
        return None  # Whatever it could not look at, people are asked.
    except Exception:
        log.exception("prepare_failed", thread=turn.thread.id, key=keys.call(turn.thread.id, step.id))
        return None
    return None if found is None else _finished(turn, step, result=found)


async def _run(turn: Turn, tool: Tool, call: Call) -> JsonValue | Wait:
    if not tool.repeatable:
        return await tool.run(call)
    with turn.may_be_broken_off():
        return await tool.run(call)


async def prepare(turn: Turn, tool: Tool, call: Call) -> Facts:
    """Look up what the call depends on. Raises ToolError, LeaseLost."""
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            with turn.may_be_broken_off():
                return await tool.prepare(call)
    except (ToolError, LeaseLost):
        raise
    except Exception as error:
        log.exception("prepare_failed", thread=turn.thread.id, key=call.key)
        raise ToolError(_in_one_line(error, tool)) from error


def refused(turn: Turn, step: StepState, error: str, *, hint: str = "") -> StepRefused:
    error, hint = error[:ERROR_CHARS_MAX], hint[:ERROR_CHARS_MAX]
    return StepRefused(id=keys.refused(step.id), at=turn.now(), step=step.id, error=error, hint=hint)


def refused_by_tool(turn: Turn, step: StepState, error: ToolError) -> StepRefused:
    told = {"unknown": error.unknown[:ERROR_CHARS_MAX]}
    return refused(turn, step, str(error), hint=error.hint).model_copy(update=told)


def what_is_known(turn: Turn, step: StepState) -> str:
    """Of a tool that was started, and has no ending. Its worker may be alive: only its silence is known."""
    where = f" on {step.host}" if step.host else ""
    if step.started_at is None:
        return "its worker has not been heard of since, and it may still be going on"
    silence = max((turn.now() - step.started_at).total_seconds(), 0)
    when = f"it began at {instant(step.started_at)}{where}"
    return f"{when}, nothing has been heard of it for {silence:.0f} s, and it may still be going on there"


def interrupted(turn: Turn, step: StepState, why: str) -> tuple[Event, Event]:
    """The record of the unknown outcome, and the question to people. The same, whichever worker writes them."""
    question = turn.chosen(question_of_outcome(step, why), by="code", step_id=keys.question_about(step.id))
    return ToolInterrupted(id=keys.interrupted(step.id), at=turn.now(), step=step.id, why=why), question


def _waiting(turn: Turn, step: StepState, wait: Wait) -> ToolWaiting:
    return ToolWaiting(
        id=keys.waiting(step.id, step.attempt),
        at=turn.now(),
        step=step.id,
        attempt=step.attempt,
        until=turn.now() + timedelta(seconds=wait.seconds),
        note=wait.note[:ERROR_CHARS_MAX],
        shown=True,
    )


def _finished(
    turn: Turn, step: StepState, *, result: JsonValue = None, error: str = "", hint: str = ""
) -> ToolFinished:
    at, event_id = turn.now(), keys.finished(step.id)
    error, hint = error[:ERROR_CHARS_MAX], hint[:ERROR_CHARS_MAX]
    try:
        event = ToolFinished(id=event_id, at=at, step=step.id, result=result, error=error, hint=hint)
        size = len(encode(event))
    except ValueError as problem:
        text = f"It was done, but its result could not be stored: {problem}"
        return ToolFinished(id=event_id, at=at, step=step.id, result=text[:ERROR_CHARS_MAX])
    if size <= RESULT_BYTES_MAX:
        return event
    text = f"It was done, but its result was dropped: {size:,} bytes; the limit is {RESULT_BYTES_MAX:,}."
    return ToolFinished(id=event_id, at=at, step=step.id, result=text)


def _in_one_line(error: Exception, tool: Tool) -> str:
    if isinstance(error, TimeoutError):
        return f"It took longer than {tool.timeout_seconds:g} s."
    words = " ".join(str(error).split())
    return (words if isinstance(error, OutcomeUnknown) else f"{type(error).__name__}: {words}")[:ERROR_CHARS_MAX]
