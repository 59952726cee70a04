"""Runs the embedded server, and stops it when its last user has exited or was killed.

`store.embedded.server` starts this file by path with `python -I -S`: it imports only the standard library, so it starts
in 20 ms and stays small. It detaches itself, so killing a bot process does not kill it.

Two servers on one directory would both start, and diverge. So the server itself holds the exclusive lock on
`server.lock`, through an inherited descriptor: the kernel keeps it as long as the server (or a child of it that still
writes there) lives, whatever happens to this process.

It never restarts the server: the users notice that it is gone, and start a new supervisor.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading

DATA = "redis"
SOCKET = "redis.sock"
"""In DATA. The server binds it relative to its directory, so the length of the path does not matter."""
LOG = "redis.log"
PIDFILE = "redis.pid"
"""For people only: the code never trusts a process id read from a file."""
SERVER_LOCK = "server.lock"
USERS_LOCK = "users.lock"

BUSY = 75
"""Exit code: another server holds the directory. (EX_TEMPFAIL of sysexits.h.)"""
LOG_BYTES_MAX = 5_000_000
"""A longer log is renamed to `redis.log.1` at the next start."""
STOP_SECONDS_MAX = 10.0
"""A server that does not end in time is killed. Everything it acknowledged is on disk."""


def main(home: str, binary: str) -> int:
    """Returns in the starting process once the server is certain to start, before it answers."""
    os.umask(0o077)
    os.chdir(home)
    lock = os.open(SERVER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return BUSY
    users = os.open(USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    _write_to_log()
    if os.fork():
        return 0

    command = [binary, *_options(home)]
    # Python ignores SIGXFSZ, and so should the server: a file at its size limit is an error that it reports, like a
    # full disk, and not its death.
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=[lock], start_new_session=True, restore_signals=False
    )
    os.close(lock)
    threading.Thread(target=_stop_when_unused, args=(server, users), daemon=True).start()
    server.wait()
    return 0


def _options(home: str) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": SOCKET,
        "unixsocketperm": "700",
        "dir": os.path.join(home, DATA),
        "logfile": os.path.join(home, LOG),
        "pidfile": os.path.join(home, PIDFILE),
        "daemonize": "no",
        "set-proc-title": "no",  # `ps` then shows whose server it is
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "no",  # see store.embedded.ending
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _write_to_log() -> None:
    """Redirect output to the log, so that it also holds what the server prints before it opens the log itself."""
    if os.path.exists(LOG) and os.path.getsize(LOG) > LOG_BYTES_MAX:
        os.replace(LOG, f"{LOG}.1")
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _stop_when_unused(server: subprocess.Popen[bytes], users: int) -> None:
    """Holds the users' lock until this process ends, so that no new user joins while the server stops."""
    fcntl.flock(users, fcntl.LOCK_EX)
    server.terminate()
    try:
        server.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
