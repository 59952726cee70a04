"""Renders messages as plain text, for the terminal, the plain part of a mail, and webhooks. Pure.

All text passes through `visible`, so no control sequence from a message, a tag or a tool reaches a screen. Nothing here
depends on what was sent before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from pydantic import JsonValue

from channels.messages import (
    APPROVERS_MAX,
    Answered,
    Approval,
    Dropped,
    Ended,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Tasks,
    Text,
    Unanswered,
    Vote,
    Waiting,
)
from store.names import called
from store.text import instant, visible
from store.values import Person

DIGEST_CHARS = 12
"""The digits of a digest that people compare."""

TASK_MARKS = {"to_do": "◻", "waiting_for_approval": "✋", "under_way": "⏳", "done": "✅", "not_done": "❌"}

Shown = Callable[[str], str]
"""Renders a name safely, on one line."""


def render(message: Outgoing) -> str:
    """The message as lines of plain text, complete in itself."""
    match message:
        case Text(text) | Notice(text):
            return visible(text)
        case Question():
            return _question(message)
        case Approval():
            return _approval(message)
        case Progress():
            return f"{visible(message.what)}: {message.state.replace('_', ' ')} {visible(message.error)}".rstrip()
        case Tasks():
            return "\n".join(f"  {TASK_MARKS[task.state]} {_inline(task.title)}" for task in message.tasks)
    assert_never(message)


def _question(question: Question) -> str:
    match question.state:
        case Answered(by, answer):
            return f"Answered by {visible(by)}: {visible(answer)}"
        case Dropped():
            return ""
        case Unanswered():
            urgent = "Urgent: " if question.urgency == "high" else ""
            lines = [f"{urgent}{visible(question.question)}"]
            if question.context:
                lines.append(visible(question.context))
            if question.offers and not question.choices:
                lines.append("Answer yes or no.")
            lines += (f"  - {_inline(choice)}" for choice in question.choices)
            return "\n".join(lines)
    assert_never(question.state)


def _approval(request: Approval) -> str:
    match request.state:
        case Waiting():
            return card(request)
        case Reminded():
            title = f"⏰ Still waiting for approval: {_inline(question_of(request))}"
            return "\n".join([title, *(f"  {line}" for line in terms(request))])
        case Ended() as end:
            return _ended(request, end)
    assert_never(request.state)


def card(request: Approval, *, says_words: bool = True) -> str:
    """The request in full. `says_words`: with the words that asked for it."""
    lines = [_inline(question_of(request))]
    if unsaid := request.danger_rows:
        lines += [*([] if request.danger else ["  WARNING"]), *fields(unsaid, "    ")]
    lines += fields(request.rows, "    ")
    return "\n".join([*lines, *(f"  {line}" for line in terms(request, says_words=says_words))])


def question_of(request: Approval) -> str:
    """What is decided, and in the same breath what is dangerous about it."""
    return f"{request.question} {request.danger}".rstrip()


def terms(request: Approval, *, says_words: bool = True) -> list[str]:
    """Lines that say who asked with which words, who may decide, until when, and who has approved so far."""
    lines = [f"Asked again. {_inline(request.asked_again)}"] if request.asked_again else []
    words = f": {request.asked_words}" if says_words and request.asked_words else ""
    lines.append(f"Asked for by {_inline(request.requested_by)} at {instant(request.requested_at)}{words}")
    until = f"until {instant(request.expires_at)}" if request.expires_at else ""
    if request.group:
        names = f" ({names_of(request.approvers)})" if request.approvers else ""
        lines.append(f"May decide: {_inline(request.group)}{names}{until and f', {until}'}")
    elif until:
        lines.append(f"It waits {until}")
    lines += (_inline(caution) for caution in request.cautions)
    match request.state:
        case Reminded(widened=True):
            lines.append("More people may decide from now on")
        case Waiting() if request.quorum > 1:
            lines.append(counted(request))
        case _:
            pass
    if not isinstance(request.state, Reminded):
        lines.append(f"Tool {_inline(request.intent)}, digest {request.digest[:DIGEST_CHARS]}")
    return lines


def _ended(request: Approval, end: Ended) -> str:
    """The comment comes last, because it is a person's own text."""
    mark = {"approved": "✅", "changed": "✏️"}.get(end.outcome, "❌")
    text = f"{mark} {_inline(request.headline)} {end.outcome}"
    if end.lapsed:
        return f"{text}: {visible(end.lapsed)}"
    if end.outcome == "approved" and request.votes:
        text += f" by {given_by(request.votes)}"
    elif end.outcome in ("approved", "rejected", "changed") and end.by and end.at:
        through = "the standing approval of " if end.standing else ""
        text += f" by {through}{given_by([Vote(called(end.by), end.at)])}"
    if end.outcome != "approved" and request.votes:
        text += f", after an approval by {given_by(request.votes)}"
    if end.outcome == "expired":
        text += ": nothing was run"
    if end.why:
        text += f": {_inline(end.why)}"
    return f"{text} — {visible(end.comment)}" if end.comment and end.by else text


def fields(data: dict[str, JsonValue], indent: str) -> list[str]:
    """`name: value` lines in full; nested data is indented."""
    lines: list[str] = []
    for name, value in data.items():
        label = f"{indent}{_inline(name)}:"
        match value:
            case dict() if value:
                lines += [label, *fields(value, indent + "  ")]
            case list() if len(value) > 1 or any(isinstance(item, dict) for item in value):
                # One line per item, because an item may contain a comma.
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


# Parts that other media use too


def names_of(people: Iterable[Person], shown: Shown = _inline) -> str:
    """The first APPROVERS_MAX names."""
    names = [shown(person.name) for person in people]
    return ", ".join([*names[:APPROVERS_MAX], *(["and others"] if len(names) > APPROVERS_MAX else [])])


def count_of(request: Approval) -> str:
    """`1 of 2 approvals`."""
    return f"{len(request.votes)} of {request.quorum} approvals"


def counted(request: Approval) -> str:
    """The count, and by whom."""
    return f"{count_of(request)}: {given_by(request.votes)}" if request.votes else count_of(request)


def given_by(votes: Iterable[Vote]) -> str:
    return ", ".join(f"{_inline(vote.name)} at {instant(vote.at)}" for vote in votes)
