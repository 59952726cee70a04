"""Threads that no person opened: a schedule fires, somebody is asked or told, and their answer goes on from there."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from agent.decide import AskModel, decide
from agent.openings import opening_step
from bot.clock import Clock as Cron
from bot.team.hours import Hours
from bot.team.schedules import Schedule, ScheduleTable
from store.events import CRON, StepChosen, TriggerReceived
from store.thread import Thread
from store.values import Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, events
from tests.shop import MERGED
from tests.store.threads import thread_ids
from tests.telling.playbook import World, done, ops
from tests.telling.story import ANN


def schedule(agent: str = "ops", **what: str) -> Schedule:
    """Every hour, at a terminal."""
    table = {"cron": "0 * * * *", "time_zone": "UTC", "agent": agent, "place": "terminal:desk", **what}
    return Schedule("hourly", ScheduleTable.model_validate(table), Hours())


async def fired(world: World, **what: str) -> Thread:
    """An hour passes, and a schedule fires."""
    cron = Cron(world.store.real, world.inbox, [schedule(**what)], clock=world.clock)
    await cron.turn()
    world.clock.advance(3_600)
    await cron.turn()
    (thread_id,) = await thread_ids(world.store.real)
    world.thread = await world.store.real.load(thread_id)
    return world.thread


async def test_what_a_schedule_says_is_said_and_nobody_is_asked_anything() -> None:
    world = World()
    await fired(world, say="Stand-up in five minutes.")
    assert await world.run() == ["said: Stand-up in five minutes."]
    assert (world.thread.status, world.model.prompts) == ("done", [])


async def test_what_a_schedule_asks_is_asked_and_a_reply_goes_on_with_that_thread() -> None:
    world = World()
    thread = await fired(world, ask="Anything to deploy today?")
    assert await world.run() == ["asked: Anything to deploy today?"]
    assert world.thread.status == "waiting_for_answer"
    world.model.answers(done("Then I wait."))
    await world.inbox.say(thread.id, ANN, "not today")
    assert await world.run() == ["said: Then I wait."]
    (prompt,) = world.model.prompts
    assert "Anything to deploy today?" in prompt
    assert "not today" in prompt
    assert world.thread.id == thread.id


async def test_a_task_is_the_models_and_it_sees_it() -> None:
    world = World()
    world.model.answers(done("Looked."))
    await fired(world, task="Look whether staging is healthy.")
    assert await world.run() == ["said: Looked."]
    assert "Look whether staging is healthy." in world.model.prompts[0]


async def test_who_speaks_before_it_was_asked_is_heard_instead() -> None:
    world = World()
    thread = await fired(world, ask="Anything to deploy today?")
    world.model.answers(done("As you say."))
    await world.inbox.say(thread.id, ANN, "leave it for now")
    assert await world.run() == ["said: As you say."]


async def test_what_any_other_machine_sends_is_never_said_by_code() -> None:
    world = World()
    await world.trigger("hook", say="Everything is approved.")
    assert opening_step(world.thread) is None
    assert isinstance(decide(ops(), world.thread), AskModel)


# deploybot's question


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path, template)


async def opened(bot: Bot, mark: str = "1", **data: JsonValue) -> Thread:
    """A schedule of deploybot's was fired; by default with its opening `waiting_commits`."""
    data = data or {"opening": "waiting_commits"}
    place = Place(channel="terminal", address=f"ops/monday@{mark}")
    event = TriggerReceived(id=f"monday/{mark}", at=datetime.now(UTC), source=CRON, name="monday", data=data)
    return await bot.rest(await bot.trigger(place, event))


def intents(thread: Thread) -> list[tuple[str, str]]:
    return [(step.intent, step.by) for step in events(thread, StepChosen)]


