"""Reads a Slack message as a person sees it: its author, its text with names instead of ids, its files, its history.

All of it but the text comes from Slack's API, within a short time (`channels.slack.calls`). What Slack does not return
in time is left out, and that is said; the message itself is never lost. What a message shows is read by
`channels.slack.seen`. This module does not decide which thread a message belongs to, or whether it is for us.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import EarlierMessage, InboundMessage
from channels.slack.calls import call_or, deadline
from channels.slack.downloads import Downloads, is_slack_url
from channels.slack.events import Installation, Payload, Posted, is_bot, text_in
from channels.slack.history import History, read_history
from channels.slack.images import Keep, read_images
from channels.slack.references import References
from channels.slack.refusals import CALL_FAILED, in_words, is_refusal
from channels.slack.seen import File, Seen, author_of, seen
from channels.slack.text import unescaped
from store.text import one_line
from store.values import Attachment, Person

log = structlog.get_logger(__name__)

EARLIER_CHARS_MAX = 8_000
"""The longest text of an earlier message; the rest is left out, which is said."""
FILE_BYTES_MAX = 100_000
"""The text of a larger file is not read."""
FILES_READ_MAX = 3
FILE_NAME_CHARS_MAX = 100
USERS_MAX = 5_000
USER_SECONDS = 600.0
"""How long a user's name and membership are cached. A removed member is trusted for at most this long."""

_TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    home: str
    """Their enterprise, or else their workspace."""
    colleague: bool
    """They are of our enterprise, in whichever of its workspaces."""
    member: bool
    """A full member of this workspace or enterprise: not a guest, an external user, a bot or deactivated."""
    email: str
    """The address, if Slack has confirmed it."""
    good_until: float
    """Monotonic time, in seconds."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """That what was said before is to be read."""

    after: str = ""
    """Only what other programs wrote after this ts; empty: all."""


class MessageReader:
    def __init__(self, client: AsyncWebClient, me: Installation, keep_image: Keep | None = None) -> None:
        """`keep_image`: None if no model looks at images, so nobody needs them."""
        self._client = client
        self._download = Downloads(client)
        self._keep_image = keep_image
        self._me = me
        self._users: dict[str, _User] = {}
        self._references = References(client)

    async def message_of(self, posted: Posted, *, earlier: Earlier | None, must_know: bool) -> InboundMessage:
        """`earlier`: what was said before is to be read, too.

        `must_know`: who wrote it, and what was said before. Without it, whoever Slack does not name is unverified, and
        what it does not return is left out. Raises CALL_FAILED only for what must be known.
        """
        history = await self._history(posted, earlier, must_know=must_know) if earlier else History()
        sender, text, attachments, before = await asyncio.gather(
            self._sender(posted, must_know=must_know),
            self.readable(posted.text),
            self._attachments(posted.files),
            self._earlier(posted.channel, history),
        )
        return InboundMessage(
            sender,
            text,
            posted.id,
            attachments=attachments,
            earlier=tuple(before),
            passes_on=posted.passes_on,
            left_out="; ".join(filter(None, (posted.left_out, history.left_out))),
        )

    async def _sender(self, posted: Posted, *, must_know: bool) -> Person:
        if posted.program:
            return Person(name=posted.program, address=posted.user, trust="unverified")
        if must_know:
            try:
                async with deadline():
                    known = await self._user(posted.user)
            except SlackApiError as error:
                if not is_refusal(error):
                    raise
            else:
                return self._as_person(posted.user, known, external=posted.external)
        return await self.person(posted.user, external=posted.external)

    async def _history(self, posted: Posted, earlier: Earlier, *, must_know: bool) -> History:
        try:
            async with deadline():
                return await read_history(
                    self._client,
                    self._me,
                    channel=posted.channel,
                    thread=posted.thread,
                    before=posted.ts,
                    after=earlier.after,
                    # Of a thread that we follow, what people wrote comes as events.
                    wanted=(lambda message: is_bot(message, self._me)) if earlier.after else (lambda message: True),
                )
        except CALL_FAILED as error:
            if must_know and not (isinstance(error, SlackApiError) and is_refusal(error)):
                raise
            log.warning("slack_call_failed", method="conversations.replies", error=in_words(error))
            return History(left_out="what was said here before, which Slack did not return")

    async def person(self, user: str, *, external: bool) -> Person:
        """The user as a person; unverified if users.info fails."""
        known = await call_or("users.info", self._user(user), None)
        return self._as_person(user, known, external=external) if known else Person(name=user, address=user)

    async def person_who_decides(self, user: str, *, external: bool) -> Person | None:
        """None: users.info failed. A decision needs a verified person, so it must be refused."""
        known = await call_or("users.info", self._user(user), None)
        return self._as_person(user, known, external=external) if known else None

    def known_person(self, user: str, *, external: bool) -> Person | None:
        """As `person_who_decides`, without asking Slack; None: it has to be asked."""
        known = self._users.get(user)
        is_good = known is not None and known.good_until >= time.monotonic()
        return self._as_person(user, known, external=external) if known and is_good else None

    def _as_person(self, user_id: str, user: _User, *, external: bool) -> Person:
        # Slack says of a colleague's words in another workspace, too, that they are from another team.
        if user.member and (user.colleague or not external):
            return Person(name=user.name, address=user_id, trust="verified", email=user.email)
        is_ours = user.colleague or user.home in ("", self._me.team)
        return Person(name=user.name, address=user_id if is_ours else f"{user.home}/{user_id}", trust="unverified")

    async def _name(self, user: str) -> str:
        return (await self._user(user)).name

    async def _user(self, user_id: str) -> _User:
        known = self._users.pop(user_id, None)
        if known is None or known.good_until < time.monotonic():
            answer: Any = await self._client.users_info(user=user_id)
            user = answer["user"]
            profile = user.get("profile") or {}
            name = profile.get("display_name") or profile.get("real_name") or user.get("real_name")
            team, enterprise = (str(one or "") for one in (user.get("team_id"), _enterprise_of(user)))
            colleague = bool(enterprise) and enterprise == self._me.enterprise
            # Guests can see a card, but may not decide.
            member = (team == self._me.team or colleague) and not any(
                user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger", "deleted", "is_bot")
            )
            # Missing without the scope users:read.email.
            email = profile.get("email") if user.get("is_email_confirmed") is True else ""
            good_until = time.monotonic() + USER_SECONDS
            name = str(name or user.get("name") or user_id)
            known = _User(name, enterprise or team, colleague, member, str(email or ""), good_until)
        self._users[user_id] = known
        if len(self._users) > USERS_MAX:
            self._users.pop(next(iter(self._users)))
        return known

    async def readable(self, text: str) -> str:
        """The text with names instead of ids, without a mention of us at its beginning."""
        text = text.removeprefix(f"<@{self._me.user}>").lstrip()
        users = list(dict.fromkeys(_MENTION.findall(text)))[:20]
        people = asyncio.gather(*(call_or("users.info", self._name(user), "") for user in users))
        names, _ = await asyncio.gather(self._references.names_in(text), people)
        return unescaped(text, names | {user: known.name for user in users if (known := self._users.get(user))})

    async def _attachments(self, files: Iterable[File]) -> tuple[Attachment, ...]:
        files = list(files)
        readable = [
            file
            for file in files
            if file.media_type.startswith(_TEXTS)
            and 0 < file.size_bytes <= FILE_BYTES_MAX
            and is_slack_url(file.url, self._client.base_url)
        ][:FILES_READ_MAX]
        read, images = await asyncio.gather(
            asyncio.gather(*(call_or("the file", self._text_of(file), "") for file in readable)),
            read_images(files, self._download, self._keep_image),
        )
        texts = dict(zip(readable, read, strict=True))
        return tuple(
            Attachment(
                name=file.name,
                media_type=file.media_type,
                size_bytes=file.size_bytes,
                text=texts.get(file, ""),
                image=images.get(file.id, ""),
            )
            for file in files
        )

    async def _text_of(self, file: File) -> str:
        is_html = file.media_type == "text/html"
        data = await self._download(file.id, file.url, bytes_max=FILE_BYTES_MAX, is_html=is_html)
        return data.decode(errors="replace")

    async def _earlier(self, channel: str, history: History) -> list[EarlierMessage]:
        shown = [(message, seen(message, by_person=not is_bot(message, self._me))) for message in history.messages]
        # The newest files: of a long thread, what is being talked about.
        files = [file for _, what in reversed(shown) for file in what.files]
        attached = dict(zip(files, await self._attachments(files), strict=True))
        return [
            await self._earlier_message(channel, message, what, [attached[file] for file in what.files])
            for message, what in shown
            if what.text or what.files
        ]

    async def earlier_message(self, channel: str, message: Payload) -> EarlierMessage:
        """A message as `conversations.replies` has it, by anybody."""
        what = seen(message, by_person=not is_bot(message, self._me))
        return await self._earlier_message(channel, message, what, list(await self._attachments(what.files)))

    async def _earlier_message(
        self, channel: str, message: Payload, shown: Seen, files: list[Attachment]
    ) -> EarlierMessage:
        by_program = is_bot(message, self._me)
        user = "" if by_program else text_in(message, "user")
        name = await call_or("users.info", self._name(user), user) if user else author_of(message)
        text = await self.readable(shown.text)
        unread = [file for file in files if not file.text and not file.image]
        names = [f"[file: {one_line(file.name, FILE_NAME_CHARS_MAX)}]" for file in unread]
        cut = f"{len(text) - EARLIER_CHARS_MAX:,} characters" if len(text) > EARLIER_CHARS_MAX else ""
        return EarlierMessage(
            name,
            user,
            "\n".join(filter(None, [text[:EARLIER_CHARS_MAX], *names])),
            f"{channel}:{text_in(message, 'ts')}",
            tuple(files),
            "; ".join(filter(None, (shown.left_out, cut))),
        )


def _enterprise_of(user: Payload) -> object:
    member = user.get("enterprise_user")
    return member.get("enterprise_id") if isinstance(member, Mapping) else None
