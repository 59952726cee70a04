"""Running a tool: its errors, its result, its waits, and that nothing is run twice by guess."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import JsonValue

from agent.perform.run import RESULT_BYTES_MAX
from agent.steps import Call, OutcomeUnknown, Step
from store.codec import encode
from store.events import ToolFinished, ToolStarted
from store.thread import Thread
from tests.agent.pushing import asked_to_push
from tests.telling.playbook import (
    TOOLS,
    Broken,
    BrokenLook,
    Desk,
    Flaky,
    Killed,
    Look,
    Sent,
    Slow,
    Stuck,
    StuckLook,
    Touch,
    World,
    done,
    killed,
)
from tests.telling.story import BOB, finished, started


async def test_the_model_reads_the_error_of_a_tool_and_solves_it() -> None:
    world = World()
    world.model.answers(Flaky(how="left"), Flaky(how="right"), done("It works."))
    await world.say("do it")
    assert await world.run() == ["ran: flaky(how: left)", "ran: flaky(how: right)", "said: It works."]
    assert "<flaky>\nhow: left\nerror: Not 'left'. Try 'right'.\n</flaky>" in world.model.prompts[1]


async def test_an_error_without_words_is_an_error() -> None:
    world = World()
    world.model.answers(Flaky(how="mute"), done("It failed."))
    await world.say("do it")
    await world.run()
    assert world.thread.state.steps["s2"].status == "failed"


async def test_three_errors_in_a_row_hand_over_to_a_person_whose_word_resumes() -> None:
    world = World()
    world.model.answers(*[Flaky(how=way) for way in ("left", "up", "down")])
    await world.say("do it")
    lines = await world.run()
    assert lines[-1] == (
        "noted: I stopped and need a person: There were 3 errors in a row. The last one: Not 'down'. "
        "Try 'right'. Write to me and I will continue."
    )
    assert world.thread.status == "handed_to_human"
    world.model.answers(Flaky(how="right"), done("It works."))
    await world.say("hold it right")
    assert await world.run() == ["ran: flaky(how: right)", "said: It works."]


async def test_success_in_between_forgives_earlier_errors() -> None:
    world = World()
    for _ in range(3):
        world.model.answers(Flaky(how="left"), Flaky(how="up"), Look())
    world.model.answers(done("At last."))
    await world.say("do it")
    assert (await world.run())[-1] == "said: At last."


async def test_a_tool_that_breaks_and_may_be_repeated_is_an_error() -> None:
    world = World()
    world.model.answers(BrokenLook(), done("It is broken."))
    await world.say("look")
    assert await world.run() == ["ran: broken_look", "said: It is broken."]
    assert "error: 'RuntimeError: the wire was cut'" in world.model.prompts[1].replace('"', "'")


async def test_a_tool_that_does_not_know_what_came_of_it_says_so_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(self: BrokenLook, call: Call, desk: Desk) -> JsonValue:
        raise OutcomeUnknown("It may be there:\nlook at the shelf.")

    monkeypatch.setattr(BrokenLook, "work", work)
    world = World()
    world.model.answers(BrokenLook(), done("I looked."))
    await world.say("look")
    await world.run()
    assert "It may be there: look at the shelf." in world.model.prompts[1]
    assert "OutcomeUnknown" not in world.model.prompts[1]


@pytest.mark.parametrize(
    ("tool", "why"), [(Broken(), "RuntimeError: the wire was cut"), (Stuck(), "It took longer than 0.01 s.")]
)
async def test_when_nobody_knows_whether_it_happened_a_person_is_asked(tool: Step, why: str) -> None:
    world = World()
    world.model.answers(tool, done("I see."))
    await world.say("do it")
    ran, asked = await world.run()
    assert (ran, asked) == (
        f"ran: {tool.intent}",
        f"asked: I do not know how {tool.intent} ended. Did it happen?",
    )
    assert world.thread.status == "waiting_for_answer"
    await world.answer("no")
    assert await world.run() == ["said: I see."]
    assert f"<outcome_unknown>\nstep: {tool.intent}\nerror: " in world.model.prompts[-1]
    assert why in world.model.prompts[-1]
    assert list(world.desk.keys.values()) == [1]


async def test_a_tool_that_takes_too_long_and_may_be_repeated_is_an_error() -> None:
    world = World()
    world.model.answers(StuckLook(), done("It is stuck."))
    await world.say("look")
    assert await world.run() == ["ran: stuck_look", "said: It is stuck."]
    assert "error: It took longer than 0.01 s." in world.model.prompts[1]


async def test_a_result_that_is_too_large_is_dropped_and_the_model_told_so() -> None:
    world = World()
    world.desk.result = ["x" * 1_000] * 200
    world.model.answers(Look(), done("Too much."))
    await world.say("look")
    assert await world.run() == ["ran: look", "said: Too much."]
    assert "It was done, but its result was dropped: 200," in world.model.prompts[1]
    assert len(world.model.prompts[1]) < 2_000


@pytest.mark.parametrize(("beyond", "kept"), [(0, True), (1, False)])
async def test_the_largest_result_that_is_kept(beyond: int, kept: bool) -> None:
    world = World()
    size = len(encode(finished("s1", result="").model_copy(update={"at": world.clock()})))
    world.desk.result = "x" * (RESULT_BYTES_MAX - size + beyond)
    world.model.answers(Look(), done())
    await world.say("look")
    await world.run()
    [event] = [event for event in world.thread.events if isinstance(event, ToolFinished)]
    assert (event.result == world.desk.result) is kept


async def test_a_result_that_cannot_be_written_is_dropped_and_the_model_told_so() -> None:
    world = World()
    world.desk.result = object()  # type: ignore[assignment]
    world.model.answers(Look(), done("Hm."))
    await world.say("look")
    await world.run()
    assert "It was done, but its result could not be stored" in world.model.prompts[1]


# Waiting


async def test_a_tool_waits_without_a_process() -> None:
    world = World()
    world.model.answers(Slow(), done("At last."))
    await world.say("wait for it")
    assert await world.run() == ["ran: slow"]
    assert world.thread.status == "waiting"
    assert await world.advance(9) == []
    assert await world.advance(1) == ["ran: slow"]
    assert await world.advance(10) == ["ran: slow", "said: At last."]
    assert "result: done at last" in world.model.prompts[-1]


async def test_words_are_answered_while_a_tool_waits() -> None:
    world = World()
    world.model.answers(Slow(), done("Still waiting."), done("At last."))
    await world.say("wait for it")
    await world.run()
    await world.say("and?", by=BOB)
    assert await world.run() == ["said: Still waiting."]
    assert "under_way: slow" in world.model.prompts[-1]
    await world.advance(10)
    assert await world.advance(10) == ["ran: slow", "said: At last."]


async def test_words_during_a_tool_after_which_code_waits_are_read_at_once() -> None:
    def then_wait(thread: Thread) -> Step | None:
        intents = [step.chosen.intent for step in thread.state.steps.values() if step.status != "superseded"]
        return Slow() if "touch" in intents and "slow" not in intents else None

    world = World(plan=then_wait)
    world.model.answers(Touch(), done("I cannot stop it."))
    await world.say("touch it")
    world.desk.during("touch", lambda: world.say("stop!", by=BOB))
    assert await world.run() == ["ran: touch", "ran: slow", "said: I cannot stop it."]


async def test_a_cancelled_thread_waits_for_nothing() -> None:
    world = World()
    world.model.answers(Slow())
    await world.say("wait for it")
    await world.run()
    await world.cancel()
    await world.run()
    assert await world.advance(60) == []


# Dying and taking over


@pytest.mark.parametrize("tool", [Look(), BrokenLook()])
async def test_a_repeatable_tool_is_started_again_after_its_worker_died(tool: Step) -> None:
    world = World()
    world.model.answers(tool, done("Seen."))
    await world.say("look")
    world.desk.during(tool.intent, killed)
    assert await world.run() == [f"ran: {tool.intent}", "killed"]
    assert await world.run() == [f"ran: {tool.intent}", "said: Seen."]


async def test_a_tool_that_kills_every_worker_is_not_started_for_ever() -> None:
    world = World()
    world.model.answers(Look(), done("It kills."))
    await world.say("look")
    for _ in range(3):
        world.desk.during("look", killed)
    assert [await world.run() for _ in range(4)] == [["ran: look", "killed"]] * 3 + [["said: It kills."]]
    assert "look was interrupted 3 times." in world.model.prompts[-1]


async def test_a_tool_that_cannot_be_repeated_is_asked_about_after_its_worker_died() -> None:
    world = World()
    await asked_to_push(world, done("Good."))
    await world.approve()
    world.desk.during("push", killed)
    assert (await world.run())[-1] == "killed"
    assert await world.run() == ["asked: I do not know how push target=prod ended. Did it happen?"]
    await world.answer("yes")
    assert await world.run() == ["said: Good."]
    assert world.desk.ran == ["push(target: prod)"]


def finding() -> World:
    """With a tool that finds out by its key what it has done."""
    world = World()
    world.roster["ops"] = dataclasses.replace(world.roster["ops"], tools=(*TOOLS, Sent))
    return world


async def test_what_a_tool_finds_again_by_its_key_nobody_is_asked_about() -> None:
    world = finding()
    world.model.answers(Sent(), done("It is sent."))
    await world.say("send it")
    assert await world.run() == ["ran: sent", "said: It is sent."]


async def test_what_is_found_again_after_its_worker_died_is_the_result_of_the_call() -> None:
    world = finding()
    world.model.answers(Sent(), done("It is sent."))
    await world.say("send it")

    async def sends_and_dies() -> None:
        world.desk.sent.update(dict.fromkeys(world.desk.keys, "sent"))
        raise Killed

    world.desk.during("sent", sends_and_dies)
    assert (await world.run())[-1] == "killed"
    assert await world.run() == ["said: It is sent."]
    assert world.desk.ran == ["sent"], "it is looked for, not run again"


@pytest.mark.parametrize("found", ["away", ""])
async def test_what_is_not_found_again_people_are_asked_about(found: str) -> None:
    world = finding()
    world.model.answers(Sent())
    await world.say("send it")

    async def dies() -> None:
        if found:
            world.desk.sent.update(dict.fromkeys(world.desk.keys, found))
        raise Killed

    world.desk.during("sent", dies)
    await world.run()
    assert await world.run() == ["asked: I do not know how sent ended. Did it happen?"]
    assert world.desk.ran == ["sent"]


async def test_a_worker_that_comes_back_late_asks_nothing_twice() -> None:
    """It broke, but a slow worker tells so after another one has asked about it already."""
    world = World()
    world.model.answers(Broken())
    await world.say("do it")

    async def given_up_for_dead() -> None:
        await world.say("and?", by=BOB)
        world.clock.advance(60)
        await world.run()

    world.desk.during("broken", given_up_for_dead)
    assert await world.run() == [
        "ran: broken",
        "asked: I do not know how broken ended. Did it happen?",
    ]
    assert world.kinds.count("tool_interrupted") == 1


async def test_a_start_of_another_worker_under_the_same_id_is_not_taken_for_our_own() -> None:
    world = World()
    world.model.answers(Touch(), done())
    await world.say("touch it")

    async def begins_elsewhere() -> None:
        (step,) = (await world.store.load(world.thread.id)).open_steps("chosen")
        there = started(step.id).model_copy(update={"host": "elsewhere"})
        await world.store.real.append(world.thread, there)

    world.store.before(ToolStarted, begins_elsewhere)
    assert await world.run() == ["asked: I do not know how touch ended. Did it happen?"]
    assert world.desk.ran == []
