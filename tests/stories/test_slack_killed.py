"""Killed anywhere, with Slack: the program dies before and after each of its calls to Slack.

The story is the office's shortest with everything in it: a mention, a card, a reject with a reason, another card, an
approval, the last word. Slack holds the nth such call, before or after it took effect; the process is killed with it,
another one is started, and the story goes on. It must end the same: each message there once, each card settled.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.fakes.slack import Message, SlackServer
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS, STORY_SECONDS_MAX
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_slack import MANIFEST, Team, decider

pytestmark = pytest.mark.slow

CALLS = {"users.info": 2, "views.open": 1, "chat.postMessage": 7, "chat.update": 5}
"""How many are tried. On the way in: who speaks, who clicks, the form. Out: three cards, two last words and up
to four deployments; cards are rewritten.
"""
ALWAYS = {"users.info": 2, "views.open": 1, "chat.postMessage": 5, "chat.update": 3}
"""How many there are at least: of a deployment that ends at once no progress is shown."""


@dataclass(frozen=True)
class Point:
    method: str
    number: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.method} {self.number}"


POINTS = [
    Point(method, n + 1, after) for method, count in CALLS.items() for n in range(count) for after in (False, True)
]


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@matrix("point", POINTS, sample=3)
async def test_nothing_is_doubled_or_lost_wherever_the_program_is_killed(
    template: Path, tmp_path: Path, model: ModelServer, server: Server, point: Point
) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)
    async with SlackServer.from_manifest(
        MANIFEST,
        retry_waits_seconds=(0.2, 0.5, 2.0, 5.0),
        acknowledge_seconds=PATIENCE_SECONDS,
        trigger_seconds=PATIENCE_SECONDS,
    ) as slack:
        team = Team(slack, bot)
        try:
            killed = await story(team, point)
        except TimeoutError as error:
            said = "\n".join(slack.text_of(message) for message in team.from_bot())
            raise AssertionError(f"the story hangs:\n{said}") from error
    assert killed or point.number > ALWAYS[point.method]


async def story(team: Team, point: Point) -> bool:
    """Whether the program was killed in it."""
    slack = team.slack
    told = asyncio.create_task(tell(team), name="the person")
    gate_is = slack.hold(point.method, after_effect=point.after, when=nth(point.number))
    async with gate_is as gate, asyncio.timeout(STORY_SECONDS_MAX):
        async with team.running() as process:
            reached = asyncio.create_task(gate.reached(seconds=STORY_SECONDS_MAX))
            await asyncio.wait({told, reached}, return_when=asyncio.FIRST_COMPLETED)
            killed = reached.done() and not told.done()
            process.kill()
            await process.ends()
            reached.cancel()
        if killed:
            await gate.abandoned()
            gate.release()
            async with team.running() as process:
                await told
    await told
    thread = await slack.wait_for(lambda: slack.messages("deploys", team.thread))
    said = [slack.text_of(m) for m in thread if m.user == slack.workspace.bot.id]
    what = f"killed {point}:\n" + "\n".join(said)
    cards = [text for text in said if text.startswith(("May decide", "Deploy "))]
    components = [name for card in cards for name in re.findall("component: (.*)", card)]
    assert components == ["frontend", "backend", "frontend"], what
    assert [word for card in cards for word in ("❌ rejected", "✅ approved") if word in card] == [
        "❌ rejected",
        "✅ approved",
        "✅ approved",
    ], what
    assert sum(text.startswith("Done.") for text in said) == 1, what
    assert sum("end-to-end tests on production passed" in text for text in said) == 1, what
    progress = [text.split(",")[0] for text in said if "deployment of" in text]
    assert len(progress) == len(set(progress)), what
    assert all(text.startswith("✅") for text in progress), what
    assert not any("Did it happen" in text for text in said), what
    site = team.bot.site
    assert [line.split()[:2] for line in site.deployed()[-2:]] == [
        ["backend", "production"],
        ["frontend", "production"],
    ]
    assert site.running("backend", "production") == site.running("frontend", "production") == site.sha(MERGED)
    return killed


def nth(number: int):  # type: ignore[no-untyped-def]
    seen = 0

    def is_it(_: dict[str, object]) -> bool:
        nonlocal seen
        seen += 1
        return seen == number

    return is_it


async def tell(team: Team) -> None:
    """The person's part, who acts on what there is to see. A click that Slack could not deliver is made again."""
    slack = team.slack
    await slack.connected(seconds=STORY_SECONDS_MAX)
    await team.asks(f"deploy {MERGED} to production")
    while not team.is_told("end-to-end tests on production passed"):
        await slack.wait_for(lambda: team.cards() or team.is_told("end-to-end tests"), STORY_SECONDS_MAX)
        if not (cards := team.cards()):
            return
        card = cards[0]
        if team.is_told("❌ rejected"):
            if not await _pressed(team, card, "Approve"):
                continue
        elif await _pressed(team, card, "Reject"):
            view = (await slack.wait_for(lambda: slack.views, STORY_SECONDS_MAX))[-1]
            given = await slack.submit("ben", view, {"reason": "can you deploy the backend first?"})
            await slack.wait_for(lambda d=given: d.state != "waiting", STORY_SECONDS_MAX)  # type: ignore[misc]
            if given.state != "acknowledged":
                await slack.close_view("ben", view)
                continue
        else:
            continue
        await slack.wait_for(lambda c=card: not slack.buttons_of(slack.now(c)), STORY_SECONDS_MAX)  # type: ignore[misc]


async def _pressed(team: Team, card: Message, button: str) -> bool:
    click = await team.slack.click("ben", card, button)
    await team.slack.wait_for(lambda: click.state != "waiting", STORY_SECONDS_MAX)
    return click.state == "acknowledged"
