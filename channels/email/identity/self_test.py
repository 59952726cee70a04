"""Tests our own mail server: is a forged verdict on a sender removed, or would we believe it?

The test is a mail to ourselves through our own SMTP server, with Authentication-Results in the names of our receiving
server that say `dmarc=pass` for somebody else. It must come back without them, or with them where we do not look. This
is what a colleague could send who may log in to the server; it says nothing about mail that arrives from outside.

It looks only for its own mail, by a Message-ID that we signed, so it may run beside a program that reads the same
mailbox: whoever fetches the mail first, it stays there until the test has seen it. Then the test deletes it. What does
not come back within ARRIVAL_SECONDS proves nothing.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

import structlog

from channels.base import SendFailed, SentInPart
from channels.email.identity.receiver import verdict_of
from channels.email.identity.server_proof import ServerProof
from channels.email.identity.tokens import Signer
from channels.email.imap import ImapConnection, ImapError, connected
from channels.email.letters import Letter
from channels.email.outbox import Outbox
from channels.email.parse import parse_headers
from channels.email.servers import LoginRefused, MailServer

log = structlog.get_logger(__name__)

ARRIVAL_SECONDS = 60.0
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.05, 5.0
"""How often to look whether it has come: at once, then more and more rarely."""
AT_ONCE = 25
"""Heads fetched between two looks at the clock. A busy mailbox gets other mail meanwhile."""


@dataclass(frozen=True, slots=True)
class Result:
    """`passed`: it is proven. `believed`: the forged verdict came back where we believe it. `not_made`: neither."""

    verdict: Literal["passed", "believed", "not_made"]
    validity: int = 0
    """UIDVALIDITY of the mailbox; 0: it is not known, so nothing was recorded."""
    trouble: str = ""
    """Why it is no proof, and what to do, in sentences."""


@dataclass(frozen=True)
class SelfTest:
    imap: MailServer
    smtp: MailServer
    address: str
    authserv_ids: str
    signer: Signer
    proof: ServerProof
    arrival_seconds: float = ARRIVAL_SECONDS

    async def run(self, validity: int = 0) -> Result:
        """Test now, and record what came of it. Raises StoreUnavailable.

        `validity`: UIDVALIDITY of the mailbox, where it is known already.
        """
        result = await self._tested(validity)
        match result.verdict:
            case "passed":
                await self.proof.passed(result.validity)
            case "believed" | "not_made" if result.validity:
                await self.proof.failed(result.validity, result.trouble, disproves=result.verdict == "believed")
            case "believed" | "not_made":
                pass
        return result

    async def _tested(self, validity: int) -> Result:
        try:
            async with connected(self.imap) as connection:
                selected = await connection.select()
                validity = selected.validity
                return await self._sent_and_seen(connection, selected.next_uid - 1, validity)
        except (ImapError, LoginRefused) as error:
            return Result(
                "not_made", validity, f"The mailbox at {self.imap.where} cannot be read: {str(error).rstrip('.')}."
            )
        except (SendFailed, SentInPart) as error:
            return Result("not_made", validity, f"The test mail could not be sent. {error}")

    async def _sent_and_seen(self, connection: ImapConnection, last_uid: int, validity: int) -> Result:
        number = base64.b32encode(secrets.token_bytes(10)).decode().lower()
        letter, victim = self._letter(number)
        outbox = Outbox(self.smtp, self.address)
        try:
            await outbox.deliver(letter)
        finally:
            await outbox.aclose()
        copies = await self._copies(connection, last_uid, letter.message_id)
        if not copies:
            trouble = (
                f"The test mail was sent, and was not in the folder {self.imap.folder} after {self.arrival_seconds:g} "
                f"seconds. See where mail from {self.address} to itself ends up (a filter, another folder, a queue)."
            )
            return Result("not_made", validity, trouble)
        for uid in copies:
            try:
                await connection.delete(uid)
            except ImapError as error:
                log.info("identity_test_not_deleted", uid=uid, error=str(error))
                break
        traces = (parse_headers(head).trace for head in copies.values())
        if any(verdict_of(trace, self.authserv_ids, victim).alignment == "aligned" for trace in traces):
            return Result("believed", validity, self._what_to_do())
        return Result("passed", validity)

    async def _copies(self, connection: ImapConnection, last_uid: int, message_id: str) -> dict[int, bytes]:
        """The heads of the mails with this Message-ID, by UID; empty: none has arrived in time."""
        found: dict[int, bytes] = {}
        wait = LOOK_SECONDS
        try:
            async with asyncio.timeout(self.arrival_seconds):
                while not found:
                    uids = await connection.uids_after(last_uid)
                    for at in range(0, len(uids), AT_ONCE):
                        heads = await connection.heads(uids[at : at + AT_ONCE])
                        found |= {uid: head for uid, head in heads.items() if _id_of(head) == message_id}
                    last_uid = max(uids, default=last_uid)
                    if not found:
                        await asyncio.sleep(wait)
                        wait = min(wait * 2, LOOK_SECONDS_MAX)
        except TimeoutError:
            pass
        return found

    def _letter(self, number: str) -> tuple[Letter, str]:
        """The test mail, and the address that its forged verdicts vouch for."""
        # A domain of its own: our server may rightly say something about the domain of our own address.
        domain = f"{number}.invalid"
        message = EmailMessage()
        message["From"] = message["To"] = self.address
        message["Subject"] = "deploybot tests its mail server"
        message["Date"] = formatdate()
        message["Message-ID"] = message_id = self.signer.test_id(number)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(
            "This mail tests whether the mail server removes forged Authentication-Results headers.\n"
            "It needs no answer, and is deleted as soon as it has arrived.\n"
        )
        forged = "".join(f"Authentication-Results: {one}\r\n" for one in forged_verdicts(self.authserv_ids, domain))
        data = forged.encode() + message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        return Letter(message_id, (self.address,), data), f"approver@{domain}"

    def _what_to_do(self) -> str:
        return (
            f"A mail with forged Authentication-Results in the name of our server ({self.authserv_ids}) came back with "
            f"them, and I would have believed them. So whoever may send through {self.smtp.where} can pass for "
            "anybody. Let the mail server remove every Authentication-Results header from the mail that it accepts, "
            "also of users who log in, before it adds its own (Postfix: header_checks with "
            "/^Authentication-Results:/ IGNORE)."
        )


def forged_verdicts(authserv_ids: str, domain: str) -> Sequence[str]:
    """Values of Authentication-Results in each of our names, in the spellings that we would believe."""
    verdict = f"dmarc=pass (p=reject) header.from={domain}"
    names = (one.replace("*", "self-test") for one in authserv_ids.replace(",", " ").split())
    return [
        f"{spelling}; {verdict}"
        for name in names
        for spelling in (name, f"{name.upper()} 1", f"(forged) {name}", f"\r\n {name}")
    ]


def _id_of(head: bytes) -> str:
    return parse_headers(head).message_id
