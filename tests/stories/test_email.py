"""Mail as people have it: `bot run` as a process of its own, between a mail server and people who write to it, with a
git repository and deploy commands that are real. The model is the demo's decider, asked over HTTP as any other.

A person's mail is put into the bot's mailbox over LMTP, with the signature and the Authentication-Results of the team's
server; the bot's own goes out by SMTP and is read where it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import functools
import itertools
import os
import pwd
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import pytest

from channels.base import SendFailed
from channels.email.identity.self_test import SelfTest
from channels.email.identity.server_proof import ServerProof
from channels.email.identity.tokens import Signer
from channels.email.imap import Fetched, Pace
from channels.email.letters import Letter
from channels.email.mailbox import Mailbox, ReadPosition
from channels.email.outbox import RETRY_SECONDS, Outbox
from channels.email.servers import imap_server, smtp_server
from store.memory import MemoryStore
from store.redis.store import RedisStore
from tests.fakes.mail import missing
from tests.fakes.mail.certificates import Certificate, certificates
from tests.fakes.mail.dovecot import DOMAIN, PASSWORD, Dovecot, address
from tests.fakes.mail.light import Light
from tests.fakes.mail.postfix import Postfix
from tests.fakes.mail.signing import signed, team_names
from tests.fakes.model_server import ModelServer, step
from tests.fakes.servers import Server
from tests.fakes.wire import Wire
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort
from tests.shop import MERGED
from tests.stories.program import Bot, Running
from tests.stories.test_slack import decider

AUTHSERV_ID = f"mx.{DOMAIN}"
BOT = address("deploybot")
LOOK_SECONDS = 0.02
OLD_MAILS = 2_000
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def on_real_servers(test: F) -> F:
    """Slow, and only where Dovecot and Postfix are."""
    skipped: F = pytest.mark.skipif(bool(missing()), reason=missing())(test)
    marked: F = pytest.mark.slow(skipped)
    return marked


class Mailroom:
    """The mail servers, the bot's installation beside them, and the people who write."""

    def __init__(self, imap: Dovecot | Light, smtp: Postfix | Light, bot: Bot) -> None:
        self.imap = imap
        self.smtp = smtp
        self.bot = bot
        self.imap_url = imap_url("imap", "127.0.0.1", imap.imap_port)
        self.smtp_url = f"smtp://127.0.0.1:{smtp.port}"
        self.port = HeldPort()  # links in mails lead there, also after a restart
        self._numbers = itertools.count(1)

    def settings(self) -> dict[str, str]:
        return {
            "EMAIL_ADDRESS": BOT,
            "IMAP_URL": self.imap_url,
            "SMTP_URL": self.smtp_url,
            "EMAIL_AUTHSERV_ID": AUTHSERV_ID,
            "EMAIL_DNS_SERVER": team_names().address,
            "EMAIL_ALLOWED_SENDERS": DOMAIN,
            "BOT_PUBLIC_URL": f"http://127.0.0.1:{self.port.number}",
            "BOT_SECRET_KEY": "a-key-for-tests-0123456789",
            "PORT": str(self.port.number),
            "BOT_LEASE_SECONDS": "2",
        }

    async def tests_itself(self) -> None:
        """As `bot run` does at its first start, but before that, so that a story begins when it is over."""
        imap, key = imap_server(self.imap_url), self.settings()["BOT_SECRET_KEY"]
        store = await RedisStore.open(self.bot.environment["REDIS_URL"])
        try:
            proof = ServerProof(store, imap, BOT, AUTHSERV_ID, lambda: datetime.now(UTC))
            test = SelfTest(imap, smtp_server(self.smtp_url), BOT, AUTHSERV_ID, Signer(key, BOT), proof)
            assert (await test.run()).verdict == "passed"
        finally:
            await store.aclose()

    @contextlib.asynccontextmanager
    async def started(self, *roles: str, **settings: str) -> AsyncIterator[Running]:
        """`running`, where nobody hears yet whether there is mail."""
        async with self.bot.started("run", *roles, **(self.settings() | settings)) as process:
            await process.told("Reading mail to" if roles == ("web",) else "Working for")
            yield process

    @contextlib.asynccontextmanager
    async def running(self, *roles: str, **settings: str) -> AsyncIterator[Running]:
        """For the first time: what is in the mailbox from now on is read."""
        async with self.started(*roles, **settings) as process:
            await process.told("mailbox_first_seen")
            yield process

    async def writes(
        self,
        text: str,
        *,
        by: str = "ana",
        subject: str = "Release",
        answers: EmailMessage | None = None,
        **headers: str,
    ) -> EmailMessage:
        """As a mail program does: a reply quotes what it answers below its own words."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        message = EmailMessage()
        message["Authentication-Results"] = f"{AUTHSERV_ID}; dmarc=pass header.from={DOMAIN}"
        message["From"] = given.pop("From", f"{by.capitalize()} <{address(by)}>")
        message["To"] = BOT
        message["Message-ID"] = f"<{next(self._numbers)}.{by}@{DOMAIN}>"
        message["Subject"] = subject
        if answers is not None:
            message.replace_header("To", answers["Reply-To"] or answers["From"])
            message.replace_header("Subject", re.sub(r"^(Re: )?", "Re: ", str(answers["Subject"])))
            message["In-Reply-To"] = answers["Message-ID"]
            message["References"] = f"{answers['References'] or ''} {answers['Message-ID']}".strip()
            quoted = "".join(f"> {line}\n" for line in text_of(answers).splitlines())
            text = f"{text}\n\nOn Mon, 23 Nov 2026 at 10:12, deploybot <{BOT}> wrote:\n{quoted}"
        for name, value in given.items():
            message[name] = value
        message.set_content(text)
        await asyncio.to_thread(self.sends, message, by)
        return message

    def sends(self, message: EmailMessage, by: str) -> None:
        """What the servers of the team do with a mail to the bot."""
        self.imap.deliver(signed(message.as_bytes()), BOT, address(by))

    def mails_of(self, user: str = "ana") -> list[EmailMessage]:
        return [_read(raw) for raw in self.imap.mailbox(user)]

    async def gets(self, words: str, user: str = "ana", count: int = 1) -> EmailMessage:
        """This person's newest mail with these words, when there are so many of them."""

        def found() -> list[EmailMessage]:
            mails = [mail for mail in self.mails_of(user) if words in text_of(mail)]
            return mails if len(mails) >= count else []

        try:
            return (await eventually(found))[-1]
        except TimeoutError:
            got = "\n".join(f"- {mail['Subject']}\n{text_of(mail)}" for mail in self.mails_of(user))
            raise AssertionError(f"{words!r} did not come to {user}:\n{got}") from None

    async def gets_answer(self, mail: EmailMessage, user: str = "ana") -> EmailMessage:
        """The first one, which is the talker's."""
        answer = (await eventually(lambda: self.answers(mail, user)))[0]
        assert "Good morning." in text_of(answer)
        return answer

    def answers(self, mail: EmailMessage, user: str = "ana") -> list[EmailMessage]:
        return [one for one in self.mails_of(user) if one["In-Reply-To"] == mail["Message-ID"]]

    async def is_read(self, *read: bool) -> None:
        """Returns when of the bot's mails exactly these are marked as read."""
        await eventually(lambda: [r"\Seen" in flags for flags in self.imap.flags("deploybot")] == list(read))

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Those of these kinds, of all threads."""
        self.bot.environment |= self.settings()
        found = []
        for thread in (await self.bot.run("threads", "--json")).document:
            shown = (await self.bot.run("show", thread["id"], "--json")).document
            found += [event for event in shown["events"] if event["kind"] in kinds]
        return found

    async def noted(self, kind: str) -> dict[str, Any]:
        """The first event of this kind, when there is one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := await self.events(kind)):
                pass
        return found[0]

    async def doctor(self, **settings: str) -> dict[str, tuple[str, str]]:
        """Of each resource: how it is, and what is said of it."""
        self.bot.environment |= self.settings() | settings
        done = await self.bot.run("doctor", "--json")
        return {found["what"]: (found["state"], found["text"]) for found in done.document}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@pytest.fixture
