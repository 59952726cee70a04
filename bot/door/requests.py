"""A request from outside: a thread with a caller where other threads have an agent that thinks.

Its agent is one whose plan chooses everything, by code; no model is ever asked. The plan first looks up what the
request is about, then chooses the one call that people approve. To run that call is to give the caller its yes. A no,
and an expiry, go to the caller by another call, which code chooses too. So a request from outside has the log, the
cards, the terms, the ladder, the standing approvals and the recovery of any other, and nothing here judges anything.

A new kind of caller is a `Caller`: copy `bot.door.deployments`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, assert_never

from agent import NothingToDo, SendUpdate, Step, Thread, Tool, TriggerReceived, WithdrawRequest
from agent.speech.requests import WAYS
from store.events import ApprovalDecided, MessageReceived, StepRefused, ThreadForked, ToolFinished
from store.keys import OutsideId
from store.names import called
from store.state import NOT_BEGUN, OPEN, StepState
from store.text import one_line

NAMESPACE = "door"
"""Of the ids of its triggers. Nobody else can write any of these, whatever trigger they may send."""
ASKED, WITHDRAWN = "asked", "withdrawn"
WHY = "why"
"""The key of `data` that says why a request was withdrawn."""
WHY_CHARS_MAX = 500
_PREFIX = str(OutsideId(NAMESPACE, ""))
_ANSWERED = ("running", "waiting", "due", "finished", "failed", "interrupted", "rejected", "expired")
"""It is too late to withdraw it: whoever asked has been answered, or is just being answered."""

NO_REQUEST = "I only pass on requests from outside, and nobody has made one here."
A_COPY = "This is a copy of a request. It asks nobody, and whoever asked gets no answer from here."
TALK = (
    "Talk here as you like: I do not read it, and it decides nothing. The request above is decided by its buttons, its "
    "links or a command."
)


@dataclass(frozen=True, slots=True)
class Denial:
    why: Literal["rejected", "expired"]
    words: str
    """Who, by which way, and the reason that they gave; or that nobody decided in time."""


class Caller(Protocol):
    """Who asks, and by which calls it is served."""

    @property
    def looks(self) -> type[Tool]:
        """Looks up what the request is about."""

    @property
    def grants(self) -> type[Tool]:
        """The call that people approve. It always needs an approval, and repeating it does no harm."""

    @property
    def denies(self) -> type[Tool]:
        """Tells the caller that the answer is no."""

    def look(self, asked: TriggerReceived) -> Tool: ...

    def ask(self, asked: TriggerReceived, looked: StepState) -> Tool | str:
        """A string: why nobody is asked, in words for people."""

    def deny(self, asked: TriggerReceived, granting: StepState, denial: Denial) -> Tool: ...

    def told(self, asked: TriggerReceived, answer: StepState) -> str:
        """What people are told once the caller has its answer, or can have none."""

    def is_about(self, withdrawn: TriggerReceived, looked: StepState | None) -> bool:
        """Whether this withdrawal is meant for the request, and not for an earlier one of the same name."""


def plan_of(caller: Caller) -> Callable[[Thread], Step]:
    """The plan of the caller's agent."""

    def plan(thread: Thread) -> Step:
        return _next(caller, thread) or NothingToDo()

    return plan


def asked_in(thread: Thread) -> TriggerReceived | None:
    """What was asked; None: the thread holds no request."""
    return next(_ours(thread, ASKED), None)


def is_open(thread: Thread, caller: Caller) -> bool:
    """Whether it can still be withdrawn: whoever asked has not been answered yet."""
    granting = _last(thread, caller.grants)
    return asked_in(thread) is not None and (granting is None or granting.status in ("chosen", *NOT_BEGUN))


def _next(caller: Caller, thread: Thread) -> Step | None:
    """None: there is nothing to do."""
    asked = asked_in(thread)
    if asked is None:
        return _say(thread, NO_REQUEST)
    if any(isinstance(event, ThreadForked) for event in thread.events):
        return _say(thread, A_COPY)
    looked, granting, denying = (_last(thread, kind) for kind in (caller.looks, caller.grants, caller.denies))
    if denying:
        return _say(thread, caller.told(asked, denying)) if denying.status not in OPEN else _talk(thread)
    withdrawn = next((one for one in _ours(thread, WITHDRAWN) if caller.is_about(one, looked)), None)
    if withdrawn and (granting is None or granting.status not in _ANSWERED):
        return _withdraw(thread, granting, str(withdrawn.data.get(WHY, "")))
    if granting is None:
        return _before_asking(caller, thread, asked, looked)
    return _after_asking(caller, thread, asked, granting)


