"""Runs external programs with limits on time and output, in their own session, and without our secrets.

Their output is foreign text: it is decoded leniently, stripped of control characters, and clipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

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
    pipe = asyncio.subprocess.PIPE
    transport, watch = await _started(
        asyncio.get_running_loop().subprocess_exec(
            lambda: _Watch(bytes_max, open={1} if merged else {1, 2}),
            *command,
            stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT if merged else pipe,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    )
    group = transport.get_pid()
    try:
        if stdin:
            _write(stdin, transport)
        timed_out = not await _set_within(watch.exited, seconds - (time.monotonic() - started))
        if timed_out:
            _signal_group(group, signal.SIGTERM)
            await _set_within(watch.exited, KILL_GRACE_SECONDS)
        else:
            await _set_within(watch.closed, DRAIN_SECONDS)
    finally:
        _signal_group(group, signal.SIGKILL)
        await _set_within(watch.exited, KILL_GRACE_SECONDS)
        transport.close()
    code = transport.get_returncode()
    return Ended(
        exit_code=-signal.SIGKILL if code is None else code,
        output=bytes(watch.kept[1]),
        errors=bytes(watch.kept[2]),
        timed_out=timed_out,
        overflowed=watch.overflowed,
    )


async def _started(
    start: Coroutine[Any, Any, tuple[asyncio.SubprocessTransport, _Watch]],
) -> tuple[asyncio.SubprocessTransport, _Watch]:
    """The command, once it runs. Cancelled meanwhile, it is killed with all that it has started.

    asyncio itself would then kill the command alone, and wait for its children to close the pipes.
    """
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        transport, watch = await starting
        _signal_group(transport.get_pid(), signal.SIGKILL)
        await _set_within(watch.exited, KILL_GRACE_SECONDS)
        transport.close()
        raise


def _write(stdin: bytes, transport: asyncio.SubprocessTransport) -> None:
    # uvloop's transport has the methods, but not the class.
    writer = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
    # The program may have ended already.
    if not writer.is_closing():
        writer.write(stdin)
    if not writer.is_closing():
        writer.write_eof()


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


@dataclass(slots=True)
class _Watch(asyncio.SubprocessProtocol):
    """A protocol, because `Process.wait()` would also wait until surviving children close the pipe."""

    bytes_max: int
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    kept: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    open: set[int] = field(default_factory=lambda: {1, 2})
    overflowed: bool = False

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.kept[fd] += data
        if len(self.kept[fd]) > self.bytes_max:
            del self.kept[fd][: -self.bytes_max]
            self.overflowed = True

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.open.discard(fd)
        if not self.open:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()


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
