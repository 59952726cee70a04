"""What every request of an agent holds beside the user message: the system message, and the shape of the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from agent.definition import Agent
from agent.model.listing import steps_in_words
from agent.model.schema import step_schema

Mode = Literal["json_schema", "json_object", "prompt"]
MODES: tuple[Mode, ...] = ("json_schema", "json_object", "prompt")
"""How the endpoint constrains the answer: to the schema, to JSON, not at all. The strictest comes first.

In the last two, the system message contains the schema.
"""
IN_PROMPT = (
    "\n\nAnswer with one JSON object and nothing else: no prose, no code fence. It must be valid against this schema:\n"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """It changes once at most within a thread, so providers can cache it: see `frame_of`."""

    system: str
    response_format: dict[str, Any] | None
    """None: the endpoint takes none."""


def frame_of(agent: Agent, mode: Mode, *, insists: bool = True) -> Frame:
    """Slow (milliseconds): call it once for each agent, mode and `insists`.

    `insists`: see `Prompt`. Without it, what constrains the answer lacks the arguments that make sense only then. The
    system message is the same.
    """
    shape = step_schema(agent)
    system = f"{agent.prompt.rstrip()}\n\n{steps_in_words(agent)}"
    match mode:
        case "json_schema":
            shape = shape if insists else step_schema(agent, insists=False)
            schema = {"name": "step", "strict": shape.strict, "schema": shape.schema}
            return Frame(system, {"type": mode, "json_schema": schema})
        case "json_object":
            return Frame(system + _in_prompt(shape.schema), {"type": mode})
        case "prompt":
            return Frame(system + _in_prompt(shape.schema), None)


def _in_prompt(schema: dict[str, Any]) -> str:
    return IN_PROMPT + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
