"""Chooses the next step: asks the model, and records the choice of the model or of code.

A read-only tool without preparation is started by the same append that records its choice.

If the thread has moved while the model was thinking, its answer is outdated: it is discarded, and its cost is recorded.
But an answer that only talks or looks stands although people wrote meanwhile; otherwise steady talk would keep the
agent from ever answering. It says how much it had read (`StepChosen.seen`), and the rest is read right after it.
What was clicked meanwhile is judged first: a click that comes to nothing outdates nothing.
"""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from typing import Literal

from agent.context.images import images_of, name_of_image
from agent.context.newest import newest_words
from agent.definition import Agent
from agent.model.base import Answer, Image, ModelFailure, Prompt
from agent.perform.listen import PeopleAreWriting, listening_seconds
from agent.perform.outage import FIRST_RETRY_SECONDS, RETRY_SECONDS_MAX, unavailable
from agent.perform.read import read_clicks
from agent.perform.run import doing, finish
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.steps import ShowTasks, Step, Tool
from store import keys
from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
from store.base import ThreadMoved
from store.choices import ChoiceFailed
from store.codec import EventTooLarge
from store.deliveries import DeliveryFailed
from store.events import (
    ApprovalDecided,
    Event,
    FeedbackGiven,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    StepRefused,
    TriggerReceived,
)
from store.images import data_url_of
from store.index import counted
from store.repeats import insists
from store.replies import ReplyDecidedNothing
from store.state import NOT_BEGUN
from store.thread import Thread

OUTDATED_IN_ROW_MAX = 2
"""After so many discarded answers, one that only talks or looks stands over whatever comes from outside."""
TASKS_MAX = 20
TALK = (
    *(MessageArrived, ArrivalDropped, MessageReceived, MessageEdited, MessageDeleted),
    *(ReplyDecidedNothing, AnswerOffered, WordsPlaced),
)
FROM_OUTSIDE = (*TALK, TriggerReceived, DeliveryFailed)
"""All else decides or begins something, or ends it: a decision, a pause, a step, a hand-over."""


async def ask(turn: Turn) -> None:
    """Ask the model for the next step, and record its choice. Raises PeopleAreWriting, ModelBusy, ModelAway."""
    if seconds := listening_seconds(turn.thread, turn.now()):
        raise PeopleAreWriting(seconds)
    asked = turn.thread
    prompt = Prompt(
        agent=turn.agent,
        user=turn.context().render(asked),
        images=_images(turn, asked),
        insists=insists(asked, turn.agent.after_refusal),
        newest=newest_words(asked),
        shortened=lambda chars_max: turn.context(chars_max).render(asked),
    )
    began = time.monotonic()
    try:
        with turn.may_be_broken_off():
            answer = await turn.services.model.answer(prompt)
        turn.model_seconds = time.monotonic() - began
    except ModelFailure as failure:
        turn.model_seconds = time.monotonic() - began
        is_away = failure.reason == "unavailable" and failure.concerns != "request"
        await turn.note(unavailable(turn, failure) if is_away else _failed(turn, asked.number, failure))
        return
    if why := _makes_no_sense(asked, turn.agent, answer.step):
        await turn.note(_dropped(turn, keys.choice_failed(asked.number), "invalid", answer, why))
        return
    try:
        await _record(turn, answer, asked)
    except EventTooLarge as error:
        event_id = keys.choice_failed(asked.number)
        await turn.note(_dropped(turn, event_id, "invalid", answer, f"The step is too large. {error}"))
    except ThreadMoved:
        await turn.note(_dropped(turn, keys.choice_outdated(asked.number), "outdated", answer))


def _images(turn: Turn, asked: Thread) -> tuple[Image, ...]:
    """Their contents are read only if the model looks at images."""
    return tuple(
        Image(name_of_image(one), functools.partial(data_url_of, turn.services.store, one.image))
        for one in images_of(asked)
    )


def _makes_no_sense(thread: Thread, agent: Agent, step: Step) -> str:
    """Why the answer would change nothing, for the model; empty: it is a step."""
    if isinstance(step, ShowTasks):
        return _unlistable(agent, step)
    if step.effect == "withdraws" and not thread.open_steps(*NOT_BEGUN):
        return "Nothing waits for an approval or is about to begin, so nothing can be withdrawn. Choose another step."
    return ""


