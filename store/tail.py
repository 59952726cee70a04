"""The end of a log as a claim read it, so that whoever claims a thread need not ask for its events again.

It is as good as a look at the log at the moment of the claim. Whether somebody appended since, each append checks.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.codec import decode_all
from store.marks import mark
from store.thread import Thread


@dataclass(frozen=True, slots=True)
class Tail:
    length: int
    """Of the whole log."""
    lines: tuple[bytes, ...]
    """Its last ones."""

    def extending(self, thread: Thread) -> Thread | None:
        """The thread with the events that it lacks. None: the store has to be asked.

        That is so if more is missing than these lines, or if the log is not the one that was read.
        """
        known = thread.version - (self.length - len(self.lines))
        if not 0 <= known <= len(self.lines):
            return None
        if thread.exists and not (known and thread.mark in ("", mark(self.lines[known - 1]))):
            return None
        more = self.lines[known:]
        return thread.extended(decode_all(more), mark(more[-1])) if more else thread
