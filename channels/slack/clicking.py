"""Handles clicks and modal submissions: appends them as they arrived, and opens the forms that they ask for.

Only then is it looked up who clicked, and judged (`channels.slack.judging`), by the thread's worker alone: no call to
Slack stands between a click and its being durable, and what somebody was told is what came of it. An edit by a person
whom this process knows is judged at once, so that its form can say what is wrong. Slack does not redeliver clicks, so
if nothing was recorded, the person is asked to click again. A click in App Home goes the same way as one on a card;
only the answer is shown there.

Of one person's clicks on one request only so many are kept (`Inbox.clicked`). Later ones are judged at once, by this
process: what comes of it is durable, the attempt is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from channels.inbound import Inbox, Kept
from channels.slack.buttons import ButtonValue
from channels.slack.calls import BackgroundCalls, try_call, unhurried
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
from channels.slack.judging import (
    GONE,
    GONE_QUESTION,
    GONE_REQUEST,
    GONE_THREAD,
    UNKNOWN_PERSON,
    Act,
    Judging,
)
from channels.slack.modals import answer_modal, edit_modal, fits_modal, reject_modal
from channels.slack.payloads import click_of
from channels.slack.private import Private
from channels.slack.reading import MessageReader
from store.base import StoreUnavailable
from store.codec import EventTooLarge

log = structlog.get_logger(__name__)

REFUSED_CHARS_MAX = 2_000
NOT_RECORDED = "That was not recorded: I cannot reach my database. Please click again in a minute."
RATED_OFTEN = "You have rated this message several times, and I note no more of it. Reply here to say more."


class ClickHandler:
    def __init__(
        self,
        client: AsyncWebClient,
        me: Installation,
        inbox: Inbox,
        reader: MessageReader,
        private: Private,
        judging: Judging,
        background: BackgroundCalls,
    ) -> None:
        self._client = client
        self._me = me
        self._inbox = inbox
        self._reader = reader
        self._private = private
        self._judging = judging
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
                        self._private.tell(clicked.by, await self._open_edit_form(clicked))
                    case EditCall():
                        wrong = await self._edit(clicked)
                    case _:
                        if problem := await self._append(clicked):
                            self._private.tell(clicked.by, problem)
            except StoreUnavailable:
                # Slack does not redeliver clicks.
                self._private.tell(clicked.by, NOT_RECORDED)
                raise
        await (ack(response_action="errors", errors=wrong) if wrong else ack())

    async def _open_text_form(self, asked: AskReason | AskAnswer) -> None:
        # Before anything else, because the trigger expires after 3 seconds.
        value = _with_place(asked.value, asked.by)
        view, button = (
            (reject_modal(value), "Reject") if isinstance(asked, AskReason) else (answer_modal(value), "Answer")
        )
        if not await try_call("views.open", self._client.views_open(trigger_id=asked.trigger, view=view)):
            self._private.tell(asked.by, f"Slack did not open the form in time. Please press {button} again.")

    async def _open_edit_form(self, asked: AskEdit) -> str:
        """Open the edit form. Returns what to tell the person; empty: nothing."""
        # Load the current arguments from the log. The trigger expires after 3 seconds.
        intent, arguments = await self._inbox.editable(asked.thread_id, step_id=asked.step, digest=asked.digest)
        if not arguments:
            return GONE_REQUEST
        if not any(map(fits_modal, arguments.values())):
            return "The text is too long for Slack's form. Reply in the thread with the changes you want."
        view = edit_modal(_with_place(asked.value, asked.by), intent, arguments)
        # Who it is must be known when the form comes back, for the form to say what is wrong.
        opened, _ = await asyncio.gather(
            try_call("views.open", self._client.views_open(trigger_id=asked.trigger, view=view)),
            self._reader.person_who_decides(asked.by.user, external=asked.by.external),
        )
        return "" if opened else "Slack did not open the form in time. Please press Edit again."

    async def _edit(self, edit: EditCall) -> dict[str, str]:
        """Error messages for the form, by block id; empty: the edit was recorded or will be judged. The form closes."""
        changed = edit.changed
        if blank := [name for name, text in changed.items() if not text.strip()]:
            return {f"{ARGUMENT}{name}": "This cannot be empty." for name in blank}
        if not changed:
            return {f"{ARGUMENT}{next(iter(edit.arguments))}": "Nothing has changed. Change something, or go back."}
        by = self._reader.known_person(edit.by.user, external=edit.by.external)
        problem = await self._judging.edit(edit, by, changed) if by else await self._append(edit)
        if by and not problem and edit.by.is_at_home:
            self._private.tell(edit.by, "Edited. A new request follows once it is checked.")
        return {f"{ARGUMENT}{next(iter(changed))}": problem[:REFUSED_CHARS_MAX]} if problem else {}

    async def append(self, act: Act, thread_id: str) -> Kept:
        """Append it as it arrived. Raises StoreUnavailable, EventTooLarge."""
        return await self._inbox.clicked(thread_id, click_of(act))

    async def _append(self, act: Approve | Reject | Answer | Rate | EditCall) -> str:
        """Append it as it arrived. Returns why not; empty: it is appended, or judged. Raises StoreUnavailable."""
        try:
            kept = await self.append(act, act.thread_id)
        except EventTooLarge as error:
            return f"That is too long: {error}"
        match kept, act:
            case "kept", _:
                return ""
            case "too_many", Rate():
                return RATED_OFTEN  # Each that is noted is an event.
            case "too_many", _:
                self._background.start(self._judge_at_once(act))
                return ""
            case _, Answer():
                return GONE_QUESTION
            case _, Rate():
                return GONE_THREAD
            case _, EditCall():
                return GONE_REQUEST
            case _:
                return GONE

    async def _judge_at_once(self, act: Approve | Reject | Answer | Rate | EditCall) -> None:
        """In place of a worker. The person is told what came of it, also if nothing did."""
        try:
            with unhurried():
                told = await self._judging.judge(act, act.thread_id, None)
        except StoreUnavailable:
            told = NOT_RECORDED
        except Exception:  # The person must hear of it: nothing else will come of the click.
            log.exception("click_not_judged", thread=act.thread_id)
            told = NOT_RECORDED
        self._private.tell(act.by, UNKNOWN_PERSON if told is None else told)


def _with_place(value: ButtonValue, clicker: Clicker) -> ButtonValue:
    """The button's value with the place to answer the person at, for a modal to bring back."""
    return replace(value, channel=clicker.channel, thread=clicker.thread)
