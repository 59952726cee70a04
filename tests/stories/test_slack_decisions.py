"""Deciding in Slack where a team's policy stands: several approvals, changed calls, reminders, and who is who."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.authority import ApprovalRule, Authority, CallToApprove
from agent.loop import Loop
from agent.steps import as_question
from bot.arrivals import Arrivals
from bot.desks.slack import SlackDesk, home_in
from bot.inbox import Inbox
from bot.team.people import Member, People
from bot.worker import Worker
from channels.slack.channel import SlackChannel
from channels.slack.connection import identify, listening
from store.authority.terms import Terms
from store.base import Store, StoreUnavailable
from store.events import ApprovalDecided, Event, MessageReceived, StepChosen
from store.memory import MemoryStore
from store.standing import StandingGranted
from store.thread import Thread
from store.values import Person, Place
from tests.bot.desks.office import MANIFEST, Office, kinds
from tests.fakes.slack import Message, SlackServer, View
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import Push, done, ops

PROD = Push(target="prod")


@dataclass
class Rules(Authority):
    """One policy for everything."""

    rule: ApprovalRule
    people: People

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return self.people.groups_of(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        return replace(self.rule, terms=self.rule.terms.model_copy(update={"requesters": call.requesters}))

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        return None


class ReleaseOffice(Office):
    """An office with a team file: ana and ben are in the group `release`, cy is in `leads`."""

    def __init__(self, slack: SlackServer, store: Store) -> None:
        workspace = slack.workspace
        cy = workspace.add_user("cy", real_name="Cy Clark", email="cy@example.com")
        workspace.change_channel("deploys", members=workspace.channel("deploys").members | {cy.id})
        groups = {"ana": ("release",), "ben": ("release",), "cy": ("leads",)}
        people = People(
            {name: Member(name.capitalize(), slack=workspace.user(name).id, groups=groups[name]) for name in groups}
        )
        super().__init__(slack, store, Inbox(store, people=people))
        self.people = people
        self.rules = Rules(ApprovalRule(Terms(group="release"), approvers=self.approvers("ana", "ben")), self.people)

    def approvers(self, *names: str) -> tuple[Person, ...]:
        return tuple(
            Person(name=self.people.members[name].name, address=self.people.members[name].slack, member=name)
            for name in names
        )

    def policy(self, *, asks: tuple[Place, ...] = (), then_asks: tuple[Place, ...] = (), **terms: Any) -> None:
        rule = replace(self.rules.rule, terms=Terms(**{"group": "release", **terms}))
        self.rules.rule = replace(rule, asks=asks, then_asks=then_asks)

    @contextlib.asynccontextmanager
    async def listens(self) -> AsyncIterator[None]:
        me, _ = await identify(self.client)
        desk = SlackDesk(self.store, lambda _: "ops", me, self.people)
        async with listening(self.client, me, self.inbox, desk, app_token=self.slack.app_token, signing_secret=""):
            await self.slack.connected()
            yield

    @contextlib.asynccontextmanager
    async def works(self) -> AsyncIterator[None]:
        home_of = functools.partial(home_in, self.store, self.people, lambda: datetime.now(UTC))
        channel = SlackChannel(self.client, home_of=home_of)
        loop = Loop(
            authority=self.rules,
            store=self.store,
            roster={"ops": ops(self.desk)},
            channels={channel.name: channel},
            model=self.model,
            clock=lambda: datetime.now(UTC),
            readers=Arrivals(self.inbox, {channel.name: channel.reader}),
        )
        worker = Worker(self.store, loop, grace_seconds=1)
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await working
            await channel.aclose()

    async def asked_for_prod(self, user: str = "cy") -> tuple[Message, Message]:
        self.model.answers(PROD)
        asked = await self.slack.mention("deploys", user, "push to prod")
        return asked, await self.says("May decide", asked)

    async def clicks(self, user: str, card: Message, button: str) -> None:
        await self.slack.acknowledged(await self.slack.click(user, self.slack.now(card), button))

    async def form(self, user: str, card: Message) -> View:
        """Edit was clicked, and this is the form."""
        await self.clicks(user, card, "Edit…")
        return (await self.slack.wait_for(lambda: self.slack.views, PATIENCE_SECONDS))[-1]

    async def submits(self, user: str, view: View, values: dict[str, str]) -> View:
        await self.slack.acknowledged(await self.slack.submit(user, view, values))
        return self.slack.all_views[view.id]

    async def reads(self, message: Message, text: str) -> str:
        """What the message says, as soon as that is in it."""

        def now() -> str:
            said = self.slack.text_of(self.slack.now(message))
            return said if text in said else ""

        return await self.slack.wait_for(now, PATIENCE_SECONDS)

    async def told(self, text: str) -> str:
        """What was told to one person alone."""

        def now() -> list[str]:
            calls = self.slack.calls_of("chat.postEphemeral")
            return [call.args["text"] for call in calls if text in call.args["text"]]

        return (await self.slack.wait_for(now, PATIENCE_SECONDS))[-1]


@pytest.fixture
async def office() -> AsyncIterator[ReleaseOffice]:
    async with SlackServer.from_manifest(
        MANIFEST,
        retry_waits_seconds=(0.05, 0.2, 0.5),
        acknowledge_seconds=PATIENCE_SECONDS,
        trigger_seconds=PATIENCE_SECONDS,
    ) as slack:
        yield ReleaseOffice(slack, MemoryStore())


# Several approvals


async def test_it_takes_two_people_and_the_card_counts_them(office: ReleaseOffice) -> None:
    office.policy(quorum=2)
    async with office.open():
        asked, card = await office.asked_for_prod()
        text = office.slack.text_of(card)
        ana, ben = (office.slack.workspace.user(name).id for name in ("ana", "ben"))
        assert f"<@{ana}>" in text
        assert f"<@{ben}>" in text
        assert "0 of 2 approvals" in text
        await office.clicks("ana", card, "Approve")
        await office.reads(card, "1 of 2 approvals: Ana at")
        assert office.slack.buttons_of(office.slack.now(card)) == ["Approve", "Reject", "Edit…"]
        assert office.desk.ran == []
        await office.clicks("ana", card, "Approve")
        await office.told("already counted")
        office.model.answers(done("It is out."))
        await office.clicks("ben", card, "Approve")
        await office.says("It is out.", asked)
        settled = await office.reads(card, "✅ approved by Ana at")
        assert ", Ben at " in settled
        assert office.slack.buttons_of(office.slack.now(card)) == []
    assert office.desk.ran == ["push(target: prod)"]
    assert len(office.slack.calls_of("chat.postEphemeral")) == 1, "whoever counts reads it on the card"


async def test_whoever_is_not_in_the_group_is_told_so_alone(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod()
        await office.clicks("cy", card, "Approve")
        assert "You may not decide on this request" in await office.told("may not")
        thread = await office.until(asked, "waiting_for_approval")
    assert thread.pending
    assert office.desk.ran == []


async def test_a_request_is_shown_and_settled_wherever_the_policy_asks(office: ReleaseOffice) -> None:
    secrets, ben = office.slack.workspace.channel("secrets"), office.slack.workspace.user("ben")
    asks = tuple(Place(channel="slack", address=f"/{where}/") for where in (secrets.id, ben.id))
    office.policy(asks=asks, quorum=2)
    async with office.open():
        asked, card = await office.asked_for_prod()
        in_secrets = await office.slack.said("May decide", "secrets")
        in_person = await office.slack.said("May decide", office.slack.workspace.im(ben))
        await office.clicks("ben", in_person, "Approve")
        for shown in (card, in_secrets, in_person):
            await office.reads(shown, "1 of 2 approvals: Ben at")
        office.model.answers(done("It is out."))
        await office.clicks("ana", in_secrets, "Approve")
        for shown in (card, in_secrets, in_person):
            await office.reads(shown, "✅ approved by Ben at")
            assert office.slack.buttons_of(office.slack.now(shown)) == []
        await office.says("It is out.", asked)
    assert [len(office.slack.messages(where)) for where in (secrets, office.slack.workspace.im(ben))] == [1, 1]


# Time


async def test_a_reminder_calls_those_who_may_decide_and_says_when_there_are_more(office: ReleaseOffice) -> None:
    secrets = office.slack.workspace.channel("secrets").id
    now = datetime.now(UTC)
    office.policy(asks=(Place(channel="slack", address=f"/{secrets}/"),), remind_at=now, widen_at=now, then="leads")
    async with office.open():
        asked, card = await office.asked_for_prod("ana")
        widened = await office.says("More people may decide from now on.", asked)
        elsewhere = await office.slack.said("More people may decide from now on.", "secrets")
        assert "May decide: release or leads" in office.slack.text_of(widened)
        ana = office.slack.workspace.user("ana").id
        assert f"<@{ana}>" in office.slack.text_of(widened)
        assert elsewhere.thread_ts == (await office.slack.said(", digest ", "secrets")).ts
        office.model.answers(done("It is out."))
        await office.clicks("cy", card, "Approve")
        await office.says("It is out.", asked)


async def test_a_request_that_nobody_decides_expires(office: ReleaseOffice) -> None:
    office.policy(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    async with office.open():
        asked, card = await office.asked_for_prod()
        assert "until 20" in office.slack.text_of(card)
        office.model.answers(done("Nobody approved it."))
        await office.reads(card, "⏹ expired: nothing was run")
        await office.says("Nobody approved it.", asked)
        await office.slack.acknowledged(await office.slack.click("ana", card, "Approve"))
        assert "expired" in await office.told("expired")
    assert office.desk.ran == []


# Changing a call instead of approving it


async def test_a_changed_call_is_a_new_request(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod()
        form = await office.form("ana", card)
        assert "target" in office.slack.text_of(form)
        form = await office.submits("ana", form, {"target": "staging"})
        assert not form.is_open
        await office.reads(card, "✏️ changed by")
        new = await office.says("newest for staging", asked)
        office.model.answers(done("It is out."))
        await office.clicks("ben", new, "Approve")
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    assert office.desk.ran == ["push(target: staging)"]
    edited = [e for e in kinds(thread, StepChosen) if isinstance(e, StepChosen) and e.by == "person"]
    assert [e.editor.member for e in edited if e.editor] == ["ana"]


@pytest.mark.parametrize(("text", "said"), [("prod", "Nothing has changed."), ("  ", "This cannot be empty.")])
async def test_the_form_says_what_is_wrong_with_what_was_typed(office: ReleaseOffice, text: str, said: str) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod()
        form = await office.submits("ana", await office.form("ana", card), {"target": text})
        assert form.is_open
        assert said in dict(form.errors)["argument:target"]
        form = await office.submits("ana", form, {"target": "staging"})
        assert not form.is_open
        await office.says("newest for staging", asked)


async def test_whoever_may_not_decide_may_not_change_it_either(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod()
        form = await office.submits("cy", await office.form("cy", card), {"target": "staging"})
        assert form.is_open
        assert "You may not edit this request" in dict(form.errors)["argument:target"]
        thread = await office.until(asked, "waiting_for_approval")
    assert [e.intent for e in kinds(thread, StepChosen) if isinstance(e, StepChosen)] == ["push"]


async def test_what_was_decided_meanwhile_cannot_be_changed(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod()
        form = await office.form("ana", card)
        office.model.answers(done("It is out."))
        await office.clicks("ben", card, "Approve")
        await office.says("It is out.", asked)
        form = await office.submits("ana", form, {"target": "staging"})
        assert "no such open request" in dict(form.errors)["argument:target"]
        await office.slack.acknowledged(await office.slack.click("ana", card, "Edit…"))
        await office.told("This request can no longer be changed.")
    assert office.desk.ran == ["push(target: prod)"]
    assert len(office.slack.calls_of("views.open")) == 1


async def test_a_form_that_slack_did_not_open_in_time_is_told(office: ReleaseOffice) -> None:
    async with office.open():
        _, card = await office.asked_for_prod()
        office.slack.fail("views.open", "expired_trigger_id")
        await office.clicks("ana", card, "Edit…")
        await office.told("Please press Edit again.")


async def test_what_is_too_long_for_a_form_is_changed_in_words(office: ReleaseOffice) -> None:
    office.model.answers(Push(target="p" * 3_001))
    async with office.open():
        asked = await office.slack.mention("deploys", "cy", "push")
        card = await office.says("May decide", asked)
        await office.clicks("ana", card, "Edit…")
        await office.told("Reply in the thread with the changes you want.")
    assert office.slack.views == []


# Who is who


async def test_slack_vouches_for_the_mail_addresses_of_members(office: ReleaseOffice) -> None:
    office.slack.workspace.change_user("ben", email_confirmed=False)
    async with office.open():
        asked, card = await office.asked_for_prod("ana")
        office.model.answers(done("It is out."))
        await office.clicks("ben", card, "Approve")
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    [message] = kinds(thread, MessageReceived)
    [decision] = kinds(thread, ApprovalDecided)
    assert isinstance(message, MessageReceived)
    assert isinstance(decision, ApprovalDecided)
    assert (message.sender.email, message.sender.member) == ("ana@example.com", "ana")
    assert (decision.by.email, decision.by.member, decision.groups) == ("", "ben", ("release",))


@pytest.mark.parametrize("lacks", ["scope", "membership"])
async def test_without_the_scope_and_of_guests_there_is_no_address(office: ReleaseOffice, lacks: str) -> None:
    if lacks == "scope":
        office.slack.scopes.discard("users:read.email")
    else:
        office.slack.workspace.change_user("ana", is_guest=True)
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        thread = await office.until(asked, "done")
    [message] = kinds(thread, MessageReceived)
    assert isinstance(message, MessageReceived)
    assert message.sender.email == ""
    assert message.sender.trust == ("verified" if lacks == "scope" else "unverified")


async def test_home_shows_whoever_may_decide_what_waits_for_them(office: ReleaseOffice) -> None:
    office.policy(quorum=2)
    async with office.open():
        asked, card = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        assert "push target=prod: waiting for approval" in await waits_for(office, "ana")
        assert "Nothing is going on yet" in await waits_for(office, "dan")
        await office.clicks("ana", card, "Approve")
        await office.reads(card, "1 of 2 approvals")
        assert "push target=prod: waiting for approval" in await waits_for(office, "ben")
        assert "Nothing is waiting for you." in await waits_for(office, "ana")


async def waits_for(office: ReleaseOffice, name: str) -> str:
    """What stands first in that person's App Home."""
    if name not in [user.name for user in office.slack.workspace.users.values()]:
        office.slack.workspace.add_user(name)
    opened = await office.slack.open_home(name)
    assert opened
    await office.slack.acknowledged(opened)
    home = office.slack.home_of(name)
    assert home
    return office.slack.text_of(home).partition("Requested by you")[0]


