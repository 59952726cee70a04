"""A page of a list of threads, and the cursor from which the next one goes on. Pure.

Threads are listed by their last change, newest first. A thread that changes while somebody pages moves to the front,
maybe from a part that was not read yet. So a list that took more than one reading is read once more from the time at
which it began, until nothing can have been missed: every thread that matched throughout is on some page, and one that
changed in between may be on two.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from store.rows import Row
from store.text import without_half_surrogates

PAGE_MAX = 1_000
"""The longest page."""
CURSOR_CHARS_MAX = 1_000
"""A longer text is no cursor."""
_TIME_MAX = 2**53


class NotACursor(ValueError):
    """The text is no cursor of ours."""

    def __init__(self) -> None:
        super().__init__("This is not a cursor that an earlier page gave. Leave it out to begin with the newest.")


@dataclass(frozen=True, slots=True)
class Page:
    rows: tuple[Row, ...]
    after: str
    """The cursor of the next page; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one reading of the whole list has come. Times are the store's."""

    floor: float = 0
    """This reading ends at threads that changed before then; 0: it reads all."""
    began: float = 0
    """When this reading began; 0: it has not."""
    changed: float = 0
    """The last change of the thread after which it goes on; 0: it begins with the newest."""
    thread_id: str = ""

    def __str__(self) -> str:
        fields = [self.floor, self.began, self.changed, self.thread_id]
        whole = json.dumps(fields, separators=(",", ":"))
        return base64.urlsafe_b64encode(whole.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The beginning for an empty text. Raises NotACursor."""
        if not text:
            return cls()
        if len(text) > CURSOR_CHARS_MAX:
            raise NotACursor
        try:
            whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            floor, began, changed, thread_id = json.loads(whole)
        except (binascii.Error, ValueError, TypeError, RecursionError):
            raise NotACursor from None
        if not (_is_time(floor) and _is_time(began) and _is_time(changed) and _is_id(thread_id)):
            raise NotACursor
        return cls(floor, began, changed, thread_id)

    def is_past(self, changed: float, thread_id: str) -> bool:
        """Whether an earlier page has come to this thread."""
        return bool(self.changed) and (changed, thread_id.encode()) >= (self.changed, self.thread_id.encode())


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _TIME_MAX  # True is an int, too.


def _is_id(value: Any) -> bool:
    """Half a surrogate pair is no text: it cannot be encoded."""
    return isinstance(value, str) and without_half_surrogates(value) == value
