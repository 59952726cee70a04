"""The demo's folder: its lock, its site, and which demo is under way there, so that the next start goes on with it.

The mark of a demo is written when its site is whole, and removed before the site is built anew. So a start that was
killed in between finds no mark, and begins again. What happened in a demo stands in the log of its thread, and only
there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from bot.cli.demo.site import Site
from channels import terminal
from channels.inbound import Refused
from store.values import Place

PROGRAMS = ("git", "sh", "tar")


class Folder:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.site = Site(home / "site")
        self.team_file = home / "bot.toml"
        self._mark = home / "demo.mark"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock it: two demos would destroy each other's site. Raises Refused."""
        if missing := [name for name in PROGRAMS if not shutil.which(name)]:
            raise Refused(f"The demo needs {' and '.join(missing)} on PATH, because it deploys for real.")
        try:
            for folder in (self.home.parent, self.home):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.home / "demo.lock").open("w")
        except OSError as error:
            raise Refused(
                f"BOT_HOME {self.home.parent} is not writable: {error.strerror}. Set BOT_HOME to another directory."
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"Another demo is running in {self.home}. Wait for it, or set BOT_HOME to another directory."
                ) from None
            yield

    def place(self) -> Place | None:
        """Of the demo that is under way; None: there is none, or its site was built for another version."""
        try:
            name, made_for = self._mark.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return None
        return terminal.place_of(name) if made_for == self.site.version else None

    def build(self) -> Place:
        """Build a new site for a new demo, and give the place of its thread. Raises Refused."""
        place = terminal.place_of(f"demo-{uuid.uuid4()}")
        try:
            self._mark.unlink(missing_ok=True)
            shutil.rmtree(self.home / "deployments", ignore_errors=True)
            self.site.build()
            self.write_team_file()
            new = self._mark.with_suffix(".new")
            new.write_text(f"{place.address} {self.site.version}\n", encoding="utf-8")
            os.replace(new, self._mark)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Refused(f"The demo's site cannot be built under {self.site.home}: {error}") from None
        return place

    def write_team_file(self) -> None:
        """Also for a demo that goes on, because the folder may have been moved. Raises OSError."""
        self.site.write_team_file(self.team_file)
