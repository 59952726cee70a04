"""The login that a person made: its refresh token, encrypted in our store, and replaced when it is rotated."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from channels.email.oauth.account import Account
from store.base import NoteStore
from store.sealed import SealedNote, SecretKeys

TRIES_MAX = 10


@dataclass(frozen=True, slots=True)
class Login:
    refresh_token: str = field(repr=False)
    client: str
    """The app that it is for: `Account.client`."""
    at: str
    """When the person logged in, ISO 8601."""


class Logins:
    """The login of one mailbox. Every method raises StoreUnavailable."""

    def __init__(self, notes: NoteStore, keys: SecretKeys, account: Account) -> None:
        self._client = account.client
        self._note = SealedNote(notes, f"email/login/{account.mailbox.lower()}", keys, purpose="email login")

    async def read(self) -> Login | None:
        """None: there is none, or it was made for another app, or with another key of ours."""
        text = await self._note.read()
        found = Login(**json.loads(text)) if text else None
        return found if found and found.refresh_token and found.client == self._client else None

    async def rotate(self, login: Login, refresh_token: str) -> bool:
        """Durable when it returns True. False: somebody else has replaced the login, which is to be read again."""
        return await self._note.replace(_text(replace(login, refresh_token=refresh_token)))

    async def keep(self, login: Login) -> None:
        """Whatever was there before."""
        await self._put(_text(login))

    async def forget(self) -> Login | None:
        """What it was."""
        before = await self.read()
        await self._put("")
        return before

    async def _put(self, text: str) -> None:
        for _ in range(TRIES_MAX):
            if await self._note.replace(text):
                return
            await self._note.read()
        raise AssertionError("somebody else replaces the login all the time")


def _text(login: Login) -> str:
    return json.dumps({"refresh_token": login.refresh_token, "client": login.client, "at": login.at})
