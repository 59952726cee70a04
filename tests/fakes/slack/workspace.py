"""What the workspace holds: people, channels, messages, files. State only: nothing here answers or delivers.

Everything that is handed out is frozen, so a test that kept a message holds what a person saw at that time. Times are
Slack's: a `ts` is text, unique in the workspace and growing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Json = dict[str, Any]
Clock = Callable[[], float]
ChannelKind = Literal["public", "private", "im", "mpim"]

# As events name the kinds in `channel_type`, and scopes and event types in their first word.
CHANNEL_TYPES: dict[ChannelKind, str] = {"public": "channel", "private": "group", "im": "im", "mpim": "mpim"}
SCOPE_FAMILIES: dict[ChannelKind, str] = {"public": "channels", "private": "groups", "im": "im", "mpim": "mpim"}
# Private channels are C… too since 2021: what kind one is cannot be told from its id.
_PREFIXES: dict[ChannelKind, str] = {"public": "C", "private": "C", "im": "D", "mpim": "C"}


@dataclass(frozen=True)
class User:
    id: str
    name: str
    real_name: str
    email: str | None = None
    email_confirmed: bool = True
    """They followed the link in a mail to that address."""
    is_bot: bool = False
    tz: str = "Etc/UTC"
    tz_offset_seconds: int = 0
    deleted: bool = False
    is_guest: bool = False
    team_id: str = ""
    """Of another workspace that shares a channel with this one; empty: of this one."""
    enterprise_id: str = ""
    """The organisation of that workspace; empty: as this one's."""
    bot_id: str | None = None
    """Set for bots: their messages carry it."""
    app_id: str | None = None


@dataclass(frozen=True)
class Channel:
    id: str
    name: str
    kind: ChannelKind = "public"
    members: frozenset[str] = frozenset()
    archived: bool = False
    topic: str = ""


@dataclass(frozen=True)
class File:
    id: str
    name: str
    content: bytes
    mimetype: str
    user: str
    created: int
    deleted: bool = False
    preview: bytes = b""
    """Of an image, as Slack makes it smaller; without it there is none."""


