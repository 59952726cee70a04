"""Tells a person that the mailbox waits for a login, once for all processes, and notes when it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from channels.base import SendFailed
from channels.email.servers import LoginRefused
from store.base import NoteStore, StoreUnavailable

log = structlog.get_logger(__name__)

TellPerson = Callable[[str, str], Awaitable[None]]
"""Tell a person, by a key and a text. The same key is told once. Raises SendFailed to be called again."""
_OVER = "over"


class LoginNews:
    def __init__(self, notes: NoteStore, name: str, tell: TellPerson) -> None:
        """`name`: of the mailbox, in the store."""
        self._notes = notes
        self._note = f"{name} login"
        self._tell = tell
        self._known = ""
        """The refusal that this process knows to be told; empty: none, as far as it knows."""
        self._is_over = False

    async def refused(self, error: LoginRefused) -> None:
        """Call it again and again while the login is refused: what fails is tried again."""
        self._is_over = False
        if self._known == error.key:
            return
        try:
            told = await self._notes.get_note(self._note)
            if told != error.key:
                await self._tell(
                    f"mail-login-{error.key}", f"{error} Until then I read and send no mail; none is lost."
                )
                await self._notes.set_note(self._note, error.key, expected=told)
            self._known = error.key
        except SendFailed as failure:
            log.warning("mail_login_not_told", error=str(failure))
        except StoreUnavailable as away:
            log.warning("mail_waits_for_store", error=str(away))

    async def over(self) -> None:
        """The mailbox is open. The same refusal is told again if it comes back. Raises StoreUnavailable."""
        if self._is_over:
            return
        told = await self._notes.get_note(self._note)
        if told not in ("", _OVER):
            await self._notes.set_note(self._note, _OVER, expected=told)
            log.info("mail_login_works")
        self._known, self._is_over = "", True
