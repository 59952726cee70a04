"""The building blocks of posts, cards, forms and questions in Slack. Pure.

All text by a person, a model or a tool goes into rich text, which Slack does not parse for markup, or into a button's
plain text. Nothing is cut silently: a shortened message says where to find the rest. This module does not choose what a
message says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from channels.messages import CALLED_MAX
from channels.slack.buttons import HELPFUL, UNHELPFUL, ButtonValue
from channels.slack.layout import MESSAGE_WEIGHT_MAX, Block, Part, Run, Style, blocks_of, packed, weight
from channels.slack.text import linked, plain
from store.text import one_line, visible
from store.values import Person

FALLBACK_CHARS_MAX = 500
"""Limit of a post's `text`, which notifications show."""
NAME_CHARS_MAX = 100
"""Limit of a name in a headline. A longer name is also among the details, in full."""
BUTTON_CHARS_MAX = 75
VALUE_CHARS_MAX = 2_000

BOLD: frozenset[Style] = frozenset({"bold"})
CODE: frozenset[Style] = frozenset({"code"})
ITALIC: frozenset[Style] = frozenset({"italic"})

_USER_ID = re.compile(r"[UW][A-Z0-9]{2,30}")


class TooLongToShow(ValueError):
    """The content needs more than POSTS_MAX messages, or is nested too deeply."""


@dataclass(frozen=True, slots=True)
class Post:
    """One Slack message."""

    text: str
    """Escaped, for notifications and screen readers. The blocks hold the full content."""
    blocks: list[Block]
    file: str = ""
    """The content of the file that this post shares; it says nothing else. See `channels.slack.files`."""


def posts(text: str, messages: Iterable[list[Block]]) -> list[Post]:
    fallback = plain(text, FALLBACK_CHARS_MAX) or "(nothing)"
    return [Post(fallback, blocks) for blocks in messages]


def bold(text: str) -> Part:
    return Part("section", [Run(visible(text).strip() or "(empty)", BOLD)])


def line(text: str, *runs: Run) -> Part:
    return Part("section", [*linked(visible(text)), *runs])


def mention(person: Person | None) -> Run | None:
    """None: nobody has verified that they have a Slack id."""
    is_known = person and person.trust == "verified" and _USER_ID.fullmatch(person.address)
    return Run(person.address, mentions=True) if person and is_known else None


def called_people(people: Sequence[Person]) -> list[Run]:
    """People whom the program itself names: by a mention, or by name if they have no Slack id."""
    runs: list[Run] = []
    for person in people[:CALLED_MAX]:
        has_id = bool(_USER_ID.fullmatch(person.address))
        who = Run(person.address, mentions=True) if has_id else Run(named(person.name) or "(no name)")
        runs += [*([Run(", ")] if runs else []), who]
    return runs


def named(name: str) -> str:
    """The name on one line, clipped."""
    return one_line(name, NAME_CHARS_MAX)


def one_message(blocks: list[Block], thread_id: str) -> list[Block]:
    """The blocks that fit into one message, with a note if that is not all of them."""
    message, *others = packed(blocks)
    if others:
        rest = blocks_of([line(f"Shortened: `bot show {thread_id}` prints all of it.")])
        while sum(map(weight, [*message, *rest])) > MESSAGE_WEIGHT_MAX:
            message.pop()
        message += rest
    return message


def button(action: str, text: str, carries: ButtonValue, style: str = "") -> Block:
    value = carries.write()
    assert len(value) <= VALUE_CHARS_MAX, "ids are short, and so are the choices on buttons"
    button: Block = {
        "type": "button",
        "action_id": action,
        "text": plain_text(text, BUTTON_CHARS_MAX),
        "value": value,
    }
    return button | ({"style": style} if style else {})


def feedback_buttons(thread_id: str, step: str) -> Block:
    """Asks whether the message of this step helped."""
    faces = {
        "positive_button": ("👍", "This helped", HELPFUL),
        "negative_button": ("👎", "This did not help", UNHELPFUL),
    }
    buttons = {
        name: {
            "text": plain_text(face, BUTTON_CHARS_MAX),
            "accessibility_label": label,
            "value": ButtonValue(thread_id, step, answer=answer).write(),
        }
        for name, (face, label, answer) in faces.items()
    }
    element = {"type": "feedback_buttons", "action_id": "feedback", **buttons}
    return {"type": "context_actions", "elements": [element]}


def plain_text(text: str, chars_max: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": one_line(text, chars_max) or "(empty)", "emoji": False}
