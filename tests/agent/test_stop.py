"""After a stop: the agent begins nothing, follows what has begun to its end, and says how it ended."""

from __future__ import annotations

import pytest

from agent.decide import ChooseStep, RunTool, decide
from agent.speech.messages import outgoing
from agent.steps import DoneForNow, NothingToDo, Step
from channels.messages import Notice
from store.events import ToolStarted
from store.thread import Thread
from tests.agent.watching import Watch, watches_what_was_touched
from tests.telling.playbook import TOOLS, Push, Touch, World, done, ops
from tests.telling.story import (
    chosen,
    failed,
    finished,
    fired,
    message,
    requested,
    sent,
    started,
    stopped,
    thread,
    waits,
)

TOUCHES = (message(), chosen("s1", "touch", acts=True), started("s1"), stopped())
SLOW = chosen("s1", "slow")
NOTICE = sent("from/slack/stop:1/notice")


FOLLOWS = ops(tools=(*TOOLS, Watch), plan=watches_what_was_touched)


def said(*events: object) -> str:
    action = decide(ops(), Thread("t1").extended(events))  # type: ignore[arg-type]
    assert isinstance(action, ChooseStep)
    assert isinstance(action.step, DoneForNow)
    return action.step.message


def test_how_it_ended_is_said_by_code() -> None:
    before = thread(*TOUCHES, NOTICE).events
    ended = "I was stopped, and this has ended since:\n- touch: "
    assert said(*before, finished("s1", {"state": "failed", "sha": "abc"})) == f"{ended}state failed, sha abc"
    assert said(*before, finished("s1", None)) == f"{ended}done"
    assert said(*before, failed("s1", "No such thing.")) == f"{ended}failed. No such thing."


def test_nothing_is_said_of_a_quick_look() -> None:
    looks = (message(), chosen("s1", "look"), started("s1", repeatable=True), stopped(), NOTICE, finished("s1"))
    assert decide(ops(), thread(*looks)) == ChooseStep(NothingToDo())


def test_what_was_begun_is_followed_to_its_end_and_nothing_else_is_planned() -> None:
    events = (*TOUCHES, NOTICE, finished("s1"))
    assert decide(FOLLOWS, thread(*events)) == ChooseStep(Watch())
    watched = (*events, chosen("s2", "watch").model_copy(update={"by": "code"}), started("s2"), finished("s2"))
    action = decide(FOLLOWS, thread(*watched))
    assert isinstance(action, ChooseStep)
    assert isinstance(action.step, DoneForNow), "the plan would have looked"
    assert action.step.message.count("\n- ") == 2


def test_what_waits_goes_on_after_a_stop() -> None:
    events = (message(), SLOW, started("s1"), waits("s1"), stopped(), NOTICE, fired("s1/wait/1"))
    assert isinstance(decide(ops(), thread(*events)), RunTool)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ((message(),), "Stopped by Ann. Write to me to go on."),
        (
            (message(), chosen("s1", "push", acts=True, target="prod"), requested("s1", title="Push to prod")),
            "Stopped by Ann. Withdrawn, and not run: Push to prod. Write to me to go on.",
        ),
        (
            TOUCHES[:3],
            "Stopped by Ann. It has begun already, so it goes on, and I will say how it ends: touch. "
            "Write to me to go on.",
        ),
    ],
)
def test_people_are_told_what_a_stop_has_ended(events: tuple[object, ...], told: str) -> None:
    after = thread(*events, stopped())  # type: ignore[arg-type]
    assert outgoing(after, after.state.outbox["from/slack/stop:1/notice"]) == Notice(told)


async def test_a_push_that_runs_when_it_is_stopped_goes_on_to_its_end_which_is_told() -> None:
    world = World()
    world.model.answers(Push(target="prod"))
    await world.say("push to prod, please")
    await world.run()
    await world.approve()
    world.desk.during("push", world.stop)
    lines = await world.run()
    assert "ran: push(target: prod)" in lines
    assert any(line.startswith("said: I was stopped, and this has ended since:") for line in lines)
    assert world.thread.status == "done"
    assert len(world.model.prompts) == 1, "the model is not asked before somebody writes"
    world.model.answers(done("It is out."))
    await world.say("and?")
    assert "said: It is out." in await world.run()
    assert "stopped" in world.model.prompts[-1]


async def test_what_the_model_chose_while_it_was_stopped_is_not_begun() -> None:
    world = World()

    async def thinks(_: str) -> Step:
        await world.stop()
        return Touch()

    world.model.answers(thinks)
    await world.say("touch it")
    await world.run()
    assert not any(isinstance(event, ToolStarted) for event in world.thread.events)
    assert world.thread.status == "done"
