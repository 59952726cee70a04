"""Lists of threads for the faces: what is shown of each, from the index.

Only a thread with an open request or question is loaded, because the index does not hold what they say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from bot.views.document import document, summary
from store.base import Lists
from store.index import row_of
from store.rows import Filter, Row

PAGE = 200


async def documents(store: Lists, rows: Sequence[Row], wanted: Filter) -> list[dict[str, Any]]:
    """Each of these threads as JSON, but for those that have changed meanwhile and no longer match."""
    loaded: dict[str, dict[str, Any] | None] = {}
    async for thread in store.load_each([row.id for row in rows if row.detailed]):
        loaded[thread.id] = document(thread) if wanted.takes(row_of(thread)) else None
    shown = (loaded.get(row.id) if row.detailed else summary(row) for row in rows)
    return [found for found in shown if found]


async def pages(store: Lists, wanted: Filter) -> AsyncIterator[Sequence[Row]]:
    """All threads that match, page by page, each once: a thread that changes meanwhile may come again later."""
    seen: set[str] = set()
    after = ""
    while True:
        page = await store.page(wanted, limit=PAGE, after=after)
        yield [row for row in page.rows if row.id not in seen]
        seen |= {row.id for row in page.rows}
        after = page.after
        if not after:
            return


async def rows(store: Lists, wanted: Filter) -> AsyncIterator[Row]:
    """All threads that match, the most recently changed first."""
    async for page in pages(store, wanted):
        for row in page:
            yield row
