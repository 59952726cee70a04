"""When nobody listened to Slack: kept in one note of the store, so that any process can catch up, and one does.

Whoever listens says so every few seconds (`present`). If the last word is too old, nobody listened in between: the
programs were down, the store was away, or the machine slept. What was posted since then has to be read. Reading is
claimed for a limited time, so that another process goes on if the one that reads dies.

This module reads nothing from Slack. `channels.slack.sweep` does.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from channels.slack.place import NAME
from store.base import NoteStore

ABSENT_SECONDS = 90.0
"""A longer silence is an absence."""
CLAIM_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Watch:
    """Times are in seconds since 1970, as in Slack's timestamps; 0: none."""

    until: float = 0
    """Until then somebody listened."""
    since: float = 0
    """What was posted from then on is to be read."""
    reading: float = 0
    """What was posted from then on is being read, or was, by a process that died."""
    read: float = 0
    """When the last reading began."""
    by: str = ""
    claimed_until: float = 0

    @classmethod
    def parse(cls, text: str) -> Watch:
        return cls(**json.loads(text)) if text else cls()

    def __str__(self) -> str:
        return json.dumps(dataclasses.asdict(self))


class Absences:
    def __init__(self, notes: NoteStore, team: str, clock: Callable[[], datetime]) -> None:
        self._notes = notes
        self._name = f"{NAME}/listened/{team}"
        self._clock = clock
        self._me = secrets.token_hex(8)

    def now(self) -> float:
        return self._clock().timestamp()

    async def present(self, *, was_away: bool, read_again_seconds: float = 0) -> bool:
        """Somebody listens now. Returns whether something is to be read. Raises StoreUnavailable.

        `was_away`: this process did not listen just now. `read_again_seconds`: what was posted since the last reading
        is to be read if that is so long ago; 0: never.
        """

        def heard(watch: Watch) -> Watch:
            now = self.now()
            missed = [watch.since]
            if was_away or now - watch.until > ABSENT_SECONDS:
                # At the very first start, nothing of what was posted before is for us.
                missed.append(watch.until or now)
            if read_again_seconds and watch.read and now - watch.read > read_again_seconds:
                missed.append(watch.read)
            return replace(watch, until=max(now, watch.until), since=min(filter(None, missed), default=0))

        return bool((await self._change(heard)).since)

    async def claim(self) -> float | None:
        """From when on this process is to read; None: nothing is to be read, or another process reads.

        Raises StoreUnavailable.
        """

        def claimed(watch: Watch) -> Watch:
            now = self.now()
            since = min(filter(None, (watch.since, watch.reading)), default=0)
            if not since or (watch.by not in ("", self._me) and watch.claimed_until > now):
                return watch
            until = now + CLAIM_SECONDS
            return replace(watch, since=0, reading=since, read=now, by=self._me, claimed_until=until)

        watch = await self._change(claimed)
        return watch.reading if watch.reading and watch.by == self._me else None

    async def hold(self) -> bool:
        """Keep the claim. False: another process has it now. Raises StoreUnavailable."""

        def held(watch: Watch) -> Watch:
            return replace(watch, claimed_until=self.now() + CLAIM_SECONDS) if watch.by == self._me else watch

        return (await self._change(held)).by == self._me

    async def let_go(self, *, all_read: bool) -> None:
        """Give the claim up. Unless all was read, it is to be read again. Raises StoreUnavailable."""

        def let_go(watch: Watch) -> Watch:
            if watch.by != self._me:
                return watch
            return replace(watch, by="", claimed_until=0, reading=0 if all_read else watch.reading)

        await self._change(let_go)

    async def _change(self, change: Callable[[Watch], Watch]) -> Watch:
        while True:
            known = await self._notes.get_note(self._name)
            before = Watch.parse(known)
            after = change(before)
            if after == before or await self._notes.set_note(self._name, str(after), expected=known):
                return after
