"""`bot store`: looks after the store itself. A command is one function here; the work is done in `store`.

Nothing here shows what a thread says.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bot.cli import command, console
from bot.cli.options import AsJson
from bot.setup import Setup
from bot.stores import store_of
from channels.inbound import Refused
from store.embedded.check import Cut, Report
from store.embedded.check import check as checked
from store.embedded.check import repair as repaired

_LOST = (
    "Events are lost: every thread that is not at rest is handed to people. Standing approvals that were revoked "
    "lately may be in force again: look at `bot standing`."
)

app = typer.Typer(
    help="Look after the store: check, mend and reindex it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def store() -> None:
    """Look after the store: check, mend and reindex it."""


@app.command()
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="cut off the unfinished end of a write, and keep a copy of it")
    ] = False,
    lose_events: Annotated[
        bool,
        typer.Option(
            "--lose-events",
            help="with --repair: cut off events that were stored, too. Calls that were approved may run again; "
            "every thread that is not at rest is handed to people",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the files of the embedded store. No bot may run on them meanwhile."""

    async def work(setup: Setup) -> None:
        settings = setup.settings
        if settings.redis_url:
            raise Refused(
                "REDIS_URL names a server, whose files are on its own machine: `bot doctor` asks it how it is. "
                "This command checks the embedded store, which is used without REDIS_URL."
            )
        if lose_events and not repair:
            raise Refused("--lose-events says how to mend, so it needs --repair.")
        kept: Path | None = None
        if repair:
            report, kept = await asyncio.to_thread(repaired, settings.bot_home, lose_events=lose_events)
        else:
            report = await asyncio.to_thread(checked, settings.bot_home)
        if not report.exists:
            raise Refused(f"There is no store under {settings.bot_home}.")
        if kept and report.loses_events:
            async with store_of(settings):  # Hands the threads to people.
                pass
        if as_json:
            console.print_json(_document(report, kept))
        else:
            print("\n".join(_lines(report, settings.bot_home, kept)))
        if not report.is_sound and kept is None:
            raise Refused(_advice(report, settings.bot_home))

    command.run(work, agents=False)


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Compute the index of the lists anew from the logs. Bots may run meanwhile.

    After an update, say, so that the first list need not.
    """

    async def work(setup: Setup) -> None:
        async with store_of(setup.settings) as store:
            count = await store.reindex()
        if as_json:
            console.print_json({"threads": count})
        else:
            print(f"The index is computed anew, of {count:,} threads.")

    command.run(work, agents=False)


def _lines(report: Report, home: Path, kept: Path | None) -> list[str]:
    if report.is_sound:
        return [f"The store under {home} is sound: {_events(report)}, {report.size_bytes:,} bytes."]
    if kept is None:
        return list(report.problems)
    done = [f"Cut {_what(cut)}." for cut in report.cuts]
    done += [f"Wrote the list of its files anew: {', '.join(report.manifest.names)}."] if report.manifest else []
    done += [f"A copy of what was cut is in {kept}."] if report.cuts else []
    done += [_LOST] if report.loses_events else []
    return [*report.problems, *done, f"The store is sound now: {_events(report)}."]


def _events(report: Report) -> str:
    return f"{report.events_since_snapshot:,} events since the last snapshot"


def _what(cut: Cut) -> str:
    return (
        f"{cut.size_bytes:,} bytes with at most {cut.events:,} events from {cut.file}, from byte {cut.from_byte:,} on"
    )


def _advice(report: Report, home: Path) -> str:
    if report.beyond_repair:
        return (
            f"The store under {home} is damaged where nothing can be cut off: restore a backup of {home / 'redis'}, or "
            "move that folder away to start empty."
        )
    cuts = f"cuts {'; '.join(map(_what, report.cuts))}, and keeps a copy" if report.cuts else "writes the list anew"
    if report.loses_events:
        return (
            f"The store under {home} is damaged where events were stored. Without them, calls that were approved may "
            f"run again. `bot store check --repair --lose-events` {cuts}, and hands every thread that is not at rest "
            "to people."
        )
    return f"The store under {home} is damaged. `bot store check --repair` {cuts}."


def _document(report: Report, kept: Path | None) -> dict[str, object]:
    return {
        "sound": report.is_sound,
        "repaired": kept is not None,
        "bytes": report.size_bytes,
        "events_since_snapshot": report.events_since_snapshot,
        "problems": list(report.problems),
        "loses_events": report.loses_events,
        "cuts": [asdict(cut) for cut in report.cuts],
        "kept": str(kept) if kept else None,
    }
