"""IMAP servers that answer in other ways than Dovecot does: by a script, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import structlog

from channels.email.imap import Fetched, Pace
from channels.email.mailbox import Mailbox, ReadPosition
from channels.email.servers import imap_server
from store.memory import MemoryStore
from tests.bot.desks.post_office import eventually

RAW = b"From: ana@team.example\r\nMessage-ID: <1@x>\r\n\r\nhello ( ) {3}\r\n* 4 EXISTS\r\n"
PACE = Pace(call=2, fetch=2, idle=0.2, poll=0.05)
OURS = 10
"""The UID that the script is about; there are 9 and 11 beside it."""

Says = Callable[[str, bytes], bytes]
"""What is sent for a FETCH of OURS: by the tag, and the plain answer."""


@dataclass
class Server:
    fetch: Says = lambda tag, plain: plain + f"{tag} OK Fetch completed\r\n".encode()
    store: str = "OK done"
    idle: str = "+ idling"
    uids: tuple[int, ...] = (9, 10, 11)
    validity: int = 1
    logins: int = 0
    asked: list[str] = field(default_factory=list)
    _idle_tag: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(b"* OK hi\r\n")
            while line := await reader.readline():
                tag, _, rest = line.decode().strip().partition(" ")
                self.asked.append(rest)
                for answer in self.answers(tag, rest.upper()):
                    writer.write(answer)
                await writer.drain()
        writer.close()

    def answers(self, tag: str, rest: str) -> list[bytes]:
        ok = f"{tag} OK done\r\n".encode()
        match rest.split():
            case ["CAPABILITY"]:
                return [b"* CAPABILITY IMAP4rev1 IDLE\r\n", ok]
            case ["LOGIN", *_]:
                self.logins += 1
                return [ok]
            case ["SELECT", *_]:
                state = f"* OK [UIDVALIDITY {self.validity}] x\r\n* OK [UIDNEXT {max(self.uids) + 1}] x\r\n"
                return [b"* 3 EXISTS\r\n", state.encode(), ok]
            case ["UID", "SEARCH", *criteria]:
                beyond = int(found[1]) if (found := re.search(r"UID (\d+):", " ".join(criteria))) else 0
                uids = [uid for uid in self.uids if uid >= beyond or uid == max(self.uids)]
                return [f"* SEARCH {' '.join(map(str, uids))}\r\n".encode(), ok]
            case ["UID", "FETCH", asked, "(UID", "BODY.PEEK[HEADER.FIELDS", *_]:
                return [b"".join(map(head_answer, map(int, asked.split(",")))) + ok]
            case ["UID", "FETCH", uid, *_]:
                plain = plain_answer(int(uid))
                return [self.fetch(tag, plain) if int(uid) == OURS else plain + ok]
            case ["UID", "STORE", *_]:
                return [f"{tag} {self.store}\r\n".encode()]
            case ["IDLE"]:
                self._idle_tag = tag
                return [f"{self.idle}\r\n".encode() if self.idle.startswith("+") else f"{tag} {self.idle}\r\n".encode()]
            case ["DONE"]:
                return [f"{self._idle_tag} OK done\r\n".encode()]
            case _:
                return [ok]


def plain_answer(uid: int) -> bytes:
    head = f"* {uid - 8} FETCH (UID {uid} RFC822.SIZE {len(RAW)} BODY[]<0> {{{len(RAW)}}}\r\n"
    return head.encode() + RAW + b")\r\n"


def head_answer(uid: int) -> bytes:
    head = f"Message-ID: <{uid}@x>\r\n\r\n"
    return f"* {uid - 8} FETCH (UID {uid} BODY[HEADER.FIELDS (MESSAGE-ID)]<0> {{{len(head)}}}\r\n{head})\r\n".encode()


@dataclass
class Watched:
    server: Server
    store: MemoryStore
    name: str
    taken: list[int]
    told: list[str]
    mailbox: Mailbox

    async def progress(self) -> int:
        found = ReadPosition.parse(await self.store.get_note(self.name))
        return found.uid if found else 0


@contextlib.asynccontextmanager
async def watching(server: Server, *, validity: int = 1) -> AsyncIterator[Watched]:
    """A mailbox that has read up to UID 8."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    taken: list[int] = []
    told: list[str] = []

    async def take(mail: Fetched) -> bool:
        assert mail.raw == RAW
        taken.append(mail.uid)
        return True

    store = MemoryStore()

    async def tell(key: str, text: str) -> None:
        told.append(text)

    mailbox = Mailbox(imap_server(f"imap://u:p@127.0.0.1:{port}/INBOX"), store, take, tell, pace=PACE)
    name = f"email/u@127.0.0.1:{port}/INBOX"
    await store.set_note(name, str(ReadPosition(validity, 8, "2026-11-20")), expected="")
    task = asyncio.create_task(mailbox.watch())
    try:
        yield Watched(server, store, name, taken, told, mailbox)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        listener.close()


