"""`bot schedules`: lists when the schedules fire next, and fires one by hand.

`bot.team.schedules` computes when they are due.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from bot.app import opened
from bot.cli import command, console, exits
from bot.cli.options import AsJson
from bot.clock import fire, mark_of_manual_firing
from bot.setup import Setup
from bot.team.schedules import Schedule
from channels.inbound import Refused
from store.text import one_line

NEXT_SHOWN = 3
WHAT_CHARS_MAX = 60

app = typer.Typer(help="List the schedules, or fire one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def schedules(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """List the schedules: when each fires next, where, and its message, question or task."""
    if context.invoked_subcommand:
        if as_json:
            raise exits.Misused("--json works only with `bot schedules`.")
        return

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found, now = bot.schedules(), bot.now()
        if as_json:
            console.print_json([_document(schedule, now) for schedule in found])
        elif found:
            console.print_table(
                ("NAME", "NEXT", "ZONE", "AGENT", "PLACE", "WHAT"), [_row(schedule, now) for schedule in found]
            )
        else:
            console.say("There are none: bot.toml has no [schedules.NAME].")

    command.run(work)


@app.command()
def run(name: Annotated[str, typer.Argument(metavar="NAME", help="its name in the team file")]) -> None:
    """Fire one now, in addition to its due times. Prints the thread's id."""

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            known = {schedule.name: schedule for schedule in bot.schedules()}
            if name not in known:
                raise Refused(f"There is no schedule {name!r}; there are: {', '.join(known) or 'none'}.")
            at = bot.now()
            print(await fire(bot.inbox, known[name], mark_of_manual_firing(at), at))

    command.run(work)


def _document(schedule: Schedule, now: datetime) -> dict[str, Any]:
    table = schedule.table
    return {
        "name": schedule.name,
        "next": [at.isoformat() for at in schedule.upcoming(now, NEXT_SHOWN)],
        "cron": table.cron,
        "time_zone": table.time_zone,
        "agent": table.agent,
        "place": table.place,
        **table.data,
        "missed": table.missed,
        "quiet": table.quiet,
    }


def _row(schedule: Schedule, now: datetime) -> tuple[str, ...]:
    table = schedule.table
    coming = ", ".join(f"{at:%a %Y-%m-%d %H:%M}" for at in schedule.upcoming(now, NEXT_SHOWN))
    what = one_line(" ".join(f"{kind}: {text}" for kind, text in table.data.items()), WHAT_CHARS_MAX)
    return schedule.name, coming or "never", table.time_zone, table.agent, table.place, what
