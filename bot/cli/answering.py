"""Ends a command that changed a thread: prints the result, and what to type next.

It changes nothing itself. Threads are rendered by `bot.views` and `bot.cli.console`.
"""

from __future__ import annotations

import asyncio
import sys

from bot.app import App, model_of
from bot.cli import console
from bot.cli.session import Session, working
from bot.views.document import document
from bot.views.transcript import Entry
from store.base import StoreUnavailable
from store.thread import Thread
from store.values import Person


async def report(bot: App, thread: Thread, me: Person, *, wait: bool = False, as_json: bool = False, line: str) -> None:
    """Print `line`, or the thread as JSON. With `wait`, first run a worker until it is a person's turn or nobody's."""
    if not as_json:
        print(line, flush=True)
    if wait:
        try:
            async with model_of(bot.setup) as model, working(bot, model, thread.id):
                session = Session(bot, me, thread, shown=thread.version, show=_unseen if as_json else console.show)
                thread = await session.until_turn()
        except (asyncio.CancelledError, StoreUnavailable):
            console.say(f"Nothing is lost. To look at it: {console.program()} show {thread.id}")
            raise
        if not as_json:
            print(f"{thread.id}: {thread.status}")
    if as_json:
        console.print_json(document(thread))
    else:
        say_what_next(thread)


def _unseen(_: Entry) -> None:
    pass


def say_what_next(thread: Thread) -> None:
    """A hint for people; nothing is printed if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return
    program, pending = console.program(), thread.pending
    match thread.status:
        case "waiting_for_approval" if pending:
            same = f"{thread.id} --digest {pending.digest[:12]}"
            console.say(f"Next: {program} approve {same}\n  or: {program} reject {same} --reason WHY")
        case "waiting_for_answer":
            console.say(f"Next: {program} answer {thread.id} TEXT")
        case "paused" | "cancelled":
            console.say(f"Next: {program} resume {thread.id}")
        case "working" | "waiting":
            console.say(f"Next: `{program} run` works on it; {program} show {thread.id}")
        case "done" | "handed_to_human":
            console.say(f"Next: {program} send --thread {thread.id} TEXT")
        case _:
            pass
