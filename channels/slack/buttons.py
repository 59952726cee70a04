"""The value of a button: the request or question that it answers, which is all that a click is judged by. Pure.

Only this module encodes and decodes it, in a button's value, a select's block id and a modal's private metadata.
Buttons live as long as their messages, so old values must stay readable. A value never says who clicked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

BLOCK_ID_CHARS_MAX = 255
HELPFUL, UNHELPFUL = "helpful", "unhelpful"
"""The answers of feedback buttons."""


@dataclass(frozen=True, slots=True)
class ButtonValue:
    thread_id: str
    step: str
    digest: str = ""
    """The beginning of the request's digest; empty: the button answers a question."""
    answer: str | None = None
    number: int | None = None
    """The index of the choice, if its text is not in `answer`."""
    channel: str | None = None
    """The channel in which a modal was opened; Slack does not include it in the submission."""
    thread: str | None = None

    def write(self) -> str:
        fields = {
            "t": self.thread_id,
            "s": self.step,
            "d": self.digest or None,
            "a": self.answer,
            "n": self.number,
            "c": self.channel,
            "p": self.thread,
        }
        return json.dumps({key: value for key, value in fields.items() if value is not None}, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> ButtonValue | None:
        """None: the value is not ours."""
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict):
            return None
        thread_id, step, digest, answer, channel, thread = (
            value if isinstance(value := fields.get(key), str) else None for key in ("t", "s", "d", "a", "c", "p")
        )
        number = value if isinstance(value := fields.get("n"), int) else None
        return cls(thread_id, step, digest or "", answer, number, channel, thread) if thread_id and step else None


def question_block_id(thread_id: str, step: str) -> str:
    """The id of the block with a question's choices, because a select's option holds only a number."""
    return f"{thread_id}/{step}/answer"[:BLOCK_ID_CHARS_MAX]


def request_block_id(thread_id: str, step: str) -> str:
    """The id of the block with a request's buttons. It is never parsed."""
    return f"{thread_id}/{step}/decide"[:BLOCK_ID_CHARS_MAX]


def chosen_in(block_id: str, number: int | None) -> ButtonValue | None:
    """The value of a choice in a select. None: the block is not ours."""
    thread_id, _, step = block_id.removesuffix("/answer").partition("/")
    return ButtonValue(thread_id, step, number=number) if thread_id and step else None
