"""The main story from where it starts: a signed delivery of GitHub, two replicas of the whole program, and people.

What was merged is deployed to staging and tested by code; production waits for people. However often GitHub sends it,
and to whichever replica, it happens once.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.channels.hooks.samples import sample
from tests.channels.hooks.signing import NOW, SECRET, github
from tests.fakes.servers import Server
from tests.patience import eventually
from tests.shop import MERGED
from tests.stories.program import Bot

pytestmark = pytest.mark.slow

HOOK = """
[hooks.github]
[[hooks.github.on]]
event = "pull_request_merged"
when = { repository = "acme/payments", base = "main" }
place = "terminal:merges"
task = "deploy SHA {sha} to production"
"""


@pytest.fixture
def bot(server: Server, template: Path, tmp_path: Path) -> Bot:
    environment = {
        "REDIS_URL": server.url,
        "BOT_HOOK_GITHUB_SECRET": f"the-one-before-0123456789 {SECRET}",
        "OPENAI_MODEL": "stand-in",
        "PORT": "0",
    }
    bot = Bot(tmp_path, environment).with_site(template)
    team = tmp_path / "bot.toml"
    team.write_text(team.read_text() + HOOK)
    return bot


def merge_of(sha: str) -> bytes:
    document = json.loads(sample("github/pull_request_merged").body)
    document["pull_request"]["merge_commit_sha"] = sha
    return json.dumps(document).encode()


async def delivered(url: str, body: bytes) -> tuple[int, str]:
    headers = {**sample("github/pull_request_merged").headers, **github(body, SECRET, NOW)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/hooks/github", data=body, headers=headers) as it,
    ):
        return it.status, (await it.json())["status"]


async def shown(bot: Bot) -> dict[str, Any]:
    """The only thread, once it waits for people; before that, nothing."""
    threads = (await bot.run("threads", "--json")).document
    if not threads or threads[0]["status"] != "waiting_for_approval":
        return {}
    assert len(threads) == 1
    found: dict[str, Any] = (await bot.run("show", threads[0]["id"], "--json")).document
    return found


async def test_a_merge_that_github_sends_ten_times_to_two_replicas_is_deployed_once(bot: Bot) -> None:
    sha = bot.site.sha(MERGED)
    before = len((bot.site.home / "deployments.log").read_text().splitlines())
    async with bot.started("run") as one, bot.started("run") as two:
        urls = [await one.serves(), await two.serves()]
        answers = await asyncio.gather(*(delivered(urls[number % 2], merge_of(sha)) for number in range(10)))
        assert {status for status, _ in answers} == {202}
        assert {what for _, what in answers} <= {"opened", "known"}
        look: Callable[[], Awaitable[dict[str, Any]]] = functools.partial(shown, bot)
        thread: dict[str, Any] = await eventually(look, "the request for production")
        assert await delivered(urls[0], merge_of(sha)) == (202, "known")
    kinds = [event["kind"] for event in thread["events"]]
    assert kinds.count("trigger_received") == 1
    assert thread["pending"]["arguments"]["environment"] == "production"
    deployed = (bot.site.home / "deployments.log").read_text().splitlines()[before:]
    assert sorted(line.split()[:3] for line in deployed) == [
        ["backend", "staging", sha],
        ["frontend", "staging", sha],
    ]
