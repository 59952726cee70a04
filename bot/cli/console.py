"""The standard streams of a command, and the layout of entries, tables and JSON on them.

They work even if a stream was closed by the caller. stdout gets only the command's output; everything else goes to
stderr. Foreign text cannot control the terminal. A terminal that can draw gets typeset entries (`bot.cli.typeset`);
a program, and a terminal that cannot (`TERM=dumb`), get plain text.
"""

from __future__ import annotations

import functools
import io
import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from store.text import visible

if TYPE_CHECKING:
    from rich.console import Console

    from bot.views.entry import Entry

NAME_COLUMN = 12
COLUMNS_MIN = 60
LAST_COLUMN_MIN = 60
_CANNOT_DRAW = ("", "dumb", "unknown")


def set_up_streams() -> None:
    """Make sure that all three streams exist and accept any text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Closed by the caller. Without this, the next file or socket would get its number.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.argv[1:] = [os.fsencode(argument).decode(errors="replace") for argument in sys.argv[1:]]


def discard(number: int) -> None:
    """Redirect a stream that nobody reads any more, so that flushing it at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def typed_in() -> str:
    """All of stdin."""
    with open(0, "rb", closefd=False) as stdin:
        return stdin.read().decode(errors="replace")


def say(text: str) -> None:
    """Print a message on stderr."""
    log(visible(text) + "\n")


def log(text: str) -> None:
    """Write to stderr. If that fails (a closed pipe, a full disk), continue without it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(2)


class LogStream(io.TextIOBase):
    """stderr for the program's log."""

    def write(self, text: str) -> int:
        log(text)
        return len(text)

    def isatty(self) -> bool:
        return sys.stderr.isatty()


LOG = cast(TextIO, LogStream())


def print_json(document: object) -> None:
    print(as_json(document))


def as_json(document: object) -> str:
    """JSON with readable Unicode, but with control and invisible characters escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], give_way: tuple[str, ...] = ()) -> None:
    for line in table(header, rows, _width(), give_way):
        print(line)


def table(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int | None, give_way: tuple[str, ...] = ()
) -> list[str]:
    """For people: with a header, cut to the width. For programs (`width` None): complete rows without a header.

    Where the last column, which says most, has less than LAST_COLUMN_MIN, the columns of `give_way` are left out first.
    """
    shown = [header, *rows] if width else list(rows)
    for name in give_way:
        others = sum(max(len(row[column]) for row in shown) + 2 for column in range(len(shown[0]) - 1)) if shown else 0
        if not width or width - others >= LAST_COLUMN_MIN:
            break
        left_out = shown[0].index(name)
        shown = [(*row[:left_out], *row[left_out + 1 :]) for row in shown]
    header = shown[0] if shown else header
    widths = [max((len(row[column]) for row in shown), default=0) for column in range(len(header))]
    lines = ("  ".join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)).rstrip() for row in shown)
    return [line[:width] for line in lines]


def show(entry: Entry) -> None:
    """Print an entry on stdout; on a terminal typeset, or at least wrapped to its width."""
    if screen := drawing():
        # Not at the top: only a terminal needs it, and it takes longer to import than a short command runs.
        from bot.cli import typeset

        typeset.show(screen, entry)
    else:
        print(laid_out(entry, _width()), flush=True)


def say_entry(entry: Entry) -> None:
    """The same on stderr, where it belongs to a question."""
    if screen := _on(LOG, sys.stderr.encoding):
        from bot.cli import typeset

        typeset.show(screen, entry)
    else:
        say(laid_out(entry, shutil.get_terminal_size().columns))


def prose(text: str) -> None:
    """Print sentences on stdout, on a terminal wrapped between words. Not for a command or a path to copy."""
    print(_wrapped(text, _width()), flush=True)


def say_prose(text: str) -> None:
    """The same on stderr."""
    say(_wrapped(text, shutil.get_terminal_size().columns if sys.stderr.isatty() else None))


def _wrapped(text: str, width: int | None) -> str:
    return "\n".join(_within(visible(text), width, marked=False)) if width else visible(text)


@functools.cache
def drawing() -> Console | None:
    """stdout, if it is a terminal that can draw. Colours are left out if NO_COLOR is set."""
    return _on(sys.stdout, sys.stdout.encoding)


def _on(stream: TextIO, encoding: str | None) -> Console | None:
    draws = os.environ.get("TERM", "") not in _CANNOT_DRAW and (encoding or "").lower().startswith("utf")
    if not (draws and stream.isatty()):
        return None
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def laid_out(entry: Entry, width: int | None) -> str:
    """The speaker and the text in two columns; without a width, lines are not wrapped."""
    lines = (entry.text or " ").split("\n")
    if width:
        room = max(width, COLUMNS_MIN) - NAME_COLUMN - 1
        lines = [part for line in lines for part in _within(line, room, marked=entry.kind == "request")]
    who = f"{entry.who}:"
    return "\n".join(f"{'' if index else who:<{NAME_COLUMN}} {line}" for index, line in enumerate(lines))


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _within(line: str, width: int, *, marked: bool) -> list[str]:
    """`marked`: continuation lines are marked, so that text cannot pose as another line of a request."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=indent + ("  ↪ " if marked else ""),
        break_long_words=marked,
        break_on_hyphens=False,
    ) or [""]


def program() -> str:
    """The command to type to run this program."""
    if shutil.which("bot"):
        return "bot"
    sibling = Path(sys.executable).with_name("bot")
    return shlex.quote(os.path.relpath(sibling)) if sibling.exists() else f"{shlex.quote(sys.executable)} -m bot"
