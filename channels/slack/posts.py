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
    Tasks,
    Text,
    Unanswered,
    Way,
)
from channels.plain import TASK_MARKS
from channels.slack.blocks import (
    BOLD,
    BUTTON_CHARS_MAX,
    FALLBACK_CHARS_MAX,
    Post,
    TooLongToShow,
    bold,
    button,
    called_people,
    feedback_buttons,
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
FILE_CHARS_MIN = 40_000
"""A longer text becomes a file, and so does one that takes more than POSTS_MAX messages."""
EXCERPT_CHARS_MAX = 3_000
TASK_CHARS_MAX = 200
_WAITS = {"waiting_for_approval": " (waits for approval)", "not_done": " (not done)"}
BUTTONS_MAX = 5
OPTIONS_MAX = 100


def posts_of(message: Outgoing, thread_id: str, way: Way = NEW) -> list[Post]:
    """The posts in order. Buttons are in the last one.

    Messages that replace others (outcomes, closed questions, progress) are always one post. The rest may raise
    TooLongToShow.
    """
    match message:
        case Text():
            return _text(message, thread_id)
        case Notice(text):
            made = posts(text, packed(rich(f"ℹ️ {text}")))
        case Approval():
            made = approval(message, thread_id, way)
        case Question():
            made = _question(message, thread_id)
        case Progress():
            made = _progress(message)
        case Tasks():
            made = _tasks(message, thread_id)
        case _:
            assert_never(message)
    if len(made) > POSTS_MAX:
        raise TooLongToShow(f"it takes {len(made)} messages; the limit is {POSTS_MAX}")
    return made


def _text(message: Text, thread_id: str) -> list[Post]:
    """All of it, or its beginning and a file with all of it."""
    text, file = message.text, []
    made = posts(text, messages_of(text) or [rich("(nothing)")]) if len(text) <= FILE_CHARS_MIN else []
    if not made or len(made) > POSTS_MAX:
        excerpt = text[: _paragraphs_end(text, EXCERPT_CHARS_MAX)].rstrip()
        made = posts(text, messages_of(excerpt) or [rich("(nothing)")])[:1]
        note = f"… This is the beginning. All {len(text):,} characters are in the file below."
        made[0].blocks.extend(blocks_of([line(note)]))
        file = [Post("", [], visible(text))]
    if message.step:
        made[-1].blocks.append(feedback_buttons(thread_id, message.step))
    return [*made, *file]


def _paragraphs_end(text: str, chars_max: int) -> int:
    """Where the last whole paragraph of the beginning ends, or else its last line."""
    ends = (text.rfind(mark, 1, chars_max) for mark in ("\n\n", "\n", " "))
    return next((end for end in ends if end > 0), chars_max)


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
    choices = choices_of(question, thread_id)
    or_words = [line("Or reply here in your own words." if choices else "Reply here in this thread.")]
    messages = packed(blocks_of([*question_parts(question), *(or_words if question.in_words else ())]))
    if choices:
        if not _fit_buttons(question):
            messages.append([])  # a select may fill half a message
        block_id = question_block_id(thread_id, question.step)
        messages[-1].append({"type": "actions", "block_id": block_id, "elements": choices})
    return posts(f"{_urgency(question)}{question.question}", messages)


def question_parts(question: Question) -> list[Part]:
    """The question, what one needs to know to answer it, and the choices that buttons do not show in full."""
    parts = [bold(f"{_urgency(question)}{question.question}")]
    if question.context:
        parts.append(line(question.context))
    if question.calls:
        parts.append(Part("section", called_people(question.calls)))
    if not _fit_buttons(question):
        # In full here, because a select clips its options.
        parts += [Part("item", _runs(choice), number=n) for n, choice in enumerate(_choices(question), 1)]
    return parts


def choices_of(question: Question, thread_id: str) -> list[Block]:
    """A button for each choice, or a select; empty: it is answered in words only."""
    choices = _choices(question)
    if _fit_buttons(question):
        return [_choice(question, thread_id, n, choice) for n, choice in enumerate(choices)]
    return [_select(choices)] if len(choices) <= OPTIONS_MAX else []


def _choices(question: Question) -> tuple[str, ...]:
    """A free-text question has none, because any reply answers it."""
    return question.offers if question.format != "free_text" else ()


def _fit_buttons(question: Question) -> bool:
    choices = _choices(question)
    return len(choices) <= BUTTONS_MAX and all(len(visible(choice)) <= BUTTON_CHARS_MAX for choice in choices)


def _urgency(question: Question) -> str:
    return "🔴 Urgent: " if question.is_urgent else ""


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


def _tasks(tasks: Tasks, thread_id: str) -> list[Post]:
    done = sum(task.state == "done" for task in tasks.tasks)
    heading = f"Tasks: {done} of {len(tasks.tasks)} done"
    lines = [
        f"\n{TASK_MARKS[task.state]} {one_line(task.title, TASK_CHARS_MAX)}{_WAITS.get(task.state, '')}"
        for task in tasks.tasks
    ]
    part = Part("section", [Run(heading, BOLD), *linked("".join(lines))])
    return posts(heading, [one_message(blocks_of([part]), thread_id)])


def _progress(progress: Progress) -> list[Post]:
    mark = {"under_way": "⏳", "done": "✅", "failed": "❌", "stopped": "⏹"}[progress.state]
    said = f"{mark} {one_line(progress.what, 300)}: {progress.state.replace('_', ' ')}"
    if progress.error:
        said += f", {one_line(progress.error, 300)}"
    return posts(said, packed(blocks_of([line(said)])))
