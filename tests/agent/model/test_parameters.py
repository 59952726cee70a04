"""Parameters, the context's size, and what an endpoint refuses of them, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.definition import Agent
from agent.model.base import ANSWER_CHARS_MAX, Image, ModelFailure, Prompt
from agent.model.openai import CANNOT_SEE, OpenAIModel
from agent.model.parameters import Parameters
from agent.model.room import CHARS_MIN
from agent.steps import NothingToDo, Tool
from tests.fakes.model_server import ModelServer, Reply, Scripted, error, raw, step

NOTHING = {"intent": "nothing_to_do"}
ALL = Parameters(temperature=0.5, output_tokens=900, reasoning_effort="low", extra={"seed": 7})


class Deploy(Tool):
    """Put a version into production."""

    tag: str


AGENT = Agent(name="deployer", prompt="You deploy.", tools=(Deploy,))


@asynccontextmanager
async def talk(*script: Any, **more: Any) -> AsyncIterator[tuple[ModelServer, OpenAIModel]]:
    async with ModelServer(*script) as server:
        model = OpenAIModel(base_url=server.url, api_key="sk-test-0123456789", model="gpt-test", **more)
        try:
            yield server, model
        finally:
            await model.close()


def long_prompt(chars: int = 40_000, **more: Any) -> Prompt:
    """One that can be had in any length."""
    return Prompt(AGENT, "x" * chars, shortened=lambda limit: "x" * limit, **more)


def lengths(server: ModelServer) -> list[int]:
    return [len(request["messages"][1]["content"]) for request in server.requests]


def sent(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in ("model", "messages", "response_format")}


async def test_what_the_team_sets_is_sent_and_the_temperature_is_0() -> None:
    async with talk(NOTHING) as (server, model):
        await model.answer(Prompt(AGENT, "Go on."))
    assert [sent(one) for one in server.requests] == [{"temperature": 0.0}]
    async with talk(NOTHING, parameters=ALL) as (server, model):
        await model.answer(Prompt(AGENT, "Go on."))
    assert [sent(one) for one in server.requests] == [
        {"temperature": 0.5, "max_tokens": 900, "reasoning_effort": "low", "seed": 7}
    ]
    async with talk(NOTHING, parameters=Parameters(temperature=None)) as (server, model):
        await model.answer(Prompt(AGENT, "Go on."))
    assert [sent(one) for one in server.requests] == [{}]


def named(name: str) -> list[Reply]:
    """How endpoints refuse a parameter."""
    loc = {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}]}
    return [
        error(400, f"Unsupported value: '{name}' does not support 0 with this model.", param=name),
        error(400, f"Unsupported parameter: '{name}' is not supported with this model.", code="unsupported_parameter"),
        error(400, f"Unrecognized request argument supplied: {name}"),
        raw(json.dumps(loc).encode(), status=422),
    ]


@pytest.mark.parametrize("name", ["temperature", "reasoning_effort", "seed"])
async def test_a_parameter_that_the_endpoint_refuses_is_left_out_for_good(name: str) -> None:
    for refusal in named(name):
        async with talk(refusal, NOTHING, NOTHING, parameters=ALL) as (server, model):
            assert (await model.answer(Prompt(AGENT, "Go on."))).step == NothingToDo()
            await model.answer(Prompt(AGENT, "Go on."))
        assert [name in sent(one) for one in server.requests] == [True, False, False]
        assert all(len(sent(one)) == 3 for one in server.requests[1:]), "the others stay"
        assert model.mode == "json_schema", "its format was not refused"


async def test_the_limit_of_the_answer_has_two_names() -> None:
    refusals = [
        error(400, f"Unsupported parameter: '{name}'.", param=name) for name in ("max_tokens", "max_completion_tokens")
    ]
    async with talk(*refusals, NOTHING, parameters=Parameters(output_tokens=500)) as (server, model):
        await model.answer(Prompt(AGENT, "Go on."))
    assert [sent(one) for one in server.requests] == [
        {"temperature": 0.0, "max_tokens": 500},
        {"temperature": 0.0, "max_completion_tokens": 500},
        {"temperature": 0.0},
    ]


async def test_many_at_once_find_out_what_is_refused_without_losing_their_format() -> None:
    def answers(request: dict[str, Any]) -> Scripted:
        return error(400, "Unsupported value: 'temperature'.") if "temperature" in request else step(NOTHING)

    async with talk(answers, parameters=ALL) as (server, model):
        await asyncio.gather(*(model.answer(Prompt(AGENT, "Go on.")) for _ in range(10)))
    assert model.mode == "json_schema"
    assert [sent(one).keys() for one in server.requests if "temperature" not in one] == [
        {"max_tokens", "reasoning_effort", "seed"}
    ] * 10


TOO_LONG = error(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")


async def test_a_request_that_is_too_long_is_asked_at_half_and_so_is_the_next_one() -> None:
    async with talk(TOO_LONG, TOO_LONG, NOTHING, NOTHING) as (server, model):
        assert (await model.answer(long_prompt())).step == NothingToDo()
        await model.answer(long_prompt(50_000))
    assert lengths(server) == [40_000, 20_000, 10_000, 10_000]


async def test_what_is_too_long_at_its_shortest_concerns_this_request_alone_and_a_person() -> None:
    async with talk(*[TOO_LONG] * 10) as (server, model):
        with pytest.raises(ModelFailure) as failed:
            await model.answer(long_prompt(2 * CHARS_MIN))
    assert lengths(server) == [2 * CHARS_MIN, CHARS_MIN]
    assert (failed.value.reason, failed.value.concerns) == ("unavailable", "request")
    assert "context is too short for this thread at its shortest. This model's maximum" in failed.value.error


async def test_the_context_that_the_team_names_is_kept_to_from_the_first_request_on() -> None:
    async with talk(NOTHING, context_tokens=8_000, parameters=Parameters(output_tokens=1_000)) as (server, model):
        await model.answer(long_prompt())
    [length] = lengths(server)
    assert CHARS_MIN < length < 21_000, "three characters for a token, less the frame"
    async with talk(NOTHING, context_tokens=1_100) as (server, model):
        await model.answer(long_prompt())
    assert lengths(server) == [CHARS_MIN]


async def test_images_go_before_words_do() -> None:
    async def data_url() -> str:
        return "data:image/png;base64,AAAA"

    image = Image("a.png", data_url)
    async with talk(error(413, "Payload too large"), NOTHING, takes_images=True) as (server, model):
        await model.answer(long_prompt(5_000, images=(image,)))
    assert isinstance(server.requests[0]["messages"][1]["content"], list)
    assert server.requests[1]["messages"][1]["content"] == "x" * 5_000 + CANNOT_SEE


async def test_an_unusable_answer_comes_with_its_beginning_and_the_line_of_its_step() -> None:
    async with talk({"intent": "deploy", "tag": 7, "why": "sk-test-0123456789" + "y" * 1_000}) as (_, model):
        with pytest.raises(ModelFailure) as failed:
            await model.answer(Prompt(AGENT, "Go on."))
    assert failed.value.reason == "invalid"
    assert failed.value.answer.startswith('{"step": {"intent": "deploy", "tag": 7, "why": "***yyy')
    assert len(failed.value.answer) <= ANSWER_CHARS_MAX
    assert failed.value.hint == "- deploy(tag): Put a version into production."
