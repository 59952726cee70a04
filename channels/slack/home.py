"""App Home: what waits for a person, what they asked for, and what else goes on. Pure."""

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
"""Of each list: with the longest links, three of them are within a view's 250,000 bytes and 100 blocks."""


@dataclass(frozen=True, slots=True)
class HomeItem:
    """One thread."""

    thread_id: str
    title: str
    status: str
    link: str
    """To the thread in Slack; may be empty."""
    at: datetime
    """When it last moved."""
    requested_by: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    waiting: tuple[HomeItem, ...]
    asked: tuple[HomeItem, ...]
    recent: tuple[HomeItem, ...]
    more: int = 0
    """Threads that there was no room for."""


def home_view(home: Home) -> Block:
    """For views.publish."""
    if not (home.waiting or home.asked or home.recent):
        empty = "Nothing goes on yet. Mention me in a channel, or write to me under Messages: what runs on staging?"
        return {"type": "home", "blocks": blocks_of([Part("section", [Run(empty)])])}
    blocks = [
        *_list("Waits for you", home.waiting, "Nothing waits for you."),
        *_list("What you asked for", home.asked, "You asked for nothing lately."),
        *_list("Recent threads", home.recent, "Nothing else goes on."),
    ]
    more = home.more + sum(len(items[ITEMS_MAX:]) for items in (home.waiting, home.asked, home.recent))
    if more:
        blocks += blocks_of([Part("section", [Run(f"And {more} more.")])])
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
