"""What the agent says, as Slack messages: pure functions from `channels.base` to blocks.

Every text of a person, a model or a tool goes into rich text, where Slack reads no markup, or into a button's plain
text. Nothing is cut in silence: what a card has no room for stands in full in the messages before it, and what cannot
be shown at all is not asked for. What is rewritten has to stay one message: where its room ends, it says so.

Two requests that differ must not look alike, nor a value like another line of the card. So a name that could be taken
for something else is quoted, a text of several lines stands in a box, and what is no text is JSON, in code.

A button carries which request it decides: thread, step, and the digest of what was shown. A click is judged by that
alone, so an old card can decide nothing new.

A reminder calls people by live mentions, of those alone whom its data names by their Slack user ids; never of what a
text says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

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
from channels.slack.buttons import ButtonValue, question_block_id, request_block_id
from channels.slack.clicks import ARGUMENT
from channels.slack.markdown import messages_of
from channels.slack.text import (
    MESSAGE_WEIGHT_MAX,
    Block,
    Part,
    Run,
    Style,
    blocks_of,
    is_safe,
    linked,
    packed,
    plain,
    rich,
    weight,
)
from store.text import one_line, visible
from store.values import Person

FALLBACK_CHARS_MAX = 500
"""Of the text beside the blocks, for notifications."""
DETAILS_WEIGHT_MAX = 4_000
"""A click sends the whole card back: longer details stand in messages of their own, before it."""
DETAILS_LINES_MAX = 60
"""Likewise: Slack folds a tall message, and the buttons are at its end."""
NAME_CHARS_MAX = 100
"""Of a tool and of who asked, in a headline; a longer one is among the details, in full."""
POSTS_MAX = 20
BUTTON_CHARS_MAX = 75
VALUE_CHARS_MAX = 2_000
BUTTONS_MAX = 5
OPTIONS_MAX = 100
DIGEST_CHARS = 16
TYPED_CHARS_MAX = 3_000
"""Slack's own limit for what is typed into an input of a modal."""
APPROVERS_MAX = 5
"""Names of those who may decide, on a card."""
CALLED_MAX = 20
"""People that a reminder calls."""
NESTING_MAX = 6
"""Of facts that are written as lines; deeper ones as JSON."""

_BOLD: frozenset[Style] = frozenset({"bold"})
_CODE: frozenset[Style] = frozenset({"code"})
_ITALIC: frozenset[Style] = frozenset({"italic"})
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,30}")
_PLAIN_NAME = re.compile(r"\w(?:[\w -]*\w)?")
"""No dot: `new.sha` is the `sha` of `new`."""


class TooLongToShow(ValueError):
    """It would take more than POSTS_MAX messages to show all of it, or it is nested too deeply for that."""


@dataclass(frozen=True, slots=True)
class Post:
    """One Slack message."""

    text: str
    """Escaped; for notifications and screen readers. The blocks hold everything."""
    blocks: list[Block]


def posts_of(message: Outgoing, thread_id: str) -> list[Post]:
    """In order; of a card and a question, the last one has the buttons.

    Settled, Answered and Progress take the place of a message: they are one, whatever they hold. The others raise
    TooLongToShow.
    """
    match message:
        case Text(text):
            posts = _posts(text, messages_of(text) or [rich("(nothing)")])
        case Notice(text) | Undelivered(text=text):
            posts = _posts(text, packed(rich(f"ℹ️ {text}")))
        case Card():
            posts = _card(message, thread_id)
        case Reminder():
            posts = _reminder(message)
        case Question():
            posts = _question(message, thread_id)
        case Settled():
            posts = _settled(message, thread_id)
        case Answered():
            posts = _answered(message, thread_id)
        case Progress():
            posts = _progress(message)
        case _:
            assert_never(message)
    if len(posts) > POSTS_MAX:
        raise TooLongToShow(f"it takes {len(posts)} messages; the limit is {POSTS_MAX}")
    return posts


def _posts(text: str, messages: Iterable[list[Block]]) -> list[Post]:
    fallback = plain(text, FALLBACK_CHARS_MAX) or "(nothing)"
    return [Post(fallback, blocks) for blocks in messages]


def _bold(text: str) -> Part:
    return Part("section", [Run(visible(text).strip() or "(empty)", _BOLD)])


def _line(text: str, *runs: Run) -> Part:
    return Part("section", [*linked(visible(text)), *runs])


# Approvals


