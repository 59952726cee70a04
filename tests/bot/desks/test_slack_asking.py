"""Ways to the agent beside a mention in Slack: the message shortcut, the command, and words on joining a channel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import yaml

from bot.desks.slack import SlackDesk
from channels.slack.connection import identify
from channels.slack.events import Installation
from channels.slack.joining import GREETING
from channels.slack.shortcuts import MESSAGE_CHARS_MAX, SHORTCUT_WORDS, AskedAbout, parse_shortcut
from store.arrivals import MessageArrived
from store.events import MessageReceived
from tests.bot.desks.office import MANIFEST, Office, kinds, new_office
from tests.store.threads import thread_ids
from tests.telling.playbook import Push, Touch, done

PROD = Push(target="prod")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


def test_the_shortcut_is_named_as_it_speaks() -> None:
    (shortcut,) = yaml.safe_load(MANIFEST.read_text())["features"]["shortcuts"]
    assert (shortcut["name"], shortcut["type"]) == (SHORTCUT_WORDS, "message")


async def test_the_shortcut_on_a_message_asks_about_it_in_its_thread(office: Office) -> None:
    office.model.answers(done("It is the readiness probe."), done("Yes."))
    async with office.open():
        alert = await office.slack.say("deploys", "ben", "backend is down")
        await office.slack.use_shortcut("ana", alert, "ask_about")
        await office.says("It is the readiness probe.", alert)
        await office.slack.say("deploys", "ana", "sure?", alert)
        await office.says("Yes.", alert)
    about, asked, _ = kinds(await office.thread(alert), MessageReceived)
    assert isinstance(about, MessageReceived)
    assert isinstance(asked, MessageReceived)
    assert (about.text, about.sender.trust) == ("backend is down", "third_party")
    assert (asked.text, asked.sender.trust) == (SHORTCUT_WORDS, "verified")
    assert asked.sender.address == office.slack.workspace.user("ana").id


async def test_the_shortcut_in_a_thread_of_ours_goes_on_with_it(office: Office) -> None:
    office.model.answers(done("Hello."), done("I know."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        answer = await office.says("Hello.", asked)
        await office.slack.use_shortcut("ben", answer, "ask_about")
        await office.says("I know.", asked)
    assert len(await thread_ids(office.store)) == 1


async def test_the_shortcut_is_durable_and_acknowledged_before_slack_is_asked_who_it_was(office: Office) -> None:
    office.model.answers(done("It is the readiness probe."))
    async with office.open():
        alert = await office.slack.say("deploys", "ben", "backend is down")
        async with office.slack.hold("users.info", after_effect=False) as gate:
            await office.slack.acknowledged(await office.slack.use_shortcut("ana", alert, "ask_about"))
            await gate.reached()
            assert len(kinds(await office.thread(alert), MessageArrived)) == 1
        await office.says("It is the readiness probe.", alert)
    about, asked = kinds(await office.thread(alert), MessageReceived)
    assert [about.text, asked.text] == ["backend is down", SHORTCUT_WORDS]


def test_of_a_huge_message_the_shortcut_keeps_the_text() -> None:
    me = Installation("T1", "U0")
    message = {"ts": "1.2", "text": "down", "blocks": [{"type": "section", "text": "x" * MESSAGE_CHARS_MAX}]}
    body = {"type": "message_action", "channel": {"id": "C1"}, "user": {"id": "U1"}, "action_ts": "3.4"}
    asked = parse_shortcut({**body, "message": message}, me)
    assert isinstance(asked, AskedAbout)
    assert {name: value for name, value in asked.message.items() if value} == {"ts": "1.2", "text": "down"}


async def test_the_command_says_what_waits_and_what_one_asked_for_to_that_person_alone(office: Office) -> None:
    office.model.answers(PROD)
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        await office.says("May decide", asked)
        await office.until(asked, "waiting_for_approval")
        for words, said in (
            ("status", "Waits for you"),
            ("mine", "You have not asked for anything lately."),
            ("", "Mention me in a channel"),
            ("dance", "Mention me in a channel"),
        ):
            await office.slack.command("ana", "deploys", "/deploybot", words)
            told = await office.slack.said(said, "deploys")
            assert told.visible_to == office.slack.workspace.user("ana").id


async def test_a_channel_that_it_joins_reads_once_what_it_does_and_who_may_approve(office: Office) -> None:
    bot = office.slack.workspace.bot
    async with office.open():
        await office.slack.join("random", bot)
        hello = await office.slack.said("Hello, I am the agent ops", "random")
        await office.slack.join("random", "ben")
        await office.slack.join("random", bot)
        greetings = await office.slack.wait_for(
            lambda: [m for m in office.slack.messages("random") if (m.metadata or {}).get("event_type") == GREETING][1:]
        )
    assert len(greetings) == 1, "one for each invitation"
    assert "What runs where?" in office.slack.text_of(hello)


async def test_the_words_on_joining_name_what_it_can_do_and_the_groups_that_approve(office: Office) -> None:
    me, _ = await identify(office.client)
    desk = SlackDesk(office.store, lambda _: "ops", me, approvers=("release", "anyone"), acts_of={"ops": ["push_it"]})
    lines = desk.words_on_joining("C1").splitlines()
    assert lines[1:] == ["I can push it, and look things up.", "What needs an approval waits for release."]


async def test_a_program_that_the_team_names_may_call_it_and_is_unverified(office: Office) -> None:
    office.callers = frozenset({"pager"})
    mention = f"<@{office.slack.workspace.bot.id}>"
    office.model.answers(Touch(), done("It is touched."))
    async with office.open():
        called = await office.slack.post_as_bot("deploys", "pager", f"{mention} touch it")
        await office.says("May decide", called)
        await office.slack.post_as_bot("deploys", "pager", "still waiting", called)
        await office.slack.post_as_bot("deploys", "other", f"{mention} hello", called)
        (said,) = kinds(await office.until(called, "waiting_for_approval"), MessageReceived)
    assert isinstance(said, MessageReceived)
    assert (said.sender.name, said.sender.trust, said.text) == ("pager", "unverified", "touch it")


async def test_a_classic_webhook_that_the_team_names_may_call_it(office: Office) -> None:
    office.callers = frozenset({"workflow"})
    office.model.answers(done("Hello."))
    async with office.open():
        text = f"<@{office.slack.workspace.bot.id}> hello"
        called = await office.slack.post_as_bot("deploys", "workflow", text, classic=True)
        await office.says("Hello.", called)
