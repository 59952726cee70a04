"""The context window: what the model is sent of a thread (factor 3), as a pure function of its events.

One user message. Every event that matters is `<type>`, YAML, `</type>`; lists of like records are tables, one line a
record; a step and its result are one block. Whatever came from outside is data: `<` and `&` are escaped, so that no
message, tag, subject, name or tool output can close a block or open one of its own, and characters that hide or reorder
text are made visible. YAML is written so that a YAML reader gets back exactly what was put in.

The text only grows at its end while it fits, which lets providers cache it; where it does not fit any more it is
compacted in one go to half its size, solved errors and old results first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import JsonValue

from agent.definition import Agent, Limits
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    ChoiceFailed,
    Event,
    HandedToHuman,
    MessageFailed,
    MessageReceived,
    Person,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ToolFinished,
    ToolInterrupted,
    TriggerReceived,
)
from store.text import visible
from store.thread import OPEN, StepState, Thread

QUESTION = "What should the next step be?"

_PLAIN = re.compile(r"[A-Za-z0-9_./(+$€][^\n\t]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


@dataclass(frozen=True, slots=True)
class Block:
    tag: str
    body: str
    intent: str = ""
    """Of the step that it tells of."""
    error: bool = False
    result: bool = False
    """What a tool found: can be looked up again, so it is left out before people's words are."""

    @property
    def text(self) -> str:
        return f"<{self.tag}>\n{self.body}</{self.tag}>"


