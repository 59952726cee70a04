"""A team whose agent ships: one call that a person approves, whose command writes to a ledger outside of the bot.

Nothing but the ledger keeps a call from running twice: the command has no memory of its own, and takes any key. It says
when it begins and when it has ended, and goes on until `let_go`. The model looks at the ledger before it answers, as a
careful person would: it ships what has not been shipped, and is done otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.base import boot_seconds
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server, TcpServer, opened_store
from tests.fakes.wire import Wire
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.ports import HeldPort
from tests.stories.program import Bot, Running

_AGENT = '''
"""Ships versions by the command `ship`."""

import asyncio
from pathlib import Path

from agent import Agent, Call, Tool

NAME = "release"


class Yard:
    def __init__(self, folder):
        self.folder = Path(folder)

    def write(self, line):
        with (self.folder / "ledger").open("a") as ledger:
            ledger.write(line + "\\n")


class Ship(Tool):
    """Ship a version. A person approves it first; code asks them."""

    needs = (Yard,)
    timeout_seconds = 600.0

    version: str

    def needs_approval(self):
        return True

    async def run(self, call: Call):
        yard = call.need(Yard)
        try:
            command = await asyncio.create_subprocess_exec(yard.folder / "ship", call.key, cwd=yard.folder)
            assert await command.wait() == 0
        except asyncio.CancelledError:
            yard.write(f"broken off {call.key}")
            raise
        return {"shipped": self.version}


def build(table, home):
    return Agent(name=NAME, prompt="You ship.", tools=(Ship,), resources={Yard: Yard(table["yard"])})
'''
_OLDER_AGENT = _AGENT.replace("tools=(Ship,)", "tools=()")
_SHIP = """#!/bin/sh
# ship KEY: nothing here asks whether it was done before
echo "began $1" >> ledger
while [ ! -e go ] && [ -d . ]; do sleep 0.05; done
echo "ended $1" >> ledger
"""
_TEAM = """
[agents.release]
yard = '{yard}'

[[rule]]
tool = "*"
group = "anyone"
"""
TOLD_OF_LOSS = "The store lost events of this thread."


@dataclass
class Yard:
    bot: Bot
    model: ModelServer
    folder: Path

    @property
    def ledger(self) -> list[str]:
        """What the command did, in order."""
        file = self.folder / "ledger"
        return file.read_text().splitlines() if file.exists() else []

    def began(self, count: int = 1) -> bool:
        return sum(line.startswith("began ") for line in self.ledger) >= count

    @property
    def shipped_once(self) -> bool:
        """From its beginning to its end, and nothing besides."""
        match self.ledger:
            case [first, last]:
                return (first.split()[0], last.split()[0]) == ("began", "ended") and first.split()[1] == last.split()[1]
        return False

    def let_go(self) -> None:
        """Commands may end."""
        (self.folder / "go").touch()

    def another_bot(self, folder: Path, *, knows_agent: bool) -> Bot:
        """Of another version, on the same store: its agent has no tool, or it has another agent."""
        other = Bot(folder, dict(self.bot.environment))
        _write_team(other, self.folder, _OLDER_AGENT, name="release" if knows_agent else "other")
        return other

    async def asks(self) -> str:
        """A person asks for it. Returns the thread."""
        sent = await self.bot.run("send", "--agent", "release", "ship v1")
        return sent.succeeded().out.strip()

    async def says(self, thread_id: str, words: str) -> None:
        (await self.bot.run("send", "--thread", thread_id, words)).succeeded()

    async def approves(self, thread_id: str) -> None:
        (await self.bot.approve(thread_id)).succeeded()

    async def shown(self, thread_id: str) -> str:
        return (await self.bot.run("show", thread_id)).succeeded().out


@contextlib.asynccontextmanager
async def yard_at(folder: Path, url: str) -> AsyncIterator[Yard]:
    place = folder / "yard"
    place.mkdir()
    (place / "ship").write_text(_SHIP)
    (place / "ship").chmod(0o755)

    def next_step(_: dict[str, Any]) -> dict[str, Any]:
        if yard.began():
            return {"intent": "done_for_now", "message": "It is shipped."}
        return {"intent": "ship", "version": "v1"}

    async with ModelServer(next_step) as model:
        bot = Bot(folder / "bot", {"REDIS_URL": url}).with_model(model)
        yard = Yard(bot, model, place)
        _write_team(bot, place, _AGENT)
        try:
            yield yard
        finally:
            yard.let_go()  # no command is left behind


def _write_team(bot: Bot, yard: Path, agent: str, *, name: str = "release") -> None:
    folder = bot.folder / "agents" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(agent.replace('NAME = "release"', f'NAME = "{name}"'))
    (bot.folder / "bot.toml").write_text(_TEAM.format(yard=yard).replace("agents.release", f"agents.{name}"))


async def until(server: Server, thread_id: str, look: Callable[[Thread], bool], what: str) -> Thread:
    """The thread in the log of that server, as soon as it looks like that."""
    async with opened_store(server.url, "bot") as store:
        thread = await store.load(thread_id)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(_followed(store, thread)) as versions:
                async for thread in versions:
                    if look(thread):
                        break
        except TimeoutError:
            kinds = [f"{event.id} {event.kind}" for event in thread.events]
            raise AssertionError(f"{what} did not happen: {thread.status}, {kinds}") from None
        return thread


async def _followed(store: RedisStore, thread: Thread) -> AsyncGenerator[Thread, None]:
    yield thread
    async for later in store.follow(thread):
        yield later


async def until_status(server: Server, thread_id: str, status: str) -> Thread:
    return await until(server, thread_id, lambda thread: thread.status == status, status)


async def pass_time(seconds: float) -> None:
    """For what must not happen within it, however quick or slow the machine is."""
    until = boot_seconds() + seconds
    while (left := until - boot_seconds()) > 0:  # noqa: ASYNC110 - it is time that has to pass
        await asyncio.sleep(left)


async def working(*workers: Running) -> None:
    for worker in workers:
        await worker.told("Working")


class Pair:
    """A primary and its replica, and the wire by which everybody reaches the one that serves."""

    def __init__(self, primary: TcpServer, replica: TcpServer, wire: Wire) -> None:
        self.primary = primary
        self.replica = replica
        self.wire = wire
        self._nobody = HeldPort()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.wire.port}"

    def replicate(self) -> None:
        """Returns when the replica has all that the primary has."""
        self.replica.command("REPLICAOF", "127.0.0.1", self.primary.port)
        self.primary.command("SET", "to-replicate", 1)  # so that no offset is 0
        wait_until(self._is_level, "the replication")

    def _is_level(self) -> bool:
        found = self.primary.command("INFO", "replication")
        replica = found.get("slave0", {})
        return bool(replica.get("state") == "online" and replica.get("offset") == found["master_repl_offset"])

    def cut_replication(self) -> None:
        self.replica.command("REPLICAOF", "127.0.0.1", self._nobody.number)

    def fail_over(self) -> None:
        """The primary dies, and the replica serves from then on, without what it did not get."""
        self.replica.command("REPLICAOF", "NO", "ONE")
        self.wire.server_port = self.replica.port
        self.wire.cut()
        self.primary.kill()


@contextlib.contextmanager
def _server() -> Iterator[TcpServer]:
    server = TcpServer("--repl-diskless-sync-delay", "0")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    with _server() as primary, _server() as replica:
        async with Wire(primary.port) as wire:
            servers = Pair(primary, replica, wire)
            servers.replicate()
            yield servers