async def talker() -> AsyncIterator[ModelServer]:
    """A model that only talks."""
    async with ModelServer(lambda _: step({"intent": "done_for_now", "message": "Good morning."})) as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, template: Path, talker: ModelServer, server: Server) -> Bot:
    return Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(talker)


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def postfix(dovecot: Dovecot) -> Iterator[Postfix]:
    with Postfix(dovecot) as server:
        yield server


@pytest.fixture
def room(dovecot: Dovecot, postfix: Postfix, bot: Bot) -> Mailroom:
    return Mailroom(dovecot, postfix, bot)


# The job


@on_real_servers
async def test_from_a_mail_to_both_components_in_production(room: Mailroom, model: ModelServer) -> None:
    site = room.bot.with_model(model).site
    async with room.running() as process:
        await process.told("identity_proven")
        assert all(text.startswith(("Reading mail", "Serving http", "Working for")) for text in process.texts)
        asked = await room.writes(f"deploy {MERGED} to production")
        card = await room.gets("component: frontend")
        assert site.sha(MERGED) in text_of(card)
        rejection = await room.writes("reject: can you deploy the backend first?", answers=card)
        settled = await room.gets("rejected by ana@")
        assert "can you deploy the backend first?" in text_of(settled)

        card = await room.gets("component: backend")
        assert "Approved" in await approves_by_link(card)
        await room.gets("approved by")
        card = await room.gets(f"Deploy frontend {MERGED} to production?", count=2)
        approval = await room.writes("approve", answers=card)
        await room.gets("approved by", count=2)
        await room.gets("Done.")
        await room.gets("end-to-end tests on production passed")
    assert site.running("backend", "production") == site.running("frontend", "production") == site.sha(MERGED)
    mails = room.mails_of()
    known = {mail["Message-ID"] for mail in [asked, rejection, approval, *mails]}
    assert len({mail["Message-ID"] for mail in mails}) == len(mails)
    for mail in mails:
        # A request has a subject of its own, and so has what follows it.
        assert re.fullmatch(r"Re: Release|(?:Re: )?Approval needed: Deploy .*, asked for by .*", mail["Subject"])
        assert mail["In-Reply-To"] in known
        first, *others = mail["References"].split()
        assert first == asked["Message-ID"]
        assert known.issuperset(others)
        assert mail["In-Reply-To"] in (first, *others)
    await room.is_read(True, True, True)


