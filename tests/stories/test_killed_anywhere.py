"""The canonical scenario, with its worker killed before and after every append and every outside call."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest

from store.thread import Thread
from tests.fakes.servers import Server
from tests.matrices import matrix
from tests.patience import eventually
from tests.stories.canonical import World, assert_ends_well, new_world, tell

pytestmark = pytest.mark.slow

POINTS = 156
"""How many there are in the story when nothing disturbs it."""
MUST_ASK = {
    "after append of s/started/1": 4,
    "before starting to deploy backend to staging": 1,
    "before starting to deploy frontend to staging": 1,
    "before starting to deploy backend to production": 1,
    "before starting to deploy frontend to production": 1,
    **{
        f"{when} claim of tool/deployment-targets/{target}": 1
        for when in ("before", "after")
        for target in ("backend/staging", "frontend/staging", "backend/production", "frontend/production")
    },
}
"""A person is asked at four points of each of the four deployments, and nowhere else: after those it is found again."""


async def test_the_story_has_so_many_points_and_at_some_a_person_would_be_asked(
    template: Path, tmp_path: Path, redis_url: str
) -> None:
    world = new_world(template, tmp_path, redis_url)
    story = await tell(world)
    assert_ends_well(world, story)
    assert len(story.points) == POINTS, story.points
    reached = " ".join(story.points)
    for what in (
        "append of",
        "the model",
        "sending",
        "starting to deploy",
        "looking at a run",
        "testing production",
        "claim of",
    ):
        assert f"before {what}" in reached
        assert f"after {what}" in reached
    asks = (point for point in story.points if must_ask(point, story.thread))
    assert Counter(re.sub(r"s\d+", "s", point) for point in asks) == MUST_ASK


@matrix("crash_at", range(1, POINTS + 1), sample=10)
async def test_the_story_ends_the_same_wherever_the_worker_is_killed(
    template: Path, tmp_path: Path, redis_url: str, crash_at: int
) -> None:
    world = new_world(template, tmp_path, redis_url)
    story = await tell(world, crash_at=crash_at)
    assert story.crashed_at
    assert_ends_well(world, story)
    assert story.questions == must_ask(story.crashed_at, story.thread), f"asked when killed at {story.crashed_at}"


def must_ask(point: str, thread: Thread) -> int:
    """Exactly where a tool that cannot be repeated had started, and what it starts was not on record yet."""
    if point.startswith("before starting to deploy") or "claim of" in point:
        return 1
    if found := re.fullmatch(r"after append of (s\d+)/started.*", point):
        return int(thread.state.steps[found[1]].chosen.acts)
    return 0


async def test_two_workers_share_the_story(template: Path, tmp_path: Path, redis_url: str) -> None:
    world = new_world(template, tmp_path, redis_url)
    story = await tell(world, workers=2)
    assert_ends_well(world, story)
    assert story.questions == 0


@matrix("crash_at", [7, 23, 41, 58], sample=2)
async def test_one_of_two_workers_is_killed(template: Path, tmp_path: Path, redis_url: str, crash_at: int) -> None:
    world = new_world(template, tmp_path, redis_url)
    story = await tell(world, workers=2, crash_at=crash_at)
    assert_ends_well(world, story)


@matrix("after_events", [3, 10, 20, 30, 40], sample=2)
async def test_redis_is_killed_and_restarted_in_the_middle(
    template: Path, tmp_path: Path, server: Server, after_events: int
) -> None:
    world = new_world(template, tmp_path, server.url)

    def has_so_many() -> bool:
        logs = server.command("KEYS", f"{world.prefix}:*:log:*")
        return bool(logs) and server.command("LLEN", logs[0]) >= after_events

    async def kill_it() -> None:
        await eventually(has_so_many)
        server.kill()
        server.start()

    async with asyncio.TaskGroup() as tasks:
        killing = tasks.create_task(kill_it())
        story = await tell(world)
        assert killing.done(), f"the story was over after {story.thread.version} events"
    assert_ends_well(world, story)
    assert story.questions == 0, "a worker that lives knows how its tool ended, however long the store was away"


def test_worlds_are_apart(template: Path, tmp_path: Path) -> None:
    one, two = (new_world(template, tmp_path, "") for _ in range(2))
    assert isinstance(one, World)
    assert one.home != two.home
    assert one.site.running("backend", "production") == two.site.running("backend", "production") != ""
