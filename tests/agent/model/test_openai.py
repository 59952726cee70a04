"""The OpenAI adapter against a real server: the SDK, sockets and HTTP are all in it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI
from pydantic import BaseModel, ConfigDict, Field

from agent.definition import Agent
from agent.model.base import ERROR_CHARS_MAX, RETRY_AFTER_SECONDS_MAX, Image, ModelFailure, Prompt
from agent.model.endpoint import BODY_BYTES_MAX
from agent.model.failures import Failures, SettingNames
from agent.model.frame import frame_of
from agent.model.openai import CANNOT_SEE, OpenAIModel
from agent.model.schema import ANSWER_CHARS_MAX
from agent.steps import DoneForNow, NothingToDo, Step, Tool
from store.values import Usage
from tests import ROOT
from tests.fakes.model_server import (
    MODEL,
    Capability,
    ModelServer,
    Reply,
    Scripted,
    dropped,
    error,
    filtered,
    raw,
    refusal,
    step,
    tool_call,
    truncated,
)
from tests.matrices import examples

KEY = "sk-test-0123456789abcdefghij"


class Window(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    start: str
    hours: int = 1


class Deploy(Tool):
    """Put a version into production."""

    tag: str = Field(description="the tag")
    environment: Literal["production", "staging"] = "production"
    window: Window | None = None


class ReadLogs(Tool):
    """Read the newest lines of a service's log."""

    acts = False

    service: str
    lines: int | None = None


AGENT = Agent(name="deployer", prompt="You put “versions” into production.", tools=(Deploy, ReadLogs))
PROMPT = Prompt(agent=AGENT, user="<message>\ndeploy v1, \U0001f680\n</message>")
DONE = {"intent": "done_for_now", "message": "Done."}
NOTHING = {"intent": "nothing_to_do"}
USAGE = Usage(input_tokens=100, output_tokens=20, cached_tokens=64)


@asynccontextmanager
async def talk(
    *script: Scripted,
    response_format: Capability = "json_schema",
    key: str = KEY,
    timeout_seconds: float = 20,
    again: bool = False,
) -> AsyncIterator[tuple[ModelServer, OpenAIModel]]:
    """`again`: the client has had an answer before, so it copies its first request."""
    async with ModelServer(*([NOTHING] if again else []), *script, response_format=response_format) as server:
        model = OpenAIModel(base_url=server.url, api_key=key, model="gpt-test", timeout_seconds=timeout_seconds)
        try:
            if again:
                await model.answer(PROMPT)
                server.forget()
            yield server, model
        finally:
            await model.close()


async def failure(model: OpenAIModel, prompt: Prompt = PROMPT) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await model.answer(prompt)
    found = caught.value
    assert found.error == str(found)
    assert found.error.isprintable()
    assert 0 < len(found.error) <= ERROR_CHARS_MAX
    assert found.model == "gpt-test"
    return found


# The request and its answer


async def test_the_answer_is_a_step_with_what_it_cost() -> None:
    async with talk({"intent": "deploy", "tag": "v1", "environment": "staging", "window": None}) as (_, model):
        answer = await model.answer(PROMPT)

    assert answer.step == Deploy(tag="v1", environment="staging")
    assert answer.usage == USAGE
    assert answer.model == MODEL


async def test_a_request_is_one_system_and_one_user_message_and_a_strict_schema() -> None:
    async with talk(NOTHING) as (server, model):
        await model.answer(PROMPT)

    [request] = server.requests
    assert request["model"] == "gpt-test"
    assert request["messages"] == [
        {"role": "system", "content": frame_of(AGENT, "json_schema").system},
        {"role": "user", "content": PROMPT.user},
    ]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request.keys() == {"model", "messages", "temperature", "response_format"}
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["Content-Type"] == "application/json"


class Ship(Tool):
    """Ship it."""

    tag: str
    although: str | None = None

    after_refusal: ClassVar[frozenset[str]] = frozenset({"although"})


