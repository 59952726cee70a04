"""To whom a mail goes."""

from __future__ import annotations

from dataclasses import replace

from channels.email.lists import TeamAddresses
from channels.messages import Notice, Text
from store.values import Place
from tests.channels.email.mails import (
    ANA,
    BEN,
    BOT,
    SIGNER,
    WRITER,
    check_wire,
    head,
    letter,
    letters,
    mailed,
    sent,
    settled,
)
from tests.telling import story

ONCALL = "oncall@team.example"
ON_A_LIST = replace(WRITER, lists=TeamAddresses.parse(ONCALL))


def test_everybody_of_the_last_mail_who_may_be_written_to_stays() -> None:
    one = letter(
        Text("Done."),
        mailed(to=[BOT, BEN.address, "eve@evil.example"], cc=["cleo@partner.example", "mallory@partner.example"]),
    )
    check_wire(one)
    assert head(one)["To"] == "ana@team.example"
    assert head(one)["Cc"] == "ben@team.example, cleo@partner.example"
    assert one.recipients == ("ana@team.example", "ben@team.example", "cleo@partner.example")


def test_who_put_us_into_bcc_alone_gets_the_answer() -> None:
    """The others must not hear that we read along. What happened before in the thread changes nothing of that."""
    hidden = mailed("<m2@team.example>", to=[BEN.address], cc=["cleo@partner.example"])
    assert letter(Text("Done."), hidden).recipients == (ANA.address,)
    assert letter(Text("Done."), mailed(cc=[BEN.address]), hidden).recipients == (ANA.address,)
    assert letter(Text("Done."), mailed("<m3@x>", to=[])).recipients == (ANA.address,)
    # A list of the team that we are on is us, and so is a reply address of ours.
    to_all = letter(Text("Done."), mailed(to=[ONCALL, BEN.address]), writer=ON_A_LIST)
    assert to_all.recipients == (ANA.address, ONCALL, BEN.address)
    assert BEN.address in letter(Text("Done."), mailed(to=[BEN.address], cc=[SIGNER.reply_address("t1")])).recipients


def test_we_never_write_to_ourselves() -> None:
    ours = [BOT, BOT.upper(), "deploybot+x@team.example", SIGNER.reply_address("t9"), "Deploys@team.example"]
    assert letter(Text("Done."), mailed(to=ours, cc=ours)).recipients == (ANA.address,)
    assert not WRITER.is_ours("deploybot2@team.example")
    assert not WRITER.is_ours("deploybot@elsewhere.example")


def test_nobody_gets_a_mail_twice() -> None:
    people = [BOT, BEN.address, ANA.address, BEN.address]
    assert letter(Text("Done."), mailed(to=people, cc=people)).recipients == (ANA.address, BEN.address)


def test_nobody_gets_a_mail_twice_who_is_written_in_capitals_once() -> None:
    assert letter(Text("Done."), mailed(cc=["Ana@team.example"])).recipients == (ANA.address,)


def test_the_last_mail_says_who_is_written_to() -> None:
    one = letter(Text("Done."), mailed(cc=["dan@team.example"]), mailed("<m2@x>", by=BEN, to=[BOT, ANA.address]))
    assert one.recipients == (BEN.address, ANA.address)


def test_words_that_came_otherwise_change_nobody() -> None:
    one = letter(Text("Done."), mailed(cc=[BEN.address]), story.message("m9", by=story.EVE))
    assert one.recipients == (ANA.address, BEN.address)
    assert head(one)["In-Reply-To"] == "<m1@team.example>"


def test_who_decided_by_a_link_hears_how_it_went() -> None:
    one = letter(settled(), mailed(), story.approved("s4", by=BEN))
    assert one.recipients == (ANA.address, BEN.address)


def test_who_decided_in_vain_hears_it_alone() -> None:
    one = letter(Notice("It was already approved."), mailed(cc=["dan@team.example"]), story.approved("s4", by=BEN))
    assert one.recipients == (BEN.address,)
    assert letters(Notice("It was already approved."), mailed(), story.approved("s4", by=story.BOB)) == []


def test_a_thread_without_a_mail_is_told_to_whom_its_place_names() -> None:
    place = Place(channel="email", address="ana@team.example/nightly")
    one = letter(Text("Done."), story.trigger(), place=place)
    check_wire(one)
    assert one.recipients == (ANA.address,)
    assert (head(one)["Auto-Submitted"], "In-Reply-To" in head(one)) == ("auto-generated", False)
    ours = SIGNER.message_id("t1", "t1/s1/say")
    again = letter(Text("Done."), story.trigger(), sent("t1/s1/say", ours), place=place)
    assert (head(again)["In-Reply-To"], head(again)["References"]) == (ours, ours)
    assert letters(Text("Done."), story.trigger(), place=Place(channel="email", address="nobody")) == []
