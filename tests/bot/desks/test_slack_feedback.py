"""The buttons under an answer, by which people say whether it helped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.steps import SendUpdate
from bot.views.transcript import entries
from store.events import FeedbackGiven, StepChosen
from tests.bot.desks.office import Office, kinds, new_office
from tests.telling.playbook import done


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


async def test_feedback_on_an_answer_is_a_note_on_the_thread_that_wakes_nobody(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        answer = await office.says("Hello.", asked)
        await office.until(asked, "done")
        for button in ("👍", "👎"):
            await office.slack.acknowledged(await office.slack.click("ben", answer, button))
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral")[1:])
        thread = await office.until(asked, "done")
    assert told[0].args["text"] == "Noted on this thread. Reply here to say more."
    notes = kinds(thread, FeedbackGiven)
    assert [(note.by.name, note.helpful, note.step) for note in notes] == [
        ("ben", helpful, kinds(thread, StepChosen)[0].step) for helpful in (True, False)
    ]
    assert len(office.model.prompts) == 1
    assert "did not find this helpful: Hello." in "\n".join(entry.text for entry in entries(thread))


async def test_an_update_asks_for_no_feedback(office: Office) -> None:
    office.model.answers(SendUpdate(message="Looking."), done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        update, answer = await office.says("Looking.", asked), await office.says("Hello.", asked)
    assert office.slack.buttons_of(update) == []
    assert office.slack.buttons_of(answer) == ["👍", "👎"]