async def test_from_a_mail_to_an_approval_on_servers_from_pypi(bot: Bot, model: ModelServer) -> None:
    bot.with_model(model)
    with Light() as light:
        async with Wire(light.imap_port) as wire:
            room = Mailroom(light, light, bot)
            room.imap_url = imap_url("imap", "127.0.0.1", wire.port)
            async with room.running() as process:
                await process.told("identity_proven")
                await idles(wire)  # pymap does not tell of what came just before
                await room.writes(f"deploy {MERGED} to production, skip staging")
                card = await room.gets("component: frontend")
                await room.writes("reject: can you deploy the backend first?", answers=card)
                await room.gets("rejected by ana@")
                assert "Approved" in await approves_by_link(await room.gets("component: backend"))
                await room.gets("approved by")
                await room.gets(f"Deploy frontend {MERGED} to production?", count=2)
    assert bot.site.running("backend", "production") == bot.site.sha(MERGED)


# TLS


@on_real_servers
@pytest.mark.parametrize("smtp", ["starttls", "smtps"])
async def test_mail_comes_and_goes_over_tls(room: Mailroom, dovecot: Dovecot, postfix: Postfix, smtp: str) -> None:
    trusting = {"SSL_CERT_FILE": str(dovecot.authority)}
    async with Wire(dovecot.imaps_port) as reading, Wire(postfix.port) as sending:
        room.imap_url = imap_url("imaps", "localhost", reading.port)
        room.smtp_url = starttls_url(sending.port) if smtp == "starttls" else smtps_url(postfix.smtps_port)
        found = await room.doctor(**trusting)
        assert [found[one][0] for one in ("imap", "smtp")] == ["ok", "ok"], found
        assert all("with TLS and a valid certificate" in found[one][1] for one in ("imap", "smtp"))
        async with room.running(**trusting):
            await room.gets_answer(await room.writes("good morning"))
        said = b"\n".join(reading.said("client") + sending.said("client"))
        assert not re.search(rb"LOGIN|AUTH|MAIL FROM|morning", said), said


BAD = ("wrong_name", "self_signed", "expired")


