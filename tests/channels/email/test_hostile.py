"""Mails made to keep the program busy. Without the bounds of parsing, these tests would reach the run's time limit."""

from __future__ import annotations

import threading

import pytest

from channels.email import inbound
from channels.email.imap import Fetched
from channels.email.parse import Mail, parse, parse_headers
from channels.email.structure import NESTED_MAX
from store.memory import MemoryStore
from tests.bot.desks.post_office import PostOffice
from tests.fakes.mail.light import Light

FROM = b"From: ana@team.example\r\nMessage-ID: <1@team.example>\r\n"
MIXED = FROM + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
REPORT = FROM.replace(b"ana@", b"mailer-daemon@") + b"Content-Type: multipart/report; boundary=x\r\n\r\n"
BIG = 9_900_000


def nested(depth: int, kind: bytes = b"multipart/mixed") -> bytes:
    parts = (b"Content-Type: %s; boundary=b%d\r\n\r\n--b%d\r\n" % (kind, n, n) for n in range(depth))
    return FROM + b"".join(parts) + b"\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(FROM + b"X-A: b\r\n" * (BIG // 8) + b"\r\nhi", id="headers"),
        pytest.param(FROM + b"X-A: " + b"a" * BIG + b"\r\n\r\nhi", id="one header"),
        pytest.param(FROM + b"X-A: a\r\n" + b" a\r\n" * (BIG // 4) + b"\r\nhi", id="a folded header"),
        pytest.param(FROM + b"To: a@b.c\r\n" * 20_000 + b"\r\nhi", id="recipients"),
    ],
)
def test_a_huge_head_is_read(raw: bytes) -> None:
    for mail in (parse_headers(raw), parse(raw)):
        assert mail.sender == "ana@team.example"


@pytest.mark.parametrize("more", [b"", b"; delsp=yes"])
def test_flowed_text_takes_linear_time(more: bytes) -> None:
    lines = 190_000
    raw = FROM + b"Content-Type: text/plain; format=flowed" + more + b"\r\n\r\n" + b"a" * 50 + b" \r\n"
    assert not parse(raw + (b"a" * 50 + b" \r\n") * lines).text_is_complete


@pytest.mark.parametrize("depth", [NESTED_MAX + 2, 300, 900])
@pytest.mark.parametrize("kind", [b"multipart/mixed", b"multipart/alternative", b"multipart/digest"])
def test_a_mail_nested_too_deeply_is_named_as_unreadable(depth: int, kind: bytes) -> None:
    mail = parse(nested(depth, kind) + b"a\r\n" * 100_000)
    assert "could not be read" in mail.text
    assert not mail.text_is_complete
    assert mail.sender == "ana@team.example"


def test_a_forwarded_mail_that_is_nested_deeply_is_listed() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" * (NESTED_MAX - 2)
    [attachment] = parse(MIXED + b"--x\r\n" + inner + b"Subject: deep\r\n\r\nhi\r\n--x--\r\n").attachments
    assert attachment.media_type == "message/rfc822"
    assert attachment.size_bytes > len(inner) - NESTED_MAX * 4


@pytest.mark.parametrize("line", [b"\n", b" \n", b"\t\n", b"Message-ID\n"])
def test_a_report_of_blank_lines_takes_linear_time(line: bytes) -> None:
    part = b"--x\r\nContent-Type: text/rfc822-headers\r\n\r\n" + line * 90_000
    assert parse(REPORT + part + b"Message-ID: <a@b>\n--x--\r\n").bounce is not None


def test_parts_with_long_headers_are_read() -> None:
    part = b"--x\r\nContent-Disposition: attachment; " + b'a=";' * 8_000 + b"\r\n\r\nhi\r\n"
    assert isinstance(parse(MIXED + part * 280), Mail)


HTML = b"Content-Type: text/html\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(FROM + HTML + b"<p>approve</p>" + b"<i></i>" * 40_000 + b"<p>but not prod</p>", id="html"),
        pytest.param(MIXED + (b"--x\r\n" + HTML + b"<p>approve</p>" + b"<i></i>" * 9_000 + b"\r\n") * 5, id="parts"),
        pytest.param(MIXED + b"--x\r\n\r\napprove\r\n" + b"--x\r\n\r\n\r\n" * 310, id="many parts"),
    ],
)
def test_words_that_were_not_read_keep_a_mail_from_being_complete(raw: bytes) -> None:
    mail = parse(raw)
    assert "approve" in mail.text
    assert not mail.text_is_complete


@pytest.mark.parametrize("charset", [b"punycode", b"Punycode", b"puny-code", b"punycode-"])
def test_a_charset_that_is_none_takes_no_quadratic_time(charset: bytes) -> None:
    text = b"a" * 2_000_000 + b"-" + b"b9a" * 2_000_000
    assert parse(FROM + b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n" + text).text


async def test_no_mail_is_parsed_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, threading.Thread] = {}

    def recording(name: str) -> None:
        real = getattr(inbound, name)

        def wrapped(*args: object, **more: object) -> object:
            where[name] = threading.current_thread()
            return real(*args, **more)

        monkeypatch.setattr(inbound, name, wrapped)

    names = ("parse_headers", "parse", "read_decision", "passes_on")
    for name in names:
        recording(name)
    with Light() as server:
        adapter = PostOffice(server, MemoryStore()).adapter()
        assert await adapter.receive(Fetched(1, FROM + b"\r\nhello", 100))
    assert set(where) == set(names)
    assert threading.current_thread() not in where.values()
