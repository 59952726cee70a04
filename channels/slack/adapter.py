"""The way in: Bolt's listeners, thin. What a payload means is `channels.slack.parse`; where it goes is the desk.

Each listener ends before Slack is acknowledged (`process_before_response`), and only when what happened is durable. An
exception, a store that is away for one, leaves it unacknowledged, and Slack delivers it again. Whatever comes again is
known by its ids: a message by its channel and ts, whichever event brings it, a click by request and person.

Names, files and what was said before the mention come from Slack's API. They are worth WAIT_SECONDS_MAX together, out
of the 3 seconds that Slack gives; without them the message itself still lands.

A thread of ours is known by its place. What hangs from another message of ours (one that opened a thread, a card that
is shown elsewhere too) belongs to the thread that the message was said for: its mark tells. Slack is asked for that
once; where it cannot say in time, the event is not acknowledged, and comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Earlier, Inbox, Refused, Words
from channels.slack.blocks import edit_modal, fits_modal, reject_modal
from channels.slack.home import Home, home_view
from channels.slack.marks import thread_in
from channels.slack.parse import (
    ARGUMENT,
    Answer,
    Approve,
    AskEdit,
    AskReason,
    Clicker,
    Deleted,
    EditCall,
    Edited,
    File,
    HomeOpened,
    Ignored,
    Me,
    Reject,
    Said,
    Stopped,
    parse_click,
    parse_event,
)
from channels.slack.place import NAME, Address, place_of, thread_at
from channels.slack.refusals import is_refusal
from channels.slack.text import escape, unescaped
from store.base import StoreUnavailable, UnknownThread
from store.keys import thread_id_of
from store.text import one_line
from store.values import Attachment, Person, Place

log = structlog.get_logger(__name__)

WAIT_SECONDS_MAX = 1.5
HISTORY_MAX = 30
"""Messages of a thread that are read when the agent is called into it: the newest ones."""
FILE_BYTES_MAX = 100_000
"""A text file beyond it is known by its name only."""
FILES_READ_MAX = 3
USERS_MAX = 5_000
USER_SECONDS = 600.0
"""Whoever loses their membership keeps their say for so long at most."""
TITLE_CHARS_MAX = 80
CHANGES_MAX = 1_000
PARENTS_MAX = 5_000
"""Messages of which we remember whose thread hangs from them."""
REFUSED_CHARS_MAX = 2_000
_UNKNOWN_CLICKER = "Slack did not tell me who you are, so nothing was recorded. Please press it again."

_TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml")
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")
_Failures = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError)
T = TypeVar("T")


class Desk(Protocol):
    """What the program alone knows. Each of these but `agent_in` raises StoreUnavailable."""

    def agent_in(self, channel: str, /) -> str:
        """Which agent answers there."""

    async def home_of(self, by: Person) -> Home: ...

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads of the last days, each with the ts of the newest message that is known."""


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    member: bool
    """Of this workspace in full: no guest, no stranger, not gone."""
    email: str
    """Where Slack has seen that they get mail there."""
    good_until: float
    """By the monotonic clock, seconds."""


