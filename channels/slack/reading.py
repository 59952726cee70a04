"""Reads a Slack message as a person sees it: its author, its text with names instead of ids, its files, its history.

All of it but the text comes from Slack's API, within the time left before the acknowledgement (`channels.slack.calls`).
What Slack does not return in time is left out; the message itself is never lost. This module does not decide which
thread a message belongs to, or whether it is for us.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import EarlierMessage, InboundMessage
from channels.slack.calls import call_or
from channels.slack.events import File, Installation, Posted
from channels.slack.text import unescaped
from store.values import Attachment, Person

log = structlog.get_logger(__name__)

HISTORY_MAX = 30
"""Earlier messages read when the agent is first mentioned in a thread, the newest ones."""
FILE_BYTES_MAX = 100_000
"""The text of a larger file is not read."""
FILES_READ_MAX = 3
USERS_MAX = 5_000
USER_SECONDS = 600.0
"""How long a user's name and membership are cached. A removed member is trusted for at most this long."""

_TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    member: bool
    """A full member of this workspace: not a guest, an external user, a bot or deactivated."""
    email: str
    """The address, if Slack has confirmed it."""
    good_until: float
    """Monotonic time, in seconds."""


class MessageReader:
    def __init__(self, client: AsyncWebClient, me: Installation) -> None:
        self._client = client
        self._me = me
        self._users: dict[str, _User] = {}

    async def message_of(self, posted: Posted, *, with_history: bool) -> InboundMessage:
        """`with_history`: include the earlier messages of the thread."""
        sender, text, attachments, earlier = await asyncio.gather(
            self.person(posted.user, external=posted.external),
            self.readable(posted.text),
            self._attachments(posted.files),
            self._history_of(posted) if with_history else _no_history(),
        )
        return InboundMessage(sender, text, posted.id, attachments=attachments, earlier=tuple(earlier))

    async def person(self, user: str, *, external: bool) -> Person:
        """The user as a person; unverified if users.info fails."""
        known = await call_or("users.info", self._user(user), None)
        return _as_person(user, known, external=external) if known else Person(name=user, address=user)

    async def person_who_decides(self, user: str, *, external: bool) -> Person | None:
        """None: users.info failed. A decision needs a verified person, so it must be refused."""
        known = await call_or("users.info", self._user(user), None)
        return _as_person(user, known, external=external) if known else None

    async def _name(self, user: str) -> str:
        return (await self._user(user)).name

    async def _user(self, user_id: str) -> _User:
        known = self._users.pop(user_id, None)
        if known is None or known.good_until < time.monotonic():
            answer: Any = await self._client.users_info(user=user_id)
            user = answer["user"]
            profile = user.get("profile") or {}
            name = profile.get("display_name") or profile.get("real_name") or user.get("real_name")
            # Guests can see a card, but may not decide.
            member = user.get("team_id") == self._me.team and not any(
                user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger", "deleted", "is_bot")
            )
            # Missing without the scope users:read.email.
            email = profile.get("email") if user.get("is_email_confirmed") is True else ""
            good_until = time.monotonic() + USER_SECONDS
            known = _User(str(name or user.get("name") or user_id), member, str(email or ""), good_until)
        self._users[user_id] = known
        if len(self._users) > USERS_MAX:
            self._users.pop(next(iter(self._users)))
        return known

    async def readable(self, text: str) -> str:
        """The text with names instead of ids, without a mention of us at its beginning."""
        text = text.removeprefix(f"<@{self._me.user}>").lstrip()
        users = list(dict.fromkeys(_MENTION.findall(text)))[:20]
        if users:
            await asyncio.gather(*(call_or("users.info", self._name(user), "") for user in users))
        return unescaped(text, {user: known.name for user in users if (known := self._users.get(user))})

    async def _attachments(self, files: Iterable[File]) -> tuple[Attachment, ...]:
        files = list(files)
        readable = [
            file
            for file in files
            if file.media_type.startswith(_TEXTS)
            and 0 < file.size_bytes <= FILE_BYTES_MAX
            and is_slack_url(file.url, self._client.base_url)
        ][:FILES_READ_MAX]
        read = await asyncio.gather(*(call_or("the file", self._text_of(file), "") for file in readable))
        texts = dict(zip(readable, read, strict=True))
        return tuple(
            Attachment(name=file.name, media_type=file.media_type, size_bytes=file.size_bytes, text=texts.get(file, ""))
            for file in files
        )

    async def _text_of(self, file: File) -> str:
        headers = {"Authorization": f"Bearer {self._client.token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(file.url, headers=headers, allow_redirects=False) as response,
        ):
            # Without permission, Slack answers 200 with a login page.
            if response.status != 200 or (response.content_type == "text/html" and file.media_type != "text/html"):
                log.warning("slack_file_not_read", file=file.id, status=response.status, type=response.content_type)
                return ""
            data = b""
            async for chunk in response.content.iter_chunked(65_536):
                data += chunk
                if len(data) > FILE_BYTES_MAX:
                    log.warning("slack_file_not_read", file=file.id, why="it is larger than it said")
                    return ""
        return data.decode(errors="replace")

    async def _history_of(self, posted: Posted) -> list[EarlierMessage]:
        return await call_or("conversations.replies", self._replies(posted), [])

    async def _replies(self, posted: Posted) -> list[EarlierMessage]:
        answer: Any = await self._client.conversations_replies(
            channel=posted.channel, ts=posted.thread, latest=posted.ts, inclusive=False, limit=200
        )
        earlier = []
        for message in answer["messages"][-HISTORY_MAX:]:
            ts, user, text = (str(message.get(key) or "") for key in ("ts", "user", "text"))
            if ts == posted.ts or not text or user == self._me.user:
                continue
            name = await self._name(user) if user else str(message.get("username") or "a bot")
            earlier.append(EarlierMessage(name, user, await self.readable(text), f"{posted.channel}:{ts}"))
        return earlier


def is_slack_url(url: str, base_url: str) -> bool:
    """Whether the URL is Slack's own, so that we may send our token to it. An external file may have any URL."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        if (parts.scheme, parts.netloc) == (base.scheme, base.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith((".slack.com", ".slack-gov.com"))
    except ValueError:
        return False


async def _no_history() -> list[EarlierMessage]:
    return []


def _as_person(address: str, user: _User, *, external: bool) -> Person:
    if external or not user.member:
        return Person(name=user.name, address=address, trust="unverified")
    return Person(name=user.name, address=address, trust="verified", email=user.email)
