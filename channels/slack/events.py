"""Parses the payloads of Slack's Events API. Pure.

Payloads are untrusted: an unknown or malformed one becomes `Ignored` with a reason for the log, never an exception.
Messages by bots (including ourselves), joins and other notices, and unfurls are ignored too.

What a message says is read by `channels.slack.seen`. This module does not decide whether an event concerns us, or which
thread it belongs to.

The shapes: https://docs.slack.dev/reference/events
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from channels.slack.seen import File, own_words, seen

Payload = Mapping[Any, Any]

TALK = {"", "file_share", "thread_broadcast", "me_message"}
"""The subtypes of messages by people."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Our app's identity in the workspace, from `auth.test`."""

    team: str
    user: str
    bot: str = ""
    url: str = ""
    """The workspace's URL, for links; ends with a slash."""
    enterprise: str = ""
    """The organisation (Enterprise Grid) that the workspace belongs to, or in which we are installed as a whole; empty:
    none. Whoever belongs to it is a colleague."""
    callers: frozenset[str] = frozenset()
    """The programs (apps, bots, workflows) whose mentions count, by name or by the id of the bot or the app."""


@dataclass(frozen=True, slots=True)
class Posted:
    channel: str
    ts: str
    thread: str
    """The ts of the thread's first message; the message's own if it is that."""
    user: str
    text: str
    """In Slack's markup (see `channels.slack.text.unescaped`)."""
    to_us: bool
    """Whether it mentions us or is a direct message."""
    direct: bool = False
    external: bool = False
    """From another workspace (Slack Connect), so the sender is unverified, unless they are of our enterprise."""
    program: str = ""
    """The name of the program that posted it, which nobody verifies; empty: a person did. `user` is its bot's id then.
    """
    files: tuple[File, ...] = ()
    parent: str = ""
    """The author of the thread's first message, if this is a reply and Slack says so."""
    passes_on: bool = False
    """The text holds somebody else's words: see `channels.slack.seen`."""
    left_out: str = ""
    """What people see of it and the text does not say, in words."""

    @property
    def id(self) -> str:
        """The same for every event that brings this message: mention, message, redelivery, sweep."""
        return f"{self.channel}:{self.ts}"


@dataclass(frozen=True, slots=True)
class Edited:
    channel: str
    ts: str
    thread: str
    text: str
    edit: str
    """The ts of the edit, which tells several edits apart."""
    parent: str = ""
    passes_on: bool = False
    """The text holds somebody else's words."""
    posted: Posted | None = None
    """The message as it is now, if only this edit addresses it to us: then it is a new message for us."""

    @property
    def id(self) -> str:
        """Of the message: see `Posted.id`."""
        return f"{self.channel}:{self.ts}"


@dataclass(frozen=True, slots=True)
class Deleted:
    channel: str
    ts: str
    thread: str
    parent: str = ""

    @property
    def id(self) -> str:
        """Of the message: see `Posted.id`."""
        return f"{self.channel}:{self.ts}"


@dataclass(frozen=True, slots=True)
class HomeOpened:
    user: str
    channel: str
    tab: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person pressed the stop button of an agent session."""

    channel: str
    thread: str
    user: str
    ts: str = ""
    """Of the event: the same for each redelivery."""

    @property
    def id(self) -> str:
        return f"{self.channel}:{self.thread}:stopped:{self.ts}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody invited us to a channel, or a workspace did when it was installed there."""

    channel: str
    ts: str
    """Of the event: the same for each redelivery."""
    inviter: str = ""

    @property
    def id(self) -> str:
        return f"{self.channel}:joined:{self.ts}"


@dataclass(frozen=True, slots=True)
class Ignored:
    why: str


SlackEvent = Posted | Edited | Deleted | HomeOpened | Stopped | Joined | Ignored


def parse_event(body: Payload, me: Installation) -> SlackEvent:
    """Parses an `event_callback`, which is the same over HTTP and Socket Mode."""
    match body:
        case {"event": {"type": "message" | "app_mention" as kind, **event}}:
            return _message(kind, event, me)
        case {"event": {"type": "app_home_opened", "user": str(user), **event}}:
            return HomeOpened(user, text_in(event, "channel"), text_in(event, "tab") or "home")
        case {"event": {"type": "agent_session_stopped", **event}}:
            channel = text_in(event, "channel") or text_in(event, "channel_id")
            thread, user = text_in(event, "thread_ts"), text_in(event, "user") or text_in(event, "user_id")
            if not (channel and thread and user):
                return Ignored("a stop of no session")
            return Stopped(channel, thread, user, text_in(event, "event_ts") or text_in(body, "event_id"))
        case {"event": {"type": "member_joined_channel", "user": me.user, "channel": str(channel), **event}}:
            return Joined(channel, text_in(event, "event_ts") or text_in(body, "event_id"), text_in(event, "inviter"))
        case {"event": {"type": str(kind)}}:
            return Ignored(f"event {kind[:60]}")
        case _:
            return Ignored("no event")