def _card(card: Card, thread_id: str) -> list[Post]:
    title = f"Approval needed: {one_line(card.intent, NAME_CHARS_MAX)}"
    requester = one_line(card.requested_by, NAME_CHARS_MAX)
    asked = f"Asked for by {requester} at {card.requested_at:%H:%M} UTC · digest {card.digest[:12]}"
    parts = _details(card)
    details = blocks_of(parts)
    value = ButtonValue(thread_id, card.step, card.digest[:DIGEST_CHARS])
    before: list[Post] = []
    if _is_long(parts):
        introduction = blocks_of([_bold(f"Details of {one_line(card.intent, NAME_CHARS_MAX)}")])
        before = _posts(f"Details of {card.intent}", packed([*introduction, *details]))
        details = blocks_of([_line("All details stand in the messages above, and are what is approved.")])
    buttons = [_button("approve", "Approve", value, "primary"), _button("reject", "Reject", value, "danger")]
    if card.editable:
        buttons.append(_button("edit", "Edit…", value))
    terms = linked("\n".join([asked, *_terms(card)]), _ITALIC)
    votes = [Run(f"\n{_count(card)}")] if card.quorum > 1 else []
    blocks = [
        {"type": "header", "text": _plain_text(title, 150)},
        *details,
        *blocks_of([Part("section", [*terms, *votes])]),
        {"type": "actions", "block_id": request_block_id(thread_id, card.step), "elements": buttons},
    ]
    return [*before, Post(plain(title, FALLBACK_CHARS_MAX), blocks)]


def _terms(request: Card | Reminder) -> list[str]:
    """Who may decide it, and until when."""
    lines = []
    if request.group:
        names = _names(request.approvers) if isinstance(request, Card) else ""
        lines.append(f"May decide: {one_line(request.group, NAME_CHARS_MAX)}{f' ({names})' if names else ''}")
    if request.expires_at:
        lines.append(f"Expires at {request.expires_at:%Y-%m-%d %H:%M} UTC")
    return lines


def _names(people: Sequence[Person]) -> str:
    names = [one_line(person.name, NAME_CHARS_MAX) for person in people[:APPROVERS_MAX]]
    return ", ".join([*names, *(["and others"] if len(people) > APPROVERS_MAX else [])])


def _count(card: Card) -> str:
    return f"{len(card.votes)} of {card.quorum} approvals" + (f": {_given(card.votes)}" if card.votes else "")


def _given(votes: Iterable[Vote]) -> str:
    return ", ".join(f"{one_line(vote.name, NAME_CHARS_MAX)} at {vote.at:%H:%M} UTC" for vote in votes)


def _reminder(reminder: Reminder) -> list[Post]:
    intent, requester = one_line(reminder.intent, NAME_CHARS_MAX), one_line(reminder.requested_by, NAME_CHARS_MAX)
    title = f"⏰ {intent} still waits for approval"
    lines = [f"Asked for by {requester} at {reminder.requested_at:%H:%M} UTC", *_terms(reminder)]
    if reminder.widened:
        lines.append("More people may decide from now on.")
    (block,) = blocks_of([Part("section", [Run(title, _BOLD), *linked("\n" + "\n".join(lines))])])
    called: list[Block] = []
    for person in reminder.people[:CALLED_MAX]:
        user = _USER_ID.fullmatch(person.address)
        name = {"type": "text", "text": one_line(person.name, NAME_CHARS_MAX) or "(no name)"}
        called += [{"type": "text", "text": ", "}, {"type": "user", "user_id": user[0]} if user else name]
    if called:
        block["elements"][0]["elements"] += [{"type": "text", "text": "\n"}, *called[1:]]
    return [Post(plain(title, FALLBACK_CHARS_MAX), [block])]


def _settled(settled: Settled, thread_id: str) -> list[Post]:
    mark = {"approved": "✅", "rejected": "❌", "changed": "✏️"}.get(settled.outcome, "⏹")
    said = f"{mark} {settled.outcome}"
    if settled.by and settled.at and settled.outcome in ("approved", "rejected", "changed"):
        by = _given([Vote(settled.by.name, settled.at)])
        if settled.standing:
            said += f" by the standing approval of {by}"
        elif settled.outcome == "approved" and settled.votes:
            said += f" by {_given(settled.votes)}"
        else:
            said += f" by {by}"
    elif settled.outcome != "approved":
        said += ": nothing is run"
    if settled.comment:
        said += f" — {settled.comment}"
    votes = settled.votes if settled.outcome != "approved" else ()
    # Without a receipt no card went out, so there is nothing above.
    where = "stand in the messages above" if settled.receipt else f"are long: see `bot show {thread_id}`"
    elsewhere = [_line(f"The details {where}.")]
    try:
        details = _details(settled)
        details = elsewhere if _is_long(details) else details
    except TooLongToShow:
        details = elsewhere
    title = _bold(one_line(settled.intent, NAME_CHARS_MAX))
    before = blocks_of([_line(f"Approved so far by {_given(votes)}")]) if votes else []
    blocks = [*blocks_of([title]), *blocks_of(details), *before, *blocks_of([_line(said)])]
    return [Post(plain(f"{settled.intent}: {said}", FALLBACK_CHARS_MAX), _one_message(blocks, thread_id))]


