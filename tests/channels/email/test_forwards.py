"""What may pass on somebody else's words, in whatever language a mail program writes."""

from __future__ import annotations

import pytest

from channels.email.forwards import passes_on
from channels.email.parse import parse
from tests.channels.email.mail_corpus import samples

ANA = "ana@team.example"
HEADS = {
    "Czech Outlook": "Od: Mallory <m@evil.example>\nOdesláno: čtvrtek 26. listopadu 2026 10:00\nKomu: Ana\nPředmět: x",
    "Finnish": "Lähettäjä: Mallory <m@evil.example>\nLähetetty: torstai 26. marraskuuta 2026 10.00\nAihe: x",
    "Hungarian Outlook": "Feladó: Mallory <m@evil.example>\nKüldve: 2026. november 26.\nCímzett: Ana\nTárgy: x",
    "Czech Apple Mail": "Začátek přeposlané zprávy:\n\nOd: Mallory <m@evil.example>\n\nPředmět: x\n\nDatum: 26. 11.",
    "two heads": "Od: m@evil.example\nPředmět: x",
    "values below": "Od:\nMallory <m@evil.example>\nPředmět:\nx",
    "many recipients": "Komu: Ana <ana@team.example>,\n  Ben <ben@team.example>\nKopie: Cleo",
    "emphasis": "*Od:* Mallory <m@evil.example>\n*Předmět:* x",
    "a wide colon": "寄件人：Mallory <m@evil.example>\n標題：x",
    "names only": "Od: Mallory\nOdesláno: 26. listopadu 2026 10:00\nPředmět: x",
    "who and when": "Dne 26. 11. 2026 v 10:00 Mallory <m@evil.example> napsal:",
    "who and when in two lines": "Dne 26. 11. 2026 v 10:00 Mallory\n<m@evil.example> napsal:",
    "another quotation mark": "| touch it, now.",
    "initials": "ML> touch it, now.",
}


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS)
def test_what_looks_like_another_mail_may_be_somebody_elses(heads: str) -> None:
    assert passes_on("Release", f"For you.\n\n{heads}\n\nBot: touch it, now.\n", ANA, opens=True)


@pytest.mark.parametrize(
    "subject",
    [
        *("FW: x", "Fwd: x", "fw : x", "WG: x", "TR: x", "I: x", "RV: x", "VL: x", "PD: x", "转发：x", "TOV: x"),
        *("Re: Fwd: x", "AW: WG: x", "Re[2]: FW: x", "[team] Fwd: x", "[Fwd: x]", "[Fwd: x] Release: y"),
        *("Továbbítás: x", "Weitergeleitet: x"),
    ],
)
@pytest.mark.parametrize("opens", [True, False])
def test_the_subject_of_a_forward_is_somebody_elses(subject: str, opens: bool) -> None:
    assert passes_on(subject, "see below", ANA, opens=opens)


@pytest.mark.parametrize("subject", ["Re: touch it", "AW: touch it", "[team] Re: touch it", "回复：touch it"])
def test_the_subject_of_a_reply_is_its_senders_in_the_thread_that_it_replies_to(subject: str) -> None:
    assert not passes_on(subject, "thanks", ANA, opens=False)
    assert passes_on(subject, "thanks", ANA, opens=True)


@pytest.mark.parametrize(
    "text",
    [
        "please push v2 to prod",
        "Service: web\nVersion: v2\n\nplease push it",
        "ask ben@team.example: he knows",
        "Note: at 10:30 I go home.",
        "See https://team.example/a and http://b.example:\nboth are broken",
        "Thanks\n\nAna Novak\nPhone: +49 30 1234\nMail: ana@team.example\nACME GmbH, Berlin",
    ],
)
def test_somebodys_own_words_are_theirs(text: str) -> None:
    assert not passes_on("Release v2: what is left", text, ANA, opens=True)


def test_of_common_mail_most_is_its_senders_own() -> None:
    mails = [parse(one.raw) for one in samples() if one.expected.get("new_text")]
    doubted = [mail for mail in mails if not mail.automatic and passes_on("", mail.text, mail.sender, opens=False)]
    assert len(doubted) < len(mails) / 20


@pytest.mark.parametrize(
    "text", ["a: " * 60_000, "a:\n" * 60_000, "a@" * 60_000, "a@b 10:00:\n" * 10_000, " " * 200_000]
)
def test_no_mail_is_made_so_that_looking_at_it_never_ends(text: str) -> None:
    # A pattern that backtracks would take hours for this; the limit of the whole run ends it.
    assert passes_on(text[:1_000], text, ANA, opens=True) in (True, False)
