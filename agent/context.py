"""The context window: what the model is sent of a thread (factor 3), as a pure function of its events.

One user message. Every event that matters is `<type>`, YAML, `</type>`; lists of like records are tables, one line a
record; a step and its result are one block; rows that the last look told already
are not told again. Whatever came from outside is data: `<` and `&` are escaped, so that no
message, tag, subject, name or tool output can close a block or open one of its own, and characters that hide or reorder
text are made visible. YAML is written so that a YAML reader gets back what was put in, save line breaks at the ends of
a text, and what was too long. It is indented by one space: two would be one token more on every such line.

The text only grows at its end while it fits, which lets providers cache it; where it does not fit any more it is
compacted in one go to half its size, solved errors and old results first, and never the newest words. It is never
longer than `Limits.context_chars_max`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import yaml
from pydantic import JsonValue

from agent.definition import Agent
from agent.steps import Tool
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    ChoiceFailed,
    DeliveryFailed,
    Event,
    HandedToHuman,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageReceived,
    MessageSent,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadResumed,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    ToolStarted,
    ToolWaiting,
    TriggerReceived,
)
from store.text import one_line, visible
from store.thread import OPEN, StepState, Thread
from store.values import Attachment, Person

QUESTION = "What should the next step be?"
WORDS = ("message", "trigger")

_UNTOLD = (
    MessageEdited,
    MessageDeleted,
    ToolStarted,
    ToolWaiting,
    MessageSent,
    ThreadOpened,
    ThreadPaused,
    ThreadResumed,
)
"""Kinds that the model is not told of."""
_PLAIN = re.compile(r"[A-Za-z0-9_./(+$€][^\n\t]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
NAME_CHARS_MAX = 100
SHORT_CHARS_MAX = 80
KNOWN_ROWS_MIN = 2
"""So many rows of a table must be known for leaving them out to be worth a line."""
SHARE = 8
"""One block takes at most this part of the context: the newest four, the first and the newest words always fit."""


@dataclass(frozen=True, slots=True)
class Block:
    tag: str
    body: str
    intent: str = ""
    """Of the step that it tells of."""
    error: bool = False
    result: bool = False
    """What a tool found: can be looked up again, so it is left out before people's words are."""
    table: tuple[str, ...] = ()
    """The lines of its table, the header first, where it has one."""

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
        limits = self._agent.limits
        share = limits.context_chars_max // SHARE
        blocks = []
        for index, event in enumerate(thread.events):
            if index in self._done:
                block = self._done[index]
            else:
                block, final = _block(event, thread, self._agent)
                room = share - 2 * len(block.tag) - 16 if block else 0
                if block and len(block.body) > room:
                    block = replace(block, body=_fitting(block.body, room), table=())
                if final:
                    self._done[index] = block
            if block:
                blocks.append(block)
        now = Block("now", _fitting(_now(thread), share - len("<now>\n</now>\n\n\n\n") - len(QUESTION)))
        kept = compacted(blocks, limits.context_chars_max - share)
        return "\n\n".join([*_told_once(kept), now.text, QUESTION])


def _told_once(blocks: Iterable[Block]) -> Iterator[str]:
    """Their texts; a look at something that was looked at before tells only what is new in it."""
    last: dict[str, Block] = {}
    for block in blocks:
        before = last.get(block.tag) if block.table else None
        yield _without_known_rows(block, before) if before else block.text
        if block.table:
            last[block.tag] = block


@lru_cache(maxsize=2_048)
def _without_known_rows(block: Block, before: Block) -> str:
    header, *rows = block.table
    known = [n for n, (row, old) in enumerate(zip(block.table, before.table, strict=False)) if n and row == old]
    if header != before.table[0] or len(known) < KNOWN_ROWS_MIN:
        return block.text
    new = [header, *(row for n, row in enumerate(rows, 1) if n not in known)]
    new.append(f" (rows {', '.join(map(str, known))}: unchanged)")
    whole, short = ("".join(line + "\n" for line in lines) for lines in (block.table, new))
    return block.text.replace(whole, short, 1)


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
    # What it was asked for first, and last.
    kept_always = {0, max((i for i, block in enumerate(blocks) if block.tag in WORDS), default=0)}

    def leave_out(which: Callable[[Block], bool], instead: Callable[[Block], Block | None]) -> None:
        nonlocal chars
        for i, block in enumerate(older):
            if chars <= chars_max:
                return
            if block and i not in kept_always and which(block):
                older[i] = new = instead(block)
                chars -= len(block.text) + 2 - (len(new.text) + 2 if new else 0)

    leave_out(lambda b: b.error and b.intent in solved, lambda b: None)
    leave_out(lambda b: b.result and len(b.body) > 200, lambda b: Block(b.tag, "left_out: it was long\n", b.intent))
    leave_out(lambda b: b.tag not in WORDS, lambda b: None)
    leave_out(lambda b: True, lambda b: None)
    kept = [block for block in older if block]
    if len(kept) < len(older) and not any(block.tag == "left_out" for block in kept):
        kept.insert(1, Block("left_out", "what: older events, for lack of room\n"))
    return kept + newest


