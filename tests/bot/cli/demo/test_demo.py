"""`bot demo`: the canonical day as a newcomer sees it, and as the disk tells it afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.cli.demo.layout import MERGED
from bot.cli.demo.site import Site
from tests import ROOT
from tests.fakes.model_server import ModelServer
from tests.ports import HeldPort
from tests.stories.program import BOT, Bot

pytestmark = pytest.mark.slow

STORY = (
    "github:      pull_request_merged",
    "code:        list_components_with",
    "code:        deploy component=orders environment=lab revision={merged}",
    "orders at {sha} is live on lab",
    "code:        deploy component=checkout environment=lab revision={merged}",
    "code:        deploy component=orders environment=preview revision={merged}",
    "code:        deploy component=checkout environment=preview revision={merged}",
    "checkout at {sha} is live on preview",
    "code:        run_end_to_end_tests environment=preview",
    "4 checks passed",
    "agent:       deploy component=checkout environment=live revision={merged}",
    "bot:         Deploy checkout",
    "commit: {sha}",
    "May decide",
    "❌ rejected: Deploy",
    "can you deploy the orders first?",
    "agent:       deploy component=orders environment=live revision={merged}",
    "bot:         Deploy orders",
    "commit: {sha}",
    "May decide",
    "✅ approved: Deploy",
    "orders at {sha} is live on live",
    "agent:       deploy component=checkout environment=live revision={merged}",
    "May decide",
    "✅ approved: Deploy",
    "checkout at {sha} is live on live",
    "bot:         Done.",
    "code:        run_end_to_end_tests environment=live",
    "The end-to-end tests on live passed.",
    "Checked on disk:",
    "orders on live runs {sha}",
    "checkout on live runs {sha}",
    "To look at the thread:",
)


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


def from_nothing(
    bot: Bot, *command: str, folder: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder or bot.folder,
        env=bot.env(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def site_of(bot: Bot) -> Site:
    return Site(bot.home / "demo" / "site")


def squeezed(card: str) -> str:
    """Without what only aligns its columns."""
    return " ".join(card.split())


def assert_told_in_order(transcript: str, story: tuple[str, ...], **words: str) -> None:
    rest = transcript
    for part in (part.format(**words) for part in story):
        before, found, rest = rest.partition(part)
        assert found, f"{part!r} does not come where it should:\n{before}"


async def test_without_a_terminal_it_tells_the_story_and_it_is_true(bot: Bot) -> None:
    nobody = HeldPort()
    bot.environment["REDIS_URL"] = f"redis://127.0.0.1:{nobody.number}"  # the demo has a store of its own
    done = from_nothing(bot, BOT, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "a small stand-in decides" in done.stdout
    site = site_of(bot)
    sha = from_nothing(bot, "git", "-C", str(site.repository), "rev-parse", "main").stdout.strip()
    assert sha.startswith(MERGED)
    assert_told_in_order(done.stdout, STORY, sha=sha, merged=MERGED)

    # What is on the disk, without a line of ours.
    for component in ("orders", "checkout"):
        current = site.home / "targets" / "live" / component / "current"
        assert os.readlink(current) == f"releases/{sha}"
        assert json.loads((current / "DEPLOYED").read_text())["by"] == "deploybot"
    assert (site.home / "targets" / "live" / "orders" / "current" / "orders" / "api").read_text() == "3\n"
    deployed = (site.home / "deployments.log").read_text().splitlines()[9:]
    assert deployed == [
        f"{component} {environment} {sha} deploybot"
        for environment in ("lab", "preview", "live")
        for component in ("orders", "checkout")
    ]

    # What it says at its end is a command that works.
    hint = re.search(r"^To look at the thread: (.*)$", done.stdout, re.MULTILINE)
    assert hint
    await bot.nothing_is_left(bot.home / "demo")
    shown = from_nothing(bot, "sh", "-c", hint[1])
    assert "whose turn: nobody" in shown.stdout, shown
    await bot.nothing_is_left(bot.home / "demo")
    assert str(bot.folder) not in from_nothing(bot, "ps", "-A", "-ww", "-o", "args=").stdout, "nothing of it runs on"


async def test_with_a_terminal_it_is_a_conversation(bot: Bot) -> None:
    site = site_of(bot)
    async with bot.terminal("demo") as person:
        await person.sees("Type to talk.")
        await person.sees("Type: /approve, or: /reject REASON")
        other = await bot.run("demo")
        other.failed("Another demo is running", "BOT_HOME")

        person.types("status")
        status = await person.sees("checkout on live")
        assert f"orders on preview: {MERGED}" in status
        person.types("what is the meaning of life")
        await person.sees("I did not understand that. I can deploy")
        person.types("/reject can you deploy the orders first?")
        card = await person.sees("Type: /approve")
        assert "component: orders" in squeezed(card)
        person.types("/approve")
        await person.sees("is live on live")
        card = await person.sees("Type: /approve")
        assert "component: checkout" in squeezed(card)
        person.types("/approve")
        await person.sees("The end-to-end tests on live passed.")
        assert site.running("checkout", "live") == site.sha(MERGED)

        person.types("roll back the checkout")
        card = await person.sees("Type: /approve")
        assert f"commit: {site.sha('v1.0.0')}" in squeezed(card)
        person.types("/approve")
        await person.sees("is live on live")
        await person.sees("The end-to-end tests on live passed.")
        assert site.running("checkout", "live") == site.sha("v1.0.0")

        person.types("deploy the checkout v1.1.0 to live, skip preview")
        card = await person.sees("Type: /approve")
        assert f"commit: {site.sha('v1.1.0')}" in squeezed(card)
        person.types("/reject")
        await person.sees("rejected it, so nothing was deployed")
        assert site.running("checkout", "live") == site.sha("v1.0.0")
        person.types("/quit")
        await person.sees("To look at the thread:")
        assert await person.ends() == 0
    assert "Traceback" not in person.screen
    assert "\x1b[33m" in person.raw.decode(), "in colour"
    await bot.nothing_is_left(bot.home / "demo")


async def test_a_demo_that_is_left_in_the_middle_goes_on_in_a_folder_with_any_name(bot: Bot) -> None:
    home = bot.folder / "a 'quoted' $HOME \N{ROCKET}"
    bot.environment["BOT_HOME"] = str(home)
    async with bot.terminal("demo", NO_COLOR="1") as person:
        await person.sees("run_end_to_end_tests")
        person.presses("C")
        await person.sees("To look at the thread:")
        assert await person.ends() == 130
    assert "Traceback" not in person.screen
    assert "\x1b[3" not in person.raw.decode(), "without colour"
    async with bot.started("demo") as killed:
        await killed.said("The demo goes on where it stopped")
        await killed.said("component: checkout")
        killed.kill()
        assert await killed.ends() < 0
    again = (await bot.run("demo")).succeeded()
    assert "The demo goes on where it stopped" in again.out
    rest = STORY[STORY.index("✅ approved: Deploy") :]
    assert_told_in_order(again.out, rest, sha=Site(home / "demo" / "site").sha(MERGED), merged=MERGED)
    await bot.nothing_is_left(home / "demo")


async def test_on_a_terminal_that_cannot_draw_it_is_plain_text(bot: Bot) -> None:
    async with bot.terminal("demo", TERM="dumb") as person:
        card = await person.sees("Type: /approve")
        assert "bot:         Deploy checkout" in card
        assert "component: checkout\n" in card
        person.types("/quit")
        assert await person.ends() == 0
    assert b"\x1b" not in person.raw
    await bot.nothing_is_left(bot.home / "demo")


async def test_a_model_that_does_not_play_along_is_said_so(bot: Bot, model: ModelServer) -> None:
    model.script({"intent": "done_for_now", "message": "Everything is deployed, trust me."})
    result = await bot.with_model(model).run("demo")
    assert result.code == 1
    assert "The model scripted decides." in result.out
    assert "Everything is deployed, trust me." in result.out
    assert result.err == ("This did not happen: the agent asked approval for deploy checkout (it was: done).\n"), (
        "what did not happen, in one line"
    )
    assert "Checked on disk" not in result.out
    site = site_of(bot)
    assert site.running("checkout", "live") == site.sha("v1.0.0")
    await bot.nothing_is_left(bot.home / "demo")


async def test_a_model_that_asks_for_what_runs_nowhere_before_gets_no_request(bot: Bot, model: ModelServer) -> None:
    other = {"intent": "deploy", "component": "checkout", "environment": "live", "revision": "v1.1.0"}
    model.script(other, {"intent": "done_for_now", "message": "I tried."})
    result = await bot.with_model(model).run("demo")
    assert result.code == 1
    assert "does NOT run on preview" in model.requests[1]["messages"][-1]["content"]
    assert result.err == "This did not happen: the agent asked approval for deploy checkout (it was: done).\n"


async def test_what_the_demo_needs_and_does_not_find_is_named(bot: Bot) -> None:
    folder = bot.folder / "bin"
    folder.mkdir()
    result = await bot.run("demo", PATH=str(folder))
    result.failed("git", "PATH")


def test_it_is_a_module_as_well(bot: Bot) -> None:
    done = from_nothing(bot, sys.executable, "-m", "bot", "--version", folder=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("deploybot ")
