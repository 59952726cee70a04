"""Several mails that answer a mail which never came to the bot: they are one conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.email import answered
from channels.email.answered import BUCKET_MAX, DAYS, DAYS_MAX, AnsweredMail
from store.events import MessageReceived
from store.memory import MemoryStore
from store.thread import Thread
from tests.bot.desks.post_office import BOT, PostOffice, kinds, new_post_office
from tests.fakes.clock import Clock
from tests.fakes.mail.dovecot import DOMAIN, address
from tests.telling.playbook import done

UNSEEN = f"<plan.ana@{DOMAIN}>"
ANSWERS: dict[str, Any] = {"In_Reply_To": UNSEEN, "References": UNSEEN, "To": address("ana"), "Cc": BOT}


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as it:
        yield it


def texts(thread: Thread) -> list[str]:
    return [event.text.strip() for event in kinds(thread, MessageReceived)]


async def heard(post: PostOffice, text: str, by: str, **headers: Any) -> None:
    """This mail is read and answered before the next one comes."""
    post.model.answers(done(f"I read: {text}"))
    await post.writes(text, by=by, **headers)
    await post.hears(f"I read: {text}", by)


async def test_two_answers_to_a_mail_that_never_came_are_one_thread_and_that_mail_belongs_there_too(
    post: PostOffice,
) -> None:
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        await heard(post, "Why not?", "ana", **{**ANSWERS, "To": address("ben")})
        await heard(post, "This is the plan.", "ana", Message_ID=UNSEEN, To=address("ben"), Cc=BOT)
        await heard(post, "And now?", "ben", **ANSWERS)
    assert texts(await post.thread()) == ["I agree.", "Why not?", "This is the plan.", "And now?"]


async def test_answers_further_down_the_conversation_join_too(post: PostOffice) -> None:
    later = f"<later.ana@{DOMAIN}>"
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        further = {**ANSWERS, "In_Reply_To": later, "References": f"{UNSEEN} {later}"}
        await heard(post, "So do I.", "ana", **further)
    assert texts(await post.thread()) == ["I agree.", "So do I."]


async def test_other_conversations_stay_apart(post: PostOffice) -> None:
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        other = f"<other.ana@{DOMAIN}>"
        await heard(post, "And this?", "ana", **{**ANSWERS, "In_Reply_To": other, "References": other})
    assert len(await post.threads()) == 2


async def test_who_is_not_verified_does_not_join_and_a_stranger_is_not_even_read(post: PostOffice) -> None:
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        await post.gets(post.letter("Me too.", From="Eve <eve@evil.example>", aligned=False, **ANSWERS))
        post.model.answers(done("I cannot tell who you are."))
        await post.gets(post.letter("Me too.", aligned=False, **ANSWERS))
        await post.hears("I cannot tell who you are.")
        await heard(post, "Last.", "ben", **ANSWERS)
        threads = await post.threads()
    assert sorted(map(texts, threads)) == [["I agree.", "Last."], ["Me too."]]


async def test_a_mail_that_nobody_vouches_for_diverts_no_conversation(post: PostOffice) -> None:
    """It bears the id of the mail that is answered, or knows it."""
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        post.model.answers(done("I cannot tell who you are."))
        await post.gets(post.letter("Deploy it here.", by="ana", aligned=False, Message_ID=UNSEEN))
        await post.hears("I cannot tell who you are.")
        await heard(post, "And now?", "ben", **ANSWERS)
        threads = await post.threads()
    assert sorted(map(texts, threads)) == [["Deploy it here."], ["I agree.", "And now?"]]


async def test_an_answer_to_an_answer_joins_although_it_names_nothing_else(post: PostOffice) -> None:
    second, third = f"<second.ben@{DOMAIN}>", f"<third.ana@{DOMAIN}>"
    async with post.open():
        await heard(post, "I agree.", "ben", **ANSWERS)
        await heard(post, "Why not?", "ana", **{**ANSWERS, "References": f"{UNSEEN} {second}"}, Message_ID=third)
        await heard(post, "Because.", "ben", In_Reply_To=third, Cc=BOT)
        await heard(post, "I see.", "ana", In_Reply_To=second, Cc=BOT)
    assert texts(await post.thread()) == ["I agree.", "Why not?", "Because.", "I see."]


async def test_a_claim_that_meets_an_older_one_leaves_nothing_that_points_elsewhere() -> None:
    known = AnsweredMail(MemoryStore())
    assert await known.claim(["<next@x>"], "<b@x>") == "<b@x>"
    assert await known.claim(["<root@x>", "<next@x>", "<last@x>"], "<a@x>") == "<b@x>"
    assert {await known.address_of([one]) for one in ("<root@x>", "<next@x>", "<last@x>")} == {"<b@x>"}


async def test_a_crash_between_the_note_and_the_mail_loses_and_doubles_nothing(post: PostOffice) -> None:
    """The first answer said where it will be, and was not appended."""
    first = post.letter("I agree.", by="ben", **ANSWERS)
    await AnsweredMail(post.store).claim([UNSEEN], str(first["Message-ID"]))
    async with post.open():
        await heard(post, "Why?", "ana", **ANSWERS)
        post.model.answers(done("I read it."))
        await post.gets(first)
        await post.hears("I read it.", "ben")
        await post.gets(first)
        await heard(post, "Because.", "ben", **ANSWERS)
    assert texts(await post.thread()) == ["Why?", "I agree.", "Because."]


async def test_of_two_claims_at_the_same_moment_one_wins_for_both() -> None:
    store = MemoryStore()
    claims = [AnsweredMail(store).claim(["<root@x>", "<next@x>"], f"<{n}@x>") for n in range(5)]
    won = set(await asyncio.gather(*claims))
    assert len(won) == 1
    assert await AnsweredMail(store).address_of(["<unknown@x>", "<next@x>"]) in won


async def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answered, "BUCKET_DIGITS", 0)
    known = AnsweredMail(MemoryStore())
    for number in range(BUCKET_MAX + 1):
        await known.claim([f"<{number}@x>"], "<a@x>")
    assert [await known.address_of([f"<{number}@x>"]) for number in (0, 1, BUCKET_MAX)] == ["", "<a@x>", "<a@x>"]


async def test_a_mail_is_forgotten_a_year_after_its_last_answer_and_not_in_a_slow_conversation() -> None:
    clock = Clock()
    known = AnsweredMail(MemoryStore(), clock)
    await known.claim(["<slow@x>"], "<a@x>")
    await known.claim(["<once@x>"], "<b@x>")
    for _ in range(3):
        clock.advance(DAYS_MAX * 86_400)
        assert await known.claim(["<slow@x>"], "<other@x>") == "<a@x>"
    assert await known.address_of(["<once@x>"]) == ""
    assert await known.claim(["<once@x>"], "<c@x>") == "<c@x>"


async def test_a_note_of_an_older_version_counts_as_new() -> None:
    store, clock = MemoryStore(), Clock()
    await AnsweredMail(store, clock).claim(["<old@x>"], "<a@x>")
    [name] = [name for name in (f"email/answered/{n:02x}" for n in range(256)) if await store.get_note(name)]
    text = await store.get_note(name)
    older = {key: value for key, value in json.loads(text).items() if key != DAYS}
    await store.set_note(name, json.dumps(older), expected=text)
    clock.advance(2 * DAYS_MAX * 86_400)
    assert await AnsweredMail(store, clock).claim(["<old@x>"], "<b@x>") == "<a@x>"
