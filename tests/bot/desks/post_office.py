"""The agent `ops` behind a mail address: everything in one process, over real sockets to a mail server from PyPI."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import itertools
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr
from typing import TypeVar

from agent.authority import AnyoneMay, Authority
from agent.definition import Limits
from agent.loop import Loop
from bot.desks.email import EmailDesk
from bot.inbox import Inbox
from bot.worker import Worker
from channels.email.answered import AnsweredMail
from channels.email.channel import EmailChannel
from channels.email.disclosed import DisclosedAddresses
from channels.email.identity.lookup import DnsUnavailable
from channels.email.identity.proof import Prover
from channels.email.identity.self_test import SelfTest
from channels.email.identity.senders import AllowedSenders
from channels.email.identity.server_proof import ServerProof
from channels.email.identity.tokens import Signer
from channels.email.imap import Pace
from channels.email.inbound import EmailInbound
from channels.email.letters import Writer
from channels.email.lists import TeamAddresses
from channels.email.mailbox import FirstStart, Mailbox
from channels.email.outbox import Outbox
from channels.email.servers import MailServer, imap_server, smtp_server
from store.base import Store
from store.memory import MemoryStore
from store.recorded import Recorded
from store.thread import Thread
from store.values import Place
from tests.fakes.mail.dovecot import DOMAIN, PASSWORD, address
from tests.fakes.mail.light import Light
from tests.fakes.mail.signing import records, signed
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.telling.playbook import Desk, Push, ScriptedModel, ops

AUTHSERV_ID = "mx.team.example"
BOT = address("deploybot")
LOOK_SECONDS = 0.01
PROD = Push(target="prod")
T = TypeVar("T")

E = TypeVar("E", bound=Recorded)


class Written(EmailMessage):
    """A mail as somebody's program writes it."""

    is_signed = False
    """Whether their server signs it."""


