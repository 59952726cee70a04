"""Without a proof that our mail server removes forged verdicts, replies decide nothing: only links do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from bot.desks.mail_proof import ProofRenewal
from channels.email.imap import connected
from store.events import ApprovalDecided, MessageReceived
from store.replies import ReplyDecidedNothing
from tests.bot.desks.post_office import (
    BOT,
    PostOffice,
    card,
    decided_by_links,
    eventually,
    kinds,
    new_post_office,
    text_of,
)
from tests.fakes.mail.dovecot import address
from tests.telling.playbook import done


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as office:
        office.is_proven = False
        yield office


@pytest.mark.parametrize(("words", "approves"), [("approve", True), ("reject: not today", False)])
async def test_without_a_proof_a_plain_reply_is_answered_with_a_link(
    post: PostOffice, words: str, approves: bool
) -> None:
    async with post.open():
        _, request = await card(post)
        with structlog.testing.capture_logs() as lines:
            await post.writes(words, answers=request)
            told = await post.hears("our mail server is not proven")
        assert "Or reply" not in text_of(told)
        assert decided_by_links(post, told) == [approves]
        thread = await post.thread()
        assert kinds(thread, ApprovalDecided) == []
        assert [reply.why for reply in kinds(thread, ReplyDecidedNothing)] == ["no_proof"]
        assert thread.pending
    [line] = [line for line in lines if line["event"] == "reply_not_proven"]
    assert "was not tested yet" in line["text"]
    assert "bot doctor" in line["text"]


async def test_the_same_reply_decides_once_the_server_has_passed_the_test(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        await post.writes("approve", answers=request)
        await post.hears("our mail server is not proven")
        assert (await post.self_test().run()).verdict == "passed"
        post.model.answers(done("It is out."))
        await post.writes("approve", answers=request)
        await post.hears("It is out.")
    assert post.desk.ran == ["push(target: prod)"]


@pytest.mark.parametrize(("is_proven", "is_signed"), [(False, False), (True, False), (False, True)])
async def test_the_word_of_a_server_that_is_not_proven_verifies_nobody(
    post: PostOffice, is_proven: bool, is_signed: bool
) -> None:
    post.is_proven = is_proven
    post.model.answers(done("Good morning."))
    async with post.open():
        mail = post.letter("hello")
        mail.is_signed = is_signed
        await post.gets(mail)
        await post.hears("Good morning.")
    [received] = kinds(await post.thread(), MessageReceived)
    is_verified = is_proven or is_signed
    assert received.sender.trust == ("verified" if is_verified else "unverified")
    assert received.origin["from"] == ("aligned" if is_verified else "unknown")


async def test_a_server_that_leaves_the_forged_verdict_is_not_proven(post: PostOffice) -> None:
    post.server.removes_forged = False
    async with post.open():
        _, request = await card(post)
        result = await post.self_test().run()
        assert result.verdict == "believed"
        assert "Authentication-Results" in result.trouble
        await post.writes("approve", answers=request)
        await post.hears("our mail server is not proven")
    assert (await post.thread()).pending
    assert "did not pass" in await post.proof.why_missing(result.validity)


async def test_a_forged_verdict_that_comes_back_ends_a_proof_that_was_there(post: PostOffice) -> None:
    first = await post.self_test().run()
    assert await post.proof.why_missing(first.validity) == ""
    post.server.removes_forged = False
    await post.self_test().run()
    assert await post.proof.why_missing(first.validity)


async def test_a_test_mail_is_gone_afterwards_and_nobody_answers_it(post: PostOffice) -> None:
    async with post.open():
        for _ in range(3):
            assert (await post.self_test().run()).verdict == "passed"
        await eventually(lambda: post.server.mailbox("deploybot") == [], "the test mails are gone")
        post.model.answers(done("Good morning."))
        await post.writes("hello")
        await post.hears("Good morning.")
    assert len(await post.threads()) == 1
    assert len(post.mails_of("ana")) == 1


async def test_a_test_mail_that_stays_opens_no_thread_and_counts_against_nobody(post: PostOffice) -> None:
    post.allowed = BOT
    async with post.open():
        with structlog.testing.capture_logs() as lines:
            mail = post.letter("a test", From=BOT, Message_ID=post.writer.signer.test_id("a" * 16))
            await post.gets(mail)
            await eventually(lambda: post.unread() == [False], "it is read")
    assert await post.threads() == []
    assert [line["event"] for line in lines if line["event"].startswith(("identity", "mail_"))] == [
        "identity_test_received"
    ]


async def test_what_only_looks_like_a_test_mail_is_any_mail(post: PostOffice) -> None:
    real = post.writer.signer.test_id("a" * 16)
    async with post.open():
        for forged in (real.replace("a" * 16, "b" * 16), real.replace("@team.example", "@elsewhere.example")):
            post.model.answers(done("Good morning."))
            await post.writes("hello", Message_ID=forged)
        await post.hears("Good morning.", count=2)
    assert len(await post.threads()) == 2


async def test_a_test_mail_that_does_not_come_back_proves_nothing(post: PostOffice) -> None:
    post.server.refuse(BOT, "450 4.2.0 busy")
    refused = await post.self_test().run()
    assert (refused.verdict, "could not be sent" in refused.trouble) == ("not_made", True)
    post.server.accept(BOT)
    lost = await post.self_test(arrival_seconds=0.0).run()
    assert (lost.verdict, "was sent, and was not in the folder INBOX" in lost.trouble) == ("not_made", True)
    assert "did not pass" in await post.proof.why_missing(lost.validity)


async def test_where_no_test_is_possible_an_earlier_proof_holds(post: PostOffice) -> None:
    first = await post.self_test().run()
    post.server.refuse(BOT, "450 4.2.0 busy")
    assert (await post.self_test().run()).verdict == "not_made"
    assert await post.proof.why_missing(first.validity) == ""


async def test_several_programs_make_one_test(post: PostOffice) -> None:
    async with connected(post.imap) as connection:
        validity = (await connection.select()).validity
    mailboxes = [post.mailbox() for _ in range(3)]
    for mailbox in mailboxes:
        mailbox.validity = validity
    await asyncio.gather(*(ProofRenewal(post.self_test(), mailbox).turn() for mailbox in mailboxes))
    assert post.server.asked.count(BOT) == 1
    assert await post.proof.why_missing(validity) == ""


async def test_a_mailbox_that_has_moved_is_tested_again(post: PostOffice) -> None:
    async with post.reads():
        first = await post.self_test().run()
    assert await post.proof.seconds_until_due(first.validity) > 6 * 24 * 3600
    moved = first.validity + 1
    assert await post.proof.seconds_until_due(moved) == 0
    assert "was not tested yet" in await post.proof.why_missing(moved)


async def test_other_names_of_the_server_are_tested_again(post: PostOffice) -> None:
    first = await post.self_test().run()
    post.authserv_id = f"mx.team.example, {address('x').partition('@')[2]}"
    assert await post.proof.seconds_until_due(first.validity) == 0
    assert await post.proof.why_missing(first.validity)
