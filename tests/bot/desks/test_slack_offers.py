"""Answers that people type outside the thread in which the question was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.speech.offers import SOMETHING_NEW, offer_of
from bot.arrivals import Arrivals
from bot.inbox import Inbox
from channels.inbound import Refused
from channels.slack.channel import SlackChannel
from store.arrivals import AnswerOffered, ArrivalDropped, MessageArrived, OpenQuestion, WordsPlaced
from store.events import MessageReceived
from store.thread import Thread
from store.values import Person
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Message
from tests.telling.playbook import NOTHING, ask, done
from tests.telling.story import ANN, AT

OFFER = "What is this message for?"
USE = "Use it as the answer to: «Which tag?»"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


def texts(thread: Thread) -> list[str]:
    return [event.text for event in kinds(thread, MessageReceived)]


def told(office: Office) -> list[str]:
    """In private."""
    return [str(call.args["text"]) for call in office.slack.calls_of("chat.postEphemeral")]


async def asked_in_a_channel(office: Office, user: str = "ana", question: str = "Which tag?") -> Message:
    """The agent asks this person a question, in a thread of a channel."""
    office.model.answers(ask(question))
    asked = await office.slack.mention("deploys", user, "deploy")
    await office.says(question, asked)
    await office.until(asked, "waiting_for_answer")
    return asked


async def offered(office: Office, user: str = "ana", text: str = "v2") -> tuple[Message, Message]:
    """The person answers in a new direct message, and is asked what it is for."""
    said = await office.slack.dm(user, text)
    return said, await office.says(OFFER, said)


async def test_an_answer_in_a_new_direct_message_becomes_one_when_its_author_says_so(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        held = await office.until(said, "waiting_for_answer")
        assert texts(held) == []
        assert len(office.model.prompts) == 1, "until then, nothing happens with the words"
        assert "Until you choose, I do nothing with your message." in office.slack.text_of(offer)
        assert "in your own words" not in office.slack.text_of(offer)
        office.model.answers(done("v2 it is."))
        await office.slack.click("ana", offer, USE)
        await office.says("v2 it is.", asked)
        thread = await office.until(asked, "done")
        left = await office.until(said, "done")
        assert f"answered by ana: {USE}" in office.slack.text_of(office.slack.now(offer))
    assert texts(thread) == ["deploy", "v2"]
    [question] = [step.id for step in thread.state.steps.values() if step.effect == "asks"]
    assert kinds(thread, MessageReceived)[-1].answers == question
    assert [event.moved_to for event in kinds(left, ArrivalDropped)] == [thread.id]
    assert texts(left) == []
    assert "answers: Which tag?" in office.model.prompts[-1]


async def test_something_new_begins_a_conversation(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office, text="what runs on staging?")
        office.model.answers(done("v1 does."))
        await office.slack.click("ana", offer, SOMETHING_NEW)
        await office.says("v1 does.", said)
        assert texts(await office.until(said, "done")) == ["what runs on staging?"]
        assert (await office.thread(asked)).status == "waiting_for_answer"


async def test_where_nothing_is_open_a_direct_message_begins_a_conversation_at_once(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        said = await office.slack.dm("ana", "are you there?")
        await office.says("Hello.", said)
        assert kinds(await office.until(said, "done"), AnswerOffered) == []


async def test_a_question_whose_thread_has_rested_for_more_than_a_week_is_not_offered(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
    later(office, timedelta(days=6))
    async with office.open():
        said, offer = await offered(office)
        office.model.answers(done("Hello."))
        await office.slack.click("ana", offer, SOMETHING_NEW)
        await office.until(said, "done")
    later(office, timedelta(days=8))
    office.model.answers(done("Hello again."))
    async with office.open():
        said = await office.slack.dm("ana", "v2")
        await office.says("Hello again.", said)
        assert kinds(await office.until(said, "done"), AnswerOffered) == []
        assert (await office.thread(asked)).status == "waiting_for_answer", "it can still be answered where it is"


def later(office: Office, by: timedelta) -> None:
    office.inbox = Inbox(office.store, clock=lambda: datetime.now(UTC) + by)


async def test_only_those_to_whom_the_question_was_put_are_offered_it(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        office.model.answers(done("Hello, Ben."))
        said = await office.slack.dm("ben", "v2")
        await office.says("Hello, Ben.", said)
        assert kinds(await office.until(said, "done"), AnswerOffered) == []


async def test_who_took_part_is_offered_it_and_who_was_only_quoted_is_not(office: Office) -> None:
    cat = office.slack.workspace.add_user("cat")
    await office.slack.join("deploys", cat)
    async with office.open():
        began = await office.slack.say("deploys", "cat", "v7 is broken")
        office.model.answers(ask("Which tag?"), ask("Which tag, then?"))
        asked = await office.slack.mention("deploys", "ana", "deploy", began)
        await office.says("Which tag?", asked)
        await office.slack.say("deploys", "ben", "the newest", began)
        await office.says("Which tag, then?", asked)
        await offered(office, "ben")
        office.model.answers(done("Hello, Cat."))
        said = await office.slack.dm("cat", "v2")
        await office.says("Hello, Cat.", said)


async def test_a_question_in_a_thread_of_direct_messages_is_offered_too_and_at_most_three_the_newest(
    office: Office,
) -> None:
    async with office.open():
        questions = ["First?", "Second?", "Third?", "Fourth?"]
        await asked_in_a_channel(office, question=questions[0])
        await asked_in_a_channel(office, question=questions[1])
        await asked_in_a_channel(office, question=questions[2])
        office.model.answers(ask(questions[3]))
        first, offer = await offered(office, text="deploy")
        await office.slack.click("ana", offer, SOMETHING_NEW)
        await office.says(questions[3], first)
        await office.until(first, "waiting_for_answer")
        said, _ = await offered(office)
        [made] = kinds(await office.until(said, "waiting_for_answer"), AnswerOffered)
    assert [asked.question for asked in made.questions] == ["Fourth?", "Third?", "Second?"]
    assert made.questions[0].thread == (await office.thread(first)).id


async def test_pressing_twice_and_pressing_another_button_changes_nothing(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        office.model.answers(done("v2 it is."))
        for choice in (USE, USE, SOMETHING_NEW):
            await office.slack.acknowledged(await office.slack.click("ana", offer, choice))
        await office.says("v2 it is.", asked)
        await office.slack.wait_for(lambda: [text for text in told(office) if "settled already" in text])
        assert texts(await office.until(asked, "done")) == ["deploy", "v2"]
        left = await office.until(said, "done")
    assert texts(left) == []
    assert len(kinds(left, WordsPlaced)) == 1


async def test_nobody_else_places_the_words(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        said, _ = await offered(office)
        thread = await office.until(said, "waiting_for_answer")
        [made] = kinds(thread, AnswerOffered)
        ben = Person(name="ana", address=office.slack.workspace.user("ben").id, trust="verified")
        with pytest.raises(Refused, match="Only ana can say"):
            await office.inbox.answer(thread.id, ben, step=made.id, number=0)
        thread = await office.thread(said)
    assert kinds(thread, WordsPlaced) == []
    assert thread.status == "waiting_for_answer"


async def test_a_question_that_was_answered_meanwhile_is_told_as_such_and_the_words_wait_on(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        office.model.answers(done("v3 it is."))
        await office.slack.say("deploys", "ben", "v3", asked)
        await office.says("v3 it is.", asked)
        await office.slack.acknowledged(await office.slack.click("ana", offer, USE))
        await office.slack.wait_for(lambda: [text for text in told(office) if "nothing was done" in text])
        assert (await office.thread(said)).status == "waiting_for_answer"
        office.model.answers(done("Hello."))
        await office.slack.click("ana", offer, SOMETHING_NEW)
        await office.says("Hello.", said)
        assert texts(await office.until(said, "done")) == ["v2"]


async def test_an_edit_before_the_choice_goes_with_the_words_and_a_deletion_ends_the_offer(office: Office) -> None:
    async with office.open():
        asked = await asked_in_a_channel(office)
        said, offer = await offered(office)
        await office.slack.acknowledged(await office.slack.edit(said, "v3"))
        office.model.answers(done("v3 it is."))
        await office.slack.click("ana", offer, USE)
        await office.says("v3 it is.", asked)
        office.model.answers(ask("Which tag?"))
        await office.slack.say("deploys", "ana", "again", asked)
        await office.until(asked, "waiting_for_answer")
        office.model.answers(NOTHING)
        said, offer = await offered(office, text="v4")
        await office.slack.delete(said)
        await office.until(said, "done")
        assert "no longer needs an answer" in office.slack.text_of(office.slack.now(offer))
    assert "v4" not in "".join(office.model.prompts)


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


async def test_a_worker_that_dies_after_the_choice_places_the_words_once(office: Office) -> None:
    """Between the words' arriving in the other thread and their leaving this one."""
    async with office.listens():
        async with office.works():
            asked = await asked_in_a_channel(office)
            said, offer = await offered(office)
            await office.until(said, "waiting_for_answer")
        await office.slack.acknowledged(await office.slack.click("ana", offer, USE))
        held = await office.clicks_read(said)
        arrived = held.arrived
        assert isinstance(arrived, MessageArrived)
        arrivals = Arrivals(office.inbox, {"slack": SlackChannel(office.client).reader})
        await arrivals.events_of(held, arrived, last_try=True)
        assert len(kinds(await office.thread(asked), MessageArrived)) == 2
        office.model.answers(done("v2 it is."))
        async with office.works():
            await office.says("v2 it is.", asked)
            await office.until(said, "done")
    assert texts(await office.thread(asked)) == ["deploy", "v2"]


async def test_the_offer_waits_for_a_thread_that_is_not_kept_any_more_in_vain(office: Office) -> None:
    async with office.open():
        await asked_in_a_channel(office)
        said, _ = await offered(office)
        thread = await office.until(said, "waiting_for_answer")
        [made] = kinds(thread, AnswerOffered)
        gone = made.model_copy(update={"questions": (made.questions[0].model_copy(update={"thread": "tgone"}),)})
        await office.store.append(Thread("tother"), thread.events[0], thread.events[1], gone)
        with pytest.raises(Refused, match="no longer waits for an answer, so nothing was done"):
            await office.inbox.answer("tother", made.to, step=made.id, number=0)


def test_questions_that_begin_alike_have_choices_that_differ_and_fit_on_buttons() -> None:
    long = "Which of the many tags that there are shall I deploy to production now, and why?"
    questions = [OpenQuestion(thread=f"t{n}", step="s1", question=long) for n in range(3)]
    made = AnswerOffered(id="m/offered", at=AT, becomes="m", to=ANN, words="v2", questions=tuple(questions))
    asked = offer_of(made)
    assert len(set(asked.choices)) == 4
    assert all(len(choice) <= 75 for choice in asked.choices)
    assert asked.context.count(long) == 3
