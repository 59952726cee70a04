"""The pages behind a mail's links, over HTTP: a look decides nothing, a form decides once, nothing in it is alive."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, ClassVar

import aiohttp
import pytest

from agent.authority import ApprovalRule, Authority, CallToApprove
from agent.steps import Call, Facts, RequestHumanInput, as_question
from bot.team.people import Member, People
from bot.web.page.decide import FORM_BYTES_MAX, Decisions
from bot.web.server import application, serving
from channels.email.identity.tokens import Link, Signer
from channels.email.letters import LINK_SECONDS
from store.authority.terms import Terms
from store.base import StoreUnavailable
from store.events import ApprovalDecided, Event, MessageReceived, StepChosen, ToolStarted
from store.memory import MemoryStore
from store.standing import StandingGranted
from store.text import visible
from store.thread import Thread
from store.values import Person
from tests.telling.playbook import Push, World, done
from tests.telling.story import ANN, BOB

SIGNER = Signer("a secret for tests", "deploybot@team.example")
ANA, BEN = "ana@team.example", "ben@team.example"
SECURITY = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


class _Store(MemoryStore):
    away = False

    async def load(self, thread_id: str) -> Thread:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().load(thread_id)


class _FailsAtAppend(_Store):
    async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().append(thread, *events, **how)

    async def load(self, thread_id: str) -> Thread:
        return await MemoryStore.load(self, thread_id)


_TAGS = re.compile(
    "html|head|meta|title|style|body|div|blockquote|h[12]|p|b|small|table|tr|t[hd]|br|a|form|label|textarea|button"
)
_ATTRIBUTES = re.compile("class|lang|charset|name|content|style|rel|value|method|rows|maxlength|href")


class Shown(HTMLParser):
    """What is seen of a page; fails at whatever a page of ours never has."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()
        assert visible(self.words) == self.words

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert _TAGS.fullmatch(tag), tag
        assert all(_ATTRIBUTES.fullmatch(name) for name, _ in attributes), attributes
        assert all((value or "").startswith(("http://", "https://")) for name, value in attributes if name == "href")
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def decides(self) -> bool:
        return "form" in self.seen


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        # Whatever happened, the page keeps to the rules.
        assert {name: headers.get(name) for name in SECURITY} == SECURITY
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["frame-ancestors"], policy["form-action"]) == (
            "'none'",
            "'none'",
            "'self'",
        )
        assert "script-src" not in policy
        assert headers["Content-Type"] == "text/html; charset=utf-8"

    @property
    def page(self) -> Shown:
        return Shown(self.body)

    @property
    def words(self) -> str:
        return self.page.words


class Browser:
    """Opens links of a world's thread, as the people who got them do."""

    def __init__(self, world: World, url: str, session: aiohttp.ClientSession) -> None:
        self.world = world
        self._url = url
        self._session = session

    def link(self, *, approved: bool = True, person: str = ANA, **more: Any) -> str:
        step = self.world.thread.pending
        until = int(self.world.clock().timestamp()) + LINK_SECONDS
        digest = step.digest if step else ""
        link = Link(self.world.thread.id, step.step if step else "s1", digest, person, until, approved)
        return SIGNER.seal(replace(link, **more))

    def choice(self, number: int, person: str = ANA) -> str:
        return self.link(approved=False, person=person, step=self.world.thread.state.question, digest="", number=number)

    async def ask(self, method: str, sealed: str, **more: Any) -> Answer:
        async with self._session.request(method, f"{self._url}/decide/{sealed}", **more) as it:
            return Answer(it.status, it.headers, await it.text())

    async def look(self, sealed: str) -> Answer:
        return await self.ask("GET", sealed)

    async def press(self, sealed: str, comment: str = "") -> Answer:
        answer = await self.ask("POST", sealed, data={"comment": comment})
        self.world.thread = await self.world.store.load(self.world.thread.id)
        return answer

    async def log(self) -> tuple[Event, ...]:
        return (await self.world.store.real.load(self.world.thread.id)).events


