"""Handles clicks and modal submissions: passes them to the inbox, and tells the result to that person in private.

Slack does not redeliver clicks, so if nothing was recorded, the person is asked to click again. This module judges no
decision: the button names the request, and the inbox judges. A click in App Home goes the same way as one on a card;
only the answer is shown there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

import structlog
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Inbox, Refused
from channels.slack.buttons import ButtonValue
from channels.slack.calls import BackgroundCalls, try_call
from channels.slack.clicks import (
    ARGUMENT,
    Answer,
    Approve,
    AskAnswer,
    AskEdit,
    AskReason,
    Clicker,
    EditCall,
    Rate,
    Reject,
    parse_click,
)
from channels.slack.events import Ignored, Installation
from channels.slack.home_tab import HomeTab
from channels.slack.modals import answer_modal, edit_modal, fits_modal, reject_modal
from channels.slack.place import NAME
from channels.slack.reading import MessageReader
from channels.slack.text import escape
from store.base import StoreUnavailable, UnknownThread
from store.values import Person

log = structlog.get_logger(__name__)

REFUSED_CHARS_MAX = 2_000
CLOSED = "This question no longer needs an answer."
_UNKNOWN_PERSON = "I could not look up who you are in Slack, so nothing was recorded. Please click again."


class ClickHandler:
    def __init__(
        self,
        client: AsyncWebClient,
        me: Installation,
        inbox: Inbox,
        reader: MessageReader,
        home: HomeTab,
        background: BackgroundCalls,
    ) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._reader = reader
        self._home = home
        self._background = background

    async def click(self, body: dict[str, Any], ack: AsyncAck) -> None:
        clicked = parse_click(body, self._me)
        wrong: dict[str, str] = {}
        if isinstance(clicked, Ignored):
            log.debug("slack_ignored", why=clicked.why)
        elif isinstance(clicked, AskReason | AskAnswer):
            await self._open_text_form(clicked)
        else:
            try:
                match clicked:
                    case AskEdit():
                        self.tell_privately(clicked.by, await self._open_edit_form(clicked))
                    case EditCall():
                        wrong = await self._edit(clicked)
                        if not wrong and clicked.by.is_at_home:
                            self.tell_privately(clicked.by, "Edited. A new request follows once it is checked.")
                    case _:
                        self.tell_privately(clicked.by, await self._record(clicked))
            except StoreUnavailable:
                # Slack does not redeliver clicks.
                self.tell_privately(
                    clicked.by, "That was not recorded: I cannot reach my database. Please click again in a minute."
                )
                raise
        await (ack(response_action="errors", errors=wrong) if wrong else ack())

    async def _open_text_form(self, asked: AskReason | AskAnswer) -> None:
        # Before anything else, because the trigger expires after 3 seconds.
        value = _with_place(asked.value, asked.by)
        view, button = (
            (reject_modal(value), "Reject") if isinstance(asked, AskReason) else (answer_modal(value), "Answer")
        )
        if not await try_call("views.open", self._client.views_open(trigger_id=asked.trigger, view=view)):
            self.tell_privately(asked.by, f"Slack did not open the form in time. Please press {button} again.")

    async def _open_edit_form(self, asked: AskEdit) -> str:
        """Open the edit form. Returns what to tell the person; empty: nothing."""
        # Load the current arguments from the log. The trigger expires after 3 seconds.
        intent, arguments = await self._inbox.editable(asked.thread_id, step_id=asked.step, digest=asked.digest)
        if not arguments:
            return "This request can no longer be changed."
        if not any(map(fits_modal, arguments.values())):
            return "The text is too long for Slack's form. Reply in the thread with the changes you want."
        view = edit_modal(_with_place(asked.value, asked.by), intent, arguments)
        opened = await try_call("views.open", self._client.views_open(trigger_id=asked.trigger, view=view))
        return "" if opened else "Slack did not open the form in time. Please press Edit again."

    async def _edit(self, edit: EditCall) -> dict[str, str]:
        """Error messages for the form, by block id; empty: the edit was recorded, and the form closes."""
        changed = {name: text for name, text in edit.arguments.items() if text != edit.before[name]}
        if blank := [name for name, text in changed.items() if not text.strip()]:
            return {f"{ARGUMENT}{name}": "This cannot be empty." for name in blank}
        if not changed:
            return {f"{ARGUMENT}{next(iter(edit.arguments))}": "Nothing has changed. Change something, or go back."}
        by = await self._person(edit.by)
        problem = await self._edited(edit, by, changed) if by else _UNKNOWN_PERSON
        return {f"{ARGUMENT}{next(iter(changed))}": problem[:REFUSED_CHARS_MAX]} if problem else {}

    async def _edited(self, edit: EditCall, by: Person, changed: Mapping[str, str]) -> str:
        """Why the edit was not recorded; empty: it was, and a new card will show it."""
        try:
            await self._inbox.edit(
                edit.thread_id,
                by,
                step_id=edit.step,
                digest=edit.digest,
                arguments=changed,
                proof=self._proof(by),
                way="slack",
            )
        except UnknownThread:
            return "This request can no longer be changed."
        except Refused as refused:
            return str(refused)
        return ""

    async def _record(self, clicked: Approve | Reject | Answer | Rate) -> str:
        """Record the click. Returns what to tell the person; empty: nothing."""
        by = await self._person(clicked.by)
        if by is None:
            return _UNKNOWN_PERSON
        match clicked:
            case Answer():
                return await self._answer(clicked, by)
            case Rate():
                return await self._rate(clicked, by)
            case Approve() | Reject():
                return await self._decide(clicked, by)
        assert_never(clicked)

    async def _rate(self, rated: Rate, by: Person) -> str:
        event_id = f"{rated.by.user}:{rated.ts}"
        known = await self._inbox.rate(
            rated.thread_id, NAME, by, step=rated.step, helpful=rated.helpful, event_id=event_id
        )
        return "Noted on this thread. Reply here to say more." if known else "That thread is not kept any more."

    async def _answer(self, answer: Answer, by: Person) -> str:
        number = -1 if answer.number is None else answer.number
        try:
            await self._inbox.answer(answer.thread_id, by, answer.text, step=answer.step, number=number)
        except Refused as refused:
            return str(refused) if refused.reason in ("moved", "not_entitled") else CLOSED
        except UnknownThread:
            return CLOSED
        return "Your answer is in the thread." if answer.by.is_at_home else ""

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
                way="slack",
            )
        except (Refused, UnknownThread):
            return "There is nothing left to decide here."
        # If the decision counts, the updated card shows it; App Home only loses the request.
        is_shown = result.outcome in ("settled", "counted") and not decided.by.is_at_home
        return "" if is_shown else result.text

    async def _person(self, clicker: Clicker) -> Person | None:
        return await self._reader.person_who_decides(clicker.user, external=clicker.external)

    def _proof(self, by: Person) -> str:
        return f"slack {self._me.team}/{by.address}"

    def tell_privately(self, clicker: Clicker, text: str) -> None:
        """Tell the person who clicked in private, in the background: where they clicked, also in their App Home."""
        if clicker.is_at_home:
            self._home.show_soon(clicker.user, text)
        elif text:
            call = self._client.chat_postEphemeral(
                channel=clicker.channel,
                user=clicker.user,
                thread_ts=clicker.thread or None,
                text=escape(text[:REFUSED_CHARS_MAX]),
            )
            self._background.start(try_call("chat.postEphemeral", call))


def _with_place(value: ButtonValue, clicker: Clicker) -> ButtonValue:
    """The button's value with the place to answer the person at, for a modal to bring back."""
    return replace(value, channel=clicker.channel, thread=clicker.thread)
