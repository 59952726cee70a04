"""The command `threads`: finds threads in the index of the store and prints a page of them. It changes no thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, cast, get_args

import typer

from bot.cli import command, console, exits
from bot.cli.options import AsJson
from bot.settings import Settings
from bot.stores import index_of
from bot.team.durations import parse_duration, plain
from channels import places
from store.base import Lists
from store.pages import PAGE_MAX, Cursor, NotACursor, Page
from store.rows import Filter, Row
from store.status import ThreadStatus, Turn
from store.text import one_line

STATUSES = get_args(ThreadStatus)
TURNS = get_args(Turn)
LIMIT_MAX = 100_000
HEADER = ("ID", "STATUS", "AGENT", "REQUESTER", "PLACE", "MOVED (UTC)", "ABOUT")
SPELT = {"agent", "place"}
"""Options that take what is not checked: a list reads no team file, and knows no channel."""
GIVE_WAY = ("PLACE", "REQUESTER", "MOVED (UTC)")


def threads(
    status: Annotated[str, typer.Option("--status", metavar="S", help=f"only {', '.join(STATUSES)}")] = "",
    turn: Annotated[str, typer.Option("--turn", metavar="T", help=f"whose turn it is: {', '.join(TURNS)}")] = "",
    agent: Annotated[str, typer.Option("--agent", metavar="A", help="only this agent's")] = "",
    requester: Annotated[
        str, typer.Option("--requester", metavar="WHO", help="who asked first: a name, an address, a name of the team")
    ] = "",
    place: Annotated[
        str, typer.Option("--place", metavar="CHANNEL:ADDRESS", help="a channel, or with the beginning of an address")
    ] = "",
    newer_than: Annotated[str, typer.Option("--newer-than", metavar="AGE", help="changed since, e.g. 2h or 7d")] = "",
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="not changed since")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="list at most N")] = 50,
    after: Annotated[str, typer.Option("--after", metavar="CURSOR", help="continue an earlier list")] = "",
    as_json: AsJson = False,
) -> None:
    """List the threads, the most recently changed first."""
    channel, address = places.split(place)
    wanted = Filter(
        statuses=frozenset({cast(ThreadStatus, _one_of(STATUSES, "status", status))} if status else ()),
        turn=cast(Turn, _one_of(TURNS, "turn", turn)) if turn else None,
        agent=agent,
        requester=requester,
        channel=channel,
        address=address,
        changed_after=_ago("--newer-than", newer_than),
        changed_before=_ago("--older-than", older_than),
    )
    start = _cursor(after)
    asked = {"status": status, "turn": turn, "agent": agent, "requester": requester, "place": place}
    asked |= {"newer-than": newer_than, "older-than": older_than}

    async def work(settings: Settings) -> None:
        async with index_of(settings) as lists:
            listed = await _listed(lists, wanted, limit, start)
            documents = await _documents(lists, listed, wanted) if as_json else []
        if as_json:
            console.print_json(documents)
        elif listed.rows:
            console.print_table(HEADER, [_cells(row) for row in listed.rows], GIVE_WAY)
        if not listed.rows and not listed.after and (wanted != Filter() or sys.stdout.isatty()):
            console.say(_none(asked))
        if listed.after:
            console.say(f"There are more. To see them, repeat the command with --after {listed.after}")

    command.read(work)


async def _listed(lists: Lists, wanted: Filter, limit: int, after: str) -> Page:
    """One page of any length."""
    rows: dict[str, Row] = {}
    while True:
        page = await lists.page(wanted, limit=min(limit - len(rows), PAGE_MAX), after=after)
        rows |= {row.id: row for row in page.rows}  # A thread that changes meanwhile comes twice.
        after = page.after
        if not after or len(rows) >= limit:
            return Page(tuple(rows.values()), after)


def _none(asked: Mapping[str, str]) -> str:
    """For a script too, on stderr: with a misspelt agent or channel it would look as if there were nothing."""
    given = {name: text for name, text in asked.items() if text}
    if not given:
        return f"There are none yet. Open one: {console.program()} send TEXT"
    as_shown = " An agent and a place have to be written as the list shows them." if given.keys() & SPELT else ""
    return f"There are none with {' '.join(f'--{name} {text}' for name, text in given.items())}.{as_shown}"


async def _documents(lists: Lists, listed: Page, wanted: Filter) -> list[dict[str, Any]]:
    # Not at the top: what a table shows is in the index, and what JSON shows takes the events, and the agents' words.
    from bot import listing

    return await listing.documents(lists, listed.rows, wanted)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        one_line(row.id, 100),
        row.status,
        one_line(row.agent, 40),
        one_line(row.requester[0] if row.requester else "", 40),
        one_line(f"{row.channel}:{row.address}", 40),
        f"{row.updated_at:%Y-%m-%d %H:%M}",
        row.title,
    )


def _one_of(known: tuple[str, ...], what: str, given: str) -> str:
    if given not in known:
        raise exits.Misused(f"There is no {what} {given!r}. These are: {', '.join(known)}.")
    return given


def _ago(option: str, age: str) -> datetime | None:
    try:
        return datetime.now(UTC) - plain(parse_duration(age)) if age else None
    except ValueError as error:
        raise exits.Misused(f"{option} {error}.") from None


def _cursor(after: str) -> str:
    try:
        Cursor.parse(after)
    except NotACursor as error:
        raise exits.Misused(f"--after: {error}") from None
    return after
