"""Typesets a thread for a terminal that can draw: cards as panels, tables as tables, people in colour.

Everything that it draws is a rich `Text`, which reads neither rich's markup nor an escape sequence; and all text was
made visible before. So words from outside are shown and never obeyed. It decides nothing about what is said: the plain
form (`bot.cli.console`) says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue
from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.cli.findings import Finding, State
from bot.cli.lines import fitted
from bot.views.entry import Entry, Kind
from channels.messages import Approval, Question, Unanswered, Waiting
from channels.plain import terms
from store.text import visible

NAME_COLUMN = 12
LABEL_CELLS_MAX = 18
WIDTH_MIN = 40
CARD_CELLS_MAX = 100
"""A wider panel is harder to read, and most links fit into this."""
_STYLES: Mapping[Kind, str] = {
    "person": "cyan",
    "bot": "green",
    "request": "yellow",
    "decision": "yellow",
    "problem": "red",
    "step": "dim",
    "note": "dim",
}
_STATES: Mapping[State, str] = {"ok": "green", "off": "dim", "warning": "yellow", "failed": "red"}
STATE_COLUMN = 8
_QUIET: frozenset[Kind] = frozenset({"step", "note", "problem"})
"""Of these, the words have the colour of the speaker."""
_TABLE = re.compile(r"((?:^\|.*\|[ \t]*$\n?){2,})", re.MULTILINE)
_DIVIDER = re.compile(r"\|(\s*:?-+:?\s*\|)+\s*")

Row = tuple[str, str]
"""A label, which may be empty, and a value."""


def show(console: Console, entry: Entry) -> None:
    """Print it. Lines that are wider than the console, for a link in them, run on."""
    # Rich must neither wrap nor crop: the lines fit already, or stay whole.
    console.print(typeset(entry, console.width), soft_wrap=True, markup=False, highlight=False, emoji=False)


def typeset(entry: Entry, width: int) -> RenderableType:
    width = max(width, WIDTH_MIN)
    room = min(width, CARD_CELLS_MAX) - 4
    match entry.message:
        case Approval(state=Waiting()) as request:
            return _card("Approval needed", [*_request(request, room)], _STYLES["request"], width)
        case Question(state=Unanswered()) as question:
            title = "Urgent question" if question.is_urgent else "Question"
            return _card(title, [*_question(question, room)], _STYLES["bot"], width)
        case _:
            return Group(*_spoken(entry, width))


# What a check found


def show_finding(console: Console, finding: Finding) -> None:
    """The state in its colour, and beside it the words."""
    room = max(console.width, WIDTH_MIN) - STATE_COLUMN - 1
    head = Text(finding.state.ljust(STATE_COLUMN), style=_STATES[finding.state])
    for line in fitted(visible(f"{finding.what}: {finding.text}"), room):
        console.print(Text.assemble(head, " ", line), soft_wrap=True)
        head = Text(" " * STATE_COLUMN)


# A line of a conversation


def _spoken(entry: Entry, width: int) -> Iterator[RenderableType]:
    """The speaker, and beside it what was said."""
    style, room = _STYLES[entry.kind], width - NAME_COLUMN - 1
    words = style if entry.kind in _QUIET else ""
    who = Text(f"{entry.who}:", style=style if words else f"bold {style}")
    for part in _TABLE.split(entry.text or " "):
        if table := _table(part, room):
            if who.plain:
                yield who
            yield Padding(table, (0, 0, 0, NAME_COLUMN + 1), expand=False)
            who = Text()
            continue
        for line in fitted(part.removesuffix("\n"), room, marked=entry.kind == "request") if part else ():
            gap = " " * max(NAME_COLUMN - cell_len(who.plain), 0)
            if not gap and who.cell_len + 1 + cell_len(line) > width:
                yield who  # It is too long to stand beside the line.
                who, gap = Text(), " " * NAME_COLUMN
            yield Text.assemble(who, f"{gap} ", (line, words))
            who = Text()


def _table(text: str, width: int) -> Table | None:
    """A table of Markdown; None: it is none, or it does not fit and is better read as it is."""
    lines = text.strip().split("\n")
    if len(lines) < 2 or not _DIVIDER.fullmatch(lines[1]):
        return None
    header, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in (lines[0], *lines[2:]))
    return _grid(header, rows, width)


def _grid(header: list[str], rows: list[list[str]], width: int) -> Table | None:
    rows = [[*row, *[""] * len(header)][: len(header)] for row in rows]
    columns = zip(header, *rows, strict=True)
    if sum(max(map(cell_len, column)) + 3 for column in columns) + 1 > width:
        return None
    table = Table(box=box.ROUNDED, border_style="dim")
    for cell in header:
        table.add_column(Text(cell, style="bold"), no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


# Cards


def _card(title: str, lines: list[Text], style: str, width: int) -> RenderableType:
    """A panel. Where a link is too wide for one, only rules above and below, so that nothing of it is cut off."""
    width = min(width, CARD_CELLS_MAX)
    if all(line.cell_len <= width - 4 for line in lines):
        return Panel(
            Group(*lines), title=Text(title, style=f"bold {style}"), title_align="left", border_style=style, width=width
        )
    heading = Text(f"── {title} ".ljust(width, "─"), style=f"bold {style}")
    return Group(heading, *lines, Text("─" * width, style=style))


def _request(request: Approval, width: int) -> Iterator[Text]:
    yield from _words(visible(request.question), width, "bold")
    if request.danger:
        yield from _words(visible(request.danger), width, "bold red")
    if request.danger_rows:
        yield from () if request.danger else _words("WARNING", width, "bold red")
        yield from _rows(_flat(request.danger_rows), width, "red")
    yield Text()
    yield from _rows(_flat(request.rows), width)
    yield Text()
    for line in terms(request):
        yield from _words(line, width, "dim")


def _question(question: Question, width: int) -> Iterator[Text]:
    yield from _words(visible(question.question), width, "bold")
    if question.context:
        yield from _words(visible(question.context), width)
    choices = question.choices or (("yes", "no") if question.offers else ())
    for choice in choices:
        yield from _words(f"- {_value(choice)}", width)


def _words(text: str, width: int, style: str = "") -> Iterator[Text]:
    return (Text(line, style=style) for line in fitted(text, width, marked=True))


def _rows(rows: Iterable[Row], width: int, style: str = "") -> Iterator[Text]:
    """Labels and values in two columns."""
    rows = list(rows)
    column = min(max((cell_len(label) for label, _ in rows), default=0), LABEL_CELLS_MAX) + 2
    for label, value in rows:
        head = label.ljust(column) if cell_len(label) < column else f"{label} "
        for line in fitted(value, width - column, marked=True):
            yield Text.assemble((head, "cyan"), (line, style))
            head = " " * column


def _flat(data: Mapping[str, JsonValue], indent: str = "") -> Iterator[Row]:
    for name, value in data.items():
        label = f"{indent}{_value(name)}:"
        match value:
            case dict() if value:
                yield label, ""
                yield from _flat(value, f"{indent}  ")
            case list() if len(value) > 1:
                for index, item in enumerate(value):
                    yield ("" if index else label), f"- {_value(item)}"
            case str() if "\n" in value.strip():
                for index, line in enumerate(visible(value).strip().split("\n")):
                    yield ("" if index else label), line
            case _:
                yield label, _value(value)


def _value(value: JsonValue) -> str:
    match value:
        case dict():
            return " · ".join(f"{_value(name)}: {_value(item)}" for name, item in value.items()) or "none"
        case list():
            return ", ".join(map(_value, value)) or "none"
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case _:
            return visible(str(value)).strip().replace("\n", " ")
