"""What arrives from Slack is durable before anything of it is looked up, and is read once, whatever happens between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.inbound import Arrival
from channels.messages import Approval
from channels.slack.channel import SlackChannel
from channels.slack.place import place_of
from store.arrivals import ArrivalDropped, MessageArrived
from store.events import MessageEdited, MessageReceived
from store.thread import Thread
from tests.bot.desks.office import Office, kinds, new_office
from tests.channels.slack.test_places import AT
from tests.telling.playbook import done


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


def texts(thread: Thread) -> list[str]:
    return [event.text for event in kinds(thread, MessageReceived)]


@pytest.mark.parametrize("slow", ["conversations.replies", "users.info"])
async def test_it_is_durable_and_acknowledged_while_slack_is_slow(office: Office, slow: str) -> None:
    office.model.answers(done("I see."))
    began = await office.slack.say("deploys", "ben", "v7 is broken")
    gate = office.slack.hold(slow, after_effect=False, when=lambda args: args.get("limit") not in (1, "1"))
    async with gate, office.open():
        asked = await office.slack.mention("deploys", "ana", "what now?", began)
        await office.slack.acknowledged(asked)
        await gate.reached()
        thread = await office.thread(asked)
        assert thread.status == "working"
        assert [event.text.endswith("what now?") for event in kinds(thread, MessageArrived)] == [True]
        assert texts(thread) == []
        gate.release()
        await office.says("I see.", asked)
    assert texts(await office.thread(asked)) == ["v7 is broken", "what now?"]


async def test_a_mention_under_a_message_of_ours_is_durable_before_slack_is_asked_which(office: Office) -> None:
    office.model.answers(done("Hello."), done("It is."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "hello")
        await office.says("Hello.", asked)
        owner = await office.until(asked, "done")
        card = Approval("s4", "0" * 64, "push", {"target": "prod"}, {}, "Ann", AT)
        where = place_of("", office.slack.workspace.channel("deploys").id, "")
        await SlackChannel(office.client).send(where, card, key=f"{owner.id}/s4/card/at/1")
        shown = await office.slack.said(", digest ", "deploys")
    async with office.listens():
        await office.slack.wait_for(lambda: office.slack.calls_of("conversations.replies"))  # It catches up.
        async with office.slack.hold("conversations.replies", after_effect=False) as gate:
            await office.slack.acknowledged(await office.slack.mention("deploys", "ben", "is it tested?", shown))
            assert gate.held == []
        async with office.works():
            await office.slack.said("It is.", "deploys", asked)
    assert texts(await office.store.load(owner.id)) == ["hello", "is it tested?"]


async def test_where_slack_does_not_even_say_whose_the_thread_is_the_mention_is_durable(office: Office) -> None:
    """Under an alert of a classic webhook, of which Slack says no author."""
    office.model.answers(done("I see."))
    async with office.open():
        alert = await office.slack.post_as_bot("deploys", "monitor", "disk full", classic=True)
        fault = office.slack.fail("conversations.replies", "internal_error", times=3)
        asked = await office.slack.mention("deploys", "ana", "what now?", alert)
        for delivery in office.slack.deliveries_of(asked):
            await office.slack.acknowledged(delivery)
            assert len(delivery.attempts) == 1
        await office.says("I see.", asked)
    assert fault.met == 3
    assert texts(await office.thread(asked)) == ["disk full", "what now?"]


async def test_a_worker_that_dies_while_it_reads_doubles_and_loses_nothing(office: Office) -> None:
    office.model.answers(done("I see."))
    began = await office.slack.say("deploys", "ben", "v7 is broken")
    async with office.listens():
        async with office.slack.hold("conversations.replies", after_effect=True) as gate:
            asked = await office.slack.mention("deploys", "ana", "what now?", began)
            await office.slack.acknowledged(asked)
            async with office.works():
                await gate.reached()
            assert texts(await office.thread(asked)) == []
        async with office.works():
            await office.says("I see.", asked)
            thread = await office.until(asked, "done")
    assert texts(thread) == ["v7 is broken", "what now?"]
    assert len(office.model.prompts) == 1


async def test_what_another_program_wrote_in_our_thread_is_read_with_the_next_message(office: Office) -> None:
    office.model.answers(done("I look."), done("Good."), done("Yes."))
    async with office.open():
        alert = await office.slack.post_as_bot("deploys", "monitor", "disk full")
        asked = await office.slack.mention("deploys", "ana", "what now?", alert)
        await office.says("I look.", asked)
        await office.slack.post_as_bot("deploys", "monitor", "recovered", alert)
        await office.slack.say("deploys", "ben", "is it over?", alert)
        await office.says("Good.", asked)
        await office.slack.say("deploys", "ben", "sure?", alert)
        await office.says("Yes.", asked)
    thread = await office.thread(asked)
    assert texts(thread) == ["disk full", "what now?", "recovered", "is it over?", "sure?"]
    assert [event.sender.trust == "verified" for event in kinds(thread, MessageReceived)] == [
        *(False, True, False, True, True)
    ]


async def test_what_came_as_history_is_no_second_message(office: Office) -> None:
    office.model.answers(done("I see."))
    async with office.open():
        began = await office.slack.say("deploys", "ben", "v7 is broken")
        asked = await office.slack.mention("deploys", "ana", "what now?", began)
        await office.says("I see.", asked)
        thread = await office.until(asked, "done")
        late = kinds(thread, MessageArrived)[0].payload
        arrival = Arrival("slack", f"{began.channel}:{began.ts}", "v7 is broken", late)
        assert await office.inbox.arrived_in(thread.id, arrival)
        async for now in office.store.follow(thread):
            if kinds(now, ArrivalDropped):
                thread = now
                break
    assert texts(thread) == ["v7 is broken", "what now?"]
    assert thread.arrived is None
    assert thread.status == "done"


async def test_a_mention_under_a_card_is_moved_to_its_thread_once_slack_says_whose_it_is(office: Office) -> None:
    office.model.answers(done("Hello."), done("It is."), done("You are welcome."))
    async with office.open():
        asked = await office.slack.mention("secrets", "ana", "hello")
        await office.says("Hello.", asked)
        owner = await office.until(asked, "done")
        card = Approval("s4", "0" * 64, "push", {"target": "prod"}, {}, "Ann", AT)
        where = place_of("", office.slack.workspace.channel("deploys").id, "")
        await SlackChannel(office.client).send(where, card, key=f"{owner.id}/s4/card/at/1")
        shown = await office.slack.said(", digest ", "deploys")
        office.slack.fail("conversations.replies", "internal_error", times=1)
        await office.slack.mention("deploys", "ben", "is it tested?", shown)
        await office.slack.said("It is.", "secrets", asked)
        await office.slack.mention("deploys", "ben", "thanks", shown)
        await office.slack.said("You are welcome.", "secrets", asked)
    owner = await office.store.load(owner.id)
    assert texts(owner) == ["hello", "is it tested?", "thanks"]


async def test_who_cannot_be_looked_up_at_last_is_unverified_and_what_is_missing_is_said(office: Office) -> None:
    began = await office.slack.say("deploys", "ben", "v7 is broken")
    async with office.listens():
        asked = await office.slack.mention("deploys", "ana", "what now?", began)
        await office.slack.acknowledged(asked)
    for method in ("users.info", "conversations.replies"):
        office.slack.fail(method, "internal_error", times=9)
    thread = await office.reads_arrivals((await office.thread(asked)).id)
    (message,) = kinds(thread, MessageReceived)
    assert (message.text, message.sender.trust) == ("what now?", "unverified")
    assert message.left_out == "what was said here before, which Slack did not return"


async def test_an_edit_is_durable_before_its_names_are_looked_up(office: Office) -> None:
    ben = office.slack.workspace.user("ben").id
    async with office.listens(), office.slack.hold("users.info", after_effect=False):
        asked = await office.slack.mention("deploys", "ana", "deploy v1")
        await office.slack.acknowledged(await office.slack.edit(asked, f"deploy v2, <@{ben}> said"))
        thread = await office.thread(asked)
        assert len(kinds(thread, MessageArrived)) == 2
    thread = await office.reads_arrivals(thread.id)
    (edited,) = kinds(thread, MessageEdited)
    assert edited.text == "deploy v2, @ben said"
    assert thread.state.edits.texts == {edited.message: "deploy v2, @ben said"}
    assert thread.arrived is None


async def test_a_copy_of_a_thread_reads_nothing_that_arrived_in_the_other(office: Office) -> None:
    async with office.listens():
        asked = await office.slack.mention("deploys", "ana", "deploy v1")
        await office.slack.acknowledged(asked)
    thread = await office.thread(asked)
    by = (await office.reads_arrivals(thread.id)).events[-1]
    assert isinstance(by, MessageReceived)
    fork = await office.inbox.fork(thread.id, 2, by.sender, place_of("T0TEAM001", asked.channel, "1.2"))
    assert len(kinds(fork, MessageArrived)) == 1
    assert fork.arrived is None
