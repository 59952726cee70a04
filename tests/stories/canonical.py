"""The canonical deploybot scenario as a world that can be killed: a site on disk, workers as processes, a person.

The person of the scenario is `Person`'s script below: objects to the first production deployment, approves the others,
and when asked whether an interrupted tool did its work, goes and looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.decide import decide
from agent.definition import Agent
from agent.roster import deploy, rollback
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
from tests.shop import COMPONENTS, MERGED, Site
from tests.stories.program import Process, forked

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
        return {one.NAME: one.build(table, self.home) for one in (deploy, rollback)}


def new_world(template: Path, folder: Path, redis_url: str) -> World:
    """A copy of a site that was built once."""
    home = folder / uuid.uuid4().hex[:8]
    home.mkdir()
    site = Site(home / "site")
    shutil.copytree(template, site.home, symlinks=True)
    site.write_team_file(home / "bot.toml")
    return World(home, redis_url, f"kill-{home.name}")


class WorkerProcess:
    """A worker as a process of its own, which may have been told to die (`tests.stories.crash_worker`)."""

    def __init__(self, process: Process, report: Path) -> None:
        self._process = process
        self._report = report
        self.signal, self.ends = process.signal, process.ends

    @classmethod
    async def started(cls, world: World, crash_at: int = 0) -> WorkerProcess:
        """It kills itself at its nth point; 0: never."""
        report = world.home / f"points-{uuid.uuid4().hex[:8]}"
        order = {
            "home": str(world.home),
            "redis_url": world.redis_url,
            "prefix": world.prefix,
            "points": {"crash_at": crash_at, "report": str(report)},
        }
        command = ["crash_worker", json.dumps(order)]
        with tempfile.TemporaryFile() as nothing, tempfile.TemporaryFile() as errors:
            process = await forked(command, world.home, os.environ, (nothing, nothing, errors))
        return cls(process, report)

    @property
    def has_ended(self) -> bool:
        return self._process.has_ended

    @property
    def points(self) -> list[str]:
        """Those it came to so far; of one that has killed itself the last one is where."""
        # One that another worker left nothing to do comes to none.
        return self._report.read_text().splitlines() if self._report.exists() else []

    async def stop(self) -> int:
        """Ask it to end in order, where it goes on. How it ended."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):  # it has just died
                self.signal(signal.SIGTERM)
        return await self.ends()

    async def end(self) -> None:
        """By force, where it goes on."""
        await self._process.end()


@dataclass
class Story:
    """How one telling ended."""

    thread: Thread
    crashed_at: str
    """The name of the point, if a worker was killed."""
    questions: int
    points: list[str]
    """Those that the first worker came to."""


async def tell(world: World, *, workers: int = 1, crash_at: int = 0) -> Story:
    """Tell the whole story; the first worker is killed at its nth point, and another one takes over."""
    store = await RedisStore.open(world.redis_url, world.prefix)
    started: list[WorkerProcess] = []
    try:
        return await _tell(world, started, store, workers, crash_at)
    finally:
        for worker in started:
            await worker.end()
        await store.aclose()


async def _tell(world: World, started: list[WorkerProcess], store: RedisStore, workers: int, crash_at: int) -> Story:
    inbox, roster = Inbox(store), world.roster()
    place = Place(channel=TERMINAL, address=world.home.name)
    thread = await store.load(await inbox.trigger(place, merge_of(world.site), agent="deploy"))
    started += [await WorkerProcess.started(world, 0 if number else crash_at) for number in range(workers)]
    crashed_at = ""
    deadline = time.monotonic() + STORY_SECONDS_MAX
    while True:
        assert time.monotonic() < deadline, f"the story hangs: {thread.status}, {[e.id for e in thread.events[-5:]]}"
        if not crashed_at and started[0].has_ended:
            crashed_at = await _died(started[0])
            await let_lease_run_out(store, thread.id)
            started.append(await WorkerProcess.started(world))
        try:
            thread = await store.refresh(thread)
            if await act(world, inbox, roster, thread):
                break
        except StoreUnavailable:
            pass  # the test has killed it, and will start it again
        await asyncio.sleep(LOOK_SECONDS)
    for worker in started:
        # One that has only just been started has no handler for the signal yet, and ends by it.
        if await worker.stop() not in (0, -signal.SIGTERM):
            crashed_at = await _died(worker)
    return Story(await store.load(thread.id), crashed_at, _interruptions(thread), started[0].points)


async def _died(worker: WorkerProcess) -> str:
    """Where, if it is one that was told to."""
    assert await worker.ends() == -signal.SIGKILL, "a worker ended by itself"
    return worker.points[-1]


async def act(world: World, inbox: Inbox, roster: dict[str, Agent], thread: Thread) -> bool:
    """What the person does now, if it is their turn. True: the story is at its end."""
    if decide(roster[thread.agent], thread) is not None:
        return False
    if thread.pending:
        rejected = any(step.status == "rejected" for step in thread.state.steps.values())
        first = thread.pending.chosen.arguments["component"] == "frontend" and not rejected
        seen, comment = thread.pending.digest, OBJECTION if first else ""
        await inbox.decide(thread.id, DEX, approved=not first, digest=seen, comment=comment)
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
    component = str(interrupted.chosen.arguments["component"])
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
    assert not story.thread.state.outbox, f"{where}: something was left unsaid"
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
