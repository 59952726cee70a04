"""The main story with Vercel, by the whole program: merged, on the preview, tested, approved, live, and back again.

GitHub delivers the merge, signed. Code has the commit built as a preview, and tests it. Vercel's own deliveries say how
builds go. A person looks at the preview, whose address stands on the card, and approves; what Vercel builds then keeps
no domains until it is promoted. At the end another person wants it back, and what ran before is promoted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.roster.deploy.stand_in import next_step
from tests.channels.hooks import signing
from tests.channels.hooks.samples import sample
from tests.fakes.model_server import ModelServer, Reply
from tests.fakes.servers import Server
from tests.fakes.vercel import STUCK, TOKEN, Made, VercelServer
from tests.matrices import matrix
from tests.patience import STORY_SECONDS_MAX, eventually
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_slack_killed import Point, nth

pytestmark = pytest.mark.slow

BEFORE = "v1.1.0"
TEAM = """
[agents.deploy.environments]
staging = {{ approval = "none", test = ["/bin/echo", "all well on", "{{environment}}"] }}
production = {{ after = "staging", test = ["/bin/echo", "all well on", "{{environment}}"] }}

[agents.deploy.components.shop]
repository = '{repository}'

[agents.deploy.components.shop.targets]
staging = {{ kind = "vercel", team = "acme", project = "web", target = "preview" }}
production = {{ kind = "vercel", team = "acme", project = "web", target = "production" }}

[hooks.vercel]

[hooks.github]

[[hooks.github.on]]
event = "pull_request_merged"
place = "terminal:merges"
task = "deploy {{sha}} to production"

