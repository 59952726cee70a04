"""Ends a command that changed a thread: prints the result, and what to type next.

It changes nothing itself. Threads are rendered by `bot.views` and `bot.cli.console`.
"""

from __future__ import annotations

import asyncio

from bot.app import App, model_of
from bot.cli import console
from bot.cli.hints import say_what_next
from bot.cli.session import Session, working
from bot.views.document import document
from bot.views.transcript import Entry
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
) -> Thread:
    """Print `line`, or the thread as JSON. With `wait`, first run a worker until it is a person's turn or nobody's.

    `decided`: the person decided on a call, and may expect that it runs. Returns the thread as it is then.
    """
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
        say_what_next(thread, decided=decided and not wait)
    return thread


def _unseen(_: Entry) -> None:
    pass