GONE = "gone@team.example"
"""Has left the team."""
PEOPLE = People(
    {
        "ana": Member(name="Ana", emails=(ANA, "ana@home.example"), groups=("release",)),
        "ben": Member(name="Ben", emails=(BEN,), groups=("release",)),
        "dan": Member(name="Dan", emails=("dan@team.example",)),
    }
)


class Two(Authority):
    """Two of the release group, within an hour."""

    def __init__(self, **terms: Any) -> None:
        self._terms = {"group": "release", "quorum": 2, **terms}

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return PEOPLE.groups_of(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        more = {"requesters": call.requesters, "expires_at": call.at + timedelta(hours=1)}
        return ApprovalRule(Terms(**more, **self._terms))

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        return None


async def governed(**terms: Any) -> World:
    """A request that two of the release group have to approve."""
    return await requested(World(people=PEOPLE, authority=Two(**terms)))


@contextlib.asynccontextmanager
async def browsing(world: World) -> AsyncIterator[Browser]:
    store = world.store.real
    pages = Decisions(store, world.inbox, SIGNER, world.clock, lambda person: person != GONE, PEOPLE)
    async with serving(application(store, None, pages), "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        yield Browser(world, url, session)


async def requested(world: World | None = None, target: str = "prod") -> World:
    world = world or World()
    world.model.answers(Push(target=target), done("It is out."))
    await world.say("push, please")
    await world.run()
    assert world.thread.pending
    return world


async def asked(*choices: str) -> World:
    world = World()
    question = as_question("Which <b>tag</b>?", "There are several.", yes_no=not choices)
    if choices:
        options = {"urgency": "low", "format": "multiple_choice", "choices": [*choices]}
        question = RequestHumanInput.model_validate({**question.model_dump(), "options": options})
    world.model.answers(question, done("Thanks."))
    await world.say("deploy, please")
    await world.run()
    assert world.thread.state.question
    return world


def decisions(events: tuple[Event, ...]) -> list[ApprovalDecided]:
    return [event for event in events if isinstance(event, ApprovalDecided)]


# A request


class Risky(Push):
    """Push, with a warning."""

    dangers: ClassVar[tuple[str, ...]] = ("note",)

    async def prepare(self, call: Call) -> Facts:
        return {**await super().prepare(call), "note": "it is <b>OLDER"}

    def title(self, facts: Facts) -> str:
        return f"Push <i>{facts['revision']}</i>\nto {self.target}"


async def test_a_page_says_what_happens_then_what_is_dangerous_and_then_the_rest() -> None:
    world = World(tools=(Risky,))
    world.model.answers(Risky(target="prod"))
    await world.say("push, please")
    await world.run()
    async with browsing(world) as browser:
        words = (await browser.look(browser.link())).words
    found = [
        words.index(text) for text in ("Push <i>newest for prod</i> to prod", "Warning", "it is <b>OLDER", "Tool risky")
    ]
    assert found == sorted(found)


async def test_to_look_at_a_link_again_and_again_decides_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        before = await browser.log()
        for approved in (True, False):
            link = browser.link(approved=approved)
            for _ in range(5):
                assert (await browser.look(link)).status == 200
                answer = await browser.ask("HEAD", link)
                assert (answer.status, answer.body) == (200, "")
        assert await browser.log() == before


async def test_a_page_shows_what_is_decided_and_by_whom() -> None:
    world = await requested()
    assert world.thread.pending
    async with browsing(world) as browser:
        page = (await browser.look(browser.link())).page
        for part in ("push", "target", "prod", "revision", "newest for prod", "Asked for by U1", ANA, "Approve"):
            assert part in page.words
        assert world.thread.pending.digest[:12] in page.words
        assert page.decides
        page = (await browser.look(browser.link(approved=False, person=BEN))).page
        assert "Reject" in page.words
        assert "Approve" not in page.words
        assert BEN in page.words


async def test_what_is_approved_by_link_runs_and_is_on_record() -> None:
    world = await requested()
    async with browsing(world) as browser:
        answer = await browser.press(browser.link(), "go\r\non, but <slowly>")
        assert (answer.status, "Approved: push target=prod" in answer.words) == (200, True)
        (decision,) = decisions(await browser.log())
    assert decision.approved
    assert decision.by.address == ANA
    assert decision.by.trust == "verified"
    assert decision.proof == f"signed link to {ANA}"
    assert decision.comment == "go\non, but <slowly>"
    assert not decision.by_message
    assert await world.run() == [
        f"settled: push approved by {ANA}: go\non, but <slowly>",
        "ran: push(target: prod)",
        "said: It is out.",
    ]


async def test_what_is_rejected_by_link_does_not_run_and_the_model_reads_why() -> None:
    world = await requested()
    async with browsing(world) as browser:
        answer = await browser.press(browser.link(approved=False), "not on a Friday")
        assert (answer.status, "Rejected: push" in answer.words) == (200, True)
    await world.run()
    assert world.desk.ran == []
    assert "not on a Friday" in world.model.prompts[-1]


async def test_a_form_that_is_sent_again_changes_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link()
        for _ in range(3):
            await browser.press(link, "once")
        world.clock.advance(60)
        again = await browser.press(link, "twice")
        assert (again.status, f"Already approved by {ANA}" in again.words) == (409, True)
        await world.run()
        later = await browser.press(link)
        assert later.status == 409
        (decision,) = decisions(await browser.log())
        assert decision.comment == "once"
        looked = (await browser.look(link)).page
        assert f"Already approved by {ANA} at 2026-11-20 09:00 UTC — once" in looked.words
        assert not looked.decides
    assert await world.run() == []
    assert world.desk.ran == ["push(target: prod)"]


@pytest.mark.parametrize("approved", [True, False])
async def test_the_other_button_afterwards_changes_nothing(approved: bool) -> None:
    world = await requested()
    async with browsing(world) as browser:
        first, other = browser.link(approved=approved), browser.link(approved=not approved)
        await browser.press(first)
        answer = await browser.press(other)
        verb = "approved" if approved else "rejected"
        assert (answer.status, f"Already {verb} by {ANA}" in answer.words) == (409, True)
        await world.run()
        assert (await browser.press(other)).status == 409
        assert not (await browser.look(other)).page.decides
    assert world.desk.ran == (["push(target: prod)"] if approved else [])


async def test_whoever_comes_second_is_told_who_came_first() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link, of_ben = browser.link(), browser.link(approved=False, person=BEN)
        await world.approve(ANN)
        answer = await browser.press(of_ben, "no!")
        assert (answer.status, "Already approved by U1" in answer.words) == (409, True)
        assert "Already approved by U1" in (await browser.look(link)).words
        assert [one.by.address for one in decisions(await browser.log())] == [ANN.address, BEN]
    await world.run()
    assert world.desk.ran == ["push(target: prod)"]


async def test_a_link_of_a_request_that_was_superseded_decides_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        old = browser.link()
        world.model._script.clear()
        world.model.answers(Push(target="stage"), done("Stage is out."))
        await world.say("no, to stage")
        await world.run()
        page = (await browser.look(old)).page
        assert ("superseded" in page.words, page.decides) == (True, False)
        assert "prod" in page.words
        answer = await browser.press(old)
        assert (answer.status, "Nothing was changed" in answer.words) == (409, True)
        assert await world.run() == []
        await browser.press(browser.link())
        await world.run()
    assert world.desk.ran == ["push(target: stage)"]


async def test_a_link_into_a_cancelled_thread_decides_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link()
        await world.cancel()
        await world.run()
        page = (await browser.look(link)).page
        assert ("cancelled" in page.words, page.decides) == (True, False)
        assert (await browser.press(link)).status == 409
    await world.run()
    assert world.desk.ran == []


async def test_a_link_that_showed_something_else_decides_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link(digest="f" * 64)
        assert not (await browser.look(link)).page.decides
        answer = await browser.press(link)
        assert (answer.status, "a different request" in answer.words) == (409, True)
        assert decisions(await browser.log()) == []


# Links that lead nowhere


async def test_a_link_that_is_too_old_decides_nothing() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link()
        world.clock.advance(LINK_SECONDS)
        assert (await browser.look(link)).status == 200
        world.clock.advance(1)
        for answer in (await browser.look(link), await browser.press(link)):
            assert (answer.status, "has expired" in answer.words) == (410, True)
            assert "prod" not in answer.words
        assert decisions(await browser.log()) == []


async def test_a_link_that_was_altered_leads_nowhere_and_does_not_say_why() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link()
        payload, _, signature = link.rpartition(".")
        altered = ("B" if payload[0] == "A" else "A") + payload[1:]
        bad = [
            f"{altered}.{signature}",
            f"{payload}.A{signature[1:]}" if signature[0] != "A" else f"{payload}.B{signature[1:]}",
            payload,
            f"{link}{link}",
            link[:40],
            "x",
            "%00",
            "%ff%fe",
            "é",
            "." * 200,
            Signer("another secret", "deploybot@team.example").seal(SIGNER.open(link, world.clock())),
            browser.link(thread_id="tnobody"),
            browser.link(step="s99"),
            browser.link(step="s99", number=0),
        ]
        pages = set()
        for one in bad:
            for answer in (await browser.look(one), await browser.press(one)):
                assert answer.status == 404
                pages.add(answer.body)
        assert len(pages) == 1
        assert decisions(await browser.log()) == []


async def test_nothing_but_a_look_and_a_form_is_answered() -> None:
    world = await requested()
    async with browsing(world) as browser:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            url = f"{browser._url}/decide/{browser.link()}"
            async with browser._session.request(method, url) as answer:
                assert answer.status == 405
        assert decisions(await browser.log()) == []


# What is sent


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_not_read(chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(FORM_BYTES_MAX // 100_000 + 2):
            yield b"comment=" + b"x" * 100_000

    world = await requested()
    async with browsing(world) as browser:
        data = pieces() if chunked else b"comment=" + b"x" * FORM_BYTES_MAX
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await browser.ask("POST", browser.link(), data=data, headers=form)).status == 413
        assert decisions(await browser.log()) == []


@pytest.mark.parametrize("body", [b"comment=\xff\xfe", b"\x1f\x8b\x08", b"&".join(b"a=%d" % n for n in range(50))])
async def test_a_body_that_is_no_form_decides_nothing(body: bytes) -> None:
    world = await requested()
    async with browsing(world) as browser:
        for kind, status in (("application/x-www-form-urlencoded", 400), ("application/json", 415), ("", 415)):
            answer = await browser.ask("POST", browser.link(), data=body, headers={"Content-Type": kind})
            assert (answer.status, "Nothing was changed" in answer.words) == (status, True)
        assert decisions(await browser.log()) == []


async def test_only_the_link_says_what_is_decided_and_by_whom() -> None:
    world = await requested()
    async with browsing(world) as browser:
        form = {"approved": "1", "person": BEN, "step": "s99", "comment": "a", "digest": "f" * 64}
        link = f"{browser.link(approved=False)}?approved=1&person={BEN}"
        assert (await browser.ask("POST", link, data=form)).status == 200
        (decision,) = decisions(await browser.log())
        assert (decision.approved, decision.by.address, decision.comment) == (False, ANA, "a")


async def test_a_comment_of_any_characters_is_kept_and_shown_harmless() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link()
        comment = "<script>alert(1)</script> \u202e é 🚀 \" ' & \0 \x1b[31m"
        await browser.press(link, comment)
        (decision,) = decisions(await browser.log())
        assert decision.comment == comment
        assert visible(comment) in (await browser.look(link)).words


async def test_a_very_long_comment_is_clipped() -> None:
    world = await requested()
    async with browsing(world) as browser:
        assert (await browser.press(browser.link(), "é" * 60_000)).status == 200
        (decision,) = decisions(await browser.log())
        assert decision.comment == "é" * 50_000


async def test_a_comment_that_takes_more_bytes_than_an_event_has_is_no_crash() -> None:
    world = await requested()
    async with browsing(world) as browser:
        assert (await browser.press(browser.link(), "\0" * 50_000)).status in (200, 400, 413)


# What is shown


async def test_nothing_in_a_request_is_alive_on_its_page() -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=y>\" onclick='z' &amp; \u202e"
    world = World()
    world.desk.facts = {
        hostile: hostile,
        "found": {hostile: [hostile, {"deep": hostile}]},
        "link": "javascript:alert(1)",
        "style": "</style><style>body{display:none}",
        "url": 'https://evil.example/"onmouseover="alert(1)',
    }
    await requested(world, target=hostile)
    async with browsing(world) as browser:
        person = f"{hostile}@team.example"
        page = (await browser.look(browser.link(person=person))).page
        assert page.words.count(visible(hostile)) >= 5
        assert page.seen.count("form") == page.seen.count("button") == 2
        assert page.seen.count("style") == 1
        link = browser.link(person=person)
        for answer in (await browser.press(link, hostile), await browser.look(link)):
            assert "script" not in answer.page.seen
            assert visible(hostile) in answer.words


async def test_a_page_shows_an_argument_that_a_fact_is_named_as() -> None:
    world = World()
    world.desk.facts = {"target": "what is behind it"}
    await requested(world)
    async with browsing(world) as browser:
        page = (await browser.look(browser.link())).words
    assert "what is behind it" in page
    assert "targetprod" in page


# Who may decide, how many of them, and until when


async def test_a_link_gives_one_of_the_approvals_that_it_takes() -> None:
    world = await governed()
    async with browsing(world) as browser:
        first, other = browser.link(), browser.link(person=BEN)
        page = (await browser.look(first)).words
        for part in ("May decide: release, until 2026-11-20 10:00 UTC", "0 of 2 approvals"):
            assert part in page
        answer = await browser.press(first)
        assert (answer.status, "1 of 2 approvals" in answer.words) == (200, True)
        assert await world.run() == ["counted: push, 1 of 2"]
        page = (await browser.look(other)).words
        assert "1 of 2 approvals: Ana at 2026-11-20 09:00 UTC" in page
        assert (await browser.press(other)).status == 200
        assert "Already approved by" in (await browser.look(first)).words
    await world.run()
    assert world.desk.ran == ["push(target: prod)"]


async def test_the_same_person_under_another_address_has_no_second_approval_and_may_still_reject() -> None:
    world = await governed()
    async with browsing(world) as browser:
        await browser.press(browser.link())
        at_home = browser.link(person="ana@home.example")
        looked = await browser.look(at_home)
        assert ("already counted: 1 of 2" in looked.words, looked.page.decides) == (True, False)
        answer = await browser.press(at_home)
        assert (answer.status, "already counted" in answer.words) == (409, True)
        rejects = browser.link(approved=False)
        assert (await browser.look(rejects)).page.decides
        answer = await browser.press(rejects, "on second thoughts")
        assert (answer.status, "Rejected: push" in answer.words) == (200, True)
    await world.run()
    assert world.desk.ran == []


@pytest.mark.parametrize("person", ["dan@team.example", "nobody@team.example"])
async def test_whoever_may_not_decide_sees_who_may_and_no_form(person: str) -> None:
    world = await governed()
    async with browsing(world) as browser:
        for approved in (True, False):
            link = browser.link(person=person, approved=approved)
            looked = await browser.look(link)
            assert (
                f"You may not decide this as {person}. Only release may decide it." in looked.words,
                looked.page.decides,
            ) == (
                True,
                False,
            )
            answer = await browser.press(link)
            assert (answer.status, "on record" in answer.words) == (403, True)
    assert world.thread.pending
    assert len(decisions(world.thread.events)) == 2
    assert world.thread.pending.votes == ()


async def test_whoever_asked_for_it_sees_no_form_to_approve_and_one_to_reject() -> None:
    world = World(people=PEOPLE, authority=Two(requester_may=False))
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push, please", by=Person(name="Ana", address=ANA, member="ana", trust="verified"))
    await world.run()
    async with browsing(world) as browser:
        looked = await browser.look(browser.link())
        assert (
            "You are one of its requesters, so somebody else has to approve it." in looked.words,
            looked.page.decides,
        ) == (
            True,
            False,
        )
        assert (await browser.press(browser.link())).status == 403
        assert (await browser.look(browser.link(approved=False))).page.decides


async def test_after_its_time_a_request_is_not_decided_any_more() -> None:
    world = await governed()
    async with browsing(world) as browser:
        link = browser.link()
        world.clock.advance(3600)
        # Its timer has not fired yet.
        looked = await browser.look(link)
        assert ("This request has expired" in looked.words, looked.page.decides) == (True, False)
        answer = await browser.press(link)
        assert (answer.status, "has expired" in answer.words) == (410, True)
        world.model.answers(done("Nobody approved it."))
        await world.run()
        looked = await browser.look(link)
        assert ("This request has expired" in looked.words, looked.page.decides) == (True, False)
        assert (await browser.press(link)).status == 410
    assert world.desk.ran == []


# Changing it instead


async def test_a_call_is_changed_on_the_page_and_asked_for_anew() -> None:
    world = await governed()
    async with browsing(world) as browser:
        link = browser.link()
        first = SIGNER.open(link, world.clock()).step
        page = (await browser.look(link)).page
        assert "Request with these changes" in page.words
        answer = await browser.ask("POST", link, data={"action": "edit", "argument target": " stage\r\n"})
        assert (answer.status, "new request" in answer.words) == (200, True)
        assert await world.run() == ["settled: push changed by Ana", "requested: push(target: stage)"]
        chosen = [e for e in world.thread.events if isinstance(e, StepChosen)][-1]
        assert (chosen.by, chosen.edits, chosen.proof) == ("person", first, f"signed link to {ANA}")
        assert chosen.editor is not None
        assert (chosen.editor.address, chosen.editor.member) == (ANA, "ana")
        assert decisions(world.thread.events) == []
        assert (await browser.ask("POST", link, data={"action": "edit", "argument target": "dev"})).status == 409
        assert (await browser.press(link)).status == 409
        await browser.press(browser.link())
        await browser.press(browser.link(person=BEN))
        await world.run()
    assert world.desk.ran == ["push(target: stage)"]


@pytest.mark.parametrize(
    ("person", "form", "status", "words"),
    [
        (ANA, {"argument target": "prod"}, 409, "Nothing is different"),
        (ANA, {}, 409, "Nothing is different"),
        (ANA, {"argument revision": "v9"}, 409, "'revision' cannot be edited"),
        ("dan@team.example", {"argument target": "stage"}, 403, "You may not edit this request"),
    ],
)
async def test_what_cannot_be_changed_is_said_and_the_request_stands(
    person: str, form: dict[str, str], status: int, words: str
) -> None:
    world = await governed()
    async with browsing(world) as browser:
        before = await browser.log()
        answer = await browser.ask("POST", browser.link(person=person), data={"action": "edit", **form})
        assert (answer.status, words in answer.words) == (status, True)
        assert await browser.log() == before


@pytest.mark.parametrize(
    "target", ["\n two\n\nlines ", "a\u202eb\x1b[2J", '</textarea><script>alert(1)</script>"&amp;']
)
async def test_a_value_that_is_sent_as_it_was_shown_is_no_change(target: str) -> None:
    world = await requested(target=target)
    async with browsing(world) as browser:
        link = browser.link()
        body = (await browser.look(link)).body
        assert "<script" not in body
        [shown] = re.findall(r'<textarea name="argument target" rows="1">(.*?)</textarea>', body, re.DOTALL)
        # As a browser reads it: without the first line break.
        sent = html.unescape(shown.removeprefix("\n")).replace("\n", "\r\n")
        answer = await browser.ask("POST", link, data={"action": "edit", "argument target": sent})
        assert (answer.status, "Nothing is different" in answer.words) == (409, True)


# Questions


async def test_a_look_at_a_choice_answers_nothing() -> None:
    world = await asked("v1", "v2 & <i>")
    async with browsing(world) as browser:
        before = await browser.log()
        for _ in range(10):
            page = (await browser.look(browser.choice(1))).page
            await browser.ask("HEAD", browser.choice(1))
        for part in ("Which <b>tag</b>?", "There are several.", "v2 & <i>", ANA):
            assert part in page.words
        assert page.decides
        assert await browser.log() == before


@pytest.mark.parametrize(("choices", "number", "text"), [(("v1", "v2", "v3"), 2, "v3"), ((), 0, "yes"), ((), 1, "no")])
async def test_a_choice_answers_the_question_once(choices: tuple[str, ...], number: int, text: str) -> None:
    world = await asked(*choices)
    async with browsing(world) as browser:
        link, other = browser.choice(number), browser.choice(0, BEN)
        answer = await browser.press(link)
        assert (answer.status, f"Answered: {text}" in answer.words) == (200, True)
        await browser.press(link)
        answers = [e for e in await browser.log() if isinstance(e, MessageReceived) and e.answers]
        assert [(e.text, e.sender.address, e.sender.trust) for e in answers] == [(text, ANA, "verified")]
        assert await world.run() == ["said: Thanks."]
        answer = await browser.press(other)
        assert answer.status == 409
        looked = await browser.look(link)
        assert ("no longer needs an answer" in looked.words, looked.page.decides) == (True, False)
    assert await world.run() == []


async def test_another_choice_afterwards_is_not_told_as_the_answer() -> None:
    world = await asked()
    async with browsing(world) as browser:
        yes, no = browser.choice(0), browser.choice(1)
        await browser.press(yes)
        answer = await browser.press(no)
        assert "Answered: no" not in answer.words


async def test_a_choice_that_does_not_exist_leads_nowhere() -> None:
    world = await asked("v1")
    async with browsing(world) as browser:
        for answer in (await browser.look(browser.choice(1)), await browser.press(browser.choice(1))):
            assert answer.status == 404
        assert not [e for e in await browser.log() if isinstance(e, MessageReceived) and e.answers]


async def test_a_question_of_a_cancelled_thread_needs_no_answer() -> None:
    world = await asked()
    async with browsing(world) as browser:
        link = browser.choice(0)
        await world.cancel()
        assert not (await browser.look(link)).page.decides
        assert (await browser.press(link)).status == 409


async def test_a_link_of_a_question_decides_no_request() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link(number=0)
        assert not (await browser.look(link)).page.decides
        assert (await browser.press(link)).status == 409
        assert decisions(await browser.log()) == []
    world = await asked()
    async with browsing(world) as browser:
        link = browser.link(step=world.thread.state.question)
        assert (await browser.look(link)).status == (await browser.press(link)).status == 404


# Without a store


@pytest.mark.parametrize("kind", [_Store, _FailsAtAppend])
async def test_without_the_store_nothing_is_decided_and_the_page_says_so(kind: type[_Store]) -> None:
    store = kind()
    world = await requested(World(store=store))
    async with browsing(world) as browser:
        link = browser.link()
        store.away = True
        answer = await browser.ask("POST", link, data={"comment": ""})
        assert (answer.status, "open the link again" in answer.words) == (503, True)
        if kind is _Store:
            assert (await browser.look(link)).status == 503
        store.away = False
        assert decisions(await browser.log()) == []
        assert (await browser.press(link)).status == 200
    await world.run()
    assert [e.step for e in world.thread.events if isinstance(e, ToolStarted)] == [
        decisions(world.thread.events)[0].step
    ]


async def test_an_approval_by_link_and_one_elsewhere_at_once_settle_it_once() -> None:
    world = await requested()
    async with browsing(world) as browser:
        links = [browser.link(person=f"p{n}@team.example", approved=n % 2 == 0) for n in range(10)]
        statuses: list[int] = []

        async def presses(link: str) -> None:
            statuses.append((await browser.press(link)).status)

        await asyncio.gather(*map(presses, links), world.approve(BOB))
        assert sorted(statuses)[-9:] == [409] * 9
    await world.run()
    assert len(world.desk.ran) <= 1


async def test_a_link_ends_with_its_persons_right_to_write_to_us() -> None:
    world = await requested()
    async with browsing(world) as browser:
        link = browser.link(person=GONE)
        assert (await browser.look(link)).status == 403
        assert (await browser.press(link)).status == 403
        assert decisions(await browser.log()) == []