# Deciding in App Home


async def home(office: ReleaseOffice, name: str, shows: str = "") -> View:
    """That person's App Home: opened now, or as soon as it shows this."""
    if not shows:
        return await opened_home(office, name)

    def now() -> list[View]:
        view = office.slack.home_of(name)
        return [view] if view and shows in office.slack.text_of(view) else []

    return (await office.slack.wait_for(now, PATIENCE_SECONDS))[0]


async def opened_home(office: ReleaseOffice, name: str) -> View:
    opened = await office.slack.open_home(name)
    assert opened
    await office.slack.acknowledged(opened)
    view = office.slack.home_of(name)
    assert view
    return view


async def presses(office: ReleaseOffice, name: str, view: View, button: str) -> None:
    await office.slack.acknowledged(await office.slack.click(name, view, button))


async def test_a_request_is_approved_in_app_home_as_on_its_card(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        view = await home(office, "ana")
        assert office.slack.buttons_of(view) == ["Approve", "Reject", "Edit…"]
        assert "target: prod" in office.slack.text_of(view)
        assert office.slack.buttons_of(await home(office, "cy")) == [], "he may not decide"
        office.model.answers(done("It is out."))
        await presses(office, "ana", view, "Approve")
        await office.says("It is out.", asked)
        assert "✅ approved by Ana at" in await office.reads(card, "✅ approved")
        after = await home(office, "ana", "Approved: push target=prod")
        assert office.slack.buttons_of(after) == []
        # A page that was opened before holds the buttons still.
        await presses(
            office, "ana", replace(view, content=after.content | {"blocks": view.content["blocks"]}), "Reject"
        )
        [form] = await office.slack.wait_for(lambda: office.slack.views, PATIENCE_SECONDS)
        await office.submits("ana", form, {"text": "no"})
        await home(office, "ana", "Nothing was changed.")
        thread = await office.until(asked, "done")
    [decision] = [e for e in kinds(thread, ApprovalDecided) if isinstance(e, ApprovalDecided) and e.approved]
    assert (decision.by.member, decision.way) == ("ana", "slack")
    assert decision.proof == f"slack {office.slack.workspace.team_id}/{decision.by.address}"
    assert office.desk.ran == ["push(target: prod)"]
    assert office.slack.calls_of("chat.postEphemeral") == []


async def test_a_request_is_rejected_in_app_home_with_a_reason(office: ReleaseOffice) -> None:
    async with office.open():
        asked, card = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        await presses(office, "ana", await home(office, "ana"), "Reject")
        [form] = await office.slack.wait_for(lambda: office.slack.views, PATIENCE_SECONDS)
        office.model.answers(done("As you wish."))
        await office.submits("ana", form, {"text": "not on a Friday"})
        await office.says("As you wish.", asked)
        assert "not on a Friday" in await office.reads(card, "❌ rejected by Ana")
        await home(office, "ana", "Rejected: push target=prod")
    assert office.desk.ran == []


async def test_a_request_is_edited_in_app_home(office: ReleaseOffice) -> None:
    async with office.open():
        asked, _ = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        await presses(office, "ana", await home(office, "ana"), "Edit…")
        [form] = await office.slack.wait_for(lambda: office.slack.views, PATIENCE_SECONDS)
        await office.submits("ana", form, {"target": "staging"})
        await office.says("newest for staging", asked)


async def test_a_decision_in_app_home_that_does_not_count_is_told_there(office: ReleaseOffice) -> None:
    office.policy(quorum=2)
    async with office.open():
        asked, card = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        view = await home(office, "ana")
        await presses(office, "ana", view, "Approve")
        after = await home(office, "ana", "Counted, 1 of 2 approvals: push target=prod")
        await office.reads(card, "1 of 2 approvals")
        await presses(
            office, "ana", replace(view, content=after.content | {"blocks": view.content["blocks"]}), "Approve"
        )
        await home(office, "ana", "Your approval was already counted. Nothing was changed.")
    assert office.desk.ran == []


async def test_a_question_is_answered_in_app_home_by_its_buttons_and_in_words(office: ReleaseOffice) -> None:
    office.model.answers(as_question("Now?", yes_no=True), as_question("Why?"))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push")
        await office.until(asked, "waiting_for_answer")
        view = await home(office, "ana")
        assert office.slack.buttons_of(view) == ["yes", "no", "Answer in words…"]
        assert office.slack.buttons_of(await home(office, "ben")) == [], "it is no thread of his"
        await presses(office, "ana", view, "yes")
        await home(office, "ana", "Your answer is in the thread.")
        await office.says("Why?", asked)
        await office.until(asked, "waiting_for_answer")
        await office.slack.acknowledged(await office.slack.click("ana", view, "no"))
        view = await home(office, "ana")
        assert office.slack.buttons_of(view) == ["Answer in words…"]
        await presses(office, "ana", view, "Answer in words…")
        [form] = await office.slack.wait_for(lambda: office.slack.views, PATIENCE_SECONDS)
        office.model.answers(done("Thank you."))
        await office.submits("ana", form, {"text": "because of a fix"})
        await office.says("Thank you.", asked)
        thread = await office.until(asked, "done")
    answers = [e for e in kinds(thread, MessageReceived) if isinstance(e, MessageReceived) and e.answers]
    assert [(answer.text, answer.sender.member) for answer in answers] == [("yes", "ana"), ("because of a fix", "ana")]


async def test_what_is_too_long_for_app_home_has_no_buttons_there(office: ReleaseOffice) -> None:
    office.model.answers(Push(target="\n".join("p" * 50 for _ in range(200))))
    async with office.open():
        asked = await office.slack.mention("deploys", "cy", "push")
        await office.says("May decide", asked)
        await office.until(asked, "waiting_for_approval")
        view = await home(office, "ana")
    assert "waiting for approval" in office.slack.text_of(view)
    assert office.slack.buttons_of(view) == []


async def test_whoever_clicks_in_app_home_hears_that_the_store_is_away(
    office: ReleaseOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = asyncio.Event()
    load, post = office.store.load, office.store.post

    async def posts(thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        if away.is_set():
            raise StoreUnavailable("Redis is away.")
        return await post(thread_id, *events, opens=opens)

    async def loads(thread_id: str) -> Thread:
        if away.is_set():
            raise StoreUnavailable("Redis is away.")
        return await load(thread_id)

    monkeypatch.setattr(office.store, "load", loads)
    monkeypatch.setattr(office.store, "post", posts)
    async with office.open():
        asked, _ = await office.asked_for_prod("cy")
        await office.until(asked, "waiting_for_approval")
        view = await home(office, "ana")
        away.set()
        await office.slack.click("ana", view, "Approve")
        await home(office, "ana", "That was not recorded: I cannot reach my database.")
        away.clear()
        office.model.answers(done("It is out."))
        await presses(office, "ana", view, "Approve")
        await office.says("It is out.", asked)