async def test_what_only_makes_sense_after_refusals_is_offered_only_to_a_model_that_insists() -> None:
    prompt = replace(PROMPT, agent=Agent(name="shipper", prompt="", tools=(Ship,)))
    async with talk(NOTHING, NOTHING) as (server, model):
        await model.answer(prompt)
        await model.answer(replace(prompt, insists=True))
    early, late = server.requests
    assert early["messages"] == late["messages"], "the long prefix stays the same"
    assert [_offered(request) for request in (early, late)] == [["intent", "tag"], ["intent", "tag", "although"]]


class Configure(Tool):
    """Change properties."""

    properties: str


async def test_an_argument_may_be_called_properties() -> None:
    prompt = replace(PROMPT, agent=Agent(name="configurer", prompt="", tools=(Configure,)))
    async with talk(NOTHING) as (server, model):
        await model.answer(prompt)
    assert _offered(server.requests[0]) == ["intent", "properties"]


def _offered(request: dict[str, Any]) -> list[str]:
    first = request["response_format"]["json_schema"]["schema"]["properties"]["step"]["anyOf"][0]
    assert first["required"] == [*first["properties"]]
    return [*first["properties"]]


async def _png() -> str:
    return "data:image/png;base64,iVBORw0KGgo="


async def _lost() -> str:
    return ""


IMAGES = (Image("3f2a9c81", _png), Image("77aa0b1c", _lost))


