"""Asking the model: useless answers, and an endpoint that is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from agent.definition import Limits
from agent.model.base import Answer, ModelFailure, Prompt
from agent.steps import Call, Facts, PlannedTask, ShowTasks, Step, Tool, ToolError, WithdrawRequest
from store.choices import ChoiceFailed
from store.events import StepChosen
from store.text import instant
from tests.telling.playbook import Look, Push, Touch, World, done


@pytest.mark.parametrize("reason", ["invalid", "refused", "truncated"])
async def test_a_useless_answer_is_told_to_the_model_which_is_asked_again(reason: str) -> None:
    world = World()
    world.model.answers(ModelFailure(reason, "Field required."), done("Sorry."))  # type: ignore[arg-type]
    await world.say("do it")
    assert await world.run() == ["said: Sorry."]
    assert f"<error>\nyour_answer_was: {reason}\nerror: Field required.\n</error>" in world.model.prompts[1]


async def test_three_useless_answers_hand_over_to_a_person() -> None:
    world = World()
    world.model.answers(*[ModelFailure("invalid", "No.")] * 3)
    await world.say("do it")
    (line,) = await world.run()
    assert line.startswith("noted: I stopped and need a person: There were 3 errors")


async def test_the_model_reads_what_it_answered_and_what_a_right_answer_looks_like() -> None:
    world = World()
    hint = "- push(target): Push it."
    world.model.answers(
        ModelFailure("invalid", "No target.", answer='{"intent": "push"}</error>', hint=hint), done("So.")
    )
    await world.say("do it")
    assert await world.run() == ["said: So."]
    [failed] = [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    assert (failed.answer, failed.hint) == ('{"intent": "push"}</error>', hint)
    block = world.model.prompts[1].partition("<error>")[2].partition("</error>")[0]
    assert r'you_answered: "{\"intent\": \"push\"}&lt;/error>"' in block
    assert hint in block


async def test_that_a_thread_is_too_long_for_the_model_makes_it_no_longer() -> None:
    world = World()
    world.model.answers(ModelFailure("unavailable", "Too short a context.", concerns="request"), done("Here."))
    await world.say("hello?")
    assert await world.run() == []
    assert await until_asked_again(world) == ["said: Here."]
    first, second = world.model.prompts
    assert second == first


async def test_a_model_that_takes_less_reads_a_shorter_context() -> None:
    world = World()
    asked: list[str] = []

    async def answer(prompt: Prompt) -> Answer:
        assert prompt.shortened
        asked.extend([prompt.user, prompt.shortened(2_000), prompt.shortened(1_000_000)])
        return Answer(done("Short."), None, "small")

    world.model.answer = answer  # type: ignore[method-assign]
    await world.say("long " * 1_000)
    assert await world.run() == ["said: Short."]
    whole, short, as_long = asked
    assert len(short) <= 2_000 < len(whole)
    assert as_long == whole


async def test_an_answer_that_is_too_large_to_keep_is_a_useless_one() -> None:
    world = World()
    world.model.answers(done("字" * 100_000), done("Shorter."))
    await world.say("tell me all")
    assert await world.run() == ["said: Shorter."]
    assert "your_answer_was: invalid" in world.model.prompts[1]


async def test_where_nothing_can_be_withdrawn_the_model_is_told_so() -> None:
    world = World()
    world.model.answers(WithdrawRequest(reason="They said stop."), done("Nothing was under way."))
    await world.say("stop!")
    assert await world.run() == ["said: Nothing was under way."]
    assert "your_answer_was: invalid" in world.model.prompts[1]
    assert "nothing can be withdrawn" in world.model.prompts[1]
    assert "step_chosen" not in world.kinds[:-2]


async def test_an_endpoint_that_asks_to_slow_down_is_asked_again_when_it_said() -> None:
    world = World()
    world.model.answers(ModelFailure("unavailable", "429", retry_after_seconds=30), done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    assert world.thread.status == "waiting"
    assert await world.advance(29) == []
    assert await world.advance(1) == ["said: Here I am."]
    assert "429" not in world.model.prompts[-1]


async def test_a_message_asks_the_model_again_before_its_time() -> None:
    world = World()
    world.model.answers(ModelFailure("unavailable", "503"), done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    await world.say("anybody there?")
    assert await world.run() == ["said: Here I am."]


async def until_asked_again(world: World) -> list[str]:
    (at,) = world.thread.timers.values()
    return await world.advance((at - world.clock()).total_seconds())


async def test_an_endpoint_that_stays_away_hands_over_to_a_person_after_a_time() -> None:
    world = World()
    world.model.answers(*[ModelFailure("unavailable", "no route to the model.")] * 100)
    await world.say("hello?")
    began, since = world.clock(), instant(world.clock())
    lines = await world.run()
    while not lines:
        lines = await until_asked_again(world)
    assert (world.clock() - began).total_seconds() == 900
    assert lines == [
        f"noted: I stopped and need a person: The model has been unavailable since {since}. The last error: no route "
        "to the model. I can go on once it answers; `bot doctor` says whether it does. Write to me and I will continue."
    ]
    assert world.model.lines_left > 70, "it is not asked all the time"


async def test_after_a_hand_over_because_of_an_endpoint_the_time_begins_anew() -> None:
    world = World(limits=Limits(unavailable_seconds=5))
    world.model.answers(*[ModelFailure("unavailable", "503")] * 4, done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    assert await until_asked_again(world) == []
    assert len(await until_asked_again(world)) == 1
    await world.say("again?")
    assert await world.run() == []
    assert world.thread.status == "waiting"
    assert await until_asked_again(world) == ["said: Here I am."]


async def test_a_request_that_the_endpoint_refuses_is_an_error_of_the_thread() -> None:
    world = World()
    world.model.answers(*[ModelFailure("unavailable", "It refuses the request (400).", concerns="request")] * 3)
    await world.say("do it")
    assert await world.run() == []
    assert await until_asked_again(world) == []
    (line,) = await until_asked_again(world)
    assert line.startswith("noted: I stopped and need a person: There were 3 errors in a row. The last one: It refuses")


async def test_time_in_which_nobody_asked_does_not_count() -> None:
    world = World(limits=Limits(unavailable_seconds=60))
    world.model.answers(*[ModelFailure("unavailable", "503")] * 2, done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    await world.pause()
    await world.advance(3_600)
    await world.resume()
    assert await world.run() == []
    assert await until_asked_again(world) == ["said: Here I am."]


async def test_an_endpoint_that_is_away_is_no_error_beside_those_of_tools_and_answers() -> None:
    world = World()
    invalid, away = ModelFailure("invalid", "No."), ModelFailure("unavailable", "503")
    world.model.answers(invalid, invalid, away, away, done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    assert await until_asked_again(world) == []
    assert await until_asked_again(world) == ["said: Here I am."]


async def test_an_endpoint_that_says_nothing_of_when_is_asked_again_later_and_later() -> None:
    world = World()
    world.model.answers(*[ModelFailure("unavailable", "503")] * 3)
    await world.say("hello?")
    await world.run()
    await world.advance(2)
    await world.advance(8)
    failed = [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    waits = [event.retry_at - event.at for event in failed if event.retry_at]
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 8, 32)]


async def test_what_a_step_does_is_in_the_log_and_needs_no_name() -> None:
    """A log is read after its agent is gone; of a tool, which is most steps, nothing is written."""
    world = World()
    world.model.answers(Look(), done())
    await world.say("look")
    await world.run()
    chosen = [event for event in world.thread.events if isinstance(event, StepChosen)]
    assert [(event.intent, event.effect) for event in chosen] == [("look", None), ("done_for_now", "says")]


@pytest.mark.parametrize(("tool", "acts"), [(Look(), False), (Touch(), True), (Push(target="prod"), True)])
async def test_whether_a_step_may_have_side_effects_is_in_the_log(tool: Step, acts: bool) -> None:
    world = World()
    world.model.answers(tool, done())
    await world.say("do it")
    await world.run()
    assert next(event for event in world.thread.events if isinstance(event, StepChosen)).acts is acts


class Ship(Tool):
    """Never to the moon, but for somebody's words."""

    to: str
    although: str = ""

    after_refusal: ClassVar[frozenset[str]] = frozenset({"although"})

    async def prepare(self, call: Call) -> Facts:
        if self.to != "sea":
            raise ToolError(f"Not to the {self.to}.")
        return {}


