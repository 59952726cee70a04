"""A server process of somebody else's making: started in a session of its own, ended by the id of its group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.patience import PATIENCE_SECONDS

LOOK_SECONDS = 0.005
HOST = "127.0.0.1"

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def found(program: str, *folders: str) -> str | None:
    """Where it is; /usr/sbin is not on everybody's PATH."""
    return shutil.which(program, path=os.pathsep.join((*folders, os.environ.get("PATH", ""), _SYSTEM_PATH)))


def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when it holds: other processes tell nobody, so it looks again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(LOOK_SECONDS)


def greeting(port: int) -> bytes:
    """The first line that a server says on this port; empty if there is none yet."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((HOST, port), timeout=5.0) as connection,
        connection.makefile("rb") as lines,
    ):
        return lines.readline()
    return b""


class Daemon:
    """What the servers have in common. The folder is theirs, and goes away with `stop`."""

    def __init__(self, name: str) -> None:
        # /tmp, since the path of a socket may have 103 bytes at most and TMPDIR may be long.
        self.folder = Path(tempfile.mkdtemp(prefix=f"bot-{name}-", dir="/tmp"))
        self.folder.chmod(0o755)  # the servers' own users have to get in
        self.log = self.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers."""
        assert self._process is None, "it runs already"
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            eventually(lambda: self._has_ended() or self._answers(), "it never answered")
        except TimeoutError:
            raise RuntimeError(self._troubles()) from None
        if self._has_ended():
            raise RuntimeError(self._troubles())

    def restart(self) -> None:
        """On the same ports and the same data."""
        self._end(signal.SIGTERM)
        self.start()

    def kill(self) -> None:
        """SIGKILL to every process of it: nothing is written any more, and nobody is told."""
        assert self._process is not None, "it does not run"
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Also when it does not run, or never did. Nobody needs its data any more, so it need not shut down."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def told(self) -> str:
        """Everything it has logged."""
        return "".join(file.read_text(errors="replace") for file in (self.folder / "output", self.log) if file.exists())

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _troubles(self) -> str:
        return f"{type(self).__name__} did not start:\n{self.told()}"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)
        # The group outlives its leader while any of its processes does.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        eventually(lambda: not group_lives(process.pid), "its processes have not ended")


def group_lives(group: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False