async def test_a_model_that_takes_images_gets_each_after_its_name() -> None:
    async with ModelServer(NOTHING) as server:
        model = OpenAIModel(base_url=server.url, api_key=KEY, model="gpt-test", takes_images=True)
        await model.answer(replace(PROMPT, images=IMAGES))
        await model.close()
    assert server.requests[0]["messages"][1]["content"] == [
        {"type": "text", "text": PROMPT.user},
        {"type": "text", "text": "image 3f2a9c81:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "text", "text": "image 77aa0b1c is lost."},
    ]


async def test_a_model_that_takes_none_is_told_that_it_cannot_see_them() -> None:
    async with talk(NOTHING) as (server, model):
        await model.answer(replace(PROMPT, images=IMAGES))
    assert server.requests[0]["messages"][1]["content"] == f"{PROMPT.user}{CANNOT_SEE}"


async def test_later_requests_are_those_of_the_sdk_with_another_body() -> None:
    async with talk(NOTHING, NOTHING) as (server, model):
        await model.answer(PROMPT)
        await model.answer(Prompt(agent=AGENT, user="another, longer message"))

    first, second = (dict(headers) for headers in server.headers)
    assert int(second.pop("Content-Length")) == len(server.bodies[1]) > len(PROMPT.user)
    assert int(first.pop("Content-Length")) == len(server.bodies[0])
    assert second == first
    assert server.requests[1]["messages"][1]["content"] == "another, longer message"


async def test_each_of_many_calls_at_once_tries_again_by_itself() -> None:
    asked: Counter[str] = Counter()

    def answer(request: dict[str, Any]) -> Scripted:
        user = request["messages"][1]["content"]
        asked[user] += 1
        return error(429, headers={"Retry-After": "0.01"}) if user.startswith("odd") and asked[user] == 1 else NOTHING

    async with ModelServer(answer) as server:
        model = OpenAIModel(base_url=server.url, api_key=KEY, model="gpt-test")
        await model.answer(PROMPT)
        users = [f"{('even', 'odd')[number % 2]} {number}" for number in range(10)]
        await asyncio.gather(*(model.answer(Prompt(AGENT, user)) for user in users))
        await model.close()

    assert [asked[user] for user in users] == [1, 2] * 5


async def test_null_stands_for_a_field_left_out() -> None:
    reply = {"intent": "deploy", "tag": "v1", "environment": None, "window": {"start": "22:00", "hours": None}}
    async with talk(reply) as (_, model):
        answer = await model.answer(PROMPT)

    assert answer.step == Deploy(tag="v1", window=Window(start="22:00"))


async def test_any_text_can_be_sent() -> None:
    user = "quotes \" and ' \\ \x00 \x1f \u2028 é \U0001f680 and half a pair \ud83d."
    async with talk(NOTHING) as (server, model):
        await model.answer(Prompt(AGENT, user))

    assert server.requests[0]["messages"][1]["content"] == user.replace("\ud83d", "?")


async def test_each_agent_is_asked_for_its_own_steps() -> None:
    other = Agent(name="deployer", prompt="Read.", tools=(ReadLogs,))
    async with talk(NOTHING, NOTHING, NOTHING) as (server, model):
        for agent in (AGENT, other, AGENT):
            await model.answer(Prompt(agent, "Go on."))

    systems = [r["messages"][0]["content"] for r in server.requests]
    assert [text.partition("\n")[0] for text in systems] == [AGENT.prompt, "Read.", AGENT.prompt]
    assert ["- deploy(" in text for text in systems] == [True, False, True]
    assert ["deploy" in json.dumps(r["response_format"]) for r in server.requests] == [True, False, True]


async def test_missing_usage_is_none() -> None:
    async with talk(step(NOTHING, usage=None)) as (_, model):
        assert (await model.answer(PROMPT)).usage is None


@pytest.mark.parametrize(
    "usage",
    [{}, {"prompt_tokens": "many", "completion_tokens": -1}, {"prompt_tokens_details": 7}, {"prompt_tokens": 1e9}],
)
async def test_odd_usage_counts_as_nothing(usage: dict[str, Any]) -> None:
    async with talk(step(NOTHING, usage=usage)) as (_, model):
        assert (await model.answer(PROMPT)).usage == Usage()


async def test_a_tool_of_free_form_arguments_is_asked_for_without_strictness() -> None:
    class Call(Tool):
        headers: dict[str, str]

    async with talk({"intent": "call", "headers": {"a": "b"}}) as (server, model):
        answer = await model.answer(Prompt(Agent(name="caller", prompt="Call.", tools=(Call,)), "Go on."))

    assert answer.step == Call(headers={"a": "b"})
    assert server.requests[0]["response_format"]["json_schema"]["strict"] is False


# What the endpoint is able to do


async def test_without_json_schema_the_schema_goes_into_the_prompt() -> None:
    async with talk(NOTHING, DONE, response_format="json_object") as (server, model):
        first, second = await model.answer(PROMPT), await model.answer(PROMPT)

    assert [type(first.step), type(second.step)] == [NothingToDo, DoneForNow]
    assert server.asked_by == ["json_schema", "json_object", "json_object"]
    assert model.mode == "json_object"
    strictest, looser, _ = (request["messages"][0]["content"] for request in server.requests)
    assert looser.startswith(strictest)
    assert strictest.startswith(AGENT.prompt)
    system = looser
    assert '"enum":["read_logs"]' in system


async def test_without_any_response_format_the_prompt_alone_asks_for_json() -> None:
    async with talk(f"```json\n{json.dumps(DONE)}\n```", NOTHING, response_format="none") as (server, model):
        first, second = await model.answer(PROMPT), await model.answer(PROMPT)

    assert [type(first.step), type(second.step)] == [DoneForNow, NothingToDo]
    assert server.asked_by == ["json_schema", "json_object", "prompt", "prompt"]
    assert '"enum":["read_logs"]' in server.requests[2]["messages"][0]["content"]


def detail(status: int, body: Any) -> Reply:
    return raw(json.dumps(body).encode(), status=status)


@pytest.mark.parametrize(
    "rejection",
    [
        error(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
        error(400, "This response_format type is unavailable now", type="invalid_request_error"),
        error(400, "This model does not support response format `json_schema`."),
        error(400, "Invalid schema for response_format 'step': In context=(), 'x' is not permitted."),
        error(400, "Unsupported value.", param="response_format"),
        error(422, "Failed to deserialize: unknown variant `json_schema`, expected one of `text`"),
        error(404, "No endpoints found that support structured outputs."),
        error(501, "json_schema is not implemented"),
        detail(400, {"error": "'response_format.type' must be 'text'"}),
        detail(
            422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Not permitted"}]}
        ),
        detail(400, {"object": "error", "message": "guided decoding cannot compile this grammar", "code": 400}),
        raw(b"unknown field response_format", status=400, content_type="text/plain"),
    ],
)
async def test_an_endpoint_that_rejects_the_format_is_asked_otherwise(rejection: Reply) -> None:
    async with talk(rejection, NOTHING) as (server, model):
        answer = await model.answer(PROMPT)

    assert answer.step == NothingToDo()
    assert server.asked_by == ["json_schema", "json_object"]
    assert model.mode == "json_object"


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (error(401, f"Incorrect API key provided: {KEY}."), "unavailable", "(401); check OPENAI_API_KEY"),
        (
            error(403, "Project has no access to json_schema."),
            "unavailable",
            "(403); check OPENAI_API_KEY. Project has",
        ),
        (
            error(404, "The model `gpt-test` does not exist or you do not have access to it.", code="model_not_found"),
            "unavailable",
            "check OPENAI_MODEL (gpt-test) and OPENAI_BASE_URL. The model `gpt-test` does not exist",
        ),
        (
            raw(b"<html>Not here</html>", status=404, content_type="text/html"),
            "unavailable",
            "(404); check OPENAI_MODEL",
        ),
        (
            error(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded"),
            "unavailable",
            "context is too short for this thread at its shortest. This model's maximum context length is 8192",
        ),
        (
            error(400, "The request exceeds the available context size, schema included"),
            "unavailable",
            "available context",
        ),
        (error(413, "Payload too large"), "unavailable", "context is too short for this thread"),
        (error(400, "Flagged by policy.", code="content_filter"), "refused", "content filter refused the request"),
        (
            error(400, "Generated JSON does not match the expected schema.", code="json_validate_failed"),
            "invalid",
            "did not match the schema. Generated JSON does not match",
        ),
        (error(400, "Your organisation is on hold."), "unavailable", "refuses the request (400). Your organisation is"),
        (detail(422, {"detail": "No thanks"}), "unavailable", "refuses the request (422). No thanks"),
        (detail(400, [1, 2]), "unavailable", "refuses the request (400)."),
        (error(418, "I am\na teapot\x1b[31m\u202e."), "unavailable", "refuses the request (418). I am a teapot [31m ."),
    ],
)
async def test_any_other_refusal_of_the_endpoint_is_told_and_changes_nothing(
    reply: Reply, reason: str, says: str, again: bool
) -> None:
    async with talk(reply, again=again) as (server, model):
        failed = await failure(model)

    assert failed.reason == reason
    assert says in failed.error
    assert server.asked_by == ["json_schema"]
    assert model.mode == "json_schema"


async def test_a_rung_is_remembered_only_when_it_worked() -> None:
    rejection = error(400, "Something about a schema.")
    async with talk(rejection, rejection, rejection, NOTHING) as (server, model):
        failed = await failure(model)
        await model.answer(PROMPT)

    assert failed.reason == "unavailable"
    assert server.asked_by == ["json_schema", "json_object", "prompt", "json_schema"]


async def test_many_at_once_find_the_same_rung() -> None:
    async with talk(*[NOTHING] * 20, response_format="json_object") as (server, model):
        await asyncio.gather(*(model.answer(PROMPT) for _ in range(20)))

    assert model.mode == "json_object"
    assert "prompt" not in server.asked_by


async def test_prose_from_an_endpoint_that_ignores_the_format_is_asked_again_with_the_schema() -> None:
    async with talk("Hello! How can I help?", DONE, response_format="ignored") as (server, model):
        answer = await model.answer(PROMPT)

    assert answer.step == DoneForNow(message="Done.")
    assert answer.usage == Usage(input_tokens=200, output_tokens=40, cached_tokens=128)
    assert server.asked_by == ["json_schema", "json_object"]
    assert model.mode == "json_schema"


async def test_after_two_ignored_schemas_the_schema_is_in_the_prompt_for_good() -> None:
    fenced = f"Of course:\n```json\n{json.dumps(DONE)}\n```"
    async with talk(fenced, fenced, fenced, response_format="ignored") as (server, model):
        answers = [await model.answer(PROMPT) for _ in range(3)]

    assert {type(answer.step) for answer in answers} == {DoneForNow}
    assert server.asked_by == ["json_schema", "json_schema", "json_object"]


async def test_an_answer_that_is_invalid_within_the_schema_is_not_asked_for_again() -> None:
    async with talk({"intent": "deploy", "tag": 7}) as (server, model):
        failed = await failure(model)

    assert failed.reason == "invalid"
    assert failed.error == "Invalid deploy: tag: Input should be a valid string."
    assert failed.usage == USAGE
    assert len(server.requests) == 1


async def test_an_unknown_intent_is_told_with_the_known_ones() -> None:
    async with talk({"intent": "destroy"}) as (_, model):
        failed = await failure(model)

    assert failed.reason == "invalid"
    assert failed.error.startswith("Unknown intent 'destroy'. Known are: deploy, read_logs, request_human_input,")


# What the model answers


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (refusal("I can't help\nwith that."), "refused", "The model refused: I can't help with that."),
        (filtered(), "refused", "content filter stopped the answer"),
        (truncated(), "truncated", "cut off at the token limit"),
        (truncated(json.dumps({"step": DONE})), "truncated", "cut off at the token limit"),
        (detail(200, {"choices": [], "usage": {"prompt_tokens": 3}}), "invalid", "without a message"),
        (detail(200, {"choices": [{"message": None}]}), "invalid", "without a message"),
        (detail(200, {}), "invalid", "without a message"),
        (detail(200, {"error": {"message": "Upstream is busy.", "code": 502}}), "unavailable", "Upstream is busy."),
        (detail(200, {"error": "Upstream is busy."}), "unavailable", "Upstream is busy."),
        (detail(200, [1]), "unavailable", "answered with application/json instead of a JSON object"),
        (raw(b'{"a":' * 100_000), "unavailable", "instead of a JSON object"),
        (raw(b""), "unavailable", "instead of a JSON object"),
        (raw(b"\xff\xfe\x00"), "unavailable", "instead of a JSON object"),
        (raw(b"<html>Log in</html>", content_type="text/html"), "unavailable", "answered with text/html instead"),
        (raw(b"<html>Log in</html>", content_type="text/html"), "unavailable", "check OPENAI_BASE_URL"),
    ],
)
async def test_an_answer_without_a_step_is_a_failure(reply: Reply, reason: str, says: str) -> None:
    async with talk(reply) as (server, model):
        failed = await failure(model)

    assert failed.reason == reason
    assert says in failed.error
    assert len(server.requests) == 1