def _block(event: Event, thread: Thread, agent: Agent) -> tuple[Block | None, bool]:
    """The event's block, and whether that will stay so."""
    if isinstance(event, _UNTOLD):
        return None, True
    text = Writer(agent.limits.part_chars_max)
    step = thread.step(str(getattr(event, "step", "")))
    tool = agent.steps.get(step.chosen.intent) if step else None
    for_people = tool.for_people if tool and issubclass(tool, Tool) else frozenset[str]()
    match event:
        case MessageReceived():
            whole = event.clipped_from or len(event.text)
            text.put("from", _who(event.sender))
            if event.subject:
                text.put("subject", event.subject)
            if event.answers and (asked := thread.step(event.answers)):
                text.put("answers", str(asked.chosen.arguments.get("question", "")))
            said = thread.state.edited.get(event.id, event.text)
            if said is None:
                text.put("deleted", "its author took it back")
            else:
                text.put("text", said)
                if whole > len(event.text):
                    text.put("clipped", f"the message had {whole:,} characters")
                _put_attachments(text, event.attachments)
            return Block("message", str(text)), event.id not in thread.state.fresh
        case TriggerReceived():
            text.put("source", event.source)
            text.put("name", event.name)
            text.put_all(event.data, apart="data")
            return Block("trigger", str(text)), True
        case StepChosen() if step:
            return _chosen(step, text)
        case ApprovalRequested() if step:
            text.put("step", step.chosen.intent)
            if step.chosen.editor:
                text.put("changed_by", _who(step.chosen.editor))
            text.put_all(step.chosen.arguments, apart="arguments")
            text.put_all(_without(event.facts, for_people), apart="facts")
            return Block("approval_requested", str(text)), True
        case ApprovalDecided() if step:
            if step.decision is not event and step.decision != event:
                return None, True
            text.put("by", _who(event.by))
            text.put("step", step.chosen.intent)
            text.put("approved", event.approved)
            if event.comment:
                text.put("comment", event.comment)
            return Block("human_response", str(text)), True
        case TimerFired():
            return _fired(thread, event, text), True
        case ToolFinished() if step:
            intent = step.chosen.intent
            text.reserve("error", "result")
            if not step.request:
                text.put_all(_without(step.chosen.arguments, for_people), apart="arguments")
            if event.error:
                text.put("error", event.error)
            elif isinstance(event.result, dict) and (told := _untold(event.result, step.chosen.arguments)) is not None:
                text.put_all(_without(told, for_people), apart="result")
            elif event.result is not None:
                text.put("result", event.result)
            tag = _tag(f"{intent}_result" if step.request else intent)
            failed = bool(event.error)
            return Block(tag, str(text), intent, error=failed, result=not failed, table=text.table), True
        case ToolInterrupted() | StepRefused() if step:
            text.reserve("error")
            text.put("step", step.chosen.intent)
            if not step.request:
                text.put_all(step.chosen.arguments, apart="arguments")
            text.put("error", event.why if isinstance(event, ToolInterrupted) else event.error)
            tag = "outcome_unknown" if isinstance(event, ToolInterrupted) else "refused"
            return Block(tag, str(text), step.chosen.intent, error=isinstance(event, StepRefused)), True
        case ChoiceFailed() if event.reason in ("invalid", "refused", "truncated"):
            text.put("your_answer_was", event.reason)
            text.put("error", event.error)
            return Block("error", str(text), "choice", error=True), True
        case AgentChanged():
            text.put("agent", event.agent)
            text.put("reason", event.reason)
            return Block("agent_changed", str(text)), True
        case HandedToHuman():
            text.put("reason", event.reason)
            return Block("handed_to_human", str(text)), True
        case MessageFailed() | DeliveryFailed() if getattr(event, "retry_at", None) is None:
            if isinstance(event, DeliveryFailed):
                text.put("to", event.recipient)
            text.put("error", event.error)
            return Block("message_not_delivered", str(text)), True
        case ThreadCancelled():
            text.put("by", _who(event.by))
            text.put("reason", event.reason)
            return Block("cancelled", str(text)), True
        case ThreadForked():
            text.put("what", "a copy of another thread up to here; nothing from before is under way in this one")
            return Block("forked", str(text)), True
        case _:
            return None, True