class SlackAdapter:
    def __init__(self, client: AsyncWebClient, me: Me, inbox: Inbox, desk: Desk) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._desk = desk
        self._users: dict[str, _User] = {}
        self._courtesies: set[asyncio.Task[Any]] = set()
        self._changed: dict[str, Edited | Deleted] = {}
        """The last changes of messages, by message: one may arrive before the message itself."""
        self._parents: dict[tuple[str, str], str] = {}
        """Messages that we asked Slack about, by channel and ts: the thread that each was said for, or nothing."""

    def listen(self, app: AsyncApp) -> None:
        """Register for everything: what has no listener would not be acknowledged, and come again."""
        anything = re.compile("")
        app.event(anything)(self._event)
        app.action(anything)(self._click)
        app.view(anything)(self._click)
        app.view_closed(anything)(_nothing)
        app.shortcut(anything)(_nothing)
        app.command(anything)(_nothing)
        app.options(anything)(_nothing)

    async def _event(self, body: dict[str, Any], ack: AsyncAck) -> None:
        happened = parse_event(body, self._me)
        match happened:
            case Said():
                await self.hear(happened)
            case Edited() | Deleted():
                self._changed[_id(happened)] = happened
                if len(self._changed) > CHANGES_MAX:
                    self._changed.pop(next(iter(self._changed)))
                await self._change(happened)
            case HomeOpened(tab="home"):
                by = await self._person(happened.user, external=False)
                view = home_view(await self._desk.home_of(by))
                await self._try("views.publish", self._client.views_publish(user_id=happened.user, view=view))
            case HomeOpened():
                pass  # the manifest has the suggested prompts
            case Stopped():
                if thread_id := await self._thread_of(happened.channel, happened.thread, ask=True):
                    by = await self._person(happened.user, external=False)
                    with contextlib.suppress(Refused, UnknownThread):
                        await self._inbox.cancel(thread_id, by, "stopped in Slack")
            case Ignored():
                log.debug("slack_ignored", why=happened.why)
        await ack()

    async def _change(self, changed: Edited | Deleted) -> None:
        thread_id = await self._thread_of(changed.channel, changed.thread, ask=changed.parent == self._me.user)
        if not thread_id:
            return
        if isinstance(changed, Edited):
            text = await self._readable(changed.text)
            await self._inbox.edited(thread_id, NAME, event_id=_id(changed), text=text, edit_id=changed.edit)
        else:
            await self._inbox.deleted(thread_id, NAME, event_id=_id(changed))

    async def hear(self, said: Said) -> bool:
        """A person's words. False: they are not for us."""
        begins = said.thread == said.ts
        if begins and not said.to_us:
            return False
        thread_id = ""
        if not begins:
            ask = said.parent == self._me.user or (said.to_us and not said.parent)
            thread_id = await self._thread_of(said.channel, said.thread, ask=ask)
        if not thread_id and not said.to_us:
            return False
        new = not (begins or said.direct or thread_id)
        sender, text, attachments, before = await asyncio.gather(
            self._person(said.user, external=said.external),
            self._readable(said.text),
            self._attachments(said.files),
            self._earlier(said) if new else _no_history(),
        )
        changed = self._changed.get(_id(said))
        if isinstance(changed, Deleted):
            return False  # its author was quicker than we are, or than a redelivery
        if changed:
            text = await self._readable(changed.text)
        place = place_of(self._me.team, said.channel, said.thread)
        # Where it was said is told where it is not what the thread's id is of: the sweep has to know.
        elsewhere = thread_id and thread_id != thread_id_of(place)
        words = Words(
            sender,
            text,
            _id(said),
            attachments=attachments,
            origin={"slack": place.address} if elsewhere else {},
            before=tuple(before),
        )
        if thread_id:
            return await self._inbox.reply(thread_id, NAME, words)
        await self._inbox.message(place, words, agent=self._desk.agent_in(said.channel))
        if said.direct and begins:
            self._entitle(said, text)
        return True

    async def _thread_of(self, channel: str, ts: str, *, ask: bool) -> str:
        """The id of our thread that hangs from this message; empty: none.

        `ask`: the message may be one of ours. Raises SlackApiError, SlackClientError, aiohttp.ClientError,
        TimeoutError, OSError where Slack does not say whose it is.
        """
        known = self._parents.get((channel, ts))
        if known:
            return known
        at = Address(self._me.team, channel, ts)
        thread_id = await self._inbox.thread_at(at.place, at.spot)
        if thread_id or known is not None or not ask:
            return thread_id
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            thread_id = await self._said_for(channel, ts)
        if thread_id and not await self._inbox.goes_on_at(NAME, at.spot, thread_id):
            thread_id = ""
        self._parents[channel, ts] = thread_id
        if len(self._parents) > PARENTS_MAX:
            self._parents.pop(next(iter(self._parents)))
        return thread_id

    async def _said_for(self, channel: str, ts: str) -> str:
        """The id of the thread that a message of ours was said for; empty: it is not ours, or nobody can look."""
        try:
            page: Any = await self._client.conversations_replies(
                channel=channel, ts=ts, limit=1, include_all_metadata=True
            )
        except SlackApiError as error:
            if is_refusal(error):
                return ""
            raise
        parents = (message for message in page["messages"] if message.get("ts") == ts)
        return next((thread_in(parent) for parent in parents if parent.get("user") == self._me.user), "")

    def _entitle(self, said: Said, text: str) -> None:
        """Name the conversation in the agent view. Nobody waits for it."""
        call = self._client.assistant_threads_setTitle(
            channel_id=said.channel, thread_ts=said.thread, title=one_line(text, TITLE_CHARS_MAX) or "(no words)"
        )
        self._later(self._try("assistant.threads.setTitle", call))

    async def _click(self, body: dict[str, Any], ack: AsyncAck) -> None:
        clicked = parse_click(body, self._me)
        wrong: dict[str, str] = {}
        if isinstance(clicked, Ignored):
            log.debug("slack_ignored", why=clicked.why)
        elif isinstance(clicked, AskReason):
            # First of all: the trigger lives for 3 seconds.
            view = reject_modal(_with_place(clicked.value, clicked.by))
            if not await self._try("views.open", self._client.views_open(trigger_id=clicked.trigger, view=view)):
                self._tell(clicked.by, "Slack did not open the form in time. Please press Reject again.")
        else:
            try:
                match clicked:
                    case AskEdit():
                        self._tell(clicked.by, await self._offer(clicked))
                    case EditCall():
                        wrong = await self._edit(clicked)
                    case _:
                        self._tell(clicked.by, await self._settle(clicked))
            except StoreUnavailable:
                # Slack does not deliver a click again.
                self._tell(clicked.by, "That was not recorded: my store is away. Please press it again in a minute.")
                raise
        await (ack(response_action="errors", errors=wrong) if wrong else ack())

    async def _offer(self, asked: AskEdit) -> str:
        """Open the form. Gives what to tell the person alone."""
        # The trigger lives for 3 seconds, and the log says what stands in the request now.
        intent, arguments = await self._inbox.editable(asked.thread_id, step_id=asked.step, digest=asked.digest)
        if not arguments:
            return "There is nothing to change here any more."
        if not any(map(fits_modal, arguments.values())):
            return "That is too long for Slack's form. Reply in the thread what should be different."
        view = edit_modal(_with_place(asked.value, asked.by), intent, arguments)
        opened = await self._try("views.open", self._client.views_open(trigger_id=asked.trigger, view=view))
        return "" if opened else "Slack did not open the form in time. Please press Edit again."

    async def _edit(self, edit: EditCall) -> dict[str, str]:
        """What to say beside the inputs of the form, by block; empty: it was done, and the form closes."""
        changed = {name: text for name, text in edit.arguments.items() if text != edit.before[name]}
        if blank := [name for name, text in changed.items() if not text.strip()]:
            return {f"{ARGUMENT}{name}": "It cannot be empty." for name in blank}
        if not changed:
            return {f"{ARGUMENT}{next(iter(edit.arguments))}": "Nothing is different. Change something, or go back."}
        by = await self._clicker(edit.by)
        told = await self._edited(edit, by, changed) if by else _UNKNOWN_CLICKER
        return {f"{ARGUMENT}{next(iter(changed))}": told[:REFUSED_CHARS_MAX]} if told else {}

    async def _edited(self, edit: EditCall, by: Person, changed: Mapping[str, str]) -> str:
        """Why it was not; empty: it was, and a new card says it."""
        try:
            await self._inbox.edit(
                edit.thread_id,
                by,
                step_id=edit.step,
                digest=edit.digest,
                arguments=changed,
                proof=self._proof(by),
            )
        except UnknownThread:
            return "There is nothing to change here any more."
        except Refused as refused:
            return str(refused)
        return ""

    async def _settle(self, clicked: Approve | Reject | Answer) -> str:
        """What to tell the person alone."""
        by = await self._clicker(clicked.by)
        if by is None:
            return _UNKNOWN_CLICKER
        return await (self._answer(clicked, by) if isinstance(clicked, Answer) else self._decide(clicked, by))

    async def _answer(self, answer: Answer, by: Person) -> str:
        number = -1 if answer.number is None else answer.number
        try:
            await self._inbox.answer(answer.thread_id, by, answer.text, step=answer.step, number=number)
        except (Refused, UnknownThread):
            return "That question needs no answer any more."
        return ""

    async def _decide(self, decided: Approve | Reject, by: Person) -> str:
        try:
            settlement = await self._inbox.decide(
                decided.thread_id,
                by,
                approved=isinstance(decided, Approve),
                comment=decided.reason if isinstance(decided, Reject) else "",
                step_id=decided.step,
                digest=decided.digest,
                proof=self._proof(by),
            )
        except (Refused, UnknownThread):
            return "There is nothing to decide here any more."
        # The card says it.
        return "" if settlement.outcome in ("settled", "counted") else settlement.text

    def _proof(self, by: Person) -> str:
        return f"slack {self._me.team}/{by.address}"

    def _tell(self, clicker: Clicker, text: str) -> None:
        """The person who clicked, alone. Slack is not kept waiting for it."""
        if text and clicker.channel:
            call = self._client.chat_postEphemeral(
                channel=clicker.channel,
                user=clicker.user,
                thread_ts=clicker.thread or None,
                text=escape(text[:REFUSED_CHARS_MAX]),
            )
            self._later(self._try("chat.postEphemeral", call))

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._courtesies.add(task)
        task.add_done_callback(self._courtesies.discard)

    async def aclose(self) -> None:
        await asyncio.gather(*self._courtesies, return_exceptions=True)

    async def _clicker(self, clicker: Clicker) -> Person | None:
        """Who may decide depends on it, so without Slack's word nobody is anybody."""
        user = await self._in_time("users.info", self._user(clicker.user), None)
        return _as_person(clicker.user, user, external=clicker.external) if user else None

    async def _try(self, what: str, call: Awaitable[object]) -> bool:
        """Something that may fail without harm to what is durable already."""
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await call
        except _Failures as error:
            log.warning("slack_call_failed", method=what, error=_told(error))
            return False
        return True

    async def _in_time(self, what: str, call: Awaitable[T], otherwise: T) -> T:
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                return await call
        except _Failures as error:
            log.warning("slack_call_failed", method=what, error=_told(error))
            return otherwise

    # After downtime

    async def sweep(self, place: Place, since: str) -> int:
        """Hear what was said in a thread of ours since that ts while nobody listened. Gives how many messages.

        Raises SlackApiError, SlackClientError, aiohttp.ClientError; what was heard until then is durable.
        """
        address = thread_at(place)
        assert address is not None, f"no thread hangs at {place.address!r}"
        channel, thread = address.channel, address.thread
        heard, cursor = 0, None
        while True:
            page: Any = await self._client.conversations_replies(
                channel=channel, ts=thread, oldest=since, limit=200, cursor=cursor
            )
            for message in page["messages"]:
                event = {"type": "message", "channel": channel, "thread_ts": thread, **message}
                said = parse_event({"event": event}, self._me)
                if isinstance(said, Said) and said.ts > since:
                    heard += await self.hear(said)
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return heard

    # What only Slack's API tells

    async def _person(self, user: str, *, external: bool) -> Person:
        known = await self._in_time("users.info", self._user(user), None)
        return _as_person(user, known, external=external) if known else Person(name=user, address=user)

    async def _name(self, user: str) -> str:
        return (await self._user(user)).name

    async def _user(self, user_id: str) -> _User:
        known = self._users.pop(user_id, None)
        if known is None or known.good_until < time.monotonic():
            answer: Any = await self._client.users_info(user=user_id)
            user = answer["user"]
            profile = user.get("profile") or {}
            name = profile.get("display_name") or profile.get("real_name") or user.get("real_name")
            # Guests see a card too, and nobody gave them a say.
            member = user.get("team_id") == self._me.team and not any(
                user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger", "deleted", "is_bot")
            )
            # Without the scope for it there is none.
            email = profile.get("email") if user.get("is_email_confirmed") is True else ""
            good_until = time.monotonic() + USER_SECONDS
            known = _User(str(name or user.get("name") or user_id), member, str(email or ""), good_until)
        self._users[user_id] = known
        if len(self._users) > USERS_MAX:
            self._users.pop(next(iter(self._users)))
        return known

    async def _readable(self, text: str) -> str:
        """As people read it, without our own mention at its beginning."""
        text = text.removeprefix(f"<@{self._me.user}>").lstrip()
        users = list(dict.fromkeys(_MENTION.findall(text)))[:20]
        if users:
            await asyncio.gather(*(self._in_time("users.info", self._name(user), "") for user in users))
        return unescaped(text, {user: known.name for user in users if (known := self._users.get(user))})

    async def _attachments(self, files: Iterable[File]) -> tuple[Attachment, ...]:
        files = list(files)
        readable = [
            file
            for file in files
            if file.media_type.startswith(_TEXTS)
            and 0 < file.size_bytes <= FILE_BYTES_MAX
            and is_slacks(file.url, self._client.base_url)
        ][:FILES_READ_MAX]
        read = await asyncio.gather(*(self._in_time("the file", self._text_of(file), "") for file in readable))
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
            # Without the right to it, Slack answers 200 with a page to log in.
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

    async def _earlier(self, said: Said) -> list[Earlier]:
        return await self._in_time("conversations.replies", self._replies(said), [])

    async def _replies(self, said: Said) -> list[Earlier]:
        answer: Any = await self._client.conversations_replies(
            channel=said.channel, ts=said.thread, latest=said.ts, inclusive=False, limit=200
        )
        earlier = []
        for message in answer["messages"][-HISTORY_MAX:]:
            ts, user, text = (str(message.get(key) or "") for key in ("ts", "user", "text"))
            if ts == said.ts or not text or user == self._me.user:
                continue
            name = await self._name(user) if user else str(message.get("username") or "a bot")
            earlier.append(Earlier(name, user, await self._readable(text), f"{said.channel}:{ts}"))
        return earlier


def is_slacks(url: str, base_url: str) -> bool:
    """Whether our token may be shown there. An external file's URL is whatever its author says."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        if (parts.scheme, parts.netloc) == (base.scheme, base.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith((".slack.com", ".slack-gov.com"))
    except ValueError:
        return False


async def _nothing(ack: AsyncAck) -> None:
    await ack()


async def _no_history() -> list[Earlier]:
    return []


def _as_person(address: str, user: _User, *, external: bool) -> Person:
    if external or not user.member:
        return Person(name=user.name, address=address, trust="unverified")
    return Person(name=user.name, address=address, trust="verified", email=user.email)


def _id(at: Said | Edited | Deleted) -> str:
    """The same message comes as a mention, as a message, by a redelivery and by the sweep."""
    return f"{at.channel}:{at.ts}"


def _with_place(value: str, clicker: Clicker) -> str:
    """What the modal gives back: the button's value, and where to answer the person."""
    return json.dumps(json.loads(value) | {"c": clicker.channel, "p": clicker.thread}, separators=(",", ":"))


def _told(error: BaseException) -> str:
    if isinstance(error, SlackApiError):
        return str(error.response.get("error"))
    return f"{type(error).__name__}: {error}"[:200]
