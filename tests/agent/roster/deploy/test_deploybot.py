"""deploybot on a real site: git, commands, the disk. The stand-in decides, or a script where a test needs its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.authority import AnyoneMay
from agent.decide import decide
from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import Answer, Model, Prompt
from agent.model.schema import find_step, validated
from agent.roster import deploy as deploybot
from agent.roster import rollback
from agent.roster.deploy.stand_in import StandIn
from bot.cli.demo.site import MERGED, Site
from bot.deciding import Settlement
from bot.inbox import Inbox
from bot.team.file import read_team
from bot.worker import Worker
from channels.inbound import Words
from channels.terminal import TerminalChannel
from store.events import Event, StepRefused, ToolFinished, TriggerReceived
from store.memory import MemoryStore
from store.state import Request
from store.thread import Thread
from store.values import Place
from tests.patience import PATIENCE_SECONDS
from tests.stories.canonical import merge_of
from tests.telling.story import ANN


class Scripted:
    """Answers these steps in order, and then nothing_to_do."""

    name = "script"

    def __init__(self, *steps: dict[str, Any]) -> None:
        self._steps = list(steps)
        self.prompts: list[str] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt.user)
        step = self._steps.pop(0) if self._steps else {"intent": "nothing_to_do"}
        data, _ = find_step(json.dumps({"step": step}))
        return Answer(validated(prompt.agent, data), None, self.name)


class Bot:
    def __init__(self, home: Path, template: Path) -> None:
        self.site = Site(home / "site")
        shutil.copytree(template, self.site.home, symlinks=True)
        self.site.write_team_file(home / "bot.toml")
        table = read_team(home / "bot.toml").agents["deploy"]
        self.roster: dict[str, Agent] = {one.NAME: one.build(table, home) for one in (deploybot, rollback)}
        self.store = MemoryStore()
        self.inbox = Inbox(self.store)

    @asynccontextmanager
    async def working(self, model: Model | None = None) -> AsyncIterator[None]:
        channel = TerminalChannel()
        loop = Loop(
            authority=AnyoneMay(),
            store=self.store,
            roster=self.roster,
            channels={channel.name: channel},
            model=model or StandIn(),
            clock=lambda: datetime.now(UTC),
        )
        worker = Worker(self.store, loop)
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await task

    async def say(self, text: str, place: str = "desk") -> Thread:
        event_id = f"m/{datetime.now(UTC).timestamp()}"
        where = Place(channel="terminal", address=place)
        return await self.rest(
            await self.store.load(await self.inbox.message(where, Words(ANN, text, event_id), agent="deploy"))
        )

    async def trigger(self, place: Place, trigger: TriggerReceived) -> Thread:
        return await self.store.load(await self.inbox.trigger(place, trigger, agent="deploy"))

    async def rest(self, thread: Thread) -> Thread:
        """The thread when it is a person's turn, or nobody's."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            if self._rests(thread):
                return thread
            async for now in self.store.follow(thread):
                if self._rests(now):
                    return now
        raise AssertionError

    def _rests(self, thread: Thread) -> bool:
        return thread.turn != "clock" and decide(self.roster[thread.agent], thread) is None

    async def settle(self, thread: Thread, *, approved: bool, comment: str = "") -> Thread:
        settlement: Settlement = await self.inbox.decide(thread.id, ANN, approved=approved, comment=comment)
        assert settlement.outcome == "settled"
        return await self.rest(settlement.thread)

    def by_hand(self, *command: str) -> None:
        """Somebody does something without the bot."""
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def fail_end_to_end_tests_in_production(self) -> None:
        script = self.site.home / "end-to-end"
        script.write_text('#!/bin/sh\n[ "$1" = staging ] || { echo "FAILED: checkout is broken"; exit 1; }\n')


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path, template)


def events(thread: Thread, kind: type[Event]) -> list[Any]:
    return [event for event in thread.events if isinstance(event, kind)]


def pending(thread: Thread) -> Request:
    assert thread.pending, f"{thread.status}: {thread.events[-1]}"
    return thread.pending


def facts(thread: Thread) -> dict[str, Any]:
    return pending(thread).asked.facts


def deploy(component: str, environment: str, revision: str) -> dict[str, Any]:
    return {"intent": f"deploy_{component}", "environment": environment, "revision": revision}


