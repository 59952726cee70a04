"""The modals that a click opens: for the reason of a rejection, for changes to the call, for an answer in words. Pure.

A submission brings back the button's value (`channels.slack.buttons`) in the modal's private metadata. This module
decides nothing; `channels.slack.clicking` handles submissions.
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.slack.blocks import line, plain_text
from channels.slack.buttons import ButtonValue
from channels.slack.clicks import ARGUMENT
from channels.slack.layout import Block, blocks_of

TYPED_CHARS_MAX = 3_000
"""Slack's limit for an input of a modal."""


def reject_modal(value: ButtonValue) -> Block:
    """Asks for the reason. The submission brings back `value`."""
    label = "Reason. The agent reads it before it plans again."
    return _text_modal("reject", "Reject", value, "reason", label, optional=True)


def answer_modal(value: ButtonValue) -> Block:
    """Asks for the answer to a question. The submission brings back `value`."""
    return _text_modal("answer", "Answer", value, "answer", "Your answer. It goes to the thread.", optional=False)


def _text_modal(
    callback_id: str, title: str, value: ButtonValue, block_id: str, label: str, *, optional: bool
) -> Block:
    typed = {"type": "plain_text_input", "action_id": "text", "multiline": True, "max_length": TYPED_CHARS_MAX}
    block = {"type": "input", "block_id": block_id, "optional": optional, "label": plain_text(label, 150)}
    return {
        "type": "modal",
        "callback_id": callback_id,
        "private_metadata": value.write(),
        "title": plain_text(title, 24),
        "submit": plain_text(title, 24),
        "close": plain_text("Back", 24),
        "blocks": [block | {"element": typed}],
    }


def edit_modal(value: ButtonValue, intent: str, arguments: Mapping[str, str]) -> Block:
    """An input for each argument, filled with its current value. The submission brings back `value`.

    At least one argument must fit (see `fits_modal`). The others are listed by name.
    """
    blocks = [_argument(name, text) for name, text in arguments.items() if fits_modal(text)]
    if others := [name for name, text in arguments.items() if not fits_modal(text)]:
        blocks += blocks_of([line(f"Too long to edit here: {', '.join(others)}")])
    return {
        "type": "modal",
        "callback_id": "edit",
        "private_metadata": value.write(),
        "title": plain_text(f"Edit {intent}", 24),
        "submit": plain_text("Request with changes", 24),
        "close": plain_text("Back", 24),
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
        "label": plain_text(name, 150),
        "element": element,
    }
