"""What to do next, as a pure function of the thread: no I/O, no clock, no memory of its own.

`decide` is total: it has an answer for every reachable log, and None means that it is somebody else's turn. Start,
resume, retry and crash recovery are this one function on the same events. Only `agent.loop` calls it, while its worker
holds the thread; so a tool that was started and has no ending was interrupted and is not merely slow.

The order: read what has arrived; send the messages for this thread's place; settle interrupted tools; request what a
person edited; read new messages before beginning anything; begin what was approved; continue; send the messages for
other places.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.asked_before import answered_already
from agent.definition import Agent, UnusableStep
from agent.naming import in_words, instead_of_insisting, unnamed
from agent.openings import opening_step
from agent.speech.stopping import ended_since_stop
from agent.steps import DoneForNow, HandOver, NothingToDo, Step, Tool, as_question
from store.arrivals import Arrived
from store.authority.words import words_behind
from store.choices import ChoiceFailed
from store.events import StepRefused, ThreadUnserved, ToolFinished
from store.keys import MessageKey
from store.outbox import Unsent
from store.repeats import begun_before, in_place_of_unknown
from store.state import StepState
from store.text import call_in_words, instant, one_line
from store.thread import Thread

CALL_CHARS_MAX = 500
"""The longest call that a question quotes."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send the outbox message with this key."""

    key: str
    unsent: Unsent


@dataclass(frozen=True, slots=True)
class ReadArrival:
    """Look up what it takes to read this message or click, and append what it means."""

    arrived: Arrived


@dataclass(frozen=True, slots=True)
class AskModel:
    pass


@dataclass(frozen=True, slots=True)
class ChooseStep:
    """Write down a step that code chose."""

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
    """Write down that the outcome of this tool is unknown, and ask a person."""

    step: StepState


@dataclass(frozen=True, slots=True)
class RefuseStep:
    step: StepState
    error: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CannotServe:
    """This worker does not know what is needed here; another one may, of a newer version."""

    why: str
    step: StepState | None = None
    """The step that it cannot begin."""
    error: str = ""
    """Why that step is refused if no worker can begin it; empty: it waits for one that can."""
    arrived: Arrived | None = None
    """What has arrived and it cannot read."""

    @property
    def what(self) -> str:
        """Tells it from other things in the thread that cannot be served."""
        return self.arrived.id if self.arrived else self.why


@dataclass(frozen=True, slots=True)
class ChangeAgent:
    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class HandToHuman:
    limit: str
    reason: str


Action = (
    Say
    | ReadArrival
    | AskModel
    | ChooseStep
    | RequestApproval
    | RunTool
    | NoteInterruption
    | RefuseStep
    | CannotServe
    | ChangeAgent
    | HandToHuman
)


def decide(agent: Agent, thread: Thread) -> Action | None:
    """The one thing to do now; None: it is a person's turn, a timer's, or nobody's."""
    if not thread.exists or thread.state.unreadable:
        return decide_without_agent(thread)
    if arrived := thread.arrived:
        return ReadArrival(arrived)  # It may be about anything that would be done next.
    # Other places may be down; do not let them delay this thread.
    return say_next(thread, here=True) or _continue(agent, thread) or say_next(thread)


def decide_without_agent(thread: Thread) -> Action | None:
    """The action for a thread whose agent, or one of whose events, is unknown here."""
    state = thread.state
    if not thread.exists:
        return None
    if state.unreadable:
        # What its messages say may depend on the unknown event; but for ours that nobody serves it.
        unserved = (MessageKey(e.id, "notice") for e in thread.events if isinstance(e, ThreadUnserved))
        found = next(((str(key), unsent) for key in unserved if (unsent := state.outbox.get(str(key)))), None)
        can_be_sent = found and not found[1].retry_at
        return Say(*found) if found and can_be_sent else CannotServe("A newer version of me wrote to this thread.")
    # A call that runs nowhere any more is to be asked about, also in a thread that is stopped.
    waits = bool(thread.open_steps("running")) or thread.turn == "agent"
    return say_next(thread) or (CannotServe(f"No worker here knows the agent {thread.agent!r}.") if waits else None)


