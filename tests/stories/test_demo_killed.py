"""`bot demo`, stopped or killed at several points: started again, it goes on there, and each thing is done once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.roster.deploy.stand_in import next_step
from bot.cli.demo.layout import MERGED
from bot.cli.demo.site import Site
from store.embedded.supervisor import PIDFILE
from tests.fakes.model_server import ModelServer, Reply
from tests.stories.program import Bot, Running

pytestmark = pytest.mark.slow

GOES_ON = "The demo goes on where it stopped at "


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


def home(bot: Bot) -> Path:
    return bot.home / "demo"


def assert_each_thing_was_done_once(bot: Bot, said: list[str]) -> None:
    """On the disk, and in what was said by all starts together."""
    site = Site(home(bot) / "site")
    sha = site.sha(MERGED)
    assert site.deployed()[len(site.layout.begins_with) :] == [
        f"{component} {environment} {sha} deploybot"
        for environment in ("lab", "preview", "live")
        for component in ("orders", "checkout")
    ]
    whole = "\n".join(said)
    assert whole.count("❌ rejected: Deploy") == 1
    assert whole.count("✅ approved: Deploy") == 2
    assert f"checkout on live runs {sha}, which is what was approved" in said[-1]


def kill_store(bot: Bot) -> None:
    os.kill(int((home(bot) / PIDFILE).read_text()), signal.SIGKILL)


async def killed(bot: Bot, demo: Running, *, with_store: bool) -> str:
    """What it had said."""
    demo.kill()
    if with_store:
        kill_store(bot)
    assert await demo.ends() < 0
    return demo.out


class SlowModel:
    """The stand-in behind an endpoint, which thinks until it may answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, request: dict[str, Any]) -> Reply:
        self.asked.set()
        await self.may_answer.wait()
        return Reply(next_step(request["messages"][0]["content"], request["messages"][-1]["content"]))


@pytest.fixture
def slow() -> SlowModel:
    return SlowModel()


@pytest.mark.parametrize("with_store", [False, True])
async def test_killed_while_the_model_thinks(bot: Bot, slow: SlowModel, with_store: bool) -> None:
    async with ModelServer(slow) as server:
        bot.with_model(server)
        async with bot.started("demo") as first:
            await slow.asked.wait()
            said = await killed(bot, first, with_store=with_store)
        slow.may_answer.set()
        again = (await bot.run("demo")).succeeded()
    assert GOES_ON in again.out
    assert "  - orders and checkout were deployed to lab and preview\n  - the tests on preview passed\n" in again.out
    assert "The model was thinking. The agent asks it again." in again.out
    assert again.out.count("pull_request_merged") == 0, "what was shown before is not shown again"
    assert_each_thing_was_done_once(bot, [said, again.out])
    await bot.nothing_is_left(home(bot))


@pytest.mark.parametrize("with_store", [False, True])
async def test_killed_while_a_deployment_runs(bot: Bot, with_store: bool) -> None:
    release = bot.folder / "release"
    bot.environment["PATH"] = held_tar(bot.folder / "bin", "live/orders/releases/8da8a06", release)
    async with bot.started("demo") as first:
        await first.said("wait_for_deployment component=orders environment=live")
        said = await killed(bot, first, with_store=with_store)
    async with bot.started("demo") as second:
        await second.said(GOES_ON)
        await second.said("The deployment of orders to live was under way. The agent looks how it ended.")
        release.touch()
        assert await second.ends() == 0, second.err
        assert "approved “Deploy orders 8da8a06 to live”" in second.out
        assert_each_thing_was_done_once(bot, [said, second.out])
    await bot.nothing_is_left(home(bot))


def held_tar(folder: Path, target: str, release: Path) -> str:
    """A PATH on which unpacking that release waits until the file is there."""
    tar = shutil.which("tar")
    folder.mkdir()
    wrapper = folder / "tar"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *{target}*) while [ ! -e "{release}" ]; do sleep 0.05; done;; esac\nexec {tar} "$@"\n'
    )
    wrapper.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


async def test_killed_with_its_store_while_a_request_waits(bot: Bot) -> None:
    async with bot.terminal("demo") as person:
        await person.sees("Type: /approve")
        kill_store(bot)
        person.process.signal(signal.SIGKILL)
        assert await person.ends() < 0
    async with bot.terminal("demo") as person:
        begins = await person.sees("Type: /approve")
        assert GOES_ON in begins
        assert "Your decision waits: Deploy checkout 8da8a06 to live?" in begins
        assert "To begin anew instead:" in begins
        assert begins.count("May decide") == 1
        person.types("/reject can you deploy the orders first?")
        await person.sees("Deploy orders 8da8a06 to live")
        await person.sees("Type: /approve")
        person.types("/approve")
        await person.sees("is live on live")
        person.presses("C")
        await person.sees("To go on:")
        assert await person.ends() == 130
    async with bot.terminal("demo") as person:
        await person.sees("approved “Deploy orders 8da8a06 to live”")
        await person.sees("Type: /approve")
        person.types("/approve")
        await person.sees("The end-to-end tests on live passed.")
        person.types("/quit")
        assert await person.ends() == 0
    site = Site(home(bot) / "site")
    assert len(site.deployed()) == len(site.layout.begins_with) + 6
    await bot.nothing_is_left(home(bot))


async def test_a_store_that_is_killed_alone_is_no_trouble(bot: Bot, slow: SlowModel) -> None:
    async with ModelServer(slow) as server, bot.with_model(server).started("demo") as demo:
        await slow.asked.wait()
        kill_store(bot)
        slow.may_answer.set()
        assert await demo.ends() == 0, demo.err
        assert_each_thing_was_done_once(bot, [demo.out])
    await bot.nothing_is_left(home(bot))


async def test_one_that_is_over_begins_anew_and_so_does_one_that_is_told_to(bot: Bot, slow: SlowModel) -> None:
    (await bot.run("demo")).succeeded()
    over = (await bot.run("demo")).succeeded()
    assert over.out.startswith("The last demo is over, so a new one begins.\n")
    assert_each_thing_was_done_once(bot, [over.out])
    async with ModelServer(slow) as server:
        bot.with_model(server)
        async with bot.started("demo") as stopped:
            await slow.asked.wait()
            stopped.signal(signal.SIGINT)
            slow.may_answer.set()
            assert await stopped.ends() == 130
            assert "To begin anew:" in stopped.out
        again = (await bot.run("demo", "--again")).succeeded()
    assert GOES_ON not in again.out
    assert "github:      pull_request_merged" in again.out
    assert_each_thing_was_done_once(bot, [again.out])
    await bot.nothing_is_left(home(bot))
