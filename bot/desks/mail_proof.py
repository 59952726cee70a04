"""Has the mail server tested in the running program: at the start, weekly, and when the mailbox or the names change.

Any number of processes may do so at once: the one that claims a test in the store makes it. What is tested and recorded
is `channels.email.identity`. This module never says who sent a mail.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from bot.settings import Settings
from channels.email.identity.self_test import Result, SelfTest
from channels.email.identity.server_proof import ServerProof
from channels.email.identity.tokens import Signer
from channels.email.mailbox import Mailbox
from channels.email.servers import MailServer
from store.base import StoreUnavailable

LOOK_SECONDS = 30.0
"""How often to look whether a test is due: another process may have died, or the mailbox may have moved."""
STORE_RETRY_SECONDS = 2.0

UNPROVEN = "Until a test passes, replies by mail decide nothing; links do."

log = structlog.get_logger(__name__)


class ProofRenewal:
    def __init__(self, test: SelfTest, mailbox: Mailbox) -> None:
        self._test = test
        self._mailbox = mailbox

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await self._mailbox.listening.wait()
            try:
                seconds = await self.turn()
            except StoreUnavailable as error:
                log.warning("store_unavailable", error=str(error))
                seconds = STORE_RETRY_SECONDS
            except Exception:
                # A bug of ours. Mail is still read, and replies decide nothing once the proof is old.
                log.exception("identity_test_failed")
                seconds = LOOK_SECONDS
            await asyncio.sleep(seconds)

    async def turn(self) -> float:
        """Test if it is due. Returns the seconds until the next look."""
        proof, validity = self._test.proof, self._mailbox.validity
        if await proof.claim(validity):
            try:
                result = await self._test.run(validity)
            except BaseException:
                # Another process need not wait until the claim ends.
                with contextlib.suppress(StoreUnavailable):
                    await proof.release(validity)
                raise
            await self._report(result)
        return min(max(await proof.seconds_until_due(validity), 1.0), LOOK_SECONDS)

    async def _report(self, result: Result) -> None:
        until = await self._test.proof.proven_until(result.validity)
        if result.verdict == "passed":
            log.info("identity_proven", mailbox=self._test.address, until=until)
        else:
            log.warning("identity_not_proven", text=f"The mail server is not proven. {in_words(result, until)}")


def in_words(result: Result, until: str) -> str:
    """Of a test that did not pass. `until`: the end of a proof that still holds; empty: there is none."""
    holds = f"The last proof holds until {until}." if until else UNPROVEN
    return f"{result.trouble} {holds}"


def self_test(settings: Settings, imap: MailServer, smtp: MailServer, signer: Signer, proof: ServerProof) -> SelfTest:
    return SelfTest(imap, smtp, settings.email_address, settings.email_authserv_id, signer, proof)