@dataclass(frozen=True)
class Message:
    channel: str
    ts: str
    user: str | None
    """The author; a bot has a user id too. None only for the classic `bot_message`."""
    text: str = ""
    blocks: tuple[Json, ...] = ()
    attachments: tuple[Json, ...] = ()
    thread_ts: str | None = None
    """The root's `ts` in a reply. A root has none here, and gets Slack's own in JSON once it has replies."""
    bot_id: str | None = None
    app_id: str | None = None
    username: str | None = None
    subtype: str | None = None
    metadata: Json | None = None
    files: tuple[File, ...] = ()
    reactions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Emoji name and who."""
    edited_ts: str | None = None
    edited_by: str | None = None
    broadcast: bool = False
    visible_to: str | None = None
    """An ephemeral message: the one person who sees it. It is in no history."""
    streaming: bool = False
    stream_mode: str | None = None
    """What a stream is made of, `markdown_text` or `chunks`; "" before there is any. None: it never was a stream."""
    unfurl_links: bool | None = None
    client_msg_id: str | None = None

    @property
    def thread(self) -> str:
        """The `ts` of the thread that this message is in or would begin."""
        return self.thread_ts or self.ts


@dataclass
class Workspace:
    """Names are accepted wherever ids are: `workspace.user("ana")`, `workspace.channel("deploys")`."""

    team_id: str = "T0TEAM001"
    team_name: str = "Test Team"
    enterprise_id: str = ""
    """The organisation (Enterprise Grid) that it belongs to; empty: none."""
    domain: str = "test-team"
    app_id: str = "A0APP0001"
    bot_name: str = "deploybot"
    clock: Clock = time.time
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    user_groups: dict[str, str] = field(default_factory=dict)
    """The handles of user groups, by id."""
    base_url: str = ""
    """Where files are served; the server sets it."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._last_microsecond = 0
        self._messages: dict[str, dict[str, Message]] = {}
        self.bot = self.add_user(self.bot_name, is_bot=True, app_id=self.app_id)

    @classmethod
    def small(cls, **fields: Any) -> Workspace:
        """ana and ben, #deploys where the bot is a member, #random where it is not, and #secrets, private."""
        workspace = cls(**fields)
        ana = workspace.add_user("ana", real_name="Ana Alvarez", email="ana@example.com", tz="Europe/Madrid")
        ben = workspace.add_user("ben", real_name="Ben Brown", email="ben@example.com", tz="America/New_York")
        workspace.add_channel("deploys", members=(ana, ben, workspace.bot))
        workspace.add_channel("random", members=(ana, ben))
        workspace.add_channel("secrets", kind="private", members=(ana, workspace.bot))
        return workspace

    def new_id(self, prefix: str) -> str:
        return f"{prefix}0{next(self._numbers):08d}"

    def new_ts(self) -> str:
        microsecond = max(int(self.clock() * 1_000_000), self._last_microsecond + 1)
        self._last_microsecond = microsecond
        return f"{microsecond // 1_000_000}.{microsecond % 1_000_000:06d}"

    # People and places

    def add_user(
        self,
        name: str,
        *,
        real_name: str = "",
        email: str | None = None,
        is_bot: bool = False,
        tz: str = "Etc/UTC",
        app_id: str | None = None,
    ) -> User:
        user = User(
            id=self.new_id("U"),
            name=name,
            real_name=real_name or name.capitalize(),
            email=email,
            is_bot=is_bot,
            tz=tz,
            bot_id=self.new_id("B") if is_bot else None,
            app_id=(app_id or self.new_id("A")) if is_bot else None,
        )
        self.users[user.id] = user
        return user

    def add_channel(
        self, name: str, *, kind: ChannelKind = "public", members: Sequence[User | str] = (), archived: bool = False
    ) -> Channel:
        ids = frozenset(self.user(member).id for member in members)
        channel = Channel(self.new_id(_PREFIXES[kind]), name, kind, ids, archived)
        self.channels[channel.id] = channel
        return channel

    def change_channel(self, channel: Channel | str, **fields: Any) -> Channel:
        """`change_channel("deploys", archived=True)`. Channels are frozen; this puts another in its place."""
        changed = replace(self.channel(channel), **fields)
        self.channels[changed.id] = changed
        return changed

    def change_user(self, user: User | str, **fields: Any) -> User:
        changed = replace(self.user(user), **fields)
        self.users[changed.id] = changed
        return changed

    def im(self, user: User | str) -> Channel:
        """The conversation of a person and the bot; begun when it is first asked for."""
        person = self.user(user)
        pair = frozenset({person.id, self.bot.id})
        known = (channel for channel in self.channels.values() if channel.kind == "im" and channel.members == pair)
        return next(known, None) or self.add_channel(person.name, kind="im", members=(person, self.bot))

    def user(self, user: User | str) -> User:
        """Raises KeyError when there is none of that id or name."""
        if isinstance(user, User):
            return self.users[user.id]
        if user in self.users:
            return self.users[user]
        for known in self.users.values():
            if known.name == user.removeprefix("@") or known.bot_id == user:
                return known
        raise KeyError(f"no user {user!r}; there are {sorted(known.name for known in self.users.values())}")

    def channel(self, channel: Channel | str) -> Channel:
        """Raises KeyError when there is none of that id or name."""
        if isinstance(channel, Channel):
            return self.channels[channel.id]
        if channel in self.channels:
            return self.channels[channel]
        for known in self.channels.values():
            if known.kind != "im" and known.name == channel.removeprefix("#"):
                return known
        names = sorted(known.name for known in self.channels.values() if known.kind != "im")
        raise KeyError(f"no channel {channel!r}; there are {names}")

    def add_file(
        self, user: User | str, name: str, content: bytes, mimetype: str = "text/plain", *, preview: bytes = b""
    ) -> File:
        file = File(self.new_id("F"), name, content, mimetype, self.user(user).id, int(self.clock()), preview=preview)
        self.files[file.id] = file
        return file

    # Messages

    def put(self, message: Message) -> Message:
        self._messages.setdefault(message.channel, {})[message.ts] = message
        return message

    def remove(self, message: Message) -> None:
        """A root with replies leaves a tombstone, as in Slack."""
        if self.replies(message.channel, message.ts):
            text = "This message was deleted."
            self.put(Message(message.channel, message.ts, "USLACKBOT", text, subtype="tombstone"))
        else:
            del self._messages[message.channel][message.ts]

    def message(self, channel: str, ts: str) -> Message | None:
        return self._messages.get(channel, {}).get(ts)

    def messages(self, channel: str) -> list[Message]:
        """All of a channel, ephemeral ones included, oldest first."""
        return sorted(self._messages.get(channel, {}).values(), key=lambda message: ts_key(message.ts))

    def every_message(self) -> Iterator[Message]:
        for channel in self._messages:
            yield from self.messages(channel)

    def replies(self, channel: str, root_ts: str) -> list[Message]:
        messages = self.messages(channel)
        return [message for message in messages if message.thread_ts == root_ts and message.visible_to is None]


def ts_key(ts: str) -> tuple[int, int]:
    """Raises ValueError for what is not a timestamp of Slack's."""
    seconds, _, micros = ts.partition(".")
    return int(seconds), int(micros.ljust(6, "0")[:6]) if micros else 0
