"""The part of the fold that follows a tool: started, waiting, ended, interrupted, or not begun after all.

The rules are those of `store.fold`, whose table names these functions.
"""

from __future__ import annotations

from store import keys
from store.events import StepRefused, ToolFinished, ToolInterrupted, ToolNotBegun, ToolStarted, ToolWaiting
from store.keys import MessageKey
from store.moves import (
    close_card,
    close_question,
    count_failure,
    end_progress,
    end_step,
    move_step,
    tell_of_ended_edit,
)
from store.state import OPEN, State, StepStatus


def tool_started(state: State, event: ToolStarted, index: int) -> None:
    step = state.steps.get(event.step)
    if step is None:
        return
    restarts = step.restarts + 1 if step.status == "running" else 0
    move_step(
        state,
        event.step,
        OPEN,
        status="running",
        attempt=event.attempt,
        restarts=restarts,
        repeatable=event.repeatable,
        begun_from=step.begun_from if step.status == "running" else step.status,
        host=event.host,
        started_at=event.at,
    )
    state.unserved = False


def tool_not_begun(state: State, event: ToolNotBegun, index: int) -> None:
    step = state.steps.get(event.step)
    # Ignore an earlier start, recorded late: the step was begun again since.
    if step is None or step.starts != event.start:
        return
    back = {"attempt": step.attempt - 1, "not_begun": step.not_begun + 1}
    if step.status == "running" and (state.cancelled or step.abandoned):
        end_step(state, step.id, "cancelled", {"running"}, index)
    elif move_step(state, event.step, {"running"}, status=step.begun_from, restarts=0, **back):
        pass
    elif step.attempt == 1 and move_step(state, event.step, {"interrupted"}, status="refused", ended=event, **back):
        # Another worker has asked people how it ended, who now know. Of a later attempt they do not: it has begun.
        if not step.abandoned:
            state.news_at = index
        _close_question_about(state, event.step, index)


def tool_waiting(state: State, event: ToolWaiting, index: int) -> None:
    step = state.steps.get(event.step)
    # Ignore an earlier attempt, recorded late by a worker that was presumed dead.
    if step is None or step.attempt != event.attempt:
        return
    first = event.shown and not step.progress_shown
    waits = {"status": "waiting", "restarts": 0, "until": event.until, "progress_shown": step.progress_shown or first}
    if step.abandoned:
        end_step(state, step.id, "cancelled", {"running"}, index)
        return
    if step.news_in == event.attempt:
        waits |= {"status": "due", "until": None}
    if move_step(state, step.id, {"running"}, **waits) and first:
        state.outbox.put(MessageKey(step.id, "progress"), "progress", index, step.id)


def tool_finished(state: State, event: ToolFinished, index: int) -> None:
    # Accepted after an interruption and while a later attempt waits, too: it is the one true ending of the step.
    done: StepStatus = "failed" if event.error else "finished"
    if move_step(state, event.step, {"running", "waiting", "due", "interrupted"}, status=done, ended=event):
        if not state.steps[event.step].abandoned:
            state.news_at = index
            state.errors_in_row = state.errors_in_row + 1 if event.error else 0
        end_progress(state, event.step, index)
        _close_question_about(state, event.step, index)


def tool_interrupted(state: State, event: ToolInterrupted, index: int) -> None:
    if move_step(state, event.step, {"running", "due"}, status="interrupted", ended=event):
        end_progress(state, event.step, index)


def step_refused(state: State, event: StepRefused, index: int) -> None:
    allowed: set[StepStatus] = {"chosen", "requested", "approved", "due", "running"}
    if not move_step(state, event.step, allowed, status="refused", ended=event):
        return
    close_card(state, event.step, index)
    end_progress(state, event.step, index)
    step = state.steps[event.step]
    if step.chosen.by == "person" and not step.request:
        tell_of_ended_edit(state, step, event.id, index)
    elif not step.abandoned:
        count_failure(state, index)


def _close_question_about(state: State, step_id: str, index: int) -> None:
    """People need not say any more how the step ended."""
    if state.question == keys.question_about(step_id):
        close_question(state, index)