def _fired(thread: Thread, event: TimerFired, text: Writer) -> Block | None:
    step_id, _, what = event.timer.rpartition("/")[0].rpartition("/")
    step = thread.step(step_id)
    if step is None:
        return None
    if what == "expire" and step.status == "expired":
        text.put("step", step.chosen.intent)
        text.put("expired", "nobody decided in time, so it was not run")
        return Block("approval_expired", str(text))
    if what == "wait" and step.chosen.until:
        text.put("step", step.chosen.intent)
        text.put_all(step.chosen.arguments, apart="arguments")
        return Block("time_is_up", str(text))
    return None


def _put_attachments(text: Writer, attachments: Sequence[Attachment]) -> None:
    if attachments:
        text.put("attachments", [a.model_dump(mode="json", exclude={"text"}) for a in attachments])
    for attachment in attachments:
        if attachment.text:
            text.put(f"text of {attachment.name}", attachment.text)


def _chosen(step: StepState, text: Writer) -> tuple[Block | None, bool]:
    event = step.chosen
    if step.request or step.ended or (event.until and step.status == "finished"):
        return None, True  # told by its request, or together with its end
    if step.status in OPEN and step.status != "chosen":
        return None, False  # told by `now`
    match step.status:
        case "chosen" | "superseded" | "cancelled" if not step.attempt:
            # Where the model is asked while a step has not begun, somebody spoke: it will begin no more.
            text.put("status", "not begun, and will not begin")
        case "superseded" | "cancelled":
            text.put("status", "nobody follows it here any more")
        case "kept":
            text.put("status", "the same call is under way already")
        case _:
            pass
    arguments = dict(event.arguments)
    if event.intent == "request_human_input" and isinstance(options := arguments.get("options"), dict):
        del arguments["options"]
        if options.get("choices"):
            arguments["choices"] = options["choices"]
    text.put_all(arguments, apart="arguments")
    return Block(_tag(event.intent), str(text), event.intent), step.status not in OPEN


def _without(data: dict[str, JsonValue], keys: frozenset[str]) -> dict[str, JsonValue]:
    if not keys:
        return data
    kept = ((key, value) for key, value in data.items() if key not in keys)
    return {key: _without(value, keys) if isinstance(value, dict) else value for key, value in kept}


