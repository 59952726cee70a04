"""Before a step acts, people's newest words are sorted once more, if the team file says so: over real HTTP."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from agent.definition import Agent
from agent.model.base import Answer, ModelFailure, Prompt
from agent.model.choice import Models, Option
from agent.model.second_look import LOOK
from agent.steps import Tool
from tests.agent.model.endpoints import DOWN, NOTHING, Served, served


class Push(Tool):
    """Push it."""


class Look(Tool):
    """Look."""

    acts: ClassVar[bool] = False


OPS = Agent(name="ops", prompt="You do as you are told.", tools=(Push, Look))
PUSH = {"intent": "push"}
ORDER = {"intent": "order"}


async def answer(one: Served, newest: str = "Ann: push it", *, second_look: bool = True) -> Answer:
    return await Models([Option(one.model, 20, second_look=second_look)]).answer(Prompt(OPS, "much", newest=newest))


def said(request: dict[str, Any]) -> list[str]:
    return [one["content"] for one in request["messages"] if one["role"] == "user"]


async def test_a_step_that_acts_stands_where_the_newest_words_are_an_order() -> None:
    async with served(PUSH, ORDER) as one:
        found = await answer(one)
    assert (found.step, found.doubt) == (Push(), ("", ""))
    assert said(one.server.requests[1])[-1] == "Ann: push it"


@pytest.mark.parametrize(
    ("kind", "why", "instead"),
    [
        ("condition", "for later or under a condition", "look_again"),
        ("question", "a question", "done_for_now"),
        ("no", "an objection", "nothing_to_do"),
        ("talk", "asks for nothing", "nothing_to_do"),
    ],
)
async def test_all_else_speaks_against_it_and_says_what_would_make_sense(kind: str, why: str, instead: str) -> None:
    async with served(PUSH, {"intent": kind}) as one:
        found = await answer(one)
    assert found.step == Push()
    assert why in found.doubt[0]
    assert instead in found.doubt[1]


@pytest.mark.parametrize("step", [NOTHING, {"intent": "look"}])
async def test_what_does_not_act_needs_no_second_look(step: dict[str, Any]) -> None:
    async with served(step) as one:
        assert (await answer(one)).doubt == ("", "")
    assert one.asked == 1


async def test_nobody_is_asked_twice_where_the_team_file_does_not_say_so_or_nobody_has_written() -> None:
    async with served(PUSH, PUSH) as one:
        await answer(one, second_look=False)
        await answer(one, newest="")
    assert one.asked == 2


async def test_both_calls_are_counted() -> None:
    async with served(PUSH, ORDER, PUSH) as one:
        twice = await answer(one)
        once = await answer(one, second_look=False)
    assert twice.usage is not None
    assert once.usage is not None
    assert twice.usage.input_tokens > once.usage.input_tokens


async def test_without_the_second_answer_there_is_no_first_one() -> None:
    async with served(PUSH, DOWN) as one:
        with pytest.raises(ModelFailure):
            await answer(one)


async def test_the_model_sees_an_example_of_each_kind_as_its_own_answers() -> None:
    async with served(PUSH, ORDER) as one:
        await answer(one)
    system, *examples, _ = one.server.requests[1]["messages"]
    assert system["role"] == "system"
    assert [message["role"] for message in examples] == ["user", "assistant"] * len(LOOK.examples)
    answers = {message["content"] for message in examples[1::2]}
    assert {json.loads(answer)["step"]["intent"] for answer in answers} == set(LOOK.steps)


def test_it_can_neither_speak_nor_ask() -> None:
    assert list(LOOK.steps) == ["order", "condition", "question", "no", "talk"]