async def test_what_a_failure_cost_is_known() -> None:
    async with talk(truncated()) as (_, model):
        assert (await failure(model)).usage == USAGE


@pytest.mark.parametrize("content", [None, "", "   ", 7, [{"type": "image"}]])
async def test_an_empty_answer_is_invalid_when_the_schema_did_not_help(content: Any) -> None:
    async with talk(Reply(content=content), Reply(content=content)) as (server, model):
        failed = await failure(model)

    assert failed.reason == "invalid"
    assert failed.error == 'The answer holds no step. Give one JSON object: {"step": {"intent": …}}.'
    assert server.asked_by == ["json_schema", "json_object"]


@pytest.mark.parametrize(
    "reply",
    [
        tool_call("answer", json.dumps({"step": DONE})),
        tool_call("done_for_now", json.dumps({"message": "Done."})),
        Reply(content=[{"type": "text", "text": '{"step":'}, {"type": "text", "text": json.dumps(DONE) + "}"}]),
    ],
)
async def test_a_step_is_taken_from_other_places_of_the_message(reply: Reply) -> None:
    async with talk(reply) as (_, model):
        assert (await model.answer(PROMPT)).step == DoneForNow(message="Done.")


async def test_two_tool_calls_are_no_step() -> None:
    calls = tool_call("done_for_now", '{"message": "Done."}').tool_calls + tool_call("nothing_to_do", "{}").tool_calls
    reply = Reply(tool_calls=calls)
    async with talk(reply, reply) as (_, model):
        failed = await failure(model)

    assert failed.reason == "invalid"
    assert "different steps" in failed.error


