"""The JSON schema for a step, and the parser that finds the step in the model's answer.

`step_schema` makes a JSON schema of an agent's steps that strict mode accepts and that costs few tokens. `find_step`
and `validated` parse an answer. Pure. The parser repairs what surrounds a step (prose, fences, a trailing comma) but
never guesses at the step itself: it skips objects that do not parse, and refuses an answer with several different
steps, because a step that the model only quoted must not run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agent.definition import Agent, UnusableStep, explain
from agent.steps import AFTER_REFUSAL, Step

ANSWER_CHARS_MAX = 200_000
"""A longer answer is refused without parsing."""

# https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_SCALARS = ("string", "integer", "number", "boolean")
_NULL = {"type": "null"}
_REF = "#/$defs/"


@dataclass(frozen=True, slots=True)
class StepSchema:
    schema: dict[str, Any]
    """For `{"step": …}` with one of the agent's steps."""
    strict: bool
    """False if a tool has a field that strict mode cannot express: free-form objects, any JSON, fixed tuples."""


def step_schema(agent: Agent, *, insists: bool = True) -> StepSchema:
    """Slow (milliseconds): call it once for each agent.

    `insists`: with the arguments of `Tool.after_refusal`.
    """
    full = agent.adapter.json_schema()
    if not insists:
        full = _without_later_arguments(full)
    shaper = _Shaper(full.get("$defs", {}), Counter(_refs(full)))
    schema = _closed({"step": shaper.shape({"anyOf": full["oneOf"]})})
    if shaper.shared:
        schema["$defs"] = shaper.shared
    return StepSchema(schema, shaper.strict)


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _refs(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(ref)}:
            yield ref.removeprefix(_REF)
        case dict():
            yield from (ref for value in node.values() for ref in _refs(value))
        case list():
            yield from (ref for item in node for ref in _refs(item))
        case _:
            pass


def _without_later_arguments(node: Any) -> Any:
    match node:
        case dict():
            kept = {key: _without_later_arguments(value) for key, value in node.items()}
            if isinstance(properties := kept.get("properties"), dict):
                # An argument may be called `properties` too.
                later = [name for name, one in properties.items() if isinstance(one, dict) and one.get(AFTER_REFUSAL)]
                kept["properties"] = {name: one for name, one in properties.items() if name not in later}
            return kept
        case list():
            return [_without_later_arguments(item) for item in node]
        case _:
            return node


