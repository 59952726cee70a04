"""People click while the model thinks: only what comes of a click outdates the answer, and not the click itself."""

from __future__ import annotations

import pytest

from agent.steps import Step
from store.choices import ChoiceFailed
from store.events import FeedbackGiven, StepChosen, WorkStopped
from store.values import Person
from tests.agent.pushing import asked_to_push
from tests.telling.arrivals import Does, PlainReader, click
from tests.telling.playbook import Line, Look, Push, Touch, World, done, update
from tests.telling.story import ANN, EVE


def while_thinking(world: World, answer: Step, does: Does, by: Person = EVE, **more: str) -> Line:
    async def think(_: str) -> Step:
        await click(world, does, by, **more)
        return answer

    return think


def outdated(world: World) -> list[str]:
    return [event.reason for event in world.thread.events if isinstance(event, ChoiceFailed)]


@pytest.mark.parametrize("step", [done("Fine."), Look(), Touch()], ids=lambda step: step.intent)
async def test_a_refused_stop_does_not_outdate_the_answer(step: Step) -> None:
    reader = PlainReader()
    world = World(reader=reader)
    world.model.answers(while_thinking(world, step, "stops"), done("That is all."))
    await world.say("how is it?")
    await world.run()
    assert outdated(world) == []
    (first, *_) = (event for event in world.thread.events if isinstance(event, StepChosen))
    assert first.intent == step.intent
    assert [told.partition(":")[0] for told in reader.told] == ["Eve may not steer this thread"]


async def test_a_stop_that_holds_outdates_the_answer() -> None:
    world = World(reader=PlainReader())
    world.model.answers(while_thinking(world, Touch(), "stops", ANN))
    await world.say("touch it")
    assert await world.run() == ["noted: Stopped by Ann. Write to me to go on."]
    assert outdated(world) == ["outdated"]
    assert [event.by for event in world.thread.events if isinstance(event, WorkStopped)] == [ANN]


async def test_a_refused_approval_does_not_outdate_the_answer() -> None:
    reader = PlainReader()
    world = World(reader=reader)
    await asked_to_push(world)
    world.model.answers(while_thinking(world, update("It waits."), "approves"), done("It still waits."))
    await world.say("how is it?")
    assert await world.run() == ["said: It waits.", "said: It still waits."]
    assert outdated(world) == []
    assert len(reader.told) == 1
    assert world.desk.ran == []


async def test_a_rejection_that_counts_outdates_the_answer() -> None:
    world = World(reader=PlainReader())
    await asked_to_push(world)
    world.model.answers(while_thinking(world, update("It waits."), "rejects", ANN), done("As you wish."))
    await world.say("how is it?")
    assert "said: It waits." not in await world.run()
    assert outdated(world) == ["outdated"]


async def test_feedback_does_not_outdate_a_call() -> None:
    world = World(reader=PlainReader())
    world.model.answers(while_thinking(world, Touch(), "rates", step="s1"), done("Touched."))
    await world.say("touch it")
    assert (await world.run())[-1] == "said: Touched."
    assert outdated(world) == []
    assert [event.by.name for event in world.thread.events if isinstance(event, FeedbackGiven)] == ["Eve"]


async def test_a_click_that_cannot_be_judged_now_outdates_a_call() -> None:
    reader = PlainReader()
    world = World(reader=reader)

    async def think(_: str) -> Step:
        await click(world, "stops", EVE)
        reader.is_silent = True
        return Push(target="prod")

    world.model.answers(think)
    await world.say("push it")
    with pytest.raises(Exception, match="postponed by 2 s"):
        await world.run()
    world.thread = await world.store.load(world.thread.id)
    assert outdated(world) == ["outdated"]