class Context:
    """Renders one thread again and again while it grows, each finished event once."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._done: dict[int, Block | None] = {}

    def render(self, thread: Thread) -> str:
        """The whole user message."""
        blocks = []
        for index, event in enumerate(thread.events):
            if index in self._done:
                block = self._done[index]
            else:
                block, final = _block(event, thread, self._agent.limits)
                if final:
                    self._done[index] = block
            if block:
                blocks.append(block)
        kept = compacted(blocks, self._agent.limits.context_chars_max)
        return "\n\n".join([*(block.text for block in kept), _now(thread), QUESTION])


def compacted(blocks: Iterable[Block], chars_max: int) -> list[Block]:
    """All of them where they fit; otherwise shortened to half of `chars_max` each time that they outgrow it.

    Going through the blocks in order keeps the result's beginning stable from one call to the next.
    """
    kept: list[Block] = []
    chars = 0
    for block in blocks:
        kept.append(block)
        chars += len(block.text) + 2
        if chars > chars_max:
            kept = _shortened(kept, chars_max // 2)
            chars = sum(len(b.text) + 2 for b in kept)
    return kept


def _shortened(blocks: list[Block], chars_max: int) -> list[Block]:
    chars = sum(len(block.text) + 2 for block in blocks)
    newest = blocks[-4:]
    older: list[Block | None] = list(blocks[:-4])
    solved = {block.intent for block in blocks if block.intent and not block.error}

    def leave_out(which: Callable[[Block], bool], instead: Callable[[Block], Block | None]) -> None:
        nonlocal chars
        for i, block in enumerate(older):
            if chars <= chars_max:
                return
            if block and which(block):
                older[i] = new = instead(block)
                chars -= len(block.text) + 2 - (len(new.text) + 2 if new else 0)

    leave_out(lambda b: b.error and b.intent in solved, lambda b: None)
    leave_out(lambda b: b.result and len(b.body) > 200, lambda b: Block(b.tag, "left_out: it was long\n", b.intent))
    leave_out(lambda b: b.tag != "message", lambda b: None)
    leave_out(lambda b: b is not older[0], lambda b: None)
    kept = [block for block in older if block]
    if len(kept) < len(older) and not any(block.tag == "left_out" for block in kept):
        kept.insert(1, Block("left_out", "what: older events, for lack of room\n"))
    return kept + newest


def _block(event: Event, thread: Thread, limits: Limits) -> tuple[Block | None, bool]:
    """The event's block, and whether that will stay so."""
    text = Writer(limits.part_chars_max)
    match event:
        case MessageReceived():
            whole = event.clipped_from or len(event.text)
            text.put("from", _who(event.sender))
            if event.subject:
                text.put("subject", event.subject)
            if event.answers and (asked := thread.step(event.answers)):
                text.put("answers", str(asked.chosen.arguments.get("question", "")))
            text.put("text", event.text)
            if whole > len(event.text):
                text.put("clipped", f"the message had {whole:,} characters")
            if event.attachments:
                text.put("attachments", [a.model_dump(mode="json") for a in event.attachments])
            return Block("message", str(text)), True
        case TriggerReceived():
            text.put_all({"source": event.source, "name": event.name, **event.data})
            return Block("trigger", str(text)), True
        case StepChosen():
            return _chosen(event, thread.state.steps[event.step], text)
        case ApprovalRequested():
            step = thread.state.steps[event.step]
            text.put("step", step.chosen.intent)
            text.put_all(step.chosen.arguments)
            text.put_all(event.facts)
            return Block("approval_requested", str(text)), True
        case ApprovalDecided():
            step = thread.state.steps[event.step]
            if step.decision is not event and step.decision != event:
                return None, True
            text.put("by", _who(event.by))
            text.put("step", step.chosen.intent)
            text.put("approved", event.approved)
            if event.comment:
                text.put("comment", event.comment)
            return Block("human_response", str(text)), True
        case ToolFinished():
            step = thread.state.steps[event.step]
            intent = step.chosen.intent
            if not step.request:
                text.put_all(step.chosen.arguments)
            if event.error:
                text.put("error", event.error)
            elif isinstance(event.result, dict) and (told := _untold(event.result, step.chosen.arguments)) is not None:
                text.put_all(told)
            elif event.result is not None:
                text.put("result", event.result)
            tag = f"{intent}_result" if step.request else intent
            return Block(_tag(tag), str(text), intent, error=bool(event.error), result=not event.error), True
        case ToolInterrupted() | StepRefused():
            step = thread.state.steps[event.step]
            text.put("step", step.chosen.intent)
            if isinstance(event, StepRefused) and not step.request:
                text.put_all(step.chosen.arguments)
            text.put("error", event.why if isinstance(event, ToolInterrupted) else event.error)
            tag = "outcome_unknown" if isinstance(event, ToolInterrupted) else "refused"
            return Block(tag, str(text), step.chosen.intent, error=isinstance(event, StepRefused)), True
        case ChoiceFailed() if event.reason in ("invalid", "refused", "truncated"):
            text.put("your_answer_was", event.reason)
            text.put("error", event.error)
            return Block("error", str(text), "choice", error=True), True
        case AgentChanged():
            text.put_all({"agent": event.agent, "reason": event.reason})
            return Block("agent_changed", str(text)), True
        case HandedToHuman():
            text.put("reason", event.reason)
            return Block("handed_to_human", str(text)), True
        case MessageFailed() if event.retry_at is None:
            text.put("error", event.error)
            return Block("message_not_delivered", str(text)), True
        case ThreadCancelled():
            text.put_all({"by": _who(event.by), "reason": event.reason})
            return Block("cancelled", str(text)), True
        case ThreadForked():
            text.put("what", "a copy of another thread up to here; nothing from before is under way in this one")
            return Block("forked", str(text)), True
        case _:
            return None, True


def _chosen(event: StepChosen, step: StepState, text: Writer) -> tuple[Block | None, bool]:
    if step.request or (step.ended and not isinstance(step.ended, ToolInterrupted)):
        return None, True  # told by its request, or together with its result
    arguments = dict(event.arguments)
    if event.intent == "request_human_input" and isinstance(options := arguments.get("options"), dict):
        del arguments["options"]
        if options.get("choices"):
            arguments["choices"] = options["choices"]
    text.put_all(arguments)
    return Block(_tag(event.intent), str(text), event.intent), step.status not in OPEN


