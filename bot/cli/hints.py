"""Tells people at a terminal which command comes next for a thread, and after a decision what works on it."""

from __future__ import annotations

import sys

from bot.cli import console
from store.events import FeedbackGiven, StepChosen
from store.thread import Thread


def say_what_next(thread: Thread, *, decided: bool = False) -> None:
    """A hint for people; if stdout is not a terminal, only what a decision still needs."""
    if decided and thread.status == "working":
        print(f"A running `{console.program()} run` goes on with it; or give --wait, to work on it here.")
        return
    if not sys.stdout.isatty():
        return
    if thread.status in ("working", "waiting"):
        console.say(f"Next: `{console.program()} run` works on it; {console.program()} show {thread.id}")
    elif text := next_in_words(thread):
        console.say(text)
    if at := went_wrong_at(thread):
        console.say(f"For the evals: {console.program()} eval add {thread.id} --at {at} --wrong")


def next_in_words(thread: Thread) -> str:
    """The commands that a person may type next, a line each; empty: it is not a person's turn."""
    commands = "\n  or: ".join(next_commands(thread).values())
    return f"Next: {commands}" if commands else ""


def next_commands(thread: Thread) -> dict[str, str]:
    """What a person may type next, by the name of the command. Words in capitals are to be replaced."""
    program, pending = console.program(), thread.pending
    match thread.status:
        case "waiting_for_approval" if pending:
            same = f"{thread.id} --digest {pending.digest[:12]}"
            return {
                "approve": f"{program} approve {same}",
                "reject": f"{program} reject {same} --reason WHY",
            }
        case "waiting_for_answer" if thread.state.question:
            return {"answer": f"{program} answer {thread.id} TEXT"}
        case "paused" | "cancelled":
            return {"resume": f"{program} resume {thread.id}"}
        case "done" | "handed_to_human":
            return {"send": f"{program} send --thread {thread.id} TEXT"}
        case _:
            return {}


def went_wrong_at(thread: Thread) -> int:
    """How many events came before the choice of the model after which people were not helped; 0: there is none."""
    chosen = {e.step: n for n, e in enumerate(thread.events) if isinstance(e, StepChosen) and e.by == "model"}
    rated = {e.step: e.helpful for e in thread.events if isinstance(e, FeedbackGiven)}
    unhelpful = [chosen[step] for step, helpful in rated.items() if not helpful and step in chosen]
    if thread.state.handed_to_human:
        unhelpful.append(max(chosen.values(), default=0))
    return max(unhelpful, default=0)
