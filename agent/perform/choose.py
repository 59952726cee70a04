"""Chooses the next step: asks the model, and records the choice of the model or of code.

A read-only tool without preparation is started by the same append that records its choice. An answer of the model is
dropped if somebody wrote in the meantime; its cost is recorded.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from agent.model.base import Answer, ModelFailure, Prompt
from agent.perform.run import doing, finish
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.steps import Step, Tool
from store import keys
from store.base import ThreadMoved
from store.codec import EventTooLarge
from store.events import ChoiceFailed, StepChosen

RETRY_SECONDS_MAX = 600.0


async def ask(turn: Turn) -> None:
    """Ask the model for the next step, and record its choice."""
    version = turn.thread.version
    prompt = Prompt(agent=turn.agent, user=turn.context.render(turn.thread))
    try:
        with turn.may_be_broken_off():
            answer = await turn.services.model.answer(prompt)
    except ModelFailure as failure:
        await turn.note(_failed(turn, version, failure))
        return
    chosen = turn.chosen(answer.step, by="model").model_copy(update={"model": answer.model, "usage": answer.usage})
    try:
        await choose(turn, answer.step, chosen)
    except EventTooLarge as error:
        await turn.note(
            _dropped(turn, keys.choice_failed(version), "invalid", answer, f"The step is too large. {error}")
        )
    except ThreadMoved:
        await turn.note(_dropped(turn, keys.choice_outdated(version), "outdated", answer))


async def choose(turn: Turn, step: Step, chosen: StepChosen) -> None:
    """Raises ThreadMoved, LeaseLost, EventTooLarge."""
    duplicate = turn.thread.has_ongoing_call(chosen.intent, chosen.arguments)
    if not isinstance(step, Tool) or turn.agent.has_side_effects(step) or step.has_prepare or duplicate:
        await turn.begin(chosen)
        return
    turn.busy(doing(step))
    await turn.begin(chosen.model_copy(update={"begun": True}))
    await finish(turn, turn.thread.state.steps[chosen.step], step, {})


def _failed(turn: Turn, version: int, failure: ModelFailure) -> ChoiceFailed:
    now, retry_at = turn.now(), None
    if failure.reason == "unavailable":
        delay = failure.retry_after_seconds or 2.0 * 4**turn.thread.state.errors_in_row
        retry_at = now + timedelta(seconds=min(delay, RETRY_SECONDS_MAX))
    return ChoiceFailed(
        id=keys.choice_failed(version),
        at=now,
        reason=failure.reason,
        error=failure.error[:ERROR_CHARS_MAX],
        retry_at=retry_at,
        model=failure.model,
        usage=failure.usage,
    )


def _dropped(
    turn: Turn, event_id: str, reason: Literal["invalid", "outdated"], answer: Answer, error: str = ""
) -> ChoiceFailed:
    return ChoiceFailed(
        id=event_id,
        at=turn.now(),
        reason=reason,
        error=error[:ERROR_CHARS_MAX],
        model=answer.model,
        usage=answer.usage,
    )
