"""What proves who sent a mail, what contradicts it, and what takes more than the other."""

from __future__ import annotations

import pytest

from channels.email.identity.lookup import DnsUnavailable
from channels.email.identity.proof import Identity, Prover
from channels.email.parse import parse
from tests.fakes.mail.signing import records, sealed, signed

ANA = "ana@team.example"
MX = "mx.team.example"
PASS = f"Authentication-Results: {MX}; dmarc=pass header.from=team.example\n".encode()
FAIL = PASS.replace(b"pass", b"fail")
MAIL = b"From: Ana <ana@team.example>\nTo: bot@team.example\nSubject: Release\n\napprove\n"
SIGNED = signed(MAIL)
BROKEN = SIGNED.replace(b"approve", b"reject")
NAMES = records("team.example", "list.example")


def found(
    raw: bytes, *, names: str = MX, sealers: tuple[str, ...] = (), away: bool = False, whole: bool = True
) -> Identity:
    def find_txt(name: str, seconds: float) -> bytes:
        if away:
            raise DnsUnavailable(name)
        return NAMES.get(name.rstrip("."), "").encode()

    return Prover(names, find_txt, sealers).identity_of(parse(raw), raw, is_whole=whole)


def test_a_signature_that_nothing_contradicts_verifies_and_may_decide() -> None:
    for raw in (SIGNED, PASS + SIGNED, PASS.replace(b"pass", b"none") + SIGNED):
        identity = found(raw)
        assert (identity.is_verified, identity.may_decide, identity.why) == (True, True, "")
        assert (identity.alignment, identity.dkim_domain) == ("aligned", "team.example")


def test_what_our_server_says_verifies_the_words_and_decides_nothing() -> None:
    identity = found(PASS + MAIL)
    assert (identity.is_verified, identity.may_decide, identity.dkim_domain) == (True, False, "")
    assert identity.why == "team.example did not sign it (DKIM)"
    assert [(one.authserv_id, one.results[0].result) for one in identity.server] == [(MX, "pass")]


def test_without_either_nobody_is_verified() -> None:
    identity = found(MAIL)
    assert (identity.is_verified, identity.may_decide, identity.alignment) == (False, False, "unknown")
    assert identity.why == "team.example did not sign it (DKIM)"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (FAIL + SIGNED, "our mail server does not confirm the sender (dmarc=fail team.example)"),
        (PASS + FAIL + SIGNED, "our mail server does not confirm the sender (dmarc=fail team.example)"),
        (PASS + BROKEN, "it was changed after team.example had signed it"),
        (PASS + signed(b"Sender: ben@team.example\n" + MAIL), "ben@team.example sent it, not the address in From"),
        (b"Return-Path: <ben@team.example>\n" + PASS + SIGNED, "ben@team.example sent it, not the address in From"),
        (
            PASS.replace(b"; dmarc", b"; spf=pass smtp.mailfrom=ben@team.example; dmarc") + SIGNED,
            "ben@team.example sent it, not the address in From",
        ),
        (
            PASS.replace(b"; dmarc", b"; spf=pass smtp.mailfrom=other.example; dmarc") + SIGNED,
            "other.example sent it, not the address in From",
        ),
    ],
)
def test_what_contradicts_the_sender_makes_a_mail_unverified(raw: bytes, why: str) -> None:
    identity = found(raw)
    assert (identity.is_verified, identity.may_decide, identity.alignment) == (False, False, "unaligned")
    assert identity.why == why


@pytest.mark.parametrize(
    "envelope", ["<ana@team.example>", "<ANA@Team.example>", "<prvs=0123abcd=ana@team.example>", "<>"]
)
def test_the_senders_own_envelope_contradicts_nothing(envelope: str) -> None:
    results = PASS.replace(b"; dmarc", b"; spf=pass smtp.mailfrom=prvs=0123abcd=ana@team.example; dmarc")
    assert found(f"Return-Path: {envelope}\n".encode() + results + SIGNED).may_decide


def test_a_dns_that_is_away_leaves_it_to_our_server() -> None:
    identity = found(PASS + SIGNED, away=True)
    assert (identity.is_verified, identity.may_decide) == (True, False)
    assert identity.why == "the DNS did not answer when I asked it for the key of team.example"
    identity = found(SIGNED, away=True)
    assert (identity.is_verified, identity.alignment) == (False, "unknown")


def test_without_the_name_of_our_server_nobody_can_contradict_so_no_reply_decides() -> None:
    identity = found(SIGNED, names=" ")
    assert (identity.is_verified, identity.may_decide) == (True, False)
    assert "EMAIL_AUTHSERV_ID" in identity.why


def test_of_a_mail_that_was_cut_off_no_signature_is_checked() -> None:
    identity = found(PASS + SIGNED, whole=False)
    assert (identity.is_verified, identity.may_decide, identity.why) == (True, False, "it is too large to be checked")


def test_a_seal_verifies_what_a_forwarder_changed_and_decides_nothing() -> None:
    results = b"Authentication-Results: mx.list.example; dmarc=pass header.from=team.example\n"
    raw = sealed(results + SIGNED + b"-- \nthe list\n", "list.example", "mx.list.example")
    raw = b"Return-Path: <all-bounces@list.example>\n" + FAIL + raw
    assert not found(raw).is_verified
    identity = found(raw, sealers=("list.example",))
    assert (identity.is_verified, identity.may_decide, identity.sealed_by) == (True, False, "list.example")
    assert identity.alignment == "aligned"
    by_ben = raw.replace(b"From: Ana", b"Sender: ben@team.example\nFrom: Ana")
    assert not found(by_ben, sealers=("list.example",)).is_verified
