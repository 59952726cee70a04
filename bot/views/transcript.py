"""A thread as a person reads it: lines of plain text for a terminal, or Markdown.

Everything from outside goes through `visible`, so that what was written to the thread cannot draw on the screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from agent.speech import card, outgoing, settled
from bot.inbox import call_in_words
from channels.plain import fields, render
from store.authority.terms import judge
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    ChoiceFailed,
    DeliveryFailed,
    HandedToHuman,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageReceived,
    MessageSent,
    StandingGranted,
    StandingRevoked,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ThreadPaused,
    ThreadResumed,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    TriggerReceived,
    UnknownEvent,
)
from store.text import one_line, visible
from store.thread import Owed, Thread

_FULL_SHA = re.compile(r"\b[0-9a-f]{40}\b")
NAME_CHARS_MAX = 60
DETAIL_CHARS_MAX = 100
OUTPUT_LINES_MAX = 6

Kind = Literal["person", "bot", "step", "request", "decision", "problem", "note"]


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    who: str
    text: str


def entries(thread: Thread, start: int = 0, *, everything: bool = False) -> list[Entry]:
    """What there is to read from event `start` on. `everything`: also bookkeeping."""
    told = (_entry(thread, index) for index in range(start, thread.version))
    return [_harmless(entry) for entry in told if everything or entry.kind != "note"]


def topic(thread: Thread) -> str:
    """What it is about, on one line: what waits for a person, or else what was said last by one."""
    if pending := thread.pending:
        return one_line(call_in_words(pending), DETAIL_CHARS_MAX)
    if asked := thread.step(thread.state.question):
        return one_line(str(asked.chosen.arguments.get("question", "")), DETAIL_CHARS_MAX)
    for event in reversed(thread.events):
        match event:
            case MessageReceived():
                return one_line(event.subject or event.text, DETAIL_CHARS_MAX)
            case TriggerReceived():
                return one_line(f"{event.source} {event.name}", DETAIL_CHARS_MAX)
            case _:
                pass
    return ""


def _harmless(entry: Entry) -> Entry:
    """Whatever the rows below forget: names come from outside too."""
    return Entry(entry.kind, one_line(entry.who, NAME_CHARS_MAX), visible(entry.text))


def _entry(thread: Thread, index: int) -> Entry:
    event = thread.events[index]
    match event:
        case MessageReceived():
            parts = [event.subject, event.text, *(f"[{file.name}]" for file in event.attachments)]
            if event.clipped_from:
                parts.append(f"[… the first {len(event.text):,} of {event.clipped_from:,} characters]")
            who, trust = event.sender.name or event.sender.address, event.sender.trust
            who += "" if trust == "verified" else f" ({trust.replace('_', ' ')})"
            return Entry("person", who, "\n".join(filter(None, parts)))
        case MessageEdited():
            return Entry("person", "edited", event.text)
        case MessageDeleted():
            return Entry("note", "log", f"{event.message} was deleted by its author")
        case TriggerReceived():
            return Entry("person", event.source, "\n".join([event.name, *fields(event.data, "  ")]))
        case StepChosen():
            return _chosen(thread, event, index)
        case ToolFinished():
            if event.error:
                return Entry("problem", _intent(thread, event.step), event.error)
            step = thread.step(event.step)
            known = step.chosen.arguments if step else {}
            return Entry("step", _intent(thread, event.step), _summary(event.result, known=known))
        case ToolInterrupted():
            return Entry("problem", _intent(thread, event.step), f"outcome unknown: {event.why}")
        case StepRefused():
            return Entry("problem", _intent(thread, event.step), event.error)
        case ApprovalRequested() if (step := thread.step(event.step)) and step.request == event:
            return Entry("request", "bot", render(card(thread, step, at=index)))
        case ApprovalDecided():
            return _decided(thread, event, index)
        case TimerFired():
            return _rung(thread, event, index)
        case StandingGranted():
            call = " ".join(filter(None, (event.intent, event.scope)))
            reason = f" — {event.reason}" if event.reason else ""
            until = f"{event.until:%Y-%m-%d %H:%M} UTC"
            return Entry("decision", event.by.name, f"✅ approved {call} by {event.agent} until {until}{reason}")
        case StandingRevoked():
            return Entry("decision", event.by.name, f"❌ revoked the standing approval {event.grant}")
        case ChoiceFailed():
            return Entry("note" if event.reason == "outdated" else "problem", "model", _in_words(event))
        case MessageFailed():
            ending = " It will be tried again." if event.retry_at else " It will not be tried again."
            return Entry("problem", "channel", visible(event.error) + ending)
        case DeliveryFailed():
            return Entry("problem", "channel", visible(f"A message to {event.recipient} came back: {event.error}"))
        case MessageSent() if event.key.endswith("/notice"):
            return _notice(thread, event, index)
        case HandedToHuman():
            return Entry("bot", "bot", render(outgoing(thread, Owed("handed", index))))
        case AgentChanged():
            return Entry("step", "code", f"the agent {event.agent!r} takes over: {visible(event.reason)}")
        case ThreadPaused() | ThreadResumed():
            verb = "paused" if isinstance(event, ThreadPaused) else "resumed"
            return Entry("person", event.by.name, f"{verb} the thread")
        case ThreadCancelled():
            reason = f": {event.reason}" if event.reason else ""
            return Entry("person", event.by.name, f"cancelled the thread{visible(reason)}")
        case ThreadForked():
            return Entry("step", event.by.name, f"forked this from {event.source} after its event {event.at_event}")
        case UnknownEvent():
            return Entry("problem", event.kind, "this version cannot read the event; see it with `bot show --json`")
        case _:
            return Entry("note", "log", f"{event.kind} {event.id}")


def _intent(thread: Thread, step_id: str) -> str:
    step = thread.step(step_id)
    return step.chosen.intent if step else step_id


def _chosen(thread: Thread, event: StepChosen, index: int) -> Entry:
    match event.intent:
        case "done_for_now" | "send_update":
            return Entry("bot", "bot", render(outgoing(thread, Owed("done", index, event.step))))
        case "request_human_input":
            return Entry("bot", "bot", render(outgoing(thread, Owed("question", index, event.step))))
    arguments = " ".join(f"{name}={_short(value)}" for name, value in event.arguments.items())
    if event.by == "person":
        by = event.editor.name if event.editor else "somebody"
        return Entry("decision", by, f"✏️ changed it: {event.intent} {arguments}".rstrip())
    who = "code" if event.by == "code" else "agent"
    return Entry("step", who, f"{event.intent} {arguments}".rstrip())


def _notice(thread: Thread, event: MessageSent, index: int) -> Entry:
    """Words of the program that no other event tells, as things stood when they were said."""
    then = _before(thread, index)
    owed = then.state.owed.get(event.key)
    if owed is None or isinstance(then.events[owed.event], ThreadCancelled):
        return Entry("note", "log", event.id)
    return Entry("bot", "bot", render(outgoing(then, owed)))


def _decided(thread: Thread, event: ApprovalDecided, index: int) -> Entry:
    step = thread.state.steps.get(event.step)
    verb = "approved" if event.approved else "rejected"
    comment = f" — {visible(event.comment)}" if event.comment else ""
    votes = [vote.id for vote in step.votes] if step else []
    if step is None or (event.id not in votes and (step.decision is None or step.decision.id != event.id)):
        return Entry("problem", event.by.name, f"{verb} it{comment}, which changed nothing: {_in_vain(thread, index)}")
    mark = "✅" if event.approved else "❌"
    text = f"{mark} {verb} {step.chosen.intent}"
    if event.id in votes and step.terms.quorum > 1 and not event.standing:
        text += f" ({votes.index(event.id) + 1} of {step.terms.quorum})"
    if event.standing:
        text += " by a standing approval"
    return Entry("decision", event.by.name, f"{text} at {event.at:%H:%M} UTC{comment}")


def _in_vain(thread: Thread, index: int) -> str:
    """Why this decision counted for nothing, as things stood then."""
    event = thread.events[index]
    assert isinstance(event, ApprovalDecided)
    step = _before(thread, index).step(event.step)
    if step is None or step.request is None:
        return "nothing was asked"
    if step.decision or step.status != "requested":
        return "it was settled already"
    match judge(step.request, step.terms, event, widened=step.widened):
        case "valid":
            return "they have approved it already"
        case "not_entitled":
            return "it is not theirs to decide"
        case "expired":
            return "it has expired"
        case "other_request":
            return "it was for another request"


def _rung(thread: Thread, event: TimerFired, index: int) -> Entry:
    """What a request comes to that nobody decides."""
    step_id, rung, _ = (*event.timer.rsplit("/", 2), "", "")[:3]
    step = thread.step(step_id)
    before = _before(thread, index).step(step_id) if rung in ("remind", "widen", "expire") else None
    if step is None or before is None or before.status != "requested":
        return Entry("note", "log", f"{event.kind} {event.id}")
    if rung == "expire":
        return Entry("decision", "bot", render(settled(thread, step, event)))
    return Entry("request", "bot", render(outgoing(thread, Owed("reminder", index, step_id))))


def _before(thread: Thread, index: int) -> Thread:
    return Thread(thread.id).extended(thread.events[:index])


def _in_words(event: ChoiceFailed) -> str:
    text = f"{event.reason}: {visible(event.error)}" if event.error else event.reason
    return f"{text} I ask again at {event.retry_at:%H:%M:%S} UTC." if event.retry_at else text


def _summary(result: JsonValue, *, known: Mapping[str, JsonValue]) -> str:
    """A tool's result on a few lines; the whole of it is in the log. What its arguments said already is left out."""
    match result:
        case dict() if len(result) == 1 and isinstance(rows := next(iter(result.values())), list):
            return f"{len(rows)} {next(iter(result))}"
        case dict():
            hidden = {"output", "link", "date", "author", *known}
            shown = [f"{name} {_short(value)}" for name, value in result.items() if name not in hidden and value != ""]
            output = visible(str(result.get("output") or "")).splitlines()
            return "\n".join([" · ".join(shown), *(f"| {line}" for line in output[-OUTPUT_LINES_MAX:])])
        case _:
            return _short(result)


def _short(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _FULL_SHA.sub(lambda found: found[0][:7], one_line(str(value), DETAIL_CHARS_MAX))


def markdown(thread: Thread) -> str:
    """The whole thread for a ticket or a review."""
    head = [
        f"# Thread {_escaped(thread.id)}",
        "",
        f"Agent {_escaped(thread.agent)}, {_escaped(thread.place.channel)}, {thread.status}, {thread.version} events.",
        "",
    ]
    body = []
    for entry in entries(thread):
        fence = "`" * max(3, _longest_run_of_backticks(entry.text) + 1)
        body += [f"**{_escaped(entry.who)}**", "", fence, entry.text, fence, ""]
    return "\n".join(head + body)


def _longest_run_of_backticks(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>#" else char for char in one_line(text, 80))
