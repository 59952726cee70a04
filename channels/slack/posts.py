"""Renders `channels.messages` as Slack posts. Pure; it sends nothing.

Requests for approval are rendered in `channels.slack.cards`. A message that replaces another must be a single post, so
it is shortened if necessary, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from channels.messages import (
    NEW,
    Answered,
    Approval,
    Dropped,
    Notice,
    Outgoing,
    Progress,
    Question,
    Text,
    Unanswered,
    Way,
)
from channels.slack.blocks import (
    BUTTON_CHARS_MAX,
    FALLBACK_CHARS_MAX,
    Post,
    TooLongToShow,
    bold,
    button,
    called_people,
    line,
    one_message,
    plain_text,
    posts,
)
from channels.slack.buttons import ButtonValue, question_block_id
from channels.slack.cards import approval
from channels.slack.layout import Block, Part, Run, blocks_of, packed
from channels.slack.markdown import messages_of
from channels.slack.text import linked, rich
from store.text import one_line, visible

POSTS_MAX = 20
BUTTONS_MAX = 5
OPTIONS_MAX = 100


def posts_of(message: Outgoing, thread_id: str, way: Way = NEW) -> list[Post]:
    """The posts in order. Buttons are in the last one.

    Messages that replace others (outcomes, closed questions, progress) are always one post. The rest may raise
    TooLongToShow.
    """
    match message:
        case Text(text):
            made = posts(text, messages_of(text) or [rich("(nothing)")])
        case Notice(text):
            made = posts(text, packed(rich(f"ℹ️ {text}")))
        case Approval():
            made = approval(message, thread_id, way)
        case Question():
            made = _question(message, thread_id)
        case Progress():
            made = _progress(message)
        case _:
            assert_never(message)
    if len(made) > POSTS_MAX:
        raise TooLongToShow(f"it takes {len(made)} messages; the limit is {POSTS_MAX}")
    return made


def _question(question: Question, thread_id: str) -> list[Post]:
    match question.state:
        case Unanswered():
            return _asked(question, thread_id)
        case Answered(by, answer):
            return _closed(question, f"answered by {by}: {answer}", thread_id)
        case Dropped():
            return _closed(question, "no longer needs an answer", thread_id)
    assert_never(question.state)


def _asked(question: Question, thread_id: str) -> list[Post]:
    mark = {"high": "🔴 Urgent: ", "medium": "", "low": ""}[question.urgency]
    parts = [bold(f"{mark}{question.question}")]
    if question.context:
        parts.append(line(question.context))
    if question.calls:
        parts.append(Part("section", called_people(question.calls)))
    # A free-text question has no buttons, because any reply answers it.
    choices = question.offers if question.format != "free_text" else ()
    actions: list[Block] = []
    as_buttons = True
    if choices:
        as_buttons = len(choices) <= BUTTONS_MAX and all(len(visible(c)) <= BUTTON_CHARS_MAX for c in choices)
        if not as_buttons:
            # In full here, because a select clips its options.
            parts += [Part("item", _runs(choice), number=n) for n, choice in enumerate(choices, 1)]
        if as_buttons:
            actions = [_choice(question, thread_id, n, choice) for n, choice in enumerate(choices)]
        elif len(choices) <= OPTIONS_MAX:
            actions = [_select(choices)]
    parts.append(line("Or reply here in your own words." if actions else "Reply here in this thread."))
    messages = packed(blocks_of(parts))
    if actions:
        block_id = question_block_id(thread_id, question.step)
        if not as_buttons:
            messages.append([])  # a select may fill half a message
        messages[-1].append({"type": "actions", "block_id": block_id, "elements": actions})
    return posts(f"{mark}{question.question}", messages)


def _runs(text: str) -> list[Run]:
    return linked(visible(text)) or [Run("(empty)")]


def _choice(question: Question, thread_id: str, number: int, choice: str) -> Block:
    name = str(number) if question.choices else choice
    value = ButtonValue(thread_id, question.step)
    value = replace(value, answer=choice) if choice.strip() else replace(value, number=number)
    return button(f"answer:{name}", choice, value)


def _select(choices: Iterable[str]) -> Block:
    options = [
        {"text": plain_text(f"{n}. {choice}", BUTTON_CHARS_MAX), "value": str(n - 1)}
        for n, choice in enumerate(choices, 1)
    ]
    return {
        "type": "static_select",
        "action_id": "answer",
        "placeholder": plain_text("Choose one", 75),
        "options": options,
    }


def _closed(question: Question, said: str, thread_id: str) -> list[Post]:
    parts = [bold(question.question), line(f"✔ {said}")]
    if len(packed(blocks_of(parts))) > 1:
        # Shorten the question to make room for the answer. Earlier posts still show the question in full.
        parts[0] = bold(one_line(question.question, FALLBACK_CHARS_MAX))
    return posts(said, [one_message(blocks_of(parts), thread_id)])


def _progress(progress: Progress) -> list[Post]:
    mark = {"under_way": "⏳", "done": "✅", "failed": "❌", "stopped": "⏹"}[progress.state]
    said = f"{mark} {one_line(progress.what, 300)}: {progress.state.replace('_', ' ')}"
    if progress.error:
        said += f", {one_line(progress.error, 300)}"
    return posts(said, packed(blocks_of([line(said)])))