def _continue(agent: Agent, thread: Thread) -> Action | None:
    state = thread.state
    stopped = state.paused or state.cancelled or state.handed_to_human
    if running := next(iter(thread.open_steps("running")), None):
        return _after_interruption(agent, thread, running, stopped=stopped)
    if stopped:
        return None
    if edit := state.open_edit:
        # First, because nobody can decide until then. It begins nothing: people decide on it.
        return _begin(agent, thread, edit)
    if state.held_back:
        return _follow_what_has_begun(agent, thread)
    if state.news:
        return _choose(agent, thread)
    if chosen := next(iter(thread.open_steps("chosen")), None):
        return _begin(agent, thread, chosen)
    if state.unanswered:
        return _choose(agent, thread)
    if ready := next(iter(thread.open_steps("approved", "due")), None):
        if state.unread:
            return _choose(
                agent, thread
            )  # Maybe they take it back: not even a question of code's own goes before that.
        too_long = _too_long(agent, thread) if ready.status == "due" else None
        return too_long or _begin(agent, thread, ready)
    current = state.steps.get(state.current)
    if current and current.chosen.by == "model" and current.effect == "says":
        # The model is done. The plan may add steps, such as testing production.
        step = agent.plan(thread)
        return _limit_reached(agent, thread) or ChooseStep(step) if step else None
    return None


def _follow_what_has_begun(agent: Agent, thread: Thread) -> Action | None:
    """And begin nothing that acts: somebody may have forbidden it, in what nobody here can read."""
    begun = [step for step in thread.open_steps("due", "chosen") if step.status == "due" or not step.chosen.acts]
    if begun:
        return _begin(agent, thread, begun[0])
    step = agent.plan(thread) if thread.state.news else None
    return _limit_reached(agent, thread) or ChooseStep(step) if isinstance(step, Tool) and step.follows else None


def say_next(thread: Thread, *, here: bool = False) -> Say | None:
    """The next message of the outbox that can be sent; `here`: at the thread's own place."""
    found = thread.state.outbox.next(thread.place, here=here)
    return Say(*found) if found else None


def _choose(agent: Agent, thread: Thread) -> Action | None:
    state = thread.state
    if step := instead_of_insisting(agent, thread):
        return ChooseStep(step)  # Before the limit of errors: who only said thanks must not get a report of them.
    if limit := _limit_reached(agent, thread):
        return limit
    if state.stopped:
        return ChooseStep(_after_stop(agent, thread))
    if state.retry_choice_at:
        return None
    step = opening_step(thread) or agent.plan(thread)
    return ChooseStep(step) if step else AskModel()


def _after_stop(agent: Agent, thread: Thread) -> Step:
    """What had begun has moved on since people stopped the agent: follow it to its end, and tell them how it ended."""
    step = agent.plan(thread)
    if isinstance(step, Tool) and step.follows:
        return step
    following = [name for name, kind in agent.all_steps.items() if issubclass(kind, Tool) and kind.follows]
    told = ended_since_stop(thread, following)
    return DoneForNow(message=told) if told else NothingToDo()


def _limit_reached(agent: Agent, thread: Thread) -> HandToHuman | None:
    state, limits = thread.state, agent.limits
    if state.errors_in_row >= limits.errors_in_row:
        return HandToHuman(
            "errors_in_row",
            f"There were {state.errors_in_row} errors in a row. The last one: {_last_error(thread)}",
        )
    if state.unavailable_since and state.unavailable_seconds >= limits.unavailable_seconds:
        return HandToHuman(
            "unavailable_seconds",
            f"The model has been unavailable since {instant(state.unavailable_since)}. The last error: "
            f"{_last_error(thread).rstrip('.')}. I can go on once it answers; `bot doctor` says whether it does.",
        )
    if state.steps_in_turn >= limits.steps_per_turn:
        return HandToHuman("steps_per_turn", f"I took {state.steps_in_turn} steps and am not done.")
    return _too_long(agent, thread)