@on_real_servers
@pytest.mark.parametrize("bad", BAD)
async def test_a_mailbox_whose_certificate_is_wrong_is_not_opened(bot: Bot, bad: str) -> None:
    trusting = {"SSL_CERT_FILE": str(certificates().authority)}
    with Dovecot(certificate=certificate(bad)) as dovecot, Postfix(dovecot) as postfix:
        async with Wire(dovecot.imaps_port) as wire:
            room = Mailroom(dovecot, postfix, bot)
            room.imap_url = imap_url("imaps", "localhost", wire.port)
            state, text = (await room.doctor(**trusting))["imap"]
            assert state == "failed"
            assert "certificate" in text.lower(), text
            async with room.started(**trusting) as process:
                mail = await room.writes("good morning")
                await process.told("mailbox_lost")
                await eventually(lambda: process.err.count("mailbox_lost") >= 2)
                assert "certificate" in process.err.lower()
                assert PASSWORD not in process.err
            assert wire.said("client") == []
        assert not room.answers(mail)
        await room.is_read(False)


@on_real_servers
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("smtp", ["starttls", "smtps"])
async def test_nothing_is_sent_to_a_server_whose_certificate_is_wrong(bot: Bot, bad: str, smtp: str) -> None:
    trusting = {"SSL_CERT_FILE": str(certificates().authority)}
    with Dovecot() as dovecot, Postfix(dovecot, certificate=certificate(bad)) as postfix:
        async with Wire(postfix.port if smtp == "starttls" else postfix.smtps_port) as wire:
            room = Mailroom(dovecot, postfix, bot)
            room.smtp_url = starttls_url(wire.port) if smtp == "starttls" else smtps_url(wire.port)
            state, text = (await room.doctor(**trusting))["smtp"]
            assert state == "failed"
            assert "certificate" in text.lower(), text
            async with room.running(**trusting):
                mail = await room.writes("good morning")
                failed = await room.noted("message_failed")
                assert "certificate" in failed["error"].lower(), failed
                assert failed["retry_at"]
            words = {line.split()[0].upper() for line in wire.said("client")}
            assert words <= {b"EHLO", b"STARTTLS"}, words
        assert not room.answers(mail)
        assert postfix.asked == []


@on_real_servers
async def test_a_server_that_offers_no_starttls_gets_nothing(bot: Bot, dovecot: Dovecot) -> None:
    with Postfix(dovecot, starttls=False) as postfix:
        async with Wire(postfix.port) as wire:
            room = Mailroom(dovecot, postfix, bot)
            room.smtp_url = starttls_url(wire.port)
            async with room.running():
                await room.writes("good morning")
                failed = await room.noted("message_failed")
                assert "starttls" in failed["error"].lower(), failed
            words = {line.split()[0].upper() for line in wire.said("client")}
            assert words <= {b"EHLO", b"STARTTLS", b"QUIT"}, words


# A mailbox that is away


# Fails as long as `ImapConnection.idle` writes DONE to a connection that is lost: under uvloop, which `bot run` uses,
# that is a RuntimeError, and the task that watches the mailbox ends without a word.
@on_real_servers
async def test_mail_is_read_after_the_server_was_restarted_while_it_idled(room: Mailroom, dovecot: Dovecot) -> None:
    async with Wire(dovecot.imap_port) as wire:
        room.imap_url = imap_url("imap", "127.0.0.1", wire.port)
        async with room.running() as process:
            await idles(wire)
            await asyncio.to_thread(dovecot.restart)
            mail = await room.writes("good morning")
            await process.told("mailbox_lost")
            await room.gets_answer(mail)
            await room.gets_answer(await room.writes("good evening"))
    assert len(room.mails_of()) == 2


# Fails as long as `ImapConnection.idle` writes DONE to a connection that is lost: under uvloop, which `bot run` uses,
# that is a RuntimeError, and the task that watches the mailbox ends without a word.
@on_real_servers
async def test_mail_that_came_while_the_server_was_down_is_read(room: Mailroom, dovecot: Dovecot) -> None:
    async with Wire(dovecot.imap_port) as wire:
        room.imap_url = imap_url("imap", "127.0.0.1", wire.port)
        async with room.running() as process:
            await idles(wire)
            wire.refuse()
            await asyncio.to_thread(dovecot.kill)
            await eventually(lambda: process.err.count("mailbox_lost") >= 2)
            await asyncio.to_thread(dovecot.start)
            mail = await room.writes("good morning")
            assert process.err.count("mailbox_lost") >= 2
            wire.accept()
            await room.gets_answer(mail)
    assert len(room.mails_of()) == 1


