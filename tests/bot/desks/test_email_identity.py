"""Whose reply decides: a verified sender's, at the reply address that only that person got with the request."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.email.identity.tokens import CARD_TAG
from store.events import ApprovalDecided, MessageReceived
from store.replies import ReplyDecidedNothing
from tests.bot.desks.post_office import BOT, PostOffice, card, decided_by_links, kinds, new_post_office
from tests.fakes.mail.dovecot import DOMAIN, address
from tests.fakes.mail.signing import signed
from tests.telling.playbook import done


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as office:
        yield office


async def test_a_colleague_who_knows_the_id_of_a_request_and_forges_the_verdict_decides_nothing(
    post: PostOffice,
) -> None:
    async with post.open():
        _, request = await card(post)
        # As on a server that neither adds nor strips the header for those who have logged in.
        await post.writes("approve", answers=request, To=BOT)
        asked = await post.hears("it did not come to the reply address of your own mail")
    assert asked["To"] == address("ana")
    assert decided_by_links(post, asked) == [True]
    thread = await post.thread()
    assert thread.pending
    assert kinds(thread, ApprovalDecided) == []
    assert post.desk.ran == []


async def test_the_reply_address_of_one_person_decides_for_no_other(post: PostOffice) -> None:
    async with post.open():
        _, hers = await card(post, Cc=address("ben"))
        his = await post.hears("May decide", "ben")
        assert hers["Reply-To"] != his["Reply-To"]
        await post.writes("approve", answers=hers, To=str(his["Reply-To"]))
        await post.hears("I read your reply as")
    assert (await post.thread()).pending
    assert post.desk.ran == []


@pytest.mark.parametrize("shown", ["header", "envelope"])
async def test_a_mail_that_somebody_else_sent_decides_nothing(post: PostOffice, shown: str) -> None:
    async with post.open():
        _, request = await card(post)
        forged = post.letter("approve", answers=request)
        if shown == "header":
            forged["Sender"] = address("ben")
        await post.gets(forged, address("ana" if shown == "header" else "ben"))
        asked = await post.hears("could not verify")
    assert decided_by_links(post, asked) == [True]
    thread = await post.thread()
    assert kinds(thread, ApprovalDecided) == []
    assert thread.pending


async def test_the_log_does_not_keep_the_address_that_may_decide(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        assert CARD_TAG.search(str(request["Reply-To"]))
        await post.writes("Approved, thanks!", answers=request)
        await post.hears("I read your reply as")
        thread = await post.thread()
    assert not any(CARD_TAG.search(event.model_dump_json()) for event in thread.events)


async def test_a_reply_that_the_senders_domain_did_not_sign_is_asked_back_with_links(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        reply = post.letter("approve", answers=request)
        reply.is_signed = False
        await post.gets(reply)
        asked = await post.hears("a reply cannot decide here, because team.example did not sign it (DKIM)")
    assert decided_by_links(post, asked) == [True]
    thread = await post.thread()
    assert thread.pending
    assert kinds(thread, ApprovalDecided) == []
    assert post.desk.ran == []


@pytest.mark.parametrize("vouched", [True, False])
async def test_while_the_dns_is_away_a_reply_is_kept_and_asked_back(post: PostOffice, vouched: bool) -> None:
    async with post.open():
        _, request = await card(post)
        post.dns_answers = False
        reply = post.letter("approve", answers=request, aligned=vouched)
        reply.is_signed = True
        await post.gets(reply)
        asked = await post.hears("because the DNS did not answer when I asked it for the key of team.example")
    assert decided_by_links(post, asked) == [True]
    [told] = kinds(await post.thread(), ReplyDecidedNothing)
    assert (told.why, told.by.trust) == (("unsigned", "verified") if vouched else ("unverified", "unverified"))
    assert (await post.thread()).pending
    assert post.desk.ran == []


MICROSOFTS = ("From", "Date", "Subject", "Message-ID", "Content-Type", "MIME-Version")
"""The headers that Microsoft 365 signs."""


async def test_where_in_reply_to_is_not_signed_the_quoted_request_ties_the_reply_to_it(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("It is out."))
        await post.gets(signed(post.letter("approve", answers=request).as_bytes(), headers=MICROSOFTS))
        await post.hears("It is out.")
    assert [decision.by.trust for decision in kinds(await post.thread(), ApprovalDecided)] == ["verified"]


@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_link_that_a_server_wrapped_still_ties_and_an_approval_of_something_else_does_not(
    post: PostOffice, wrapped: bool
) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("It is out."))
        text = post.letter("approve", answers=request).as_string()
        safe = "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fbot.team.example%2Fdecide%2F"
        link = "https://bot.team.example/decide/"
        assert link in text
        raw = text.replace(link, safe if wrapped else "https://elsewhere.example/").encode()
        await post.gets(signed(raw, headers=MICROSOFTS))
        if wrapped:
            await post.hears("It is out.")
        else:
            await post.hears("the signature of your mail server does not cover which mail you replied to")
    assert bool(kinds(await post.thread(), ApprovalDecided)) is wrapped


async def test_a_signed_approval_of_something_else_cannot_be_sent_again_for_this_request(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        # Ana's own words, signed by her server, to somebody who got her reply address from a reply of hers to all.
        theirs = signed(post.letter("approve", To=address("ben")).as_bytes())
        added = f"To: {request['Reply-To']}\nIn-Reply-To: {request['Message-ID']}\n".encode()
        await post.gets(added + theirs)
        await post.hears("a header that may stand once stands twice in it")
        await post.gets((added + signed(theirs, headers=MICROSOFTS)).replace(f"To: {address('ben')}\n".encode(), b""))
        await post.hears("I read your reply as")
    assert kinds(await post.thread(), ApprovalDecided) == []
    assert post.desk.ran == []


async def test_words_are_verified_by_the_signature_alone(post: PostOffice) -> None:
    post.model.answers(done("Hello."))
    async with post.open():
        mail = post.letter("are you there?", aligned=False)
        mail.is_signed = True
        await post.gets(mail)
        await post.hears("Hello.")
    [message] = kinds(await post.thread(), MessageReceived)
    assert (message.sender.trust, message.origin["from"]) == ("verified", "aligned")


@pytest.mark.parametrize(
    "head",
    [
        f"Authentication-Results: mx.team.example; dmarc=fail header.from={DOMAIN}\n",
        "Received: from a.example by mx.team.example with ESMTPSA id 1\n"
        f"Authentication-Results: mx.team.example; dmarc=fail header.from={DOMAIN}\n",
    ],
)
async def test_a_signed_reply_that_our_server_contradicts_decides_nothing(post: PostOffice, head: str) -> None:
    async with post.open():
        _, request = await card(post)
        await post.gets(head.encode() + signed(post.letter("approve", answers=request, aligned=False).as_bytes()))
        await post.hears("because our mail server does not confirm the sender (dmarc=fail team.example)")
    assert (await post.thread()).pending
    assert post.desk.ran == []


async def test_a_reply_that_was_changed_on_its_way_decides_nothing(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        raw = signed(post.letter("approve", answers=request).as_bytes())
        await post.gets(raw.replace(b"\n\napprove", b"\n\nreject"))
        asked = await post.hears("because it was changed after team.example had signed it")
    assert decided_by_links(post, asked) == [False]
    thread = await post.thread()
    assert kinds(thread, ApprovalDecided) == []
    assert thread.pending
