"""The mark of a log's end, which tells whether a log is still the one that was read. It reads no event."""

from __future__ import annotations

import hashlib

MARK_CHARS = 16
"""The length of `mark`. 64 bits: a log that lost its end does not look whole by chance."""


def mark(line: bytes) -> str:
    """Identifies a line of the log: the start of its SHA-1, as the store's scripts compute it too."""
    return hashlib.sha1(line, usedforsecurity=False).hexdigest()[:MARK_CHARS]