@pytest.mark.parametrize("again", [False, True])
async def test_an_endless_answer_is_refused(again: bool) -> None:
    async with talk("x" * (ANSWER_CHARS_MAX + 1), "x" * BODY_BYTES_MAX, again=again) as (server, model):
        failed = await failure(model)

    assert failed.reason == "invalid"
    assert failed.error == f"The answer is larger than {BODY_BYTES_MAX:,} bytes."
    assert server.asked_by == ["json_schema", "json_object"]


# Trouble


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        error(429, headers={"Retry-After": "0.01"}),
        error(500, headers={"retry-after-ms": "10"}),
        error(503, headers={"Retry-After": "0.01"}),
        dropped(),
    ],
)
async def test_the_sdk_tries_again_with_the_same_bytes(trouble: Reply, again: bool) -> None:
    async with talk(trouble, NOTHING, again=again) as (server, model):
        answer = await model.answer(PROMPT)

    assert answer.step == NothingToDo()
    first, second = server.bodies
    assert first == second
    assert [headers["x-stainless-retry-count"] for headers in server.headers] == ["0", "1"]


@pytest.mark.parametrize("again", [False, True])
async def test_when_trying_again_did_not_help_the_caller_is_told_how_long_to_wait(again: bool) -> None:
    busy = error(429, "Rate limit reached for gpt-test.", headers={"Retry-After": "0.01"})
    async with talk(busy, busy, again=again) as (server, model):
        failed = await failure(model)

    assert failed.reason == "unavailable"
    assert failed.error == "The endpoint asks to slow down (429). Rate limit reached for gpt-test."
    assert failed.retry_after_seconds == 0.01
    assert len(server.requests) == 2


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "60"}, 60.0),
        ({"Retry-After": "1e9"}, RETRY_AFTER_SECONDS_MAX),
        ({"Retry-After": "inf"}, RETRY_AFTER_SECONDS_MAX),
        ({"retry-after-ms": "90000", "Retry-After": "1"}, 90.0),
        ({"retry-after-ms": "soon", "Retry-After": "70"}, 70.0),
    ],
)
async def test_a_long_wait_is_left_to_the_caller(headers: dict[str, str], seconds: float, again: bool) -> None:
    async with talk(error(429, headers=headers), again=again) as (server, model):
        failed = await failure(model)

    assert failed.retry_after_seconds == seconds
    assert len(server.requests) == 1


