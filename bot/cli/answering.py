"""Ends a command that changed a thread: prints the result, what was said meanwhile, and what to type next.

It changes nothing itself. Threads are rendered by `bot.views` and `bot.cli.console`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import typer

from bot.app import App, model_of
from bot.cli import console, exits
from bot.cli.hints import next_commands, next_in_words, say_what_next
from bot.cli.session import Session, working
from bot.views.document import document
from bot.views.entry import Entry
from bot.views.transcript import entries
from store.base import StoreUnavailable
from store.thread import Thread
from store.values import Person


async def report(
    bot: App,
    thread: Thread,
    me: Person,
    *,
    wait: bool = False,
    as_json: bool = False,
    line: str,
    decided: bool = False,
    then: Callable[[Thread], None] = lambda _: None,
) -> None:
    """Print `line`, or the thread as JSON. With `wait`, first run a worker until it is a person's turn or nobody's.

    `decided`: the person decided on a call, and may expect that it runs. `then`: called with the thread at the end.
    Raises Exit, if a person has to go on with what was waited for.
    """
    said_before = thread.version
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
            if not sys.stdout.isatty() and thread.status in ("waiting_for_approval", "waiting_for_answer"):
                print(next_in_words(thread))
            print(f"{thread.id}: {thread.status}")
    if as_json:
        more = {"said": _said(thread, said_before), "next": next_commands(thread)} if wait else {}
        console.print_json(document(thread) | more)
    else:
        say_what_next(thread, decided=decided and not wait)
    then(thread)
    if wait and thread.status == "handed_to_human":
        raise typer.Exit(exits.RESTS_WITH_A_PERSON)


def _said(thread: Thread, start: int) -> list[dict[str, str]]:
    """What the agent and the program said since the first `start` events: their words, questions and requests."""
    found = (entry for entry in entries(thread, start) if entry.kind in ("bot", "request"))
    return [{"kind": "request" if entry.kind == "request" else "words", "text": entry.text} for entry in found]


def _unseen(_: Entry) -> None:
    pass
