"""Running a tool: the last check of its approval, the start in the log, the run, and how it ended.

The start is durable before the tool begins. A tool that did not say how it ended, and may not be repeated, is never run
again by guess: people are asked. Everything that goes wrong in a tool ends here as an event.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from pydantic import JsonValue

from agent.decide import RunTool, must_be_approved, question_of_outcome
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.perform.wanted import wanted_for
from agent.steps import Call, Facts, Tool, ToolError, Wait
from store import keys
from store.authority.binding import still_binds
from store.authority.terms import has_expired
from store.codec import encode
from store.events import Event, StepRefused, ToolFinished, ToolInterrupted, ToolStarted, ToolWaiting
from store.state import Request, StepState

RESULT_BYTES_MAX = 100_000
"""What one tool may answer. A larger result is dropped, and the model told so."""

log = structlog.get_logger(__name__)


def doing(tool: Tool) -> str:
    """What people are shown meanwhile, after the agent's name."""
    return f"{tool.doing or f'is at {tool.intent_name()}'}…"


async def run(turn: Turn, action: RunTool) -> None:
    step, tool = action.step, action.tool
    try:
        facts = await _cleared(turn, action)
    except ToolError as error:
        await turn.begin(refused(turn, step, str(error)))
        return
    await turn.begin(
        ToolStarted(
            id=keys.started(step.id, action.attempt),
            at=turn.now(),
            step=step.id,
            attempt=action.attempt,
            repeatable=tool.repeatable,
        )
    )
    await finish(turn, turn.thread.state.steps[step.id], tool, facts)


async def _cleared(turn: Turn, action: RunTool) -> Facts:
    """The facts to run with: those that were approved, or fresh ones. Raises ToolError where it may not run."""
    step, tool = action.step, action.tool
    if step.request is None:
        if must_be_approved(turn.agent, turn.thread, step, tool):
            raise ToolError("It needs an approval that it does not have.")
        return await prepare(turn, tool, turn.call(step, action.attempt))
    if not still_binds(turn.thread.id, step.request):
        raise ToolError("It is not what was approved.")
    if step.status == "approved":
        await _still_stands(turn, step.request, tool)
    return step.request.asked.facts


async def _still_stands(turn: Turn, request: Request, tool: Tool) -> None:
    """An approval may have lain for a while: a pause, no worker. Raises ToolError where it is good no longer."""
    now = turn.now()
    if has_expired(request.terms, now):
        raise ToolError("Its approval has expired before it began. Ask for a new one if it is still wanted.")
    if request.terms.standing:
        grant = await turn.services.authority.standing(wanted_for(turn, request.chosen, tool, now))
        if grant is None or grant.id != request.terms.standing:
            raise ToolError("The standing approval that approved it does not cover it any more.")


async def finish(turn: Turn, step: StepState, tool: Tool, facts: Facts) -> None:
    """Run the tool that was started, and note how it ended."""
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            outcome = await tool.run(turn.call(step, step.attempt, facts))
    except ToolError as error:
        await turn.note(_finished(turn, step, error=str(error) or "It failed and does not say why."))
    except Exception as error:
        # The tool did not say that it left the world alone.
        why = _in_one_line(error, tool)
        log.exception("tool_failed", thread=turn.thread.id, step=step.id, intent=step.chosen.intent)
        if tool.repeatable:
            await turn.note(_finished(turn, step, error=why))
        else:
            await turn.note(*interrupted(turn, step, why))
    else:
        await turn.note(
            _waiting(turn, step, outcome) if isinstance(outcome, Wait) else _finished(turn, step, result=outcome)
        )


async def prepare(turn: Turn, tool: Tool, call: Call) -> Facts:
    """What the call depends on. Raises ToolError."""
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            return await tool.prepare(call)
    except ToolError:
        raise
    except Exception as error:
        log.exception("prepare_failed", thread=turn.thread.id, key=call.key)
        raise ToolError(_in_one_line(error, tool)) from error


def refused(turn: Turn, step: StepState, error: str) -> StepRefused:
    return StepRefused(id=keys.refused(step.id), at=turn.now(), step=step.id, error=error[:ERROR_CHARS_MAX])


def interrupted(turn: Turn, step: StepState, why: str) -> tuple[Event, Event]:
    """That nobody knows how the step ended, and the question to people. Whichever worker notes it, it is the same."""
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


def _finished(turn: Turn, step: StepState, *, result: JsonValue = None, error: str = "") -> ToolFinished:
    at, event_id = turn.now(), keys.finished(step.id)
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


def _in_one_line(error: Exception, tool: Tool) -> str:
    if isinstance(error, TimeoutError):
        return f"It took longer than {tool.timeout_seconds:g} s."
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:ERROR_CHARS_MAX]
