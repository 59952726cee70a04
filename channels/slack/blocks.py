"""The small parts that posts, cards, forms and questions are made of in Slack. Pure.

Every text of a person, a model or a tool goes into rich text, where Slack reads no markup, or into a button's plain
text. Nothing is cut in silence: what has to stay one message says where its rest is. What a message says is not decided
here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from channels.slack.buttons import ButtonValue
from channels.slack.layout import MESSAGE_WEIGHT_MAX, Block, Part, Run, Style, blocks_of, packed, weight
from channels.slack.text import linked, plain
from store.text import one_line, visible

FALLBACK_CHARS_MAX = 500
"""Of the text beside the blocks, for notifications."""
NAME_CHARS_MAX = 100
"""Of a tool and of who asked, in a headline; a longer one is among the details, in full."""
BUTTON_CHARS_MAX = 75
VALUE_CHARS_MAX = 2_000

BOLD: frozenset[Style] = frozenset({"bold"})
CODE: frozenset[Style] = frozenset({"code"})
ITALIC: frozenset[Style] = frozenset({"italic"})


class TooLongToShow(ValueError):
    """It would take more than POSTS_MAX messages to show all of it, or it is nested too deeply for that."""


@dataclass(frozen=True, slots=True)
class Post:
    """One Slack message."""

    text: str
    """Escaped; for notifications and screen readers. The blocks hold everything."""
    blocks: list[Block]


def posts(text: str, messages: Iterable[list[Block]]) -> list[Post]:
    fallback = plain(text, FALLBACK_CHARS_MAX) or "(nothing)"
    return [Post(fallback, blocks) for blocks in messages]


def bold(text: str) -> Part:
    return Part("section", [Run(visible(text).strip() or "(empty)", BOLD)])


def line(text: str, *runs: Run) -> Part:
    return Part("section", [*linked(visible(text)), *runs])


def named(name: str) -> str:
    """A name on one line, clipped."""
    return one_line(name, NAME_CHARS_MAX)


def one_message(blocks: list[Block], thread_id: str) -> list[Block]:
    """Of these blocks what fits; where that is not all, it says so."""
    message, *others = packed(blocks)
    if others:
        rest = blocks_of([line(f"This goes on: see `bot show {thread_id}` for all of it.")])
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


def plain_text(text: str, chars_max: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": one_line(text, chars_max) or "(empty)", "emoji": False}