def _too_long(agent: Agent, thread: Thread) -> HandToHuman | None:
    if thread.version < agent.limits.events_per_thread:
        return None
    reason = f"This thread has reached its limit of {thread.version} events. Please start a new one."
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
    """Whether the call waits for an approval: the tool says so, a rule names it, it has begun before in this turn, or
    doubtful words led to it.

    If nobody vouches for one of these words, every call that acts and that the model chose needs approval. What only
    looks never does.
    """
    if state.chosen.by == "person":
        return True  # A person can edit only calls that need approval.
    if not tool.acts:
        return False
    if tool.needs_approval() or agent.named_by_rule(tool):
        return True
    if state.chosen.by == "code":
        return False
    return begun_before(thread, state) is not None or words_behind(thread, state.id).doubtful


def _begin(agent: Agent, thread: Thread, state: StepState) -> Action:
    try:
        step = agent.parse(state.chosen.intent, state.chosen.arguments)
    except UnusableStep as error:
        # It was valid for whoever chose it: another version, which may still run. A person's edit was never checked.
        intent, is_known = state.chosen.intent, state.chosen.intent in agent.all_steps
        if state.status == "chosen" and state.chosen.by == "person" and is_known:
            return RefuseStep(state, str(error))
        if state.status == "approved" and is_known:
            changed = f"It was approved, and not run: {intent} has changed since. It can be asked for anew."
            return CannotServe(f"{intent} has changed since it was approved.", state, changed)
        return CannotServe(_not_runnable(agent, intent), state, str(error) if state.status == "chosen" else "")
    match step:
        case HandOver():
            return ChangeAgent(step.agent, step.reason)
        case Tool() if step.by_code and state.chosen.by != "code":  # Of a version that let the model choose it.
            return RefuseStep(state, f"Only code chooses {state.chosen.intent}.")
        case Tool() if unknown := _taken_in_place_of(thread, state, step):
            why = f"There is no {one_line(unknown, 60)!r}, and nobody has said what they mean instead: ask them."
            return RefuseStep(state, why)
        case Tool() if state.status == "chosen" and (missing := unnamed(thread, state, step)):
            return RefuseStep(state, *in_words(thread, state, missing))
        case Tool() if state.status == "chosen" and must_be_approved(agent, thread, state, step):
            if why := answered_already(thread, state, step):
                return RefuseStep(state, why)
            return RequestApproval(state, step)
        case Tool():
            return RunTool(state, step, state.attempt + 1)
        case _:
            return RefuseStep(state, f"{state.chosen.intent!r} cannot be run.")


def _taken_in_place_of(thread: Thread, state: StepState, tool: Tool) -> str:
    """What people named and is not there, where the model takes something else by itself; empty: it does not."""
    return in_place_of_unknown(thread, state, tool.after_refusal) if tool.acts and state.status == "chosen" else ""


def _not_runnable(agent: Agent, intent: str) -> str:
    """What people are told of a step that no worker can begin: also when no newer version will ever come."""
    why = f"No worker here can run {intent}."
    if intent in agent.all_steps:
        return why
    return f"{why} If that step no longer exists, tell me that you do not want it any more, and ask for it anew."


def _after_interruption(agent: Agent, thread: Thread, state: StepState, *, stopped: bool) -> Action | None:
    """The tool has no recorded ending: its worker died, or gave up waiting for it."""
    if state.repeatable:
        if stopped and not (thread.state.cancelled and state.may_have_happened):
            return None  # It is repeated once it may be: in a cancelled thread never.
        if not (stopped or state.abandoned) and state.restarts + 1 < agent.limits.tool_attempts:
            begin = _begin(agent, thread, state)
            if isinstance(begin, CannotServe) or (isinstance(begin, RunTool) and begin.tool.repeatable):
                return begin
        if not state.may_have_happened:
            return RefuseStep(state, f"{state.chosen.intent} was interrupted {state.restarts + 1} times.")
    return NoteInterruption(state)


def question_of_outcome(state: StepState, why: str) -> Step:
    """The question to people when the outcome of a tool is unknown."""
    call = one_line(call_in_words(state.chosen.intent, state.chosen.arguments), CALL_CHARS_MAX)
    return as_question(
        f"I do not know how {call} ended. Did it happen?",
        f"What I know: {why.rstrip('.')}. I will not start it again. Please check, and tell me whether it happened.",
        yes_no=True,
        urgent=True,
    )
