"""What to do next, as a pure function of the thread: no I/O, no clock, no memory of its own.

`decide` is total: every log that can be reached has an answer, and None means that it is somebody else's turn. Start,
resume, retry and recovery after a crash are this one function on the same events. It is asked by `agent.loop` alone,
while its worker holds the thread, so a tool that was started and has no ending was interrupted, not merely slow.

Rules of order: send what people here have not been told; settle what was interrupted; read what people said before
beginning anything; then begin what was approved; then go on; then send what goes elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.definition import Agent, UnusableStep
from agent.openings import opening_step
from agent.steps import HandOver, Step, Tool, as_question
from store.events import ChoiceFailed, MessageReceived, StepChosen, StepRefused, ToolFinished, TriggerReceived
from store.outbox import Unsent
from store.state import StepState
from store.text import call_in_words, one_line
from store.thread import Thread

CALL_CHARS_MAX = 500
"""How much of a call a question repeats."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send what the outbox has under this key."""

    key: str
    unsent: Unsent


@dataclass(frozen=True, slots=True)
class AskModel:
    pass


@dataclass(frozen=True, slots=True)
class ChooseStep:
    """Code chose this step."""

    step: Step


@dataclass(frozen=True, slots=True)
class RequestApproval:
    step: StepState
    tool: Tool


@dataclass(frozen=True, slots=True)
class RunTool:
    step: StepState
    tool: Tool
    attempt: int


@dataclass(frozen=True, slots=True)
class NoteInterruption:
    """Write down that nobody knows how this tool ended, and ask a person."""

    step: StepState


@dataclass(frozen=True, slots=True)
class RefuseStep:
    step: StepState
    error: str


@dataclass(frozen=True, slots=True)
class ChangeAgent:
    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class HandToHuman:
    limit: str
    reason: str


Action = (
    Say | AskModel | ChooseStep | RequestApproval | RunTool | NoteInterruption | RefuseStep | ChangeAgent | HandToHuman
)


def decide(agent: Agent, thread: Thread) -> Action | None:
    """The one thing to do now, or None when it is a person's turn, a timer's, or nobody's."""
    if not thread.exists or thread.state.unreadable:
        return None
    # This thread's own place comes first: places elsewhere may be down.
    return say_next(thread, here=True) or _go_on(agent, thread) or say_next(thread)


def _go_on(agent: Agent, thread: Thread) -> Action | None:
    state = thread.state
    resting = state.paused or state.cancelled or state.handed_to_human
    if running := next(iter(thread.open_steps("running")), None):
        return _after_interruption(agent, thread, running, resting=resting)
    if resting:
        return None
    if state.news:
        return _think(agent, thread)
    if chosen := next(iter(thread.open_steps("chosen")), None):
        return _begin(agent, thread, chosen)
    if state.unread and not state.question:
        return _think(agent, thread)
    if ready := next(iter(thread.open_steps("approved", "due")), None):
        too_long = _too_long(agent, thread) if ready.status == "due" else None
        return too_long or _begin(agent, thread, ready)
    current = state.steps.get(state.current)
    if current and current.chosen.by == "model" and current.effect == "says":
        # The model is done: what code does after it, a test of production say, is the plan's to tell.
        step = agent.plan(thread)
        return _within_limits(agent, thread) or ChooseStep(step) if step else None
    return None


def say_next(thread: Thread, *, here: bool = False) -> Say | None:
    """The next message of the outbox that can be sent; `here`: at the thread's own place."""
    found = thread.state.outbox.next(thread.place, here=here)
    return Say(*found) if found else None


def _think(agent: Agent, thread: Thread) -> Action | None:
    state = thread.state
    if limit := _within_limits(agent, thread):
        return limit
    if state.retry_choice_at:
        return None
    step = opening_step(thread) or agent.plan(thread)
    return ChooseStep(step) if step else AskModel()


