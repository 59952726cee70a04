"""Breaks text into lines that fit a screen, by the width of characters, and never inside a link or a digest.

A link that is wider than the screen stays whole on a line of its own, and the terminal lets it run on: so it can be
clicked and copied. Any other long word is broken, because text from outside could otherwise draw outside its place.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

CONTINUES = "↪ "
"""Marks a continued line of a request, so that text cannot pose as another line of it."""
_WHOLE = re.compile(r"[\w.=:(<\[\"']{0,40}?(https?://[!-~]+|[0-9a-f]{7,64})[)>\]\"'.,;:]*", re.ASCII | re.IGNORECASE)
"""A link or a digest, in quotes or behind a name: `revision=8da8a06…`. All of it can be seen."""
_INDENT = re.compile(r"\s*(?:[-*•] )?")


def fitted(text: str, width: int, *, marked: bool = False) -> list[str]:
    """The lines of the text, each at most `width` cells wide, but for links and digests. `marked`: see CONTINUES."""
    return [part for line in text.split("\n") for part in _fitted_line(line.expandtabs(4), width, marked=marked)]


def _fitted_line(line: str, width: int, *, marked: bool) -> list[str]:
    if cell_len(line) <= width:
        return [line]
    found = _INDENT.match(line)
    indent = " " * len(found[0] if found else "")
    indent = indent if len(indent) < width // 2 else ""
    begin = indent + (CONTINUES if marked else "")
    lines, now = list[str](), line[: len(indent)]
    is_empty = True
    for word in line[len(indent) :].split():
        joined = now + word if is_empty else f"{now} {word}"
        if cell_len(joined) <= width:
            now, is_empty = joined, False
            continue
        if not is_empty:
            lines.append(now)
            now = begin
        *whole, rest = [word] if _WHOLE.fullmatch(word) else _pieces(word, width - cell_len(begin))
        for piece in whole:
            lines.append(now + piece)
            now = begin
        now, is_empty = now + rest, False
    return [*lines, now]


def _pieces(word: str, width: int) -> list[str]:
    return chop_cells(word, max(width, 1)) or [""]
