"""`bot chat` as a person has it: on a real terminal, with a model over HTTP and a real site."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server import ModelServer, step
from tests.fakes.servers import Server
from tests.shop import MERGED
from tests.stories.program import Bot, Terminal

pytestmark = pytest.mark.slow


def deploy(revision: str, quoted: str = "") -> dict[str, Any]:
    """`quoted`: words of the first message, as a waiver for what does not run on staging."""
    step: dict[str, Any] = {
        "intent": "deploy",
        "component": "backend",
        "environment": "production",
        "revision": revision,
    }
    return step | {"waiver": {"message": "m2", "words": quoted}} if quoted else step


def done(message: str) -> dict[str, Any]:
    return {"intent": "done_for_now", "message": message}


def question(text: str) -> dict[str, Any]:
    options = {"urgency": "low", "format": "free_text", "choices": []}
    return {"intent": "request_human_input", "question": text, "context": "", "options": options}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, template: Path, model: ModelServer) -> Bot:
    return Bot(tmp_path).with_site(template).with_model(model)


async def thread_of(person: Terminal) -> str:
    """What the chat says when it is left."""
    said = await person.sees("chat --thread ") + await person.sees("\n")
    return said.rpartition(" ")[2].strip()


async def test_a_conversation(bot: Bot, model: ModelServer) -> None:
    model.script(
        question("Which version?"),
        deploy(MERGED, "deploy the backend"),
        deploy("v1.1.0"),
        done("v1.1.0 is out."),
        done("Bye."),
    )
    async with bot.terminal("chat", "--as", "Ann") as ann:
        await ann.sees("Type to talk. Commands begin with a slash: /approve, /reject REASON")
        ann.types("")
        ann.types("/cancel")
        await ann.sees("There is nothing to cancel yet")
        ann.types("/help")
        await ann.sees("Type to talk.")
        ann.types("deploy the backend")
        await ann.sees("Which version?")
        ann.types("/approve")
        await ann.sees("There is nothing to approve or reject yet.")
        ann.types(MERGED)
        card = await ann.sees("Type: /approve, or: /reject REASON")
        assert bot.site.sha(MERGED) in card
        ann.types("/?")
        await ann.sees("Type to talk.")
        ann.types("/reject use v1.1.0 instead")
        await ann.sees("❌ rejected: Deploy")
        card = await ann.sees("Type: /approve, or: /reject REASON")
        assert bot.site.sha("v1.1.0") in card
        ann.types("/pause")
        await ann.sees("Ann:         paused the thread")
        ann.types("/pause")
        await ann.sees("paused already")
        ann.types("/resume")
        await ann.sees("resumed the thread")
        ann.types("/approve")
        await ann.sees("✅ approved: Deploy")
        await ann.sees("v1.1.0 is out.")
        await ann.sees("The end-to-end tests on production passed.")
        ann.types("/approve")
        await ann.sees("Already approved by Ann")
        ann.types("/quit")
        thread = await thread_of(ann)
        assert await ann.ends() == 0
    assert bot.site.running("backend", "production") == bot.site.sha("v1.1.0")
    assert "use v1.1.0 instead" in model.requests[2]["messages"][-1]["content"]
    await bot.nothing_is_left()

    async with bot.terminal("chat", "--thread", thread) as again:
        await again.sees("Ann:         deploy the backend")
        await again.sees("v1.1.0 is out.")
        again.types("/cancel enough for today")
        await again.sees("cancelled the thread: enough for today")
        again.types("hello?")
        await again.sees("was cancelled")
        again.presses("D")
        assert await again.ends() == 0
    await bot.nothing_is_left()


async def test_two_people_in_one_thread_see_each_other(bot: Bot, model: ModelServer) -> None:
    model.script(deploy("v1.1.0"), done("Done."))
    async with bot.terminal("chat", "--as", "Ann") as ann:
        await ann.sees("Type to talk.")
        ann.types("deploy v1.1.0 of the backend")
        await ann.sees("Type: /approve")
        thread = (await bot.run("threads", "--json")).document[0]["id"]
        async with bot.terminal("chat", "--thread", thread, "--as", "Bob") as bob:
            await bob.sees("Type: /approve")
            bob.types("/approve")
            await bob.sees("approved: Deploy")
            await ann.sees("Bob:         ✅ approved: Deploy")
            ann.types("/reject no, wait")
            await ann.sees("Already approved by Bob")
            await bob.sees("Ann:         tried to reject it — no, wait; it does not count: already approved by Bob")
            bob.presses("C")
            await bob.sees("Continue with:")
            assert await bob.ends() == 130
        ann.types("/quit")
        assert await ann.ends() == 0
    await bot.nothing_is_left()


async def test_a_newer_request_is_shown_and_the_older_one_cannot_be_approved(bot: Bot, model: ModelServer) -> None:
    model.script(deploy("v1.1.0"), step(deploy(MERGED, "of the backend"), when="rather"))
    async with bot.terminal("chat") as ann:
        await ann.sees("Type to talk.")
        ann.types("deploy v1.1.0 of the backend")
        card = await ann.sees("Type: /approve")
        digest = re.findall(r"digest ([0-9a-f]{12})", card)[0]
        thread = (await bot.run("threads", "--json")).document[0]["id"]
        (await bot.run("send", "--thread", thread, f"rather {MERGED}")).succeeded()
        newer = re.findall(r"digest ([0-9a-f]{12})", await ann.sees("Type: /approve"))[0]
        assert newer != digest
        late = await bot.run("approve", thread, "--digest", digest)
        late.failed("a different request")
        assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")
        ann.types("/quit")
        assert await ann.ends() == 0


async def test_words_that_sound_like_yes_decide_nothing_and_say_so(bot: Bot, model: ModelServer) -> None:
    model.script(deploy("v1.1.0"), {"intent": "nothing_to_do"})
    async with bot.terminal("chat") as ann:
        await ann.sees("Type to talk.")
        ann.types("deploy v1.1.0 of the backend")
        await ann.sees("Type: /approve")
        ann.types("yes please, approve it")
        await ann.sees("To decide, type /approve, or /reject REASON.")
        await model.arrived(2)
        ann.types("/quit")
        assert await ann.ends() == 0
    assert (await bot.run("threads", "--json")).document[0]["status"] == "waiting_for_approval"
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")


async def test_nothing_said_leaves_nothing_behind(bot: Bot) -> None:
    for leave in ("/quit", "/exit"):
        async with bot.terminal("chat") as person:
            await person.sees("Type to talk.")
            person.types(leave)
            assert await person.ends() == 0
    async with bot.terminal("chat") as person:
        await person.sees("Type to talk.")
        person.presses("D")
        assert await person.ends() == 0
    assert (await bot.run("threads", "--json")).document == []


async def test_a_chat_from_a_pipe_ends_with_its_input_and_an_answer(bot: Bot, model: ModelServer) -> None:
    model.script(done("Good day to you."))
    said = await bot.run("chat", stdin=b"good day\xff\n")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "bot:         Good day to you."
    assert "dex:         good day\ufffd" in said.out
    assert "Continue with:" in said.err


async def test_ctrl_c_does_not_wait_for_the_model(bot: Bot, model: ModelServer) -> None:
    model.script(step(done("never"), after=asyncio.Event()))
    async with bot.terminal("chat") as person:
        await person.sees("Type to talk.")
        person.types("hello")
        await model.arrived(1)
        person.presses("C")
        await person.sees("Stopping after the work in progress; Ctrl-C aborts it.")
        person.presses("C")
        await person.sees("Continue with:", 10)
        assert await person.ends(10) == 130
    assert "Traceback" not in person.screen
    await bot.nothing_is_left()


async def test_stop_withdraws_what_waits_and_the_next_words_go_on(bot: Bot, model: ModelServer) -> None:
    model.script(deploy("v1.1.0"), done("As you like."))
    async with bot.terminal("chat", "--as", "Ann") as ann:
        await ann.sees("Type to talk.")
        ann.types("/stop")
        await ann.sees("There is nothing to stop yet")
        ann.types("deploy v1.1.0 of the backend")
        await ann.sees("Type: /approve, or: /reject REASON")
        ann.types("/stop")
        await ann.sees("stopped")
        ann.types("/approve")
        await ann.sees("Nothing was changed")
        ann.types("leave it")
        await ann.sees("As you like.")
        ann.types("/quit")
        assert await ann.ends() == 0
    assert bot.site.running("backend", "production") != bot.site.sha("v1.1.0")


async def test_a_chat_outlives_its_store(bot: Bot, model: ModelServer, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    # Losing the lease with the server breaks off a call of the model, and it is asked again.
    model.script(done("Here I am."), *[done("And here again.")] * 3)
    async with bot.terminal("chat") as person:
        await person.sees("Type to talk.")
        person.types("hello")
        await person.sees("Here I am.")
        server.kill()
        await person.sees("Cannot reach Redis")
        person.types("anybody there?")
        await person.sees("Check whether it arrived before you type it again.")
        server.start()
        await person.sees("The database answers again.")
        person.types("anybody here?")
        await person.sees("And here again.")
        person.types("/quit")
        assert await person.ends() == 0
    assert person.screen.count("And here again.") == 1
    assert "Traceback" not in person.screen


async def test_a_chat_with_what_is_not_there(bot: Bot) -> None:
    unknown, nobody = await bot.all(("chat", "--thread", "t404"), ("chat", "--agent", "gardener"))
    unknown.failed("There is no thread 't404'")
    nobody.failed("'gardener'")
