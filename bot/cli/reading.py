"""The commands that read one thread: `show`, `export`, `verify`. They append nothing to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import command, console, exits
from bot.cli.hints import say_what_next
from bot.cli.options import AsJson, ThreadId
from bot.settings import Settings
from bot.stores import store_of
from bot.views import record
from bot.views.document import document
from bot.views.transcript import entries, markdown
from channels.inbound import Refused

if TYPE_CHECKING:
    from bot.setup import Setup


def show(
    thread: ThreadId,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="for a ticket or a review")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="print exactly what the model would get now")] = False,
) -> None:
    """Show a thread."""
    if as_markdown and (as_json or prompt):
        raise exits.Misused("--markdown cannot be combined with --json or --prompt.")

    if prompt:
        _show_prompt(thread, as_json)
        return

    async def work(settings: Settings) -> None:
        async with store_of(settings, stays=False) as store:
            found = await store.load(thread)
        if as_json:
            console.print_json(document(found, with_events=True))
        elif as_markdown:
            print(markdown(found))
        else:
            for entry in entries(found):
                console.show(entry)
            print(f"\n{found.id}: {found.status}, whose turn: {found.turn}, {found.version} events")
            say_what_next(found)

    command.read(work)


def _show_prompt(thread: str, as_json: bool) -> None:
    # Not at the top: only this needs the agents.
    from agent.context.window import Context
    from bot.app import opened

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        agent = bot.roster.get(found.agent)
        if agent is None:
            raise Refused(f"The agent {found.agent!r} is not set up here. Add [agents.{found.agent}] to bot.toml.")
        user = Context(agent).render(found)
        if as_json:
            console.print_json({"system": agent.prompt, "user": user})
        else:
            print(f"--- system ---\n{agent.prompt}\n--- user ---\n{user}")

    command.run(work, agents=False)


def export(thread: ThreadId) -> None:
    """Print the thread's record: JSON lines, hash-chained."""

    async def work(settings: Settings) -> None:
        async with store_of(settings, stays=False) as store:
            found = await store.load(thread)
        for line in record.record(found, settings.bot_secret_key.get_secret_value()):
            print(line)

    command.read(work)


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `bot export` printed", exists=True, dir_okay=False)
    ],
) -> None:
    """Check that an exported record is complete and unchanged."""

    async def work(settings: Settings) -> None:
        try:
            with file.open(encoding="utf-8") as lines:
                found = record.verify(lines, settings.bot_secret_key.get_secret_value())
        except UnicodeDecodeError:
            raise Refused(f"{file} is not a record: it is not UTF-8 text.") from None
        except record.Altered as error:
            raise Refused(f"{file}: {error}") from None
        signed = "signed with BOT_SECRET_KEY" if found.signed else "not checked for a signature (no BOT_SECRET_KEY)"
        print(
            f"Thread {found.thread}: {found.events} events, complete and unchanged, {signed}. Last hash {found.head}."
        )

    command.read(work)
