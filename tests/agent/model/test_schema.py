"""The schema that a step is asked for with, and reading a step back from what models write."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent.definition import Agent, UnusableStep
from agent.model.schema import ANSWER_CHARS_MAX, find_step, step_schema, validated
from agent.steps import DoneForNow, Step, Tool
from tests.fakes.model_server import strict_mode_violations


class Window(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    start: str
    title: str = Field(default="night", description="as people call it")


class Deploy(Tool):
    """Put a version into production."""

    repeatable = False

    tag: str = Field(description="the tag", max_length=20)
    environment: Literal["production", "staging"] = "production"
    replicas: int = Field(default=2, ge=1)
    note: str | None = None
    labels: list[str] = Field(default=[])
    window: Window | None = None


class Restart(Tool):
    """Restart services."""

    services: list[str]
    windows: list[Window] = Field(description="when; empty: now")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    colour: Colour
    size: Literal[1, 2, "many"]
    children: list[Tree]


class Plant(Tool):
    tree: Tree = Field(description="what to plant")
    spare: Tree | Window


class Call(Tool):
    body: JsonValue
    headers: dict[str, str] = Field(default={})


class Move(Tool):
    to: tuple[int, int]


def agent(*tools: type[Tool]) -> Agent:
    return Agent(name="test", prompt="Be brief.", tools=tools)


DEPLOYER = agent(Deploy, Restart)
DONE = {"intent": "done_for_now", "message": "Done."}


def variants(of: Agent) -> dict[str, dict[str, Any]]:
    branches = step_schema(of).schema["properties"]["step"]["anyOf"]
    return {branch["properties"]["intent"]["enum"][0]: branch for branch in branches}


# The schema


@pytest.mark.parametrize("tools", [(), (Deploy,), (Deploy, Restart), (Plant,), (Deploy, Restart, Plant)])
def test_strict_mode_takes_the_schema(tools: tuple[type[Tool], ...]) -> None:
    shape = step_schema(agent(*tools))

    assert shape.strict
    assert strict_mode_violations(shape.schema) == []


def test_the_schema_offers_each_step_of_the_agent_and_no_other() -> None:
    assert list(variants(DEPLOYER)) == list(DEPLOYER.steps)
    assert "hand_over" not in variants(DEPLOYER)


def test_a_tool_is_told_by_its_docstring_its_fields_and_nothing_of_its_class() -> None:
    assert variants(DEPLOYER)["deploy"] == {
        "description": "Put a version into production.",
        "type": "object",
        "properties": {
            "intent": {"type": "string", "enum": ["deploy"]},
            "tag": {"description": "the tag (at most 20 characters)", "type": "string"},
            "environment": {
                "description": '(null: "production")',
                "anyOf": [{"type": "string", "enum": ["production", "staging"]}, {"type": "null"}],
            },
            "replicas": {"description": "(null: 2)", "type": ["integer", "null"], "minimum": 1},
            "note": {"type": ["string", "null"]},
            "labels": {"type": "array", "items": {"type": "string"}},
            "window": {"anyOf": [{"$ref": "#/$defs/Window"}, {"type": "null"}]},
        },
        "required": ["intent", "tag", "environment", "replicas", "note", "labels", "window"],
        "additionalProperties": False,
    }


def test_a_field_may_be_called_like_a_keyword() -> None:
    window = step_schema(DEPLOYER).schema["$defs"]["Window"]

    assert window["properties"]["title"] == {
        "description": 'as people call it (null: "night")',
        "type": ["string", "null"],
    }


def test_a_definition_that_is_used_once_stands_where_it_is_used() -> None:
    schema = step_schema(agent(Deploy)).schema

    assert "$defs" not in schema
    window = variants(agent(Deploy))["deploy"]["properties"]["window"]
    assert window["anyOf"][0]["properties"]["start"] == {"type": "string"}


def test_a_definition_that_refers_to_itself_stays_a_definition() -> None:
    shape = step_schema(agent(Plant))

    assert list(shape.schema["$defs"]) == ["Tree"]
    tree = variants(agent(Plant))["plant"]["properties"]["tree"]
    assert tree == {"description": "what to plant", "anyOf": [{"$ref": "#/$defs/Tree"}]}


@pytest.mark.parametrize("tool", [Call, Move])
def test_what_strict_mode_cannot_express_makes_the_schema_loose(tool: type[Tool]) -> None:
    shape = step_schema(agent(tool))

    assert not shape.strict
    assert strict_mode_violations(shape.schema) != []


def test_free_form_objects_stay_in_a_loose_schema() -> None:
    assert variants(agent(Call))["call"]["properties"]["headers"]["additionalProperties"] == {"type": "string"}


def test_the_schema_is_much_shorter_than_pydantics() -> None:
    ours = json.dumps(step_schema(DEPLOYER).schema)
    theirs = json.dumps(DEPLOYER.adapter.json_schema())

    assert len(ours) < 0.75 * len(theirs)


def violations(change: dict[str, Any]) -> list[str]:
    good = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    assert strict_mode_violations(good) == []
    return strict_mode_violations(good | change)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "array"},
        {"anyOf": []},
        {"additionalProperties": True},
        {"required": []},
        {"title": "Step"},
        {"allOf": []},
        {"properties": {"a": {"type": "string", "default": "x"}}},
        {"properties": {"a": {"oneOf": [{"type": "string"}]}}},
        {"properties": {"a": {}}},
        {"properties": {"a": {"$ref": "#/$defs/B"}}},
        {"properties": {"a": {"type": "string", "minLength": 1}}},
        {"properties": {"a": {"type": "array"}}},
        {"properties": {"a": {"type": "string", "enum": [str(number) for number in range(1001)]}}},
        {"properties": {"a": {"type": "object", "properties": {}, "required": []}}},
    ],
)
def test_the_model_server_knows_what_strict_mode_refuses(change: dict[str, Any]) -> None:
    assert violations(change) != []


def test_the_model_server_counts_levels_and_properties() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner = {"a": nested(levels - 1)} if levels > 1 else {}
        return {"type": "object", "properties": inner, "required": list(inner), "additionalProperties": False}

    wide = {f"p{number}": {"type": "null"} for number in range(5001)}

    assert strict_mode_violations(nested(10)) == []
    assert strict_mode_violations(nested(11)) != []
    assert violations({"properties": wide, "required": list(wide)}) != []


# Reading


def test_the_plain_answer_keeps_to_the_schema() -> None:
    assert find_step(json.dumps({"step": DONE})) == (DONE, True)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(DONE),
        f"```json\n{json.dumps({'step': DONE}, indent=2)}\n```",
        f"Sure, here it is:\n\n```\n{json.dumps(DONE)}\n```\nAnything else?",
        f"It's \"done\" {{almost}}: {json.dumps({'step': DONE})} - that's it.",
        f"<think>I could {{'x': 1}} or {json.dumps({'intent': 'deploy'})}</think>\n{json.dumps({'step': DONE})}",
        '{"step": {"intent": "done_for_now", "message": "Done.",},}',
        '{"step": {"intent": "done_for_now", "message": "Done.",\n  }\n}  ',
        'Result: {"intent": "done_for_now", "message": "Done.", }',
        f"[{json.dumps(DONE)}]",
        f"{json.dumps(DONE)}\n\nOr wrapped: {json.dumps({'step': DONE})}",
        json.dumps({"thoughts": "It is done.", "step": DONE}),
        "\ufeff" + json.dumps({"step": DONE}),
    ],
)
def test_a_step_is_found_in(text: str) -> None:
    assert find_step(text)[0] == DONE


@pytest.mark.parametrize(
    "text", [json.dumps(DONE), f"Here: {json.dumps({'step': DONE})}", json.dumps({"step": DONE, "a": 1})]
)
def test_another_shape_does_not_keep_to_the_schema(text: str) -> None:
    assert find_step(text) == (DONE, False)


def test_line_breaks_inside_strings_are_taken() -> None:
    step, _ = find_step('{"step": {"intent": "done_for_now", "message": "one\ntwo, }"}}')

    assert step["message"] == "one\ntwo, }"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would rather not.",
        "{",
        '{"step": {"intent": "done_for_now", "message": "cut o',
        '{"step": "done_for_now"}',
        '{"intent": 7}',
        '{"step": []}',
        "null",
        "[]",
        '{"step": {"intent": "done_for_now", "message": NaN}}',
        "{'step': {'intent': 'done_for_now'}}",
        '__import__("os").system("true")',
    ],
)
def test_there_is_no_step_in(text: str) -> None:
    with pytest.raises(UnusableStep, match="holds no step"):
        find_step(text)


def test_two_different_steps_are_none() -> None:
    quoted = json.dumps({"intent": "deploy", "tag": "v666"})

    with pytest.raises(UnusableStep, match="different steps"):
        find_step(f"They ask for {quoted}, which I decline. {json.dumps({'step': DONE})}")


def test_a_step_quoted_inside_a_broken_answer_is_not_run() -> None:
    quoted = '{"intent": "deploy", "tag": "v666"}'

    with pytest.raises(UnusableStep, match="holds no step"):
        find_step(f'{{"step": {{"intent": "done_for_now", "message": "You wrote {quoted} to me."}}}}')


def test_an_answer_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(UnusableStep, match="characters; the limit is 200,000"):
        find_step(json.dumps({"step": DONE}) + " " * ANSWER_CHARS_MAX)


@given(st.text(st.sampled_from('{}[]",:\\ \n`abcstepintent123.-eE\ud800é'), max_size=300) | st.text(max_size=300))
@example("{" * 300)
@example('{"\\u')
@example('{"a":' * 60)
def test_reading_ends_in_a_step_or_a_refusal_whatever_the_text(text: str) -> None:
    with suppress(UnusableStep):
        data, _ = find_step(text)
        assert isinstance(validated(DEPLOYER, data), Step)


@given(
    before=st.text(st.characters(blacklist_characters="{}"), max_size=50),
    message=st.text(max_size=50),
    after=st.text(st.characters(blacklist_characters="{}"), max_size=50),
    indent=st.sampled_from([None, 2]),
)
def test_a_step_is_found_whatever_stands_around_it(before: str, message: str, after: str, indent: int | None) -> None:
    step = {"intent": "done_for_now", "message": message}

    found, _ = find_step(before + json.dumps({"step": step}, indent=indent) + after.replace("</think>", ""))

    assert found == step


@pytest.mark.parametrize(
    "unit", ["{", "}", "{}", '{"', '{"a":', '{"a":{}}', "[,", ", ", '\\"', '"\\', "{,", "```", "</think>", "{ ,  }"]
)
def test_no_text_takes_long_to_read(unit: str) -> None:
    for text in (unit * (190_000 // len(unit)), '{"' + unit * (190_000 // len(unit))):
        started = time.process_time()
        with pytest.raises(UnusableStep):
            find_step(text)
        assert time.process_time() - started < 3  # a quadratic reader takes minutes


# Validating


def test_null_stands_for_a_field_left_out() -> None:
    step = validated(
        DEPLOYER,
        {
            "intent": "deploy",
            "tag": "v1",
            "environment": None,
            "replicas": None,
            "note": None,
            "labels": None,
            "window": {"start": "22:00", "title": None},
        },
    )

    assert step == Deploy(tag="v1", window=Window(start="22:00"))


def test_null_inside_a_list_of_objects_stands_for_a_field_left_out() -> None:
    windows = [{"start": "1", "title": "a"}, {"start": "2", "title": None}]

    step = validated(DEPLOYER, {"intent": "restart", "services": ["web"], "windows": windows})

    assert step == Restart(services=["web"], windows=[Window(start="1", title="a"), Window(start="2")])


def test_a_field_left_out_takes_its_default() -> None:
    assert validated(DEPLOYER, {"intent": "deploy", "tag": "v1"}) == Deploy(tag="v1")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"intent": "deploy", "tag": None, "environment": None}, "Invalid deploy: tag: Field required."),
        ({"intent": "deploy"}, "Invalid deploy: tag: Field required."),
        ({"intent": "deploy", "tag": "v1", "force": True}, "Invalid deploy: force: Extra inputs are not permitted."),
        (
            {"intent": "deploy", "tag": "v1", "replicas": 0, "note": None, "environment": None},
            "Invalid deploy: replicas: Input should be greater than or equal to 1.",
        ),
        ({"intent": "restart", "services": [None], "windows": []}, "services.0: Input should be a valid string"),
        (
            {"intent": "destroy"},
            "Unknown intent 'destroy'. Known are: deploy, restart, request_human_input, done_for_now, send_update, "
            "show_tasks, nothing_to_do, withdraw_request, look_again, set_reminder.",
        ),
        ({"intent": "hand_over", "agent": "x", "reason": "y"}, "Unknown intent 'hand_over'."),
        ({"intent": ["deploy"]}, "The step names no intent. Known are: deploy,"),
        ({}, "The step names no intent."),
    ],
)
def test_the_model_is_told_what_is_wrong(data: dict[str, Any], says: str) -> None:
    with pytest.raises(UnusableStep) as caught:
        validated(DEPLOYER, data)

    assert says in str(caught.value)


@pytest.mark.parametrize("levels", [50, 300, 3_000])
def test_deep_json_is_a_step_or_is_refused(levels: int) -> None:
    text = '{"step": {"intent": "call", "body": ' + "[" * levels + "]" * levels + "}}"

    try:
        data, _ = find_step(text)
        step = validated(agent(Call), data)
    except UnusableStep:
        assert levels > 50
    else:
        assert step.arguments["body"] == data["body"]


def test_the_agents_own_steps_are_read_too() -> None:
    assert validated(DEPLOYER, dict(DONE)) == DoneForNow(message="Done.")
