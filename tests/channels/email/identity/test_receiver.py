"""Whether our own server vouches for a From address, by what it writes and where it stands."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.identity.receiver import Alignment, Verdict, is_our_server, verdict_of
from channels.email.identity.results import HEADER_CHARS_MAX, read_arc_results
from channels.email.parse import parse

RECEIVERS = Path(__file__).parents[3] / "payloads" / "receivers"
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


def alignment(headers: Sequence[str], names: str, sender: str) -> Alignment:
    """Of a mail that has only these Authentication-Results."""
    return verdict_of([("authentication-results", one) for one in headers], names, sender).alignment


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


def test_the_headers_that_follow_each_other_are_read_and_the_topmost_verdict_can_only_be_contradicted() -> None:
    assert alignment([PASS, FAIL], OURS, ANA) == "unaligned"
    assert alignment([FAIL, FORGED], OURS, ANA) == "unaligned"
    assert alignment([f"{OURS}; dmarc=none header.from=team.example", FORGED], OURS, ANA) == "unaligned"
    assert alignment([f"{OURS}; spf=pass smtp.mailfrom=team.example", PASS], OURS, ANA) == "aligned"
    assert alignment([PASS, "mx.relay.example; dmarc=fail header.from=team.example", FAIL], OURS, ANA) == "aligned"
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


# As receivers write them


def received(name: str, names: str = "", **changed: str) -> Verdict:
    """What our server says of the mail in this file, in which each key is replaced by its value."""
    text = (RECEIVERS / f"{name}.eml").read_text()
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    mail = parse(text.encode())
    assert mail.sender == ANA
    return verdict_of(mail.trace, names or NAMES[name], mail.sender)


NAMES = {
    "google": "mx.google.com",
    "fastmail": "*.messagingengine.com",
    "yahoo": "*.mail.ne1.yahoo.com",
    "ses": "amazonses.com",
    "icloud": "*.icloud.com",
    "proton": "mail.protonmail.ch",
    "zoho": "mx.zohomail.com",
    "exim": "mx.example.org",
    "rspamd": "mx.example.org",
    "opendmarc": "mx.example.org",
    "policyd-spf": "mx.example.org",
}
HEADERS = {"fastmail": 4, "icloud": 5, "proton": 5, "opendmarc": 3, "policyd-spf": 2}
"""Of those that write more than one."""


def test_each_receiver_that_gives_its_name_is_in_the_table() -> None:
    assert {file.stem for file in RECEIVERS.glob("*.eml")} == {*NAMES, "microsoft"}


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_is_read_from_each_receiver(name: str) -> None:
    verdict = received(name)
    assert verdict.alignment == "aligned"
    assert len(verdict.headers) == HEADERS.get(name, 1)
    assert all(is_our_server(header.authserv_id, NAMES[name]) for header in verdict.headers)
    assert set(verdict.senders) <= {ANA, "team.example"}
    assert received(name, "mx.other.example") == Verdict()


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_is_read_from_each_receiver(name: str) -> None:
    verdict = received(name, **{"dmarc=pass": "dmarc=fail"})
    assert (verdict.alignment, verdict.contradiction) == ("unaligned", "dmarc=fail team.example")
    verdict = received(name, **{"dmarc=pass": "dmarc=none"})
    assert (verdict.alignment, verdict.contradiction) == ("unaligned", "")


def test_microsoft_gives_no_name_so_it_can_contradict_and_verifies_nobody() -> None:
    verdict = received("microsoft", "mx.microsoft.com")
    assert (verdict.alignment, verdict.contradiction) == ("unknown", "")
    assert [header.authserv_id for header in verdict.headers] == [""]
    verdict = received("microsoft", "mx.microsoft.com", **{"dmarc=pass action=none": "dmarc=fail action=quarantine"})
    assert (verdict.alignment, verdict.contradiction) == ("unaligned", "dmarc=fail team.example")
    assert received("microsoft", "mx.other.example") == Verdict()


def test_a_signature_that_our_server_found_broken_contradicts_unless_dmarc_passed_without_it() -> None:
    broken = {"dkim=pass": "dkim=fail"}
    assert received("proton", **broken).contradiction == ""
    assert received("proton", **broken, **{"dmarc=pass": "dmarc=none"}).contradiction == "dkim=fail team.example"
    one_of_two = {"dkim=pass (Good": "dkim=fail (Bad", "dmarc=pass": "dmarc=none"}
    assert received("proton", **one_of_two).contradiction == ""
    elsewhere = {"header.d=team.example": "header.d=list.example", "header.i=@team.example": "header.i=@list.example"}
    assert received("proton", **broken, **elsewhere, **{"dmarc=pass": "dmarc=none"}).contradiction == ""


# Where they stand


def stands(*trace: str, names: str = OURS) -> Alignment:
    """Lines that begin with `from` or `by` are Received headers."""
    kinds = [("received" if one.startswith(("from", "by")) else "authentication-results", one) for one in trace]
    return verdict_of(kinds, names, ANA).alignment


OUTSIDE = "from out1.team.example (out1.team.example [172.105.105.114]) by mx.team.example (Postfix) with ESMTPS id 1"
LMTP = "from mx.team.example ([127.0.0.1]) by mx.team.example with LMTP id 1"


def test_what_our_server_writes_above_its_received_header_counts() -> None:
    assert stands(PASS, OUTSIDE) == "aligned"
    assert stands(LMTP, PASS, OUTSIDE) == "aligned"
    assert stands("from mx.team.example by store.other.example with ESMTP id 1", PASS, OUTSIDE) == "aligned"
    assert stands(FAIL, OUTSIDE, FORGED) == "unaligned"
    assert stands(PASS, OUTSIDE, FAIL) == "aligned"


@pytest.mark.parametrize(
    "received",
    [
        OUTSIDE.replace("ESMTPS", "ESMTPSA"),
        OUTSIDE.replace("with ESMTPS", "with esmtpa"),
        OUTSIDE.replace("172.105.105.114", "127.0.0.1"),
        OUTSIDE.replace("172.105.105.114", "10.0.0.7"),
        OUTSIDE.replace("[172.105.105.114]", "[IPv6:::1]"),
        OUTSIDE.replace("from out1.team.example", "from [8.8.8.8]").replace("172.105.105.114", "192.168.1.5"),
        OUTSIDE.replace(" (out1.team.example [172.105.105.114])", ""),
        "by mx.team.example (Postfix, from userid 1000) id 1; Mon, 23 Nov 2026 10:12:04 +0000",
        "from [10.1.1.1] (helo=[8.8.8.8]) by mx2.team.example with esmtp (Exim 4.97.1)",
    ],
)
def test_what_one_of_our_own_users_wrote_in_the_name_of_our_server_does_not_count(received: str) -> None:
    # OpenDKIM and OpenDMARC neither add nor remove anything here.
    assert stands(LMTP, received, PASS) == "unknown"
    assert stands(LMTP, received, FAIL) == "unaligned"


def test_what_stands_below_counts_for_mail_from_outside() -> None:
    # As rspamd writes it.
    assert stands(LMTP, OUTSIDE, PASS) == "aligned"


def test_a_suffix_finds_our_own_received_headers_too() -> None:
    inside = OUTSIDE.replace("ESMTPS", "ESMTPSA")
    assert stands(inside, PASS, names="*.team.example") == "unknown"
    assert stands(inside, PASS, names="mx.other.example, *.team.example") == "unknown"


def test_the_results_in_a_seal_are_read_after_their_number() -> None:
    found = read_arc_results("i=2; mx.google.com; dmarc=pass (p=NONE) header.from=team.example")
    assert found is not None
    assert (found.authserv_id, found.of("dmarc")[0].said("header.from")) == ("mx.google.com", ("team.example",))
    for junk in ("", "i=2", "mx.google.com; dmarc=pass", "i=x; mx.google.com; none"):
        assert read_arc_results(junk) is None
