"""What the agent says, as lines of plain text: for the terminal, and the plain part of a mail.

Everything is passed through `visible`: no control sequence from a message, a tag or a tool reaches a screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from pydantic import JsonValue

from channels.base import (
    Answered,
    Card,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminder,
    Settled,
    Text,
    Undelivered,
    Vote,
)
from store.text import visible
from store.values import Person

APPROVERS_MAX = 5
"""Names of those who may decide, on a card."""


def render(message: Outgoing) -> str:
    """The message as lines of plain text."""
    match message:
        case Text(text) | Notice(text):
            return visible(text)
        case Question():
            lines = [visible(message.question)]
            if message.context:
                lines.append(visible(message.context))
            if message.format == "yes_no":
                lines.append("Answer yes or no.")
            lines += (f"  - {_inline(choice)}" for choice in message.choices)
            if message.urgency == "high":
                lines[0] = f"Urgent: {lines[0]}"
            return "\n".join(lines)
        case Card() if message.receipt:
            return f"{visible(message.intent)}: {_count(message)}"
        case Card():
            return "\n".join(_card(message))
        case Reminder():
            lines = [f"⏰ {visible(message.intent)} still waits for approval", *(f"  {one}" for one in terms(message))]
            return "\n".join(lines)
        case Settled():
            return _settled(message)
        case Answered():
            return f"Answered by {visible(message.by)}: {visible(message.answer)}" if message.by else ""
        case Progress():
            return f"{visible(message.what)}: {message.state.replace('_', ' ')} {visible(message.error)}".rstrip()
        case Undelivered():
            return visible(message.text)
    assert_never(message)


def _card(card: Card) -> list[str]:
    rows = ["Approval needed", f"  {visible(card.intent)}"]
    rows += fields(card.arguments, "    ")
    rows += fields(card.facts, "    ")
    return [*rows, *(f"  {line}" for line in terms(card))]


def terms(request: Card | Reminder) -> list[str]:
    """Who asked, who may decide, until when, and who has approved it so far: a line for each."""
    lines = [f"asked for by {_inline(request.requested_by)} at {request.requested_at:%Y-%m-%d %H:%M} UTC"]
    match request:
        case Card():
            lines[0] += f" · digest {request.digest[:12]}"
            people = request.approvers
            count = [_count(request)] if request.quorum > 1 else []
        case Reminder():
            people = request.people
            count = ["more people may decide from now on"] if request.widened else []
    if request.group:
        names = f" ({_names(people)})" if people else ""
        lines.append(f"may decide: {_inline(request.group)}{names}")
    if request.expires_at:
        lines.append(f"expires at {request.expires_at:%Y-%m-%d %H:%M} UTC")
    return [*lines, *count]


def _names(people: Sequence[Person]) -> str:
    names = [_inline(person.name) for person in people[:APPROVERS_MAX]]
    return ", ".join([*names, *(["and others"] if len(people) > APPROVERS_MAX else [])])


def _count(card: Card) -> str:
    return f"{len(card.votes)} of {card.quorum} approvals" + (f": {_given(card.votes)}" if card.votes else "")


def _given(votes: Iterable[Vote]) -> str:
    return ", ".join(f"{_inline(vote.name)} at {vote.at:%H:%M} UTC" for vote in votes)


def _settled(message: Settled) -> str:
    """The comment, which is somebody's words, comes last."""
    mark = {"approved": "✅", "changed": "✏️"}.get(message.outcome, "❌")
    text = f"{mark} {visible(message.intent)} {message.outcome}"
    if message.outcome == "approved" and message.votes:
        text += f" by {_given(message.votes)}"
    elif message.outcome in ("approved", "rejected", "changed") and message.by and message.at:
        through = "the standing approval of " if message.standing else ""
        text += f" by {through}{_given([Vote(message.by.name, message.at)])}"
    if message.outcome != "approved" and message.votes:
        text += f", after an approval by {_given(message.votes)}"
    if message.outcome == "expired":
        text += ": nothing is run"
    return f"{text} — {visible(message.comment)}" if message.comment and message.by else text


def fields(data: dict[str, JsonValue], indent: str) -> list[str]:
    """`name: value` lines, whole; nested data indented."""
    lines: list[str] = []
    for name, value in data.items():
        label = f"{indent}{_inline(name)}:"
        match value:
            case dict() if value:
                lines += [label, *fields(value, indent + "  ")]
            case list() if len(value) > 1 or any(isinstance(item, dict) for item in value):
                # A line for each: a comma in a commit's subject must not look like the next commit.
                lines.append(label)
                lines += (f"{indent}  - {_inline(item)}" for item in value)
            case str() if "\n" in value.strip():
                lines.append(label)
                lines += (f"{indent}  {line}" for line in visible(value).strip().splitlines())
            case _:
                lines.append(f"{label} {_inline(value)}")
    return lines


def _inline(value: JsonValue) -> str:
    match value:
        case dict():
            return " · ".join(f"{_inline(name)}: {_inline(item)}" for name, item in value.items()) or "none"
        case list():
            return ", ".join(_inline(item) for item in value) or "none"
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case _:
            return visible(str(value)).strip().replace("\n", " ")
