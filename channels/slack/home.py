"""Renders the App Home of a person: what waits for them, with its buttons, their own threads, and recent ones. Pure.

A request is shown as on its card, in full and with the same buttons, or without any. `bot.desks.slack` chooses what a
person may see; this module never reads the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from channels.messages import NEW, Approval, Question
from channels.slack.blocks import TooLongToShow, bold, button, line
from channels.slack.buttons import ButtonValue, question_block_id
from channels.slack.cards import approval
from channels.slack.layout import Block, Part, Run, blocks_of, packed
from channels.slack.posts import choices_of, question_parts
from channels.slack.text import is_safe
from store.text import instant, one_line

TITLE_CHARS_MAX = 120
STATUS_CHARS_MAX = 100
NAME_CHARS_MAX = 60
NOTICE_CHARS_MAX = 2_000
ITEMS_MAX = 20
"""Items per list: with the longest links, three lists stay within a view's 250,000 bytes and 100 blocks."""
IN_FULL_MAX = 5
"""Requests and questions that are shown with their buttons. Each takes at most IN_FULL_BLOCKS_MAX blocks."""
IN_FULL_BLOCKS_MAX = 12


@dataclass(frozen=True, slots=True)
class HomeItem:
    """One thread."""

    thread_id: str
    title: str
    status: str
    link: str
    """URL of the thread in Slack; may be empty."""
    at: datetime
    """The time of its newest event."""
    requested_by: str = ""
    asks: Approval | Question | None = None
    """What waits there for this person's decision or answer."""


@dataclass(frozen=True, slots=True)
class Home:
    waiting: tuple[HomeItem, ...]
    asked: tuple[HomeItem, ...]
    recent: tuple[HomeItem, ...]
    more: bool = False
    """There are threads left out."""


def home_view(home: Home, notice: str = "") -> Block:
    """For views.publish. `notice`: what came of the person's last click here."""
    said = blocks_of([bold(one_line(notice, NOTICE_CHARS_MAX))]) if notice else []
    if not (home.waiting or home.asked or home.recent):
        empty = "Nothing is going on yet. Mention me in a channel, or write to me under Messages: what runs on staging?"
        return {"type": "home", "blocks": [*said, *blocks_of([Part("section", [Run(empty)])])]}
    blocks = [
        *said,
        _header("Waiting for you"),
        *_waiting(home.waiting[:ITEMS_MAX]),
        _header("Requested by you"),
        *_list(home.asked, "You have requested nothing lately."),
        _header("Recent threads"),
        *_list(home.recent, "Nothing else is going on."),
    ]
    if home.more or any(len(items) > ITEMS_MAX for items in (home.waiting, home.asked, home.recent)):
        blocks += blocks_of([Part("section", [Run("There are more: these are the newest of each.")])])
    return {"type": "home", "blocks": blocks}


def notice_view(notice: str) -> Block:
    """The page without its lists, while they cannot be read."""
    said = one_line(notice, NOTICE_CHARS_MAX)
    return {"type": "home", "blocks": blocks_of([bold(said), line("Open this page again to see what is waiting.")])}


def _header(title: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}


def _waiting(items: Sequence[HomeItem]) -> list[Block]:
    """What can be decided or answered here first, then the others."""
    in_full: list[Block] = []
    others: list[HomeItem] = []
    shown = 0
    for item in items:
        blocks = _in_full(item) if shown < IN_FULL_MAX else []
        in_full += blocks
        shown += bool(blocks)
        if not blocks:
            others.append(item)
    return [*in_full, *(_list(others, "Nothing is waiting for you.") if others or not in_full else [])]


def _in_full(item: HomeItem) -> list[Block]:
    """The item with all that its buttons are about; empty: it has none, or it is too long for this page."""
    match item.asks:
        case None:
            return []
        case Approval():
            try:
                posts = approval(item.asks, item.thread_id, NEW)
            except TooLongToShow:
                return []
            asked = posts[0].blocks if len(posts) == 1 else []
        case Question():
            asked = _question(item.asks, item.thread_id)
        case _:
            assert_never(item.asks)
    blocks = [*blocks_of([Part("item", _item(item))]), *asked, {"type": "divider"}]
    return blocks if asked and len(blocks) <= IN_FULL_BLOCKS_MAX else []


def _question(question: Question, thread_id: str) -> list[Block]:
    messages = packed(blocks_of([*question_parts(question), line("Your answer goes to the thread.")]))
    if len(messages) > 1:
        return []
    in_words = button("words", "Answer in words…", ButtonValue(thread_id, question.step))
    elements = [*choices_of(question, thread_id), in_words]
    block_id = question_block_id(thread_id, question.step)
    return [*messages[0], {"type": "actions", "block_id": block_id, "elements": elements}]


def _list(items: Sequence[HomeItem], otherwise: str) -> list[Block]:
    return blocks_of([Part("item", _item(item)) for item in items[:ITEMS_MAX]] or [Part("section", [Run(otherwise)])])


def _item(item: HomeItem) -> list[Run]:
    title = one_line(item.title, TITLE_CHARS_MAX) or item.thread_id or "(no title)"
    by = f", requested by {one_line(item.requested_by, NAME_CHARS_MAX)}" if item.requested_by else ""
    link = Run(title, url=item.link) if is_safe(item.link) else Run(title)
    return [link, Run(f": {one_line(item.status, STATUS_CHARS_MAX)}{by}, {instant(item.at)}")]
