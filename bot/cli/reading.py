"""The read-only commands: `threads`, `show`, `export`, `verify`. They append nothing to any thread."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from agent.context.window import Context
from bot.app import Setup, opened
from bot.cli import command, console
from bot.cli.answering import say_what_next
from bot.cli.options import AsJson, ThreadId
from bot.views import record
from bot.views.document import document
from bot.views.transcript import entries, markdown, topic
from channels.inbound import Refused
from store.text import one_line
from store.thread import Thread, ThreadStatus

STATUSES = get_args(ThreadStatus)


def threads(
    status: Annotated[str, typer.Option("--status", metavar="S", help=f"only {', '.join(STATUSES)}")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="look at the N newest")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the threads, the most recently changed first."""
    if status and status not in STATUSES:
        raise command.Misused(f"There is no status {status!r}. The statuses are {', '.join(STATUSES)}.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = [await bot.store.load(thread_id) for thread_id in await bot.store.recent(limit)]
            found = [thread for thread in found if thread.agent and (not status or thread.status == status)]
        if as_json:
            console.print_json([document(thread) for thread in found])
        elif found:
            console.print_table(
                ("ID", "STATUS", "AGENT", "MOVED (UTC)", "ABOUT"),
                [_row(thread) for thread in found],
            )
        elif sys.stdout.isatty():
            console.say("There are none." if status else f"There are none yet. Open one: {console.program()} send TEXT")

    command.run(work, agents=False)


def _row(thread: Thread) -> tuple[str, ...]:
    moved = f"{thread.events[-1].at:%Y-%m-%d %H:%M}"
    return one_line(thread.id, 100), thread.status, one_line(thread.agent, 40), moved, topic(thread)


def show(
    thread: ThreadId,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="for a ticket or a review")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="print exactly what the model would get now")] = False,
) -> None:
    """Show a thread."""
    if as_markdown and (as_json or prompt):
        raise command.Misused("--markdown cannot be combined with --json or --prompt.")

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        if prompt:
            agent = bot.roster.get(found.agent)
            if agent is None:
                raise Refused(f"The agent {found.agent!r} is not set up here. Add [agents.{found.agent}] to bot.toml.")
            user = Context(agent).render(found)
            if as_json:
                console.print_json({"system": agent.prompt, "user": user})
            else:
                print(f"--- system ---\n{agent.prompt}\n--- user ---\n{user}")
        elif as_json:
            console.print_json(document(found, with_events=True))
        elif as_markdown:
            print(markdown(found))
        else:
            for entry in entries(found):
                console.show(entry)
            print(f"\n{found.id}: {found.status}, whose turn: {found.turn}, {found.version} events")
            say_what_next(found)

    command.run(work, agents=False)


def export(thread: ThreadId) -> None:
    """Print the thread's record: JSON lines, hash-chained."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        for line in record.record(found, setup.settings.bot_secret_key.get_secret_value()):
            print(line)

    command.run(work)


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `bot export` printed", exists=True, dir_okay=False)
    ],
) -> None:
    """Check that an exported record is complete and unchanged."""

    async def work(setup: Setup) -> None:
        try:
            with file.open(encoding="utf-8") as lines:
                found = record.verify(lines, setup.settings.bot_secret_key.get_secret_value())
        except UnicodeDecodeError:
            raise Refused(f"{file} is not a record: it is not UTF-8 text.") from None
        except record.Altered as error:
            raise Refused(f"{file}: {error}") from None
        signed = "signed with BOT_SECRET_KEY" if found.signed else "not checked for a signature (no BOT_SECRET_KEY)"
        print(
            f"Thread {found.thread}: {found.events} events, complete and unchanged, {signed}. Last hash {found.head}."
        )

    command.run(work, agents=False)
