"""Tells people at a terminal which command comes next for a thread, and after a decision what works on it."""

from __future__ import annotations

import sys

from bot.cli import console
from store.thread import Thread


def say_what_next(thread: Thread, *, decided: bool = False) -> None:
    """A hint for people; if stdout is not a terminal, only what a decision still needs."""
    if decided and thread.status == "working":
        print(f"A running `{console.program()} run` goes on with it; or give --wait, to work on it here.")
        return
    if not sys.stdout.isatty():
        return
    program, pending = console.program(), thread.pending
    match thread.status:
        case "waiting_for_approval" if pending:
            same = f"{thread.id} --digest {pending.digest[:12]}"
            console.say(f"Next: {program} approve {same}\n  or: {program} reject {same} --reason WHY")
        case "waiting_for_answer" if thread.state.question:
            console.say(f"Next: {program} answer {thread.id} TEXT")
        case "paused" | "cancelled":
            console.say(f"Next: {program} resume {thread.id}")
        case "working" | "waiting":
            console.say(f"Next: `{program} run` works on it; {program} show {thread.id}")
        case "done" | "handed_to_human":
            console.say(f"Next: {program} send --thread {thread.id} TEXT")
        case _:
            pass
