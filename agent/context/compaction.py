"""Shortens the context when it outgrows its limit, and drops table rows that the model has already seen.

Blocks are processed in order, which keeps the beginning of the text the same from one call to the next, so that
providers can cache it. Solved errors and old results are left out first, the newest messages never. Pure. The only
block it adds is the note that something was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from agent.context.blocks import Block
from agent.context.writer import Table

WORDS = ("message", "trigger")
"""Blocks that hold what people and triggers asked for."""
SEEN_ROWS_MIN = 2
"""Fewer seen rows are not worth the line that replaces them."""


def without_seen_rows(blocks: Iterable[Block]) -> Iterator[str]:
    """The texts of the blocks. A repeated table holds only the rows that have changed."""
    last: dict[tuple[str, str], Table] = {}
    for block in blocks:
        if not block.tables:
            yield block.text
            continue
        before = tuple(last.get((block.tag, table.path)) for table in block.tables)
        yield _without_rows_of(block, before) if any(before) else block.text
        last |= {(block.tag, table.path): table for table in block.tables}


@lru_cache(maxsize=2_048)
def _without_rows_of(block: Block, before: tuple[Table | None, ...]) -> str:
    lines = block.body.split("\n")
    # From the end, so that the places of those before stay what they are.
    for table, old in reversed([*zip(block.tables, before, strict=True)]):
        if old:
            lines[table.at : table.at + len(table.lines)] = _changed_rows(table.lines, old.lines)
    return replace(block, body="\n".join(lines)).text


def _changed_rows(table: tuple[str, ...], before: tuple[str, ...]) -> Iterable[str]:
    header, *rows = table
    seen = [n for n, (row, old) in enumerate(zip(table, before, strict=False)) if n and row == old]
    if header != before[0] or len(seen) < SEEN_ROWS_MIN:
        return table
    indent = " " * (len(header) - len(header.lstrip(" ")))
    changed = (row for n, row in enumerate(rows, 1) if n not in seen)
    return [header, *changed, f"{indent}(rows {', '.join(map(str, seen))}: unchanged)"]


def compacted(blocks: Iterable[Block], chars_max: int) -> list[Block]:
    """All blocks if they fit; otherwise shortened to half of `chars_max` each time they outgrow it.

    Processing the blocks in order keeps the beginning of the result stable from one call to the next.
    """
    kept: list[Block] = []
    chars = 0
    for block in blocks:
        kept.append(block)
        chars += len(block.text) + 2
        if chars > chars_max:
            kept = _shortened(kept, chars_max // 2)
            chars = sum(len(b.text) + 2 for b in kept)
    return kept


def _shortened(blocks: list[Block], chars_max: int) -> list[Block]:
    chars = sum(len(block.text) + 2 for block in blocks)
    newest = blocks[-4:]
    older: list[Block | None] = list(blocks[:-4])
    solved = {block.intent for block in blocks if block.intent and not block.error}
    # The first request and the last one.
    kept_always = {0, max((i for i, block in enumerate(blocks) if block.tag in WORDS), default=0)}

    def leave_out(which: Callable[[Block], bool], instead: Callable[[Block], Block | None]) -> None:
        nonlocal chars
        for i, block in enumerate(older):
            if chars <= chars_max:
                return
            if block and i not in kept_always and which(block):
                older[i] = new = instead(block)
                chars -= len(block.text) + 2 - (len(new.text) + 2 if new else 0)

    leave_out(lambda b: b.error and b.intent in solved, lambda b: None)
    leave_out(lambda b: b.result and len(b.body) > 200, lambda b: Block(b.tag, "left_out: it was long\n", b.intent))
    leave_out(lambda b: b.tag not in WORDS, lambda b: None)
    leave_out(lambda b: True, lambda b: None)
    kept = [block for block in older if block]
    if len(kept) < len(older) and not any(block.tag == "left_out" for block in kept):
        kept.insert(1, Block("left_out", "what: older events, for lack of room\n"))
    return kept + newest
