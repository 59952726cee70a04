"""`bot hooks`: where each is posted to and what it last got; one delivery again; what a payload would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from store.redis.store import RedisStore
from tests.channels.hooks.samples import sample
from tests.channels.hooks.signing import NOW, SECRET, github
from tests.fakes.servers import Server
from tests.stories.program import Bot

FIRST = """
[agents.deploy.environments]
live = {}
[agents.deploy.components.shop]
repository = "/nowhere"
[agents.deploy.components.shop.targets.live]
kind = "command"
deploy = ["true", "{sha}"]
status = ["true"]

[hooks.github]
[[hooks.github.on]]
event = "pull_request_merged"
when = { base = "main" }
place = "terminal:merges"
task = "deploy {title}"
data = { branch = "{head}" }
"""
MORE = """
[[hooks.github.on]]
event = "push"
place = "terminal:pushes"
"""


@pytest.fixture
def bot(server: Server, tmp_path: Path) -> Bot:
    (tmp_path / "bot.toml").write_text(FIRST)
    environment = {
        "REDIS_URL": server.url,
        "BOT_HOOK_GITHUB_SECRET": SECRET,
        "BOT_PUBLIC_URL": "https://bot.example.com",
        "PORT": "0",
    }
    return Bot(tmp_path, environment)


async def delivered(url: str, name: str, **headers: str) -> Any:
    found = sample(name)
    signed = {**found.headers, **github(found.body, SECRET, NOW), **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/hooks/github", data=found.body, headers=signed) as it,
    ):
        return it.status, await it.json()


PUSH_ID = "00000000-0000-0000-0000-000000000001"


async def test_what_hooks_got_is_listed_and_put_in_again(bot: Bot) -> None:
    listed = (await bot.run("hooks", "--json")).succeeded().document
    assert [(one["name"], one["url"], one["last"]) for one in listed] == [
        ("github", "https://bot.example.com/hooks/github", None)
    ]
    async with bot.started("run", "web") as program:
        url = await program.serves()
        assert (await delivered(url, "github/pull_request_merged"))[1]["status"] == "opened"
        assert (await delivered(url, "github/push", **{"X-GitHub-Delivery": PUSH_ID}))[1]["status"] == "nothing"
        status, _ = await delivered(url, "github/push", **{"X-Hub-Signature-256": "sha256=00"})
        assert status == 401
    shown = (await bot.run("hooks")).succeeded().out
    assert "no rule is about push" in shown
    assert "the signature in X-Hub-Signature-256 is not of this body and secret" in shown
    (push, merge) = (await bot.run("hooks", "show", "github", "--json")).succeeded().document
    assert (push["did"], merge["did"], merge["done"]) == ("nothing", "opened", True)
    assert (await bot.run("hooks", "replay", merge["id"])).succeeded().out == (
        f"It is in already: opened {merge['thread']}.\n"
    )
    again = (await bot.run("hooks", "replay", PUSH_ID)).succeeded().out
    assert again == "Nothing: no rule is about push.\n"
    (bot.folder / "bot.toml").write_text(FIRST + MORE)
    assert (await bot.run("hooks", "replay", PUSH_ID)).succeeded().out.startswith("Opened t")
    assert (await bot.run("hooks", "replay", PUSH_ID)).succeeded().out.startswith("It is in already: opened t")
    assert len((await bot.run("threads", "--json")).document) == 2
    (await bot.run("hooks", "replay", "nobody")).failed("No hook has a delivery 'nobody'")


async def test_what_a_payload_would_do_is_said_and_not_done(bot: Bot, server: Server) -> None:
    file = str(sample("github/pull_request_merged").path)
    would = (await bot.run("hooks", "test", "github", file, "--event", "pull_request", "--json")).succeeded().document
    assert (would["would"], would["place"], would["agent"]) == ("open a thread", "terminal:merges", "deploy")
    assert would["data"]["task"] == "deploy Pay by invoice"
    assert would["others_wrote"] == ["branch", "task"]
    text = (await bot.run("hooks", "test", "github", file, "--event", "pull_request")).succeeded().out
    assert "would: open a thread" in text
    unmerged = str(sample("github/pull_request_opened").path)
    nothing = (await bot.run("hooks", "test", "github", unmerged, "--event", "pull_request")).succeeded().out
    assert "why: no rule is about pull_request.opened" in nothing
    (await bot.run("hooks", "test", "github", file)).failed("add --event")
    (await bot.run("hooks", "test", "gitlab", file, "--event", "push")).failed("There is no hook 'gitlab'")
    (await bot.run("hooks", "test", "github", "/nowhere", "--event", "push")).failed("cannot be read")
    assert (await bot.run("threads", "--json")).document == []
    assert not [key for key in server.command("KEYS", "*") if b"shelf" in key]


async def test_a_hook_without_a_secret_is_not_served(bot: Bot) -> None:
    (bot.folder / "bot.toml").write_text(FIRST)
    started = await bot.run("run", "web", BOT_HOOK_GITHUB_SECRET="")
    assert started.code == 1
    assert "BOT_HOOK_GITHUB_SECRET is not set" in started.err
    listed = (await bot.run("hooks", BOT_HOOK_GITHUB_SECRET="")).succeeded().out
    assert "set BOT_HOOK_GITHUB_SECRET" in listed


@pytest.mark.parametrize(
    ("secret", "url", "state", "text"),
    [
        (SECRET, "https://bot.example.com", "ok", "https://bot.example.com/hooks/github"),
        (SECRET, "", "warning", "without BOT_PUBLIC_URL nobody is told where to post"),
        ("", "https://bot.example.com", "failed", "BOT_HOOK_GITHUB_SECRET is not set"),
    ],
)
async def test_doctor_looks_at_hooks(bot: Bot, secret: str, url: str, state: str, text: str) -> None:
    found = await bot.run("doctor", "--json", BOT_HOOK_GITHUB_SECRET=secret, BOT_PUBLIC_URL=url)
    (finding,) = [one for one in found.document if one["what"] == "hooks"]
    assert finding["state"] == state
    assert text in finding["text"]


async def test_without_hooks_there_is_nothing_to_list(bot: Bot, redis_store: RedisStore) -> None:
    (bot.folder / "bot.toml").write_text(FIRST.partition("[hooks.github]")[0])
    assert "There are none" in (await bot.run("hooks")).err