class PostOffice:
    def __init__(self, server: Light, store: Store) -> None:
        self.server = server
        self.store = store
        self.inbox = Inbox(store)
        self.desk = Desk([])
        self.model = ScriptedModel()
        self.limits = Limits()
        self.authority: Authority = AnyoneMay()
        self.alerts: Place | None = None
        self.alarms: dict[str, str] = {}
        """What the mailbox has told a person, by key."""
        self.authserv_id = AUTHSERV_ID
        self.is_proven = True
        """Whether the mail server has passed the test of it when the mailbox is read."""
        self.names = records()
        """The TXT records in the DNS."""
        self.dns_answers = True
        self.sealers: tuple[str, ...] = ()
        self.secrets = ["a secret for tests"]
        """The newest first."""
        self.first_start: FirstStart = "new"
        self.pace = Pace(idle=1.0, poll=0.05)
        self.imap_port = server.imap_port
        self.smtp_port = server.port
        self.public_url = "https://bot.team.example"
        self.allowed = f"{DOMAIN} cleo@partner.example"
        self.team_addresses = ""
        self._numbers = itertools.count(1)

    @property
    def writer(self) -> Writer:
        return Writer(
            address=BOT,
            signer=Signer(self.secrets[0], BOT, self.secrets[1:]),
            allowed=AllowedSenders.parse(self.allowed).allow,
            public_url=self.public_url,
            replies_decide=bool(self.authserv_id),
            lists=TeamAddresses.parse(self.team_addresses),
        )

    def adapter(self) -> EmailInbound:
        def agent_at(addresses: Sequence[str]) -> str:
            return "other" if f"other@{DOMAIN}" in addresses else "ops"

        desk = EmailDesk(self.store, agent_at, self.writer.signer.message_ids)
        return EmailInbound(
            self.inbox,
            desk,
            self.writer,
            AllowedSenders.parse(self.allowed),
            Prover(self.authserv_id, self.find_txt, self.sealers),
            self.proof,
            AnsweredMail(self.store),
            DisclosedAddresses(self.store, desk, self.writer),
        )

    @property
    def imap(self) -> MailServer:
        return imap_server(f"imap://{BOT.replace('@', '%40')}:{PASSWORD}@127.0.0.1:{self.imap_port}/INBOX")

    @property
    def proof(self) -> ServerProof:
        return ServerProof(self.store, self.imap, BOT, self.authserv_id, lambda: datetime.now(UTC))

    def self_test(self, *, arrival_seconds: float = PATIENCE_SECONDS) -> SelfTest:
        smtp = smtp_server(f"smtp://127.0.0.1:{self.smtp_port}")
        return SelfTest(self.imap, smtp, BOT, self.authserv_id, self.writer.signer, self.proof, arrival_seconds)

    def find_txt(self, name: str, seconds: float) -> bytes:
        if not self.dns_answers:
            raise DnsUnavailable(name)
        return self.names.get(name.rstrip("."), "").encode()

    def mailbox(self) -> Mailbox:
        return Mailbox(
            self.imap,
            self.store,
            self.adapter().receive,
            self.tell,
            first_start=self.first_start,
            pace=self.pace,
        )

    async def tell(self, key: str, text: str) -> None:
        self.alarms[key] = text

    @contextlib.asynccontextmanager
    async def reads(self) -> AsyncIterator[None]:
        mailbox = self.mailbox()
        watching = asyncio.create_task(mailbox.watch())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await mailbox.listening.wait()
            if self.is_proven:
                await self.proof.passed(mailbox.validity)
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def works(self) -> AsyncIterator[None]:
        channel = EmailChannel(self.writer, Outbox(smtp_server(f"smtp://127.0.0.1:{self.smtp_port}"), BOT))
        loop = Loop(
            authority=self.authority,
            store=self.store,
            roster={"ops": ops(self.desk, limits=self.limits)},
            channels={channel.name: channel},
            model=self.model,
            clock=lambda: datetime.now(UTC),
            alerts=self.alerts,
        )
        worker = Worker(self.store, loop, grace_seconds=1)
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await working
            await channel.aclose()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with self.reads(), self.works():
            yield

    def letter(
        self,
        text: str,
        *,
        by: str = "ana",
        subject: str = "Release",
        answers: EmailMessage | None = None,
        aligned: bool = True,
        **headers: str,
    ) -> Written:
        """As a mail program writes it; with `answers`, a reply that quotes what it answers."""
        message = Written()
        message.is_signed = aligned
        if aligned:
            message["Authentication-Results"] = f"{AUTHSERV_ID}; dmarc=pass header.from={DOMAIN}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        message["From"] = headers.pop("From", f"{by.capitalize()} <{address(by)}>")
        answered = (answers["Reply-To"] or answers["From"]) if answers is not None else BOT
        message["To"] = headers.pop("To", str(answered))
        message["Message-ID"] = headers.pop("Message-ID", f"<{next(self._numbers)}.{by}@{DOMAIN}>")
        message["Subject"] = subject if answers is None else f"Re: {subject}"
        if answers is not None:
            message["In-Reply-To"] = answers["Message-ID"]
            message["References"] = f"{answers['References'] or ''} {answers['Message-ID']}".strip()
            quoted = "".join(f"> {line}\n" for line in text_of(answers).splitlines())
            text = f"{text}\n\nOn Mon, 23 Nov 2026 at 10:12, deploybot <{BOT}> wrote:\n{quoted}"
        for name, value in headers.items():
            message[name] = value
        message.set_content(text)
        return message

    async def gets(self, message: EmailMessage | bytes, sender: str = "") -> None:
        """It lies in the bot's mailbox. The envelope names who it is from, unless `sender` does."""
        if not sender:
            sender = parseaddr(str(message["From"]))[1] if isinstance(message, EmailMessage) else address("ana")
        raw = message if isinstance(message, bytes) else message.as_bytes()
        if isinstance(message, Written) and message.is_signed:
            raw = signed(raw)
        await asyncio.to_thread(self.server.deliver, raw, BOT, sender)

    async def writes(self, text: str, **more: object) -> EmailMessage:
        message = self.letter(text, **more)  # type: ignore[arg-type]
        await self.gets(message)
        return message

    def mails_of(self, user: str) -> list[EmailMessage]:
        raws = self.server.mailbox(user)
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in raws]

    async def hears(self, words: str, user: str = "ana", count: int = 1) -> EmailMessage:
        """The newest mail of this person with these words, when there are so many of them."""

        def found() -> list[EmailMessage]:
            mails = [mail for mail in self.mails_of(user) if words in text_of(mail)]
            return mails if len(mails) >= count else []

        return (await eventually(found, f"{user} hears {words!r}"))[-1]

    def unread(self) -> list[bool]:
        """Of each mail that the bot got."""
        return [r"\Seen" not in flags for flags in self.server.flags("deploybot")]

    async def threads(self) -> list[Thread]:
        """The oldest first."""
        return [await self.store.load(thread_id) for thread_id in reversed(await thread_ids(self.store))]

    async def thread(self) -> Thread:
        [thread] = await self.threads()
        return thread

    async def until(self, *statuses: str) -> Thread:
        """The only thread, when it has one of these states and owes nothing."""
        thread = await self.thread()
        async with asyncio.timeout(PATIENCE_SECONDS):
            if thread.status in statuses and not thread.state.outbox:
                return thread
            async for now in self.store.follow(thread):
                if now.status in statuses and not now.state.outbox:
                    return now
        raise AssertionError


async def eventually(look: Callable[[], T], what: str) -> T:
    """What it gives as soon as that is something: a mail server tells nobody."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := look()):  # noqa: ASYNC110 - a mail server tells nobody
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what}") from None
    return found


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


def kinds(thread: Thread, *wanted: type[E]) -> list[E]:
    return [event for event in thread.events if isinstance(event, wanted)]


@contextlib.asynccontextmanager
async def new_post_office(*, idle: bool = True) -> AsyncIterator[PostOffice]:
    with Light(idle=idle) as server:
        yield PostOffice(server, MemoryStore())


async def card(post: PostOffice, user: str = "ana", **headers: str) -> tuple[EmailMessage, EmailMessage]:
    post.model.answers(PROD)
    asked = await post.writes("push to prod", by=user, **headers)
    return asked, await post.hears("May decide", user)


def decided_by_links(post: PostOffice, mail: EmailMessage) -> list[bool]:
    """What the links of the mail decide: True approves."""
    links = re.findall(r"/decide/(\S+)", text_of(mail))
    return [post.writer.signer.open(one, datetime.now(UTC)).approved for one in links]