[[rule]]
tool = "*"
group = "anyone"
"""


def stand_in(request: dict[str, Any]) -> Reply:
    system, context = (message["content"] for message in request["messages"])
    return Reply(next_step(system, context))


@dataclass
class Shop:
    bot: Bot
    vercel: VercelServer
    thread_id: str = ""

    @property
    def sha(self) -> str:
        return self.bot.site.sha(MERGED)

    async def is_merged(self, url: str) -> None:
        """GitHub delivers it, and sends it again."""
        merge = sample("github/pull_request_merged")
        payload = json.loads(merge.body)
        payload["pull_request"]["merge_commit_sha"] = self.sha
        body = json.dumps(payload).encode()
        headers = {**merge.headers, **signing.github(body, signing.SECRET, signing.NOW)}
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(f"{url}/hooks/github", data=body, headers=headers) as answer:
                    assert answer.status == 202

    async def made(self, environment: str) -> Made:
        """What the bot has had made for it."""

        def found() -> list[Made]:
            return [one for one in self.vercel.deployments if one.meta.get("deploybotTarget") == f"shop {environment}"]

        return (await eventually(found, f"a deployment to {environment}"))[-1]

    async def shows(self, status: str) -> Any:
        async def there() -> Any:
            threads = (await self.bot.run("threads", "--json")).document
            if not threads or threads[0]["status"] != status:
                return None
            self.thread_id = threads[0]["id"]
            return (await self.bot.run("show", self.thread_id, "--json")).document

        return await eventually(there, status)

    async def approves(self) -> dict[str, Any]:
        """The facts on the card."""
        facts: dict[str, Any] = (await self.shows("waiting_for_approval"))["pending"]["facts"]
        (await self.bot.approve(self.thread_id)).succeeded()
        return facts

    async def is_wanted_back(self) -> None:
        text = "roll back the shop on production"
        (await self.bot.run("send", text, "--thread", self.thread_id)).succeeded()

    async def tells(self) -> None:
        """What people do, from the merge to the end."""
        await self.approves()
        await self.shows("done")
        await self.is_wanted_back()
        await self.approves()
        await self.shows("done")

    def went_there_and_back(self) -> None:
        before, *made = self.vercel.deployments
        assert before.project.production is before
        targets = [(one.target, one.sha) for one in made]
        assert targets == [("preview", self.sha), ("production", self.sha)], "nothing twice, nor for the way back"
        assert made[1].substate == "PROMOTED"


@pytest.fixture
async def shop(template: Path, tmp_path: Path, server: Server) -> AsyncIterator[Shop]:
    """In production runs what came before; Vercel keeps the domains until somebody promotes."""
    async with VercelServer() as vercel, ModelServer(stand_in) as model:
        settings = {
            "REDIS_URL": server.url,
            "VERCEL_TOKEN": TOKEN,
            "VERCEL_API_URL": vercel.url,
            "BOT_HOOK_VERCEL_SECRET": vercel.hooks.secret,
            "BOT_HOOK_GITHUB_SECRET": signing.SECRET,
            "PORT": "0",
        }
        bot = Bot(tmp_path, settings).with_site(template).with_model(model)
        (tmp_path / "bot.toml").write_text(TEAM.format(repository=bot.site.repository))
        project = vercel.add_project("web", auto_assign=False)
        vercel.deployed(project, bot.site.sha(BEFORE))
        yield Shop(bot, vercel)


async def test_from_a_merge_to_production_and_back(shop: Shop) -> None:
    vercel = shop.vercel
    vercel.builds.extend([STUCK] * 2)
    async with shop.bot.started("run") as process:
        url = await process.serves()
        vercel.hooks.send_to(f"{url}/hooks/vercel")
        await shop.is_merged(url)
        preview = await shop.made("staging")
        assert (preview.sha, preview.target) == (shop.sha, "preview")
        vercel.finish(preview, "READY")

        facts = await shop.approves()
        assert facts["preview"] == f"https://{preview.url}"
        assert facts["carried_out_by"] == "Vercel: production of the project web of acme"
        built = await shop.made("production")
        assert built.sha == shop.sha
        assert built.project.production is not built
        vercel.finish(built, "READY")
        document = await shop.shows("done")
        assert built.project.production is built
        said = json.dumps(document)
        assert "all well on staging" in said
        assert "all well on production" in said

        await shop.is_wanted_back()
        facts = await shop.approves()
        assert facts["new"]["sha"] == shop.bot.site.sha(BEFORE)
        await shop.shows("done")
    shop.went_there_and_back()
    assert set(vercel.hooks.statuses) == {202}


POINTS = [
    Point("createDeployment", 1, True),
    Point("createDeployment", 2, True),
    *(Point("requestPromote", number, after) for number in (1, 2) for after in (False, True)),
]


@matrix("point", POINTS, sample=2)
async def test_it_ends_the_same_where_the_program_is_killed_and_no_delivery_comes(shop: Shop, point: Point) -> None:
    gate_is = shop.vercel.hold(point.method, after_effect=point.after, when=nth(point.number))
    async with gate_is as gate, asyncio.timeout(STORY_SECONDS_MAX):
        async with shop.bot.started("run") as process:
            await shop.is_merged(await process.serves())
            telling = asyncio.create_task(shop.tells())
            await gate.reached(seconds=STORY_SECONDS_MAX)
            process.kill()
            await process.ends()
        await gate.abandoned()
        gate.release()
        async with shop.bot.started("run"):
            await telling
    shop.went_there_and_back()
    questions = json.dumps((await shop.bot.run("show", shop.thread_id, "--json")).document).count("Did it happen?")
    assert questions == 0, "what was begun is found again by its key"


async def test_the_doctor_asks_vercel_for_each_target(shop: Shop) -> None:
    async def says(token: str = TOKEN) -> str:
        return " ".join((await shop.bot.run("doctor", VERCEL_TOKEN=token)).out.split())

    assert "shop staging" not in await says()
    assert "shop staging, shop production: Vercel does not accept the token in VERCEL_TOKEN" in await says("old")
    shop.vercel.projects.clear()
    assert "shop staging, shop production: Vercel does not find it: it could not read the project 'web'" in await says()
    assert len(shop.vercel.deployments) == 1
