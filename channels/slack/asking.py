"""The message shortcut "Ask deploybot about this", and the command `/deploybot`: what people do beside conversations.

The shortcut brings a message, and what was said in its thread, to the agent as a mention there would: its author is not
verified by that, and who chose the shortcut asks. The command answers whoever typed it, alone, with what they may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog
from slack_bolt.async_app import AsyncAck

from channels.inbound import Inbox
from channels.slack.events import Ignored, Installation, Payload, Posted, text_in
from channels.slack.home import Home, HomeItem
from channels.slack.place import NAME, Address
from channels.slack.reading import Earlier, MessageReader
from channels.slack.text import escape, is_safe
from store.keys import thread_id_of
from store.text import one_line
from store.values import Person

log = structlog.get_logger(__name__)

SHORTCUT_WORDS = "Ask deploybot about this"
"""The name of the shortcut in manifest.yml, and what it says to the agent."""
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
class AskedAbout:
    channel: str
    thread: str
    """The ts of the first message of the thread in which the message stands."""
    user: str
    external: bool
    ts: str
    """Of the action."""
    message: Payload
    """The message, as in `conversations.replies`."""


@dataclass(frozen=True, slots=True)
class Command:
    user: str
    words: str


def parse_shortcut(body: Payload, me: Installation) -> AskedAbout | Ignored:
    match body:
        case {
            "type": "message_action",
            "channel": {"id": str(channel)},
            "user": {"id": str(user), **by},
            "message": {"ts": str(ts), **message},
            "action_ts": str(action),
        }:
            team = text_in(by, "team_id")
            external = team not in ("", me.team, me.enterprise)
            thread = text_in(message, "thread_ts") or ts
            return AskedAbout(channel, thread, user, external, action, {"ts": ts, **message})
        case {"type": str(kind)}:
            return Ignored(f"shortcut {kind[:60]}")
        case _:
            return Ignored("no shortcut")


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
        at = Address(self._me.team, asked.channel, asked.thread)
        thread_id = await self._inbox.thread_at(at.place, at.alias)
        posted = Posted(
            channel=asked.channel,
            ts=asked.ts,
            thread=asked.thread,
            user=asked.user,
            text=SHORTCUT_WORDS,
            to_us=True,
            external=asked.external,
        )
        history = None if thread_id else Earlier()
        message = await self._reader.message_of(posted, earlier=history, must_know=False)
        about = await self._reader.earlier_message(asked.channel, asked.message)
        earlier = [one for one in message.earlier if one.event_id != about.event_id]
        event_id = f"{posted.id}:shortcut"  # In a namespace of its own: it is no message in the channel.
        message = replace(message, event_id=event_id, earlier=(*earlier, about))
        if thread_id and thread_id != thread_id_of(at.place):
            await self._inbox.reply(thread_id, NAME, replace(message, origin={"slack": at.place.address}))
        else:
            await self._inbox.message(at.place, message, agent=self._desk.agent_in(asked.channel))

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
