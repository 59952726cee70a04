"""A forwarder whose seals the team trusts vouches for the sender of a mail that it changed."""

from __future__ import annotations

import pytest

from channels.email.identity.lookup import DnsUnavailable
from channels.email.identity.seals import SETS_MAX, sealed_by
from channels.email.identity.senders import parse_domains
from tests.fakes.mail.signing import records, sealed, signed

ANA = "ana@team.example"
MX = "mx.list.example"
LIST = "list.example"
MAIL = signed(b"From: Ana <ana@team.example>\nTo: all@list.example\nSubject: Release\n\nhello\n")
PASS = f"Authentication-Results: {MX}; spf=pass smtp.mailfrom={ANA}; dmarc=pass header.from=team.example\n".encode()
NAMES = records(LIST, "other.example")


def vouched(raw: bytes, *sealers: str, sender: str = ANA) -> str:
    return sealed_by(raw, sender, sealers or (LIST,), lambda name, _: NAMES.get(name.rstrip("."), "").encode())


def forwarded(results: bytes = PASS, domain: str = LIST) -> bytes:
    """As a list hands it on: with its own footer, and sealed."""
    return sealed(results + MAIL + b"-- \nthe list\n", domain, MX)


def test_a_named_forwarder_vouches_for_the_sender() -> None:
    assert vouched(forwarded()) == LIST
    assert vouched(forwarded(), "other.example", LIST) == LIST
    assert vouched(forwarded().replace(b"\n", b"\r\n")) == LIST


def test_nobody_else_does() -> None:
    assert vouched(forwarded(), "other.example") == ""
    assert vouched(forwarded(domain="other.example")) == ""
    assert vouched(MAIL) == ""
    assert sealed_by(forwarded(), ANA, (), lambda name, _: b"") == ""


@pytest.mark.parametrize(
    "results",
    [
        PASS.replace(b"dmarc=pass", b"dmarc=fail"),
        PASS.replace(b"dmarc=pass", b"dmarc=none"),
        PASS.replace(b"header.from=team.example", b"header.from=other.example"),
        PASS.replace(b"mailfrom=ana@", b"mailfrom=ben@"),
        b"Authentication-Results: mx.list.example; dkim=pass header.d=team.example\n",
    ],
)
def test_it_vouches_only_for_what_it_found(results: bytes) -> None:
    assert vouched(forwarded(results)) == ""


def test_what_was_changed_after_the_seal_is_found() -> None:
    for before, after in ((b"hello", b"bye"), (b"header.from=team", b"header.from=evil"), (b"From: Ana", b"From: Ben")):
        assert vouched(forwarded().replace(before, after)) == ""
    assert vouched(forwarded(), sender="ben@evil.example") == ""


def test_a_chain_counts_as_far_as_the_team_names_its_sealers() -> None:
    again = sealed(
        b"Authentication-Results: mx.list.example; arc=pass; dmarc=fail\n" + forwarded(), "other.example", MX
    )
    assert vouched(again, LIST, "other.example") == LIST
    assert vouched(again, LIST) == ""
    assert vouched(again, "other.example") == ""


def test_a_long_chain_and_an_absent_dns_vouch_for_nobody() -> None:
    raw = forwarded()
    for _ in range(SETS_MAX):
        raw = sealed(b"Authentication-Results: mx.list.example; arc=pass\n" + raw, LIST, MX)
    assert vouched(raw) == ""

    def away(name: str, seconds: float) -> bytes:
        raise DnsUnavailable(name)

    assert sealed_by(forwarded(), ANA, (LIST,), away) == ""


def test_the_dns_is_not_asked_where_no_sealer_is_named_in_the_mail() -> None:
    def asked(name: str, seconds: float) -> bytes:
        raise AssertionError(name)

    assert sealed_by(forwarded(domain="other.example"), ANA, ("elsewhere.example",), asked) == ""


def test_sealers_are_domains() -> None:
    assert parse_domains("List.example, other.example") == (LIST, "other.example")
    for junk in ("list", "@list.example", "*.list.example", "https://list.example"):
        with pytest.raises(ValueError, match="is not a domain"):
            parse_domains(junk)
