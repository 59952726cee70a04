"""The mail servers of the tests: they are real, obey, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.message
import imaplib
import os
import smtplib
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.mail import INSTALL, daemon, missing
from tests.fakes.mail.certificates import certificates
from tests.fakes.mail.dovecot import PASSWORD, Dovecot, address
from tests.fakes.mail.light import Light
from tests.fakes.mail.postfix import Postfix
from tests.fakes.wire import Wire
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort

A_WHILE_SECONDS = 0.2

ANA, BEN = address("ana"), address("ben")


def mail(subject: str) -> bytes:
    return f"From: {BEN}\r\nTo: {ANA}\r\nSubject: {subject}\r\n\r\nHello, Ana.\r\n".encode()


def subjects(raws: list[bytes]) -> list[str]:
    return [str(email.message_from_bytes(raw)["Subject"]) for raw in raws]


@dataclass
class Servers:
    imap: Dovecot | Light
    smtp: Postfix | Light

    def send(self, raw: bytes, to: str, sender: str = BEN) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp.port, timeout=PATIENCE_SECONDS) as client:
            client.sendmail(sender, [to], raw)


@contextlib.contextmanager
def real_servers() -> Iterator[Servers]:
    if reason := missing():
        pytest.skip(reason)
    with Dovecot() as dovecot, Postfix(dovecot) as postfix:
        yield Servers(dovecot, postfix)


@contextlib.contextmanager
def light_servers() -> Iterator[Servers]:
    with Light() as light:
        yield Servers(light, light)


@pytest.fixture(
    params=[pytest.param(real_servers, id="real", marks=pytest.mark.slow), pytest.param(light_servers, id="light")]
)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    with request.param() as started:
        yield started


@pytest.fixture
def real() -> Iterator[tuple[Dovecot, Postfix]]:
    with real_servers() as started:
        assert isinstance(started.imap, Dovecot)
        assert isinstance(started.smtp, Postfix)
        yield started.imap, started.smtp


@contextlib.contextmanager
def logged_in(port: int) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE_SECONDS) as client:
        client.login(ANA, PASSWORD)
        client.select()
        yield client


class Lines:
    """A client that says lines and reads lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def hear(self, start: str = "") -> str:
        """The next line that starts so; empty when the other side has closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := await self._reader.readline():
                if line.startswith(start.encode()):
                    return line.decode().rstrip("\r\n")
        return ""

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(A_WHILE_SECONDS):
                await self._reader.readline()

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Lines]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Lines(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def idling(port: int) -> AsyncIterator[Lines]:
    async with connected(port) as client:
        client.say(f"a login {ANA} {PASSWORD}")
        assert "OK" in await client.hear("a ")
        client.say("b select inbox")
        assert "OK" in await client.hear("b ")
        client.say("c idle")
        await client.hear("+ ")
        yield client


def test_it_says_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.mail.found", lambda program, *folders: None)
    assert missing() == INSTALL
    monkeypatch.setattr("tests.fakes.mail.found", lambda program, *folders: program)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in missing()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert missing() == ""


class TestServers:
    def test_mail_that_goes_in_by_smtp_is_found_by_imap(self, servers: Servers) -> None:
        servers.send(mail("Release"), ANA)
        servers.smtp.wait_until_delivered()
        with logged_in(servers.imap.imap_port) as client:
            _, found = client.uid("fetch", "1:*", "(BODY.PEEK[])")
        assert isinstance(found[0], tuple)
        assert email.message_from_bytes(found[0][1])["Subject"] == "Release"
        assert subjects(servers.imap.mailbox("ana")) == ["Release"]
        assert servers.imap.mailbox("ben") == []

    def test_mail_is_delivered_past_the_smtp_server_in_order(self, servers: Servers) -> None:
        for number in range(12):
            servers.imap.deliver(mail(str(number)), ANA, BEN)
        assert subjects(servers.imap.mailbox("ana")) == [str(number) for number in range(12)]

    def test_for_an_unknown_user_the_sender_gets_a_delivery_report(self, servers: Servers) -> None:
        servers.send(mail("Release"), address("nobody"))
        servers.smtp.wait_until_delivered()
        (raw,) = servers.imap.mailbox("ben")
        report = email.message_from_bytes(raw)
        assert report.get_content_type() == "multipart/report"
        assert report["Return-Path"] == "<>"
        parts = {part.get_content_type(): part for part in report.walk()}
        status = parts["message/delivery-status"].as_string()
        assert f"Final-Recipient: rfc822; {address('nobody')}" in status
        assert "Status: 5.1.1" in status
        assert "Subject: Release" in parts["message/rfc822"].as_string()

    def test_plus_addresses_are_kept_in_delivered_to(self, servers: Servers) -> None:
        servers.send(mail("Release"), address("ana+t.thr_42.SIG"))
        servers.smtp.wait_until_delivered()
        (raw,) = servers.imap.mailbox("ana")
        assert email.message_from_bytes(raw)["Delivered-To"] == address("ana+t.thr_42.SIG")

    def test_a_recipient_is_refused_until_it_is_accepted(self, servers: Servers) -> None:
        with smtplib.SMTP("127.0.0.1", servers.smtp.port, timeout=PATIENCE_SECONDS) as client:
            for code, reply in ((450, "450 4.2.1 try later"), (550, "550 5.1.1 gone")):
                servers.smtp.refuse(ANA, reply)
                for recipient in (ANA, address("ana+t.1")):
                    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                        client.sendmail(BEN, [recipient], mail("Release"))
                    assert refused.value.recipients[recipient][0] == code
            client.sendmail(ANA, [BEN], mail("Another"))
            servers.smtp.accept(ANA)
            client.sendmail(BEN, [ANA], mail("Release"))
        servers.smtp.wait_until_delivered()
        assert subjects(servers.imap.mailbox("ana")) == ["Release"]
        assert servers.smtp.asked == [ANA, address("ana+t.1"), ANA, address("ana+t.1"), BEN, ANA]

    def test_other_domains_are_refused(self, servers: Servers) -> None:
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="554"):
            servers.send(mail("Release"), "somebody@elsewhere.example")

    def test_flags_are_read_from_the_mailbox(self, servers: Servers) -> None:
        servers.imap.deliver(mail("First"), ANA, BEN)
        servers.imap.deliver(mail("Second"), ANA, BEN)
        with logged_in(servers.imap.imap_port) as client:
            client.store("2", "+FLAGS", r"(\Seen \Answered)")
        assert servers.imap.flags("ana") == [frozenset(), {r"\Seen", r"\Answered"}]

    async def test_a_client_that_idles_is_told(self, servers: Servers) -> None:
        async with idling(servers.imap.imap_port) as client:
            await asyncio.to_thread(servers.send, mail("Release"), ANA)
            assert await client.hear("* 1 EXISTS")

    async def test_they_restart_on_the_same_ports_with_the_same_mail(self, servers: Servers) -> None:
        servers.imap.deliver(mail("First"), ANA, BEN)
        async with idling(servers.imap.imap_port) as client:
            await asyncio.to_thread(servers.imap.restart)
            while await client.hear():
                pass
        servers.smtp.restart()
        servers.send(mail("Second"), ANA)
        servers.smtp.wait_until_delivered()
        servers.imap.kill()
        with pytest.raises(ConnectionRefusedError):
            imaplib.IMAP4("127.0.0.1", servers.imap.imap_port, timeout=PATIENCE_SECONDS)
        servers.imap.start()
        with logged_in(servers.imap.imap_port) as client_again:
            assert client_again.select() == ("OK", [b"2"])
        assert subjects(servers.imap.mailbox("ana")) == ["First", "Second"]


@pytest.mark.slow
class TestDovecotAndPostfix:
    def test_keywords_are_flags_too(self, real: tuple[Dovecot, Postfix]) -> None:
        dovecot, _ = real
        dovecot.deliver(mail("Release"), ANA, BEN)
        with logged_in(dovecot.imap_port) as client:
            client.store("1", "+FLAGS", "($Handled)")
        assert dovecot.flags("ana") == [{"$Handled"}]

    def test_mail_waits_while_dovecot_is_down(self, real: tuple[Dovecot, Postfix]) -> None:
        dovecot, postfix = real
        dovecot.kill()
        Servers(dovecot, postfix).send(mail("Release"), ANA)
        daemon.eventually(lambda: "status=deferred" in postfix.told(), "it was never tried")
        postfix.kill()
        assert postfix.waiting() == 1
        postfix.start()
        dovecot.start()
        postfix.wait_until_delivered()
        assert subjects(dovecot.mailbox("ana")) == ["Release"]

    def test_whoever_logs_in_needs_the_password(self, real: tuple[Dovecot, Postfix]) -> None:
        dovecot, postfix = real
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=PATIENCE_SECONDS) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login(ANA, "guessed")
            client.login(ANA, PASSWORD)
        with imaplib.IMAP4("127.0.0.1", dovecot.imap_port, timeout=PATIENCE_SECONDS) as reader:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                reader.login(ANA, "guessed")
            reader.login(ANA, PASSWORD)

    def test_starttls_can_be_hidden(self, real: tuple[Dovecot, Postfix]) -> None:
        dovecot, offering = real
        with Postfix(dovecot, starttls=False) as hiding:
            for postfix, offered in ((offering, True), (hiding, False)):
                with smtplib.SMTP("127.0.0.1", postfix.port, timeout=PATIENCE_SECONDS) as client:
                    client.ehlo()
                    assert client.has_extn("starttls") is offered

    def test_nothing_of_them_is_left(self) -> None:
        with real_servers() as started:
            assert isinstance(started.imap, Dovecot)
            assert isinstance(started.smtp, Postfix)
            folders = [started.imap.folder, started.smtp.folder]
            groups = [server._process.pid for server in (started.imap, started.smtp) if server._process]
        assert len(groups) == 2
        assert not any(folder.exists() for folder in folders)
        assert not any(daemon.group_lives(group) for group in groups)

    def test_a_server_that_cannot_start_says_why(self) -> None:
        if reason := missing():
            pytest.skip(reason)
        dovecot = Dovecot()
        (dovecot.folder / "dovecot.conf").write_text("nonsense\n")
        with pytest.raises(RuntimeError, match="Error in configuration file"), dovecot:
            pass
        assert not dovecot.folder.exists()


@pytest.mark.slow
class TestCertificates:
    @pytest.mark.parametrize(
        ("name", "trouble"),
        [
            ("server", None),
            ("wrong_name", "Hostname mismatch"),
            ("expired", "certificate has expired"),
            ("self_signed", "self-signed certificate"),
        ],
    )
    def test_a_client_that_trusts_the_authority_takes_the_right_one_only(self, name: str, trouble: str | None) -> None:
        if reason := missing():
            pytest.skip(reason)
        certificate = getattr(certificates(), name)
        with Dovecot(certificate=certificate) as dovecot, Postfix(dovecot, certificate=certificate) as postfix:
            trusting = ssl.create_default_context(cafile=str(postfix.authority))

            def imaps() -> None:
                imaplib.IMAP4_SSL(
                    "localhost", dovecot.imaps_port, ssl_context=trusting, timeout=PATIENCE_SECONDS
                ).logout()

            def imap_starttls() -> None:
                client = imaplib.IMAP4("localhost", dovecot.imap_port, timeout=PATIENCE_SECONDS)
                with contextlib.closing(client.socket()):
                    client.starttls(trusting)
                    client.logout()

            def smtps() -> None:
                smtplib.SMTP_SSL("localhost", postfix.smtps_port, context=trusting, timeout=PATIENCE_SECONDS).quit()

            def smtp_starttls() -> None:
                with smtplib.SMTP("localhost", postfix.port, timeout=PATIENCE_SECONDS) as client:
                    client.starttls(context=trusting)

            for connects in (imaps, imap_starttls, smtps, smtp_starttls):
                if trouble is None:
                    connects()
                else:
                    with pytest.raises(ssl.SSLCertVerificationError, match=trouble):
                        connects()


@pytest.mark.parametrize("kind", [pytest.param(Dovecot, marks=pytest.mark.slow), Light])
def test_idle_can_be_hidden(kind: type[Dovecot] | type[Light]) -> None:
    if kind is Dovecot and (reason := missing()):
        pytest.skip(reason)
    for idle in (True, False):
        with kind(idle=idle) as server, logged_in(server.imap_port) as client:
            _, said = client.capability()
            assert (b"IDLE" in said[0].split()) is idle
            assert ("IDLE" in client.capabilities) in (idle, False)


class Echo:
    """Says each line back, greets, and ends at QUIT."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.gone = asyncio.Event()

    @contextlib.asynccontextmanager
    async def wired(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server, Wire(server.sockets[0].getsockname()[1]) as wire:
            yield wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"hello\r\n")
            while (line := await reader.readline()) not in (b"", b"QUIT\r\n"):
                self.heard.append(line.decode().rstrip())
                writer.write(line)
        writer.close()
        self.gone.set()

    async def has_gone(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.gone.wait()


class TestWire:
    async def test_it_relays_and_remembers(self) -> None:
        async with Echo().wired() as wire, connected(wire.port) as client:
            assert await client.hear() == "hello"
            client.say("one", "two")
            assert [await client.hear(), await client.hear()] == ["one", "two"]
            assert wire.said("client") == [b"one", b"two"]
            assert wire.said("server") == [b"hello", b"one", b"two"]
            assert (wire.open, wire.connected) == (1, 1)
            client.say("QUIT")
            assert await client.hear() == ""

    async def test_a_line_is_held_before_it_is_passed_on(self) -> None:
        echo = Echo()
        async with echo.wired() as wire, connected(wire.port) as client, wire.hold("^STORE", nth=2) as gate:
            client.say("STORE 1", "FETCH", "STORE 2", "FETCH 2")
            await gate.reached()
            assert gate.line == b"STORE 2"
            assert await client.hear("FETCH") == "FETCH"
            await client.hears_nothing()
            assert echo.heard == ["STORE 1", "FETCH"]
            gate.release()
            assert await client.hear("STORE 2")
            client.say("STORE 3")
            assert await client.hear("STORE 3")

    async def test_a_line_is_held_after_it_was_passed_on(self) -> None:
        async with Echo().wired() as wire, connected(wire.port) as client:
            async with wire.hold("STORE", direction="server", after=True) as gate:
                client.say("STORE 1", "STORE 2")
                await gate.reached()
                assert await client.hear("STORE") == "STORE 1"
                await client.hears_nothing()
            assert await client.hear("STORE") == "STORE 2"

    async def test_a_line_held_for_a_client_that_dies_is_lost(self) -> None:
        echo = Echo()
        async with echo.wired() as wire:
            async with wire.hold("STORE") as gate:
                async with connected(wire.port) as client:
                    client.say("STORE 1")
                    await gate.reached()
                    client.say("STORE 2")
                await echo.has_gone()
            assert echo.heard == []
            assert wire.said("client") == []

    async def test_an_answer_held_for_a_client_that_dies_ends_the_servers_side_too(self) -> None:
        echo = Echo()
        async with echo.wired() as wire, wire.hold("STORE", direction="server") as gate:
            async with connected(wire.port) as client:
                client.say("STORE 1")
                await gate.reached()
            await echo.has_gone()
            assert echo.heard == ["STORE 1"]

    async def test_a_cut_ends_both_sides_and_new_connections_are_welcome(self) -> None:
        echo = Echo()
        async with echo.wired() as wire:
            async with connected(wire.port) as client:
                await client.hear("hello")
                wire.cut()
                assert await client.hear() == ""
                await echo.has_gone()
            async with connected(wire.port) as client:
                assert await client.hear() == "hello"

    async def test_a_frozen_wire_is_silent_until_it_thaws(self) -> None:
        echo = Echo()
        async with echo.wired() as wire, connected(wire.port) as client:
            await client.hear("hello")
            wire.freeze()
            client.say("one")
            async with connected(wire.port) as another:
                await another.hears_nothing()
                await client.hears_nothing()
                assert echo.heard == []
                client.close()
                wire.thaw()
                assert await another.hear() == "hello"
                await echo.has_gone()
                assert echo.heard == ["one"]

    async def test_it_refuses_until_it_accepts(self) -> None:
        async with Echo().wired() as wire:
            wire.refuse()
            async with connected(wire.port) as client:
                assert await client.hear() == ""
            wire.accept()
            async with connected(wire.port) as client:
                assert await client.hear() == "hello"

    async def test_a_server_that_is_down_is_a_connection_that_closes(self) -> None:
        nobody = HeldPort()
        async with Wire(nobody.number) as wire, connected(wire.port) as client:
            assert await client.hear() == ""

    async def test_a_cut_frees_who_is_held_or_frozen(self) -> None:
        async with Echo().wired() as wire, connected(wire.port) as client, wire.hold("STORE") as gate:
            client.say("STORE 1")
            await gate.reached()
            wire.freeze()
            wire.cut()
            assert await client.hear("*") == ""

    async def test_it_holds_what_a_client_tells_its_imap_server(self, servers: Servers) -> None:
        servers.imap.deliver(mail("Release"), ANA, BEN)

        def read() -> None:
            with logged_in(wire.port) as client:
                client.uid("store", "1:*", "+FLAGS", r"(\Seen)")

        async with Wire(servers.imap.imap_port) as wire, asyncio.TaskGroup() as tasks:
            async with wire.hold("UID STORE") as gate:
                tasks.create_task(asyncio.to_thread(read))
                await gate.reached()
                assert servers.imap.flags("ana") == [frozenset()]
            async with wire.hold("LOGOUT", after=True) as gate:
                await gate.reached()
        assert servers.imap.flags("ana") == [{r"\Seen"}]

    @pytest.mark.slow
    async def test_tls_goes_through_it(self, real: tuple[Dovecot, Postfix]) -> None:
        _, postfix = real

        def send(port: int) -> None:
            trusting = ssl.create_default_context(cafile=str(postfix.authority))
            with smtplib.SMTP("localhost", port, timeout=PATIENCE_SECONDS) as client:
                client.starttls(context=trusting)
                client.sendmail(BEN, [ANA], mail("Secret"))

        async with Wire(postfix.port) as wire:
            await asyncio.to_thread(send, wire.port)
            assert wire.said("client")[-1] == b"STARTTLS"
