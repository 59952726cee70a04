"""Runs external programs with limits on time and output, in their own session, and without our secrets.

Their output is foreign text: it is decoded leniently, stripped of control characters, and clipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

KILL_GRACE_SECONDS = 2.0
"""The time between SIGTERM and SIGKILL for a command that reached its time limit."""
DRAIN_SECONDS = 0.5
"""How long to read on after the command ended, if a child of it keeps the pipe open."""
OUTPUT_LINES_MAX = 40
OUTPUT_LINE_CHARS_MAX = 300
OUTPUT_READ_BYTES = 64_000
"""How much of the end of the output is read for its last lines."""
PASSED_ON = ("PATH", "HOME", "LANG", "USER", "TMPDIR")
"""The only variables of the bot's environment that a command gets."""
_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[^\n])")


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command."""

    exit_code: int
    """Negative: the signal that ended it."""
    output: bytes
    errors: bytes
    timed_out: bool
    overflowed: bool
    """The beginning of the output or of the errors was dropped."""


async def run_bounded(
    command: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    seconds: float,
    bytes_max: int,
    stdin: bytes = b"",
    merged: bool = False,
) -> Ended:
    """Run a command in its own session, and kill everything left of it, even when cancelled.

    `merged`: errors appear in the output, in order. Raises OSError if the command cannot be started.
    """
    started = time.monotonic()
    process = _start(command, cwd, env, takes_stdin=bool(stdin), merged=merged)
    with _Watch(process, bytes_max) as watch:
        try:
            if stdin:
                watch.feed(stdin)
            timed_out = not await _set_within(watch.exited, seconds - (time.monotonic() - started))
            if timed_out:
                _signal_group(process.pid, signal.SIGTERM)
                await _set_within(watch.exited, KILL_GRACE_SECONDS)
            else:
                await _set_within(watch.closed, DRAIN_SECONDS)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            await _set_within(watch.exited, KILL_GRACE_SECONDS)
    code = process.returncode
    return Ended(
        exit_code=-signal.SIGKILL if code is None else code,
        output=bytes(watch.kept[0]),
        errors=bytes(watch.kept[1]) if not merged else b"",
        timed_out=timed_out,
        overflowed=watch.overflowed,
    )


def _start(
    command: Sequence[str], cwd: str, env: Mapping[str, str], *, takes_stdin: bool, merged: bool
) -> subprocess.Popen[bytes]:
    # Not the loop's own way: uvloop forks with all of our memory, which takes ten times as long.
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE if takes_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        cwd=cwd,
        env=dict(env),
        start_new_session=True,
        bufsize=0,
    )


class _Watch:
    """Reads what a process prints, and notes when it has exited: its children may keep the pipes open for longer."""

    def __init__(self, process: subprocess.Popen[bytes], bytes_max: int) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._bytes_max = bytes_max
        self._open: dict[int, IO[bytes]] = {}
        self._pidfd: int | None = None
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        """All that it prints to is closed."""
        self.kept = (bytearray(), bytearray())
        """The end of its output, and of its errors."""
        self.overflowed = False

    def __enter__(self) -> Self:
        for pipe, kept in zip((self._process.stdout, self._process.stderr), self.kept, strict=True):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
                self._open[pipe.fileno()] = pipe
                self._loop.add_reader(pipe.fileno(), self._read, pipe, kept)
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # Not Linux, or an old one.
            threading.Thread(target=self._wait, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._has_exited)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in [*self._open.values()]:
            self._close(pipe)
        if (stdin := self._process.stdin) and not stdin.closed:
            self._loop.remove_writer(stdin.fileno())
            stdin.close()
        self._has_exited()
        self._process.poll()  # Reaps it.

    def feed(self, text: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_writer(pipe.fileno(), self._write, pipe, bytearray(text))

    def _write(self, pipe: IO[bytes], rest: bytearray) -> None:
        try:
            del rest[: os.write(pipe.fileno(), rest)]
        except BlockingIOError:
            return
        except OSError:  # It reads no more.
            rest.clear()
        if not rest:
            self._loop.remove_writer(pipe.fileno())
            pipe.close()

    def _read(self, pipe: IO[bytes], kept: bytearray) -> None:
        try:
            data = os.read(pipe.fileno(), 65_536)
        except BlockingIOError:
            return
        if not data:
            self._close(pipe)
        kept += data
        if len(kept) > self._bytes_max:
            del kept[: -self._bytes_max]
            self.overflowed = True

    def _close(self, pipe: IO[bytes]) -> None:
        del self._open[pipe.fileno()]
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        if not self._open:
            self.closed.set()

    def _has_exited(self) -> None:
        # It is not reaped yet: until then, its number is nobody else's.
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self.exited.set()

    def _wait(self) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self.exited.set)


def command_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a team's command. It has none of the bot's tokens and keys."""
    own = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath} | own | dict(extra)


def last_lines(raw: bytes, *, lines_max: int = OUTPUT_LINES_MAX) -> str:
    """The end of a command's output for display: no terminal codes, control characters or long lines."""
    text = _TERMINAL_CODES.sub("", raw[-OUTPUT_READ_BYTES:].decode("utf-8", "replace"))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = "".join(char for char in text if char.isprintable() or char in "\n\t").strip("\n").split("\n")[-lines_max:]
    return "\n".join(
        line if len(line) <= OUTPUT_LINE_CHARS_MAX else line[: OUTPUT_LINE_CHARS_MAX - 1] + "…" for line in lines
    )


def one_line(raw: bytes | str, chars_max: int) -> str:
    """Foreign text for display. Unprintable characters become U+FFFD, so that `v1` and `v1<hidden>` look different."""
    text = raw[: 4 * chars_max + 4].decode("utf-8", "replace") if isinstance(raw, bytes) else raw[: chars_max + 1]
    text = "".join(char if char.isprintable() else " " if char in "\t\r\n" else "\ufffd" for char in text)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), max(0.0, seconds))
    return event.is_set()


def _signal_group(group: int, number: signal.Signals) -> None:
    # Already gone; macOS reports EPERM for a zombie.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def why_not(error: OSError) -> str:
    return f"{error.strerror}: {error.filename!r}" if error.filename else str(error.strerror)


def not_startable(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """Why the command cannot start, and what to do; empty: it can, or its folder is missing."""
    program = command[0]
    if "/" not in program:
        if shutil.which(program, path=env["PATH"]):
            return ""
        return f"{program!r} is not on PATH ({env['PATH']}). Install it, or give its full path."
    file = str(cwd / program)
    if not (os.path.isabs(program) or cwd.is_dir()):
        return ""  # Whoever checks the folder says so.
    if not os.path.isfile(file):  # Path.is_file would raise without permission.
        return f"{file!r} does not exist or is not a file. Correct the path."
    return "" if os.access(file, os.X_OK) else f"{file!r} is not executable by the bot's user. Run chmod +x on it."
