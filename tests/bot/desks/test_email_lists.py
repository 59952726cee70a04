"""Team addresses that are groups or lists: what they distribute is read, and answered where people expect it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import pytest

from store.events import ApprovalDecided, MessageReceived
from store.memory import MemoryStore
from tests.bot.desks.post_office import BOT, PROD, PostOffice, decided_by_links, kinds, text_of
from tests.fakes.mail.dovecot import DOMAIN, USERS, address
from tests.fakes.mail.light import Light
from tests.telling.playbook import done

ONCALL = address("oncall")
BOUNCES = address("oncall-bounces")
MAILMAN: dict[str, Any] = {
    "To": ONCALL,
    "Precedence": "list",
    "List_Id": f"On call <oncall.{DOMAIN}>",
    "List_Post": f"<mailto:{ONCALL}>",
    "List_Unsubscribe": f"<mailto:oncall-leave@{DOMAIN}>",
    "X_BeenThere": ONCALL,
    "Reply_To": ONCALL,
    "Sender": f'"oncall" <{BOUNCES}>',
}
GOOGLE: dict[str, Any] = {
    "To": ONCALL,
    "From": f"'Ana' via On call <{ONCALL}>",
    "Reply_To": f"Ana <{address('ana')}>",
    "X_Original_From": f"Ana <{address('ana')}>",
    "Precedence": "list",
    "Mailing_list": f"list {ONCALL}; contact oncall+owners@{DOMAIN}",
    "List_ID": f"<oncall.{DOMAIN}>",
}


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    with Light(users=(*USERS, "oncall")) as server:
        it = PostOffice(server, MemoryStore())
        it.team_addresses = ONCALL
        yield it


async def distributed(post: PostOffice, text: str, **headers: Any) -> EmailMessage:
    """The list delivers what ana wrote to it: signatures do not hold, and the envelope is the list's."""
    message = post.letter(text, aligned=False, **headers)
    await post.gets(message, sender=BOUNCES)
    return message


@pytest.mark.parametrize("headers", [MAILMAN, GOOGLE, {"To": ONCALL}, {"To": ONCALL, "Precedence": "list"}])
async def test_mail_to_a_list_of_the_team_is_answered_to_its_author_and_to_the_list(
    post: PostOffice, headers: dict[str, Any]
) -> None:
    post.model.answers(done("v1 runs there."))
    async with post.open():
        await distributed(post, "What runs on prod?", **headers)
        answer = await post.hears("v1 runs there.")
        assert (answer["To"], answer["Cc"]) == (address("ana"), ONCALL)
        assert await post.hears("v1 runs there.", "oncall")
        [said] = kinds(await post.until("done"), MessageReceived)
    assert (said.sender.address, said.sender.trust) == (address("ana"), "unverified")


async def test_without_the_setting_it_is_a_robots(post: PostOffice) -> None:
    post.team_addresses = ""
    async with post.open():
        await distributed(post, "What runs on prod?", **MAILMAN)
        post.model.answers(done("Hello."))
        await post.writes("Hello?", by="ben")
        await post.hears("Hello.", "ben")
        assert post.unread() == [True, False]
    assert post.mails_of("ana") == []


@pytest.mark.parametrize(
    "headers",
    [
        {
            **MAILMAN,
            "List_Id": "<news.other.example>",
            "List_Post": "<mailto:news@other.example>",
            "X_BeenThere": "x@y",
        },
        {"To": ONCALL, "List_Unsubscribe": "<https://news.example/leave>"},
        {**MAILMAN, "Auto_Submitted": "auto-replied"},
        {**MAILMAN, "Auto_Submitted": "auto-generated"},
        {**MAILMAN, "X_Autoreply": "yes"},
        {**MAILMAN, "X_List_Administrivia": "yes"},
        {**MAILMAN, "From": f"oncall-request@{DOMAIN}"},
        {**MAILMAN, "From": f"oncall-bounces+ana@{DOMAIN}"},
        {"To": ONCALL, "Precedence": "bulk"},
        {**GOOGLE, "Reply_To": "eve@evil.example", "X_Original_From": "eve@evil.example"},
    ],
)
async def test_other_lists_robots_and_strangers_are_not_answered_through_it(
    post: PostOffice, headers: dict[str, Any]
) -> None:
    async with post.open():
        await distributed(post, "Hello", **headers)
        post.model.answers(done("Hello Ben."))
        await post.writes("Hello?", by="ben")
        await post.hears("Hello Ben.", "ben")
        assert post.unread() == [True, False]
    assert len(await post.threads()) == 1


