"""A stand-in for the model, for trying an agent without one (`OPENAI_MODEL=stand-in`). It has no intelligence.

It implements the same port as a real model, so everything around it is real. For an agent with a site it understands
what `agent.roster.deploy.stand_in` says. For any other agent it compares the newest words with the names of its tools:
"how many connections?" finds `count_connections`. It then tells what the tool returned. It asks no endpoint.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator

from pydantic import JsonValue, ValidationError

from agent.arguments import Argument, arguments_of
from agent.context.parsed import ParsedBlock, parsed
from agent.definition import Agent
from agent.model.base import STAND_IN, Answer, Prompt
from agent.model.schema import find_step, validated
from agent.options import HumanInputOptions
from agent.roster.deploy import stand_in as deploybot
from agent.roster.deploy.site_as_read import site_in
from agent.steps import DoneForNow, NothingToDo, RequestHumanInput, Step, Tool

NO_MODEL = "no model: it matches a few keywords"
"""Stands wherever people read its name."""

_ONGOING = {"waits_for_approval", "approved_and_about_to_run", "under_way"}
_NEWS = ("message", "trigger", "human_response")
_THANKS = re.compile(r"\W*(thanks?|thank you|thx|ok|okay|great|cool|nice|perfect)\b", re.IGNORECASE)
_SAY_NOTHING = frozenset({"a", "an", "and", "do", "for", "get", "in", "is", "of", "on", "set", "the", "to"})
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]|'([^']+)'")


class StandIn:
    """Implements `agent.model.bounded.Client`, and so `agent.model.base.Model`."""

    name = f"{STAND_IN} ({NO_MODEL})"
    mode = NO_MODEL

    def chars_max(self, agent: Agent) -> int | None:
        return None

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer:
        if site_in(prompt.agent.prompt).targets:
            text = deploybot.next_step(prompt.agent.prompt, prompt.user)
        else:
            text = json.dumps({"step": _by_names(prompt.agent, prompt.user).model_dump(mode="json")})
        data, _ = find_step(text)
        return Answer(validated(prompt.agent, data), None, STAND_IN)

    async def close(self) -> None:
        pass


def _by_names(agent: Agent, context: str) -> Step:
    blocks = parsed(context)
    now = next((block.data for block in reversed(blocks) if block.tag == "now"), {})
    if now.keys() & _ONGOING:
        return NothingToDo()
    newest = max((number for number, block in enumerate(blocks) if block.tag in _NEWS), default=0)
    since = blocks[newest + 1 :]
    if failed := next((block.data["error"] for block in reversed(since) if block.data.get("error")), ""):
        return DoneForNow(message=f"That did not work: {failed}")
    decision = blocks[newest].data if blocks and blocks[newest].tag == "human_response" else {}
    results = [line for block in since for line in _result(agent, block)]
    if decision and not results:
        return DoneForNow(message="So I did nothing. Tell me how to go on.")
    words = _words(blocks[: newest + 1])
    tool = None if decision else _tool_for(agent, words, done={block.tag for block in since})
    if tool:
        return _call(tool, words)
    if results:
        return DoneForNow(message="\n".join(results))
    return NothingToDo() if _THANKS.match(words) else DoneForNow(message=_help(agent))


def _words(blocks: list[ParsedBlock]) -> str:
    """The newest words; with an answer, also those that led to the question."""
    found: list[str] = []
    for block in reversed(blocks):
        if block.tag in ("message", "trigger"):
            found.insert(0, str(block.data.get("text") or block.data.get("task") or ""))
            if "answers" not in block.data:
                break
    return "\n".join(found)


def _tools(agent: Agent) -> Iterator[type[Tool]]:
    yield from (step for step in agent.steps.values() if issubclass(step, Tool))


def _tool_for(agent: Agent, words: str, done: set[str]) -> type[Tool] | None:
    """The tool whose name shares most words with these; None: none shares any, or it has been called."""
    said = set(_stems(words))
    shared = {tool: len(said.intersection(_stems(tool.intent_name()))) for tool in _tools(agent)}
    best = max(shared, key=lambda tool: shared[tool], default=None)
    if best is None or not shared[best]:
        return None
    return None if done & {best.intent_name(), f"{best.intent_name()}_result"} else best


def _stems(words: str) -> Iterable[str]:
    found = re.findall(r"[a-z0-9]+", words.lower())
    return [word.removesuffix("s") for word in found if word not in _SAY_NOTHING]


def _call(tool: type[Tool], words: str) -> Step:
    """The call with the arguments that it must have; a question for the first one that the words do not hold."""
    given: dict[str, JsonValue] = {}
    for name, argument in arguments_of(tool).items():
        if not tool.model_fields[name].is_required():
            continue
        value = _value(name, argument, words)
        if value is None:
            return _question(tool, name, argument)
        given[name] = value
    try:
        return tool.model_validate({"intent": tool.intent_name(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return DoneForNow(message=f"I cannot call {tool.intent_name()}: {where}: {first['msg']}.")


def _value(name: str, argument: Argument, words: str) -> JsonValue:
    """What the words say of this argument; None: nothing that I understand."""
    if argument.values is not None:
        named = (one for one in argument.values if re.search(rf"\b{re.escape(str(one))}\b", words, re.IGNORECASE))
        return next(named, None)
    match argument.kind:
        case "number":
            found = re.search(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", words)
            return json.loads(found[0]) if found else None
        case "text":
            if quoted := _QUOTED.search(words):
                return quoted[1] or quoted[2]
            after = re.search(rf"\b{re.escape(name.replace('_', ' '))}\s*[:=]?\s+(\S+)", words, re.IGNORECASE)
            return after[1].rstrip(".,;?!") if after else None
        case "truth" | "other":
            return None


def _question(tool: type[Tool], name: str, argument: Argument) -> Step:
    choices = [str(value) for value in argument.values or ()]
    options = HumanInputOptions(urgency="medium", format="multiple_choice" if choices else "free_text", choices=choices)
    question = f"Which {name.replace('_', ' ')}?"
    hint = "" if choices else f' Answer with the name and the value: {name.replace("_", " ")} "…"'
    return RequestHumanInput(question=question, context=f"For {tool.intent_name()}.{hint}", options=options)


def _result(agent: Agent, block: ParsedBlock) -> Iterator[str]:
    intent = block.tag.removesuffix("_result")
    if any(tool.intent_name() in (block.tag, intent) for tool in agent.tools):
        told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in block.data.items())
        yield f"{intent.replace('_', ' ')}: {told or 'done'}"


def _help(agent: Agent) -> str:
    names = ", ".join(f"“{tool.intent_name().replace('_', ' ')}”" for tool in _tools(agent))
    return f"I did not understand that. I am a stand-in, {NO_MODEL}. Try: {names or 'nothing, I have no tools'}."
