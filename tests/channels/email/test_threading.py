"""In which thread a mail stands: its subject, the mail that it answers, and those that it names."""

from __future__ import annotations

import pytest

from channels.email.heads import REFERENCES_MAX
from channels.email.parse import parse
from channels.messages import Text
from tests.channels.email.mails import SIGNER, card, check_wire, head, letter, mailed, question, read, sent


@pytest.mark.parametrize(
    ("subject", "answered"),
    [
        ("Deploy v3", "Re: Deploy v3"),
        ("Re: Deploy v3", "Re: Deploy v3"),
        ("RE: Deploy v3", "RE: Deploy v3"),
        ("re:Deploy v3", "re:Deploy v3"),
        ("Rest of it", "Re: Rest of it"),
    ],
)
def test_a_subject_has_its_re_once(subject: str, answered: str) -> None:
    assert read(letter(Text("Done."), mailed(subject=subject)))["Subject"] == answered


def test_the_subject_is_that_of_the_threads_first_mail() -> None:
    one = letter(Text("Done."), mailed(subject=""), mailed("<m2@x>"), mailed("<m3@x>", subject="Another"))
    assert read(one)["Subject"] == "Re: Deploy v3"


def test_a_thread_without_a_subject_is_called_by_what_is_said() -> None:
    assert read(letter(card(), mailed(subject="")))["Subject"] == "Approval needed: deploy, asked for by Ana"
    assert read(letter(question(), mailed(subject="")))["Subject"] == "Which tag?"
    assert read(letter(Text("Done."), mailed(subject="")))["Subject"] == "deploybot"


def test_a_long_subject_in_any_script_is_clipped_and_stays_one_header() -> None:
    for subject in ("é" * 500, "部署" * 200, "word " * 100, "x" * 500, "🚀" * 300):
        one = letter(Text("Done."), mailed(subject=subject))
        check_wire(one)
        assert str(read(one)["Subject"]).startswith(f"Re: {subject[:150]}")
        assert len(str(read(one)["Subject"])) <= 204


def test_a_mail_names_the_one_it_answers_and_all_before_it() -> None:
    ours = SIGNER.message_id("t1", "t1/s1/say")
    one = letter(Text("Done."), mailed("<m3@x>", references=["<m1@x>", "<m2@x>"]), sent("t1/s1/say", ours))
    assert head(one)["In-Reply-To"] == "<m3@x>"
    assert head(one)["References"] == f"<m1@x> <m2@x> <m3@x> {ours}"
    assert head(one)["Auto-Submitted"] == "auto-replied"


def test_no_mail_is_named_twice() -> None:
    one = letter(Text("Done."), mailed("<m2@x>", references=["<m1@x>", "<m2@x>", "<m1@x>"]))
    assert head(one)["References"] == "<m1@x> <m2@x>"


def test_of_a_long_thread_the_first_and_the_last_mails_are_named() -> None:
    before = [f"<m{n}@x>" for n in range(250)]
    one = letter(Text("Done."), mailed("<last@x>", references=before))
    named = head(one)["References"].split()
    assert len(named) == REFERENCES_MAX
    assert named == ["<m0@x>", *before[-(REFERENCES_MAX - 2) :], "<last@x>"]
    check_wire(one)


def test_long_ids_are_neither_broken_nor_encoded() -> None:
    long = [f"<{letter * length}@mail.example>" for letter, length in (("a", 60), ("b", 77), ("c", 300), ("d", 880))]
    one = letter(Text("Done."), mailed(long[-1], references=long[:-1]))
    check_wire(one)
    for id_ in long:
        assert id_.encode() in one.data
    assert b"=?" not in one.data.partition(b"\r\n\r\n")[0]
    assert parse(one.data).in_reply_to == (long[-1],)
    assert parse(one.data).references == tuple(long)


@pytest.mark.parametrize(
    "message_id",
    [
        "<a\ufffd@x>",
        "<=?utf-8?q?=C3=A9?=@x>",
        "<=?utf-8?q?a?=@x>",
        "<=?utf-8?q?a=0D=0ABcc=3A_eve?=@x>",
        "<a\0b@x>",
        "<a=b?c@x>",
        '<"a(b)c"@x>',
        "<a@b@c>",
        "<$;,:%@[192.0.2.1]>",
    ],
)
def test_a_strange_id_is_named_as_it_is_or_not_at_all(message_id: str) -> None:
    for mail in (mailed(message_id), mailed("<m2@x>", references=["<m0@x>", message_id])):
        one = letter(Text("Done."), mail)
        check_wire(one)
        named = head(one).get("References", "").split()
        assert set(named) <= {"<m0@x>", "<m2@x>", message_id}
        assert message_id in named or not (message_id.isascii() and message_id.isprintable())
