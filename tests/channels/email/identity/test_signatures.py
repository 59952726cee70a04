"""The signatures of a mail, checked by us: what counts, what does not and why, and that none keeps us busy."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.identity import signatures
from channels.email.identity.domains import may_sign_for
from channels.email.identity.lookup import DnsUnavailable
from channels.email.identity.signatures import CHECKED_MAX, DNS_SECONDS, SIGNATURES_MAX, Signed, check_signatures
from tests.fakes.mail.signing import key, records, signed, where

ANA = "ana@team.example"
MAIL = (
    b"From: Ana <ana@team.example>\nTo: bot@team.example\nSubject: Release\nMessage-ID: <1@team.example>\n\napprove\n"
)


def checked(raw: bytes, *, sender: str = ANA, names: dict[str, str] | None = None, now: float | None = None) -> Signed:
    known = records("team.example", "evil.example", "example") if names is None else names
    now = time.time() if now is None else now
    return check_signatures(raw, sender, lambda name, _: known.get(name.rstrip("."), "").encode(), now=now)


def with_tag(tag: bytes) -> bytes:
    """The mail with this tag in its signature, which comes to be broken by it."""
    return signed(MAIL).replace(b"v=1;", b"v=1; " + tag + b";", 1)


def test_a_signature_of_the_senders_domain_is_valid() -> None:
    found = checked(signed(MAIL))
    assert (found.state, found.domain, found.why) == ("valid", "team.example", "")
    assert checked(signed(MAIL).replace(b"\n", b"\r\n")) == found
    assert checked(signed(MAIL), sender="Ana@TEAM.example").state == "valid"


def test_what_happens_on_the_way_leaves_it_valid() -> None:
    passed = b"Return-Path: <ana@team.example>\nReceived: from a by b with SMTP\n" + signed(MAIL)
    assert checked(passed + b"\n\n").state == "valid"
    assert checked(passed.replace(b"Subject: Release", b"Subject:  Release")).state == "valid"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"approve\n", b"reject\n"),
        (b"approve\n", b"approve\nall of it\n"),
        (b"Subject: Release", b"Subject: Another"),
        (b"<1@team.example>", b"<2@team.example>"),
    ],
)
def test_what_was_changed_is_found(before: bytes, after: bytes) -> None:
    found = checked(signed(MAIL).replace(before, after))
    assert found == Signed("broken", "team.example", "it was changed after team.example had signed it")


def test_a_mail_that_nobody_signed_or_somebody_else() -> None:
    for raw in (MAIL, signed(MAIL, "evil.example")):
        assert checked(raw) == Signed("none", why="team.example did not sign it (DKIM)")
    assert checked(signed(signed(MAIL), "evil.example")).state == "valid"
    assert checked(signed(signed(MAIL, "evil.example"))).state == "valid"


@pytest.mark.parametrize(
    ("signer", "domain", "may"),
    [
        ("team.example", "team.example", True),
        ("team.example", "eng.team.example", True),
        ("eng.team.example", "team.example", False),
        ("a.team.example", "b.team.example", False),
        ("eam.example", "team.example", False),
        ("example", "team.example", False),
        ("", "team.example", False),
    ],
)
def test_a_domain_signs_for_itself_and_for_those_below_it(signer: str, domain: str, may: bool) -> None:
    assert may_sign_for(signer, domain) is may


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        (b"l=3", "it does not cover the whole text"),
        (b"x=1000", "it has expired"),
    ],
)
def test_a_signature_that_covers_too_little_or_too_long_ago_does_not_count(tag: bytes, why: str) -> None:
    assert checked(with_tag(tag)).why == f"the signature of team.example does not count: {why}"


def test_text_may_not_be_added_to_a_mail_by_its_length_tag() -> None:
    raw = signed(MAIL, length=True)
    for one in (raw, raw + b"and delete the database\n"):
        assert checked(one).state == "none"


def test_a_signature_must_cover_the_from_header() -> None:
    raw = re.sub(rb"h=[^;]*;", b"h=to : subject;", signed(MAIL), count=1)
    assert "does not cover the From header" in checked(raw).why


def test_an_old_algorithm_does_not_count() -> None:
    for old in (b"rsa-sha1", b"ed25519-sha256"):
        assert "of a kind that I cannot check" in checked(signed(MAIL).replace(b"rsa-sha256", old)).why


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("", "its key is not in the DNS"),
        ("v=DKIM1; p=", "its key in the DNS is not usable"),
        ("v=spf1 -all", "its key in the DNS is not usable"),
        ("v=DKIM1; k=rsa; p=AAAA", "its key in the DNS is not usable"),
        (f"t=y; {key('team.example').record}", "its domain is only testing signatures"),
        ("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "its key in the DNS is not usable"),
    ],
)
def test_a_key_that_is_missing_or_not_usable(record: str, why: str) -> None:
    found = checked(signed(MAIL), names={where(): record})
    assert (found.state, found.why) == ("none", f"the signature of team.example does not count: {why}")


@pytest.mark.parametrize(
    ("bits", "exponent", "why"),
    [
        (768, 65537, "its key is shorter than 1024 bits"),
        (6144, 65537, "its key is of a kind that I cannot check"),
        pytest.param(1024, 2**1000 + 1, "its key is of a kind that I cannot check", id="exponent"),
    ],
)
def test_a_key_that_is_too_short_or_takes_long_does_not_count(bits: int, exponent: int, why: str) -> None:
    der = _der(0x30, b"".join(_der(0x02, one.to_bytes(bits // 8 + 1, "big")) for one in (2**bits - 1, exponent)))
    found = checked(signed(MAIL), names={where(): f"v=DKIM1; p={base64.b64encode(der).decode()}"})
    assert found.why == f"the signature of team.example does not count: {why}"


def _der(kind: int, content: bytes) -> bytes:
    return bytes([kind, 0x82]) + len(content).to_bytes(2, "big") + content


def test_one_valid_signature_of_several_is_enough() -> None:
    other = signed(MAIL, selector="s2", by=key("another"))
    for raw in (signed(other), signed(MAIL, selector="s2", by=key("another")).replace(MAIL, signed(MAIL))):
        assert checked(raw).state == "valid"
    assert checked(other).why == "the signature of team.example does not count: its key is not in the DNS"


def test_only_some_signatures_are_checked() -> None:
    asked: list[str] = []

    def find(name: str, seconds: float) -> bytes:
        asked.append(name)
        return b""

    raw = MAIL
    for number in range(SIGNATURES_MAX):
        raw = signed(raw, selector=f"s{number}", by=key(""))
    check_signatures(raw, ANA, find, now=time.time())
    assert len(asked) == CHECKED_MAX
    found = checked(signed(raw))
    assert found == Signed("none", why=f"it has more than {SIGNATURES_MAX} signatures")


# The DNS


def test_a_key_that_cannot_be_asked_for_leaves_it_open() -> None:
    def away(name: str, seconds: float) -> bytes:
        assert 0 < seconds <= DNS_SECONDS
        raise DnsUnavailable(name)

    found = check_signatures(signed(MAIL), ANA, away, now=time.time())
    why = "the DNS did not answer when I asked it for the key of team.example"
    assert found == Signed("unavailable", "team.example", why)


def test_the_time_for_the_dns_is_limited_for_all_keys_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)

    def slow(name: str, seconds: float) -> bytes:
        clock.now += seconds
        raise DnsUnavailable(name)

    keys = signatures.Keys(slow)
    for _ in range(CHECKED_MAX):
        with pytest.raises(DnsUnavailable):
            keys.usable(b"s1._domainkey.team.example.")
    assert clock.now == DNS_SECONDS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# Heads that are read in two ways


@pytest.mark.parametrize(
    "raw",
    [
        signed(b"X-A: b\rFrom: Ana <ana@team.example>\r\rapprove\r\n" + MAIL.replace(b"ana@", b"ben@")),
        signed(MAIL.replace(b"Subject: Release", b"Subject: Release\rFrom: Ben <ben@team.example>")),
    ],
)
def test_a_head_with_bare_carriage_returns_is_not_believed(raw: bytes) -> None:
    assert checked(raw).why == "its head has line ends that programs read differently"


@pytest.mark.parametrize(
    "head",
    [
        b"From: Ben <ben@team.example>\nFrom: Ana <ana@team.example>\n",
        b"From: Ben <ben@team.example>\n",
        b"From: Ana <ana@team.example>, Ben <ben@team.example>\n",
        b"",
    ],
)
def test_the_signed_from_header_is_the_one_that_we_read(head: bytes) -> None:
    raw = b"From: Ana <ana@team.example>\n"
    assert checked(signed(MAIL).replace(raw, head)).why == "its From header is ambiguous"


@pytest.mark.parametrize(
    "added",
    [
        b"To: bot+t1.card@team.example",
        b"In-Reply-To: <2@team.example>\nIn-Reply-To: <1@team.example>",
        b"SUBJECT: Re: x",
    ],
)
def test_a_header_that_was_added_beside_a_signed_one_is_found(added: bytes) -> None:
    assert checked(added + b"\n" + signed(MAIL)).why == "a header that may stand once stands twice in it"


def test_it_is_said_what_a_signature_covers() -> None:
    assert checked(signed(MAIL, headers=("From", "Subject"))).covers == {"from", "subject"}


@pytest.mark.parametrize(
    "written",
    [
        b'"Ana\n\tB." <ana@team.example>',
        b"=?utf-8?q?An=C3=A1?= <Ana@Team.example>",
        "Aná <ana@team.example>".encode(),
        "Aná <ana@team.example>".encode("latin-1"),
        b"ana@team.example (Ana)",
        b"\n ana@team.example",
    ],
)
def test_a_from_header_is_read_however_it_is_written(written: bytes) -> None:
    assert checked(signed(MAIL.replace(b"Ana <ana@team.example>", written))).state == "valid"


# Made to keep us busy


def flooded(**parts: bytes) -> bytes:
    """A signed mail with these headers above, or this body instead."""
    return parts.get("head", b"") + signed(MAIL).replace(b"approve\n", parts.get("body", b"approve\n"))


BLANKS = b" " * 4_000_000


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: flooded(body=BLANKS + b"x\n"), id="blanks"),
        pytest.param(lambda: flooded(body=b"\n" * 9_000_000), id="empty lines"),
        pytest.param(lambda: flooded(head=b"X-A: b\n" * 50_000), id="headers"),
        pytest.param(lambda: flooded(head=b"X-A: b\n" + b" c\n" * 4_900), id="a folded header"),
        pytest.param(lambda: flooded(head=b"DKIM-Signature: v=1; d=team.example;b" + BLANKS), id="a blank signature"),
        pytest.param(lambda: flooded(head=b"DKIM-Signature: " + b"a=b;" * 20_000 + b"\n"), id="tags"),
        pytest.param(
            lambda: MAIL.replace(
                b"From:",
                b"DKIM-Signature: v=1; a=rsa-sha256; d=team.example; s=s1; bh=x; b=x; h=from"
                + b":x" * 3_000
                + b"\nFrom:",
                1,
            ),
            id="names of headers",
        ),
    ],
)
def test_a_mail_made_to_keep_us_busy_is_soon_done_with(make: Callable[[], bytes]) -> None:
    # Without the bounds, the library would take minutes.
    assert checked(make()).state in ("valid", "none", "broken")


_tags = st.lists(
    st.sampled_from([b"v", b"a", b"b", b"bh", b"d", b"h", b"s", b"x", b"t", b"l", b"i", b"c", b"q", b"z"]).flatmap(
        lambda tag: st.sampled_from(
            [b"1", b"rsa-sha256", b"team.example", b"from", b"s1", b"", b"=", b"\xff", b"@", b"0", b"relaxed/relaxed"]
        ).map(lambda value: tag + b"=" + value)
    )
    | st.binary(max_size=10).filter(lambda junk: b"\n" not in junk),
    max_size=12,
).map(b"; ".join)


@given(_tags, st.binary(max_size=60), st.binary(max_size=60))
def test_no_junk_raises_or_is_valid(tags: bytes, record: bytes, body: bytes) -> None:
    raw = b"DKIM-Signature: " + tags + b"\n" + MAIL + body
    assert check_signatures(raw, ANA, lambda name, seconds: record, now=0.0).state != "valid"
