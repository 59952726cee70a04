"""Who may write to us, by their address."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.email.identity.senders import AllowedSenders, is_plain_address

ANA = "ana@team.example"


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
