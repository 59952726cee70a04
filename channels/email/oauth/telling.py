"""Tells a person that nobody can log in to the mailbox: once for all processes, and again when it comes back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import structlog

from channels.base import SendFailed
from store.base import NoteStore, StoreUnavailable, boot_seconds

log = structlog.get_logger(__name__)

TellPerson = Callable[[str, str], Awaitable[None]]
"""Tell a person, by a key and a text. The same key is told once. Raises SendFailed to be called again."""

TELL_AGAIN_SECONDS = 300.0
"""After an attempt that failed: the place of the alerts may be a mailbox that waits for the same login."""


class LoginNews:
    def __init__(
        self, notes: NoteStore, name: str, tell: TellPerson, *, clock: Callable[[], float] = boot_seconds
    ) -> None:
        """`name`: of the mailbox, in the store. `clock`: seconds."""
        self._notes = notes
        self._note = f"{name} login"
        self._tell = tell
        self._clock = clock
        self._known: str | None = None
        """What this process knows to be told; empty: nothing is to be told; None: it has not looked yet."""
        self._again_at = 0.0

    async def refused(self, key: str, text: str) -> None:
        """Call it again and again, until `over`: what fails is tried again. `key`: the same for the same reason."""
        if self._known == key or self._clock() < self._again_at:
            return
        try:
            before = await self._notes.get_note(self._note)
            number, told = _parsed(before)
            if told != key:
                await self._tell(f"mail-login-{number}-{key}", text)
                await self._notes.set_note(self._note, json.dumps([number, key]), expected=before)
            self._known = key
        except SendFailed as error:
            self._again_at = self._clock() + TELL_AGAIN_SECONDS
            log.warning("mail_login_not_told", error=str(error))
        except StoreUnavailable as error:
            log.warning("mail_waits_for_store", error=str(error))

    async def over(self) -> None:
        """The mailbox is open. Raises StoreUnavailable."""
        if self._known == "":
            return
        before = await self._notes.get_note(self._note)
        number, told = _parsed(before)
        if told:
            await self._notes.set_note(self._note, json.dumps([number + 1, ""]), expected=before)
            log.info("mail_login_works")
        self._known, self._again_at = "", 0.0


def _parsed(note: str) -> tuple[int, str]:
    """How often it was over, and what was told since."""
    number, told = json.loads(note) if note else (0, "")
    return number, told
