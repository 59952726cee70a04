"""Renders the App Home of a person: requests that wait for them, their own threads, and recent ones. Pure.

`bot.desks.slack` chooses the threads; this module never reads the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from channels.slack.layout import Block, Part, Run, blocks_of
from channels.slack.text import is_safe
from store.text import instant, one_line

TITLE_CHARS_MAX = 120
STATUS_CHARS_MAX = 100
NAME_CHARS_MAX = 60
ITEMS_MAX = 20
"""Items per list: with the longest links, three lists stay within a view's 250,000 bytes and 100 blocks."""


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


@dataclass(frozen=True, slots=True)
class Home:
    waiting: tuple[HomeItem, ...]
    asked: tuple[HomeItem, ...]
    recent: tuple[HomeItem, ...]
    more: bool = False
    """There are threads left out."""


def home_view(home: Home) -> Block:
    """For views.publish."""
    if not (home.waiting or home.asked or home.recent):
        empty = "Nothing is going on yet. Mention me in a channel, or write to me under Messages: what runs on staging?"
        return {"type": "home", "blocks": blocks_of([Part("section", [Run(empty)])])}
    blocks = [
        *_list("Waiting for you", home.waiting, "Nothing is waiting for you."),
        *_list("Requested by you", home.asked, "You have requested nothing lately."),
        *_list("Recent threads", home.recent, "Nothing else is going on."),
    ]
    if home.more or any(len(items) > ITEMS_MAX for items in (home.waiting, home.asked, home.recent)):
        blocks += blocks_of([Part("section", [Run("There are more: these are the newest of each.")])])
    return {"type": "home", "blocks": blocks}


def _list(title: str, items: tuple[HomeItem, ...], otherwise: str) -> list[Block]:
    header = {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    parts = [Part("item", _item(item)) for item in items[:ITEMS_MAX]] or [Part("section", [Run(otherwise)])]
    return [header, *blocks_of(parts)]


def _item(item: HomeItem) -> list[Run]:
    title = one_line(item.title, TITLE_CHARS_MAX) or item.thread_id or "(no title)"
    by = f", requested by {one_line(item.requested_by, NAME_CHARS_MAX)}" if item.requested_by else ""
    link = Run(title, url=item.link) if is_safe(item.link) else Run(title)
    return [link, Run(f": {one_line(item.status, STATUS_CHARS_MAX)}{by}, {instant(item.at)}")]