def _within_limits(agent: Agent, thread: Thread) -> HandToHuman | None:
    state, limits = thread.state, agent.limits
    if state.errors_in_row >= limits.errors_in_row:
        return HandToHuman(
            "errors_in_row",
            f"{state.errors_in_row} errors came one after the other. The last one: {_last_error(thread)}",
        )
    if state.steps_in_turn >= limits.steps_per_turn:
        return HandToHuman("steps_per_turn", f"{state.steps_in_turn} steps were taken and it is not done.")
    return _too_long(agent, thread)


def _too_long(agent: Agent, thread: Thread) -> HandToHuman | None:
    if thread.version < agent.limits.events_per_thread:
        return None
    reason = f"This thread holds {thread.version} events, which is its limit. Please open a new one."
    return HandToHuman("events_per_thread", reason)


def _last_error(thread: Thread) -> str:
    for event in reversed(thread.events):
        match event:
            case ToolFinished(error=error) | StepRefused(error=error) | ChoiceFailed(error=error) if error:
                return error[:500]
            case _:
                pass
    return "(no text)"


def must_be_approved(agent: Agent, thread: Thread, state: StepState, tool: Tool) -> bool:
    """What the tool itself says; and whatever acts and the model chose, where nobody whom we know has asked for it.

    That is a thread in which an unverified person wrote, or one that a schedule began and in which no verified person
    has written since.
    """
    if tool.needs_approval() or state.chosen.by == "person":
        return True  # what a person has changed was to be approved, and still is
    doubtful = thread.state.unverified or thread.state.unattended
    return doubtful and state.chosen.by != "code" and agent.acts(tool)


def _begin(agent: Agent, thread: Thread, state: StepState) -> Action:
    try:
        step = agent.parse(state.chosen.intent, state.chosen.arguments)
    except UnusableStep as error:
        return RefuseStep(state, str(error))
    match step:
        case HandOver():
            return ChangeAgent(step.agent, step.reason)
        case Tool() if state.status == "chosen" and must_be_approved(agent, thread, state, step):
            if _just_expired(thread, state):
                return RefuseStep(state, "Nobody decided on this in time. It is asked again once somebody writes here.")
            return RequestApproval(state, step)
        case Tool():
            return RunTool(state, step, state.attempt + 1)
        case _:
            return RefuseStep(state, f"{state.chosen.intent!r} is not something that can be run.")


def _just_expired(thread: Thread, state: StepState) -> bool:
    """The same call was asked for, nobody decided, and nobody has spoken since: to ask again would go on for ever."""
    for event in reversed(thread.events):
        match event:
            case MessageReceived() | TriggerReceived():
                return False
            case StepChosen() if event.step != state.id:
                known = thread.state.steps[event.step]
                same = (event.intent, event.arguments) == (state.chosen.intent, state.chosen.arguments)
                if known.status == "expired" and same:
                    return True
            case _:
                pass
    return False


def _after_interruption(agent: Agent, thread: Thread, state: StepState, *, resting: bool) -> Action | None:
    """The tool was started and never ended: its worker died, or gave up waiting for it."""
    if state.repeatable:
        if resting:
            return None
        if state.restarts + 1 < agent.limits.tool_attempts:
            begin = _begin(agent, thread, state)
            if isinstance(begin, RunTool) and begin.tool.repeatable:
                return begin
        return RefuseStep(state, f"{state.chosen.intent} was interrupted {state.restarts + 1} times.")
    return NoteInterruption(state)


def question_of_outcome(state: StepState, why: str) -> Step:
    """What a person is asked when nobody knows whether a tool did its work."""
    call = one_line(call_in_words(state.chosen.intent, state.chosen.arguments), CALL_CHARS_MAX)
    return as_question(
        f"I was interrupted while {call} was under way. Did it happen?",
        f"I started it and do not know how it ended ({why}), so I will not start it again by guess. "
        "Please look, and tell me whether it happened.",
        yes_no=True,
        urgent=True,
    )
