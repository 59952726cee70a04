"""Replies that are no certain decision: code answers them at once, with a link, and the model is not asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from store.events import ApprovalDecided, MessageReceived
from tests.bot.desks.post_office import PostOffice, card, decided_by_links, kinds, new_post_office, text_of
from tests.fakes.mail.dovecot import address
from tests.telling.playbook import done


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as it:
        yield it


@pytest.mark.parametrize(
    "words",
    ["approve, but only staging", "approve?", "approve\nreject", "rejected?", "What does it change?"],
)
async def test_words_that_might_mean_something_else_are_a_message(post: PostOffice, words: str) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("What do you mean?"))
        await post.writes(words, answers=request)
        await post.hears("What do you mean?")
        told = await post.hears("Your reply decided nothing about this request")
    assert decided_by_links(post, told) == [True, False]
    thread = await post.thread()
    assert kinds(thread, ApprovalDecided) == []
    assert thread.pending


@pytest.mark.parametrize(
    ("words", "approves"),
    [("yes", True), ("sure", True), ("LGTM", True), ("Approved, thanks!", True), ("I do not approve", False)],
)
async def test_a_near_decision_is_answered_by_code_with_a_link_and_never_by_the_model(
    post: PostOffice, words: str, approves: bool
) -> None:
    async with post.open():
        _, request = await card(post)
        asked = len(post.model.prompts)
        replied = await post.writes(words, answers=request)
        told = await post.hears("I read your reply as")
        assert (told["To"], told["Cc"], told["In-Reply-To"]) == (address("ana"), None, replied["Message-ID"])
        assert (told["Subject"], f'You wrote: "{words}"' in " ".join(text_of(told).split())) == ("Re: Release", True)
        assert decided_by_links(post, told) == [approves]
        thread = await post.thread()
        assert (kinds(thread, ApprovalDecided), len(kinds(thread, MessageReceived))) == ([], 1)
        assert thread.pending
        assert len(post.model.prompts) == asked
        post.model.answers(done("It is out."))
        await post.writes("approve", answers=request)
        await post.hears("It is out.")
    assert not any(words in prompt for prompt in post.model.prompts)


async def test_a_near_decision_about_what_is_over_is_answered_with_how_it_ended(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("It is out."))
        await post.writes("approve", answers=request)
        await post.hears("It is out.")
        await post.writes("LGTM", answers=request)
        told = await post.hears("Your reply changed nothing")
    assert "Already approved by ana@" in text_of(told)
    assert len(post.mails_of("ana")) == 4


async def test_whoever_was_shown_no_request_is_not_asked_to_confirm_it(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Hello Ben."))
        await post.writes("LGTM", by="ben", answers=request)
        await post.hears("Hello Ben.", "ben")
    assert not any("/decide/" in text_of(mail) for mail in post.mails_of("ben"))
