"""Drops the unfinished end of a write, which a crash leaves behind: nobody was told that it was stored.

The server could do that by itself, but it takes any length that points past the end of the file for one. A single
damaged digit would make it drop what was stored, without a word. This module knows one from the other (`store.embedded.
aof`); what else is damaged it leaves alone, and the server does not start.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from store.embedded.aof import FOLDER, read_manifest, scan
from store.embedded.supervisor import DATA, SERVER_LOCK


def drop_unfinished_write(home: Path) -> None:
    """While no server runs. Raises OSError."""
    folder = home / DATA / FOLDER
    lock = os.open(home / SERVER_LOCK, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        manifest = read_manifest(folder)
        written = [folder / name for name in manifest.commands] if manifest else []
        last = next((path for path in reversed(written) if path.stat().st_size), None)
        if last and (found := scan(last)).damage == "cut off":
            truncate(last, found.sound_bytes)
    except BlockingIOError:
        pass  # Another process starts the server.
    finally:
        os.close(lock)


def truncate(path: Path, size_bytes: int) -> None:
    """Durable when it returns. Raises OSError."""
    with path.open("r+b") as file:
        file.truncate(size_bytes)
        os.fsync(file.fileno())
