"""Slack as people have it: `bot run` as a process of its own, on one side a Slack for tests, on the other a git
repository and deploy commands that are real. The model is the demo's decider, asked over HTTP as any other.

Scopes, events and features are those of manifest.yml, so what it forgets does not work here either.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.roster.deploy.stand_in import next_step
from tests import ROOT
from tests.fakes.model_server import ModelServer, Reply
from tests.fakes.servers import Server
from tests.fakes.slack import Message, SlackServer
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.stories.program import Bot, Running

pytestmark = pytest.mark.slow

MANIFEST = ROOT / "manifest.yml"
MODES = ("socket", "http")


def decider(request: dict[str, Any]) -> Reply:
    return Reply(next_step(request["messages"][0]["content"], request["messages"][-1]["content"]))


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer.from_manifest(
        MANIFEST,
        retry_waits_seconds=(0.2, 0.5, 2.0),
        acknowledge_seconds=PATIENCE_SECONDS,
        trigger_seconds=PATIENCE_SECONDS,
    ) as server:
        yield server


class Team:
    """Slack, and the bot's installation beside it."""

    def __init__(self, slack: SlackServer, bot: Bot) -> None:
        self.slack = slack
        self.bot = bot
        self.thread: Message | None = None

    @contextlib.asynccontextmanager
    async def running(self, mode: str = "socket", *roles: str, **settings: str) -> AsyncIterator[Running]:
        slack = self.slack
        environment = {"SLACK_API_URL": slack.api_url, "SLACK_BOT_TOKEN": slack.bot_token, "BOT_LEASE_SECONDS": "2"}
        if mode == "http":
            environment |= {"SLACK_SIGNING_SECRET": slack.signing_secret, "PORT": "0"}
        else:
            environment |= {"SLACK_APP_TOKEN": slack.app_token}
        async with self.bot.started("run", *roles, **(environment | settings)) as process:
            await process.told("Listening to Slack" if "web" in roles or not roles else "Working for")
            if mode == "http":
                slack.http_target = f"{await process.serves()}/slack/events"
            yield process

    async def asks(self, text: str, user: str = "ana") -> Message:
        self.thread = await self.slack.mention("deploys", user, text)
        return self.thread

    async def hears(self, text: str, count: int = 1) -> Message:
        """The bot's newest message in the thread with these words, when there are so many of them."""

        def found() -> list[Message]:
            mine = [m for m in self.from_bot() if text in self.slack.text_of(m)]
            return mine if len(mine) >= count else []

        try:
            return (await self.slack.wait_for(found, PATIENCE_SECONDS))[-1]
        except TimeoutError as error:
            said = "\n".join(f"- {self.slack.text_of(m)}" for m in self.from_bot())
            raise AssertionError(f"{text!r} did not come:\n{said}") from error

    def from_bot(self) -> list[Message]:
        assert self.thread
        bot = self.slack.workspace.bot.id
        return [m for m in self.slack.messages("deploys", self.thread) if m.user == bot]

    async def rejects(self, card: Message, reason: str, user: str = "ben") -> None:
        await self.slack.click(user, card, "Reject")
        view = (await self.slack.wait_for(lambda: self.slack.views, PATIENCE_SECONDS))[-1]
        await self.slack.submit(user, view, {"reason": reason})

    async def approves(self, card: Message, user: str = "ben") -> None:
        await self.slack.acknowledged(await self.slack.click(user, card, "Approve"))

    def is_told(self, text: str) -> bool:
        return any(text in self.slack.text_of(message) for message in self.from_bot())

    def cards(self) -> list[Message]:
        return [m for m in self.from_bot() if "Approve" in self.slack.buttons_of(m)]


@pytest.fixture
def team(slack: SlackServer, tmp_path: Path, template: Path, model: ModelServer, server: Server) -> Team:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)
    return Team(slack, bot)


@pytest.mark.parametrize("mode", MODES)
async def test_from_a_mention_to_both_components_in_production(team: Team, mode: str) -> None:
    site = team.bot.site
    async with team.running(mode) as process:
        assert all(text.startswith(("Listening to Slack", "Serving http", "Working for")) for text in process.texts)
        await team.asks(f"deploy {MERGED} to production")
        card = await team.hears("component: frontend")
        assert team.slack.buttons_of(card) == ["Approve", "Reject", "Edit…"]
        assert site.sha(MERGED) in team.slack.text_of(card)
        await team.rejects(card, "can you deploy the backend first?")
        settled = await team.hears("rejected by")
        assert settled.ts == card.ts
        assert "can you deploy the backend first?" in team.slack.text_of(settled)
        assert team.slack.buttons_of(settled) == []

        card = await team.hears("component: backend")
        await team.approves(card)
        assert (await team.hears("approved by")).ts == card.ts
        assert team.slack.buttons_of(await team.hears("approved by")) == []
        second = await team.slack.wait_for(lambda: team.cards()[-1:], PATIENCE_SECONDS)
        await team.approves(second[0])
        await team.hears("end-to-end tests on production passed")
    assert site.running("backend", "production") == site.running("frontend", "production") == site.sha(MERGED)


async def test_whatever_is_posted_to_it_each_line_of_its_log_is_json(team: Team) -> None:
    strange = ('{"type":"event_callback","authorizations":"x"}', "[", "payload=%7B", "{")
    async with team.running("http", "web") as process, aiohttp.ClientSession() as session:
        for body in strange:
            for signature in ({}, team.slack.deliveries.signature(body)):
                headers = {"Content-Type": "application/json", **signature}
                async with session.post(team.slack.http_target or "", data=body, headers=headers) as answer:
                    assert answer.status in (400, 401)
        process.signal(signal.SIGTERM)
        await process.ends()
        names = [line["event"] for line in process.log]
    assert "slack_not_understood" in names
    assert not {"library", "uncaught"} & set(names)
