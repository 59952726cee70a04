"""The list of tasks in Slack: one message, kept up to date, whatever is cut off in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.steps import PlannedTask, ShowTasks
from tests.bot.desks.office import Office, new_office
from tests.fakes.slack import Message
from tests.patience import PATIENCE_SECONDS
from tests.telling.playbook import Look, Push, done

LIST = ShowTasks(tasks=[PlannedTask(title="Push <!here>", does="push"), PlannedTask(title="Look at it", does="look")])
AT_FIRST = "Tasks: 0 of 2 done\n◻ Push <!here>\n◻ Look at it"
WAITS = "Tasks: 0 of 2 done\n✋ Push <!here> (waits for approval)\n◻ Look at it"
DONE = "Tasks: 2 of 2 done\n✅ Push <!here>\n✅ Look at it"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


def lists(office: Office, asked: Message) -> list[str]:
    return [text for text in office.of_bot(asked) if text.startswith("Tasks")]


async def is_shown(office: Office, asked: Message, text: str) -> None:
    await office.slack.wait_for(lambda: lists(office, asked) == [text], PATIENCE_SECONDS)


async def test_the_list_is_one_message_that_follows_what_happens(office: Office) -> None:
    office.model.answers(LIST, Push(target="prod"))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        card = await office.says("May decide", asked)
        await is_shown(office, asked, WAITS)
        office.model.answers(Look(), done("It is out."))
        await office.slack.acknowledged(await office.slack.click("ben", card, "Approve"))
        await office.says("It is out.", asked)
        await is_shown(office, asked, DONE)
        await office.until(asked, "done")


async def test_a_request_that_is_rejected_is_a_task_not_done(office: Office) -> None:
    office.model.answers(LIST, Push(target="prod"))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        card = await office.says("May decide", asked)
        await office.slack.acknowledged(await office.slack.click("ben", card, "Reject"))
        [form] = await office.slack.wait_for(lambda: office.slack.views, PATIENCE_SECONDS)
        office.model.answers(done("As you wish."))
        await office.slack.acknowledged(await office.slack.submit("ben", form, {"text": "no"}))
        await office.says("As you wish.", asked)
        await is_shown(office, asked, AT_FIRST.replace("◻ Push <!here>", "❌ Push <!here> (not done)"))


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_a_lost_connection_doubles_no_list_and_leaves_none_behind(
    office: Office, method: str, after_effect: bool
) -> None:
    """The list is posted first; its first update is the first of all updates."""
    office.slack.fail(method, cut=True, after_effect=after_effect)
    office.model.answers(LIST, Look(), Push(target="prod"))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push to prod")
        await office.says("May decide", asked)
        await is_shown(office, asked, WAITS.replace("◻ Look", "✅ Look").replace("0 of 2", "1 of 2"))