@on_real_servers
async def test_mail_that_came_while_the_network_stood_still_is_read(room: Mailroom, dovecot: Dovecot) -> None:
    async with Wire(dovecot.imap_port) as wire:
        room.imap_url = imap_url("imap", "127.0.0.1", wire.port)
        async with room.running():
            await idles(wire)
            wire.freeze()
            mail = await room.writes("good morning")
            wire.thaw()
            await room.gets_answer(mail)
            await room.gets_answer(await room.writes("good evening"))
    assert len(room.mails_of()) == 2


# Fails as long as `Mailbox.catch_up` searches only once before IDLE: Dovecot tells of the second mail in its answer to
# FETCH or STORE and not again, so it is read when the IDLE ends, a minute later.
@on_real_servers
@pytest.mark.parametrize("call", ["UID FETCH", "UID STORE"])
async def test_mail_that_comes_while_another_is_read_is_read_at_once(
    room: Mailroom, dovecot: Dovecot, call: str
) -> None:
    async with Wire(dovecot.imap_port) as wire:
        room.imap_url = imap_url("imap", "127.0.0.1", wire.port)
        async with room.running():
            await idles(wire)
            async with wire.hold(call) as gate:
                first = await room.writes("good morning")
                await gate.reached()
                second = await room.writes("good evening")
            await room.gets_answer(first)
            await room.gets_answer(second)
    assert len(room.mails_of()) == 2


@on_real_servers
async def test_a_dead_connection_is_given_up_and_mail_is_read_over_another(dovecot: Dovecot) -> None:
    """In this process: `bot run` waits for a minute and a half until it is sure."""
    read: list[Fetched] = []

    async def take(mail: Fetched) -> bool:
        read.append(mail)
        return True

    async def tell(key: str, text: str) -> None:
        raise AssertionError(text)

    async with Wire(dovecot.imap_port) as wire:
        url = imap_url("imap", "127.0.0.1", wire.port)
        mailbox = Mailbox(imap_server(url), MemoryStore(), take, tell, pace=Pace(call=0.5, idle=1.0))
        watching = asyncio.create_task(mailbox.watch())
        try:
            await eventually(mailbox.listening.is_set)
            wire.freeze()
            await asyncio.to_thread(dovecot.deliver, b"Subject: one\r\n\r\none\r\n", BOT, address("ana"))
            await eventually(lambda: not mailbox.listening.is_set())
            wire.cut()
            wire.thaw()
            await eventually(lambda: read)
            await eventually(lambda: dovecot.flags("deploybot") == [frozenset({r"\Seen"})])
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    assert len(read) == 1


OLD = [f"old-{number}" for number in range(30)]


@on_real_servers
async def test_a_rebuilt_mailbox_gives_no_old_mail_a_second_life(dovecot: Dovecot) -> None:
    read: list[bytes] = []

    async def take(mail: Fetched) -> bool:
        read.append(mail.raw)
        return True

    async def tell(key: str, text: str) -> None:
        raise AssertionError(text)

    async def gets(name: str) -> None:
        raw = f"From: {address('ana')}\r\nMessage-ID: <{name}@x>\r\nSubject: {name}\r\n\r\n{name}\r\n".encode()
        await asyncio.to_thread(dovecot.deliver, raw, BOT, address("ana"))

    @contextlib.asynccontextmanager
    async def watching() -> AsyncIterator[None]:
        mailbox = Mailbox(server, store, take, tell)
        task = asyncio.create_task(mailbox.watch())
        try:
            await eventually(mailbox.listening.is_set)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def is_noted() -> bool:
        """What was read and not noted before a crash is read again, under the same event id."""
        position = ReadPosition.parse(await store.get_note(f"email/{server.user}@{server.where}/{server.folder}"))
        return position is not None and position.uid == len(OLD) + 1

    store, server = MemoryStore(), imap_server(imap_url("imap", "127.0.0.1", dovecot.imap_port))
    for name in OLD:
        await gets(name)
    async with watching():
        await gets("first")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_noted():  # noqa: ASYNC110 - a mail server tells nobody
                await asyncio.sleep(LOOK_SECONDS)
        assert len(read) == 1
    dovecot.kill()
    dovecot.forget_uids("deploybot")
    dovecot.start()
    await gets("second")
    async with watching():
        await eventually(lambda: len(read) == 2)
    assert [b"first" in read[0], b"second" in read[1]] == [True, True]


