"""A reply address that others know: from then on only links decide for the person who got it with the request."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import pytest

from store.events import ApprovalDecided
from store.replies import ReplyDecidedNothing
from tests.bot.desks.post_office import (
    BOT,
    PostOffice,
    Written,
    card,
    decided_by_links,
    eventually,
    kinds,
    new_post_office,
    text_of,
)
from tests.fakes.mail.dovecot import DOMAIN, address
from tests.telling.playbook import done

BEN = address("ben")
ONLY_LINKS = "Others know your reply address for this request"


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    async with new_post_office() as office:
        yield office


async def only_links_decide(post: PostOffice, request: EmailMessage) -> None:
    """Whoever writes in her name now, as her own server lets them: signed, and in her envelope."""
    told_before = len(post.mails_of("ana"))
    await post.writes("approve", answers=request)
    await eventually(lambda: len(post.mails_of("ana")) > told_before, "she is told")
    told = post.mails_of("ana")[-1]
    text = " ".join(text_of(told).split())
    assert "a reply cannot decide here any more" in text
    assert ONLY_LINKS in text
    assert "Or reply to the mail" not in text
    assert (told["To"], told["Cc"]) == (address("ana"), None)
    assert decided_by_links(post, told) == [True]
    thread = await post.thread()
    assert thread.pending
    assert kinds(thread, ApprovalDecided) == []
    assert post.desk.ran == []


@pytest.mark.parametrize(
    "shown",
    [
        {"Cc": BEN},
        {"Cc": f"Ben <{BEN.upper()}>"},
        {"Cc": "cleo@elsewhere.example"},
        {"Cc": "cleo@exämple.example"},
        {"Cc": f'Team: "b en"@{DOMAIN};'},
        {"Cc": f"{BOT}, {BEN}"},
        {"Resent_To": BEN},
        {"Bcc": BEN},
    ],
)
async def test_after_her_own_mail_to_others_too_only_links_decide(post: PostOffice, shown: dict[str, str]) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Which one?"))
        await post.writes("What does it change?", answers=request, **shown)
        told = await post.hears("Your reply decided nothing about this request")
        assert ONLY_LINKS in " ".join(text_of(told).split())
        assert "Or reply to the mail" not in text_of(told)
        await post.hears("Which one?")
        await only_links_decide(post, request)


async def test_the_reply_to_all_itself_decides_and_so_does_a_second_copy_of_it(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("It is out."))
        reply = post.letter("approve", answers=request, Cc=BEN)
        await post.gets(reply)
        await post.hears("It is out.")
        await post.gets(reply)
        post.model.answers(done("Hello."))
        await post.writes("hello", by="cleo", subject="Another", From="cleo@partner.example", aligned=False)
        await eventually(lambda: post.unread() == [False] * 4, "all are read")
    thread = (await post.threads())[0]
    assert [one.approved for one in kinds(thread, ApprovalDecided)] == [True]
    assert kinds(thread, ReplyDecidedNothing) == []
    assert post.desk.ran == ["push(target: prod)"]


async def test_the_reply_to_all_decides_when_it_is_read_again(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        reply = post.letter("approve", answers=request, Cc=BEN)
        post.dns_answers = False
        await post.gets(reply)
        told = await post.hears("because the DNS did not answer")
        assert "Or reply to the mail" not in text_of(told)
        post.dns_answers = True
        await post.writes("reject: no", answers=request)
        await post.hears("a reply cannot decide here any more")
        post.model.answers(done("It is out."))
        await post.gets(reply)
        await post.hears("It is out.")
    assert post.desk.ran == ["push(target: prod)"]


async def test_words_to_it_that_answered_something_else_do_not_decide_when_they_are_sent_again(
    post: PostOffice,
) -> None:
    async with post.open():
        asked, request = await card(post)
        mail = post.letter("approve", answers=request, Cc=BEN)
        mail.replace_header("In-Reply-To", str(asked["Message-ID"]))
        mail.replace_header("References", str(asked["Message-ID"]))
        await post.gets(mail)
        await post.hears("it does not answer the mail that shows the whole request")
        mail.replace_header("In-Reply-To", str(request["Message-ID"]))
        mail.replace_header("Message-ID", f"<again.ana@{DOMAIN}>")
        await post.gets(mail)
        await post.hears("a reply cannot decide here any more")
    thread = await post.thread()
    assert thread.pending
    assert kinds(thread, ApprovalDecided) == []


async def test_a_mail_with_the_id_of_the_reply_to_all_and_other_words_decides_nothing(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Which one?"))
        asked = await post.writes("What does it change?", answers=request, Cc=BEN)
        await post.hears("Which one?")
        await post.writes("approve", answers=request, Message_ID=str(asked["Message-ID"]))
        post.model.answers(done("Hello."))
        await post.writes("hello", answers=asked, To=BOT)
        await post.hears("Hello.")
    thread = await post.thread()
    assert thread.pending
    assert kinds(thread, ApprovalDecided) == []


async def test_her_mail_to_us_alone_tells_nobody_her_address(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Which one?"), done("It is out."))
        await post.writes("What does it change?", answers=request, Cc=f"{BOT}, Ana <{address('ana').upper()}>")
        told = await post.hears("Your reply decided nothing about this request")
        assert "Or reply to the mail" in text_of(told)
        await post.hears("Which one?")
        await post.writes("approve", answers=request, Cc="undisclosed-recipients:;")
        await post.hears("It is out.")
    assert [one.approved for one in kinds(await post.thread(), ApprovalDecided)] == [True]


@pytest.mark.parametrize(
    "who",
    [
        {"by": "ben"},
        {"From": "Mallory <mallory@elsewhere.example>", "aligned": False},
        {"by": "ben", "aligned": False, "Precedence": "list", "Cc": "all@elsewhere.example"},
    ],
)
async def test_after_a_mail_to_it_from_somebody_else_only_links_decide(post: PostOffice, who: dict[str, Any]) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Hello."))
        await post.gets(post.letter("I saw this.", To=str(request["Reply-To"]), **who))
        await only_links_decide(post, request)


async def test_after_a_mail_that_somebody_else_sent_in_her_name_only_links_decide(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        await post.gets(post.letter("approve", answers=request), BEN)
        await post.hears("could not verify")
        await only_links_decide(post, request)


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
async def test_a_mail_whose_text_quotes_the_address_shows_that_its_author_knows_it(
    post: PostOffice, encoding: str
) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Hello."))
        mail = Written()
        mail.is_signed = True
        mail["From"], mail["To"], mail["Message-ID"] = BEN, BOT, f"<quotes.ben@{DOMAIN}>"
        mail["In-Reply-To"] = request["Message-ID"]
        text = f"I saw this.\n\n-------- Forwarded Message --------\nSubject: A\nReply-To: {request['Reply-To']}\n"
        mail.set_content("x")
        mail.replace_header("Content-Transfer-Encoding", encoding)
        broken = text.replace(str(request["Reply-To"])[-40:], f"=\n{str(request['Reply-To'])[-40:]}")
        mail.set_payload(
            {"7bit": text, "quoted-printable": broken, "base64": base64.encodebytes(text.encode()).decode()}[encoding]
        )
        await post.gets(mail)
        await post.hears("Hello.", "ben")
        await only_links_decide(post, request)


async def test_a_robots_answer_to_it_and_a_guess_of_it_do_not_keep_her_from_deciding(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        reply_to = str(request["Reply-To"])
        away = {"From": f"help@{DOMAIN}", "Auto_Submitted": "auto-replied"}
        await post.writes("We have your mail.", To=reply_to, aligned=False, **away)
        tag = reply_to.partition("@")[0].rpartition(".")[2]
        guessed = reply_to.replace(tag, tag[1:] + tag[:1])
        post.model.answers(done("Hello."), done("It is out."))
        await post.writes("I guess.", by="ben", To=guessed)
        await post.hears("Hello.", "ben")
        await post.writes("approve", answers=request)
        await post.hears("It is out.", "ben")
    assert [one.by.address for one in kinds(await post.thread(), ApprovalDecided)] == [address("ana")]


async def test_what_is_known_of_one_persons_address_counts_for_no_other(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post, Cc=BEN)
        his = await post.hears("May decide", "ben")
        post.model.answers(done("Which one?"), done("It is out."))
        await post.writes("What does it change?", answers=request, Cc="cleo@elsewhere.example")
        await post.hears("Which one?")
        await post.writes("approve", by="ben", answers=his)
        await post.hears("It is out.")
    assert [one.by.address for one in kinds(await post.thread(), ApprovalDecided)] == [BEN]


async def test_it_holds_after_a_restart_and_for_a_key_that_was_replaced(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        post.model.answers(done("Which one?"))
        await post.writes("What does it change?", answers=request, Cc=BEN)
        await post.hears("Which one?")
    post.secrets.insert(0, "a newer secret for tests")
    async with post.open():
        await only_links_decide(post, request)


async def test_a_card_of_the_key_before_is_known_too(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
    post.secrets.insert(0, "a newer secret for tests")
    async with post.open():
        post.model.answers(done("Which one?"))
        await post.writes("What does it change?", answers=request, Cc=BEN)
        await post.hears("Which one?")
        await only_links_decide(post, request)


async def test_links_still_decide_for_her(post: PostOffice) -> None:
    async with post.open():
        _, request = await card(post)
        await post.writes("LGTM", answers=request, Cc=BEN)
        told = await post.hears("I read your reply as")
        assert ONLY_LINKS in " ".join(text_of(told).split())
        assert decided_by_links(post, told) == [True]


async def test_without_links_she_is_told_another_way(post: PostOffice) -> None:
    post.public_url = ""
    async with post.open():
        _, request = await card(post)
        await post.writes("LGTM", answers=request, Cc=BEN)
        told = await post.hears("I read your reply as")
    assert f"run `bot approve {(await post.thread()).id}`" in text_of(told)
