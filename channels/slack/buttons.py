"""What a button carries: which request or question it answers, so that a click is judged by that alone. Pure.

This module alone writes and reads it, in a button's value, in a select's block id and in the private metadata of a
form. Buttons stand in Slack for as long as their messages do, so what is read never changes. Who clicked is not in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

BLOCK_ID_CHARS_MAX = 255


@dataclass(frozen=True, slots=True)
class ButtonValue:
    thread_id: str
    step: str
    digest: str = ""
    """The beginning of the request's digest; empty: it is a question's."""
    answer: str | None = None
    number: int | None = None
    """Of the choice, from 0, where its words do not fit, or come otherwise."""
    channel: str | None = None
    """Where a form was opened, to answer the person there: its submission does not say it."""
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
        """None: it is none of ours."""
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
    """Of the block with a question's choices: a select's option holds its number, and nothing else."""
    return f"{thread_id}/{step}/answer"[:BLOCK_ID_CHARS_MAX]


def request_block_id(thread_id: str, step: str) -> str:
    """Of the block with a request's buttons; nobody reads it."""
    return f"{thread_id}/{step}/decide"[:BLOCK_ID_CHARS_MAX]


def chosen_in(block_id: str, number: int | None) -> ButtonValue | None:
    """A choice of a select in that block. None: the block is none of ours."""
    thread_id, _, step = block_id.removesuffix("/answer").partition("/")
    return ButtonValue(thread_id, step, number=number) if thread_id and step else None
