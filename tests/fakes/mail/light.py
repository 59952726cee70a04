"""The servers from PyPI alone, for tests that are to run on any machine: pymap for IMAP and aiosmtpd for SMTP.

They run in a thread and a loop of their own. The mailboxes are in memory, and stay there over a `restart`. What the
real ones do and these do not: TLS, AUTH at the SMTP server, keywords (flags of one's own), a queue (a mail is in its
mailbox before it is acknowledged).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from argparse import Namespace
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from email.utils import make_msgid
from typing import Any, Self, TypeVar

from aiosmtpd.smtp import SMTP, Envelope, Session
from pymap.backend.dict import Config, DictBackend, Identity, Login
from pymap.backend.dict.mailbox import MailboxSet
from pymap.concurrent import Subsystem
from pymap.config import BackendCapability
from pymap.imap import IMAPService
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import FetchRequirement
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

from tests.fakes.mail.daemon import HOST
from tests.fakes.mail.dovecot import DOMAIN, PASSWORD, USERS, Mail, address
from tests.fakes.mail.questions import refusal
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort

T = TypeVar("T")
_FORGED = re.compile(rb"^Authentication-Results:.*\r?\n(?:[ \t].*\r?\n)*", re.IGNORECASE | re.MULTILINE)


class Light:
    """`with Light() as light:`, or `start` and `stop`. Used as `Dovecot` and `Postfix` are."""

    def __init__(self, *, idle: bool = True, users: tuple[str, ...] = USERS, removes_forged: bool = True) -> None:
        """`removes_forged`: whether its SMTP server removes Authentication-Results, as it should."""
        self.users = users
        self.removes_forged = removes_forged
        self._ports = [HeldPort() for _ in range(2)]
        self.imap_port, self.port = (port.number for port in self._ports)
        self.asked: list[str] = []
        self._refusals: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._idle = idle
        self._backend: DictBackend | None = None
        self._servers = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        self._does(self._open())

    def restart(self) -> None:
        """On the same ports and with the same mailboxes; every connection is closed."""
        self._does(self._close())
        self._does(self._open())

    def rebuild(self) -> None:
        """As a server that was restored from a backup: new UIDs and UIDVALIDITYs, and all mail arrived just now."""
        kept = [(user, mail.raw) for user in self.users for mail in self.mails(user)]
        self._does(self._close())
        self._backend = None
        self._does(self._open())
        for user, raw in kept:
            self._does(self._restore(raw, user))

    def kill(self) -> None:
        """Every connection is closed, and nobody listens until `start`."""
        self._does(self._close())

    def stop(self) -> None:
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._does(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def deliver(self, raw: bytes, to: str, sender: str) -> None:
        """Past the SMTP server. An empty sender is a delivery report's."""
        self._does(self._append(raw, to, sender))

    def mails(self, user: str, folder: str = "INBOX") -> list[Mail]:
        """Oldest first. Line ends are LF, as they are on Dovecot's disk."""
        return self._does(self._read(user, folder))

    def mailbox(self, user: str, folder: str = "INBOX") -> list[bytes]:
        return [mail.raw for mail in self.mails(user, folder)]

    def flags(self, user: str, folder: str = "INBOX") -> list[frozenset[str]]:
        return [mail.flags for mail in self.mails(user, folder)]

    def refuse(self, address: str, reply: str) -> None:
        """From the next RCPT on: `refuse("ana@team.example", "450 4.2.1 try later")`; its plus addresses as well."""
        self._refusals[address.lower()] = reply

    def accept(self, address: str) -> None:
        self._refusals.pop(address.lower(), None)

    def wait_until_delivered(self) -> None:
        """It always is."""

    def _does(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _open(self) -> None:
        if self._backend is None:
            self._backend = await self._made()
        await IMAPService(self._backend, self._backend.config).start(self._servers)
        smtp = await self._loop.create_server(self._smtp, HOST, self.port)
        self._servers.callback(smtp.close)

    async def _close(self) -> None:
        # First who is connected: from Python 3.12 on a server that closes waits for them.
        await self._cancel_all()
        await self._servers.aclose()
        await self._cancel_all()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _made(self) -> DictBackend:
        # What pymap's command line would say.
        arguments = Namespace(passlib_cfg=None, proxy_protocol=None, inherited_sockets=None)
        config = _Config(
            arguments,
            host=HOST,
            port=self.imap_port,
            demo_data=False,
            demo_user="",
            demo_password="",
            tls_enabled=False,
            reject_dnsbl=False,
            invalid_user_sleep=0.0,
            hash_context=Cleartext(),
            cpu_subsystem=Subsystem.for_asyncio(),
        )
        config.idle = self._idle
        config.apply_context()
        login = Login(config)
        for user in self.users:
            login.users_dict[address(user)] = UserMetadata(config, address(user), password=PASSWORD)
        return DictBackend(login, config)

    def _smtp(self) -> SMTP:
        return SMTP(_Handler(self), hostname=f"mx.{DOMAIN}", enable_SMTPUTF8=True, loop=self._loop)

    def _user(self, address: str) -> str | None:
        name = address.lower().partition("@")[0].partition("+")[0]
        return name if name in self.users else None

    def _refusal(self, recipient: str) -> str | None:
        if not recipient.lower().endswith(f"@{DOMAIN}"):
            return f"554 5.7.1 <{recipient}>: Relay access denied"
        self.asked.append(recipient)
        return refusal(self._refusals, recipient)

    async def _append(self, raw: bytes, to: str, sender: str) -> None:
        user = self._user(to)
        assert user is not None, f"nobody is {to}"
        head = f"Return-Path: <{sender}>\r\nDelivered-To: {to}\r\n".encode()
        body = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        async with self._mailboxes(user) as mailboxes:
            inbox = await mailboxes.get_mailbox("INBOX")
            await inbox.append(AppendMessage(head + body, datetime.now(UTC)), recent=True)

    async def _restore(self, raw: bytes, user: str) -> None:
        async with self._mailboxes(user) as mailboxes:
            inbox = await mailboxes.get_mailbox("INBOX")
            await inbox.append(AppendMessage(raw.replace(b"\n", b"\r\n"), datetime.now(UTC)))

    async def _bounce(self, raw: bytes, to: str, sender: str) -> None:
        if self._user(sender):
            await self._append(_delivery_report(raw, to, sender), sender, "")

    async def _read(self, user: str, folder: str) -> list[Mail]:
        found = []
        async with self._mailboxes(user) as mailboxes:
            async for message in (await mailboxes.get_mailbox(folder)).messages():
                content = await message.load_content(FetchRequirement.CONTENT)
                flags = frozenset(flag.value.decode() for flag in message.permanent_flags)
                found.append(Mail(bytes(content).replace(b"\r\n", b"\n"), flags))
        return found

    @contextlib.asynccontextmanager
    async def _mailboxes(self, user: str) -> AsyncIterator[MailboxSet]:
        assert self._backend is not None, "it was never started"
        self._backend.config.apply_context()
        identity = Identity(address(user), self._backend.login, None, frozenset())
        async with identity.new_session() as session:
            yield session.mailbox_set


class _Config(Config):
    idle = True

    @property
    def backend_capability(self) -> BackendCapability:
        return BackendCapability(idle=self.idle, object_id=True, multi_append=True)

    @property
    def greeting(self) -> bytes:
        return b"Server ready"  # not its name, which it would ask the DNS for


class _Handler:
    """What aiosmtpd asks. It takes mail for whom nobody is, as Postfix does, and sends the report."""

    def __init__(self, light: Light) -> None:
        self._light = light

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, recipient: str, options: list[str]
    ) -> str:
        if refusal := self._light._refusal(recipient):
            return refusal
        envelope.rcpt_tos.append(recipient)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw, sender = envelope.original_content or b"", envelope.mail_from or ""
        if self._light.removes_forged:
            raw = _FORGED.sub(b"", raw)
        for recipient in envelope.rcpt_tos:
            if self._light._user(recipient):
                await self._light._append(raw, recipient, sender)
            else:
                await self._light._bounce(raw, recipient, sender)
        return "250 2.0.0 Ok: queued"


def _delivery_report(raw: bytes, to: str, sender: str) -> bytes:
    """RFC 3464, as Postfix writes it."""
    boundary = make_msgid(domain=DOMAIN).strip("<>").replace("@", "/")
    head = f"""From: Mail Delivery System <MAILER-DAEMON@{DOMAIN}>
Subject: Undelivered Mail Returned to Sender
To: {sender}
Auto-Submitted: auto-replied
Message-ID: {make_msgid(domain=DOMAIN)}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset=utf-8

I'm sorry to have to inform you that your message could not be delivered.

<{to}>: 550 5.1.1 User doesn't exist: {to}

--{boundary}
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.{DOMAIN}
X-Postfix-Sender: rfc822; {sender}

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{to}> User doesn't exist: {to}

--{boundary}
Content-Type: message/rfc822

"""
    return head.encode() + raw + f"\n--{boundary}--\n".encode()
