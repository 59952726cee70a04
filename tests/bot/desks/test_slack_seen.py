"""A reaction where Slack shows no status: the message was seen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.bot.desks.office import Office, new_office
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import done

STATUS = "assistant.threads.setStatus"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


@pytest.mark.parametrize("error", ["channel_not_found", "access_denied", "missing_scope"])
async def test_where_no_status_shows_the_message_gets_eyes_once_and_keeps_them(office: Office, error: str) -> None:
    office.slack.fail(STATUS, error, times=99)
    office.model.answers(done("Hello."), done("Still here."))
    async with office.open():
        root = await office.slack.say("deploys", "ben", "what is this?")
        asked = await office.slack.mention("deploys", "ana", "are you there?", root)
        await office.says("Hello.", root)
        again = await office.slack.say("deploys", "ana", "and now?", root)
        await office.says("Still here.", root)
        await office.slack.wait_for(lambda: office.slack.now(again).reactions, PATIENCE_SECONDS)
    eyes = (("eyes", (office.slack.workspace.bot.id,)),)
    assert [office.slack.now(message).reactions for message in (root, asked, again)] == [(), eyes, eyes]
    assert len(office.slack.calls_of("reactions.add")) == 2
    assert office.slack.calls_of("reactions.remove") == []


async def test_where_a_status_shows_or_may_show_in_a_moment_there_is_no_reaction(office: Office) -> None:
    office.slack.fail(STATUS, "ratelimited", times=1)
    office.model.answers(done("Hello."), done("Still here."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        await office.slack.say("deploys", "ana", "and now?", asked)
        await office.says("Still here.", asked)
        await office.slack.wait_for(lambda: office.slack.calls_of(STATUS)[1:], PATIENCE_SECONDS)
    assert office.slack.calls_of("reactions.add") == []


async def test_without_the_scope_for_reactions_it_answers_all_the_same(office: Office) -> None:
    office.slack.scopes.discard("reactions:write")
    office.slack.fail(STATUS, "access_denied", times=99)
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
