"""A worker is killed at each call to Vercel and at each change of the notes; another one goes on with the same step.

Whatever happens, nothing is created or promoted twice, and nothing that was begun is lost. Where nobody can know
whether it was begun, it is not begun again: it is `lost`, and a person frees the target.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests import ROOT
from tests.agent.roster.deploy.deployers.contract import ONE, TWO
from tests.agent.roster.deploy.deployers.vercel.scene import Scene
from tests.agent.roster.deploy.deployers.vercel.worker import deployed
from tests.fakes.vercel import TOKEN, VercelServer
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

WORKER = "tests.agent.roster.deploy.deployers.vercel.worker"
TABLE = '{"kind": "vercel", "project": "web", "team": "acme", "target": "production"}'
WAYS = {"built": (7, 12), "built and promoted": (11, 14), "promoted": (7, 10)}
"""How a deployment goes: with so many calls to Vercel, and so many points in the notes."""


@dataclass(frozen=True)
class Point:
    way: str
    at: str
    number: int

    def __str__(self) -> str:
        return f"{self.way} {self.at} {self.number}"


POINTS = [
    Point(way, at, number + 1)
    for way, (calls, notes) in WAYS.items()
    for at, count in (("before call", calls), ("after call", calls), ("notes", notes))
    for number in range(count)
]


@pytest.fixture
async def vercel() -> AsyncIterator[VercelServer]:
    async with VercelServer() as server:
        yield server


def scene_of(way: str, vercel: VercelServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """TWO runs. Where it is only promoted, Vercel has built ONE before."""
    scene = Scene(vercel, folder, monkeypatch, auto_assign=way == "built")
    vercel.deployed(scene.project, TWO)
    if way == "promoted":
        vercel.deployed(scene.project, ONE, live=False)
    return scene


class Worker:
    """A process of `worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, scene: Scene, die_at: int = 0) -> Worker:
        command = [sys.executable, "-m", WORKER, TABLE, str(scene.notes.folder), str(die_at)]
        environment = {**os.environ, "VERCEL_TOKEN": TOKEN, "VERCEL_API_URL": scene.vercel.url}
        return cls(
            await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE)
        )

    async def ends(self) -> tuple[int, str]:
        """Its exit code, and how the deployment has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, _ = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, out.decode().strip()

    async def killed(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # It has just ended.
            self._process.kill()
        await self._process.wait()


@pytest.mark.parametrize("way", WAYS)
async def test_undisturbed_it_has_so_many_points(
    way: str, vercel: VercelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(way, vercel, tmp_path, monkeypatch)
    changes = points_of(scene)
    assert (await deployed(scene.deployer())).state == "succeeded"
    assert (len(vercel.requests), changes()) == WAYS[way], [one.operation for one in vercel.requests]
    assert_each_thing_once(scene, way)


def points_of(scene: Scene) -> Callable[[], int]:
    begins = -1_000_000
    scene.notes._left = begins
    return lambda: begins - scene.notes._left


@matrix("point", POINTS, sample=5)
async def test_nothing_is_done_twice_and_nothing_is_lost_wherever_a_worker_is_killed(
    point: Point, vercel: VercelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(point.way, vercel, tmp_path, monkeypatch)
    if point.at == "notes":
        assert await (await Worker.started(scene, point.number)).ends() == (-signal.SIGKILL, "")
    else:
        count = 0

        def is_it(given: object) -> bool:
            nonlocal count
            count += 1
            return count == point.number

        async with vercel.hold("*", after_effect=point.at == "after call", when=is_it) as gate:
            worker = await Worker.started(scene)
            await gate.reached()
            await worker.killed()
            await gate.abandoned()
    code, state = await (await Worker.started(scene)).ends()
    assert code == 0
    if state == "running":  # It was claimed, and Vercel does not show it.
        assert [one.sha for one in vercel.deployments] == [TWO]
        scene.notes.passed = timedelta(minutes=4)
        run = await deployed(scene.deployer())
        assert run.state == "lost"
        await scene.deployer().release(run.id, "Ann")
        state = (await deployed(scene.deployer(), key="t1/s2")).state
    assert state == "succeeded"
    assert_each_thing_once(scene, point.way)


def assert_each_thing_once(scene: Scene, way: str) -> None:
    made = [one for one in scene.vercel.deployments if one.sha == ONE]
    assert len(made) == 1, scene.vercel.deployments
    assert scene.project.production is made[0]
    asked = [one.operation for one in scene.vercel.requests if one.status in (200, 201)]
    assert asked.count("requestPromote") <= (way != "built")
