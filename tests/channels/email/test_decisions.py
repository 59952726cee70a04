"""What a reply to a request decides: a corpus in the shapes of people's programs, and words that must not decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from channels.email.added import is_banner, is_disclaimer, is_neutral, is_of_program
from channels.email.decisions import Decision, Nearly, read_decision
from channels.email.parse import parse
from tests import PAYLOADS

REPLIES = sorted((PAYLOADS / "replies").glob("*.eml"))
NAME, ADDRESS = "Ana Silva", "ana.silva@team.example"


def read(text: str) -> Decision | Nearly | None:
    return read_decision(text, is_complete=True, name=NAME, address=ADDRESS)


def test_there_are_forty_shapes() -> None:
    assert len(REPLIES) >= 40


@pytest.mark.parametrize("path", [pytest.param(one, id=one.stem) for one in REPLIES])
def test_a_reply_does_what_its_author_may_expect(path: Path) -> None:
    mail = parse(path.read_bytes())
    given = read_decision(mail.text, is_complete=mail.text_is_complete, name=mail.name, address=mail.sender)
    match given:
        case Decision(approved):
            does = "approves" if approved else "rejects"
        case Nearly(approved):
            does = f"asks whether it is {'an approval' if approved else 'a rejection'}"
        case None:
            does = "says that it decided nothing"
    assert does == json.loads(path.with_suffix(".json").read_text())["does"]


@pytest.mark.parametrize(
    "below",
    [
        *(
            "but only staging",
            "only staging",
            "Only staging",
            "after lunch",
            "23.11.2026",
            "2026-12-01",
            "01/12/2026 18 00",
        ),
        *("No", "No.", "Not yet", "reject", "Ana", "https://ci.team.example/builds/7", "Sent from my heart: wait"),
        *("Sent from my iPhone but only staging", "Get Outlook for iOS, then deploy", "CAUTION: only staging"),
        *("This e-mail is confidential. Only staging.", "Best regards, and only staging", "Ana Silva, only staging"),
        *("--", "Ana Silva\nonly staging", "Kind regards\n\nPS: only staging", "Sent from my iPhone\n\nnot prod"),
        "Get Outlook for iOS<https://aka.ms/o0ukef>\nnot prod",
    ],
)
def test_below_the_word_stands_more_than_a_signature(below: str) -> None:
    for text in (f"approve\n\n{below}", f"approve\n{below}"):
        if below not in ("Ana", "--"):
            assert not isinstance(read(text), Decision)


@pytest.mark.parametrize("word", ["approve", "reject: too late"])
def test_what_may_be_incomplete_is_confirmed_first(word: str) -> None:
    assert read_decision(word, is_complete=False) == Nearly(word == "approve")


@pytest.mark.parametrize("above", ["Only staging:", "I do not", "Please wait before you", "Ben says:", "> approve"])
def test_above_the_word_stands_more_than_a_banner(above: str) -> None:
    assert read(f"{above}\n\napprove") is None
    assert not isinstance(read(f"{above} approve"), Decision)


@pytest.mark.parametrize(
    ("words", "approved"),
    [
        *(
            (one, True)
            for one in ("LGTM", "lgtm 👍🏽", "Yes, please.", "ok", "Ship it!", "Looks good to me, thanks", "✔️")
        ),
        *((one, True) for one in ("Ja, genehmigt", "D'accord, merci", "d’accord", "Sí, aprobado. Gracias!", "Va bene")),
        *(
            (one, True)
            for one in (
                "Akkoord",
                "Godkänt, tack!",
                "Одобрено",
                "Onaylıyorum",
                "同意",
                "승인합니다",
                "Hi,\n\nok\n\nAna",
            )
        ),
        *(
            (one, False)
            for one in ("no", "No, thanks", "Abgelehnt", "Нет", "却下", "don’t approve", "I do not approve.")
        ),
    ],
)
def test_words_of_common_languages_are_nearly_a_decision(words: str, approved: bool) -> None:
    assert read(words) == Nearly(approved)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "",
            "?",
            "ok?",
            "yes but not today",
            "yes\nno",
            "no, approve",
            "approve or reject",
            "thanks",
            "Ana",
            "1",
            "approved by whom",
        ),
        *("ok, so what happens with the queue", "yes if QA is done", "LGTM except the migration", "approve " * 60),
    ],
)
def test_all_else_is_no_decision(words: str) -> None:
    assert read(words) is None


def test_what_is_added_is_known_by_whole_lines() -> None:
    assert is_of_program("Sent from my Galaxy S24 Ultra")
    assert not is_of_program("Sent from my Galaxy S24 Ultra to staging")
    assert is_banner("This Message Is From an External Sender\nThis message came from outside your organization.")
    assert not is_banner("This Message Is From an External Sender. Do not deploy.")
    assert not is_banner("Please wait.")
    assert not is_disclaimer("This e-mail is only about staging.")
    assert is_neutral("+49 (30) 123-4567", NAME, ADDRESS)
    assert not is_neutral("Ben Other", NAME, ADDRESS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Sent from my " * 9_000,
            "a. " * 60_000,
            "CAUTION: " * 20_000,
            "This e-mail " * 9_000,
            "+4" * 60_000,
            "yes " * 9_000,
        ),
        *(
            "approve\n\n" + "Ana Silva\n" * 9_000,
            "approve\n\n" + "confidential. " * 300,
            "You don't often get email from " + "a" * 90_000,
        ),
    ],
)
def test_no_reply_is_made_so_that_reading_it_never_ends(text: str) -> None:
    # A pattern that backtracks would take hours for this; the limit of the whole run ends it.
    assert read(text) is None or isinstance(read(text), Decision | Nearly)
