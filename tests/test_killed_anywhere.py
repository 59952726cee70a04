"""The canonical scenario, with its worker killed before and after every append and every outside call."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.canonical import Story, WorkerProcesses, World, assert_ends_well, new_world, tell
from tests.servers import Server

pytestmark = pytest.mark.slow

LANES = 2
POINTS_MAX = 1_000


async def test_the_story_ends_the_same_wherever_the_worker_is_killed(
    template: Path, tmp_path: Path, redis_url: str
) -> None:
    todo = iter(range(1, POINTS_MAX))
    told: list[Story] = []

    async def lane() -> None:
        async with WorkerProcesses.nursery() as processes:
            for point in todo:
                world = new_world(template, tmp_path, redis_url)
                story = await tell(world, [processes], crash_at=point)
                assert_ends_well(world, story)
                assert story.questions == must_ask(story), f"asked when killed at {story.crashed_at}"
                if not story.crashed_at:
                    return  # the story was over before that point
                told.append(story)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(LANES):
            lanes.create_task(lane())
    reached = " ".join(story.crashed_at for story in told)
    for what in ("append of", "the model", "sending", "starting to deploy", "looking at a run", "testing production"):
        assert f"before {what}" in reached
        assert f"after {what}" in reached
    asked = Counter(re.sub(r"s\d+", "s", story.crashed_at) for story in told if story.questions)
    assert asked == {
        "after append of s/started/1": 4,
        "before starting to deploy backend to staging": 1,
        "after starting to deploy backend to staging": 1,
        "before starting to deploy frontend to staging": 1,
        "after starting to deploy frontend to staging": 1,
        "before starting to deploy backend to production": 1,
        "after starting to deploy backend to production": 1,
        "before starting to deploy frontend to production": 1,
        "after starting to deploy frontend to production": 1,
        "before append of s/finished": 4,
    }, "a person is asked at four points of each of the four deployments, and nowhere else"


def must_ask(story: Story) -> int:
    """Exactly where a tool that cannot be repeated had started, and its end was not written yet."""
    if "starting to deploy" in story.crashed_at:
        return 1
    if found := re.fullmatch(r"(before|after) append of (s\d+)/(started|finished).*", story.crashed_at):
        acts = story.thread.state.steps[found[2]].chosen.acts
        return int(acts and (found[1], found[3]) in (("after", "started"), ("before", "finished")))
    return 0


async def test_two_workers_share_the_story(template: Path, tmp_path: Path, redis_url: str) -> None:
    async with WorkerProcesses.nursery() as one, WorkerProcesses.nursery() as two:
        world = new_world(template, tmp_path, redis_url)
        story = await tell(world, [one, two])
        assert_ends_well(world, story)
        assert story.questions == 0


@pytest.mark.parametrize("crash_at", [7, 23, 41, 58])
async def test_one_of_two_workers_is_killed(template: Path, tmp_path: Path, redis_url: str, crash_at: int) -> None:
    async with WorkerProcesses.nursery() as one, WorkerProcesses.nursery() as two:
        world = new_world(template, tmp_path, redis_url)
        story = await tell(world, [one, two], crash_at=crash_at)
        assert_ends_well(world, story)


@pytest.mark.parametrize("after_events", [3, 10, 20, 30, 40])
async def test_redis_is_killed_and_restarted_in_the_middle(
    template: Path, tmp_path: Path, server: Server, after_events: int
) -> None:
    world = new_world(template, tmp_path, server.url)

    async def kill_it() -> None:
        while True:
            logs = server.command("KEYS", f"{world.prefix}:*:log:*")
            if logs and server.command("LLEN", logs[0]) >= after_events:
                break
            await asyncio.sleep(0.005)
        server.kill()
        server.start()

    async with WorkerProcesses.nursery() as processes, asyncio.TaskGroup() as tasks:
        killing = tasks.create_task(kill_it())
        story = await tell(world, [processes])
        assert killing.done(), f"the story was over after {story.thread.version} events"
    assert_ends_well(world, story)
    assert story.questions == 0, "a worker that lives knows how its tool ended, however long the store was away"


def test_worlds_are_apart(template: Path, tmp_path: Path) -> None:
    one, two = (new_world(template, tmp_path, "") for _ in range(2))
    assert isinstance(one, World)
    assert one.home != two.home
    assert one.site.running("backend", "production") == two.site.running("backend", "production") != ""
