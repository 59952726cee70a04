"""What begins something begins only where nothing was said, paused, cancelled or taken over meanwhile."""

from __future__ import annotations

import pytest

from agent.steps import Step
from store.base import LeaseLost
from store.choices import ChoiceFailed
from store.events import ApprovalRequested, MessageReceived, StepChosen, ToolStarted
from store.thread import Thread
from tests.agent.pushing import PROD, asked_to_push
from tests.telling.playbook import NOTHING, Look, Push, Touch, World, done, withdraw
from tests.telling.story import BOB


async def test_a_message_that_arrives_while_the_model_thinks_is_read_before_anything_is_done() -> None:
    world = World()

    async def while_thinking(_: str) -> Step:
        await world.say("no, wait!", by=BOB)
        return Touch()

    world.model.answers(while_thinking, done("I wait."))
    await world.say("touch it")
    assert await world.run() == ["said: I wait."]
    assert "no, wait!" in world.model.prompts[1]
    outdated = [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    assert [(event.reason, event.usage is not None) for event in outdated] == [("outdated", True)]
    assert "outdated" not in world.model.prompts[1]


async def test_a_message_between_the_choice_and_the_start_is_read_first() -> None:
    world = World()
    world.model.answers(Touch(), done("I wait."))
    await world.say("touch it")
    world.store.before(ToolStarted, lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["said: I wait."]
    assert "no, wait!" in world.model.prompts[1]


async def test_a_message_between_the_approval_and_the_start_is_read_first() -> None:
    world = World()
    await asked_to_push(world, withdraw("Bob said so"), done("I wait."))
    await world.approve()
    world.store.before(ToolStarted, lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["settled: push approved by Ann", "settled: push withdrawn by Ann", "said: I wait."]


async def test_a_message_while_the_request_is_prepared_is_read_first() -> None:
    world = World()
    world.model.answers(PROD, done("I wait."))
    await world.say("push to prod")
    world.store.before(ApprovalRequested, lambda: world.say("no, wait!"))
    assert await world.run() == ["said: I wait."]


async def test_a_message_while_a_tool_runs_is_read_after_it() -> None:
    world = World()
    world.model.answers(Touch(), done("Too late, Bob."))
    await world.say("touch it")
    world.desk.during("touch", lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["ran: touch", "said: Too late, Bob."]
    assert len(world.model.prompts) == 2


async def test_words_are_read_by_the_model_before_an_approved_step_begins_also_where_code_chooses_first() -> None:
    def look_once_per_message(thread: Thread) -> Step | None:
        words = sum(isinstance(event, MessageReceived) for event in thread.events)
        looks = sum(step.chosen.by == "code" for step in thread.state.steps.values())
        return Look() if looks < words else None

    world = World(plan=look_once_per_message)
    world.model.answers(PROD)
    await world.say("push to prod")
    assert await world.run() == ["ran: look", "requested: push(target: prod)"]
    await world.approve()
    await world.say("no, wait!", by=BOB)
    world.model.answers(withdraw(), done("I wait."))
    assert await world.run() == [
        "settled: push approved by Ann",
        "ran: look",
        "settled: push withdrawn by Ann",
        "said: I wait.",
    ]


async def test_after_words_that_change_nothing_the_approved_step_begins() -> None:
    world = World()
    await asked_to_push(world, NOTHING, done("It is out."))
    await world.approve()
    await world.say("nice!", by=BOB)
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_words_are_answered_while_a_request_waits() -> None:
    world = World()
    await asked_to_push(world, done("It waits for approval."))
    await world.say("what is going on?", by=BOB)
    assert await world.run() == ["said: It waits for approval."]
    assert "waits_for_approval: push target=prod" in world.model.prompts[-1]
    assert world.thread.status == "waiting_for_approval"


async def test_the_same_call_again_keeps_the_request_that_stands() -> None:
    world = World()
    await asked_to_push(world, PROD, done("It is out."))
    await world.say("push to prod!!")
    assert await world.run() == [
        "noted: I have already asked for approval of this above, and am waiting for the decision."
    ]
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_a_request_is_withdrawn() -> None:
    world = World()
    await asked_to_push(world, withdraw(), done("All right."))
    await world.say("never mind")
    assert await world.run() == ["settled: push withdrawn", "said: All right."]
    assert (await world.approve(step_id="s2")).outcome == "too_late"
    assert await world.run() == []


# Pausing and cancelling


@pytest.mark.parametrize("point", [StepChosen, ToolStarted])
async def test_what_is_paused_before_a_tool_begins_does_not_begin_it(point: type[StepChosen | ToolStarted]) -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.store.before(point, world.pause)
    assert await world.run() == []
    world.model.answers(*([Touch()] if point is StepChosen else []), done("Touched."))
    await world.resume()
    assert await world.run() == ["ran: touch", "said: Touched."]


@pytest.mark.parametrize("point", [StepChosen, ApprovalRequested, ToolStarted])
async def test_what_is_cancelled_before_a_tool_begins_never_begins_it(
    point: type[StepChosen | ApprovalRequested | ToolStarted],
) -> None:
    world = World()
    world.model.answers(Touch() if point is ToolStarted else PROD)
    await world.say("do it")
    world.store.before(point, lambda: world.cancel("wrong thread"))
    assert await world.run() == ["noted: Cancelled by Ann: wrong thread. I will not start anything else."]
    assert world.thread.status == "cancelled"


async def test_an_approved_step_is_cancelled_before_it_begins() -> None:
    world = World()
    await asked_to_push(world)
    await world.approve()
    world.store.before(ToolStarted, world.cancel)
    lines = await world.run()
    assert "ran: push(target: prod)" not in lines
    assert lines[1:] == ["settled: push cancelled by Ann", "noted: Cancelled by Ann. I will not start anything else."]


async def test_a_tool_that_runs_when_the_thread_is_cancelled_is_noted_and_nothing_follows() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.desk.during("touch", world.cancel)
    assert await world.run() == ["ran: touch", "noted: Cancelled by Ann. I will not start anything else."]
    assert (world.thread.state.steps["s2"].status, world.thread.status) == ("finished", "cancelled")


async def test_a_cancelled_thread_says_so_to_whoever_writes() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    await world.cancel()
    await world.run()
    await world.say("hello?")
    (noted,) = await world.run()
    assert noted.startswith("noted: This thread was cancelled, so I no longer act on it. `bot resume ")
    assert await world.run() == []


async def test_a_reopened_thread_goes_on_with_the_next_words_and_nothing_that_was_cancelled() -> None:
    world = World()
    world.model.answers(Push(target="prod"))
    await world.say("push")
    await world.run()
    request = world.thread.pending
    assert request
    await world.cancel()
    await world.run()
    await world.resume()
    assert await world.run() == ["noted: Reopened by Ann. What was cancelled stays cancelled. Write to me to go on."]
    assert (await world.approve(step_id=request.step, digest=request.digest)).outcome == "too_late"
    assert await world.run() == []
    world.model.answers(done("v2 it is."))
    await world.say("v2 instead")
    assert await world.run() == ["said: v2 it is."]
    assert world.thread.state.steps[request.step].status == "cancelled"
    assert "<reopened>" in world.model.prompts[-1]


async def test_what_is_said_while_paused_is_read_when_it_resumes() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.pause()
    assert await world.run() == []
    await world.say("hello?")
    assert await world.run() == ["noted: I am paused. I will read this when somebody resumes me."]
    await world.resume()
    assert await world.run() == ["said: Hello."]


async def test_a_notice_of_a_pause_that_is_over_does_not_say_that_it_is_paused() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.pause()
    await world.say("hello?")
    await world.resume()
    assert await world.run() == [
        "noted: I am paused. I will read this when somebody resumes me.",
        "said: Hello.",
    ]


async def test_an_approval_during_a_pause_counts_when_it_resumes() -> None:
    world = World()
    await asked_to_push(world, done("It is out."))
    await world.pause()
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann"]
    await world.resume()
    assert await world.run() == ["ran: push(target: prod)", "said: It is out."]


# Losing the thread to another worker


async def test_a_result_that_comes_late_still_lands() -> None:
    world = World()
    world.model.answers(Touch(), done("So it happened."))
    await world.say("touch it")
    world.desk.during("touch", lambda: taken_over(world))
    with pytest.raises(LeaseLost):
        await world.run()
    world.clock.advance(60)
    assert await world.run() == ["said: So it happened."]


async def test_a_worker_that_lost_its_lease_begins_nothing() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.store.before(ToolStarted, lambda: taken_over(world))
    with pytest.raises(LeaseLost):
        await world.run()
    assert world.lines == []


async def taken_over(world: World) -> None:
    """Another worker holds the thread from now on, and does nothing yet."""
    world.clock.advance(60)
    await world.claim()
