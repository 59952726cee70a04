"""Access tokens at real mail servers: Dovecot and Postfix ask the token server whose token it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from channels.base import ChannelUnavailable, SendFailed
from channels.email.imap import Fetched, ImapLoginRefused, Pace, check, connected
from channels.email.letters import Letter
from channels.email.mailbox import Mailbox
from channels.email.oauth.telling import TELL_AGAIN_SECONDS, LoginNews
from channels.email.outbox import RETRY_SECONDS, Outbox
from channels.email.outbox import check as check_smtp
from channels.email.servers import LoginRefused, MailServer, TokenUnavailable
from store.memory import MemoryStore
from tests.fakes.clock import Clock
from tests.fakes.mail import missing
from tests.fakes.mail.dovecot import Dovecot, address
from tests.fakes.mail.postfix import Postfix
from tests.fakes.oauth import OAuthServer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

BOT = address("deploybot")
ANA = address("ana")
PACE = Pace(call=10)


@dataclass
class Tokens:
    """One after the other, as they are rejected; the last one is never given up."""

    those: list[str]
    asked: int = 0
    trouble: list[Exception] = field(default_factory=list)

    async def token(self) -> str:
        self.asked += 1
        if self.trouble:
            raise self.trouble.pop(0)
        return self.those[0]

    def rejected(self, token: str) -> bool:
        if token == self.those[0] and len(self.those) > 1:
            self.those.pop(0)
            return True
        return False


@dataclass
class Room:
    tokens: OAuthServer
    dovecot: Dovecot
    postfix: Postfix

    def imap(self, tokens: Tokens, user: str = BOT) -> MailServer:
        return MailServer("127.0.0.1", self.dovecot.imap_port, "none", user=user, tokens=tokens)

    def smtp(self, tokens: Tokens) -> MailServer:
        return MailServer("127.0.0.1", self.postfix.port, "none", user=BOT, tokens=tokens)

    def good(self, mailbox: str = BOT) -> str:
        self.tokens.access_tokens["good"] = mailbox
        return "good"


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with OAuthServer() as tokens:
        with Dovecot(token_server=f"{tokens.url}/tokeninfo?access_token=") as dovecot, Postfix(dovecot) as postfix:
            yield Room(tokens, dovecot, postfix)


def letter() -> Letter:
    head = f"From: {BOT}\r\nTo: {ANA}\r\nSubject: x\r\nMessage-ID: <1@team.example>\r\n\r\n"
    return Letter("<1@team.example>", (ANA,), f"{head}Hello.\r\n".encode())


async def test_a_good_token_opens_the_mailbox(room: Room) -> None:
    async with connected(room.imap(Tokens([room.good()])), PACE) as connection:
        assert (await connection.select()).validity
        assert connection.has_idle
    assert "opens without TLS" in await check(room.imap(Tokens(["good"])))


async def test_a_refused_token_is_told_at_once_with_the_servers_reason(room: Room) -> None:
    tokens = Tokens(["over", "another"])
    with pytest.raises(ImapLoginRefused, match=r'says NO .*"status":"401"') as refused:
        async with connected(room.imap(tokens), PACE):
            raise AssertionError("it is not open")
    assert "over" not in str(refused.value)
    assert tokens.those == ["another"]
    with pytest.raises(ChannelUnavailable, match="Is that who logged in by `bot login email`"):
        await check(room.imap(tokens))


async def test_the_token_of_another_mailbox_does_not_open_this_one(room: Room) -> None:
    with pytest.raises(ImapLoginRefused):
        async with connected(room.imap(Tokens([room.good(ANA)])), PACE):
            raise AssertionError("it is not open")


async def test_a_mail_goes_out_with_a_good_token(room: Room) -> None:
    outbox = Outbox(room.smtp(Tokens([room.good()])), BOT)
    await outbox.deliver(letter())
    await outbox.aclose()
    room.postfix.wait_until_delivered()
    assert len(room.dovecot.mailbox("ana")) == 1
    await check_smtp(room.smtp(Tokens(["good"])))


async def test_a_token_that_was_over_before_its_time_is_replaced_within_the_same_attempt(room: Room) -> None:
    tokens = Tokens(["over", room.good()])
    outbox = Outbox(room.smtp(tokens), BOT)
    await outbox.deliver(letter())
    await outbox.aclose()
    assert tokens.asked == 2


async def test_a_server_that_refuses_every_token_is_told(room: Room) -> None:
    outbox = Outbox(room.smtp(Tokens(["over"])), BOT)
    with pytest.raises(SendFailed, match="rejects the login: 535") as failed:
        await outbox.deliver(letter())
    assert failed.value.retry_after_seconds
    with pytest.raises(ChannelUnavailable, match="Allow authenticated SMTP for the mailbox"):
        await check_smtp(room.smtp(Tokens(["over"])))


async def test_a_server_in_trouble_does_not_cost_a_token() -> None:
    class InTrouble:
        async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
            return AuthResult(success=False, handled=False, message="454 4.7.0 Temporary authentication failure")

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(InTrouble(), hostname="mx.team.example", loop=loop, auth_require_tls=False), "127.0.0.1", 0
    )
    tokens = Tokens(["good", "another"])
    server = MailServer("127.0.0.1", listener.sockets[0].getsockname()[1], "none", user=BOT, tokens=tokens)
    with pytest.raises(SendFailed, match="says: 454") as failed:
        await Outbox(server, BOT).deliver(letter())
    assert failed.value.retry_after_seconds == RETRY_SECONDS
    assert tokens.those == ["good", "another"]
    listener.close()


async def test_without_a_login_mail_waits_until_somebody_logs_in(room: Room) -> None:
    tokens = Tokens([room.good()], trouble=[LoginRefused("Nobody has logged in.", "k"), TokenUnavailable("it is away")])
    outbox = Outbox(room.smtp(tokens), BOT)
    with pytest.raises(SendFailed, match="Nobody has logged in") as failed:
        await outbox.deliver(letter())
    assert failed.value.until_repaired
    with pytest.raises(SendFailed, match="There is no access token for the mail server: it is away") as failed:
        await outbox.deliver(letter())
    assert failed.value.retry_after_seconds
    assert not failed.value.until_repaired
    await outbox.deliver(letter())
    await outbox.aclose()


async def test_a_password_opens_nothing_there(room: Room) -> None:
    server = replace(room.imap(Tokens([])), tokens=None, password="secret")
    with pytest.raises(ImapLoginRefused):
        async with connected(server, PACE):
            raise AssertionError("it is not open")


# The mailbox


NOBODY = LoginRefused("Nobody has logged in. Run `bot login email`.", "no-login")


@dataclass
class Person:
    """Who is told by an alert; the first attempts may fail."""

    told: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    fails: int = 0
    asked: int = 0

    async def tell(self, key: str, text: str) -> None:
        self.asked += 1
        if self.fails:
            self.fails -= 1
            raise SendFailed("Slack is away.", 60)
        self.told.append(text)
        self.keys.append(key)


async def test_the_mailbox_waits_for_a_login_and_goes_on_by_itself(room: Room) -> None:
    tokens, person, store = Tokens([room.good()], trouble=[NOBODY] * 3), Person(), MemoryStore()
    received = asyncio.Event()

    async def receive(mail: Fetched) -> bool:
        received.set()
        return True

    pace = replace(PACE, login=0.01)
    mailbox = Mailbox(room.imap(tokens), store, receive, person.tell, first_start="all", pace=pace)
    room.dovecot.deliver(letter().data, BOT, ANA)
    watching = asyncio.create_task(mailbox.watch())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await received.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert person.told == [f"{NOBODY} Until then I read and send no mail; none is lost."]


async def test_a_server_that_goes_on_refusing_is_told(room: Room) -> None:
    """At once when the alert is due; the pauses before that are the mailbox's own."""
    person, store = Person(), MemoryStore()
    told = asyncio.Event()

    async def tell(key: str, text: str) -> None:
        await person.tell(key, text)
        told.set()

    async def receive(mail: Fetched) -> bool:
        raise AssertionError("it is not open")

    watching = asyncio.create_task(Mailbox(room.imap(Tokens(["over"])), store, receive, tell, pace=PACE).watch())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await told.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    (text,) = person.told
    assert "the server says NO" in text
    assert text.endswith("Until somebody repairs it, I read no mail.")


async def test_a_refused_login_is_told_once_for_all_processes_and_again_when_it_comes_back() -> None:
    store, person = MemoryStore(), Person()
    one, other = LoginNews(store, "box", person.tell), LoginNews(store, "box", person.tell)
    for news in (one, other, one, other):
        await news.refused("no-login", "Nobody.")
    assert person.told == ["Nobody."]
    await one.refused("ended", "It has ended.")
    assert person.told == ["Nobody.", "It has ended."]
    for news in (one, other):
        await news.over()
    for news in (other, one):
        await news.refused("no-login", "Nobody.")
    assert person.told == ["Nobody.", "It has ended.", "Nobody."]
    assert len(set(person.keys)) == 3, "the second time is another alert"


async def test_what_could_not_be_told_is_told_later_and_not_every_few_seconds() -> None:
    store, person, clock = MemoryStore(), Person(fails=1), Clock()
    news = LoginNews(store, "box", person.tell, clock=clock.seconds)
    for _ in range(3):
        await news.refused("no-login", "Nobody.")
    assert (person.told, person.asked) == ([], 1)
    clock.advance(TELL_AGAIN_SECONDS)
    await news.refused("no-login", "Nobody.")
    assert (person.told, person.asked) == (["Nobody."], 2)
