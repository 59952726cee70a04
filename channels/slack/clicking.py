"""What people click in Slack goes to the inbox; what comes of it is told to that person alone, or beside the form.

Slack does not deliver a click again, so where nothing was recorded the person is asked to press again. Nothing is
decided here: a button says which request it is for, and the thread says what it may still do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Inbox, Refused
from channels.slack.buttons import ButtonValue
from channels.slack.calls import Later, tried
from channels.slack.clicks import (
    ARGUMENT,
    Answer,
    Approve,
    AskEdit,
    AskReason,
    Clicker,
    EditCall,
    Reject,
    parse_click,
)
from channels.slack.events import Ignored, Me
from channels.slack.modals import edit_modal, fits_modal, reject_modal
from channels.slack.seen import Seen
from channels.slack.text import escape
from store.base import StoreUnavailable, UnknownThread
from store.values import Person

log = structlog.get_logger(__name__)

REFUSED_CHARS_MAX = 2_000
_UNKNOWN_CLICKER = "Slack did not tell me who you are, so nothing was recorded. Please press it again."


class Clicking:
    def __init__(self, client: AsyncWebClient, me: Me, inbox: Inbox, seen: Seen, later: Later) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._seen = seen
        self._later = later

    async def click(self, body: dict[str, Any], ack: AsyncAck) -> None:
        clicked = parse_click(body, self._me)
        wrong: dict[str, str] = {}
        if isinstance(clicked, Ignored):
            log.debug("slack_ignored", why=clicked.why)
        elif isinstance(clicked, AskReason):
            # First of all: the trigger lives for 3 seconds.
            view = reject_modal(_with_place(clicked.value, clicked.by))
            if not await tried("views.open", self._client.views_open(trigger_id=clicked.trigger, view=view)):
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
                self._tell(
                    clicked.by, "That was not recorded: I cannot reach my database. Please press it again in a minute."
                )
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
        opened = await tried("views.open", self._client.views_open(trigger_id=asked.trigger, view=view))
        return "" if opened else "Slack did not open the form in time. Please press Edit again."

    async def _edit(self, edit: EditCall) -> dict[str, str]:
        """What to say beside the inputs of the form, by block; empty: it was done, and the form closes."""
        changed = {name: text for name, text in edit.arguments.items() if text != edit.before[name]}
        if blank := [name for name, text in changed.items() if not text.strip()]:
            return {f"{ARGUMENT}{name}": "It cannot be empty." for name in blank}
        if not changed:
            return {f"{ARGUMENT}{next(iter(edit.arguments))}": "Nothing is different. Change something, or go back."}
        by = await self._person(edit.by)
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
        by = await self._person(clicked.by)
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
            result = await self._inbox.decide(
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
        return "" if result.outcome in ("settled", "counted") else result.text

    async def _person(self, clicker: Clicker) -> Person | None:
        return await self._seen.person_who_decides(clicker.user, external=clicker.external)

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
            self._later.do(tried("chat.postEphemeral", call))


def _with_place(value: ButtonValue, clicker: Clicker) -> ButtonValue:
    """What a form gives back: the button's value, and where to answer the person."""
    return replace(value, channel=clicker.channel, thread=clicker.thread)