# A server that does not take mail


LETTER = Letter("<1@team.example>", (address("ana"),), b"Subject: one\r\nMessage-ID: <1@team.example>\r\n\r\none\r\n")


@on_real_servers
async def test_what_is_due_while_the_server_is_down_is_sent_later(room: Mailroom, postfix: Postfix) -> None:
    """The half a minute until the program itself tries again is not waited for."""
    async with room.running():
        await room.gets_answer(await room.writes("good morning"))
        await asyncio.to_thread(postfix.wait_until_delivered)  # or it may deliver that mail once more
        await asyncio.to_thread(postfix.kill)
        await room.writes("good evening", answers=room.mails_of()[0])
        failed = await room.noted("message_failed")
        assert failed["retry_at"]
    outbox = Outbox(smtp_server(room.smtp_url), BOT)
    try:
        with pytest.raises(SendFailed) as error:
            await outbox.deliver(LETTER)
        assert error.value.retry_after_seconds == RETRY_SECONDS
        await asyncio.to_thread(postfix.start)
        await outbox.deliver(LETTER)
        await asyncio.to_thread(postfix.wait_until_delivered)
    finally:
        await outbox.aclose()
    assert len(room.mails_of()) == 2


@on_real_servers
async def test_mail_goes_out_at_once_after_the_server_was_restarted(room: Mailroom, postfix: Postfix) -> None:
    async with room.running():
        await room.gets_answer(await room.writes("good morning"))
        await asyncio.to_thread(postfix.wait_until_delivered)  # or it may deliver that mail once more
        await asyncio.to_thread(postfix.restart)
        await room.gets_answer(await room.writes("good evening"))
        assert await room.events("message_failed") == []
    assert len(room.mails_of()) == 2


@on_real_servers
async def test_whoever_is_put_off_gets_it_later_and_the_others_not_twice(room: Mailroom, postfix: Postfix) -> None:
    letter = Letter(LETTER.message_id, (address("ana"), address("ben")), LETTER.data)
    outbox = Outbox(smtp_server(room.smtp_url), BOT)
    postfix.refuse(address("ben"), "450 4.2.1 try later")
    try:
        for _ in range(2):
            with pytest.raises(SendFailed, match="try later") as error:
                await outbox.deliver(letter)
            assert error.value.retry_after_seconds == RETRY_SECONDS
        postfix.accept(address("ben"))
        await outbox.deliver(letter)
        await asyncio.to_thread(postfix.wait_until_delivered)
    finally:
        await outbox.aclose()
    assert len(room.mails_of("ana")) == len(room.mails_of("ben")) == 1


@on_real_servers
async def test_a_recipient_who_is_refused_is_noted_and_told_to_those_who_care(room: Mailroom, postfix: Postfix) -> None:
    tell_alerts(room.bot)
    postfix.refuse(address("ana"), "550 5.7.1 not wanted")
    async with room.running():
        await room.writes("good morning")
        alert = await room.gets("could not", user="ben")
        assert "not wanted" in text_of(alert)
        failed = await room.noted("message_failed")
        assert "550 5.7.1" in failed["error"]
        assert failed["retry_at"] is None
    assert room.mails_of("ana") == []
    assert len(room.mails_of("ben")) == 1


@on_real_servers
async def test_a_mail_that_comes_back_is_noted_and_told_to_those_who_care(room: Mailroom) -> None:
    tell_alerts(room.bot)
    async with room.running():
        await room.writes("good morning", by="dora")  # who has no mailbox
        alert = await room.gets(address("dora"), user="ben")
        assert "5.1.1" in text_of(alert)
        failed = await room.noted("delivery_failed")
        assert failed["recipient"] == address("dora")
        [sent] = [event for event in await room.events("message_sent") if event["key"] == failed["key"]]
        assert sent["receipt"]
        await room.is_read(True, True)
    assert len(room.mails_of("ben")) == 1


# What is read and what is not


