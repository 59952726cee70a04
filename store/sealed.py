"""Secrets that we keep ourselves: notes in the store that only who has our key can read.

The key comes from the settings. The embedded store, which nobody else reads, keeps one of its own. This module knows
nothing of what it encrypts, and logs none of it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from store.base import NoteStore

SecretKeys = Callable[[], Awaitable[Sequence[str]]]
"""The first one encrypts, all decrypt. Raises StoreUnavailable."""


class SealedNote:
    """One note. Every method raises StoreUnavailable."""

    def __init__(self, notes: NoteStore, name: str, keys: SecretKeys, *, purpose: str) -> None:
        """`purpose`: what is encrypted for one purpose cannot pass for something else."""
        self._notes = notes
        self._name = name
        self._keys = keys
        self._purpose = purpose
        self._found = ""
        """The note as it was read last, which `replace` replaces."""

    async def read(self) -> str:
        """Empty: there is none, or it was encrypted with another key."""
        self._found = await self._notes.get_note(self._name)
        if not self._found:
            return ""
        try:
            return (await self._cipher()).decrypt(self._found).decode()
        except InvalidToken:
            return ""

    async def replace(self, text: str) -> bool:
        """Durable when it returns True. False: another process has replaced the note since it was read."""
        sealed = (await self._cipher()).encrypt(text.encode()).decode()
        replaced = await self._notes.set_note(self._name, sealed, expected=self._found)
        if replaced:
            self._found = sealed
        return replaced

    async def _cipher(self) -> MultiFernet:
        prefix = f"{self._purpose}:"
        digests = (hashlib.sha256(f"{prefix}{key}".encode()).digest() for key in await self._keys())
        return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


async def kept_secret(notes: NoteStore) -> str:
    """The secret that the embedded store keeps, so that all processes have the same. Nobody else reads that store."""
    await notes.set_note("secret", secrets.token_hex(32), expected="")
    return await notes.get_note("secret")
