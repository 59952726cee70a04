"""Parses a chat completion: the model's text, the step in it, and the cost.

Endpoints are not trusted to send a particular shape, so every field is checked before use. Pure: it gets bytes and
sends no request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.definition import Agent, UnusableStep
from agent.model.base import ANSWER_CHARS_MAX, ModelFailure
from agent.model.listing import step_line
from agent.model.schema import find_step, validated
from agent.steps import Step
from store.text import one_line
from store.values import Usage


def completion_of(content: bytes, content_type: str, url_setting: str) -> dict[str, Any]:
    """The completion as a dictionary. Raises ModelFailure if the content is not one.

    `url_setting`: the name of the setting to check then.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    match data:
        case {"error": {"message": str(text)} | str(text)}:
            raise ModelFailure("unavailable", f"The endpoint reported an error. {text}")
        case dict():
            return data
    kind = content_type or "content without a type"
    text = f"The endpoint answered with {kind} instead of a JSON object; check {url_setting}."
    raise ModelFailure("unavailable", text)


@dataclass(frozen=True, slots=True)
class Read:
    """A parsed answer."""

    step: Step | None
    """None: the answer has no valid step."""
    problem: str
    """Why there is no step, for the model."""
    keeps_to_schema: bool
    """The answer is exactly the JSON that was asked for."""
    answer: str = ""
    """Without a step: the beginning of the answer, on one line."""
    hint: str = ""
    """Without a step: the line of the step that it tried, for the model."""


def step_in(completion: dict[str, Any], agent: Agent) -> Read:
    """Parse the step. Raises ModelFailure if the model stopped early."""
    text = _text(completion, agent)
    data, keeps_to_schema = dict[str, Any](), False
    try:
        data, keeps_to_schema = find_step(text)
        return Read(validated(agent, data), "", keeps_to_schema)
    except UnusableStep as error:
        hint = step_line(agent, str(data.get("intent", "")))
        return Read(None, str(error), keeps_to_schema, one_line(text, ANSWER_CHARS_MAX), hint)


def _text(completion: dict[str, Any], agent: Agent) -> str:
    """The model's text. Raises ModelFailure if it stopped early."""
    match completion.get("choices"):
        case [{"message": dict(message), **choice}, *_]:
            pass
        case _:
            raise ModelFailure("invalid", "The endpoint answered without a message.")
    finish = choice.get("finish_reason")
    if refusal := message.get("refusal"):
        raise ModelFailure("refused", f"The model refused: {refusal}")
    if finish == "content_filter":
        raise ModelFailure("refused", "The endpoint's content filter stopped the answer.")
    if finish == "length":
        raise ModelFailure("truncated", "The answer was cut off at the token limit. Give a shorter one.")
    match message:
        case {"content": str(text)} if text.strip():
            return text
        case {"content": [*parts]}:
            return "".join(
                part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        case {"tool_calls": [*calls]}:  # Not requested, but some models answer like this.
            return "\n".join(_step_of_tool_call(call, agent) for call in calls)
    return ""


def _step_of_tool_call(call: object, agent: Agent) -> str:
    match call:
        case {"function": {"name": str(name), "arguments": str(text)}}:
            try:
                arguments = json.loads(text)
            except (ValueError, RecursionError):
                return text
            if name in agent.steps and isinstance(arguments, dict) and not arguments.keys() & {"intent", "step"}:
                return json.dumps({"intent": name, **arguments})
            return text
    return ""


def usage_of(data: object) -> Usage | None:
    if not isinstance(data, dict):
        return None
    details = data.get("prompt_tokens_details")
    return Usage(
        input_tokens=_count(data.get("prompt_tokens")),
        output_tokens=_count(data.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def total_of(spent: Sequence[Usage]) -> Usage | None:
    """The sum over all requests that one answer took."""
    if len(spent) < 2:
        return spent[0] if spent else None
    costs = [usage.cost for usage in spent]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in spent),
        output_tokens=sum(usage.output_tokens for usage in spent),
        cached_tokens=sum(usage.cached_tokens for usage in spent),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
    )
