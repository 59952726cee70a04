"""The mark beside the embedded store that events were cut off its end on purpose, and that people were not told yet.

`store.embedded.check` makes it before it cuts, so that no crash comes in between. Whoever opens the store next tells
people, and takes the mark away (`bot.stores`). Nobody uses the store meanwhile: the cut needs it for itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from store.embedded.server import EmbeddedRedisError

MARK = "events-cut"
"""In BOT_HOME. It holds the name of the cut."""


def mark(home: Path, cut: str) -> None:
    """Durable when it returns. Raises OSError."""
    with (home / MARK).open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(cut)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def marked(home: Path) -> str:
    """The name of the cut; empty: there was none, or people know. Raises EmbeddedRedisError."""
    try:
        return (home / MARK).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise EmbeddedRedisError(f"{str(home / MARK)!r} says that events were cut off, but: {error}") from error


def unmark(home: Path) -> None:
    (home / MARK).unlink(missing_ok=True)