def _untold(result: dict[str, JsonValue], arguments: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    """The result without what the arguments say already; None where the two contradict each other."""
    if any(arguments.get(name, value) != value for name, value in result.items()):
        return None
    return {name: value for name, value in result.items() if name not in arguments}


def _now(thread: Thread) -> str:
    """What is under way: the only part that changes from one prompt to the next."""
    text = Writer(400)
    text.put("time", f"{thread.events[-1].at:%Y-%m-%d %H:%M} UTC")
    for step in thread.open_steps():
        call = " ".join([step.chosen.intent, *(f"{k}={v}" for k, v in step.chosen.arguments.items())])
        match step.status:
            case "requested":
                text.put("waits_for_approval", call)
            case "approved":
                text.put("approved_and_about_to_run", call)
            case "waiting" | "due" | "running":
                text.put("under_way", call)
            case _:
                pass
    return Block("now", str(text)).text


def _who(person: Person) -> str:
    return f"{person.name or person.address or 'somebody'} ({person.trust.replace('_', ' ')})"


def _tag(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:64] or "step"


class Writer:
    """Writes data as YAML in which nothing can be taken for markup."""

    def __init__(self, part_chars_max: int) -> None:
        self._max = part_chars_max
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "".join(line + "\n" for line in self._lines)

    def put_all(self, data: dict[str, JsonValue], indent: str = "") -> None:
        for key, value in data.items():
            self.put(key, value, indent)

    def put(self, key: str, value: Any, indent: str = "") -> None:
        name = indent + (key if _KEY.fullmatch(key) else _quoted(shown(key, 64)))
        inner = indent + "  "
        match value:
            case str() if "\n" in (text := shown(value, self._max)).strip("\n"):
                lines = text.strip("\n").split("\n")
                self._lines.append(f"{name}: |{'2' if lines[0][:1] in (' ', chr(9)) or not lines[0] else ''}-")
                self._lines += (inner + line for line in lines)
            case str():
                self._lines.append(f"{name}: {_scalar(shown(value, self._max).strip(chr(10)))}")
            case dict() if value:
                self._lines.append(f"{name}:")
                self.put_all(value, inner)
            case list() if value and (table := _table(value, self._max)):
                self._lines.append(f"{name}: |-")
                self._lines += (inner + line for line in table)
            case _:
                self._lines.append(f"{name}: {_flow(value, self._max)}")


def shown(text: str, chars_max: int) -> str:
    """Text from outside, safe to stand in a block: clipped in its middle, nothing hidden, `<` and `&` escaped."""
    if len(text) > chars_max:
        left_out = len(text) - chars_max
        half = chars_max // 2
        text = f"{text[:half]}\n[… {left_out:,} characters left out …]\n{text[len(text) - (chars_max - half) :]}"
    return visible(text).replace("&", "&amp;").replace("<", "&lt;")


def _scalar(text: str) -> str:
    plain = (
        _PLAIN.fullmatch(text)
        and ": " not in text
        and " #" not in text
        and text[-1] not in " :"
        and not any(tag != _TIMESTAMP and form.match(text) for tag, form in _RESOLVERS.get(text[0], []))
    )
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _flow(value: Any, chars_max: int) -> str:
    """JSON, which is YAML on one line."""

    def escaped(item: Any) -> Any:
        match item:
            case str():
                return shown(item, chars_max)
            case dict():
                return {shown(str(k), 64): escaped(v) for k, v in item.items()}
            case list() | tuple():
                return [escaped(i) for i in item]
            case _:
                return item

    return json.dumps(escaped(value), ensure_ascii=False)


def _table(rows: list[Any], chars_max: int) -> list[str] | None:
    """Like records as comma-separated lines under one header; None where they are not alike."""
    if not all(isinstance(row, dict) and row and row.keys() == rows[0].keys() for row in rows):
        return None
    if any(isinstance(cell, dict | list) for row in rows for cell in row.values()):
        return None
    if not all(_KEY.fullmatch(key) for key in rows[0]):
        return None
    return [",".join(rows[0]), *(",".join(_cell(cell, chars_max) for cell in row.values()) for row in rows)]


def _cell(value: Any, chars_max: int) -> str:
    if not isinstance(value, str):
        return "" if value is None else json.dumps(value)
    text = shown(value, chars_max)
    return _quoted(text) if not text or re.search(r'[,"\n\\]|^\s|\s$', text) else text