def _before_asking(caller: Caller, thread: Thread, asked: TriggerReceived, looked: StepState | None) -> Step | None:
    if looked is None or looked.status in ("superseded", "withdrawn", "cancelled"):
        return caller.look(asked)
    if looked.status in OPEN:
        return _talk(thread)
    if isinstance(looked.ended, ToolFinished) and not looked.ended.error:
        call = caller.ask(asked, looked)
        return _say(thread, call) if isinstance(call, str) else call
    if _spoken_since(thread, looked):
        return caller.look(asked)
    why = looked.ended.error if isinstance(looked.ended, ToolFinished | StepRefused) else "It was interrupted."
    return _say(thread, f"I cannot tell what was asked for, so I ask nobody. {why} Write here, and I look again.")


def _after_asking(caller: Caller, thread: Thread, asked: TriggerReceived, granting: StepState) -> Step | None:
    looked = _last(thread, caller.looks)
    match granting.status:
        case "chosen" | "requested" | "approved" | "running" | "waiting" | "due":
            return _talk(thread)
        case "rejected" | "expired":
            return caller.deny(asked, granting, _denial(granting))
        case "refused" if _expired_before_it_began(granting):
            return caller.deny(asked, granting, Denial("expired", "It was approved, and expired before it was told."))
        case "refused" if granting.attempt == 0:
            # It did not hold any more, or nobody could be asked.
            if granting.lapsed or _spoken_since(thread, granting):
                return _ask_again(caller, asked, looked)
            why = granting.ended.error if isinstance(granting.ended, StepRefused) else "It could not be shown."
            return _say(thread, f"Nobody was asked: {why} Once that is mended, write here, and I ask.")
        case "withdrawn" | "cancelled" | "superseded":
            return _ask_again(caller, asked, looked) if _spoken_since(thread, granting) else None
        case "finished" | "failed" | "interrupted" | "refused" | "complete" | "duplicate":
            return _say(thread, caller.told(asked, granting))
    assert_never(granting.status)


def _ask_again(caller: Caller, asked: TriggerReceived, looked: StepState | None) -> Step:
    call = caller.ask(asked, looked) if looked else caller.look(asked)
    return SendUpdate(message=call) if isinstance(call, str) else call


def _withdraw(thread: Thread, granting: StepState | None, why: str) -> Step | None:
    if granting and granting.status in NOT_BEGUN:
        return WithdrawRequest(reason=why)
    if granting and granting.status == "withdrawn":
        return None  # Its card says so.
    return _say(thread, f"The request is withdrawn. {why}")


def _denial(granting: StepState) -> Denial:
    decision = granting.request.decision if granting.request else None
    if decision is None:
        return Denial("expired", "Nobody decided in time.")
    return Denial("rejected", in_words((decision,)))


def in_words(votes: Sequence[ApprovalDecided]) -> str:
    """Who decided, by which way, and why, for whoever asked."""
    return " ".join(_vote(vote) for vote in votes)


def _vote(vote: ApprovalDecided) -> str:
    by = f"{'Approved' if vote.approved else 'Rejected'} by {called(vote.by)}"
    how = "a standing approval" if vote.standing else WAYS.get(vote.way, vote.way)
    why = one_line(vote.comment, WHY_CHARS_MAX)
    said = f"{by}{f' ({how})' if how else ''}{f': {why}' if why else ''}"
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _expired_before_it_began(granting: StepState) -> bool:
    until = granting.request.terms.expires_at if granting.request else None
    ended = granting.ended
    return granting.attempt == 0 and isinstance(ended, StepRefused) and until is not None and ended.at >= until


def _talk(thread: Thread) -> Step | None:
    """Said once to people who write while the request is open."""
    return _say(thread, TALK) if thread.state.unread else None


def _say(thread: Thread, text: str) -> Step | None:
    """Unless it was said already."""
    said = any(
        step.effect == "updates" and step.chosen.arguments.get("message") == text
        for step in thread.state.steps.values()
    )
    return None if said else SendUpdate(message=text)


def _last(thread: Thread, kind: type[Tool]) -> StepState | None:
    intent = kind.intent_name()
    return next((one for one in reversed(thread.state.steps.values()) if one.chosen.intent == intent), None)


def _spoken_since(thread: Thread, step: StepState) -> bool:
    """Whether a person has written since the step was chosen, and since it ended if an event says when."""
    for event in reversed(thread.events):
        if isinstance(event, MessageReceived):
            return True
        if event == step.ended or event == step.chosen:
            return False
    return False


def _ours(thread: Thread, name: str) -> Iterator[TriggerReceived]:
    """The triggers of this name that only the door can have written."""
    for event in thread.events:
        if isinstance(event, TriggerReceived) and event.name == name and event.id.startswith(_PREFIX):
            yield event
