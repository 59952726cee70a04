"""Reads what was said in a Slack thread before a message: the first message, and the newest of the others.

Slack pages a thread from its oldest reply, so all pages are read and only the newest messages are kept. What is not
kept is counted, for whoever reads the rest. Our own messages are left out: the log has them, or they are of another
thread of ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.events import TALK, Installation, Payload, text_in

PAGE = 1_000
"""The most that Slack returns."""
PAGES_MAX = 20
HISTORY_MAX = 30
"""Messages that are kept besides the first one, the newest."""

SHOWN = TALK | {"bot_message"}
"""The subtypes of messages that say something: joins and other notices do not."""


@dataclass(frozen=True, slots=True)
class History:
    messages: tuple[Payload, ...] = ()
    """As Slack returns them, oldest first. The first message of the thread is always there if it is in the range."""
    left_out: str = ""
    """What was not kept, in words; empty: nothing."""


@dataclass
class _Kept:
    first: Payload | None = None
    newest: deque[Payload] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    count: int = 0
    """Of those after the first one."""


async def read_history(
    client: AsyncWebClient,
    me: Installation,
    *,
    channel: str,
    thread: str,
    before: str,
    after: str = "",
    wanted: Callable[[Payload], bool] = lambda message: True,
) -> History:
    """The messages of the thread before the one with the ts `before`, and after the ts `after` if that is given.

    Raises SlackApiError, SlackClientError, aiohttp.ClientError, TimeoutError, OSError.
    """
    kept, cursor, whole = _Kept(), None, False
    for _ in range(PAGES_MAX):
        page: Any = await client.conversations_replies(
            channel=channel,
            ts=thread,
            latest=before,
            oldest=after or None,
            limit=PAGE,
            cursor=cursor,
        )
        for message in page["messages"]:
            if _says_something(message, me) and after < text_in(message, "ts") < before and wanted(message):
                _keep(kept, message, thread)
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            whole = True
            break
    messages = (*([kept.first] if kept.first else []), *kept.newest)
    return History(messages, _left_out(kept, whole=whole, after=after))


def _says_something(message: object, me: Installation) -> TypeGuard[Payload]:
    if not isinstance(message, Mapping) or text_in(message, "user") == me.user:
        return False
    return text_in(message, "subtype") in SHOWN


def _keep(kept: _Kept, message: Payload, thread: str) -> None:
    if text_in(message, "ts") == thread:
        kept.first = message
    else:
        kept.newest.append(message)
        kept.count += 1


def _left_out(kept: _Kept, *, whole: bool, after: str) -> str:
    missing = kept.count - len(kept.newest)
    said = []
    if missing:
        where = "since then" if after else "after the first one of this thread"
        said.append(f"{missing:,} messages {where}, before the newest {len(kept.newest)}")
    if not whole:
        said.append("the end of a very long thread")
    return "; ".join(said)
