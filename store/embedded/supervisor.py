"""Runs the embedded server, and stops it when its last user has gone, however that user went.

Started by `store.embedded`, by path, with `python -I -S`: it needs the standard library alone, so it is up in 20 ms and
stays small. It belongs to no user: it detaches itself, and killing any bot process does not reach it.

Two servers on one directory would both start, and diverge. So the server itself carries the exclusive lock on
`server.lock`, through an inherited descriptor: the kernel keeps it exactly as long as the server (or a child of it that
still writes there) lives, whatever becomes of this process.

No restart here: the users notice that the server has gone, and start a new supervisor.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading

DATA = "redis"
SOCKET = "redis.sock"
"""In DATA. The server binds it relative to its directory, so the length of a home's path is no matter to it."""
LOG = "redis.log"
PIDFILE = "redis.pid"
"""For people. Nothing here trusts a process id that was read from a file."""
SERVER_LOCK = "server.lock"
USERS_LOCK = "users.lock"

BUSY = 75
"""Exit code: another server holds the directory. (EX_TEMPFAIL of sysexits.h.)"""
LOG_BYTES_MAX = 5_000_000
"""A longer log is set aside as `redis.log.1` at the next start."""
STOP_SECONDS_MAX = 10.0
"""A server that does not end when asked is killed after that. What it acknowledged is on the disk."""


def main(home: str, binary: str) -> int:
    """Returns in the starting process as soon as the server is sure to be started, before it answers."""
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
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[lock], start_new_session=True)
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
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _write_to_log() -> None:
    """Ours and the server's last words, too, where it fails before it opens the log itself."""
    if os.path.exists(LOG) and os.path.getsize(LOG) > LOG_BYTES_MAX:
        os.replace(LOG, f"{LOG}.1")
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _stop_when_unused(server: subprocess.Popen[bytes], users: int) -> None:
    """Holds the users' lock until this process ends, so that nobody comes in while the server is going."""
    fcntl.flock(users, fcntl.LOCK_EX)
    server.terminate()
    try:
        server.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
