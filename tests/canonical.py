"""The canonical deploybot scenario as a world that can be killed: a site on disk, workers as processes, a person.

The person of the scenario is `Person`'s script below: objects to the first production deployment, approves the others,
and when asked whether an interrupted tool did its work, goes and looks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.decide import decide
from agent.definition import Agent
from agent.roster import ROSTER
from bot.cli.demo.site import COMPONENTS, MERGED, Site
from bot.inbox import Inbox
from bot.team.file import read_team
from bot.views.transcript import entries
from channels.terminal import NAME as TERMINAL
from store.base import StoreUnavailable
from store.events import ApprovalDecided, ToolInterrupted, TriggerReceived
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Person, Place
from tests.patience import STORY_SECONDS_MAX

ROOT = Path(__file__).parent.parent
DEX = Person(name="dex", address="dex", trust="verified")
OBJECTION = "can you deploy the backend first?"
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class World:
    """One telling of the story: its files, its thread, its keys in Redis."""

    home: Path
    redis_url: str
    prefix: str

    @property
    def site(self) -> Site:
        return Site(self.home / "site")

    def roster(self) -> dict[str, Agent]:
        table = read_team(self.home / "bot.toml").agents["deploy"]
        return {name: build(table, self.home) for name, build in ROSTER.items()}


def new_world(template: Path, folder: Path, redis_url: str) -> World:
    """A copy of a site that was built once."""
    home = folder / uuid.uuid4().hex[:8]
    home.mkdir()
    site = Site(home / "site")
    shutil.copytree(template, site.home, symlinks=True)
    site.write_team_file(home / "bot.toml")
    return World(home, redis_url, f"kill-{home.name}")


class WorkerProcesses:
    """Worker processes, forked from one that has everything imported already (`tests.crash_worker`)."""

    def __init__(self, nursery: asyncio.subprocess.Process) -> None:
        self._nursery = nursery

    @classmethod
    @asynccontextmanager
    async def nursery(cls) -> AsyncIterator[WorkerProcesses]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.crash_worker",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin
            process.stdin.close()
            await process.wait()

    async def run(self, world: World, thread_id: str, *, crash_at: int) -> asyncio.Task[dict[str, Any]]:
        """Start a worker that kills itself at its nth point; 0: never. The task's result tells how it ended."""
        assert self._nursery.stdin
        order = {
            "home": str(world.home),
            "redis_url": world.redis_url,
            "prefix": world.prefix,
            "thread": thread_id,
            "crash_at": crash_at,
        }
        self._nursery.stdin.write(json.dumps(order).encode() + b"\n")
        await self._nursery.stdin.drain()
        return asyncio.create_task(self._ended())

    async def _ended(self) -> dict[str, Any]:
        assert self._nursery.stdout
        answer: dict[str, Any] = json.loads(await self._nursery.stdout.readline())
        return answer

    async def finish(self) -> None:
        """Ask the worker that runs to stop in order."""
        assert self._nursery.stdin
        self._nursery.stdin.write(b"stop\n")
        await self._nursery.stdin.drain()


@dataclass
class Story:
    """How one telling ended."""

    thread: Thread
    crashed_at: str
    questions: int


async def tell(world: World, processes: list[WorkerProcesses], *, crash_at: int = 0) -> Story:
    """Tell the whole story; the first worker is killed at its nth point, and another one takes over."""
    store = await RedisStore.open(world.redis_url, world.prefix)
    try:
        return await _tell(world, processes, store, crash_at)
    finally:
        await store.aclose()


async def _tell(world: World, processes: list[WorkerProcesses], store: RedisStore, crash_at: int) -> Story:
    inbox, roster = Inbox(store), world.roster()
    place = Place(channel=TERMINAL, address=world.home.name)
    thread = await store.load(await inbox.trigger(place, merge_of(world.site), agent="deploy"))
    workers = {p: await p.run(world, thread.id, crash_at=crash_at if p is processes[0] else 0) for p in processes}
    crashed_at = ""
    deadline = time.monotonic() + STORY_SECONDS_MAX
    while True:
        assert time.monotonic() < deadline, f"the story hangs: {thread.status}, {[e.id for e in thread.events[-5:]]}"
        for process, worker in list(workers.items()):
            if worker.done():
                crashed_at = worker.result()["crashed_at"]
                assert crashed_at, f"a worker ended by itself: {worker.result()}"
                await let_lease_run_out(store, thread.id)
                workers[process] = await process.run(world, thread.id, crash_at=0)
        try:
            thread = await store.load(thread.id)
            if await act(world, inbox, roster, thread):
                break
        except StoreUnavailable:
            pass  # the test has killed it, and will start it again
        await asyncio.sleep(LOOK_SECONDS)
    for process, worker in workers.items():
        if not worker.done():
            await process.finish()
        crashed_at = (await worker)["crashed_at"] or crashed_at
    return Story(await store.load(thread.id), crashed_at, _interruptions(thread))


