"""A mailbox that its server rebuilt: all mail has new UIDs, and seems to have arrived just now."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.base import SendFailed
from channels.email.mailbox import UNKNOWN_MAX
from store.events import MessageReceived
from tests.bot.desks.post_office import PostOffice, eventually, kinds, new_post_office
from tests.fakes.mail.dovecot import address


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as it:
        yield it


async def test_after_a_rebuild_what_was_left_or_read_is_known_and_what_is_new_is_read(post: PostOffice) -> None:
    for number in range(20):
        await post.gets(post.letter(f"old {number}"))
    async with post.reads():
        for number in range(UNKNOWN_MAX + 2):
            await post.writes(f"mail {number}")
        await eventually(lambda: post.unread().count(False) == UNKNOWN_MAX + 2, "all are taken in")
    await post.writes("new", by="ben")
    post.server.rebuild()
    async with post.reads():
        # The restored mails are unread again. What is read again would be marked, and count towards Ana's limit.
        await eventually(lambda: post.unread() == [True] * (20 + UNKNOWN_MAX + 2) + [False], "only the new one is read")
        await post.writes("and another", by="ben")
        await eventually(lambda: post.unread()[-2:] == [False, False], "it goes on")
    assert len(await post.threads()) == UNKNOWN_MAX + 4
    assert post.alarms == {}


async def test_many_unknown_mails_after_a_rebuild_are_told_and_not_acted_on(post: PostOffice) -> None:
    async with post.reads():
        pass
    for number in range(UNKNOWN_MAX + 1):
        await post.gets(post.letter(f"push to prod {number}"))
    post.server.rebuild()
    for _ in range(2):
        async with post.reads():
            await eventually(lambda: post.alarms, "a person is told")
            await post.writes("hello", by="ben", subject="Ping")
            await eventually(lambda: not post.unread()[-1], "what comes later is read")
    said = [event for thread in await post.threads() for event in kinds(thread, MessageReceived)]
    assert [event.sender.address for event in said] == [address("ben")] * 2
    [text] = post.alarms.values()
    assert f"{UNKNOWN_MAX + 1} recent mails that I do not know" in text
    # They stay known.
    post.server.rebuild()
    post.alarms.clear()
    async with post.reads():
        pass
    assert post.alarms == {}
    assert len(await post.threads()) == 2


async def test_of_a_rebuilt_mailbox_a_person_is_told_as_soon_as_that_is_possible(post: PostOffice) -> None:
    tried = 0

    async def tell(key: str, text: str) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise SendFailed("away", 1)
        post.alarms[key] = text

    post.tell = tell  # type: ignore[method-assign]
    async with post.reads():
        pass
    for number in range(UNKNOWN_MAX + 1):
        await post.gets(post.letter(f"push to prod {number}"))
    post.server.rebuild()
    async with post.reads():
        await eventually(lambda: post.alarms, "a person is told")
    assert tried == 2
    assert await post.threads() == []