def _message(kind: str, event: Payload, me: Installation) -> SlackEvent:
    channel, ts = text_in(event, "channel"), text_in(event, "ts")
    subtype = text_in(event, "subtype")
    if not channel or not ts:
        return Ignored("a message without a place")
    if subtype == "message_changed":
        return _changed(channel, event, me)
    if subtype == "message_deleted":
        return _deleted(channel, event, me)
    if subtype not in TALK | {"bot_message"}:
        return Ignored(f"message {subtype[:60]}")
    user = text_in(event, "user")
    if not user or is_bot(event, me):
        return _by_program(event, channel, ts, me)
    return _posted(event, channel, ts, me, mentions=kind == "app_mention")


def _by_program(event: Payload, channel: str, ts: str, me: Installation) -> SlackEvent:
    """A program that the team names may call us, by mentioning us each time; what else it says starts nothing."""
    profile = event.get("bot_profile")
    named = text_in(profile, "name") if isinstance(profile, Mapping) else ""
    bot, name = text_in(event, "bot_id"), named or text_in(event, "username")
    is_ours = text_in(event, "user") == me.user or (me.bot and bot == me.bot)
    if is_ours or not bot or me.callers.isdisjoint({name, bot, text_in(event, "app_id")} - {""}):
        return Ignored("a bot's message")
    posted = _posted(event, channel, ts, me)
    if posted.direct or not posted.to_us:
        return Ignored("a message of a program that does not call us")
    return replace(posted, user=bot, program=name or bot)


def _posted(event: Payload, channel: str, ts: str, me: Installation, *, mentions: bool = False) -> Posted:
    shown = seen(event)
    direct = text_in(event, "channel_type") == "im" or channel.startswith("D")
    return Posted(
        channel=channel,
        ts=ts,
        thread=text_in(event, "thread_ts") or ts,
        user=text_in(event, "user"),
        text=shown.text,
        to_us=mentions or direct or _mentions(own_words(event), me),
        direct=direct,
        external=_is_external(event, me),
        files=shown.files,
        parent=text_in(event, "parent_user_id"),
        passes_on=shown.passes_on,
        left_out=shown.left_out,
    )


def _changed(channel: str, event: Payload, me: Installation) -> SlackEvent:
    match event:
        case {"message": {"ts": str(ts), **message}}:
            previous = event.get("previous_message")
            before = own_words(previous) if isinstance(previous, Mapping) else None
            thread, parent = text_in(message, "thread_ts") or ts, text_in(message, "parent_user_id")
            if text_in(message, "subtype") == "tombstone":
                return Deleted(channel, ts, thread, parent)
            if is_bot(message, me):
                return Ignored("a bot's edit")
            now = own_words(message)
            if now == before:
                return Ignored("a change of something else than the text")  # an unfurl, a reply count
            posted = _posted({**event, **message}, channel, ts, me)
            # Only the author can edit a message, so the mention is theirs, too.
            adds = bool(posted.user) and _mentions(now, me) and before is not None and not _mentions(before, me)
            adds = adds and text_in(message, "subtype") in TALK
            edit = text_in(event, "ts")
            return Edited(channel, ts, thread, posted.text, edit, parent, posted.passes_on, posted if adds else None)
        case _:
            return Ignored("a change of no message")


def _mentions(text: str, me: Installation) -> bool:
    return f"<@{me.user}>" in text or f"<@{me.user}|" in text


def _deleted(channel: str, event: Payload, me: Installation) -> SlackEvent:
    previous = event.get("previous_message")
    message: Payload = previous if isinstance(previous, Mapping) else {}
    ts = text_in(event, "deleted_ts") or text_in(message, "ts")
    if not ts or is_bot(message, me):
        return Ignored("a deletion that is none of ours")
    return Deleted(channel, ts, text_in(message, "thread_ts") or ts, text_in(message, "parent_user_id"))


def is_bot(event: Payload, me: Installation) -> bool:
    """Whether a program wrote it: we, Slack itself, or another app."""
    return bool(text_in(event, "bot_id") or event.get("bot_profile")) or text_in(event, "user") in (
        me.user,
        "USLACKBOT",
    )


def _is_external(event: Payload, me: Installation) -> bool:
    named = [team for key in ("user_team", "source_team") if (team := text_in(event, key))] or [text_in(event, "team")]
    return any(team not in ("", me.team, me.enterprise) for team in named)


def text_in(data: Payload, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
