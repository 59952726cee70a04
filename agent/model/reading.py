"""Reading a chat completion: what the model wrote, the step in it, and what it cost.

Nothing is known of the shape of what an endpoint sends, so everything is looked at before it is used. Pure: it is given
bytes, and never asks again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.definition import Agent, UnusableStep
from agent.model.base import ModelFailure
from agent.model.schema import find_step, validated
from agent.steps import Step
from store.values import Usage


def completion_of(content: bytes, content_type: str) -> dict[str, Any]:
    """Raises ModelFailure where that is none."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    match data:
        case {"error": {"message": str(text)} | str(text)}:
            raise ModelFailure("unavailable", f"The endpoint is in trouble. {text}")
        case dict():
            return data
    kind = content_type or "something unnamed"
    text = f"The endpoint answered with {kind} instead of a JSON object; check OPENAI_BASE_URL."
    raise ModelFailure("unavailable", text)


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, and the step in it."""

    step: Step | None
    """None: it holds no step of the agent's."""
    problem: str
    """Why not, in words for the model."""
    keeps_to_schema: bool
    """The answer is the JSON that was asked for and nothing around it."""


def step_in(completion: dict[str, Any], agent: Agent) -> Read:
    """Raises ModelFailure where the model stopped before it was done."""
    keeps_to_schema = False
    try:
        data, keeps_to_schema = find_step(_text(completion, agent))
        return Read(validated(agent, data), "", keeps_to_schema)
    except UnusableStep as error:
        return Read(None, str(error), keeps_to_schema)


def _text(completion: dict[str, Any], agent: Agent) -> str:
    """What the model wrote. Raises ModelFailure where it stopped before it was done."""
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
        raise ModelFailure("truncated", "The answer was cut off at the limit of tokens. Give a shorter one.")
    match message:
        case {"content": str(text)} if text.strip():
            return text
        case {"content": [*parts]}:
            return "".join(
                part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        case {"tool_calls": [*calls]}:  # not asked for; some models make them nevertheless
            return "\n".join(_called(call, agent) for call in calls)
    return ""


def _called(call: object, agent: Agent) -> str:
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
    """Of all requests that one answer took."""
    if not spent:
        return None
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in spent),
        output_tokens=sum(usage.output_tokens for usage in spent),
        cached_tokens=sum(usage.cached_tokens for usage in spent),
    )
