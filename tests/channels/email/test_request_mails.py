"""Mails about a request: several people, over time, in several places."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from channels.email.letters import LINK_SECONDS, Letter, Writer
from channels.messages import NEW, Approval, Outgoing, Reminded, Rewrite, Text, Under, Vote, Way
from store.events import Event
from store.values import Person, Place
from tests.channels.email.mails import (
    ANA,
    AT,
    BEN,
    PLACE,
    SIGNER,
    WITHOUT_LINKS,
    WRITER,
    card,
    check_wire,
    head,
    letter,
    links,
    mailed,
    plain,
    sent,
    settled,
    shown,
)
from tests.telling import story

REQUEST = story.requested("s4", asks=(Place(channel="email", address="ops@team.example/approvals"),))
OPS = Place(channel="email", address="ops@team.example/approvals")
EXPIRES = story.AT + timedelta(hours=4)
VOTES = (Vote("Ben\nBob", AT), Vote("Cleo", AT + timedelta(minutes=2)))


def reminder(*, widened: bool = False, **more: Any) -> Approval:
    values: dict[str, Any] = {"requested_at": story.AT, "group": "release", "approvers": (BEN,), "expires_at": EXPIRES}
    return replace(card(), state=Reminded(widened), **values | more)


def shown_to(*people: Person, at: str = "") -> tuple[str, ...]:
    """The Message-IDs of the mails that showed the request."""
    return tuple(SIGNER.message_id("t1", f"t1/s4/card{at} {one.address}") for one in people)


def follow_ups(
    message: Outgoing, way: Way, *so_far: Event, place: Place = PLACE, writer: Writer = WRITER
) -> list[Letter]:
    return writer.letters(place, message, way, key="t1/s4/votes/7", so_far=so_far)


def test_a_request_says_who_may_decide_until_when_and_who_has_approved_it() -> None:
    request = replace(
        card(), group="release", approvers=(BEN,) * 6, quorum=3, votes=VOTES, expires_at=EXPIRES, editable=("revision",)
    )
    one = letter(request)
    check_wire(one)
    for text in (plain(one), shown(one).text):
        assert "May decide: release (Ben, Ben, Ben, Ben, Ben, and others)" in text
        assert "until 2026-11-20 13:00 UTC" in text
        assert "2 of 3 approvals: Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC" in text
        assert "you can also change: revision" in text


@pytest.mark.parametrize(("hours", "ends"), [(4, 4 * 3600), (24 * 30, LINK_SECONDS)])
def test_a_link_ends_with_its_request_or_after_a_week(hours: int, ends: int) -> None:
    request = replace(card(), expires_at=story.AT + timedelta(hours=hours))
    assert {link.good_until for link in links(letter(request))} == {int(story.AT.timestamp()) + ends}


def test_an_approval_of_several_is_told_to_each_in_reply_to_the_mail_with_their_links() -> None:
    cards = shown_to(ANA, BEN)
    # Dan came later, and was shown nothing to decide; Ben was left out of the last mail, and was.
    so_far = (
        mailed(cc=[BEN.address]),
        REQUEST,
        sent("s4/card", *cards),
        mailed("<m2@x>", cc=["dan@team.example"]),
        story.approved("s4", by=BEN),
    )
    told = follow_ups(replace(card(), quorum=3, votes=VOTES), Rewrite(" ".join(cards)), *so_far)
    assert [one.recipients for one in told] == [(ANA.address,), (BEN.address,)]
    assert [head(one)["In-Reply-To"] for one in told] == [*cards]
    assert len({one.message_id for one in told}) == 2
    for one in told:
        check_wire(one)
        assert head(one)["Subject"] == "Re: Approval needed: deploy, asked for by Ana"
        assert links(one) == []
        for text in (plain(one), shown(one).text):
            assert "deploy: 2 of 3 approvals: Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC" in text


def test_without_links_what_follows_answers_the_one_mail_that_all_got() -> None:
    one_for_all = SIGNER.message_id("t1", "t1/s4/card")
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", one_for_all), story.approved("s4", by=BEN))
    told = follow_ups(replace(card(), quorum=2), Rewrite(one_for_all), *so_far, writer=WITHOUT_LINKS)
    assert [(one.recipients, head(one)["In-Reply-To"]) for one in told] == [
        ((ANA.address,), one_for_all),
        ((BEN.address,), one_for_all),
    ]


def test_a_reminder_says_until_when_the_links_work() -> None:
    (mine,) = shown_to(ANA)
    so_far = (mailed(), REQUEST, sent("s4/card", mine), story.fired("s4/remind/0"))
    (one,) = follow_ups(reminder(widened=True), Under(mine), *so_far)
    check_wire(one)
    assert head(one)["In-Reply-To"] == mine
    for text in (plain(one), shown(one).text):
        assert "Still waiting for approval: deploy?" in text
        assert "May decide: release (Ben)" in text
        assert "More people may decide from now on" in text
        assert "links in the original request work until 2026-11-20 13:00 UTC" in text
        assert "To decide, use one of them. A reply to this mail decides nothing." in text
    late = story.fired("s4/remind/0").model_copy(update={"at": story.AT + timedelta(seconds=LINK_SECONDS)})
    (one,) = follow_ups(reminder(expires_at=None), Under(mine), mailed(), REQUEST, late)
    assert "links" not in plain(one)


def test_a_reminder_of_what_was_never_shown_promises_no_links() -> None:
    (one,) = follow_ups(reminder(), NEW, mailed(), REQUEST, story.fired("s4/remind/0"))
    assert (one.recipients, head(one)["In-Reply-To"]) == ((ANA.address,), "<m1@team.example>")
    assert "links" not in plain(one)
    assert "To decide by mail, reply to the original request, not to this mail." in plain(one)
    writer = replace(WITHOUT_LINKS, replies_decide=False)
    (one,) = follow_ups(reminder(), NEW, mailed(), REQUEST, story.fired("s4/remind/0"), writer=writer)
    assert "`bot approve t1` or `bot reject t1`" in plain(one)


@pytest.mark.parametrize("known", [False, True])
def test_a_reminder_offers_a_reply_only_to_whom_a_reply_decides(known: bool) -> None:
    said = story.replied_unclearly("s4", by=ANA).model_copy(update={"known_to_others": known})
    so_far = (mailed(cc=[BEN.address]), REQUEST, said, story.fired("s4/remind/0"))
    to_ana, to_ben = follow_ups(reminder(), NEW, *so_far, writer=WITHOUT_LINKS)
    assert ("reply to the original request" in plain(to_ana)) is not known
    assert ("`bot approve t1` or `bot reject t1`" in plain(to_ana)) is known
    assert "reply to the original request" in plain(to_ben)


def test_beside_the_thread_a_request_has_a_mail_thread_of_its_own() -> None:
    (request,) = WRITER.letters(OPS, card(), key="t1/s4/card/at/1", so_far=[REQUEST])
    assert (request.recipients, head(request)["Subject"]) == (
        ("ops@team.example",),
        "Approval needed: deploy, asked for by Ana",
    )
    assert "In-Reply-To" not in head(request)
    assert {link.person for link in links(request)} == {"ops@team.example"}
    receipt = request.message_id
    for message, way, event in (
        (replace(card(), quorum=2, votes=VOTES[:1]), Rewrite(receipt), story.approved("s4", by=BEN)),
        (reminder(), Under(receipt), story.fired("s4/remind/0")),
        (settled(votes=VOTES), Rewrite(receipt), story.approved("s4", by=BEN)),
    ):
        (one,) = follow_ups(message, way, event, place=OPS)
        check_wire(one)
        assert (one.recipients, head(one)["In-Reply-To"]) == (("ops@team.example",), receipt)
        assert head(one)["Subject"] == "Re: Approval needed: deploy, asked for by Ana"
        assert head(one)["References"] == receipt
    assert "approved by Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC — go on" in plain(one)


def test_the_end_is_told_to_everybody_who_was_shown_the_request() -> None:
    cards = shown_to(ANA, BEN)
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", *cards), mailed("<m2@x>"), story.approved("s4"))
    one = letter(settled(), *so_far, way=Rewrite(" ".join(cards)))
    assert one.recipients == (ANA.address, BEN.address)
    assert set(cards) <= set(head(one)["References"].split())


def test_what_is_said_beside_the_thread_changes_nothing_in_its_own_mails() -> None:
    beside = SIGNER.message_id("t1", "t1/s4/card/at/1 ops@team.example")
    ops = Person(name="Ops", address="ops@team.example", trust="verified")
    so_far = (
        mailed(),
        REQUEST,
        sent("s4/card/at/1", beside),
        sent("s4/card/at/2", "1763722800.000100"),
        mailed("<why@team.example>", by=ops, subject="Re: Approval needed", references=[beside]),
    )
    one = letter(Text("Ana wants it."), *so_far)
    assert one.recipients == (ANA.address, ops.address)
    assert (head(one)["In-Reply-To"], head(one)["References"]) == ("<m1@team.example>", "<m1@team.example>")
    # Who decided there hears it there.
    decided = (*so_far[:4], story.approved("s4", by=ops))
    assert letter(settled(), *decided, way=Rewrite(shown_to(ANA)[0])).recipients == (ANA.address,)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (settled("expired", by=None, at=None, comment=""), "deploy expired: nothing was run"),
        (
            settled("expired", by=None, at=None, comment="", votes=VOTES[1:]),
            "deploy expired, after an approval by Cleo at 2026-11-20 04:38 UTC: nothing was run",
        ),
        (
            settled("rejected", votes=VOTES[1:]),
            "deploy rejected by ben@team.example at 2026-11-20 04:36 UTC, "
            "after an approval by Cleo at 2026-11-20 04:38 UTC — go on",
        ),
        (
            settled(standing="g1"),
            "deploy approved by the standing approval of ben@team.example at 2026-11-20 04:36 UTC — go on",
        ),
    ],
)
def test_how_a_request_ended_is_told_in_words(message: Approval, words: str) -> None:
    one = letter(message)
    assert words in plain(one)
    assert words in shown(one).text


def test_what_follows_a_request_is_the_same_to_the_byte_when_it_is_tried_again() -> None:
    cards = shown_to(ANA, BEN)
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", *cards), story.approved("s4", by=BEN))
    again = Writer(**{name: getattr(WRITER, name) for name in WRITER.__dataclass_fields__})
    for message, way in ((replace(card(), quorum=2), Rewrite(" ".join(cards))), (reminder(), Under(" ".join(cards)))):
        assert follow_ups(message, way, *so_far) == follow_ups(message, way, *so_far, writer=again)