@pytest.mark.parametrize(
    ("chosen", "insists"),
    [
        ([Ship(to="moon")], [False, False]),
        ([Ship(to="moon"), Ship(to="mars")], [False, False, False]),
        ([Ship(to="moon"), Ship(to="moon")], [False, False, True]),
        ([Ship(to="moon", although="m2"), Ship(to="moon")], [False, False, True]),
        ([Look(), Look()], [False, False, False]),
    ],
)
async def test_a_model_insists_where_it_chooses_the_same_refused_call_twice(
    chosen: list[Step], insists: list[bool]
) -> None:
    world = World()
    ops = world.roster["ops"]
    world.roster["ops"] = replace(ops, tools=(*ops.tools, Ship))
    found: list[bool] = []
    answer = world.model.answer

    async def asked(prompt: Prompt) -> Answer:
        found.append(prompt.insists)
        return await answer(prompt)

    world.model.answer = asked  # type: ignore[method-assign]
    world.model.answers(*chosen, done("So be it."))
    await world.say("to the moon")
    assert (await world.run())[-1] == "said: So be it."
    assert found == insists


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([("Push it", "push"), ("Fly", "fly")], "`does` must be one of"),
        ([("Push it", "push"), ("Say so", "done_for_now")], "not 'done_for_now'"),
        ([("Push it", "push")], "A list has 2 to 20 tasks."),
    ],
)
async def test_a_list_of_tasks_that_no_step_will_do_is_chosen_again(tasks: list[tuple[str, str]], said: str) -> None:
    world = World()
    await world.say("push it")
    shown = ShowTasks(tasks=[PlannedTask(title=title, does=intent) for title, intent in tasks])
    world.model.answers(shown, done("No list, then."))
    await world.run()
    [failed] = [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    assert said in failed.error
    assert failed.reason == "invalid"


async def test_a_step_that_the_second_look_doubts_is_refused_and_the_model_hears_why() -> None:
    world = World()
    world.model.answers(Push(target="v3"), done("It is v2."))
    world.model.doubts["push"] = ("Not begun: the newest words are a question.", "Answer it.")
    await world.say("is v3 there?")
    assert await world.run() == ["said: It is v2."]
    [step] = [one for one in world.thread.state.steps.values() if one.chosen.intent == "push"]
    assert (step.status, step.attempt, step.request) == ("refused", 0, None)
    assert "Not begun: the newest words are a question." in world.model.prompts[1]
    assert "Answer it." in world.model.prompts[1]
