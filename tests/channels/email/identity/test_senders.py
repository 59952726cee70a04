"""Who may write to us, and whether our own server vouches for a From address."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.email.identity.senders import HEADER_CHARS_MAX, AllowedSenders, alignment, is_plain_address

OURS = "mx.team.example"
ANA = "ana@team.example"
PASS = f"{OURS}; dmarc=pass (p=reject dis=none) header.from=team.example"
FAIL = f"{OURS}; dmarc=fail (p=none dis=none) header.from=team.example"
FORGED = f"{OURS}; spf=pass smtp.mailfrom=team.example; dmarc=pass header.from=team.example"

# As the parser of mails gives them: on one line.
GMAIL = (
    "mx.google.com; dkim=pass header.i=@team.example header.s=s1 header.b=F3k9Hx1a; spf=pass (google.com: domain of "
    "ana@team.example designates 192.0.2.1 as permitted sender) smtp.mailfrom=ana@team.example; dmarc=pass (p=REJECT "
    "sp=REJECT dis=NONE) header.from=team.example"
)
MICROSOFT = (
    "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=team.example; dkim=pass (signature was verified) "
    "header.d=team.example;dmarc=pass action=none header.from=team.example;compauth=pass reason=100"
)
MICROSOFT_NAMED = (
    "mx.microsoft.com 1; spf=pass smtp.mailfrom=team.example; dmarc=pass action=none header.from=team.example; "
    "dkim=pass header.d=team.example; arc=none"
)
OPENDMARC = f"{OURS}; dmarc=pass (p=none dis=none) header.from=team.example"
FASTMAIL = (
    "mx.messagingengine.com; arc=none (no signatures found); bimi=skipped (DMARC Policy is not at enforcement); "
    "dkim=pass (2048-bit rsa key sha256) header.d=team.example header.i=@team.example header.b=Qm0bK1xX "
    "header.a=rsa-sha256 header.s=fm1; dmarc=pass policy.published-domain-policy=none "
    "policy.applied-disposition=none policy.evaluated-disposition=none (p=none,d=none,d.eval=none) "
    "policy.policy-from=p header.from=team.example; iprev=pass smtp.remote-ip=192.0.2.1 (out1.team.example); "
    "spf=pass smtp.mailfrom=ana@team.example smtp.helo=out1.team.example; x-me-sender=none; "
    "x-tls=pass smtp.version=TLSv1.3 smtp.cipher=TLS_AES_256_GCM_SHA384 smtp.bits=256/256"
)


# Who may write


def test_addresses_and_domains_are_read_from_one_line() -> None:
    allowed = AllowedSenders.parse(" ana@example.com,example.org\n@example.net , Ben@Example.COM ")
    assert allowed.addresses == {"ana@example.com", "ben@example.com"}
    assert allowed.domains == {"example.org", "example.net"}
    assert allowed


def test_an_empty_list_is_nobody() -> None:
    for text in ("", "  ", ",", " , \n"):
        assert not AllowedSenders.parse(text)
        assert not AllowedSenders.parse(text).allow(ANA)


@pytest.mark.parametrize("text", [ANA, "team.example"])
def test_a_list_of_addresses_or_of_domains_alone_is_a_list(text: str) -> None:
    assert AllowedSenders.parse(text)
    assert AllowedSenders.parse(text).allow(ANA)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("ana@example.com", True),
        ("ANA@Example.COM", True),
        ("eve@example.com", False),
        ("eve@example.org", True),
        ("Eve@EXAMPLE.org", True),
        ("eve@sub.example.org", False),
        ("eve@evilexample.org", False),
        ("eve@example.org.evil.example", False),
        ("example.org", True),  # no address at all, so nobody's
        ("ana+tag@example.com", False),
        ("", False),
        ("@", False),
        ("ana@example.com ", False),
        ("ana@example.com@evil.example", False),
    ],
)
def test_a_domain_counts_for_itself_and_an_address_for_one_person(address: str, may: bool) -> None:
    assert AllowedSenders.parse("ana@example.com example.org").allow(address) is may


@pytest.mark.parametrize(
    "entry", ["*@example.com", "*.example.com", "example", "ana@", "@", "<ana@example.com>", "https://example.com", "."]
)
def test_junk_in_the_list_is_refused_by_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a domain") as error:
        AllowedSenders.parse(f"ana@example.com, {entry}")
    assert repr(entry.split(":")[0])[:-1] in str(error.value)


@pytest.mark.parametrize("entry", ["example.com.", ".example.com", "example..com", "a@b@example.com", "@@example.com"])
def test_an_entry_that_can_match_nobody_is_refused_by_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a domain"):
        AllowedSenders.parse(entry)


@given(st.text(), st.text())
def test_no_junk_in_the_list_raises_anything_but_its_name(text: str, address: str) -> None:
    try:
        allowed = AllowedSenders.parse(text)
    except ValueError:
        return
    assert not allowed.allow("ana@not-in-it.example")
    allowed.allow(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ana",
        "@team.example",
        "ana@",
        "a b@team.example",
        "ana@team.example\r\nBcc: eve@evil.example",
        "añá@x.example",
    ],
)
def test_what_is_no_plain_address_is_not_written_to(address: str) -> None:
    assert not is_plain_address(address)


@given(st.text(st.characters()))
@example("a@[x")
@example('"@x.example')
@example("=?utf-8?q?a=0D=0Ab?=@x.example")
def test_no_junk_that_is_written_to_could_start_a_header(address: str) -> None:
    if is_plain_address(address):
        assert "\r" not in address
        assert "\n" not in address


# Whom our server vouches for


@pytest.mark.parametrize(
    ("header", "server"),
    [
        (GMAIL, "mx.google.com"),
        (MICROSOFT_NAMED, "mx.microsoft.com"),
        (OPENDMARC, OURS),
        (FASTMAIL, "mx.messagingengine.com"),
    ],
)
def test_the_servers_of_the_world_are_understood(header: str, server: str) -> None:
    assert alignment([header], server, ANA) == "aligned"
    assert alignment([header], server.upper(), "Ana@TEAM.example") == "aligned"
    assert alignment([header], server, "eve@evil.example") == "unaligned"
    assert alignment([header.replace("dmarc=pass", "dmarc=fail")], server, ANA) == "unaligned"
    assert alignment([header], "mx.other.example", ANA) == "unknown"


def test_a_server_that_does_not_give_its_name_proves_nothing() -> None:
    # Microsoft 365 leaves it out of Authentication-Results: anybody could have written that line.
    for server in ("mx.microsoft.com", "spf=pass", "spf", OURS):
        assert alignment([MICROSOFT], server, ANA) == "unknown"


@pytest.mark.parametrize(
    ("names", "is_ours"),
    [
        ("mx.other.example, phl-mx-01.messagingengine.com", True),
        ("*.messagingengine.com", True),
        ("mx.other.example *.MessagingEngine.com", True),
        ("messagingengine.com", False),
        ("*messagingengine.com", False),
        ("*.phl-mx-01.messagingengine.com", False),
        ("*.com", False),
        ("*", False),
        ("*.*.com", False),
        (",", False),
    ],
)
def test_our_server_may_have_several_names_or_a_suffix(names: str, is_ours: bool) -> None:
    header = FASTMAIL.replace("mx.messagingengine.com", "phl-mx-01.messagingengine.com")
    assert alignment([header], names, ANA) == ("aligned" if is_ours else "unknown")
    for other in ("evilmessagingengine.com", "x.messagingengine.com.evil.example", "messagingengine.com", "*"):
        assert alignment([f"{other}; dmarc=pass header.from=team.example"], "*.messagingengine.com", ANA) == "unknown"


def test_only_the_topmost_header_counts() -> None:
    assert alignment([PASS, FAIL], OURS, ANA) == "aligned"
    assert alignment([FAIL, FORGED], OURS, ANA) == "unaligned"
    assert alignment(["mx.relay.example; dmarc=pass header.from=team.example", FORGED], OURS, ANA) == "unknown"
    assert alignment(["mx.relay.example; dmarc=pass header.from=team.example"], OURS, ANA) == "unknown"


def test_without_a_header_or_a_name_of_our_server_nothing_is_known() -> None:
    assert alignment([], OURS, ANA) == "unknown"
    assert alignment([PASS], "", ANA) == "unknown"
    assert alignment([""], OURS, ANA) == "unknown"
    assert alignment(["; dmarc=pass header.from=team.example"], "", ANA) == "unknown"


@pytest.mark.parametrize(
    "server", [f"{OURS}.evil.example", f"x{OURS}", f"{OURS}-", f"evil.example ({OURS})", f'"{OURS} "', f"evil {OURS}"]
)
def test_a_name_that_is_like_our_servers_is_another_one(server: str) -> None:
    assert alignment([f"{server}; dmarc=pass header.from=team.example"], OURS, ANA) == "unknown"


@pytest.mark.parametrize(
    "rest",
    [
        "none",
        "spf=pass smtp.mailfrom=team.example",
        "dkim=pass header.d=team.example",
        "x-dmarc=pass header.from=team.example",
        "dmarc=none header.from=team.example",
        "dmarc=temperror header.from=team.example",
        "dmarc=permerror header.from=team.example",
        "dmarc=bestguesspass header.from=team.example",
        "dmarc=fail header.from=team.example; dmarc=pass header.from=team.example",
        "dmarc=pass header.from=team.example; dmarc=fail header.from=team.example",
        "dmarc=pass header.from=team.example; dmarc=pass header.from=evil.example",
        "dmarc=pass header.from=evil.example",
        "dmarc=pass header.from=sub.team.example",
        "dmarc=pass header.from=team.example.evil.example",
        "dmarc=fail (dmarc=pass header.from=team.example)",
        'dmarc=fail reason="dmarc=pass header.from=team.example"',
        'spf=fail smtp.mailfrom="a; dmarc=pass header.from=team.example"',
        "spf=fail (; dmarc=pass header.from=team.example; ) smtp.mailfrom=x",
    ],
)
def test_nothing_but_a_pass_for_the_from_domain_aligns(rest: str) -> None:
    assert alignment([f"{OURS}; {rest}"], OURS, ANA) == "unaligned"


def test_a_verdict_that_names_no_domain_does_not_align() -> None:
    assert alignment([f"{OURS}; dmarc=pass"], OURS, ANA) == "unaligned"


def test_a_verdict_that_names_two_domains_does_not_align() -> None:
    assert alignment([f"{OURS}; dmarc=pass header.from=team.example header.from=evil.example"], OURS, ANA) != "aligned"


@pytest.mark.parametrize(
    "header",
    [
        f"{OURS} (our server); dmarc=pass (p=none; dmarc=fail) header.from=team.example (really)",
        f'{OURS}; dmarc=pass header.from="team.example"',
        f"{OURS} 1; dmarc/1=pass header.from=team.example",
        f"{OURS.upper()}; DMARC=PASS Header.From=TEAM.example",
        f"{OURS};dmarc=pass header.from=team.example",
        f"{OURS}; dmarc=pass header.from=ana@team.example",
    ],
)
def test_comments_quotes_and_case_change_nothing(header: str) -> None:
    assert alignment([header], OURS, ANA) == "aligned"


@pytest.mark.parametrize(
    "header",
    [
        PASS + "; " + "x" * HEADER_CHARS_MAX,
        PASS + "(" * HEADER_CHARS_MAX,
        f"{OURS}" + "; dmarc=pass" * HEADER_CHARS_MAX,
        f"{OURS}; dmarc=pass header.from=team.example; (never closed",
        f"{OURS}; dmarc",
        f"{OURS} 99; dmarc=pass header.from=team.example",
        "\0",
        "\udcff\udcfe",
    ],
)
def test_what_cannot_be_read_proves_nothing(header: str) -> None:
    assert alignment([header], OURS, ANA) == "unknown"


_words = st.sampled_from(
    [OURS, "evil.example", "dmarc", "spf", "dkim", "=", "pass", "fail", "none", ";", " ", "header", ".", "from"]  # noqa: RUF005
    + ["team.example", "smtp", "mailfrom", "(", ")", '"', "\\", "/", "1", "reason", "policy", ANA, "@", "\t", "\0", "ſ"]
)
_headers = st.text() | st.lists(_words, max_size=40).map("".join) | st.text().map(lambda text: f"{OURS}; {text}")


@given(st.lists(_headers, max_size=3), st.text() | st.just(ANA))
def test_no_junk_raises_or_aligns_without_a_pass_of_our_server(headers: list[str], sender: str) -> None:
    if alignment(headers, OURS, sender) == "aligned":
        top = "".join(headers[0].lower().split())
        assert top.lstrip("(").startswith(OURS) or "(" in top.partition(OURS)[0]
        assert "dmarc" in top
        assert "=pass" in top or ")pass" in top


@given(st.text(string.printable, max_size=40))
def test_no_comment_or_value_of_a_stranger_makes_a_failure_a_pass(text: str) -> None:
    # What a server puts into quotes or into a comment, it escapes: RFC 8601 asks that of it.
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    commented = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    for rest in (f'smtp.mailfrom="{quoted}"', f"({commented}) smtp.mailfrom=x"):
        assert alignment([f"{OURS}; spf=fail {rest}; dmarc=fail header.from=team.example"], OURS, ANA) != "aligned"


def test_only_the_topmost_header_has_to_be_of_a_size_that_is_read() -> None:
    huge = f"{PASS} ({'x' * HEADER_CHARS_MAX})"
    assert alignment([PASS, huge], OURS, ANA) == "aligned"
    assert alignment([huge, PASS], OURS, ANA) == "unknown"
