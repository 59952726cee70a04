"""The program as people start it: real processes, in a folder and an environment of their own, with deadlines.

    done = await bot.run("threads", "--json")       # .code, .out, .err
    async with bot.started("run") as worker: ...    # goes on: `worker.told("Working")`, `worker.ends()`
    async with bot.terminal("chat") as person: ...  # on a terminal: `person.sees("…")`, `person.types("…")`

They are forked from one process that has everything imported already, which is what they would take most of their time
for. `BOT` is for starting one from nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib
import json
import os
import pkgutil
import pty
import pwd
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import agent
import bot
import channels
import store
from bot.cli.main import main
from store.embedded.keeper import embedded
from store.embedded.supervisor import SERVER_LOCK
from tests import ROOT
from tests.fakes.model_server import ModelServer
from tests.patience import PATIENCE_SECONDS
from tests.shop import Site

BOT = str(Path(sys.executable).with_name("bot"))
LOOK_SECONDS = 0.02
LOGIN = "dex"
"""The OS user as whom commands are run."""
OUTPUT_BYTES_MAX = 16_000_000
COLUMNS, ROWS = 150, 50

_SERVING = re.compile(r'"event":"serving".*"url":"(http://[^"]+)"')
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\r")


def token_table(owner: str, token: str) -> str:
    """Of the team file: that this person may do everything over the HTTP API with this token."""
    scopes = '["read", "write", "decide"]'
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    return f'[tokens.{owner}]\nowner = "{owner}"\nsha256 = "{sha256}"\nscopes = {scopes}\nuntil = 2099-01-01\n'


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    def failed(self, *words: str, code: int = 1) -> None:
        """It said so in one line on stderr with these words in it, and nothing on stdout."""
        assert self.code == code, self
        assert self.out == "", self
        assert self.err.count("\n") == 1, self
        for word in words:
            assert word in self.err, self
        assert "Traceback" not in self.err, self

    def succeeded(self) -> Done:
        assert self.code == 0, self
        assert self.err == "", self
        return self


@dataclass
class Bot:
    """One installation: a folder to stand in, and what is in the environment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / ".bot"

    @property
    def site(self) -> Site:
        return Site(self.folder / "site")

    def env(self, **changes: str) -> dict[str, str]:
        """Nothing of the developer's own settings reaches a test."""
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "USER": LOGIN,
            "LOGNAME": LOGIN,
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PYTHONWARNINGS": "error",
        }
        return base | self.environment | changes

    def with_site(self, template: Path) -> Bot:
        """A repository, targets, and the team file for them."""
        shutil.copytree(template, self.site.home, symlinks=True)
        self.site.write_team_file(self.folder / "bot.toml")
        return self

    def with_model(self, server: ModelServer) -> Bot:
        self.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "scripted", "OPENAI_API_KEY": "sk-secret"}
        return self

    async def run(self, *arguments: str | bytes, stdin: bytes = b"", login: str = LOGIN, **changes: str) -> Done:
        """`login`: the OS user that it runs as."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            process = await self._fork(arguments, (given, out, err), changes, login=login)
            code = await process.ends()
            return Done(code, _whole(out), _whole(err))

    async def all(self, *commands: tuple[str, ...], login: str = LOGIN) -> list[Done]:
        """Side by side."""
        return await asyncio.gather(*(self.run(*command, login=login) for command in commands))

    async def approve(self, thread_id: str, *more: str, login: str = LOGIN) -> Done:
        """As scripts do it: they name the request that they have seen, if one waits."""
        pending = (await self.run("show", thread_id, "--json")).document["pending"]
        seen = ("--digest", pending["digest"]) if pending else ()
        return await self.run("approve", thread_id, *seen, *more, login=login)

    @contextlib.asynccontextmanager
    async def started(self, *arguments: str, **changes: str) -> AsyncIterator[Running]:
        with tempfile.TemporaryFile() as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = await self._fork(arguments, (nothing, out, err), changes)
            try:
                yield Running(process, out, err)
            finally:
                await process.end()

    @contextlib.asynccontextmanager
    async def terminal(self, *arguments: str, login: str = LOGIN, **changes: str) -> AsyncIterator[Terminal]:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (ROWS, COLUMNS))
        with os.fdopen(slave, "r+b", buffering=0) as line:
            process = await self._fork(arguments, (line, line, line), changes, terminal=True, login=login)
        terminal = Terminal(process, master)
        try:
            yield terminal
        finally:
            await terminal.close()

    async def _fork(
        self,
        arguments: tuple[str | bytes, ...],
        streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
        changes: dict[str, str],
        *,
        terminal: bool = False,
        login: str = LOGIN,
    ) -> Process:
        command = ["bot", *map(os.fsdecode, arguments)]
        return await forked(command, self.folder, self.env(**changes), streams, terminal=terminal, login=login)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[Bot]:
        """The embedded server stays for a while, so that not every command starts it."""
        async with embedded(self.home):
            yield self

    async def nothing_is_left(self, home: Path | None = None) -> None:
        """The embedded server has gone: nobody holds its lock, and nobody else answers for its folder."""
        lock = (home or self.home) / SERVER_LOCK
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _is_free(lock):  # noqa: ASYNC110 - other processes set no Event
                await asyncio.sleep(LOOK_SECONDS)


def _is_free(lock: Path) -> bool:
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _whole(file: IO[bytes]) -> str:
    # Not seek and read: the process that writes it shares its position.
    return os.pread(file.fileno(), OUTPUT_BYTES_MAX, 0).decode(errors="replace")


class Process:
    """A command that was forked. Whoever forked it tells how it ends."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader, self._writer = reader, writer
        self._ending = asyncio.create_task(reader.readline())

    @property
    def has_ended(self) -> bool:
        return self._ending.done()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ends(self, within_seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code; that of a killed one is negative."""
        async with asyncio.timeout(within_seconds):
            code = int(await asyncio.shield(self._ending))
        self._writer.close()
        return code

    async def end(self) -> None:
        """By force, where it goes on."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                self.signal(signal.SIGKILL)
        await self.ends()


class Running:
    """A process that goes on."""

    def __init__(self, process: Process, out: IO[bytes], err: IO[bytes]) -> None:
        self._process = process
        self._out, self._err = out, err
        self.signal, self.ends = process.signal, process.ends

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    @property
    def out(self) -> str:
        return _whole(self._out)

    @property
    def err(self) -> str:
        return _whole(self._err)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its lines on stderr, each of which is one of the log. Of the last one, it may have written a part."""
        return [json.loads(line) for line in self.err.splitlines(keepends=True) if line.endswith("\n")]

    @property
    def texts(self) -> list[str]:
        """What it said for people in its log."""
        return [line["text"] for line in self.log if "text" in line]

    async def told(self, text: str) -> None:
        """Returns when it has said that on stderr."""
        await self._until(self._err, re.compile(re.escape(text)))

    async def said(self, text: str) -> None:
        """Returns when it has said that on stdout."""
        await self._until(self._out, re.compile(re.escape(text)))

    async def serves(self) -> str:
        """The URL of its HTTP server, once it listens: with PORT=0, the one that it got."""
        return (await self._until(self._err, _SERVING))[1]

    async def _until(self, stream: IO[bytes], pattern: re.Pattern[str]) -> re.Match[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := pattern.search(_whole(stream))):
                assert not self._process.has_ended, f"it has ended: {self.err}"
                await asyncio.sleep(LOOK_SECONDS)
        return found


class Terminal:
    """A person before a screen: sees what is printed, and types."""

    def __init__(self, process: Process, master: int) -> None:
        self.process = process
        self.ends = process.ends
        self.raw = b""
        self._master = master
        self._seen = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the other side has closed it
            data = b""
        if data:
            self.raw += data
        else:
            self._loop.remove_reader(self._master)
        self._news.set()

    @property
    def screen(self) -> str:
        """Everything that was printed, without colours."""
        return _ESCAPES.sub("", self.raw.decode(errors="replace"))

    @property
    def echoes(self) -> bool:
        """Whether what is typed now comes on the screen."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    async def sees(self, text: str, within_seconds: float = PATIENCE_SECONDS) -> str:
        """Returns what came up to and with this text, after what was seen before."""
        try:
            async with asyncio.timeout(within_seconds):
                while (at := self.screen.find(text, self._seen)) < 0:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come:\n{self.screen[self._seen :]}") from None
        seen, self._seen = self.screen[self._seen : at + len(text)], at + len(text)
        return seen

    def types(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def presses(self, key: str) -> None:
        """A control key: `presses("C")` is Ctrl-C."""
        os.write(self._master, bytes([ord(key) - 64]))

    async def close(self) -> None:
        await self.process.end()
        self._loop.remove_reader(self._master)
        os.close(self._master)


# The process that commands are forked from


async def forked(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
    *,
    terminal: bool = False,
    login: str = LOGIN,
) -> Process:
    """The first word of the command is one of `PROGRAMS`. `login`: the OS user that it runs as."""
    order = {
        "command": [*command],
        "folder": str(folder),
        "environment": {**environment},
        "terminal": terminal,
        "login": login,
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_nursery())
    socket.send_fds(connection, [json.dumps(order).encode() + b"\n"], [stream.fileno() for stream in streams])
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    return Process(int(await reader.readline()), reader, writer)


@functools.cache
def _nursery() -> str:
    """Where it listens. It lives as long as this process."""
    folder = tempfile.mkdtemp(prefix="bot-test-", dir="/tmp")
    path = f"{folder}/nursery.sock"
    nursery = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.stories.program", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        nursery.communicate()  # its stdin ends, and so does it
        shutil.rmtree(folder)

    atexit.register(end)
    assert nursery.stdout
    assert nursery.stdout.readline() == b"ready\n"
    return path


def _serve(path: str) -> list[str] | None:
    """Forks for each order. Returns in each child, as the process that was ordered, with its arguments."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    gc.collect()
    gc.freeze()  # so that no child copies it all only to clear it away at its end
    with listener, woken, wakes, selectors.DefaultSelector() as selector:
        for source in (listener, woken, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if sys.stdin in ready:
                return None
            if woken in ready:
                woken.recv(4096)
            if listener in ready:
                connection, _ = listener.accept()
                data, streams, _, _ = socket.recv_fds(connection, 1_000_000, 3)
                while not data.endswith(b"\n"):
                    data += connection.recv(1_000_000)
                child = os.fork()
                if not child:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for one in (connection, *children.values()):
                        one.close()
                    return _become(json.loads(data), streams)
                for stream in streams:
                    os.close(stream)
                connection.sendall(b"%d\n" % child)
                children[child] = connection
            for child, connection in list(children.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
                    children.pop(child).close()


def _become(order: dict[str, Any], streams: list[int]) -> list[str]:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if order["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches us as a signal
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as the interpreter does at its start
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    _log_in(order["login"])
    command: list[str] = order["command"]
    return command


def _import_all() -> None:
    """Also what the program imports only when it is needed."""
    for package in (agent, bot, channels, store):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _exit(program: Callable[[], None]) -> NoReturn:
    """Run it to its end. Nothing is cleared away: what is shared with the nursery would be copied for that."""
    code: int | str | None = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code if isinstance(code, int) else bool(code))


def _log_in(name: str) -> None:
    """Be this OS user, as far as the program asks the OS: only root could really become another one."""
    here = pwd.struct_passwd((name, "x", os.getuid(), os.getgid(), "", os.environ.get("HOME", "/"), "/bin/sh"))
    setattr(pwd, "getpwuid", lambda uid: here)  # noqa: B010 - it is a function of the library


if __name__ == "__main__":
    from tests.stories import crash_gate, crash_worker  # whose tests start them by this module

    _import_all()

    PROGRAMS = {"bot": main, "crash_worker": crash_worker.main, "crash_gate": crash_gate.main}
    if command := _serve(sys.argv[1]):
        sys.argv = command
        _exit(PROGRAMS[command[0]])
