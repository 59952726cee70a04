"""The DNS is asked over a real socket, and not for longer than it may take."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from channels.email.identity import lookup
from channels.email.identity.lookup import TXT_BYTES_MAX, DnsUnavailable, Resolver
from channels.email.identity.signatures import check_signatures
from channels.email.servers import resolver_address
from tests.fakes.mail.names import NameServer
from tests.fakes.mail.signing import key, records, signed, where
from tests.ports import HeldPort

MAIL = b"From: Ana <ana@team.example>\nSubject: Release\n\napprove\n"


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer(records()) as server:
        yield server


def test_a_record_is_found_in_one_piece(names: NameServer) -> None:
    names.records[where("long.example")] = record = key("long", 2048).record
    assert len(record) > 255
    assert Resolver(names.address).find_txt(f"{where('long.example')}.", 5.0) == record.encode()


@pytest.mark.parametrize("name", ["none.example", "", "..", "a" * 64 + ".example", "\udcff.example", "a b.example"])
def test_what_is_not_there_is_empty(names: NameServer, name: str) -> None:
    assert Resolver(names.address).find_txt(name, 5.0) == b""


def test_a_record_that_is_too_long_for_a_key_is_not_taken(names: NameServer) -> None:
    names.records["long.example"] = "a" * (TXT_BYTES_MAX + 1)
    assert Resolver(names.address).find_txt("long.example", 5.0) == b""


def test_a_passing_failure_is_asked_again(names: NameServer) -> None:
    names.failures_left = 1
    found = check_signatures(signed(MAIL), "ana@team.example", Resolver(names.address).find_txt, now=time.time())
    assert found.state == "valid"
    assert names.asked == [where(), where()]


def test_a_dns_that_keeps_silent_is_not_waited_for(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.1)
    names.is_silent = True
    with pytest.raises(DnsUnavailable, match="Timeout"):
        Resolver(names.address).find_txt(where(), 5.0)
    assert names.asked


def test_for_a_while_after_that_the_domain_is_not_asked_for_again_and_others_are(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.1)
    now = [0.0]
    resolver = Resolver(names.address, clock=lambda: now[0])
    names.is_silent = True
    for seconds in (0.05, 5.0):  # The first is too short to say anything.
        with pytest.raises(DnsUnavailable, match="Timeout"):
            resolver.find_txt(f"{where()}.", seconds)
    names.is_silent = False
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 5.0)
    another = where(selector="s2")
    names.records |= {another: "v=DKIM1", where("other.example"): "v=DKIM1"}
    with pytest.raises(DnsUnavailable, match="just now"):
        resolver.find_txt(another, 5.0)
    assert another not in names.asked
    assert resolver.find_txt(where("other.example"), 5.0)
    now[0] = lookup.AWAY_SECONDS
    assert resolver.find_txt(another, 5.0)


def test_a_dns_that_always_fails_is_away(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.1)
    names.failures_left = 1_000
    with pytest.raises(DnsUnavailable):
        Resolver(names.address).find_txt(where(), 5.0)


def test_nobody_who_listens_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.1)
    with pytest.raises(DnsUnavailable):
        Resolver(f"127.0.0.1:{HeldPort().number}").find_txt(where(), 5.0)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
    ],
)
def test_the_address_of_a_resolver_is_read(text: str, host: str, port: int) -> None:
    assert resolver_address(text) == (host, port)


@pytest.mark.parametrize("text", ["dns.example", "192.0.2.1:x", "192.0.2.1:99999", "[::1", "192.0.2", "", ":53"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the IP address of a DNS resolver"):
        resolver_address(text)