def done(tag: str) -> bytes:
    return f"{tag} OK Fetch completed\r\n".encode()


@pytest.mark.parametrize(
    "fetch",
    [
        lambda tag, plain: b"* 1 FETCH (UID 9 FLAGS (\\Seen))\r\n" + plain + done(tag),
        lambda tag, plain: plain + b"* 1 FETCH (UID 9 FLAGS (\\Seen))\r\n" + done(tag),
        lambda tag, plain: b"* 4 EXISTS\r\n" + plain + b"* 5 EXISTS\r\n* 1 RECENT\r\n" + done(tag),
        lambda tag, plain: b"* 2 FETCH (UID 10 FLAGS (\\Seen))\r\n" + plain + done(tag),
        lambda tag, _: (
            f"* 2 FETCH (RFC822.SIZE {len(RAW)} BODY[]<0> {{{len(RAW)}}}\r\n".encode()
            + RAW
            + b" UID 10)\r\n"
            + done(tag)
        ),
    ],
    ids=["another before", "another after", "exists in between", "flags before", "uid at the end"],
)
async def test_a_mail_is_found_in_whatever_stands_around_it(fetch: Says) -> None:
    async with watching(Server(fetch=fetch)) as watched:
        await eventually(lambda: watched.taken == [9, 10, 11], "all three are read")
        await watched.mailbox.listening.wait()
        assert (await watched.progress(), watched.server.logins) == (11, 1)


@pytest.mark.parametrize(
    "fetch",
    [
        lambda tag, _: f"{tag} NO [SERVERBUG] Internal error\r\n".encode(),
        lambda tag, _: b"* 2 FETCH (UID 10 RFC822.SIZE 50 BODY[]<0> NIL)\r\n" + done(tag),
        lambda tag, _: b'* 2 FETCH (UID 10 RFC822.SIZE 50 BODY[]<0> "Subject: x")\r\n' + done(tag),
    ],
    ids=["refused", "nil", "quoted"],
)
async def test_a_mail_that_the_server_does_not_give_is_told_and_keeps_no_other_out(fetch: Says) -> None:
    with structlog.testing.capture_logs() as logs:
        async with watching(Server(fetch=fetch)) as watched:
            await eventually(lambda: watched.taken == [9, 11], "the others are read")
            await watched.mailbox.listening.wait()
            assert await watched.progress() == 11
            assert watched.server.logins == 3, "it was tried over three connections"
    [told] = [line for line in logs if line["log_level"] == "error"]
    assert (told["event"], told["uid"], told["tries"]) == ("mail_not_readable", 10, 3)


async def test_a_mail_that_was_deleted_meanwhile_is_passed_over() -> None:
    async with watching(Server(fetch=lambda tag, _: done(tag))) as watched:
        await eventually(lambda: watched.taken == [9, 11], "the others are read")
        assert watched.server.logins == 1


async def test_a_folder_that_lets_nobody_mark_is_read_all_the_same() -> None:
    async with watching(Server(store="NO [NOPERM] read only")) as watched:
        await eventually(lambda: watched.taken == [9, 10, 11], "all three are read")
        await watched.mailbox.listening.wait()
        assert (await watched.progress(), watched.server.logins) == (11, 1)


async def test_a_server_that_offers_idle_and_refuses_it_is_asked_now_and_then() -> None:
    server = Server(idle="NO not here")
    async with watching(server) as watched:
        await eventually(lambda: sum("SEARCH" in line.upper() for line in server.asked) > 8, "it is asked again")
        assert (server.logins, server.asked.count("IDLE")) == (1, 1)
        server.uids = (9, 10, 11, 12)
        await eventually(lambda: watched.taken == [9, 10, 11, 12], "the new one is read")


async def test_a_mailbox_that_was_made_anew_is_read_again_from_some_days_ago() -> None:
    server = Server(validity=2)
    async with watching(server, validity=1) as watched:
        await eventually(lambda: watched.taken == [9, 10, 11], "all three are read")
        await watched.mailbox.listening.wait()
        assert "UID SEARCH SINCE 18-Nov-2026" in server.asked
        assert ReadPosition.parse(await watched.store.get_note(watched.name)) is not None
        server.uids = (9, 10, 11, 12)
        await eventually(lambda: watched.taken == [9, 10, 11, 12], "from there on it goes on")


async def test_progress_of_another_shape_ends_nobodys_reading() -> None:
    server = Server()
    with structlog.testing.capture_logs() as logs:
        async with watching(server) as watched:
            await eventually(lambda: watched.taken == [9, 10, 11], "all three are read")
            known = await watched.store.get_note(watched.name)
            assert await watched.store.set_note(watched.name, '{"later": "version"}', expected=known)
            await eventually(lambda: [line for line in logs if line["event"] == "mailbox_not_understood"], "it is told")