@on_real_servers
async def test_two_programs_on_one_mailbox_answer_each_mail_once(room: Mailroom) -> None:
    async with room.running(), room.started(PORT="0"):
        mails = [await room.writes(f"good morning {n}", subject=f"Morning {n}") for n in range(10)]
        for mail in mails:
            await room.gets_answer(mail)
        await room.is_read(*[True] * len(mails))
    assert [len(room.answers(mail)) for mail in mails] == [1] * len(mails)
    assert len(room.mails_of()) == len(mails)


@on_real_servers
async def test_of_a_mailbox_full_of_old_mail_none_is_answered_and_a_new_one_at_once(
    room: Mailroom, dovecot: Dovecot
) -> None:
    fill(dovecot, OLD_MAILS)
    async with room.running() as process:
        mail = await room.writes("good morning")
        await room.gets_answer(mail)
        assert "mail_not_answered" not in process.err
    assert len(room.mails_of()) == 1
    flags = dovecot.flags("deploybot")
    assert len(flags) == OLD_MAILS + 1
    assert sum(r"\Seen" in one for one in flags) == 1


@on_real_servers
async def test_strangers_robots_and_lists_are_left_unread(room: Mailroom) -> None:
    async with room.running() as process:
        await room.writes("deploy it", From="Mallory <mallory@elsewhere.example>")
        await room.writes("I am away.", subject="Automatic reply: Release", Auto_Submitted="auto-replied")
        await room.writes("news", List_Id="<all.team.example>", Precedence="list")
        mail = await room.writes("good morning")
        await room.gets_answer(mail)
        await room.is_read(False, False, False, True)
        assert process.err.count("mail_not_answered") == 3
    assert len(room.mails_of()) == 1


# What they have in common


def imap_url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{quote(BOT, safe='')}:{PASSWORD}@{host}:{port}/INBOX"


def starttls_url(port: int) -> str:
    return f"smtp://{quote(BOT, safe='')}:{PASSWORD}@localhost:{port}?starttls=required"


def smtps_url(port: int) -> str:
    return f"smtps://{quote(BOT, safe='')}:{PASSWORD}@localhost:{port}"


def certificate(name: str) -> Certificate:
    found = getattr(certificates(), name)
    assert isinstance(found, Certificate)
    return found


def tell_alerts(bot: Bot) -> None:
    file = bot.folder / "bot.toml"
    file.write_text(f'alerts = "email:{address("ben")}"\n{file.read_text()}')


def fill(dovecot: Dovecot, count: int) -> None:
    """Mail that came long ago, straight onto the disk."""
    owner = pwd.getpwnam("nobody")
    new = dovecot.folder / "mail" / "deploybot" / "new"
    for folder in (new.parent, new, new.parent / "cur", new.parent / "tmp"):
        folder.mkdir()
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    for number in range(count):
        file = new / f"{1_700_000_000 + number}.M{number}P1.mx"
        head = f"From: Ana <{address('ana')}>\nTo: {BOT}\nMessage-ID: <old{number}@{DOMAIN}>\nSubject: Old\n"
        file.write_bytes(f"{head}\nold\n".encode())
        os.chown(file, owner.pw_uid, owner.pw_gid)


async def idles(wire: Wire) -> None:
    """Returns when the client waits for news."""
    await eventually(lambda: any(line.endswith(b" IDLE") for line in wire.said("client")))
    await eventually(lambda: any(line.lower().startswith(b"+ idling") for line in wire.said("server")))


async def approves_by_link(card: EmailMessage, comment: str = "") -> str:
    """Opens the link, as people and their mail programs do, and sends its form. What the page says then."""
    found = re.search(r"^(?:Confirm: )?Approve: (\S+)$", text_of(card), re.MULTILINE)
    assert found, text_of(card)
    async with aiohttp.ClientSession() as session:
        async with session.get(found[1]) as page:
            assert page.status == 200
            assert '<form method="post">' in await page.text()
        async with session.post(found[1], data={"comment": comment}) as page:
            return await page.text()


async def eventually(look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What it gives as soon as that is something: a mail server tells nobody."""
    async with asyncio.timeout(seconds):
        while not (found := look()):  # noqa: ASYNC110 - a mail server tells nobody
            await asyncio.sleep(LOOK_SECONDS)
    return found


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


@functools.lru_cache(1_000)
def _read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)
