"""Mails that we write: what goes out for each kind of message, and that it is the same each time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from channels.email.identity.tokens import LOCAL_PART_CHARS_MAX, Link, Signer
from channels.email.letters import LINK_SECONDS, Writer
from channels.email.parse import parse
from channels.email.place import private_place
from channels.messages import Answered, Dropped, Notice, Outgoing, Progress, Question, Rewrite, Text
from tests.channels.email.mails import (
    ANA,
    BEN,
    BOT,
    DIGEST,
    PLACE,
    SIGNER,
    WITHOUT_LINKS,
    WRITER,
    card,
    check_wire,
    head,
    html,
    letter,
    letters,
    links,
    mailed,
    plain,
    question,
    read,
    sent,
    settled,
    shown,
)
from tests.telling import story


def test_words_of_the_agent_are_text_and_html() -> None:
    one = letter(Text("It is **out**: `v3`.\n\n- one\n- two"))
    check_wire(one)
    assert plain(one) == "It is **out**: `v3`.\n\n- one\n- two\n"
    assert "<p>It is <strong>out</strong>: <code>v3</code>.</p>" in html(one)
    assert "<li>two</li>" in html(one)


def test_words_of_the_program_have_no_markup() -> None:
    one = letter(Notice("I stopped *here*.\nSee https://bot.example/x"))
    assert plain(one) == "I stopped *here*.\nSee https://bot.example/x\n"
    assert "I stopped *here*." in shown(one).text
    assert shown(one).leads_to == ["https://bot.example/x"]


def test_a_request_shows_everything_and_two_links() -> None:
    one = letter(card())
    check_wire(one)
    for text in (plain(one), shown(one).text):
        for part in ("deploy", "environment", "production", "v1.4.2", "4af9ec024c7f", DIGEST[:12], "Ana"):
            assert part in text
        assert 'reply to this mail with "approve", or with "reject: " and the reason' in text
    until = int(story.AT.timestamp()) + LINK_SECONDS
    assert links(one) == [
        Link("t1", "s4", DIGEST, "ana@team.example", until, approved=True),
        Link("t1", "s4", DIGEST, "ana@team.example", until, approved=False),
    ]
    assert re.findall("Approve: |Reject: ", plain(one)) == ["Approve: ", "Reject: "]
    assert shown(one).leads_to[:2] == re.findall(r"https://bot\S+", plain(one))


def test_each_person_gets_a_request_alone_with_links_of_their_own() -> None:
    both = letters(card(), mailed(to=[BOT, BEN.address]))
    assert [one.recipients for one in both] == [("ana@team.example",), ("ben@team.example",)]
    assert len({one.message_id for one in both}) == 2
    for one in both:
        check_wire(one)
        assert "Cc" not in head(one)
        assert {link.person for link in links(one)} == {*one.recipients}


def test_a_request_without_links_says_how_to_decide_otherwise() -> None:
    one, other = letters(card(), mailed(cc=[BEN.address]), writer=WITHOUT_LINKS)
    assert (one.recipients, other.recipients) == ((ANA.address,), (BEN.address,))
    assert head(one)["Reply-To"] != head(other)["Reply-To"]
    assert "/decide/" not in plain(one) + html(one)
    assert 'reply to this mail with "approve"' in plain(one)
    one = letter(card(), writer=replace(WITHOUT_LINKS, replies_decide=False))
    assert "reply to this mail" not in plain(one)
    for text in (plain(one), shown(one).text):
        assert "`bot approve t1 --digest 0123456789ab` or `bot reject t1 --digest 0123456789ab`" in text


def test_a_free_question_is_answered_by_a_reply() -> None:
    one = letter(question(kind="free_text"))
    for text in (plain(one), shown(one).text):
        assert "Which tag?" in text
        assert "There are several." in text
        assert "Reply to this mail to answer." in text
    assert links(one) == []


@pytest.mark.parametrize(
    ("asked", "choices"),
    [(question(kind="yes_no"), ["yes", "no"]), (question("v1", "v2", "v3"), ["v1", "v2", "v3"])],
)
def test_a_question_with_choices_has_a_link_for_each(asked: Question, choices: list[str]) -> None:
    one, other = letters(asked, mailed(to=[BOT, BEN.address]))
    for mail, person in ((one, ANA), (other, BEN)):
        check_wire(mail)
        assert [link.number for link in links(mail)] == [*range(len(choices))]
        assert {(link.person, link.step, link.digest) for link in links(mail)} == {(person.address, "s5", "")}
        assert [re.search(rf"^{choice}: https", plain(mail), re.MULTILINE) is not None for choice in choices]
        assert len(shown(mail).leads_to) == len(choices)


def test_an_urgent_question_says_so() -> None:
    one = letter(question(kind="free_text", urgency="high"))
    assert plain(one).startswith("Urgent: Which tag?")
    assert "Urgent: Which tag?" in shown(one).text


def test_the_end_of_a_request_answers_the_mail_that_showed_it() -> None:
    of_ana, of_ben = (SIGNER.message_id("t1", f"t1/s4/card {one.address}") for one in (ANA, BEN))
    one = letter(
        settled(), mailed(cc=[BEN.address]), sent("t1/s4/card", of_ana, of_ben), way=Rewrite(f"{of_ana} {of_ben}")
    )
    check_wire(one)
    assert one.recipients == (ANA.address, BEN.address)
    assert head(one)["In-Reply-To"] == of_ana
    for text in (plain(one), shown(one).text):
        for part in (
            "deploy approved by ben@team.example at 2026-11-20 04:36 UTC — go on",
            "production",
            "4af9ec024c7f",
        ):
            assert part in text


@pytest.mark.parametrize("outcome", ["rejected", "withdrawn", "superseded", "cancelled", "refused"])
def test_every_end_of_a_request_is_told(outcome: str) -> None:
    one = letter(settled(outcome, by=None, at=None, comment=""))
    assert f"deploy {outcome}" in plain(one)
    assert f"deploy {outcome}" in shown(one).text


def test_what_could_not_be_said_is_told_to_one_person() -> None:
    told = Notice("A message of mine came back.")
    one = letter(told, mailed(cc=["dan@team.example"]), place=private_place(BEN.address))
    assert one.recipients == (BEN.address,)
    assert (head(one)["Subject"], head(one)["In-Reply-To"]) == ("Re: Deploy v3", "<m1@team.example>")
    assert "came back" in plain(one)


def test_what_other_channels_rewrite_in_place_is_not_mailed() -> None:
    assert letters(replace(question("v3"), state=Answered("Ana", "v3"))) == []
    assert letters(replace(question("v3"), state=Dropped())) == []
    assert letters(Progress("rolls out", "under_way")) == []


# The same each time


@pytest.mark.parametrize("message", [Text("Done: é"), Notice("x"), card(), question("a", "b"), settled()])
def test_a_mail_that_is_tried_again_is_the_same_to_the_byte(message: Outgoing) -> None:
    so_far = (mailed(cc=[BEN.address]),)
    again = Writer(**{name: getattr(WRITER, name) for name in WRITER.__dataclass_fields__})
    assert letters(message, *so_far) == letters(message, *so_far, writer=again)


def test_the_key_of_what_is_said_gives_the_id() -> None:
    ids = {
        one.message_id
        for key in ("t1/s1/say", "t1/s2/say", "t2/s1/say")
        for one in WRITER.letters(PLACE, Text("Done."), key=key, so_far=[mailed()])
    }
    assert len(ids) == 3
    assert sorted(map(SIGNER.thread_of_message, ids)) == ["t1", "t1", "t2"]


def test_answers_come_to_a_signed_address() -> None:
    reply_to = read(letter(Text("Done.")))["Reply-To"].addresses[0].addr_spec
    assert SIGNER.thread_of_address(reply_to) == "t1"
    assert WRITER.is_ours(reply_to)


def test_where_plus_addresses_do_not_work_there_is_none() -> None:
    assert "Reply-To" not in head(letter(Text("Done."), writer=replace(WRITER, plus_addresses=False)))
    long = f"{'b' * (LOCAL_PART_CHARS_MAX - 10)}@team.example"
    one = letter(Text("Done."), writer=replace(WRITER, address=long, signer=Signer("x", long)))
    assert "Reply-To" not in head(one)
    check_wire(one)


def test_our_own_mail_reads_back_as_what_it_is() -> None:
    one = letter(Text("It is out: é 🚀\n\nNext line."), mailed("<m2@x>", references=["<m1@x>"]))
    mail = parse(one.data)
    assert (mail.message_id, mail.in_reply_to, mail.references) == (one.message_id, ("<m2@x>",), ("<m1@x>", "<m2@x>"))
    assert (mail.sender, mail.name, mail.to) == (BOT, "deploybot", ("ana@team.example",))
    assert (mail.subject, mail.text, mail.attachments) == ("Re: Deploy v3", "It is out: é 🚀\n\nNext line.", ())
    assert mail.automatic == "auto-submitted: auto-replied"
    assert SIGNER.thread_of_message(mail.message_id) == "t1"
