"""An offer to place an answer, when something goes wrong or happens between its message, its making and the choice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.speech.offers import SOMETHING_NEW
from bot.arrivals import Arrivals
from channels.inbound import Refused
from channels.slack.channel import SlackChannel
from store.arrivals import AnswerOffered, ArrivalDropped, MessageArrived
from store.events import MessageReceived, ThreadCancelled
from store.keys import deleted
from store.thread import Thread
from tests.bot.desks.office import Office, kinds, new_office
from tests.bot.desks.test_slack_offers import OFFER, USE, asked_in_a_channel, offered, texts, told
from tests.channels.slack.test_places import AT
from tests.fakes.slack import Message
from tests.telling.playbook import done
from tests.telling.story import ANN, arrived, opened
from tests.telling.story import offered as make_offer


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


async def cancelled(office: Office, message: Message) -> None:
    thread = await office.thread(message)
    await office.store.append(thread, ThreadCancelled(id="cancel/1", at=AT, by=ANN))


async def test_what_was_deleted_before_it_is_read_is_not_asked_about(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
    async with office.listens():
        said = await office.slack.dm("ana", "v2")
        await office.slack.acknowledged(said)
        await office.slack.delete(said)
        for delivery in office.slack.deliveries_of(said):
            await office.slack.acknowledged(delivery)
        read = await office.reads_arrivals((await office.thread(said)).id)
    assert kinds(read, AnswerOffered) == []
    assert not read.state.outbox


async def test_a_worker_that_dies_between_moving_the_words_and_noting_it_doubles_nothing(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
    async with office.listens():
        await office.slack.acknowledged(await office.slack.click("ana", offer, USE))
        thread = await office.clicks_read(said)
        assert isinstance(thread.arrived, MessageArrived)
        arrivals = Arrivals(office.inbox, {"slack": SlackChannel(office.client).reader})
        await arrivals.events_of(thread, thread.arrived, last_try=True)  # Its worker dies here.
        assert not kinds(await office.thread(said), ArrivalDropped)
        office.model.answers(done("v2 it is."))
        async with office.works():
            await office.says("v2 it is.", asked)
            answered = await office.until(asked, "done")
            left = await office.until(said, "done")
    assert texts(answered) == ["deploy", "v2"]
    assert texts(left) == []


async def test_files_go_with_the_words(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said = await office.slack.dm("ana", "as in the file", files={"tag.txt": b"v2"})
        offer = await office.says(OFFER, said)
        office.model.answers(done("v2 it is."))
        await office.slack.click("ana", offer, USE)
        await office.says("v2 it is.", asked)
        thread = await office.until(asked, "done")
    [attached] = kinds(thread, MessageReceived)[-1].attachments
    assert (attached.name, attached.text) == ("tag.txt", "v2")


async def test_the_words_are_not_placed_in_a_thread_that_was_cancelled_meanwhile(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        await cancelled(office, asked)
        await office.slack.acknowledged(await office.slack.click("ana", offer, USE))
        await office.slack.wait_for(lambda: [text for text in told(office) if "no longer waits" in text])
        assert (await office.thread(said)).status == "waiting_for_answer"
        assert texts(await office.thread(asked)) == ["deploy"]


async def test_a_press_in_a_cancelled_conversation_says_that_it_is_cancelled(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        said, offer = await offered(office)
        await cancelled(office, said)
        await office.slack.acknowledged(await office.slack.click("ana", offer, USE))
        await office.slack.wait_for(lambda: [text for text in told(office) if "was cancelled" in text])


async def test_an_offer_that_cannot_be_shown_holds_nothing_back(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        fault = office.slack.fail("chat.postMessage", "restricted_action", times=1)
        office.model.answers(done("Hello."))
        said = await office.slack.dm("ana", "are you there?")
        await office.says("Hello.", said)
        assert texts(await office.until(said, "done")) == ["are you there?"]
    assert fault.met == 1


async def test_each_new_message_has_an_offer_of_its_own_and_each_is_placed_alone(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        first, first_offer = await offered(office, text="v2")
        second, second_offer = await offered(office, text="what runs on staging?")
        assert len(kinds(await office.thread(second), AnswerOffered)[0].questions) == 1
        office.model.answers(done("v1 does."))
        await office.slack.click("ana", second_offer, SOMETHING_NEW)
        await office.says("v1 does.", second)
        office.model.answers(done("v2 it is."))
        await office.slack.click("ana", first_offer, USE)
        await office.says("v2 it is.", asked)
        assert texts(await office.until(asked, "done")) == ["deploy", "v2"]
        assert texts(await office.until(first, "done")) == []


async def test_what_is_typed_under_the_offer_waits_and_goes_with_the_words(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        await office.slack.acknowledged(await office.slack.dm("ana", "only staging", said))
        assert texts(await office.thread(said)) == []
        office.model.answers(done("v2 it is."), done("Only staging."))
        await office.slack.click("ana", offer, USE)
        await office.slack.wait_for(
            lambda: office.slack.text_of(office.slack.now(offer)) if "answered by" in office.of_bot(said)[0] else ""
        )
        thread = await office.until(asked, "done")
    assert texts(thread) == ["deploy", "v2", "only staging"]


async def test_at_a_terminal_it_is_said_that_only_the_author_chooses(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        said, _ = await offered(office)
        thread = await office.thread(said)
        with pytest.raises(Refused, match="buttons"):
            await office.inbox.answer(thread.id, ANN, "v2")


def test_an_offer_that_was_made_while_its_message_was_deleted_is_not_shown() -> None:
    thread = Thread("t1").extended([opened(), arrived("m1"), arrived(deleted("m1")), make_offer("m1")])
    assert thread.arrived is not None
    assert not thread.state.outbox
