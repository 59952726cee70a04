"""Judges what an agent did in a case, from the log of its thread. Pure.

Every answer of the model has a fate: it was unreadable, a guard stopped it, it looked something up, it spoke, it waits
as a request, or it ran. A wrong call is told apart by its fate. One that reaches a card or runs fails the case,
whatever else was right; after one that a guard stopped, the model may still do the right thing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import JsonValue

from agent.evals.case import Case, Pattern
from store.choices import ChoiceFailed
from store.events import StepChosen
from store.state import StepState
from store.thread import Thread

Fate = Literal["unreadable", "outdated", "stopped", "looked", "spoke", "card", "ran"]
Kind = Literal["right", "detour", "stopped", "unreadable", "wrong_words", "wrong_card", "wrong_run", "failed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""From the best to the worst; `failed` says nothing of the model: the endpoint was away, or there is a bug here."""
WRONG_ACTIONS: frozenset[Kind] = frozenset({"wrong_card", "wrong_run"})


@dataclass(frozen=True, slots=True)
class Made:
    """An answer of the model, and what came of it."""

    intent: str
    """Empty: it was no usable step."""
    arguments: dict[str, JsonValue]
    fate: Fate
    words: str = ""
    """Of the guard that stopped it, or why it was unreadable."""
    acts: bool = False

    @property
    def has_effect(self) -> bool:
        return self.fate in ("looked", "spoke", "card", "ran")

    @property
    def in_words(self) -> str:
        if not self.intent:
            return f"nothing usable ({self.words})"
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.intent}({given})"


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind
    why: str = ""


def made_in(thread: Thread, since: int) -> list[Made]:
    """The model's answers among the events from this index on, in order."""
    found = []
    for event in thread.events[since:]:
        match event:
            case StepChosen(by="model"):
                found.append(_made(thread.state.steps[event.step]))
            case ChoiceFailed(reason="outdated"):
                found.append(Made("", {}, "outdated", event.error))
            case ChoiceFailed(reason="invalid" | "truncated" | "refused"):
                found.append(Made("", {}, "unreadable", event.error))
    return found


def _made(step: StepState) -> Made:
    fate, words = _fate(step)
    return Made(step.chosen.intent, step.chosen.arguments, fate, words, step.chosen.acts)


def _fate(step: StepState) -> tuple[Fate, str]:
    error = str(getattr(step.ended, "error", ""))
    if step.effect != "runs":
        return ("stopped", error) if error else ("spoke", "")
    if not step.chosen.acts:
        return ("stopped", error) if error and not step.attempt else ("looked", "")
    if step.request is not None:
        return ("ran" if step.attempt else "card"), error
    if error or not step.attempt:
        return "stopped", error
    return "ran", ""


def wrong(case: Case, made: Sequence[Made]) -> Verdict | None:
    """The first answer that fails the case, whatever else was right; None: there is none so far."""
    allowed = (*case.then, *case.may, *(act.waits_for for act in case.script if act.waits_for))
    for one in made:
        if not one.has_effect:
            continue
        kind: Kind = {"card": "wrong_card", "ran": "wrong_run"}.get(one.fate, "wrong_words")  # type: ignore[assignment]
        if any(_fits(pattern, one) for pattern in case.never):
            return Verdict(kind, f"never: {one.in_words}")
        if one.acts and not any(_fits(pattern, one) for pattern in allowed):
            return Verdict(kind, one.in_words)
    return None


def is_right(case: Case, made: Sequence[Made]) -> bool:
    """Whether the last answer is an acceptable end."""
    return bool(made) and made[-1].has_effect and any(_fits(pattern, made[-1]) for pattern in case.then)


def first_was_right(case: Case, made: Sequence[Made]) -> bool:
    """Whether the first answer that does more than look was acceptable, before any guard spoke."""
    first = next((one for one in made if one.fate not in ("looked", "outdated")), None)
    steps = (*case.then, *case.may, *(act.waits_for or act.after for act in case.script[:1]))
    return first is not None and first.has_effect and any(_fits(pattern, first) for pattern in steps if pattern)


def at_rest(case: Case, thread: Thread, made: Sequence[Made]) -> Verdict:
    """When it is people's turn, and the case has nothing more for them to do."""
    if found := wrong(case, made):
        return found
    if not case.then or is_right(case, made):
        return Verdict("right")
    stopped = [one for one in made if one.fate == "stopped"]
    last = next((one for one in reversed(made) if one.fate != "outdated"), None)
    if last is None:
        return Verdict("failed", f"the model was not asked; the thread is {thread.status}")
    if not last.has_effect:
        said = [pattern.stopped for pattern in case.then if pattern.stopped]
        if any(re.search(pattern, one.words, re.IGNORECASE) for pattern in said for one in stopped):
            return Verdict("right")
        kind: Kind = "unreadable" if last.fate == "unreadable" else "stopped"
        return Verdict(kind, f"{last.in_words}: {last.words}")
    # A call that people had rejected, say, and which waits once more.
    ends: dict[Fate, Kind] = {"looked": "detour", "card": "wrong_card", "ran": "wrong_run"}
    return Verdict(ends.get(last.fate, "wrong_words"), last.in_words)


def waits_as_scripted(pattern: Pattern, thread: Thread) -> bool:
    """Whether the call that waits for a decision is this one."""
    pending = thread.pending
    return pending is not None and pattern.fits(pending.chosen.intent, pending.chosen.arguments)


def last_fits(pattern: Pattern, made: Sequence[Made]) -> bool:
    return bool(made) and made[-1].has_effect and _fits(pattern, made[-1])


def _fits(pattern: Pattern, one: Made) -> bool:
    return pattern.fits(one.intent, one.arguments)