async def act(world: World, inbox: Inbox, roster: dict[str, Agent], thread: Thread) -> bool:
    """What the person does now, if it is their turn. True: the story is at its end."""
    if decide(roster[thread.agent], thread) is not None:
        return False
    if thread.pending:
        rejected = any(step.status == "rejected" for step in thread.state.steps.values())
        first = thread.pending.chosen.intent == "deploy_frontend" and not rejected
        await inbox.decide(thread.id, DEX, approved=not first, comment=OBJECTION if first else "")
        return False
    if thread.state.question:
        asked = thread.state.steps[thread.state.question].chosen
        assert "Did it happen?" in str(asked.arguments["question"]), asked
        await inbox.answer(thread.id, DEX, "yes" if await _it_happened(world, thread) else "no")
        return False
    assert thread.status in ("done", "waiting"), f"{thread.status}: {thread.events[-1]}"
    return thread.status == "done"


async def _it_happened(world: World, thread: Thread) -> bool:
    """The person waits until nothing runs on the target any more, and looks at what was carried out."""
    interrupted = [step for step in thread.state.steps.values() if step.status == "interrupted"][-1]
    component = interrupted.chosen.intent.removeprefix("deploy_")
    environment = str(interrupted.chosen.arguments["environment"])
    runs = world.home / "deployments" / f"{component}-{environment}" / "runs"
    await until(lambda: all((run / "result.json").exists() for run in runs.glob("*")))
    return any(line.startswith(f"{component} {environment} {MERGED}") for line in world.site.deployed())


def assert_ends_well(world: World, story: Story) -> None:
    """The same end whatever happened on the way."""
    sha = world.site.sha(MERGED)
    where = f"disturbed at {story.crashed_at}:\n" + "\n".join(f"{e.who}: {e.text}" for e in entries(story.thread))
    for component in COMPONENTS:
        assert world.site.running(component, "production") == sha, where
        assert world.site.running(component, "staging") == sha, where
    done = [line for line in world.site.deployed() if line.split()[2] == sha]
    assert sorted(line.rsplit(" ", 2)[0] for line in done) == [
        "backend production",
        "backend staging",
        "frontend production",
        "frontend staging",
    ], f"{done}, {where}: every deployment once, and none twice"
    order = [line.split()[0] for line in done if line.split()[1] == "production"]
    assert order == ["backend", "frontend"], f"{where}: the person wanted the backend first"
    assert story.thread.status == "done", where
    assert not story.thread.state.owed, f"{where}: something was left unsaid"
    ids = [event.id for event in story.thread.events]
    assert len(ids) == len(set(ids)), where
    decisions = [event for event in story.thread.events if isinstance(event, ApprovalDecided)]
    assert sum(e.approved for e in decisions) >= 2, where


def _interruptions(thread: Thread) -> int:
    return sum(isinstance(event, ToolInterrupted) for event in thread.events)


async def let_lease_run_out(store: RedisStore, thread_id: str) -> None:
    """Time passes: the dead worker's lease ends."""
    key = store.keys.due(store.keys.shard(thread_id))
    await store._redis.client.zadd(key, {thread_id: 0}, xx=True)


async def until(happened: Callable[[], bool]) -> None:
    """Looks until it has, or the story has taken too long."""
    async with asyncio.timeout(STORY_SECONDS_MAX):
        while not happened():  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(LOOK_SECONDS)


def merge_of(site: Site) -> TriggerReceived:
    return TriggerReceived(
        id="delivery-1",
        at=datetime.now(UTC),
        source="github",
        name="pull_request_merged",
        data={"sha": site.sha(MERGED), "task": f"deploy SHA {MERGED} to production"},
    )
