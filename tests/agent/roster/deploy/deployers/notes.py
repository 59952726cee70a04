"""Notes in a folder that several processes share, as they share a store."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import JsonValue

from agent.notes import NotesUnavailable


class FileNotes:
    """`die_at`: this process kills itself at its nth point; there is one before and one after each change. 0: never."""

    def __init__(self, folder: Path, die_at: int = 0) -> None:
        self.folder = folder
        self._left = die_at
        self.passed = timedelta()
        """How much later it is than the clock of this machine says."""
        self.is_away = False
        self.away_after: int | None = None
        """So many changes are made before it is away; None: all."""

    async def read(self, name: str) -> str:
        with self._locked():
            return self._read(name)

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        self._point()
        if self.away_after is not None:
            if self.away_after == 0:
                raise NotesUnavailable("The store cannot be reached.")
            self.away_after -= 1
        with self._locked():
            if changes := self._read(name) == expected:
                beside = self._file(name).with_suffix(".new")
                beside.write_text(text)
                beside.replace(self._file(name))
        self._point()
        return changes

    async def tell(self, thread_id: str, name: str, data: Mapping[str, JsonValue], *, key: str) -> bool:
        raise AssertionError("there are no threads here")

    async def wake(self, thread_id: str, by: str) -> None:
        raise AssertionError("there are no threads here")

    def now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def _point(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _read(self, name: str) -> str:
        file = self._file(name)
        return file.read_text() if file.exists() else ""

    def _file(self, name: str) -> Path:
        return self.folder / name.replace("/", "%")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self.is_away:
            raise NotesUnavailable("The store cannot be reached.")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
