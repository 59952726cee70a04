"""The way out over real SMTP: connections that are used again, and what refusals and broken wires come to.

Not here: a server that hangs for SECONDS_MAX, and a connection that was idle for IDLE_SECONDS_MAX. Neither can be
given to an Outbox, and a test does not wait for 45 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from channels.base import ChannelUnavailable, SendFailed, SentInPart
from channels.email.channel import EmailChannel
from channels.email.identity.tokens import Signer
from channels.email.letters import Letter, Writer
from channels.email.outbox import (
    CONNECTIONS_MAX,
    GIVE_UP_SECONDS,
    RETRY_AFTER_REPAIR_SECONDS,
    RETRY_SECONDS,
    Outbox,
    check,
)
from channels.email.place import private_place
from channels.email.servers import MailServer, smtp_server
from channels.messages import Text
from store.values import Person, Place
from tests.fakes.mail.light import Light
from tests.fakes.wire import Wire
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort
from tests.telling import story

BOT, ANA, BEN = "deploybot@team.example", "ana@team.example", "ben@team.example"
CLEO = "cleo@elsewhere.example"
"""Nobody relays to her: 554."""
LATER = GIVE_UP_SECONDS + 1


@pytest.fixture
def server() -> Iterator[Light]:
    with Light() as light:
        yield light


@pytest.fixture
async def wire(server: Light) -> AsyncIterator[Wire]:
    async with Wire(server.port) as it:
        yield it


@pytest.fixture
async def outbox(wire: Wire) -> AsyncIterator[Outbox]:
    it = Outbox(at(wire.port), BOT)
    yield it
    await it.aclose()


def at(port: int, user: str = "") -> MailServer:
    return smtp_server(f"smtp://{user}127.0.0.1:{port}")


def letter(*recipients: str, number: int = 1, body: str = "Hello.") -> Letter:
    message_id = f"<m{number}@team.example>"
    head = f"From: {BOT}\r\nTo: {', '.join(recipients)}\r\nSubject: Re: x\r\nMessage-ID: {message_id}\r\n\r\n"
    return Letter(message_id, recipients, f"{head}{body}\r\n".encode())


def received(server: Light, user: str) -> list[str]:
    """The Message-IDs in that mailbox."""
    mails = server.mailbox(user)
    return [line[12:].decode() for raw in mails for line in raw.split(b"\n") if line.startswith(b"Message-ID: ")]


async def failure(outbox: Outbox, one: Letter, **more: float) -> SendFailed:
    with pytest.raises(SendFailed) as failed:
        await outbox.deliver(one, **more)
    assert "\n" not in str(failed.value)
    return failed.value


async def in_part(outbox: Outbox, one: Letter, **more: float) -> SentInPart:
    with pytest.raises(SentInPart) as partly:
        await outbox.deliver(one, **more)
    assert partly.value.receipt == one.message_id
    return partly.value


async def until(what: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not what():  # noqa: ASYNC110 - it looks at a server
            await asyncio.sleep(0.005)


# Sent


async def test_a_mail_arrives_to_the_byte(server: Light, outbox: Outbox) -> None:
    one = letter(ANA, BEN, body=".\r\n..two\r\n.three\r\n" + "x" * 990 + "\r\n\r\n")
    await outbox.deliver(one)
    for user in ("ana", "ben"):
        (raw,) = server.mailbox(user)
        assert raw.endswith(one.data.replace(b"\r\n", b"\n"))
        assert f"Return-Path: <{BOT}>".encode() in raw


async def test_a_connection_is_used_again(server: Light, wire: Wire, outbox: Outbox) -> None:
    for number in range(10):
        await outbox.deliver(letter(ANA, number=number))
    assert wire.connected == 1
    assert received(server, "ana") == [f"<m{number}@team.example>" for number in range(10)]


async def test_a_refusal_leaves_the_connection_usable(server: Light, wire: Wire, outbox: Outbox) -> None:
    await failure(outbox, letter(CLEO))
    await in_part(outbox, letter(ANA, CLEO, number=2))
    await outbox.deliver(letter(ANA, number=3))
    assert wire.connected == 1
    assert received(server, "ana") == ["<m2@team.example>", "<m3@team.example>"]


async def test_a_connection_is_made_anew_after_the_server_has_gone_away(
    server: Light, wire: Wire, outbox: Outbox
) -> None:
    await outbox.deliver(letter(ANA))
    server.restart()
    await outbox.deliver(letter(ANA, number=2))
    wire.cut()
    await outbox.deliver(letter(ANA, number=3))
    assert wire.connected == 3
    assert received(server, "ana") == [f"<m{number}@team.example>" for number in (1, 2, 3)]


async def test_no_more_than_a_few_are_sent_at_once(server: Light, wire: Wire, outbox: Outbox) -> None:
    wire.freeze()
    sending = [asyncio.create_task(outbox.deliver(letter(ANA, number=n))) for n in range(CONNECTIONS_MAX + 3)]
    await until(lambda: wire.connected == CONNECTIONS_MAX)
    await asyncio.sleep(0.05)
    assert wire.connected == CONNECTIONS_MAX
    wire.thaw()
    await asyncio.gather(*sending)
    assert wire.connected == CONNECTIONS_MAX
    assert len(set(received(server, "ana"))) == CONNECTIONS_MAX + 3


async def test_at_its_end_it_says_goodbye_on_every_connection(wire: Wire, outbox: Outbox) -> None:
    await asyncio.gather(*(outbox.deliver(letter(ANA, number=n)) for n in range(3)))
    await outbox.aclose()
    assert [line.upper() for line in wire.said("client")].count(b"QUIT") == wire.connected
    await until(lambda: wire.open == 0)


# Refused


async def test_4xx_is_tried_later(server: Light, outbox: Outbox) -> None:
    server.refuse(ANA, "450 4.2.1 try later")
    failed = await failure(outbox, letter(ANA))
    assert failed.retry_after_seconds == RETRY_SECONDS
    assert ANA in str(failed)
    assert "450 4.2.1 try later" in str(failed)
    # However long that goes on, as long as nobody got it.
    assert (await failure(outbox, letter(ANA), owed_seconds=LATER)).retry_after_seconds == RETRY_SECONDS
    server.accept(ANA)
    await outbox.deliver(letter(ANA))
    assert received(server, "ana") == ["<m1@team.example>"]


async def test_5xx_is_never_tried_again(server: Light, outbox: Outbox) -> None:
    server.refuse(ANA, "550 5.1.1 no such mailbox")
    failed = await failure(outbox, letter(ANA))
    assert failed.retry_after_seconds is None
    assert "550 5.1.1 no such mailbox" in str(failed)


async def test_who_is_refused_for_good_is_named_and_the_others_get_it(server: Light, outbox: Outbox) -> None:
    partly = await in_part(outbox, letter(ANA, CLEO, BEN))
    assert [*partly.refused] == [CLEO]
    assert partly.refused[CLEO].startswith("554 5.7.1")
    assert received(server, "ana") == received(server, "ben") == ["<m1@team.example>"]


async def test_it_is_tried_again_only_for_those_who_did_not_get_it(server: Light, outbox: Outbox) -> None:
    server.refuse(BEN, "450 4.2.1 try later")
    for _ in range(3):
        failed = await failure(outbox, letter(ANA, BEN))
        assert failed.retry_after_seconds == RETRY_SECONDS
        assert BEN in str(failed)
        assert ANA not in str(failed)
    server.accept(BEN)
    await outbox.deliver(letter(ANA, BEN))
    assert server.asked == [ANA, BEN, BEN, BEN, BEN]
    assert received(server, "ana") == received(server, "ben") == ["<m1@team.example>"]
    await outbox.deliver(letter(ANA, BEN))
    assert len(server.asked) == 5


async def test_who_is_refused_for_now_and_who_for_good_are_told_apart(server: Light, outbox: Outbox) -> None:
    server.refuse(BEN, "450 4.2.1 try later")
    failed = await failure(outbox, letter(BEN, CLEO))
    assert (failed.retry_after_seconds, CLEO in str(failed)) == (RETRY_SECONDS, False)
    server.accept(BEN)
    assert [*(await in_part(outbox, letter(BEN, CLEO))).refused] == [CLEO]


async def test_who_is_refused_for_now_for_hours_counts_as_not_reached(server: Light, outbox: Outbox) -> None:
    server.refuse(BEN, "450 4.2.1 try later")
    await failure(outbox, letter(ANA, BEN), owed_seconds=GIVE_UP_SECONDS - 1)
    partly = await in_part(outbox, letter(ANA, BEN), owed_seconds=LATER)
    assert partly.refused == {BEN: "450 4.2.1 try later"}
    assert received(server, "ana") == ["<m1@team.example>"]


# Broken


async def test_a_wire_that_breaks_after_data_means_again_under_the_same_id(
    server: Light, wire: Wire, outbox: Outbox
) -> None:
    async with wire.hold(r"queued", direction="server") as gate:
        sending = asyncio.create_task(failure(outbox, letter(ANA)))
        await gate.reached()
        wire.cut()
        failed = await sending
    assert failed.retry_after_seconds == RETRY_SECONDS
    await outbox.deliver(letter(ANA))
    assert received(server, "ana") == ["<m1@team.example>"] * 2


@pytest.mark.parametrize("line", ["EHLO", "MAIL FROM", "RCPT TO", "^DATA$", "Hello"])
async def test_a_wire_that_breaks_anywhere_means_later(server: Light, wire: Wire, outbox: Outbox, line: str) -> None:
    async with wire.hold(f"(?i){line}") as gate:
        sending = asyncio.create_task(failure(outbox, letter(ANA)))
        await gate.reached()
        wire.cut()
        assert (await sending).retry_after_seconds == RETRY_SECONDS
    await outbox.deliver(letter(ANA))
    assert received(server, "ana") == ["<m1@team.example>"]


async def test_a_server_that_hangs_up_before_its_greeting_means_later(wire: Wire, outbox: Outbox) -> None:
    wire.refuse()
    assert (await failure(outbox, letter(ANA))).retry_after_seconds == RETRY_SECONDS


async def test_where_nobody_listens_it_is_tried_later() -> None:
    nobody = HeldPort()
    failed = await failure(Outbox(at(nobody.number), BOT), letter(ANA))
    assert failed.retry_after_seconds == RETRY_SECONDS
    assert f"127.0.0.1:{nobody.number}" in str(failed)
    with pytest.raises(ChannelUnavailable, match="Correct SMTP_URL"):
        await check(at(nobody.number))


async def test_whoever_stops_waiting_leaves_room_for_the_others(server: Light, wire: Wire, outbox: Outbox) -> None:
    wire.freeze()
    for number in range(CONNECTIONS_MAX + 2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await outbox.deliver(letter(BEN, number=number))
    wire.thaw()
    await outbox.deliver(letter(ANA))
    assert received(server, "ana") == ["<m1@team.example>"]
    await until(lambda: wire.open == 1)


async def test_a_mail_that_was_given_up_in_its_middle_takes_its_connection_with_it(
    server: Light, wire: Wire, outbox: Outbox
) -> None:
    async with wire.hold(r"^354", direction="server") as gate:
        sending = asyncio.create_task(outbox.deliver(letter(BEN)))
        await gate.reached()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
    await until(lambda: wire.open == 0)
    await outbox.deliver(letter(ANA, number=2))
    assert (wire.connected, received(server, "ben"), received(server, "ana")) == (2, [], ["<m2@team.example>"])


async def test_whoever_stops_waiting_for_an_old_connection_closes_it(wire: Wire, outbox: Outbox) -> None:
    await outbox.deliver(letter(ANA))
    wire.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await outbox.deliver(letter(ANA, number=2))
    wire.thaw()
    await until(lambda: wire.open == 0)


async def test_the_end_does_not_wait_long_for_a_server_that_hangs(wire: Wire, outbox: Outbox) -> None:
    await outbox.deliver(letter(ANA))
    wire.freeze()
    start = time.monotonic()
    await outbox.aclose()
    assert time.monotonic() - start < 4


# Servers that say other things


class _Scripted:
    """An SMTP server that answers DATA and MAIL as it is told to, and knows one password."""

    def __init__(self) -> None:
        self.to_data = self.to_mail = "250 2.0.0 Ok"
        self.to_login = ""
        """Instead of what it thinks of the password."""
        self.taken: list[list[str]] = []

    async def handle_MAIL(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        return self.to_mail

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.to_data.startswith("250"):
            self.taken.append(envelope.rcpt_tos)
        return self.to_data

    def login(self, server: SMTP, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        right = (given.login, given.password) == (b"bot", b"right") and not self.to_login
        return AuthResult(success=right, handled=False, message=self.to_login or None)


@contextlib.asynccontextmanager
async def scripted(*, login: bool = False) -> AsyncIterator[tuple[_Scripted, int]]:
    script = _Scripted()
    loop = asyncio.get_running_loop()
    more: dict[str, Any] = {"authenticator": script.login, "auth_require_tls": False} if login else {}
    listener = await loop.create_server(
        lambda: SMTP(script, hostname="mx.team.example", loop=loop, **more), "127.0.0.1", 0
    )
    try:
        yield script, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.sleep(0)


async def test_a_whole_mail_that_is_refused_is_told_as_such() -> None:
    async with scripted() as (script, port):
        outbox = Outbox(at(port), BOT)
        script.to_data = "451 4.3.0 disk full"
        failed = await failure(outbox, letter(ANA, BEN))
        assert (failed.retry_after_seconds, "451 4.3.0 disk full" in str(failed)) == (RETRY_SECONDS, True)
        script.to_data = "554 5.7.1 looks like spam"
        failed = await failure(outbox, letter(ANA, BEN))
        assert (failed.retry_after_seconds, "554 5.7.1 looks like spam" in str(failed)) == (None, True)
        script.to_data = "250 2.0.0 Ok"
        await outbox.deliver(letter(ANA, BEN))
        assert script.taken == [[ANA, BEN]]
        await outbox.aclose()


async def test_we_as_a_sender_may_be_refused() -> None:
    async with scripted() as (script, port):
        outbox = Outbox(at(port), BOT)
        script.to_mail = "421 4.7.0 too many mails"
        assert (await failure(outbox, letter(ANA))).retry_after_seconds == RETRY_SECONDS
        # That is for somebody to repair; the mail itself is not to blame.
        script.to_mail = "550 5.7.1 sender rejected"
        assert (await failure(outbox, letter(ANA))).retry_after_seconds == RETRY_AFTER_REPAIR_SECONDS
        await outbox.aclose()


async def test_a_login_that_is_refused_for_now_is_tried_again_soon() -> None:
    async with scripted(login=True) as (script, port):
        outbox = Outbox(at(port, "bot:right@"), BOT)
        script.to_login = "454 4.7.0 Temporary authentication failure"
        failed = await failure(outbox, letter(ANA))
        assert failed.retry_after_seconds == RETRY_SECONDS
        assert "says: 454 4.7.0 Temporary authentication failure" in str(failed)
        script.to_login = ""
        await outbox.deliver(letter(ANA))
        await outbox.aclose()


async def test_a_wrong_password_is_tried_again_after_a_while_and_not_shown() -> None:
    async with scripted(login=True) as (script, port):
        failed = await failure(Outbox(at(port, "bot:hunter2@"), BOT), letter(ANA))
        assert failed.retry_after_seconds == RETRY_AFTER_REPAIR_SECONDS
        assert "rejects the login" in str(failed)
        assert "hunter2" not in str(failed)
        with pytest.raises(ChannelUnavailable) as told:
            await check(at(port, "bot:hunter2@"))
        assert "hunter2" not in str(told.value)
        outbox = Outbox(at(port, "bot:right@"), BOT)
        await outbox.deliver(letter(ANA))
        assert script.taken == [[ANA]]
        await outbox.aclose()
        await check(at(port, "bot:right@"))


async def test_a_password_that_the_server_does_not_ask_for_is_a_fault_to_be_repaired() -> None:
    async with scripted() as (_, port):
        failed = await failure(Outbox(at(port, "bot:hunter2@"), BOT), letter(ANA))
        assert failed.retry_after_seconds is not None
        assert "hunter2" not in str(failed)


async def test_a_server_without_the_starttls_that_is_required_gets_no_mail(server: Light) -> None:
    url = f"smtp://bot:hunter2@127.0.0.1:{server.port}?starttls=required"
    async with Wire(server.port) as wire:
        failed = await failure(Outbox(smtp_server(url.replace(str(server.port), str(wire.port))), BOT), letter(ANA))
        assert failed.retry_after_seconds is not None
        assert not any(b"AUTH" in line or b"MAIL" in line for line in wire.said("client"))


async def test_a_server_that_serves_nobody_now_does_not_lose_the_mail() -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.3.2 no SMTP service here\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(greets, "127.0.0.1", 0)
    async with listener:
        failed = await failure(Outbox(at(listener.sockets[0].getsockname()[1]), BOT), letter(ANA))
        await asyncio.sleep(0.02)
    assert failed.retry_after_seconds is not None


# The channel


def channel(outbox: Outbox, *, links: bool = False) -> EmailChannel:
    url = "https://bot.team.example" if links else ""
    return EmailChannel(Writer(BOT, Signer("a secret for tests", BOT), lambda _: True, url), outbox)


def mailed(*cc: str) -> Any:
    origin = {"message_id": "<m1@x>", "references": [], "to": [BOT], "cc": [*cc]}
    return story.message(by=Person(name="Ana", address=ANA), subject="Deploy", origin=origin)


PLACE = Place(channel="email", address="<m1@x>")


async def test_the_receipt_is_the_message_id(server: Light, outbox: Outbox) -> None:
    receipt = await channel(outbox).send(PLACE, Text("Done."), key="t1/s1/say", so_far=[mailed(BEN)])
    assert received(server, "ana") == received(server, "ben") == [receipt]


async def test_whoever_did_not_get_it_is_told_by_the_channel(server: Light, outbox: Outbox) -> None:
    with pytest.raises(SentInPart) as partly:
        await channel(outbox).send(PLACE, Text("Done."), key="t1/s1/say", so_far=[mailed(CLEO)])
    assert [*partly.value.refused] == [CLEO]
    assert received(server, "ana") == [partly.value.receipt]


async def test_of_several_mails_none_is_given_up_while_the_channel_waits_for_a_person() -> None:
    class TwoMails(Writer):
        def letters(self, *_: Any, **__: Any) -> list[Letter]:
            return [letter(ANA), letter(BEN, number=2)]

    class LoggedOut(Outbox):
        async def deliver(self, letter: Letter, *, owed_seconds: float = 0.0) -> None:
            if letter.recipients == (BEN,):
                raise SendFailed("Nobody has logged in.", 5, until_repaired=True)

    writer = TwoMails(BOT, Signer("a secret for tests", BOT), lambda _: True, "")
    long_ago = datetime.now(UTC) - timedelta(days=3)
    with pytest.raises(SendFailed, match="Nobody has logged in") as failed:
        await EmailChannel(writer, LoggedOut(at(9), BOT)).send(PLACE, Text("Done."), key="t1/s1/say", since=long_ago)
    assert failed.value.until_repaired


async def test_where_nobody_can_be_written_to_it_says_so(outbox: Outbox) -> None:
    with pytest.raises(SendFailed, match="usable mail address") as failed:
        await channel(outbox).send(PLACE, Text("Done."), key="t1/s1/say", so_far=[story.message()])
    assert failed.value.retry_after_seconds is None


def test_a_person_is_told_alone_where_they_have_a_mail_address(outbox: Outbox) -> None:
    assert channel(outbox).place_for(Person(name="Ben", address=BEN), PLACE) == private_place(BEN)
    for address in ("", "U0BEN"):
        assert channel(outbox).place_for(Person(name="Ben", address=address), PLACE) is None
