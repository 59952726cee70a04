"""Workers on two machines, with a disk each and one store: a deployment that one began, the other follows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from agent.roster.deploy.deployers.shared import SILENT_AFTER
from agent.roster.deploy.tools.follow import WaitForDeployment
from channels.inbound import InboundMessage
from store.events import ToolFinished, ToolWaiting
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events, facts
from tests.agent.roster.test_cards import card_in, check_words
from tests.patience import PATIENCE_SECONDS, eventually
from tests.telling.story import ANN

STEP = deploy("backend", "staging", "4af9ec0")


async def under_way(bot: Bot) -> Thread:
    """A thread whose deployment was begun and waits at the gate; the worker that began it is gone."""
    gate, script = bot.site.home / "gate", bot.site.home / "deploy"
    free = script.read_text()
    script.rename(bot.site.home / "free")
    script.write_text(free.replace("set -eu", f'set -eu\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done'))
    script.chmod(0o755)
    async with bot.working(Scripted(STEP)):
        place = Place(channel="terminal", address="desk")
        thread = await bot.store.load(
            await bot.inbox.message(place, InboundMessage(ANN, "deploy", "m1"), agent="deploy")
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(thread):
                if now.open_steps("waiting"):
                    return now
    raise AssertionError


async def test_a_deployment_is_followed_by_a_worker_of_another_machine(bot: Bot) -> None:
    thread = await under_way(bot)
    other = bot.on_another_machine()
    async with other.working(Scripted()):
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(thread):
                if any(isinstance(event, ToolWaiting) for event in now.events[thread.version :]):
                    break  # It has looked at the run of the other machine.
        (bot.site.home / "gate").touch()
        # The worker that began it comes back, and has no part in this thread.
        async with bot.working(Scripted(), only="another thread"):
            rested = await other.rest(await bot.store.load(thread.id))
    (ended,) = _waits(rested)
    assert isinstance(ended, dict)
    assert ended["state"] == "succeeded"
    assert "is live on staging" in str(ended["output"])


async def test_of_a_machine_that_is_gone_people_are_told_and_a_person_frees_its_target(bot: Bot) -> None:
    thread = await under_way(bot)
    other = bot.on_another_machine()
    release = {"intent": "release_target", "component": "backend", "environment": "staging"}
    model = Scripted({"intent": "nothing_to_do"}, STEP, {"intent": "nothing_to_do"}, release, STEP)

    def later() -> datetime:
        return datetime.now(UTC) + 2 * SILENT_AFTER

    async with other.working(model, clock=later):
        thread = await other.rest(await bot.store.load(thread.id))
        (lost,) = _waits(thread)
        assert isinstance(lost, dict)
        assert lost["state"] == "lost"
        assert "has been heard of since" in str(lost["note"])
        again = await other.say("deploy it again", place="again")
        assert "no worker there has been heard of since" in _errors(again)[-1]
        assert any("Ask a person to check" in event.hint for event in again.events if isinstance(event, ToolFinished))
        asked = await other.say("it is over, I looked", place="released")
        assert facts(asked)["run"] == lost["run_id"]
        assert "STILL RUN" in facts(asked)["note"]
        assert (request := asked.pending)
        assert request.asked.title.startswith("Free backend on staging, locked by a deployment of ")
        assert request.asked.dangers == ("note",)
        check_words(card := card_in(asked))
        assert "STILL RUN" in card.danger
        assert [*card.rows][:3] == ["its deployment", "begun", "its machine was last heard of"]
        (bot.site.home / "free").replace(bot.site.home / "deploy")
        asked = await other.settle(asked, approved=True)
    (bot.site.home / "gate").touch()
    await eventually(lambda: [*bot.site.home.parent.glob("deployments/*/runs/*/result.json")], "the first one's end")
    assert [wait["state"] for wait in _waits(asked) if isinstance(wait, dict)] == ["succeeded"]


async def test_the_target_of_a_machine_that_is_heard_of_again_is_not_freed(bot: Bot) -> None:
    thread = await under_way(bot)
    other = bot.on_another_machine()
    release = {"intent": "release_target", "component": "backend", "environment": "staging"}
    model = Scripted({"intent": "nothing_to_do"}, release)
    async with other.working(model, clock=lambda: datetime.now(UTC) + 2 * SILENT_AFTER):
        await other.rest(await bot.store.load(thread.id))
        asked = await other.say("it is over, I looked", place="released")
    async with other.working(Scripted()):
        asked = await other.settle(asked, approved=True)
    assert "is alive. Wait for it." in _errors(asked)[-1]
    (bot.site.home / "gate").touch()
    await eventually(lambda: [*bot.site.home.parent.glob("deployments/*/runs/*/result.json")], "the first one's end")


def _waits(thread: Thread) -> list[object]:
    waits = [s.id for s in thread.state.steps.values() if s.chosen.intent == WaitForDeployment.intent_name()]
    return [event.result for event in events(thread, ToolFinished) if event.step in waits]


def _errors(thread: Thread) -> list[str]:
    return [event.error for event in events(thread, ToolFinished) if event.error]
