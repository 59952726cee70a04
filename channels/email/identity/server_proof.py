"""The record of whether our mail server is proven to remove forged verdicts on senders.

We believe what our receiving server writes into Authentication-Results, so nobody else may be able to write it. That is
proven by `channels.email.identity.self_test`, and noted in the store. The proof holds for one mailbox (with its
UIDVALIDITY, which changes when the mailbox moves), one address and the names in EMAIL_AUTHSERV_ID, for VALID_DAYS.
Without it no reply decides; links do.

This module tests nothing, and it never says that a proof holds when the store cannot tell.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from channels.email.servers import MailServer
from store.base import NoteStore
from store.text import instant

VALID_DAYS = 8
RENEW_DAYS = 7
"""A test is due so long after the last one that passed."""
RETRY_SECONDS = 10
"""After a test that did not pass. It doubles each time, up to RETRY_SECONDS_MAX."""
RETRY_SECONDS_MAX = 3_600
CLAIM_SECONDS = 150
"""A process that tests has so long; then it is taken to have died, and another one may."""

REMEDY = "`bot doctor` tests it again at once; the running program does it by itself."


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """Times are seconds since the epoch; 0: never."""

    bound_to: str = ""
    proven_at: float = 0
    tried_at: float = 0
    failures: int = 0
    """Tests that did not pass since the last one that did."""
    trouble: str = ""
    """Why the last test did not pass, in sentences; empty: it passed."""
    claim: str = ""
    """Of the process that is testing."""
    claimed_until: float = 0

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> ProofRecord:
        """What cannot be read proves nothing."""
        try:
            return cls(**json.loads(text)) if text else cls()
        except (TypeError, ValueError):
            return cls()


class ServerProof:
    """Every method raises StoreUnavailable. `validity`: the UIDVALIDITY of the mailbox now."""

    def __init__(
        self, notes: NoteStore, mailbox: MailServer, address: str, authserv_ids: str, clock: Callable[[], datetime]
    ) -> None:
        self._notes = notes
        self._clock = clock
        self._name = f"email/{mailbox.user}@{mailbox.where}/{mailbox.folder} proof"
        self._bound_to = [address.lower(), *sorted(authserv_ids.replace(",", " ").lower().split())]

    async def why_missing(self, validity: int) -> str:
        """In sentences, with the remedy; empty: our mail server is proven."""
        record = await self._record(validity)
        if self._holds(record):
            return ""
        if record.trouble:
            return f"The last test, at {_instant(record.tried_at)}, did not pass: {record.trouble} {REMEDY}"
        if record.proven_at:
            return f"The proof is old: the last test that passed was at {_instant(record.proven_at)}. {REMEDY}"
        return f"The mail server was not tested yet with this mailbox and these names. {REMEDY}"

    async def proven_until(self, validity: int) -> str:
        """The end of the proof, in words; empty: there is none."""
        record = await self._record(validity)
        return _instant(record.proven_at + VALID_DAYS * 86_400) if self._holds(record) else ""

    async def seconds_until_due(self, validity: int) -> float:
        """How long until a test is due; 0: it is."""
        record = await self._record(validity)
        if record.failures:
            wait = min(RETRY_SECONDS * 2.0 ** min(record.failures - 1, 20), RETRY_SECONDS_MAX)
            left = wait - self._age(record.tried_at).total_seconds()
        else:
            left = RENEW_DAYS * 86_400 - self._age(record.proven_at).total_seconds()
        claimed = record.claimed_until - self._now()
        return max(left, claimed if claimed <= CLAIM_SECONDS else 0.0, 0.0)

    async def claim(self, validity: int) -> bool:
        """Take the test that is due for this process. False: none is due, or another process has it."""
        if await self.seconds_until_due(validity):
            return False
        known = await self._notes.get_note(self._name)
        record = replace(self._bound(known, validity), claim=secrets.token_hex(8))
        claimed = replace(record, claimed_until=self._now() + CLAIM_SECONDS)
        return await self._notes.set_note(self._name, str(claimed), expected=known)

    async def release(self, validity: int) -> None:
        """Give the claim up: nothing was tested."""
        await self._change(validity, lambda known: replace(known, claim="", claimed_until=0.0))

    async def passed(self, validity: int) -> None:
        now = self._now()
        await self._change(validity, lambda known: ProofRecord(known.bound_to, proven_at=now, tried_at=now))

    async def failed(self, validity: int, trouble: str, *, disproves: bool) -> None:
        """`disproves`: the server was seen to fail. Else there was no test, and an earlier proof still holds."""

        def change(known: ProofRecord) -> ProofRecord:
            proven_at = 0.0 if disproves else known.proven_at
            return ProofRecord(known.bound_to, proven_at, self._now(), known.failures + 1, trouble)

        await self._change(validity, change)

    async def _change(self, validity: int, change: Callable[[ProofRecord], ProofRecord]) -> None:
        while True:
            known = await self._notes.get_note(self._name)
            if await self._notes.set_note(self._name, str(change(self._bound(known, validity))), expected=known):
                return

    async def _record(self, validity: int) -> ProofRecord:
        return self._bound(await self._notes.get_note(self._name), validity)

    def _bound(self, text: str, validity: int) -> ProofRecord:
        """The record, if it is about these settings and this mailbox; else an empty one."""
        bound_to = " ".join((*self._bound_to, str(validity)))
        record = ProofRecord.parse(text)
        return record if record.bound_to == bound_to else ProofRecord(bound_to)

    def _holds(self, record: ProofRecord) -> bool:
        return bool(record.proven_at) and self._age(record.proven_at) <= timedelta(days=VALID_DAYS)

    def _now(self) -> float:
        return self._clock().timestamp()

    def _age(self, at: float) -> timedelta:
        """A time that is in the future, because a clock was changed, is as old as it is far."""
        return timedelta(seconds=abs(self._now() - at))


def _instant(at: float) -> str:
    return instant(datetime.fromtimestamp(at, UTC))
