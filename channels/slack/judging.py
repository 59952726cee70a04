"""Looks up who clicked, does what they clicked, and says what they are to be told.

The inbox judges each click: this module only passes it on, with who it was and when. Doing the same click again changes
nothing: a worker may die in the middle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import assert_never

from channels.inbound import Inbox, Refused
from channels.slack.clicks import Answer, Approve, EditCall, Rate, Reject
from channels.slack.events import Installation, Stopped
from channels.slack.place import NAME
from channels.slack.reading import MessageReader
from store.arrivals import ClickArrived
from store.base import UnknownThread
from store.values import Person

Act = Approve | Reject | Answer | Rate | EditCall | Stopped
"""What counts for something, and therefore needs to be known by whom."""

UNKNOWN_PERSON = "I could not look up who you are in Slack, so nothing was recorded. Please click again."
GONE = "There is nothing left to decide here."
GONE_QUESTION = "This question no longer needs an answer."
GONE_THREAD = "That thread is not kept any more."
GONE_REQUEST = "This request can no longer be changed."


class Judging:
    def __init__(self, me: Installation, reader: MessageReader, inbox: Inbox) -> None:
        self._me = me
        self._reader = reader
        self._inbox = inbox

    async def judge(self, act: Act, thread_id: str, clicked: ClickArrived | None) -> str | None:
        """What to tell the person; empty: nothing. None: Slack did not say who it was, so nothing was done.

        `clicked`: what arrived; None: they do it now. Raises StoreUnavailable.
        """
        user, external = (act.user, False) if isinstance(act, Stopped) else (act.by.user, act.by.external)
        by = await self._reader.person_who_decides(user, external=external)
        return await self._done(act, by, thread_id, clicked) if by else None

    async def _done(self, act: Act, by: Person, thread_id: str, clicked: ClickArrived | None) -> str:
        match act:
            case Answer():
                return await self._answer(act, by, clicked)
            case Rate():
                return await self._rate(act, by)
            case Approve() | Reject():
                return await self._decide(act, by, clicked)
            case EditCall():
                edited = "Edited. A new request follows once it is checked." if act.by.is_at_home else ""
                return await self.edit(act, by, act.changed, clicked) or edited
            case Stopped():
                return await self.stop(act, by, thread_id, clicked)
        assert_never(act)

    async def edit(
        self, edit: EditCall, by: Person, changed: Mapping[str, str], clicked: ClickArrived | None = None
    ) -> str:
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
                clicked=clicked,
            )
        except UnknownThread:
            return GONE_REQUEST
        except Refused as refused:
            return str(refused)
        return ""

    async def _rate(self, rated: Rate, by: Person) -> str:
        event_id = f"{rated.by.user}:{rated.ts}"
        known = await self._inbox.rate(
            rated.thread_id, NAME, by, step=rated.step, helpful=rated.helpful, event_id=event_id
        )
        return "Noted on this thread. Reply here to say more." if known else GONE_THREAD

    async def _answer(self, answer: Answer, by: Person, clicked: ClickArrived | None) -> str:
        number = -1 if answer.number is None else answer.number
        try:
            await self._inbox.answer(
                answer.thread_id, by, answer.text, step=answer.step, number=number, clicked=clicked
            )
        except Refused as refused:
            return str(refused) if refused.reason in ("moved", "not_entitled") else GONE_QUESTION
        except UnknownThread:
            return GONE_QUESTION
        return "Your answer is in the thread." if answer.by.is_at_home else ""

    async def _decide(self, decided: Approve | Reject, by: Person, clicked: ClickArrived | None) -> str:
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
                clicked=clicked,
            )
        except UnknownThread:
            return GONE
        except Refused as refused:
            return str(refused) if refused.reason == "moved" else GONE  # Older clicks are judged first.
        # If the decision counts, the updated card shows it; App Home only loses the request.
        is_shown = result.outcome in ("settled", "counted") and not decided.by.is_at_home
        return "" if is_shown else result.text

    async def stop(self, stopped: Stopped, by: Person, thread_id: str, clicked: ClickArrived | None = None) -> str:
        """Why it was not stopped; empty: it was, which the thread says."""
        try:
            with contextlib.suppress(UnknownThread):
                await self._inbox.stop(thread_id, by, channel=NAME, event_id=stopped.id, clicked=clicked)
        except Refused as refused:
            return str(refused)
        return ""

    def _proof(self, by: Person) -> str:
        return f"slack {self._me.team}/{by.address}"