async def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    async with talk(error(503, headers={"Retry-After": at})) as (_, model):
        failed = await failure(model)

    assert failed.retry_after_seconds is not None
    assert 50 < failed.retry_after_seconds <= 100


@pytest.mark.parametrize("value", ["", "soon", "nan", "Fri, 99 Foo 2026 99:99:99 GMT"])
async def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    headers = {"Retry-After": value, "x-should-retry": "false"}
    async with talk(error(429, headers=headers)) as (_, model):
        failed = await failure(model)

    assert failed.retry_after_seconds is None


@pytest.mark.parametrize("again", [False, True])
async def test_an_html_error_page_is_not_quoted(again: bool) -> None:
    page = Reply(
        status=502, body=b"<html>Bad gateway</html>", content_type="text/html", headers={"x-should-retry": "false"}
    )
    async with talk(page, again=again) as (_, model):
        failed = await failure(model)

    assert failed.reason == "unavailable"
    assert failed.error == "The endpoint has an error (502)."


@pytest.mark.parametrize("again", [False, True])
async def test_a_connection_that_is_cut_twice_is_unavailable(again: bool) -> None:
    async with talk(dropped(), dropped(), again=again) as (server, model):
        failed = await failure(model)

    assert failed.reason == "unavailable"
    assert failed.error == f"{server.url} closed the connection."
    assert len(server.requests) == 2


