"""What is said of the Authentication-Results in the last mails."""

from __future__ import annotations

import pytest

from channels.email.identity.verdicts import count_of_ours, in_words, read


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("mx.google.com; dkim=pass header.i=@example.com; dmarc=pass", "mx.google.com"),
        ("MX.Example.Com 1; dmarc=pass", "mx.example.com"),
        ("(by us) mx.example.com; none", "mx.example.com"),
        ("\n mx1.messagingengine.com;\n dmarc=pass", "mx1.messagingengine.com"),
        ("spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.com; dmarc=pass", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_header(header: str, name: str) -> None:
    [found] = read([header])
    assert found is not None
    assert found.authserv_id == name


def test_names_and_verdicts_are_counted_by_mail() -> None:
    mails = [
        ["mx.example.com; dmarc=pass header.from=example.com", "mx.example.com; dmarc=fail"],
        ["mx.example.com; spf=pass", "mx.example.com; dmarc=fail header.from=example.org"],
        ["mx.example.com; spf=none", "relay.example.org; dmarc=pass"],
        ["spf=pass smtp.mailfrom=example.com; dmarc=pass"],
        [],
        ['mx.example.com; dmarc="pass', "mx.example.com; (dmarc=pass) dmarc=none"],
    ]
    assert in_words([*map(read, mails)]) == (
        "Authentication-Results in the last 6 mails: mx.example.com in 4 (dmarc=pass 1, dmarc=fail 1, no dmarc 1, "
        "dmarc=none 1); (no name) in 1 (dmarc=pass 1); relay.example.org in 1 (dmarc=pass 1); 1 with one that "
        "cannot be read; 1 without any."
    )
    assert count_of_ours(map(read, mails), "mx.example.com") == 4
    assert count_of_ours(map(read, mails), "*.hoster.example") == 0


def test_the_headers_of_microsoft_are_its_own_without_a_name() -> None:
    mails = [read(["spf=pass smtp.mailfrom=example.com; dmarc=pass action=none header.from=example.com"])]
    assert count_of_ours(mails, "mx.microsoft.com") == 1
    assert count_of_ours(mails, "mx.google.com") == 0


def test_a_stranger_who_invents_names_fills_no_page() -> None:
    said = in_words([read([f"{'x' * 150}{number}.example; dmarc=pass" for number in range(50)])])
    assert "and 44 more names" in said
    assert len(said) < 800


def test_an_empty_mailbox_says_nothing_of_names() -> None:
    assert in_words([]).startswith("There is no mail yet")