def _untold(result: dict[str, JsonValue], arguments: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    """The result without what the arguments say already; None where the two contradict each other."""
    if any(arguments.get(name, value) != value for name, value in result.items()):
        return None
    return {name: value for name, value in result.items() if name not in arguments}


def _now(thread: Thread) -> str:
    """What is under way: the only part that changes from one prompt to the next."""
    text = Writer(400)
    text.put("time", f"{thread.events[-1].at:%Y-%m-%d %H:%M} UTC")
    calls: dict[str, list[str]] = {}
    for step in thread.open_steps():
        call = " ".join([step.chosen.intent, *(f"{k}={v}" for k, v in step.chosen.arguments.items())])
        match step.status:
            case "requested":
                calls.setdefault("waits_for_approval", []).append(call)
            case "approved":
                calls.setdefault("approved_and_about_to_run", []).append(call)
            case "waiting" if step.chosen.until:
                calls.setdefault("waits", []).append(f"{call} (until {step.chosen.until:%Y-%m-%d %H:%M} UTC)")
            case "waiting" | "due" | "running":
                calls.setdefault("under_way", []).append(call)
            case _:
                pass
    for key, found in calls.items():
        text.put(key, found[0] if len(found) == 1 else found)
    return str(text)


def _who(person: Person) -> str:
    """The one pair of round brackets is ours: nobody is verified by their display name."""
    name = one_line(person.name or person.address or "somebody", NAME_CHARS_MAX)
    return f"{name.replace('(', '[').replace(')', ']')} ({person.trust.replace('_', ' ')})"


def _tag(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:64] or "step"


class Writer:
    """Writes data as YAML in which nothing can be taken for markup."""

    def __init__(self, part_chars_max: int) -> None:
        self._max = part_chars_max
        self._lines: list[str] = []
        self._taken: set[str] = set()
        self.table: tuple[str, ...] = ()
        """The lines of the first table in it."""

    def __str__(self) -> str:
        return "".join(line + "\n" for line in self._lines)

    def reserve(self, *keys: str) -> None:
        """Keep these for `put`: other people's data may hold them too."""
        self._taken.update(keys)

    def put_all(self, data: Mapping[str, JsonValue], *, apart: str) -> None:
        """The fields of some data; under a name of their own, `apart`, where one of their names is taken."""
        if data.keys() & self._taken:
            self.put(apart, dict(data))
        else:
            for key, value in data.items():
                self.put(key, value)

    def put(self, key: str, value: Any, indent: str = "") -> None:
        if not indent:
            self._taken.add(key)
        name = indent + _key(key)
        inner = indent + " "
        match value:
            case str() if len(value) <= min(SHORT_CHARS_MAX, self._max) and value.isprintable():
                self._lines.append(f"{name}: {_short(value)}")
            case str() if "\n" in (text := shown(value, self._max)).strip("\n"):
                lines = text.strip("\n").split("\n")
                self._lines.append(f"{name}: |{'1' if lines[0][:1] in (' ', chr(9)) or not lines[0] else ''}-")
                self._lines += (inner + line if line else "" for line in lines)
            case str():
                self._lines.append(f"{name}: {_scalar(shown(value, self._max).strip(chr(10)))}")
            case dict() if value:
                self._lines.append(f"{name}:")
                for inner_key, inner_value in value.items():
                    self.put(inner_key, inner_value, inner)
            case list() if value and (rows := _table(value, self._max)):
                self._lines.append(f"{name}: |-")
                table = tuple(inner + row for row in rows)
                self._lines += table
                self.table = self.table or table
            case _:
                self._lines.append(f"{name}: {_flow(value, self._max)}")


def _fitting(body: str, chars_max: int) -> str:
    """The body; where it is too long, the beginning and the end of it as mere text."""
    room = max(chars_max, 0)
    while len(body) > chars_max:
        room = room * 2 // 3
        cut = f"{body[: room // 2]}\n[… {len(body) - room:,} characters left out …]\n{body[len(body) - room // 2 :]}"
        clipped = "clipped: |1-\n" + "".join(f" {line}\n" if line else "\n" for line in cut.strip("\n").split("\n"))
        if len(clipped) <= chars_max or not room:
            return clipped
    return body


def shown(text: str, chars_max: int) -> str:
    """Text from outside, safe to stand in a block: clipped in its middle, nothing hidden, `<` and `&` escaped."""
    if len(text) > chars_max:
        left_out = len(text) - chars_max
        half = chars_max // 2
        text = f"{text[:half]}\n[… {left_out:,} characters left out …]\n{text[len(text) - (chars_max - half) :]}"
    return visible(text).replace("&", "&amp;").replace("<", "&lt;")


@lru_cache(maxsize=2_048)
def _key(key: str) -> str:
    return key if _KEY.fullmatch(key) and not _resolves(key) else _quoted(shown(key, 64))


@lru_cache(maxsize=8_192)
def _short(text: str) -> str:
    """A text of one line. The same ones come again and again: names, SHAs, states."""
    return _scalar(shown(text, SHORT_CHARS_MAX))


def _scalar(text: str) -> str:
    plain = (
        _PLAIN.fullmatch(text)
        and ": " not in text
        and " #" not in text
        and text[-1] not in " :"
        and not _resolves(text)
    )
    return text if plain else _quoted(text)


def _resolves(text: str) -> bool:
    """Whether YAML reads it as something else than a text: a number, a date, `yes`."""
    return any(form.match(text) for _, form in _RESOLVERS.get(text[:1], []))


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
    if len(rows[0]) == 1 and any(cell is None for row in rows for cell in row.values()):
        return None  # such a line would be empty
    header = list(rows[0])
    return [",".join(header), *(",".join(_cell(row[key], chars_max) for key in header) for row in rows)]


def _cell(value: Any, chars_max: int) -> str:
    if not isinstance(value, str):
        return "" if value is None else json.dumps(value)
    text = shown(value, chars_max)
    return _quoted(text) if not text or re.search(r'[,"\n\\]|^[\s(]|\s$', text) else text
