"""`bot approve` and `bot reject` as people and scripts use them: nothing is decided unseen, nor as somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.cli.person import login
from tests.fakes.model_server import ModelServer, step
from tests.fakes.servers import Server
from tests.shop import MERGED
from tests.stories.program import Bot

pytestmark = pytest.mark.slow

HOST = login().rpartition("@")[2]
TEAM = """
[people.ana]
[people.ben]
groups = ["release"]
[people.cat]
groups = ["release"]
logins = ["ccat", "root@build-1"]
"""


TAG = "v1.1.0"
"""What runs on staging, so that it may go on to production."""


def deploy(component: str = "backend", environment: str = "production") -> dict[str, Any]:
    return {"intent": "deploy", "component": component, "environment": environment, "revision": TAG}


DONE = {"intent": "done_for_now", "message": "It is out."}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, template: Path, model: ModelServer, server: Server) -> Bot:
    return Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)


def with_team(bot: Bot, *terms: str) -> None:
    file = bot.folder / "bot.toml"
    site = file.read_text().partition("[[rule]]")[0]
    file.write_text("\n".join([site, TEAM, '[[rule]]\ntool = "*"', 'group = "release"', *terms, ""]))


async def asked(bot: Bot, as_login: str = "dex") -> str:
    """The thread, once its request waits."""
    done = await bot.run("send", "deploy the backend", "--wait", "--json", login=as_login)
    return str(done.succeeded().document["id"])


async def events(bot: Bot, thread: str, kind: str) -> list[dict[str, Any]]:
    shown = (await bot.run("show", thread, "--json")).succeeded().document
    return [event for event in shown["events"] if event["kind"] == kind]


async def test_without_a_terminal_only_what_is_named_is_decided(bot: Bot, model: ModelServer) -> None:
    model.script(deploy(), DONE)
    thread = await asked(bot)
    digest = (await bot.run("show", thread, "--json")).document["pending"]["digest"]
    for command in ("approve", "reject"):
        refused = await bot.run(command, thread, stdin=b"y\n")
        refused.failed(
            "Nothing was decided",
            "Deploy backend",
            f"{command} {thread} --digest {digest[:12]}",
        )
    assert await events(bot, thread, "approval_decided") == []
    approved = await bot.run("approve", thread, "--digest", digest[:12], "--wait")
    assert "Approved: Deploy" in approved.succeeded().out


async def test_at_a_terminal_the_whole_request_is_shown_and_only_a_yes_decides(bot: Bot, model: ModelServer) -> None:
    model.script(deploy(), DONE)
    thread = await asked(bot)
    digest = (await bot.run("show", thread, "--json")).document["pending"]["digest"]
    for no in ("", "n", "what?"):
        async with bot.terminal("approve", thread) as person:
            card = await person.sees("Approve it as dex? [y/N]")
            for words in (bot.site.sha(TAG), "─ Approval needed ─", "to production?", "Asked for by dex", digest[:12]):
                assert words in card
            person.types(no)
            await person.sees("Nothing was decided.")
            assert await person.ends() == 1
    async with bot.terminal("reject", thread) as person:
        await person.sees("Reject it as dex? [y/N]")
        person.presses("D")
        await person.sees("Nothing was decided.")
        assert await person.ends() == 1
    assert await events(bot, thread, "approval_decided") == []
    async with bot.terminal("approve", thread) as person:
        await person.sees("Approve it as dex? [y/N]")
        person.types("y")
        await person.sees("Approved: Deploy")
        assert await person.ends() == 0
    [decision] = await events(bot, thread, "approval_decided")
    assert (decision["digest"], decision["approved"]) == (digest, True)


async def test_what_changed_after_it_was_shown_is_not_decided(bot: Bot, model: ModelServer) -> None:
    model.script(deploy(), step(deploy("frontend"), when="rather"))
    thread = await asked(bot)
    async with bot.terminal("approve", thread) as person:
        assert "Deploy backend" in await person.sees("[y/N]")
        (await bot.run("send", "--thread", thread, "--wait", "rather the frontend")).succeeded()
        person.types("y")
        await person.sees("different request. Nothing was changed.")
        assert await person.ends() == 1
    assert await events(bot, thread, "approval_decided") == []
    pending = (await bot.run("show", thread, "--json")).document["pending"]
    assert pending["arguments"]["component"] == "frontend", "it still waits"


async def test_an_edit_is_passed_on_and_said_what_came_of_it(bot: Bot, model: ModelServer) -> None:
    model.script(deploy(), DONE)
    thread = await asked(bot)
    digest = (await bot.run("show", thread, "--json")).document["pending"]["digest"][:12]
    edited = await bot.run("edit", thread, "revision=v9.9.9", "--digest", digest)
    assert edited.succeeded().out.startswith("Sent, to be checked. Look with `")
    assert "goes on with it; or give --wait" in edited.out
    (await bot.run("send", "--thread", thread, "and?", "--wait")).succeeded()
    impossible = await bot.run("edit", thread, "revision=v8.8.8", "--digest", digest, "--wait")
    assert impossible.code == 1
    assert "The edit is not possible: " in impossible.err
    assert "v8.8.8" in impossible.err
    (await bot.run("show", thread, "--json")).succeeded()


async def test_one_login_is_one_person_whatever_it_says(bot: Bot, model: ModelServer) -> None:
    with_team(bot, "quorum = 2")
    model.script(deploy(), DONE)
    thread = await asked(bot, "ana")
    assert "Counted, 1 of 2" in (await bot.approve(thread, "--as", "ben", login="ben")).succeeded().out
    refused = await bot.approve(thread, "--as", "cat", login="ben")
    refused.failed("I cannot verify who you are.", "You are ben here: leave out --as")
    for name in ("cat", "ana"):  # The name of no login of hers, and of nobody in the group.
        (await bot.approve(thread, login=name)).failed("You may not decide")
    assert (await bot.run("show", thread, "--json")).document["status"] == "waiting_for_approval"
    assert "Approved" in (await bot.approve(thread, login="ccat")).succeeded().out


async def test_the_record_holds_the_login_beside_the_name(bot: Bot, model: ModelServer) -> None:
    with_team(bot)
    model.script(deploy(), DONE)
    thread = await asked(bot, "ana")
    (await bot.run("pause", thread, login="ana")).succeeded()
    (await bot.run("resume", thread, login="ccat")).succeeded()
    (await bot.approve(thread, "--as", "cat", login="ccat")).succeeded()
    stopped = (await bot.run("stop", thread, login="ana")).succeeded()
    assert stopped.out.startswith("Stopped. What has begun goes on to its end; the next message goes on.")
    (await bot.run("cancel", thread, login="ana")).succeeded()
    (await bot.run("stop", thread, login="ana")).failed(thread, "cancelled")
    [message], [decision] = await events(bot, thread, "message_received"), await events(bot, thread, "approval_decided")
    assert (message["sender"]["member"], message["sender"]["login"]) == ("ana", f"ana@{HOST}")
    assert (decision["by"]["member"], decision["by"]["login"]) == ("cat", f"ccat@{HOST}")
    assert decision["proof"] == f"terminal ccat@{HOST}"
    for kind, name in (
        *(("thread_paused", "ana"), ("thread_resumed", "ccat")),
        *(("work_stopped", "ana"), ("thread_cancelled", "ana")),
    ):
        [event] = await events(bot, thread, kind)
        assert event["by"]["login"] == f"{name}@{HOST}"


async def test_the_words_of_a_stranger_at_a_terminal_are_nobodys(bot: Bot, model: ModelServer) -> None:
    with_team(bot)
    model.script(deploy(environment="staging") | {"revision": MERGED}, DONE)
    done = await bot.run("send", "deploy to staging", "--wait", "--json", "--as", "ben", login="zoe")
    assert done.succeeded().document["status"] == "waiting_for_approval", "which staging would not, for anybody else"
    [message] = await events(bot, done.document["id"], "message_received")
    assert (message["sender"]["name"], message["sender"]["trust"]) == ("ben", "unverified")
    assert message["sender"].get("member", "") == ""