class _Shaper:
    """Converts pydantic's JSON schema into the subset that strict mode supports.

    A definition that is used once is inlined. Titles are dropped. Defaults and lengths move into the description, where
    the model can read them. Null means that a field with a default is left out.
    """

    def __init__(self, definitions: Mapping[str, Any], uses: Mapping[str, int]) -> None:
        self._definitions = definitions
        self._uses = uses
        self.shared: dict[str, Any] = {}
        self.strict = True

    def shape(self, node: Mapping[str, Any], *notes: str) -> dict[str, Any]:
        if "$ref" in node:
            return self._referred(node, notes)
        out: dict[str, Any] = {}
        if branches := node.get("anyOf") or node.get("oneOf"):
            out = _joined([self.shape(branch) for branch in branches])
        elif "const" in node or "enum" in node:
            values = [node["const"]] if "const" in node else node["enum"]
            out = {"type": node.get("type") or _types_of(values), "enum": values}
        elif node.get("type") == "object":
            out = self._object(node)
        elif node.get("type") == "array":
            out = {"type": "array"} | {key: node[key] for key in _LIMITS if key in node}
            if "prefixItems" in node:
                out["prefixItems"] = [self.shape(item) for item in node["prefixItems"]]
            if "items" in node:
                out["items"] = self.shape(node["items"])
            self.strict &= "items" in node and "prefixItems" not in node
        elif "type" in node:
            out = {"type": node["type"]} | {key: node[key] for key in _LIMITS if key in node}
            if node.get("format") in _FORMATS:
                out["format"] = node["format"]
            if "pattern" in node and "(?" not in node["pattern"]:  # Strict mode has no lookaround.
                out["pattern"] = node["pattern"]
            if "minLength" in node:
                notes += (_counted("at least", node["minLength"]),)
            if "maxLength" in node:
                notes += (_counted("at most", node["maxLength"]),)
        else:
            self.strict = False
        return _described(node, notes) | out

    def _referred(self, node: Mapping[str, Any], notes: tuple[str, ...]) -> dict[str, Any]:
        name = node["$ref"].removeprefix(_REF)
        if self._uses[name] == 1:
            return self.shape({**self._definitions[name], **_described(node)}, *notes)
        if name not in self.shared:
            self.shared[name] = {}  # stops a definition that refers to itself
            self.shared[name] = self.shape(self._definitions[name])
        ref = {"$ref": _REF + name}
        described = _described(node, notes)
        return described | {"anyOf": [ref]} if described else ref  # Strict mode allows no other key beside a `$ref`.

    def _object(self, node: Mapping[str, Any]) -> dict[str, Any]:
        required = set(node.get("required", ()))
        properties = {
            name: self.shape(child) if name in required else self._optional(child)
            for name, child in node.get("properties", {}).items()
        }
        out = _closed(properties)
        others = node.get("additionalProperties", False)
        if others is not False:
            self.strict = False
            out["additionalProperties"] = others if others is True else self.shape(others)
        return out

    def _optional(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Strict mode requires every property, so null is allowed, unless an empty value means the same."""
        default = node.get("default")
        empty = default in ("", [], {})
        told = default is not None and not empty and not isinstance(default, dict)
        child = self.shape(node, *([f"null: {json.dumps(default, ensure_ascii=False)}"] if told else []))
        if empty or _takes_null(child):
            return child
        described = {"description": child.pop("description")} if "description" in child else {}
        return described | _joined([child, _NULL])


def _described(node: Mapping[str, Any], notes: Iterable[str] = ()) -> dict[str, str]:
    note = "; ".join(notes)
    text = f"{node.get('description', '')} {f'({note})' if note else ''}".strip()
    return {"description": text} if text else {}


def _counted(bound: str, number: int) -> str:
    return f"{bound} {number} character{'' if number == 1 else 's'}"


def _takes_null(schema: Mapping[str, Any]) -> bool:
    match schema:
        case {"anyOf": branches}:
            return any(_takes_null(branch) for branch in branches)
        case {"type": kind}:
            return kind == "null" or (isinstance(kind, list) and "null" in kind)
        case _:
            return "$ref" not in schema


def _joined(branches: list[dict[str, Any]]) -> dict[str, Any]:
    """A union of these schemas, in few tokens."""
    flat = [inner for branch in branches for inner in (branch["anyOf"] if branch.keys() == {"anyOf"} else [branch])]
    first = flat[0]
    if len(flat) == 1:
        return first
    if flat[1:] == [_NULL] and first.get("type") in _SCALARS and "enum" not in first:
        return first | {"type": [first["type"], "null"]}
    return {"anyOf": flat}


def _types_of(values: list[Any]) -> str | list[str]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    types = list(dict.fromkeys(names[type(value)] for value in values))
    return types[0] if len(types) == 1 else types


# Reading

# A string (possibly unterminated) or a brace. Possessive quantifiers keep the time linear for every text.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}]', re.DOTALL)
_STRING_OR_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=[ \t\r\n]*+[}\]])', re.DOTALL)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(strict=False, parse_constant=_no_constant)
"""Accepts line breaks inside strings, which models write, but not NaN and Infinity."""


def find_step(text: str) -> tuple[dict[str, Any], bool]:
    """The step in the answer, and whether the answer was exactly `{"step": {…}}`.

    Raises UnusableStep.
    """
    if len(text) > ANSWER_CHARS_MAX:
        raise UnusableStep(f"The answer has {len(text):,} characters; the limit is {ANSWER_CHARS_MAX:,}.")
    whole = _parsed(text)
    if whole is not None and (step := _unwrapped(whole)) is not None:
        return step, whole.keys() == {"step"}
    _, _, spoken = text.rpartition("</think>")  # Some endpoints include the model's reasoning.
    found: dict[str, Any] | None = None
    for part in _objects(spoken):
        data = _parsed(part)
        step = _unwrapped(data) if data is not None else None
        if step is None or step == found:
            continue
        if found is not None:
            raise UnusableStep("The answer holds different steps. Give exactly one.")
        found = step
    if found is None:
        raise UnusableStep('The answer holds no step. Give one JSON object: {"step": {"intent": …}}.')
    return found, False


def _unwrapped(data: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(data.get("intent"), str):
        return data
    step = data.get("step")
    return step if isinstance(step, dict) else None


def _objects(text: str) -> Iterator[str]:
    """The outermost spans between balanced braces."""
    start = text.find("{")
    while start >= 0:
        depth = 0
        end = len(text)
        for token in _TOKEN.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if depth == 0:
                end = token.end()
                yield text[start:end]
                break
        start = text.find("{", end)


def _parsed(text: str) -> dict[str, Any] | None:
    for attempt in (str, _without_last_commas):
        try:
            data = _decoder.decode(attempt(text))
        except (ValueError, RecursionError):
            continue
        return data if isinstance(data, dict) else None
    return None


def _without_last_commas(text: str) -> str:
    return _STRING_OR_LAST_COMMA.sub(lambda found: found[1] or "", text)


def validated(agent: Agent, data: dict[str, Any]) -> Step:
    """The validated step. A null counts as a missing field if the field itself cannot be null.

    Changes `data`. Raises UnusableStep, with a message for the model.
    """
    intent = data.get("intent")
    if not isinstance(intent, str) or intent not in agent.steps:
        what = f"Unknown intent {intent[:64]!r}" if isinstance(intent, str) else "The step names no intent"
        raise UnusableStep(f"{what}. Known are: {', '.join(agent.steps)}.")
    try:
        return agent.adapter.validate_python(data)
    except ValidationError as error:
        if not _drop_nulls(data, error):
            raise UnusableStep(explain(error, intent)) from None
    try:
        return agent.adapter.validate_python(data)
    except ValidationError as error:
        raise UnusableStep(explain(error, intent)) from None


def _drop_nulls(data: dict[str, Any], error: ValidationError) -> bool:
    """Remove each null that the error is about. Returns whether there was one."""
    dropped = False
    for item in error.errors(include_url=False, include_context=False):
        if item["input"] is not None:
            continue
        holder: Any = data
        for part in item["loc"][1:]:  # the first is the intent
            if isinstance(holder, dict) and part in holder:
                if holder[part] is None:
                    del holder[part]
                    dropped = True
                    break
                holder = holder[part]
            elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
                holder = holder[part]
            # Anything else in a location names a member of a union.
    return dropped
