"""Killed anywhere, with hooks: the process dies before and after each of its writes and of its answers, by SIGKILL.

A service that got no answer sends again, to a process that lives. It must end as if nobody had died: one trigger, one
wake-up, and a record that says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agent.awaiting import await_news
from agent.notes import StoredNotes
from store.events import TimerFired
from store.redis.store import RedisStore
from store.thread import Thread
from tests.bot.web.hooks.gate import Gate, clock_at
from tests.bot.web.hooks.test_taking import FOLLOWS, RUN, TEXT
from tests.channels.hooks.samples import Sample, sample
from tests.channels.hooks.signing import NOW, SECRET, SIGNS
from tests.fakes.servers import opened_store, unique_prefix
from tests.matrices import matrix
from tests.patience import eventually
from tests.stories.program import forked
from tests.telling.story import waits

pytestmark = pytest.mark.slow

STORY = (
    "github/pull_request_merged",
    "alertmanager/firing_one",
    "alertmanager/resolved",
    "github/workflow_run_completed",
)
"""A merge, an incident from its beginning to its end, and news for a thread that waits."""
POINTS = 36
"""How many there are when nothing disturbs it."""


@contextlib.asynccontextmanager
async def process(redis_url: str, prefix: str, folder: Path, crash_at: int = 0) -> AsyncIterator[str]:
    """Its URL."""
    name = uuid.uuid4().hex[:8]
    url, report = folder / f"url-{name}", folder / f"points-{name}"
    order = {
        "redis_url": redis_url,
        "prefix": prefix,
        "text": TEXT,
        "at": NOW.timestamp(),
        "url": str(url),
        "points": {"crash_at": crash_at, "report": str(report)},
    }
    with tempfile.TemporaryFile() as nothing, tempfile.TemporaryFile() as errors:
        it = await forked(["crash_gate", json.dumps(order)], folder, os.environ, (nothing, nothing, errors))
    try:
        await eventually(url.exists, "its listening")
        yield url.read_text()
    finally:
        await it.end()


async def sent(url: str, it: Sample) -> int:
    """The status; 0: no answer came."""
    headers = {**it.headers, **SIGNS[it.kind](it.body, SECRET, NOW)}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/hooks/{it.kind}", data=it.body, headers=headers) as answer,
        ):
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, OSError):
        return 0


async def tell(store: RedisStore, redis_url: str, prefix: str, folder: Path, crash_at: int) -> int:
    """Send the story, each part until it is taken. Returns how often no answer came."""
    await store.append(Thread("t1"), *FOLLOWS, waits("s1"))
    await await_news(StoredNotes(store, clock_at()), RUN, "t1")
    unanswered = 0
    async with process(redis_url, prefix, folder, crash_at) as first, process(redis_url, prefix, folder) as second:
        for name in STORY:
            status = await sent(first, sample(name))
            unanswered += not status
            if not status:
                status = await sent(second, sample(name))
            assert status == 202
            assert await sent(second, sample(name)) == 202  # Some services send again although they were answered.
    return unanswered


def points_in(folder: Path) -> list[str]:
    """Of the process that was told most."""
    return max((path.read_text().splitlines() for path in folder.glob("points-*")), key=len)


async def assert_ends_well(store: RedisStore) -> None:
    gate = Gate(store, clock_at(), TEXT)
    names = sorted(trigger.name for trigger in await gate.triggers())
    assert names == ["alert_firing", "alert_resolved", "pull_request_merged"]
    assert len(await gate.threads()) == 3
    followed = await store.load("t1")
    assert sum(isinstance(event, TimerFired) for event in followed.events) == 1
    records = [*await gate.records("github"), *await gate.records("alertmanager")]
    assert [record.done for record in records] == [True] * 4
    assert sorted(record.did for record in records) == ["joined", "opened", "opened", "resumed"]


@pytest.fixture
async def prefix() -> str:
    return unique_prefix()


async def test_the_story_has_so_many_points(redis_url: str, prefix: str, tmp_path: Path) -> None:
    async with opened_store(redis_url, prefix) as store:
        assert await tell(store, redis_url, prefix, tmp_path, 0) == 0
        await assert_ends_well(store)
    assert len(points_in(tmp_path)) == POINTS, points_in(tmp_path)


@matrix("crash_at", range(1, POINTS + 1), sample=8)
async def test_the_story_ends_the_same_wherever_it_is_killed(
    redis_url: str, prefix: str, tmp_path: Path, crash_at: int
) -> None:
    async with opened_store(redis_url, prefix) as store:
        # Killed after it has answered, nobody notices before the next delivery.
        assert await tell(store, redis_url, prefix, tmp_path, crash_at) >= (crash_at <= POINTS - 1)
        await assert_ends_well(store)
