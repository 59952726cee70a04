"""A shelf: texts that are kept for a while, by name, the newest first. It is bounded by their number and their age.

For what people look up later, and what is no event: the deliveries of a hook. Each text has a key of its own, so that
no value grows, and what is old goes by itself. Nothing that must not be forgotten belongs here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Keep:
    """How long a text is kept, and how many of its shelf."""

    seconds: float
    count: int


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    text: str


class Shelves(Protocol):
    """The part of a store that keeps shelves. Every method raises StoreUnavailable."""

    async def shelve(self, shelf: str, name: str, text: str, *, expected: str, keep: Keep) -> bool:
        """Compare and set: keep `text` if `expected` is there (empty: nothing), or `text` already. False: neither.

        It keeps the place among the newest that it had before. Confirmed like a post.
        """

    async def shelved(self, shelf: str, name: str) -> str:
        """Empty: it is not there, or not any more."""

    async def newest(self, shelf: str, limit: int) -> list[Kept]:
        """The newest first."""