def reject_modal(value: ButtonValue) -> Block:
    """Asks why. `value` comes back with what was typed."""
    reason = {"type": "plain_text_input", "action_id": "text", "multiline": True, "max_length": TYPED_CHARS_MAX}
    label = _plain_text("Why? The agent reads it and plans anew.", 150)
    return {
        "type": "modal",
        "callback_id": "reject",
        "private_metadata": value.write(),
        "title": _plain_text("Reject", 24),
        "submit": _plain_text("Reject", 24),
        "close": _plain_text("Back", 24),
        "blocks": [{"type": "input", "block_id": "reason", "optional": True, "label": label, "element": reason}],
    }


def edit_modal(value: ButtonValue, intent: str, arguments: Mapping[str, str]) -> Block:
    """An input for each argument, with what it says now. `value` comes back with what was typed.

    There must be one that fits: see `fits_modal`. The others are told by name.
    """
    blocks = [_argument(name, text) for name, text in arguments.items() if fits_modal(text)]
    if others := [name for name, text in arguments.items() if not fits_modal(text)]:
        blocks += blocks_of([_line(f"Too long to be changed here: {', '.join(others)}")])
    return {
        "type": "modal",
        "callback_id": "edit",
        "private_metadata": value.write(),
        "title": _plain_text(f"Edit {intent}", 24),
        "submit": _plain_text("Ask with this", 24),
        "close": _plain_text("Back", 24),
        "blocks": blocks,
    }


def fits_modal(text: str) -> bool:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 <= TYPED_CHARS_MAX


def _argument(name: str, text: str) -> Block:
    element = {"type": "plain_text_input", "action_id": "text", "max_length": TYPED_CHARS_MAX}
    element |= {"multiline": "\n" in text} | ({"initial_value": text} if text else {})
    return {
        "type": "input",
        "block_id": f"{ARGUMENT}{name}",
        "optional": not text,
        "label": _plain_text(name, 150),
        "element": element,
    }


# Questions


def _question(question: Question, thread_id: str) -> list[Post]:
    mark = {"high": "🔴 Urgent: ", "medium": "", "low": ""}[question.urgency]
    parts = [_bold(f"{mark}{question.question}")]
    if question.context:
        parts.append(_line(question.context))
    choices = ("yes", "no") if question.format == "yes_no" else question.choices
    actions: list[Block] = []
    as_buttons = True
    if question.format != "free_text" and choices:
        as_buttons = len(choices) <= BUTTONS_MAX and all(len(visible(c)) <= BUTTON_CHARS_MAX for c in choices)
        if not as_buttons:
            # In full here: a select shows only their beginnings.
            parts += [Part("item", _runs(choice), number=n) for n, choice in enumerate(choices, 1)]
        if as_buttons:
            actions = [_choice(question, thread_id, n, choice) for n, choice in enumerate(choices)]
        elif len(choices) <= OPTIONS_MAX:
            actions = [_select(choices)]
    parts.append(_line("Or reply here in your own words." if actions else "Reply here in this thread."))
    messages = packed(blocks_of(parts))
    if actions:
        block_id = question_block_id(thread_id, question.step)
        if not as_buttons:
            messages.append([])  # a select may be half as large as a message can be
        messages[-1].append({"type": "actions", "block_id": block_id, "elements": actions})
    return _posts(f"{mark}{question.question}", messages)


def _runs(text: str) -> list[Run]:
    return linked(visible(text)) or [Run("(empty)")]


def _choice(question: Question, thread_id: str, number: int, choice: str) -> Block:
    name = choice if question.format == "yes_no" else str(number)
    value = ButtonValue(thread_id, question.step)
    value = replace(value, answer=choice) if choice.strip() else replace(value, number=number)
    return _button(f"answer:{name}", choice, value)


