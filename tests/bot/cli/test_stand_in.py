"""OPENAI_MODEL=stand-in: every command that asks a model works without one, and says that it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.program import Bot

pytestmark = pytest.mark.slow


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path, {"OPENAI_MODEL": "stand-in"}).with_site(template)


async def test_it_answers_in_chat_and_says_what_it_is(bot: Bot) -> None:
    async with bot.terminal("chat") as person:
        await person.sees("What answers here is the stand-in (no model: it matches a few keywords).")
        person.types("deploy the backend v1.1.0 to production")
        await person.sees("Type: /approve")
        person.types("/reject")
        await person.sees("rejected it, so nothing was deployed")
        person.types("try again")
        card = await person.sees("Type: /approve")
        assert bot.site.sha("v1.1.0") in card
        person.types("/quit")
        assert await person.ends() == 0
    await bot.nothing_is_left()


async def test_it_answers_what_is_sent(bot: Bot) -> None:
    done = (await bot.run("send", "--wait", "status")).succeeded()
    assert "- backend on production: " in done.out


async def test_it_works_in_a_worker(bot: Bot) -> None:
    async with bot.kept(), bot.started("run", "worker") as worker:
        await worker.told("with stand-in (no model: it matches a few keywords), on the embedded Redis")
        thread = (await bot.run("send", "status")).succeeded().out.strip()
        await worker.told('"event":"message_sent"')
        shown = (await bot.run("show", thread)).succeeded()
        assert "- backend on production: " in shown.out


async def test_it_plays_the_cases(bot: Bot) -> None:
    done = await bot.run("eval", "deploy", "--only", "thanks")
    assert (done.code, "stand-in (no model" in done.out) == (0, True), done


async def test_bot_doctor_warns_of_it(bot: Bot) -> None:
    done = (await bot.run("doctor")).succeeded()
    assert "warning  model: OPENAI_MODEL is stand-in, which is no model" in done.out