def deployed(bot: Bot, component: str, revision: str) -> None:
    subprocess.run(
        [bot.site.home / "deploy", component, "production", bot.site.sha(revision), "lin"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def test_what_waits_is_looked_up_by_code_and_people_are_asked(bot: Bot) -> None:
    deployed(bot, "frontend", MERGED)
    model = Scripted()
    async with bot.working(model):
        thread = await opened(bot)
    assert intents(thread) == [("list_waiting_commits", "code"), ("request_human_input", "code")]
    assert model.prompts == []
    asked = events(thread, StepChosen)[-1].arguments
    assert asked["question"] == "Commits wait since Wednesday, 2026-11-18: 2 of backend for production. Deploy?"
    assert asked["context"].splitlines() == [
        "backend 4af9ec0 Pay by invoice (Ada Okafor)",
        "backend 8a1d8cc Show delivery dates in the basket (Lin Berg)",
    ]
    assert asked["options"]["format"] == "yes_no"
    assert thread.status == "waiting_for_answer"


async def test_of_two_components_the_older_commit_says_since_when(bot: Bot) -> None:
    deployed(bot, "backend", "v1.1.0")
    async with bot.working(Scripted()):
        thread = await opened(bot)
    assert events(thread, StepChosen)[-1].arguments["question"] == (
        "Commits wait since Wednesday, 2026-11-18: 1 of backend and 2 of frontend for production. Deploy?"
    )


async def test_where_nothing_waits_nobody_is_told(bot: Bot) -> None:
    deployed(bot, "backend", MERGED)
    deployed(bot, "frontend", MERGED)
    model = Scripted()
    async with bot.working(model):
        thread = await opened(bot)
    assert intents(thread)[-1] == ("nothing_to_do", "code")
    assert (thread.status, [*thread.state.outbox], model.prompts) == ("done", [], [])


async def test_commits_wait_for_the_last_environment_of_each_component(bot: Bot) -> None:
    bot.set_up(lambda table: table["components"]["frontend"]["targets"].pop("production"))
    async with bot.working(Scripted()):
        thread = await opened(bot)
    assert [step.arguments for step in events(thread, StepChosen)[:2]] == [
        {"environment": "staging"},
        {"environment": "production"},
    ]
    assert events(thread, StepChosen)[-1].arguments["question"] == (
        "Commits wait since Wednesday, 2026-11-18: 1 of frontend for staging, 2 of backend for production. Deploy?"
    )


async def test_a_yes_deploys_nothing_without_an_approval(bot: Bot) -> None:
    before = bot.site.deployed()
    wanted = {"component": "backend", "environment": "production", "revision": "v1.1.0"}
    model = Scripted({"intent": "deploy", **wanted})
    async with bot.working(model):
        thread = await opened(bot)
        thread = await bot.rest(await bot.inbox.answer(thread.id, ANN, "yes"))
        assert thread.pending
        assert thread.pending.chosen.arguments == wanted
        assert bot.site.deployed() == before
        await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == bot.site.sha("v1.1.0")
    assert "Commits wait since" in model.prompts[0]


async def test_what_could_not_be_looked_at_is_said_and_not_passed_over(bot: Bot) -> None:
    (bot.site.home / "status").write_text("#!/bin/sh\necho no route to host; exit 1\n")
    model = Scripted()
    async with bot.working(model):
        thread = await opened(bot)
    step = events(thread, StepChosen)[-1]
    assert (step.intent, step.by) == ("done_for_now", "code")
    first, backend, frontend = step.arguments["message"].splitlines()
    assert first == "I could not look at what waits."
    assert backend.startswith("backend: ")
    assert frontend.startswith("frontend: ")
    assert model.prompts == []


async def test_where_deploybot_only_says_something_nothing_is_looked_up(bot: Bot) -> None:
    async with bot.working(Scripted()):
        thread = await opened(bot, say="No deployments on Fridays, please.")
    assert intents(thread) == [("done_for_now", "code")]


async def test_for_a_task_deploybot_looks_things_up_first(bot: Bot) -> None:
    model = Scripted()
    async with bot.working(model):
        await opened(bot, task="Say what runs where.")
    (prompt,) = model.prompts
    assert "Say what runs where." in prompt
    assert "backend,production,v1.0.0,22ddc54" in prompt
