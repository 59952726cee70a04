"""Several workspaces of one organisation (Enterprise Grid), and people of other organisations (Slack Connect)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.slack.connection import identify
from store.events import ApprovalDecided, MessageReceived
from tests.bot.desks.office import Office, kinds, new_office
from tests.telling.playbook import Push, done

PROD = Push(target="prod")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        it.slack.workspace.enterprise_id = "E0ACME"
        yield it


async def test_a_colleague_from_another_workspace_of_the_enterprise_may_ask_and_decide(office: Office) -> None:
    for name in ("ana", "ben"):
        office.slack.workspace.change_user(name, team_id="T0SISTER", enterprise_id="E0ACME")
    office.model.answers(PROD, done("It is out."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        card = await office.says("May decide", asked)
        await office.slack.click("ben", card, "Approve")
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    (said,), (decided,) = kinds(thread, MessageReceived), kinds(thread, ApprovalDecided)
    assert isinstance(said, MessageReceived)
    assert isinstance(decided, ApprovalDecided)
    users = office.slack.workspace
    assert (said.sender.address, said.sender.trust) == (users.user("ana").id, "verified")
    assert (decided.by.address, decided.by.trust) == (users.user("ben").id, "verified")


@pytest.mark.parametrize("enterprise", ["E0OTHER", ""])
async def test_who_is_of_another_organisation_is_unverified_and_known_by_it_too(
    office: Office, enterprise: str
) -> None:
    office.slack.workspace.change_user("ben", team_id="T0OTHER", enterprise_id=enterprise)
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ben", "are you there?")
        await office.says("Hello.", asked)
        thread = await office.until(asked, "done")
    (said,) = kinds(thread, MessageReceived)
    assert isinstance(said, MessageReceived)
    user = office.slack.workspace.user("ben")
    assert (said.sender.address, said.sender.trust) == (f"{enterprise or 'T0OTHER'}/{user.id}", "unverified")


async def test_a_guest_of_the_enterprise_may_decide_nothing(office: Office) -> None:
    office.slack.workspace.change_user("ben", team_id="T0SISTER", enterprise_id="E0ACME", is_guest=True)
    office.model.answers(PROD)
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        card = await office.says("May decide", asked)
        await office.slack.click("ben", card, "Approve")
        await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        assert (await office.until(asked, "waiting_for_approval")).pending


async def test_an_installation_in_the_whole_organisation_knows_its_people(office: Office) -> None:
    office.slack.workspace.team_id = "E0ACME"  # as auth.test says it then
    for name in ("ana", "ben"):
        office.slack.workspace.change_user(name, team_id="T0SISTER", enterprise_id="E0ACME")
    me, _ = await identify(office.client)
    assert (me.team, me.enterprise) == ("E0ACME", "E0ACME")
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        (said,) = kinds(await office.until(asked, "done"), MessageReceived)
    assert isinstance(said, MessageReceived)
    assert said.sender.trust == "verified"
