"""What people do in conversations. Each returns when Slack has it and its deliveries have begun.

What a person could not do raises NotPossible. Text is what is typed: `&`, `<` and `>` are escaped on the way as
Slack does, while `<@U…>`, `<#C…>` and links stay.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.fakes.slack.delivery import Delivery
from tests.fakes.slack.inputs import NotPossible
from tests.fakes.slack.interactions import Interactions
from tests.fakes.slack.shapes import message_json
from tests.fakes.slack.views_api import view_json
from tests.fakes.slack.workspace import Channel, File, Json, Message, User

_LIVE = re.compile(r"(<@[UW]\w+>|<#C\w+(?:\|[^<>]*)?>|<https?://[^<>]+>)")


class People(Interactions):
    async def say(
        self,
        channel: Channel | str,
        user: User | str,
        text: str,
        thread: Message | str | None = None,
        *,
        files: Sequence[File] | Mapping[str, bytes] = (),
        broadcast: bool = False,
        attachments: Sequence[Json] = (),
    ) -> Message:
        """A message, or a reply when `thread` is a message or a ts of that thread. Files make it a `file_share`, and
        attachments what it forwards."""
        place, person = self._there(channel, user)
        if isinstance(files, Mapping):
            files = [self.workspace.add_file(person, name, content) for name, content in files.items()]
        message = Message(
            place.id,
            self.workspace.new_ts(),
            person.id,
            text=_typed(text),
            blocks=_rich_text(self.workspace.new_id("b"), text) if text else (),
            thread_ts=self._thread(place, thread),
            subtype="file_share" if files else None,
            files=tuple(files),
            broadcast=broadcast,
            attachments=tuple(attachments),
            client_msg_id=str(uuid.uuid4()),
        )
        return await self._posted(message)

    async def mention(
        self,
        channel: Channel | str,
        user: User | str,
        text: str,
        thread: Message | str | None = None,
        *,
        files: Sequence[File] | Mapping[str, bytes] = (),
        attachments: Sequence[Json] = (),
    ) -> Message:
        """The bot's name is put in front unless the text has it. Where both events are subscribed to, both come."""
        name = f"<@{self.workspace.bot.id}>"
        text = text if name in text else f"{name} {text}"
        return await self.say(channel, user, text, thread, files=files, attachments=attachments)

    async def dm(
        self,
        user: User | str,
        text: str,
        thread: Message | str | None = None,
        *,
        files: Sequence[File] | Mapping[str, bytes] = (),
    ) -> Message:
        if not self.features.messages_tab:
            raise NotPossible("the app's Messages tab is off or read-only")
        return await self.say(self.workspace.im(user), user, text, thread, files=files)

    async def upload(
        self,
        channel: Channel | str,
        user: User | str,
        name: str,
        content: bytes,
        text: str = "",
        thread: Message | str | None = None,
    ) -> Message:
        """`message.files[0]` is the file; the bot downloads it from `url_private` with its token."""
        return await self.say(channel, user, text, thread, files={name: content})

    async def post_as_bot(
        self,
        channel: Channel | str,
        bot: User | str,
        text: str,
        thread: Message | str | None = None,
        *,
        classic: bool = False,
        blocks: Sequence[Json] = (),
        attachments: Sequence[Json] = (),
    ) -> Message:
        """Another app's bot speaks; it is made if there is none of that name. `classic`: an incoming webhook's
        `bot_message`, which has a subtype and no user."""
        place = self.workspace.channel(channel)
        known = isinstance(bot, User) or any(bot in (user.id, user.name) for user in self.workspace.users.values())
        other = self.workspace.user(bot) if known else self.workspace.add_user(str(bot), is_bot=True)
        self.workspace.change_channel(place, members=place.members | {other.id})
        message = Message(
            place.id,
            self.workspace.new_ts(),
            None if classic else other.id,
            text=text,
            bot_id=other.bot_id,
            app_id=other.app_id,
            username=other.name if classic else None,
            subtype="bot_message" if classic else None,
            thread_ts=self._thread(place, thread),
            blocks=tuple(blocks),
            attachments=tuple(attachments),
        )
        return await self._posted(message)

    async def edit(self, message: Message, text: str) -> Message:
        """A message_changed; where the text mentions the bot also one more app_mention, with `edited` and the old ts,
        as in Slack (bolt-js 960): bots that forget this answer twice."""
        before = self._now(message)
        after = replace(
            before,
            text=_typed(text),
            blocks=_rich_text(self.workspace.new_id("b"), text),
            edited_ts=self.workspace.new_ts(),
            edited_by=before.user,
        )
        self._mention_event(after)
        return await self._done(self.change(before, after))

    async def delete(self, message: Message) -> None:
        now = self._now(message)
        self.remove(now)
        await self._done(now)

    async def react(self, user: User | str, message: Message, name: str, *, removed: bool = False) -> Message:
        person = self.workspace.user(user)
        return await self._done(self.put_reaction(self._now(message), person, name, remove=removed))

    async def join(self, channel: Channel | str, user: User | str) -> Message:
        """The bot itself can be made a member this way too."""
        place, person = self.workspace.channel(channel), self.workspace.user(user)
        place = self.workspace.change_channel(place, members=place.members | {person.id})
        kind = {"public": "C", "private": "G", "im": "D", "mpim": "G"}[place.kind]
        joined = {"type": "member_joined_channel", "user": person.id, "channel": place.id, "channel_type": kind}
        self.emit("member_joined_channel", joined | {"team": self.workspace.team_id})
        text = f"<@{person.id}> has joined the channel"
        return await self._posted(
            Message(place.id, self.workspace.new_ts(), person.id, text=text, subtype="channel_join")
        )

    async def leave(self, channel: Channel | str, user: User | str) -> None:
        place, person = self.workspace.channel(channel), self.workspace.user(user)
        self.workspace.change_channel(place, members=place.members - {person.id})

    async def open_home(self, user: User | str, tab: str = "home") -> Delivery | None:
        """`tab` is "home" or "messages". None: the app does not get the event."""
        person = self.workspace.user(user)
        event: Json = {"type": "app_home_opened", "user": person.id, "channel": self.workspace.im(person).id}
        event |= {"tab": tab, "event_ts": self.workspace.new_ts()}
        home = self.home_of(person)
        if home and tab == "home":
            event["view"] = view_json(self._server, home)
        return await self._emitted("app_home_opened", event)

    async def change_context(self, user: User | str, *channels: Channel | str) -> Delivery | None:
        """The person looks at other things while the agent's panel is open."""
        entities = [
            {
                "type": "slack#/types/channel_id",
                "value": self.workspace.channel(each).id,
                "team_id": self.workspace.team_id,
            }
            for each in channels
        ]
        event: Json = {"type": "app_context_changed", "user": self.workspace.user(user).id}
        event |= {"context": {"entities": entities} if entities else {}, "event_ts": self.workspace.new_ts()}
        return await self._emitted("app_context_changed", event)

    async def stop_session(self, user: User | str, channel: Channel | str, thread: Message | str) -> Delivery | None:
        """Presses the stop button of a session at work. Its status stays as it is: to change it is the app's work;
        the thread's streams are stopped by Slack."""
        place, person = self._there(channel, user)
        thread_ts = thread.thread if isinstance(thread, Message) else thread
        session = self.sessions.get((place.id, thread_ts))
        if session is None or session.status != "processing":
            raise NotPossible(f"there is no stop button: the session is {session.status if session else 'not there'}")
        streams = [each for each in self.workspace.replies(place.id, thread_ts) if each.streaming]
        for each in streams:
            self.workspace.put(replace(each, streaming=False))
            self.stopped_streams.add(each.ts)
        event: Json = {"type": "agent_session_stopped", "user": person.id, "channel": place.id, "thread_ts": thread_ts}
        event |= {"streaming_message_ts": [each.ts for each in streams], "event_ts": self.workspace.new_ts()}
        return await self._emitted("agent_session_stopped", event)

    # How it is done

    def _there(self, channel: Channel | str, user: User | str) -> tuple[Channel, User]:
        place, person = self.workspace.channel(channel), self.workspace.user(user)
        if person.id not in place.members:
            raise NotPossible(f"{person.name} is not in #{place.name}")
        if place.archived:
            raise NotPossible(f"#{place.name} is archived")
        return place, person

    def _thread(self, channel: Channel, thread: Message | str | None) -> str | None:
        if thread is None:
            return None
        root = self.workspace.message(channel.id, thread.thread if isinstance(thread, Message) else thread)
        if root is None:
            raise NotPossible(f"no message {thread!r} in #{channel.name} to reply to")
        return root.thread

    def _now(self, message: Message) -> Message:
        now = self.workspace.message(message.channel, message.ts)
        if now is None:
            raise NotPossible("the message was deleted")
        return now

    async def _posted(self, message: Message) -> Message:
        self._mention_event(message)
        return await self._done(self.post(message))

    def _mention_event(self, message: Message) -> None:
        channel, bot = self.workspace.channel(message.channel), self.workspace.bot
        if channel.kind == "im" or f"<@{bot.id}>" not in message.text or bot.id not in channel.members:
            return
        # Slack's app_mention is the message without what is only true of `message` events.
        shape: dict[str, Any] = message_json(self.workspace, message)
        shape |= {"type": "app_mention", "channel": channel.id, "event_ts": message.ts}
        self.emit("app_mention", shape, about=(message.channel, message.ts))

    async def _emitted(self, subscription: str, event: Json) -> Delivery | None:
        delivery = self.emit(subscription, event)
        if delivery:
            await self.changes.wait_for(lambda: delivery.begun, 5.0)
        return delivery

    async def _done(self, message: Message) -> Message:
        mine = [each for each in self.deliveries.all if each.about == (message.channel, message.ts)]
        await self.changes.wait_for(lambda: all(delivery.begun for delivery in mine), 5.0)
        return message


def _typed(text: str) -> str:
    return "".join(part if _LIVE.fullmatch(part) else _escaped(part) for part in _LIVE.split(text))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rich_text(block_id: str, text: str) -> tuple[Json, ...]:
    elements: list[Json] = []
    for part in filter(None, _LIVE.split(text)):
        if not _LIVE.fullmatch(part):
            elements.append({"type": "text", "text": part})
        elif part[1] == "@":
            elements.append({"type": "user", "user_id": part[2:-1]})
        elif part[1] == "#":
            elements.append({"type": "channel", "channel_id": part[2:-1].partition("|")[0]})
        else:
            url, _, shown = part[1:-1].partition("|")
            elements.append({"type": "link", "url": url, **({"text": shown} if shown else {})})
    section = {"type": "rich_text_section", "elements": elements}
    return ({"type": "rich_text", "block_id": block_id, "elements": [section]},)
