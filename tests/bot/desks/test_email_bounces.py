"""Reports of several recipients: people are told of each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from store.deliveries import DeliveryFailed
from tests.bot.desks.post_office import PostOffice, eventually, kinds, new_post_office
from tests.channels.email.test_robots import block, report
from tests.fakes.mail.dovecot import address
from tests.telling.playbook import done


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as it:
        yield it


async def test_each_recipient_of_a_report_is_recorded_once(post: PostOffice) -> None:
    post.model.answers(done("Hello."))
    async with post.open():
        await post.writes("hello", Cc=address("ben"))
        answer = await post.hears("Hello.", "ben")
        await post.until("done")
        who = (block(address("ben")), block(address("ana"), status="5.2.2"), block("eve@elsewhere.example"))
        raw = report(*who).replace(b"<t1.k.s@team.example>", answer["Message-ID"].encode())
        for _ in range(2):
            await post.gets(raw, "")
        await eventually(lambda: post.unread()[:3] == [False] * 3, "both reports are read")
        failed = kinds(await post.thread(), DeliveryFailed)
    assert sorted((one.recipient, one.error) for one in failed) == [
        (address("ana"), "not delivered: 5.2.2"),
        (address("ben"), "not delivered: 5.1.1"),
    ]