def _unlistable(agent: Agent, step: ShowTasks) -> str:
    tools = [intent for intent, cls in agent.steps.items() if issubclass(cls, Tool)]
    if not 2 <= len(step.tasks) <= TASKS_MAX:
        return f"A list has 2 to {TASKS_MAX} tasks. Do what is to be done instead."
    unknown = next((task.does for task in step.tasks if task.does not in tools), "")
    return f"`does` must be one of {', '.join(tools)}, not {unknown[:100]!r}." if unknown else ""


async def _record(turn: Turn, answer: Answer, asked: Thread) -> None:
    """Record the answer to the prompt of this thread. Raises ThreadMoved (outdated), LeaseLost, EventTooLarge."""
    while True:
        try:
            return await choose(turn, answer.step, answer, asked)
        except ThreadMoved:
            await read_clicks(turn)
            if not _stands(turn, answer.step, asked):
                raise


def _stands(turn: Turn, step: Step, asked: Thread) -> bool:
    """Whether the answer still holds although the thread has moved.

    What acts never does where anything has come of that, nor what takes a request back. A tool with a preparation would
    not begin before the new words are read.
    """
    now = turn.thread
    if now.events[: asked.version] != asked.events:
        return False
    moved = [event for event in now.events[asked.version :] if not _came_to_nothing(event, now)]
    if step.acts or step.effect == "withdraws" or (isinstance(step, Tool) and step.has_prepare):
        return not moved
    harmless = TALK if now.state.outdated_in_row < OUTDATED_IN_ROW_MAX else FROM_OUTSIDE
    return all(isinstance(event, harmless) or _only_talks(event) for event in moved)


def _came_to_nothing(event: Event, now: Thread) -> bool:
    """Whether the model would choose the same without it: it does not see such an event, and nothing follows from it.

    What came of a click has events of its own.
    """
    match event:
        case ClickArrived():
            return event.id not in now.state.arrivals
        case ApprovalDecided():
            return not counted(now, event)
        case ClickRead() | FeedbackGiven():
            return True
        case _:
            return False


def _only_talks(event: Event) -> bool:
    return isinstance(event, ClickArrived) and event.act in ("answers", "rates")


async def choose(turn: Turn, step: Step, answer: Answer | None = None, asked: Thread | None = None) -> None:
    """`answer`: of the model, to the prompt of the thread `asked`. None: code chooses.

    Raises ThreadMoved, LeaseLost, EventTooLarge.
    """
    step = _as_it_waits(turn, step)
    seen = asked.version if asked and turn.thread.version > asked.version else 0
    begun = _begins_at_once(turn, step)
    # The step's id holds the length of the log, so it is chosen anew where the thread has moved.
    chosen = turn.chosen(step, by="model" if answer else "code", answer=answer, seen=seen, begun=begun)
    if answer and answer.doubt[0]:
        why, hint = answer.doubt
        refusal = StepRefused(id=keys.refused(chosen.step), at=chosen.at, step=chosen.step, error=why, hint=hint)
        await turn.begin(chosen, refusal)
    elif isinstance(step, Tool) and begun:
        turn.busy(doing(step))
        await turn.begin(chosen)
        await finish(turn, turn.thread.state.steps[chosen.step], step, {})
    else:
        await turn.begin(chosen)


def _as_it_waits(turn: Turn, step: Step) -> Step:
    """The same call as the one that waits for a decision, in the words of that one: the log compares words."""
    waiting = turn.thread.pending
    if waiting is None or not isinstance(step, Tool) or waiting.chosen.intent != step.intent_name():
        return step
    same = step.is_same(waiting.chosen.arguments, waiting.asked.facts)
    return turn.agent.parse(waiting.chosen.intent, waiting.chosen.arguments) if same else step


def _begins_at_once(turn: Turn, step: Step) -> bool:
    if not isinstance(step, Tool) or step.acts or step.has_prepare:
        return False
    return not turn.thread.has_ongoing_call(step.intent_name(), step.arguments)


def _failed(turn: Turn, number: int, failure: ModelFailure) -> ChoiceFailed:
    now, retry_at = turn.now(), None
    if failure.reason == "unavailable":
        # The endpoint refused this request for itself: the model cannot know better, but another time may help.
        delay = failure.retry_after_seconds or FIRST_RETRY_SECONDS * 4**turn.thread.state.errors_in_row
        retry_at = now + timedelta(seconds=min(delay, RETRY_SECONDS_MAX))
    return ChoiceFailed(
        id=keys.choice_failed(number),
        at=now,
        reason=failure.reason,
        error=failure.error[:ERROR_CHARS_MAX],
        answer=failure.answer,
        hint=failure.hint,
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
