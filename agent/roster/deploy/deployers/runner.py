"""Runs the command of one deployment to its end, even if the worker that started it dies.

`CommandDeployer` starts this file as a process, which leaves the worker's session and then owns one folder:

    request.json   what to run; written before this process starts
    started.json   written before the command starts, and again with the number of its process group
    output.log     what the command printed; for a long output its beginning and its end
    result.json    how it ended; written once. A run without it still runs or is lost
    alive          locked as long as this process lives

It holds the target's lock, and the command inherits it: if this process is killed, the target stays locked until the
command has ended, too. At a normal end it unlocks, so that a server started by the deployment does not keep the lock.
Locks are flock(2): they belong to the open file, are inherited, and are released by the kernel with the last holder.
Not every network file system supports them, so the folder must be on a local disk.

It imports only the standard library, because it runs with `-I -S`: nothing from the environment or from site-packages.
SIGTERM stops the command and is recorded. There is no retry and no guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

REQUEST = "request.json"
STARTED = "started.json"
OUTPUT = "output.log"
RESULT = "result.json"
ALIVE = "alive"

OUTPUT_HEAD_BYTES = 200_000
OUTPUT_TAIL_BYTES = 300_000
OUTPUT_BYTES_MAX = 1_000_000
"""The largest `output.log`; a larger one is cut down to its head and its tail."""
DRAIN_SECONDS = 0.5
"""How long to read on after the command ended, if a child of it keeps the pipe open."""
NEVER = float("inf")


def main() -> None:
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    # The caller waits for this first process only, so it keeps no child to reap.
    if os.fork():
        os._exit(0)
    run(folder, lock)


def run(folder: Path, lock: int) -> None:
    request = json.loads((folder / REQUEST).read_bytes())
    with Signals() as signals, Output(folder / OUTPUT) as output:
        write_json(folder / STARTED, {"runner": os.getpid()})
        try:
            command = subprocess.Popen(
                request["command"],
                cwd=request["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            end(folder, "failed", None, f"The command could not be started: {error.strerror}: {error.filename!r}.")
        else:
            write_json(folder / STARTED, {"runner": os.getpid(), "group": command.pid})
            why = follow(command, signals, output, request["timeout_seconds"], request["grace_seconds"])
            code = command.returncode
            if why == "timed_out":
                end(folder, "timed_out", code, f"Stopped after {request['timeout_seconds']:g} seconds, its time limit.")
            elif why == "stopped":
                end(folder, "failed", code, "Stopped, because its runner was told to stop.")
            elif code < 0:
                end(folder, "failed", code, f"Ended by {signal_name(-code)}.")
            else:
                end(folder, "succeeded" if code == 0 else "failed", code, "" if code == 0 else f"Exit code {code}.")
    fcntl.flock(lock, fcntl.LOCK_UN)


def follow(
    command: subprocess.Popen[bytes], signals: Signals, output: Output, timeout_seconds: float, grace_seconds: float
) -> str:
    """Read until the command has ended. Returns why it was stopped: `timed_out`, `stopped`, or empty."""
    assert command.stdout is not None
    why = ""
    reading = True
    stop_at = time.monotonic() + timeout_seconds
    kill_at = drained_at = NEVER
    with selectors.DefaultSelector() as selector, command.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        selector.register(signals.woken, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if command.poll() is not None:
                wake_at = drained_at = min(drained_at, now + DRAIN_SECONDS)
                if not reading or now >= drained_at:
                    break
            else:
                if not why and (signals.stop or now >= stop_at):
                    why = "stopped" if signals.stop else "timed_out"
                    stop_at, kill_at = NEVER, now + grace_seconds
                    signal_group(command.pid, signal.SIGTERM)
                elif now >= kill_at:
                    kill_at = NEVER
                    signal_group(command.pid, signal.SIGKILL)
                wake_at = min(stop_at, kill_at)
            for key, _ in selector.select(None if wake_at == NEVER else max(0.0, wake_at - now)):
                if key.fileobj is signals.woken:
                    signals.forget()
                elif data := os.read(pipe.fileno(), 65_536):
                    output.write(data)
                else:
                    selector.unregister(pipe)
                    reading = False
    if why:
        signal_group(command.pid, signal.SIGKILL)
    return why


class Signals:
    """Wakes a selector when a child ends, or when this process should stop.

    It uses handlers, because the command would inherit SIG_IGN.
    """

    def __init__(self) -> None:
        self.stop = False
        self.woken, self._writer = socket.socketpair()

    def __enter__(self) -> Signals:
        self.woken.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.stop = self.stop or number in (signal.SIGTERM, signal.SIGINT)

    def forget(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.woken.recv(4096):
                pass


class Output:
    """The log, readable while it grows. On a full disk, output is lost, but the deployment continues."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size_bytes = self._total_bytes = 0

    def __enter__(self) -> Output:
        self._file = open_private(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._size_bytes + len(data) > OUTPUT_BYTES_MAX:
                self._cut()
            written = os.write(self._file, data)
            self._size_bytes += written
            self._total_bytes += written

    def _cut(self) -> None:
        head = os.pread(self._file, OUTPUT_HEAD_BYTES, 0)
        tail = os.pread(self._file, OUTPUT_TAIL_BYTES, self._size_bytes - OUTPUT_TAIL_BYTES)
        left_out = self._total_bytes - len(head) - len(tail)
        cut = head + f"\n[… {left_out:,} bytes left out …]\n".encode() + tail
        beside = self._path.with_suffix(".new")
        file = open_private(beside)
        try:
            os.write(file, cut)
            beside.replace(self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._size_bytes = file, len(cut)


def end(folder: Path, state: str, exit_code: int | None, note: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    write_json(folder / RESULT, {"state": state, "exit_code": exit_code, "note": note, "ended_at": now})


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_group(group: int, number: signal.Signals) -> None:
    # Already gone; macOS reports EPERM for a zombie.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Durable when it returns. A reader sees the old file or the complete new one."""
    beside = path.with_suffix(".new")
    file = open_private(beside)
    try:
        os.write(file, json.dumps(value).encode())
        os.fsync(file)
    finally:
        os.close(file)
    beside.replace(path)
    sync_folder(path.parent)


def open_private(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)


def sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock. Uses a brief shared lock, so concurrent checks do not conflict."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


if __name__ == "__main__":
    main()
