"""What cannot be posted in Slack: who hears of it instead, what they can do about it, and what happens then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agent.authority import AnyoneMay, ApprovalRule, CallToApprove
from channels import places
from channels.places import Alerts
from store.deliveries import MessageFailed
from store.values import Person
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Message
from tests.telling.playbook import Push, done

PROD = Push(target="prod")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


class Named(AnyoneMay):
    """As everybody may, but it is known whom to ask."""

    def __init__(self, *approvers: Person) -> None:
        self.approvers = approvers

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        rule = super().rule_for(call)
        return replace(rule, approvers=self.approvers) if rule else None


async def asked_and_thrown_out(office: Office) -> Message:
    """Ana asks for a push, and the bot is removed from the channel before it answers."""
    asked = await office.slack.mention("deploys", "ana", "push to prod")
    await office.slack.acknowledged(asked)
    await office.slack.leave("deploys", office.slack.workspace.bot)
    return asked


async def test_who_asked_reads_what_could_not_be_said_and_what_helps(office: Office) -> None:
    office.model.answers(done("It is out: v7."))
    async with office.listens():
        asked = await asked_and_thrown_out(office)
        async with office.works():
            told = await office.slack.said("It is out: v7.", office.slack.workspace.im("ana"))
    text = office.slack.text_of(told)
    assert "not_in_channel. I am not in that channel: invite me there with /invite" in text
    assert f"/archives/{asked.channel}/p{asked.ts.replace('.', '')}" in text


async def test_where_alerts_go_elsewhere_the_words_do_not(office: Office) -> None:
    office.model.answers(done("It is out: v7."))
    random = office.slack.workspace.channel("random")
    office.slack.workspace.change_channel("random", members=random.members | {office.slack.workspace.bot.id})
    office.alerts = places.parse(f"slack:{random.id}", Alerts())
    async with office.listens():
        await asked_and_thrown_out(office)
        async with office.works():
            await office.slack.said("It is out: v7.", office.slack.workspace.im("ana"))
            alert = await office.slack.said("I could not send a message", "random")
    assert "It is out" not in office.slack.text_of(alert)


async def test_a_request_that_cannot_be_shown_goes_to_those_who_may_decide_and_is_shown_once_the_bot_is_back(
    office: Office,
) -> None:
    ben = office.slack.workspace.user("ben")
    office.authority = Named(Person(name="ben", address=ben.id, trust="verified"))
    office.model.answers(PROD, done("It is out."))
    async with office.listens():
        asked = await asked_and_thrown_out(office)
        async with office.works():
            card = await office.slack.said("May decide", office.slack.workspace.im("ben"))
            told = await office.slack.said("I could not send a message", office.slack.workspace.im("ana"))
            await office.until(asked, "waiting_for_approval")
            await office.slack.join("deploys", office.slack.workspace.bot)
            shown = await office.says("May decide", asked)
            await office.slack.click("ben", card, "Approve")
            await office.says("It is out.", asked)
            await office.until(asked, "done")
            await office.slack.wait_for(lambda: "✅" in office.slack.text_of(office.slack.now(card)))
            await office.slack.wait_for(lambda: "✅" in office.slack.text_of(office.slack.now(shown)))
    assert "I have shown the request to those who may decide it" in office.slack.text_of(told)
    (failed,) = kinds(await office.thread(asked), MessageFailed)
    assert isinstance(failed, MessageFailed)
    assert [place.address for place in failed.instead] == [f"/{ben.id}/"]
    assert office.desk.ran == ["push(target: prod)"]


async def test_a_bot_that_is_invited_where_nothing_waits_changes_nothing(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        before = await office.until(asked, "done")
        joined = await office.slack.join("deploys", office.slack.workspace.bot)
        await office.slack.acknowledged(joined)
    assert (await office.thread(asked)).version == before.version
