"""What the agent says, as lines of plain text: for the terminal, and the plain part of a mail.

Everything is passed through `visible`: no control sequence from a message, a tag or a tool reaches a screen.
"""

from __future__ import annotations

from typing import assert_never

from pydantic import JsonValue

from channels.base import (
    Answered,
    Card,
    Notice,
    Outgoing,
    Progress,
    Question,
    Settled,
    Text,
    Undelivered,
)
from store.text import visible


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
        case Card():
            return "\n".join(_card(message))
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
    rows.append(f"  asked for by {_inline(card.requested_by)} at {card.requested_at:%H:%M} UTC · {card.digest[:12]}")
    return rows


def _settled(message: Settled) -> str:
    mark = "✅" if message.outcome == "approved" else "❌"
    text = f"{mark} {visible(message.intent)} {message.outcome}"
    if message.outcome in ("approved", "rejected") and message.by and message.at:
        text += f" by {visible(message.by.name)} at {message.at:%H:%M} UTC"
        if message.comment:
            text += f" — {visible(message.comment)}"
    return text


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
