"""What is said of the Authentication-Results in the last mails."""

from __future__ import annotations

import pytest

from channels.email.identity.verdicts import in_words, name_in, names_of_ours


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
    assert name_in(header) == name


def test_names_and_verdicts_are_counted_by_mail() -> None:
    mails = [
        ["mx.example.com; dmarc=pass header.from=example.com", "mx.example.com; dmarc=fail"],
        ["mx.example.com; spf=pass", "mx.example.com; dmarc=fail header.from=example.org"],
        ["mx.example.com; spf=none", "relay.example.org; dmarc=pass"],
        ["spf=pass smtp.mailfrom=example.com; dmarc=pass"],
        [],
    ]
    assert in_words(mails) == (
        "Authentication-Results in the last 5 mails: mx.example.com in 3 (dmarc=pass 1, dmarc=fail 1, no dmarc 1); "
        "(no name) in 1 (dmarc=pass 1); relay.example.org in 1 (dmarc=pass 1); 1 without any."
    )
    assert names_of_ours(mails, "mx.example.com") == 3
    assert names_of_ours(mails, "*.hoster.example") == 0


def test_a_stranger_who_invents_names_fills_no_page() -> None:
    said = in_words([[f"{'x' * 150}{number}.example; dmarc=pass" for number in range(50)]])
    assert "and 44 more names" in said
    assert len(said) < 800


def test_an_empty_mailbox_says_nothing_of_names() -> None:
    assert in_words([]).startswith("There is no mail yet")