@pytest.mark.parametrize("as_list", [False, True])
async def test_our_own_mail_that_comes_back_through_the_list_is_dropped_by_its_id(
    post: PostOffice, *, as_list: bool
) -> None:
    post.model.answers(done("v1 runs there."))
    async with post.open():
        await distributed(post, "What runs on prod?", **MAILMAN)
        answer = await post.hears("v1 runs there.", "oncall")
        del answer["Auto-Submitted"]
        if as_list:
            answer.replace_header("From", f"deploybot via On call <{ONCALL}>")
        for name, value in MAILMAN.items():
            if name.startswith("List") or name == "Precedence":
                answer[name.replace("_", "-")] = value
        await post.gets(answer, sender=BOUNCES)
        post.model.answers(done("Hello Ben."))
        await post.writes("Hello?", by="ben")
        await post.hears("Hello Ben.", "ben")
        assert post.unread() == [False, True, False]
    assert len(post.model.prompts) == 2


async def test_what_decides_goes_to_people_and_never_to_the_list(post: PostOffice) -> None:
    post.model.answers(PROD)
    async with post.open():
        await distributed(post, "push to prod", **MAILMAN)
        card = await post.hears("May decide")
        to_all = await post.hears("May decide", "oncall")
        assert decided_by_links(post, card) == [True, False]
        assert decided_by_links(post, to_all) == []
        assert "/decide/" not in to_all.as_string()
        assert "reply to this mail with" not in text_of(to_all)
        await post.writes("approve", by="ben", answers=to_all)
        told = await post.until("waiting_for_approval")
    assert kinds(told, ApprovalDecided) == []
    assert told.pending


@pytest.mark.parametrize("headers", [{}, {"Reply_To": address("ana")}])
async def test_an_approval_in_the_lists_name_is_no_proof_although_its_server_signs(
    post: PostOffice, headers: dict[str, Any]
) -> None:
    post.model.answers(PROD)
    async with post.open():
        await post.writes("push to prod")
        card = await post.hears("May decide")
        reply = post.letter("approve", answers=card, From=f"Ana via On call <{ONCALL}>", **headers)
        await post.gets(reply, sender=ONCALL)
        post.model.answers(done("Hello Ben."), done("Hello Ben."))
        await post.writes("Hello?", by="ben", subject="Another")
        await post.hears("Hello Ben.", "ben")
        thread = (await post.threads())[0]
    assert kinds(thread, ApprovalDecided) == []
    assert thread.pending


async def test_mail_that_came_both_ways_is_one_message(post: PostOffice) -> None:
    post.model.answers(done("v1 runs there."))
    async with post.open():
        both = post.letter("What runs on prod?", To=f"{ONCALL}, {BOT}")
        through = post.letter("What runs on prod?", aligned=False, **MAILMAN, Message_ID=str(both["Message-ID"]))
        await post.gets(both)
        await post.hears("v1 runs there.")
        await post.gets(through, sender=BOUNCES)
        post.model.answers(done("Hello Ben."))
        await post.writes("Hello?", by="ben", subject="Another")
        await post.hears("Hello Ben.", "ben")
        assert len(kinds((await post.threads())[0], MessageReceived)) == 1
