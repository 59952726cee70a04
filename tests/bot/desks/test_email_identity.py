"""Whose reply decides: a verified sender's, at the reply address that only that person got with the request."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.email.identity.tokens import CARD_TAG
from store.events import ApprovalDecided
from tests.bot.desks.post_office import BOT, PostOffice, card, decided_by_links, kinds, new_post_office
from tests.fakes.mail.dovecot import address


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
        his = await post.hears("Approval needed", "ben")
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
