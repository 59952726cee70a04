"""Where the agent speaks in Slack of its own accord: in channels, to people, in threads that it opens itself.

And what people do there: what hangs from such a message belongs to the thread that it was said for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.desks.slack import SlackDesk
from channels.base import SendFailed
from channels.inbound import InboundMessage
from channels.messages import Approval, Ended, Notice, Reminded, Rewrite, Text, Under, Vote
from channels.slack.absence import Absences
from channels.slack.channel import SlackChannel
from channels.slack.connection import identify
from channels.slack.inbound import SlackInbound
from channels.slack.marks import METADATA, thread_in
from channels.slack.place import place_of, thread_at
from channels.slack.sweep import Sweep
from store.deliveries import MessageSent
from store.events import MessageDeleted, MessageEdited, MessageReceived, TriggerReceived, WorkStopped
from store.keys import thread_id_of
from store.thread import Thread
from store.values import Person, Place
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Message
from tests.store.threads import thread_ids
from tests.telling.playbook import done
from tests.telling.story import BOB

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
LONG = "\n\n".join(f"Paragraph {n}. " + "word " * 1_000 for n in range(5))


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


@pytest.fixture
async def channel(office: Office) -> AsyncIterator[SlackChannel]:
    it = SlackChannel(office.client)
    yield it
    await it.aclose()


def in_channel(office: Office, name: str = "deploys", thread: str = "") -> Place:
    return Place(channel="slack", address=f"/{office.slack.workspace.channel(name).id}/{thread}")


def to_user(office: Office, name: str = "ana", thread: str = "") -> Place:
    return Place(channel="slack", address=f"/{office.slack.workspace.user(name).id}/{thread}")


def card(**more: Any) -> Approval:
    return Approval("s4", "0" * 64, "push", {"target": "prod"}, {}, "Ann", AT, quorum=2, **more)


def read(office: Office, where: str = "deploys") -> list[str]:
    return [office.slack.text_of(message) for message in office.slack.messages(where)]


# Surfaces


@pytest.mark.parametrize("place_in", [in_channel, to_user])
async def test_a_card_that_is_shown_elsewhere_is_kept_up_to_date_there(
    office: Office, channel: SlackChannel, place_in: Any
) -> None:
    place = place_in(office)
    receipt = await channel.send(place, card(), key="t1/s4/card/at/1")
    shown = await office.slack.said(", digest ")
    assert (shown.ts, shown.thread_ts) == (receipt, None)
    await channel.send(place, card(votes=(Vote("Ann", AT),)), Rewrite(receipt), key="t1/s4/votes/7/at/1")
    assert "1 of 2 approvals: Ann at 2026-11-20 09:00 UTC" in office.slack.text_of(office.slack.now(shown))
    assert office.slack.buttons_of(office.slack.now(shown)) == ["Approve", "Reject"]
    settled = card(state=Ended("approved", by=BOB, at=AT))
    assert await channel.send(place, settled, Rewrite(receipt), key="t1/s4/settled/at/1") == receipt
    assert office.slack.buttons_of(office.slack.now(shown)) == []
    assert len(office.slack.messages(shown.channel)) == 1
    assert len(office.slack.calls_of("conversations.open")) == (1 if place_in is to_user else 0)


async def test_a_card_with_long_details_is_kept_up_to_date_at_its_last_message(
    office: Office, channel: SlackChannel
) -> None:
    long = Approval("s4", "0" * 64, "push", {"notes": "x" * 9_000}, {}, "Ann", AT, quorum=2)
    receipt = await channel.send(in_channel(office), long, key="t1/s4/card/at/1")
    *details, last = office.slack.messages("deploys")
    assert details
    assert last.ts == receipt
    voted = replace(long, votes=(Vote("Bob", AT),))
    await channel.send(in_channel(office), voted, Rewrite(receipt), key="t1/s4/votes/7/at/1")
    assert [office.slack.now(message) for message in details] == details
    assert "1 of 2 approvals: Bob" in office.slack.text_of(office.slack.now(last))
    assert office.slack.buttons_of(office.slack.now(last)) == ["Approve", "Reject"]


async def test_a_reminder_is_said_under_the_card_that_waits(office: Office, channel: SlackChannel) -> None:
    place = in_channel(office)
    receipt = await channel.send(place, card(), key="t1/s4/card/at/1")
    ana = office.slack.workspace.user("ana")
    people = (Person(name="Ana", address=ana.id), BOB.model_copy(update={"address": "bob@example.com"}))
    reminder = card(group="release", approvers=people, state=Reminded())
    for since in (None, datetime.now(UTC)):
        await channel.send(place, reminder, Under(receipt), key="t1/s4/reminder/remind/at/1", since=since)
    shown, reminded = office.slack.messages("deploys")
    assert reminded.thread_ts == shown.ts
    assert office.slack.text_of(reminded).endswith(f"<@{ana.id}>, Bob")


async def test_a_reminder_in_the_own_place_is_said_in_its_thread(office: Office, channel: SlackChannel) -> None:
    root = await office.slack.say("deploys", "ana", "push, please")
    place = place_of("T0TEAM001", root.channel, root.ts)
    receipt = await channel.send(place, card(), key="t1/s4/card")
    reminder = card(group="release", state=Reminded())
    await channel.send(place, reminder, Under(receipt), key="t1/s4/reminder/remind")
    assert [message.thread_ts for message in office.slack.messages("deploys")] == [None, root.ts, root.ts]


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("random", "not_in_channel"),
        ("archive", "is_archived"),
        ("C0NOWHERE", "channel_not_found"),
        ("U0NOBODY", "user_not_found"),
        ("gone", "user_disabled"),
    ],
)
async def test_where_it_cannot_speak_it_says_why_and_does_not_try_again(
    office: Office, channel: SlackChannel, to: str, error: str
) -> None:
    workspace = office.slack.workspace
    gone = workspace.add_user("gone")
    workspace.change_user(gone, deleted=True)
    archive = workspace.add_channel("archive", members=("ana", workspace.bot), archived=True)
    ids = {"random": workspace.channel("random").id, "archive": archive.id, "gone": gone.id}
    with pytest.raises(SendFailed, match=error) as failed:
        await channel.send(Place(channel="slack", address=f"/{ids.get(to, to)}/"), Notice("hello"), key="t1/x")
    assert failed.value.retry_after_seconds is None


# Threads that it opens itself


@pytest.mark.parametrize("place_in", [in_channel, to_user])
async def test_a_thread_hangs_from_its_first_message(office: Office, channel: SlackChannel, place_in: Any) -> None:
    place = place_in(office, thread="#monday@2026-11-23T09:00:00+00:00")
    receipt = await channel.send(place, Text("Good morning."), key="t1/s0/say")
    said = await office.slack.said("Good morning.")
    assert (said.ts, said.thread_ts) == (receipt, None)
    assert channel.anchored(place, receipt) == place_of("T0TEAM001", said.channel, said.ts)
    assert channel.anchored(place, "1.2") is None


async def test_a_long_first_message_goes_on_in_its_own_thread(office: Office, channel: SlackChannel) -> None:
    place = in_channel(office, thread="#monday@1")
    receipt = await channel.send(place, Text(LONG), key="t1/s0/say")
    root, *rest = office.slack.messages("deploys")
    assert rest
    assert {message.thread_ts for message in rest} == {root.ts}
    assert rest[-1].ts == receipt
    assert channel.anchored(place, receipt) == place_of("T0TEAM001", root.channel, root.ts)


@pytest.mark.parametrize("posted", [1, 2, 99])
async def test_a_first_message_is_said_once_wherever_its_process_died(office: Office, posted: int) -> None:
    place, began = in_channel(office, thread="#monday@1"), datetime.now(UTC)
    dying, next_one = SlackChannel(office.client), SlackChannel(office.client)
    if posted < 99:
        office.slack.fail("chat.postMessage", "fatal_error", when=_after(posted))
        with pytest.raises(SendFailed):
            await dying.send(place, Text(LONG), key="t1/s0/say")
    else:
        await dying.send(place, Text(LONG), key="t1/s0/say")
    receipt = await next_one.send(place, Text(LONG), key="t1/s0/say", since=began)
    root, *rest = office.slack.messages("deploys")
    texts = read(office)
    assert [sum(f"Paragraph {n}." in text for text in texts) for n in range(5)] == [1] * 5
    assert {message.thread_ts for message in rest} == {root.ts}
    assert next_one.anchored(place, receipt) == place_of("T0TEAM001", root.channel, root.ts)


def _after(count: int) -> Any:
    seen = 0

    def is_next(_: Any) -> bool:
        nonlocal seen
        seen += 1
        return seen > count

    return is_next


async def test_nothing_is_shown_as_under_way_where_no_thread_is(office: Office, channel: SlackChannel) -> None:
    for place in (in_channel(office), in_channel(office, thread="#monday@1"), to_user(office, thread="#monday@1")):
        assert thread_at(place) is None
        channel.busy(place, "is thinking…", about="C1:1.2")
        await channel.send(place, Notice("hello"), key=f"t1/{place.address}")
        channel.at_rest(place, "human")
    await channel.aclose()
    assert office.slack.calls_of("assistant.threads.setStatus") == []
    assert office.slack.calls_of("agents.sessions.setStatus") == []


# What hangs from a message of ours


async def opened(office: Office, place: Place, text: str = "Good morning.") -> tuple[Thread, Message]:
    """A thread that a schedule opened, and its first message, which is from the model."""
    office.model.answers(done(text))
    trigger = TriggerReceived(id="monday/1", at=datetime.now(UTC), source="cron", name="monday")
    thread_id = await office.inbox.trigger(place, trigger, agent="ops")
    said = await office.slack.said(text)
    return await settles(office, thread_id, "done"), said


async def settles(office: Office, thread_id: str, status: str) -> Thread:
    thread = await office.store.load(thread_id)
    if thread.status == status and not thread.state.outbox:
        return thread
    async for now in office.store.follow(thread):
        if now.status == status and not now.state.outbox:
            return now
    raise AssertionError


@pytest.mark.parametrize("place_in", [in_channel, to_user])
async def test_a_reply_under_the_first_message_goes_on_with_its_thread(office: Office, place_in: Any) -> None:
    async with office.open():
        thread, said = await opened(office, place_in(office, thread="#monday@1"))
        assert thread.place == place_of("T0TEAM001", said.channel, said.ts)
        office.model.answers(done("It is Monday."), done("You are welcome."))
        replied = await office.slack.say(said.channel, "ana", "what day is it?", said)
        await office.slack.said("It is Monday.", said.channel, said)
        await office.slack.mention(said.channel, "ana", "thanks", said)
        await office.slack.said("You are welcome.", said.channel, said)
        thread = await settles(office, thread.id, "done")
    assert [e.text for e in kinds(thread, MessageReceived)] == ["what day is it?", "thanks"]
    assert await thread_ids(office.store) == [thread.id], "no other thread was opened"
    assert await office.store.get_note(f"slack/held/{said.channel}/{said.ts}") == thread.id
    asked = [call for call in office.slack.calls_of("conversations.replies") if call.args.get("limit") in (1, "1")]
    assert len(asked) == 1, "Slack was asked once"
    assert replied.thread_ts == said.ts


async def test_what_is_changed_or_taken_back_under_the_first_message_counts(office: Office) -> None:
    async with office.listens():
        async with office.works():
            thread, said = await opened(office, in_channel(office, thread="#monday@1"))
        first = await office.slack.say("deploys", "ana", "deploy v1", said)
        second = await office.slack.say("deploys", "ana", "and v3", said)
        await office.slack.acknowledged(await office.slack.edit(first, "deploy v2"))
        await office.slack.delete(second)
        for delivery in list(office.slack.deliveries.all):
            await office.slack.acknowledged(delivery)
        thread = await office.reads_arrivals(thread.id)
    (edited,), (deleted,) = kinds(thread, MessageEdited), kinds(thread, MessageDeleted)
    messages = kinds(thread, MessageReceived)
    assert isinstance(edited, MessageEdited)
    assert isinstance(deleted, MessageDeleted)
    assert (edited.message, edited.text, deleted.message) == (messages[0].id, "deploy v2", messages[1].id)
    assert thread.state.edits.texts == {messages[0].id: "deploy v2", messages[1].id: None}


async def test_an_edit_whose_message_was_never_heard_is_kept_for_the_right_thread(office: Office) -> None:
    async with office.works():
        thread, said = await opened(office, in_channel(office, thread="#monday@1"))
    # Nobody listens: what is said and then changed comes as an edit alone.
    office.slack.subscriptions.discard("message.channels")
    first = await office.slack.say("deploys", "ana", "deploy v1", said)
    office.slack.subscriptions.add("message.channels")
    async with office.listens():
        await office.slack.acknowledged(await office.slack.edit(first, "deploy v2"))
        thread = await office.reads_arrivals(thread.id)
    (edited,) = kinds(thread, MessageEdited)
    assert (edited.message, edited.text) == (f"from/slack/{first.channel}:{first.ts}", "deploy v2")


async def test_a_reply_under_a_card_that_is_shown_elsewhere_goes_to_the_thread_of_the_card(office: Office) -> None:
    place = place_of("T0TEAM001", "C0OTHER", "1795000000.000100")
    await office.inbox.message(place, InboundMessage(BOB, "push", "C0OTHER:1795000000.000100"), agent="ops")
    thread_id = thread_id_of(place)
    await SlackChannel(office.client).send(in_channel(office), card(), key=f"{thread_id}/s4/card/at/1")
    shown = await office.slack.said(", digest ")
    async with office.listens():
        reply = await office.slack.say("deploys", "ana", "is it tested?", shown)
        await office.slack.acknowledged(reply)
        await office.reads_arrivals(thread_id)
    async with office.listens():
        # Another process knows it from the store, even where Slack does not say whose message it hangs from.
        office.slack.fail("conversations.replies", times=9)
        again = await office.slack.say("deploys", "ben", "it is", shown)
        await office.slack.acknowledged(again)
    thread = await office.reads_arrivals(thread_id)
    assert [e.text for e in kinds(thread, MessageReceived)] == ["push", "is it tested?", "it is"]


async def test_a_reply_is_durable_before_slack_says_whose_the_message_above_is(office: Office) -> None:
    async with office.listens():
        async with office.works():
            thread, said = await opened(office, in_channel(office, thread="#monday@1"))
        office.model.answers(done("It is Monday."))
        async with office.slack.hold("conversations.replies", after_effect=False) as gate:
            reply = await office.slack.say("deploys", "ana", "what day is it?", said)
            await office.slack.acknowledged(reply)
            (delivery,) = office.slack.deliveries_of(reply)
            assert (gate.held, len(delivery.attempts)) == ([], 1)
            async with office.works():
                await gate.reached()
        # The worker has ended while Slack did not answer.
        async with office.works():
            await office.slack.said("It is Monday.", "deploys", said)
        thread = await settles(office, thread.id, "done")
    assert len(kinds(thread, MessageReceived)) == 1
    assert await thread_ids(office.store) == [thread.id]


async def test_where_slack_fails_to_say_whose_a_message_is_it_is_asked_again(office: Office) -> None:
    async with office.open():
        thread, said = await opened(office, in_channel(office, thread="#monday@1"))
        office.model.answers(done("It is Monday."))
        fault = office.slack.fail("conversations.replies", "internal_error")
        await office.slack.say("deploys", "ana", "what day is it?", said)
        await office.slack.said("It is Monday.", "deploys", said)
        thread = await settles(office, thread.id, "done")
    assert fault.met
    assert len(kinds(thread, MessageReceived)) == 1


async def test_a_message_of_ours_for_a_thread_that_nobody_knows_begins_none(office: Office) -> None:
    await SlackChannel(office.client).send(in_channel(office), Notice("hello"), key="tunknown/s4/card/at/1")
    said = await office.slack.said("hello")
    office.model.answers(done("Hello."))
    async with office.listens():
        for words in ("lunch?", "now?"):
            await office.slack.acknowledged(await office.slack.say("deploys", "ana", words, said))
            await office.reads_arrivals((await office.thread(said)).id)
            assert await thread_ids(office.store) == []
        async with office.works():
            asked = await office.slack.mention("deploys", "ana", "are you there?", said)
            await office.says("Hello.", asked)
            thread = await office.until(asked, "done")
    assert [e.text for e in kinds(thread, MessageReceived)][-1] == "are you there?"
    assert await thread_ids(office.store) == [thread.id]


@pytest.mark.parametrize("classic", [False, True])
async def test_nobody_elses_message_passes_for_ours(office: Office, classic: bool) -> None:
    place = place_of("T0TEAM001", "C0OTHER", "1795000000.000100")
    await office.inbox.message(place, InboundMessage(BOB, "push", "C0OTHER:1795000000.000100"), agent="ops")
    workspace = office.slack.workspace
    robot = workspace.add_user("robot", is_bot=True)
    mark = {"event_type": METADATA, "event_payload": {"key": f"{thread_id_of(place)}/s4/card", "part": 0}}
    user = None if classic else robot.id  # of whom Slack says nothing, and we have to look
    forged = Message(
        workspace.channel("deploys").id, workspace.new_ts(), user, "Approve?", bot_id=robot.bot_id, metadata=mark
    )
    workspace.put(forged)
    async with office.listens():
        await office.slack.acknowledged(await office.slack.say("deploys", "ana", "is it tested?", forged))
        # The sweep reads the other thread, sooner or later.
        assert [c for c in office.slack.calls_of("conversations.replies") if c.args["channel"] == forged.channel] == []
        await office.slack.acknowledged(await office.slack.mention("deploys", "ana", "is it tested?", forged))
    elsewhere = place_of("T0TEAM001", forged.channel, forged.ts)
    await office.reads_arrivals(thread_id_of(elsewhere))
    looked = [c for c in office.slack.calls_of("conversations.replies") if "include_all_metadata" in c.args]
    assert bool(looked) is classic
    thread = await office.store.load(thread_id_of(place))
    assert [e.text for e in kinds(thread, MessageReceived)] == ["push"]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"event_type": METADATA},
        {"event_type": METADATA, "event_payload": None},
        {"event_type": METADATA, "event_payload": {"key": 7}},
        {"event_type": "another", "event_payload": {"key": "t1/s4/card"}},
    ],
)
def test_a_message_without_our_mark_was_said_for_no_thread(metadata: Any) -> None:
    assert thread_in({"ts": "1.2", "metadata": metadata}) == ""


async def test_the_stop_button_ends_what_is_under_way_in_a_thread_that_we_opened(office: Office) -> None:
    async with office.open():
        thread, said = await opened(office, to_user(office, thread="#monday@1"))
        office.slack.set_session(said.channel, said.ts, "processing")
        stopped = await office.slack.stop_session("ana", said.channel, said)
        assert stopped
        await office.slack.acknowledged(stopped)
        await office.says("Stopped by ana", said)
        now = await settles(office, thread.id, "done")
    assert kinds(now, WorkStopped)


async def test_what_was_said_in_a_thread_of_our_own_while_nobody_listened_is_heard_later(office: Office) -> None:
    async with office.works():
        thread, said = await opened(office, in_channel(office, thread="#monday@1"))
    await SlackChannel(office.client).send(in_channel(office), card(), key=f"{thread.id}/s4/card/at/1")
    shown = await office.slack.said(", digest ")
    async with office.listens():
        office.slack.subscriptions.discard("message.channels")
        missed = await office.slack.say("deploys", "ana", "what day is it?", said)
        office.slack.subscriptions.add("message.channels")
        # Newer than what was missed, and said elsewhere.
        await office.slack.acknowledged(await office.slack.say("deploys", "ana", "is it tested?", shown))
    await office.reads_arrivals(thread.id)
    me, _ = await identify(office.client)
    desk = SlackDesk(office.store, lambda _: "ops", me)
    absences = Absences(desk.notes, me.team, desk.now)
    sweep = Sweep(office.client, me, SlackInbound(office.client, me, office.inbox, desk), desk, absences)
    (where, since) = next(iter((await desk.places_to_sweep()).items()))
    assert where == thread.place
    assert since == said.ts
    await absences.present(was_away=True)
    assert await sweep.catch_up()
    thread = await office.reads_arrivals(thread.id)
    assert [e.id.endswith(missed.ts) for e in kinds(thread, MessageReceived)] == [False, True]
    (sent, *_) = kinds(thread, MessageSent)
    assert isinstance(sent, MessageSent)
    assert sent.place == thread.place
