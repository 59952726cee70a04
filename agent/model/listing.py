"""The steps of an agent as lines for its model, made from their classes.

Many endpoints only constrain an answer by the schema and never show it, so without these lines their model would not
know one step. They stand in the system message and never change within a thread, so providers can cache them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.definition import Agent
from agent.model.schema import step_schema
from agent.steps import Step, Tool

GROUPS = ("act", "look", "speak", "come back later")
HEAD = """\
# Your steps

Your answer is exactly one of these steps: {"step": {"intent": "NAME", …}} with all its arguments. An argument with `?`
may be null."""


def steps_in_words(agent: Agent) -> str:
    """A line for each step that the model may choose, by group, and the values of the arguments that they share."""
    schema = step_schema(agent).schema
    lines = _lines(schema)
    text = HEAD
    for group in GROUPS:
        found = [lines[intent] for intent, cls in agent.steps.items() if _group(cls) == group]
        if found:
            text += "\n\n" + "\n".join([f"To {group}:", *found])
    shared = [f"- {name}: {_values(one)}" for name, one in schema.get("$defs", {}).items()]
    return text + ("\n\n" + "\n".join(["The values that these may have:", *shared]) if shared else "")


def step_line(agent: Agent, intent: str) -> str:
    """The line of this step; empty: the agent has no such step."""
    return _lines(step_schema(agent).schema).get(intent, "")


def _group(cls: type[Step]) -> str:
    if cls.acts or cls.effect == "withdraws":
        return "act"
    if issubclass(cls, Tool):
        return "look"
    return "come back later" if cls.effect in ("waits", "reminds") else "speak"


def _lines(schema: Mapping[str, Any]) -> dict[str, str]:
    steps = schema["properties"]["step"]
    return dict(map(_line, steps.get("anyOf", [steps])))


def _line(step: Mapping[str, Any]) -> tuple[str, str]:
    arguments = dict(step["properties"])
    [intent] = arguments.pop("intent")["enum"]
    signature = ", ".join(_argument(name, one) for name, one in arguments.items())
    notes = [f"`{name}`: {one['description'].rstrip('.')}." for name, one in arguments.items() if "description" in one]
    told = " ".join([*step.get("description", "").split(), *notes])
    return intent, f"- {intent}({signature}): {told}".removesuffix(": ")


def _argument(name: str, schema: Mapping[str, Any]) -> str:
    values = _values(schema)
    optional = "?" if any(_is_null(one) for one in _branches(schema)) else ""
    return f"{name}{optional}: {values}" if values else f"{name}{optional}"


def _values(schema: Mapping[str, Any]) -> str:
    """What may stand there; empty: any text."""
    return " or ".join(dict.fromkeys(filter(None, map(_of_branch, _branches(schema)))))


def _branches(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _branches(one)
    elif isinstance(kinds := schema.get("type"), list):
        yield from ({**schema, "type": kind} for kind in kinds)
    else:
        yield schema


def _is_null(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "null"


def _of_branch(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"$ref": str(ref)}:
            return ref.rpartition("/")[2]
        case {"enum": [*values]}:
            return " | ".join(map(str, values))
        case {"type": "object"} if properties := schema.get("properties"):
            return f"{{{', '.join(_argument(name, one) for name, one in properties.items())}}}"
        case {"type": "array", "items": dict(items)}:
            return f"[{_values(items) or 'text'}, …]"
        case {"type": "integer" | "number" as kind}:
            bounds = [str(schema[key]) for key in ("minimum", "maximum") if key in schema]
            return " to ".join(bounds) if len(bounds) == 2 else str(kind)
        case {"type": "string" | "null"}:
            return ""
        case {"type": "object"}:
            return "any object"
        case {"type": str(kind)}:
            return kind
        case _:
            return "any JSON"
