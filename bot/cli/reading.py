"""The commands that read one thread: `show`, `export`, `verify`. They append nothing to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import command, console, exits
from bot.cli.hints import say_what_next
from bot.cli.options import AsJson, ThreadId
from bot.settings import Settings
from bot.stores import store_of
from bot.views.as_markdown import markdown
from bot.views.document import document
from bot.views.transcript import entries
from channels.inbound import Refused

if TYPE_CHECKING:
    from bot.setup import Setup
    from bot.views.record import Verified


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
    from agent.model.frame import MODES, frame_of
    from bot.app import opened
    from store.repeats import insists

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await bot.store.load(thread)
        agent = bot.roster.get(found.agent)
        if agent is None:
            raise Refused(f"The agent {found.agent!r} is not set up here. Add [agents.{found.agent}] to bot.toml.")
        user = Context(agent).render(found)
        frame = frame_of(agent, MODES[0], insists=insists(found, agent.after_refusal))
        if as_json:
            console.print_json({"system": frame.system, "user": user, "response_format": frame.response_format})
        else:
            shape = json.dumps(frame.response_format, indent=1, ensure_ascii=False)
            print(f"--- system ---\n{frame.system}\n--- user ---\n{user}\n--- response_format ---\n{shape}")

    command.run(work, agents=False)


def export(
    thread: Annotated[str, typer.Argument(metavar="ID", help="the thread", show_default=False)] = "",
    public_key: Annotated[
        bool, typer.Option("--public-key", help="print the key that verifies records, for `bot verify --key`")
    ] = False,
) -> None:
    """Print the thread's record: JSON lines, hash-chained.

    They are signed where BOT_SECRET_KEY is set.
    """
    if bool(thread) == public_key:
        raise exits.Misused("Name one thread, or use --public-key alone.")
    # Not at the top: only records need it, and it takes as long to import as the events.
    from bot.views import record
    from bot.views.signatures import SigningKey

    async def work(settings: Settings) -> None:
        keys = [SigningKey(secret) for secret in settings.secret_keys]
        if public_key:
            if not keys:
                raise Refused("There is no key: records are signed where BOT_SECRET_KEY is set.")
            print(*(key.public for key in keys), sep="\n")
            return
        async with store_of(settings, stays=False) as store:
            found = await store.load(thread)
        for line in record.record(found, keys[0] if keys else None):
            print(line)

    command.read(work)


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `bot export` printed", exists=True, dir_okay=False)
    ],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="PUBLIC", help="who must have signed it; default: the key of BOT_SECRET_KEY"),
    ] = None,
) -> None:
    """Check that an exported record is complete and unchanged.

    Without a key it says only that the lines fit together, not who wrote them.
    """
    from bot.views import record
    from bot.views.signatures import PublicKey, SigningKey

    try:
        given = [PublicKey.parse(text) for text in key or ()]
    except ValueError as error:
        raise exits.Misused(f"--key {error}.") from None

    async def work(settings: Settings) -> None:
        secrets = () if given else settings.secret_keys
        keys = given or [SigningKey(secret).public for secret in secrets]
        try:
            # Byte for byte: no line break is translated, and what is not ASCII stays different from what is.
            with file.open(encoding="ascii", errors="surrogateescape", newline="\n") as lines:
                found = record.verify(lines, keys, secrets)
        except record.NotVerified as error:
            raise Refused(f"{file}: {error}") from None
        print(_verified(found))

    command.read(work)


def _verified(found: Verified) -> str:
    what = f"Thread {found.thread}: {found.events} events, "
    by = f"the key {found.signer}" if found.signer else "BOT_SECRET_KEY"
    match found.signature:
        case "verified":
            return f"{what}complete and unchanged, signed with {by}. Last hash {found.head}."
        case "unverified":
            who = f"It names {by} as its signer, but the signature was not checked: use --key, or set BOT_SECRET_KEY."
        case "missing":
            who = "It is not signed."
    return (
        f"{what}and each line continues the one before. {who} So whoever had the file may have rewritten all of it, "
        f"unless the last hash is one that you kept elsewhere: {found.head}."
    )