async def test_what_a_person_sees_is_the_full_commit_and_what_it_replaces(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
    seen = facts(thread)
    assert seen["new"]["sha"] == bot.site.sha("v1.1.0")
    assert seen["new"]["name"] == "v1.1.0"
    assert seen["new"]["subject"] == "Show delivery dates in the basket"
    assert seen["new"]["author"] == "Lin Berg"
    assert seen["running"]["sha"] == bot.site.sha("v1.0.0")
    assert seen["adds"] == ["8a1d8cc Show delivery dates in the basket (Lin Berg)"]
    assert seen["on_staging"] is True
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")


async def test_a_tag_that_moves_after_the_approval_does_not_change_what_is_deployed(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
        bot.by_hand("git", "-C", str(bot.site.repository), "tag", "--force", "v1.1.0", MERGED)
        await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == facts(thread)["new"]["sha"] != bot.site.sha("v1.1.0")


async def test_a_target_that_changed_since_the_approval_is_left_alone(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend v1.1.0 to production")
        merged = bot.site.sha(MERGED)
        bot.by_hand(str(bot.site.home / "deploy"), "backend", "production", merged, "somebody")
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == merged
    (failed,) = [event for event in events(thread, ToolFinished) if event.error]
    assert "has changed since" in failed.error


async def test_something_older_is_marked_so_on_the_card(bot: Bot) -> None:
    merged = bot.site.sha(MERGED)
    bot.by_hand(str(bot.site.home / "deploy"), "backend", "production", merged, "lin")
    async with bot.working(Scripted(deploy("backend", "production", "v1.0.0"))):
        thread = await bot.say("deploy the backend v1.0.0 to production, yes, the old one")
    assert facts(thread)["note"] == "OLDER than what runs there"


@pytest.mark.parametrize(
    "revision", ["--upload-pack=touch hacked", "v1.0.0; touch hacked", "$(touch hacked)", "v9.9.9", ""]
)
async def test_a_hostile_or_missing_revision_is_refused_before_anybody_is_asked(bot: Bot, revision: str) -> None:
    async with bot.working(Scripted(deploy("backend", "production", revision))):
        thread = await bot.say("deploy that")
    (refused,) = events(thread, StepRefused)
    assert thread.pending is None
    assert "revision" in refused.error
    assert not list(bot.site.home.parent.rglob("hacked"))
    assert len(bot.site.deployed()) == 4, "what the site began with"


async def test_staging_needs_no_approval_and_production_does(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say(f"deploy the backend {MERGED} to production")
    assert bot.site.running("backend", "staging") == bot.site.sha(MERGED)
    assert pending(thread).chosen.arguments == {"environment": "production", "revision": MERGED}


async def test_tags_commits_and_deployments_are_looked_up_by_code_before_the_model_is_asked(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        await bot.say("hello")
    (prompt,) = model.prompts
    assert "v1.1.0,8a1d8cc,2026-11-18T14:40,Lin Berg,Show delivery dates in the basket" in prompt
    assert "4af9ec0,2026-11-20T16:05,Ada Okafor,Pay by invoice" in prompt
    assert "backend,production,22ddc54,v1.0.0" in prompt


async def test_a_rollback_goes_back_to_what_ran_before_and_not_forward_again(bot: Bot) -> None:
    async with bot.working():
        await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        thread = await bot.say("roll back the backend")
        assert facts(thread)["new"]["sha"] == bot.site.sha("v1.0.0")
        assert facts(thread)["running"]["sha"] == bot.site.sha("v1.1.0")
        await bot.settle(thread, approved=True)
        assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")
        thread = await bot.say("roll back the backend")
    assert thread.pending is None
    assert "No earlier good revision" in events(thread, StepRefused)[-1].error


async def test_failed_tests_of_production_hand_the_thread_to_the_rollback_agent(bot: Bot) -> None:
    bot.fail_end_to_end_tests_in_production()
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy the backend v1.1.0 to production"), approved=True)
        assert thread.agent == "rollback"
        assert pending(thread).chosen.intent == "rollback"
        assert pending(thread).chosen.arguments == {"component": "backend", "environment": "production"}
        thread = await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")
    assert thread.agent == "rollback"
    assert thread.status == "done"


async def test_the_pipeline_after_a_merge_stops_where_a_deployment_to_staging_fails(bot: Bot) -> None:
    (bot.site.home / "deploy").write_text("#!/bin/sh\necho no space left; exit 3\n")
    model = Scripted({"intent": "done_for_now", "message": "Staging failed."})
    async with bot.working(model):
        place = Place(channel="terminal", address="merge")
        thread = await bot.rest(await bot.trigger(place, merge_of(bot.site)))
    assert [s.chosen.intent for s in thread.state.steps.values() if s.chosen.intent.startswith("deploy")] == [
        "deploy_backend"
    ]
    assert "no space left" in model.prompts[0]


async def test_a_merge_is_deployed_to_staging_and_tested_before_the_model_is_asked(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        place = Place(channel="terminal", address="merge")
        thread = await bot.rest(await bot.trigger(place, merge_of(bot.site)))
    assert len(model.prompts) == 1
    assert bot.site.running("backend", "staging") == bot.site.running("frontend", "staging") == bot.site.sha(MERGED)
    assert [s.chosen.by for s in thread.state.steps.values()][:-1] == ["code"] * (len(thread.state.steps) - 1)


async def test_a_trigger_without_a_commit_starts_no_pipeline(bot: Bot) -> None:
    trigger = TriggerReceived(
        id="x", at=datetime.now(UTC), source="github", name="pull_request_merged", data={"number": 7}
    )
    async with bot.working(Scripted()):
        thread = await bot.rest(await bot.trigger(Place(channel="terminal", address="merge"), trigger))
    assert len(bot.site.deployed()) == 4
    assert thread.status == "done"


async def test_one_target_is_deployed_by_one_thread_at_a_time(bot: Bot) -> None:
    gate = bot.site.home / "gate"
    script = (bot.site.home / "deploy").read_text()
    waiting = script.replace("set -eu", f'set -eu\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done')
    (bot.site.home / "deploy").write_text(waiting)
    step = deploy("backend", "staging", MERGED)
    async with bot.working(Scripted(step, step)):
        place = Place(channel="terminal", address="first")
        first = await bot.store.load(await bot.inbox.message(place, Words(ANN, "deploy", "m1"), agent="deploy"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for now in bot.store.follow(first):
                if now.open_steps("waiting"):
                    break
        second = await bot.say("deploy the same", place="second")
        gate.touch()
        first = await bot.rest(await bot.store.load(first.id))
    (failed,) = [event for event in events(second, ToolFinished) if event.error]
    assert "busy" in failed.error
    assert len(bot.site.deployed()) == 5


async def test_a_deployment_that_fails_is_told_with_its_output(bot: Bot) -> None:
    script = (bot.site.home / "deploy").read_text()
    (bot.site.home / "deploy").write_text(script.replace("set -eu", 'set -eu; echo "disk is full"; exit 9'))
    async with bot.working():
        thread = await bot.say("deploy the backend v1.0.0 to staging")
    question = thread.state.steps[thread.state.question].chosen.arguments
    assert "failed" in str(question["question"])
    assert "disk is full" in str(question["context"])


async def test_what_a_rejection_says_decides_how_it_goes_on(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(
            await bot.say("deploy v1.1.0 to production"), approved=False, comment="only the backend, please"
        )
    assert pending(thread).chosen.arguments == {"environment": "production", "revision": "v1.1.0"}
    assert pending(thread).chosen.intent == "deploy_backend"


async def test_a_rejection_without_a_reason_stops_it(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.settle(await bot.say("deploy v1.1.0 to production"), approved=False)
    assert thread.pending is None
    assert thread.status == "done"
    assert len(bot.site.deployed()) == 4


async def test_never_mind_takes_the_request_back(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy v1.1.0 to production")
        card = pending(thread).step
        thread = await bot.say("never mind")
    assert thread.state.steps[card].status == "withdrawn"
    assert thread.pending is None


async def test_what_is_missing_is_asked_for_and_the_answer_is_understood(bot: Bot) -> None:
    async with bot.working():
        thread = await bot.say("deploy the backend")
        assert "Which version" in str(thread.state.steps[thread.state.question].chosen.arguments["question"])
        thread = await bot.rest(await bot.inbox.answer(thread.id, ANN, "v1.1.0"))
        assert "Where to" in str(thread.state.steps[thread.state.question].chosen.arguments["question"])
        thread = await bot.rest(await bot.inbox.answer(thread.id, ANN, "to production"))
    assert pending(thread).chosen.intent == "deploy_backend"


async def test_a_component_that_is_not_set_up_is_an_error_that_the_model_reads(bot: Bot) -> None:
    configured = read_team(bot.site.home.parent / "bot.toml").agents["deploy"]["components"]
    table = {"components": {"backend": configured["backend"]}}
    bot.roster["deploy"] = replace(deploybot.build(table, bot.site.home.parent), limits=bot.roster["deploy"].limits)
    async with bot.working(Scripted(deploy("frontend", "staging", "v1.1.0"))):
        thread = await bot.say("deploy the frontend")
    (refused,) = events(thread, StepRefused)
    assert refused.error == "frontend is not set up. Known are backend."