def _select(choices: Iterable[str]) -> Block:
    options = [
        {"text": _plain_text(f"{n}. {choice}", BUTTON_CHARS_MAX), "value": str(n - 1)}
        for n, choice in enumerate(choices, 1)
    ]
    return {
        "type": "static_select",
        "action_id": "answer",
        "placeholder": _plain_text("Choose one", 75),
        "options": options,
    }


def _answered(answered: Answered, thread_id: str) -> list[Post]:
    said = f"answered by {answered.by}: {answered.answer}" if answered.by else "no answer is needed any more"
    parts = [_bold(answered.question), _line(f"✔ {said}")]
    if len(packed(blocks_of(parts))) > 1:
        # The answer needs the room more; what the question has in messages before this one stays there.
        parts[0] = _bold(one_line(answered.question, FALLBACK_CHARS_MAX))
    return _posts(said, [_one_message(blocks_of(parts), thread_id)])


# Progress


def _progress(progress: Progress) -> list[Post]:
    mark = {"under_way": "⏳", "done": "✅", "failed": "❌", "stopped": "⏹"}[progress.state]
    said = f"{mark} {one_line(progress.what, 300)}: {progress.state.replace('_', ' ')}"
    if progress.error:
        said += f", {one_line(progress.error, 300)}"
    return _posts(said, packed(blocks_of([_line(said)])))


# Small parts


def _one_message(blocks: list[Block], thread_id: str) -> list[Block]:
    """Of these blocks what fits; where that is not all, it says so."""
    message, *others = packed(blocks)
    if others:
        rest = blocks_of([_line(f"This goes on: see `bot show {thread_id}` for all of it.")])
        while sum(map(weight, [*message, *rest])) > MESSAGE_WEIGHT_MAX:
            message.pop()
        message += rest
    return message


def _is_long(details: list[Part]) -> bool:
    lines = sum(run.text.count("\n") for part in details for run in part.runs)
    return lines >= DETAILS_LINES_MAX or sum(map(weight, blocks_of(details))) > DETAILS_WEIGHT_MAX


def _details(request: Card | Settled) -> list[Part]:
    """The arguments, then what was found out: a line each, or a box. Raises TooLongToShow."""
    names = {"tool": request.intent, "asked for by": request.requested_by}
    clipped: dict[str, JsonValue] = {
        name: text for name, text in names.items() if one_line(text, NAME_CHARS_MAX) != text
    }
    parts: list[Part] = []
    for data in (clipped, request.arguments, request.facts):
        for line in _fields(data):
            if isinstance(line, Part) or not parts or parts[-1].kind != "section":
                parts.append(line if isinstance(line, Part) else Part("section", line))
            else:
                parts[-1].runs.extend([Run("\n"), *line])
    return parts


def _fields(data: Mapping[str, JsonValue], prefix: str = "", depth: int = 0) -> Iterator[list[Run] | Part]:
    """The lines of these values, each with its path as the name."""
    for key, value in data.items():
        name = prefix + (key if _PLAIN_NAME.fullmatch(visible(key)) else _json(key))
        match value:
            case dict() if value and depth < NESTING_MAX:
                yield from _fields(value, f"{name}.", depth + 1)
            case list() if value and all(isinstance(item, str) for item in value):
                yield [Run(f"{name}:", _BOLD)]
                for item in value:
                    yield from _value([Run("• ")], item)
            case _:
                yield from _value([Run(f"{name}: ", _BOLD)], value)


def _value(label: list[Run], value: JsonValue) -> Iterator[list[Run] | Part]:
    if not isinstance(value, str) or not value.strip():
        yield [*label, Run(_json(value), _CODE)]
        return
    text = visible(value)
    if "\n" in text:
        yield label
        yield Part("code", [Run(text)])
    elif is_safe(text) and text.lower().startswith("http"):
        yield [*label, Run(text, url=text)]
    else:
        yield [*label, *linked(text)]


def _json(value: JsonValue) -> str:
    try:
        return visible(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        raise TooLongToShow("it is nested too deeply") from None


def _button(action: str, text: str, carries: ButtonValue, style: str = "") -> Block:
    value = carries.write()
    assert len(value) <= VALUE_CHARS_MAX, "ids are short, and so are the choices on buttons"
    button: Block = {
        "type": "button",
        "action_id": action,
        "text": _plain_text(text, BUTTON_CHARS_MAX),
        "value": value,
    }
    return button | ({"style": style} if style else {})


def _plain_text(text: str, chars_max: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": one_line(text, chars_max) or "(empty)", "emoji": False}
