"""What the stand-in understands beside the canonical story: a bare rejection, and what cannot be done yet."""

from __future__ import annotations

import pytest

from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, pending
from tests.shop import MERGED
from tests.stories.canonical import merge_of


def call(thread: Thread) -> tuple[str, str, str, str]:
    chosen = pending(thread).chosen
    found = (str(chosen.arguments.get(name, "")) for name in ("component", "environment", "revision"))
    component, environment, revision = found
    return chosen.intent, component, environment, revision


def said(thread: Thread) -> str:
    return [str(s.chosen.arguments["message"]) for s in thread.state.steps.values() if "message" in s.chosen.arguments][
        -1
    ]


@pytest.mark.parametrize(
    ("words", "component"),
    [
        ("deploy the backend first", "backend"),
        ("the backend first, please", "backend"),
        ("can you deploy the backend first?", "backend"),
        ("deploy the backend", "backend"),
        ("only the backend", "backend"),
        ("try again", "frontend"),
    ],
)
async def test_it_remembers_the_revision_after_a_bare_rejection(bot: Bot, words: str, component: str) -> None:
    async with bot.working():
        thread = await bot.say("deploy v1.1.0 to production")
        assert call(thread) == ("deploy", "frontend", "production", "v1.1.0")
        thread = await bot.settle(thread, approved=False)
        assert "rejected it, so nothing was deployed" in said(thread)
        thread = await bot.say(words)
    assert call(thread) == ("deploy", component, "production", "v1.1.0")


async def test_after_a_bare_rejection_the_rest_of_the_order_follows(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy v1.1.0 to production"), approved=False)
        thread = await bot.say("status")
        assert "What runs now" in said(thread)
        thread = await bot.settle(await bot.say("the backend first"), approved=True)
        assert call(thread) == ("deploy", "frontend", "production", "v1.1.0")


async def test_another_version_after_a_bare_rejection_is_another_one(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=False)
        thread = await bot.say(f"rather {MERGED}")
    assert call(thread) == ("deploy", "backend", "production", MERGED)


async def test_what_was_rejected_is_forgotten_once_somebody_gives_it_up(bot: Bot) -> None:
    async with bot.working():
        await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=False)
        await bot.say("never mind")
        thread = await bot.say("deploy the backend to production")
    assert thread.status == "waiting_for_answer", "it asks which version"


async def test_what_was_looked_up_for_the_first_message_answers_it(bot: Bot) -> None:
    async with bot.working():
        assert "- backend on production: " in said(await bot.say("status"))
        thread = await bot.say("deploy the newest tag of the backend to production", place="other desk")
    assert call(thread) == ("deploy", "backend", "production", "v1.1.0")


async def test_a_rollback_that_is_refused_leaves_alone_what_waits(bot: Bot) -> None:
    """As the demo suggests it, at a moment when nothing was deployed yet that could be rolled back."""
    async with bot.working():
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="desk"), merge_of(bot.site)))
        assert call(thread)[:3] == ("deploy", "frontend", "production")
        thread = await bot.say("roll back the frontend")
        assert "I have deployed no frontend on production yet" in said(thread)
        assert call(thread)[:3] == ("deploy", "frontend", "production")
        thread = await bot.settle(thread, approved=True)
        assert call(thread)[:3] == ("deploy", "backend", "production")
