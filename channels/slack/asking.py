"""The message shortcut "Ask deploybot about this", and the command `/deploybot`: what people do beside conversations.

The shortcut brings a message, and what was said in its thread, to the agent as a mention there would: its author is not
verified by that, and who chose the shortcut asks. The command answers whoever typed it, alone, with what they may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from slack_bolt.async_app import AsyncAck

from channels.inbound import Arrival, Inbox
from channels.slack.events import Ignored, Installation, Payload, text_in
from channels.slack.home import Home, HomeItem
from channels.slack.payloads import payload_of
from channels.slack.place import NAME, Address
from channels.slack.reading import MessageReader
from channels.slack.shortcuts import SHORTCUT_WORDS, AskedAbout, parse_shortcut
from channels.slack.text import escape, is_safe
from store.text import one_line
from store.values import Person

log = structlog.get_logger(__name__)

COMMAND_SECONDS_MAX = 2.5
"""Slack waits for 3 seconds."""
TITLE_CHARS_MAX = 120
HELP = (
    "Mention me in a channel, or write to me directly, and say what you need; I answer in that thread.\n"
    "• `/deploybot status`: what waits for you, and what has happened lately\n"
    "• `/deploybot mine`: what you asked for\n"
    f"• the shortcut “{SHORTCUT_WORDS}” on any message: I read it with its thread\n"
    "My Home tab shows what waits for you, to decide it there."
)
TOO_SLOW = "That takes longer than Slack waits. My Home tab shows the same."


class Desk(Protocol):
    """Of `channels.slack.inbound.Desk`."""

    def agent_in(self, channel: str, /) -> str: ...

    async def home_of(self, by: Person) -> Home: ...


@dataclass(frozen=True, slots=True)
class Command:
    user: str
    words: str


def parse_command(body: Payload) -> Command | Ignored:
    user = text_in(body, "user_id")
    return Command(user, text_in(body, "text").strip().lower()) if user else Ignored("a command of nobody")


class Asking:
    def __init__(self, me: Installation, inbox: Inbox, desk: Desk, reader: MessageReader) -> None:
        self._me = me
        self._inbox = inbox
        self._desk = desk
        self._reader = reader

    async def shortcut(self, body: dict[str, Any], ack: AsyncAck) -> None:
        """Raises StoreUnavailable; Slack then tells the person that it did not work."""
        asked = parse_shortcut(body, self._me)
        if isinstance(asked, Ignored):
            log.debug("slack_ignored", why=asked.why)
        else:
            await self._ask(asked)
        await ack()

    async def _ask(self, asked: AskedAbout) -> None:
        """Append it as it arrived: whoever reads it asks Slack what else is to be known."""
        at = Address(self._me.team, asked.channel, asked.thread)
        arrival = Arrival(NAME, asked.id, SHORTCUT_WORDS, payload_of(asked))
        if thread_id := await self._inbox.thread_at(at.place, at.alias):
            await self._inbox.arrived_in(thread_id, arrival)
        else:
            await self._inbox.arrived(at.place, arrival, agent=self._desk.agent_in(asked.channel))

    async def command(self, body: dict[str, Any], ack: AsyncAck) -> None:
        typed = parse_command(body)
        if isinstance(typed, Ignored):
            log.debug("slack_ignored", why=typed.why)
            await ack()
            return
        try:
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                said = await self._answer(typed)
        except TimeoutError:
            said = TOO_SLOW
        await ack(said)

    async def _answer(self, typed: Command) -> str:
        match typed.words:
            case "status":
                home = await self._home(typed.user)
                lists = [_listed("Waits for you", home.waiting), _listed("Lately", (*home.asked, *home.recent))]
                return "\n".join(filter(None, lists)) or "Nothing waits for you, and nothing has happened lately."
            case "mine":
                home = await self._home(typed.user)
                return _listed("You asked for", home.asked) or "You have not asked for anything lately."
            case _:
                return HELP

    async def _home(self, user: str) -> Home:
        return await self._desk.home_of(await self._reader.person(user, external=False))


def _listed(heading: str, items: Sequence[HomeItem]) -> str:
    return "\n".join([f"*{heading}*", *map(_line, items)]) if items else ""


def _line(item: HomeItem) -> str:
    title = escape(one_line(item.title, TITLE_CHARS_MAX))
    linked = f"<{item.link}|{title.replace('|', '¦')}>" if is_safe(item.link) else title
    return f"• {linked}: {escape(item.status)}"