@pytest.mark.parametrize("again", [False, True])
async def test_an_endpoint_that_does_not_answer_is_given_up_in_time(again: bool) -> None:
    never = asyncio.Event()
    async with talk(step(NOTHING, after=never), timeout_seconds=0.3, again=again) as (server, model):
        failed = await failure(model)

    assert failed.reason == "unavailable"
    assert failed.error == f"{server.url} did not answer in time (limit 0.3 s)."


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0.2"), (1.49135, "1.49"), (120.0, "120"), (1_500.0, "1500")])
def test_a_limit_is_said_as_people_say_it(seconds: float, said: str) -> None:
    failed = Failures(where="The endpoint", model="m", secrets=(), names=SettingNames()).of_time(seconds)
    assert failed.error == f"The endpoint did not answer in time (limit {said} s)."


@pytest.mark.parametrize("again", [False, True])
async def test_a_call_can_be_cancelled_and_the_model_asked_again(again: bool) -> None:
    never = asyncio.Event()
    async with talk(step(NOTHING, after=never), DONE, again=again) as (server, model):
        call = asyncio.create_task(model.answer(PROMPT))
        await server.arrived(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answer = await model.answer(PROMPT)

    assert answer.step == DoneForNow(message="Done.")


async def unreachable(base_url: str) -> ModelFailure:
    model = OpenAIModel(base_url=base_url, api_key=KEY, model="gpt-test", timeout_seconds=20)
    try:
        return await failure(model)
    finally:
        await model.close()


async def test_a_refused_connection_names_the_url_without_credentials() -> None:
    async with ModelServer() as server:
        port = server.url.split(":")[-1]

    failed = await unreachable(f"http://bot:hunter2@127.0.0.1:{port}?api-key=hunter3")

    assert failed.reason == "unavailable"
    assert failed.error.startswith(f"http://127.0.0.1:{port.removesuffix('/v1')}/v1 refuses connections")
    assert "hunter" not in failed.error


async def test_an_unknown_host_is_told() -> None:
    failed = await unreachable("https://no-such-host.invalid/v1")

    assert failed.reason == "unavailable"
    assert failed.error == "The host of https://no-such-host.invalid/v1 is unknown; check OPENAI_BASE_URL."


async def test_a_failed_tls_handshake_is_told() -> None:
    async with ModelServer() as server:
        failed = await unreachable(server.url.replace("http:", "https:"))

    assert failed.reason == "unavailable"
    assert failed.error.startswith("No TLS connection to https://127.0.0.1:")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_something_that_speaks_no_http_is_unavailable(said: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        failed = await unreachable(f"http://127.0.0.1:{port}/v1")

    assert failed.reason == "unavailable"
    assert f"http://127.0.0.1:{port}/v1" in failed.error


@pytest.mark.parametrize("again", [False, True])
async def test_a_redirect_is_followed(again: bool) -> None:
    moved = error(307, headers={"Location": "/v1/chat/completions"})
    async with talk(moved, NOTHING, moved, NOTHING, again=again) as (server, model):
        for _ in range(2):
            answer = await model.answer(PROMPT)
            assert answer.step == NothingToDo()

    assert len(set(server.bodies)) == 1


async def test_every_request_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ModelServer(NOTHING, NOTHING, NOTHING) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        model = OpenAIModel(base_url="http://no-such-host.invalid/v1", api_key=KEY, model="gpt-test")
        for _ in range(3):
            await model.answer(PROMPT)
        await model.close()

    assert [headers["Host"] for headers in proxy.headers] == ["no-such-host.invalid"] * 3


# Secrets


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
async def test_a_key_is_neither_in_failures_nor_in_logs(
    status: int, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = error(
        status, f"Bad key {KEY}, sk-proj-abc***wxyz, Authorization: Bearer {KEY}", headers={"Retry-After": "9"}
    )
    with structlog.testing.capture_logs() as logs:
        async with talk(echo, again=again) as (_, model):
            failed = await failure(model)

    seen = f"{failed!r} {failed.__cause__!r} {caplog.text} {logs}"
    assert caplog.text
    assert KEY not in seen
    assert "sk-" not in seen


async def test_a_rejected_format_is_logged_without_the_key() -> None:
    with structlog.testing.capture_logs() as logs:
        async with talk(error(400, f"No response_format for {KEY}"), NOTHING) as (server, model):
            await model.answer(PROMPT)

    (line,) = logs
    assert line == {
        "event": "model_format_refused",
        "log_level": "info",
        "where": server.url,
        "format": "json_schema",
        "error": "No response_format for ***",
    }


async def test_credentials_in_the_url_are_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ModelServer(NOTHING, error(400, "hunter2?")) as server:
        url = server.url.replace("127.0.0.1", "bot:hunter2@127.0.0.1")
        model = OpenAIModel(base_url=url, api_key=KEY, model="gpt-test")
        with structlog.testing.capture_logs() as logs:
            await model.answer(PROMPT)
            failed = await failure(model)
        await model.close()

    assert [headers["Authorization"] for headers in server.headers] == ["Basic Ym90Omh1bnRlcjI="] * 2
    assert "hunter2" not in f"{caplog.text} {failed.error} {logs}"


@pytest.mark.parametrize("key", ["", "  \n", f" {KEY}\n"])
async def test_a_key_may_have_blanks_around_it_or_be_missing(key: str) -> None:
    async with talk(NOTHING, key=key) as (server, model):
        await model.answer(PROMPT)

    assert server.headers[0]["Authorization"] == f"Bearer {key.strip() or 'none'}"


@pytest.mark.parametrize("key", ["sk-\u2013dash", "sk-\x00", "sk-a\nb"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY") as caught:
        OpenAIModel(base_url="https://host/v1", api_key=key, model="gpt-test")

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("url", ["host/v1", "api.host:443/v1", "ftp://host/v1", "https:///v1", ""])
def test_what_cannot_be_an_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="OPENAI_BASE_URL must be like https://host/v1"):
        OpenAIModel(base_url=url, api_key=KEY, model="gpt-test")


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON | st.text(st.sampled_from('{}[]",:step intent')) | st.builds(json.dumps, JSON),
        "refusal": JSON,
        "tool_calls": JSON | st.lists(st.fixed_dictionaries({"function": JSON | st.dictionaries(st.text(), JSON)})),
    },
)
CHOICES = st.lists(JSON | st.fixed_dictionaries({"message": MESSAGES | JSON, "finish_reason": JSON}), max_size=2)
COMPLETIONS = st.fixed_dictionaries(
    {"choices": CHOICES | JSON},
    optional={"usage": JSON | st.dictionaries(st.text(), JSON), "model": JSON, "error": JSON},
)
BODIES = st.binary(max_size=200) | st.builds(lambda data: json.dumps(data).encode(), COMPLETIONS | JSON)


@examples(80)
@given(
    bodies=st.lists(BODIES, min_size=8, max_size=8),
    statuses=st.lists(st.sampled_from([200, 200, 400, 422]), min_size=8),
)
async def test_whatever_bytes_come_back_there_is_a_step_or_a_failure(bodies: list[bytes], statuses: list[int]) -> None:
    script = [raw(body, status=status) for body, status in zip(bodies, statuses, strict=False)]
    async with talk(*script) as (server, model):
        while len(server.requests) < len(script):
            with suppress(ModelFailure):
                assert isinstance((await model.answer(PROMPT)).step, Step)


# The server by itself


async def test_the_server_also_answers_the_plain_sdk() -> None:
    async with ModelServer("Hello.") as server, AsyncOpenAI(base_url=server.url, api_key=KEY) as client:
        models = [model.id async for model in client.models.list()]
        completion = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi."}])

    assert models == [MODEL]
    assert completion.choices[0].message.content == "Hello."
    assert completion.usage is not None
    assert completion.usage.total_tokens == 120


async def test_the_server_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(
        json.dumps(
            [
                {"step": DONE, "when": "deploy v2"},
                {"error": {"status": 429, "headers": {"Retry-After": "0.01"}}},
                {"intent": "read_logs", "service": "web", "lines": None},
            ]
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.model_server", "--port", "0", "--script", str(script)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        model = OpenAIModel(base_url=url, api_key=KEY, model="gpt-test")
        first = await model.answer(PROMPT)
        second = await model.answer(Prompt(AGENT, "deploy v2"))
        await model.close()
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert first.step == ReadLogs(service="web")
    assert second.step == DoneForNow(message="Done.")
    assert code == 0
