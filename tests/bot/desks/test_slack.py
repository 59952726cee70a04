"""The agent in a Slack workspace: what people do there and what they are told, trouble included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import yaml

from agent.perform import read
from agent.steps import Step, as_question
from bot.inbox import Inbox
from channels import places
from channels.inbound import InboundMessage, Refused
from channels.messages import Notice
from channels.places import Alerts
from channels.slack.channel import SlackChannel
from channels.slack.connection import SCOPES
from channels.slack.downloads import is_slack_url
from channels.slack.events import Stopped
from channels.slack.place import place_of
from store.arrivals import ClickArrived
from store.base import StoreUnavailable
from store.deliveries import MessageFailed, MessageSent
from store.events import Event, MessageReceived
from store.keys import thread_id_of
from store.memory import MemoryStore
from store.pages import Page
from store.thread import Thread
from store.values import Attachment, Person
from tests.bot.desks.office import MANIFEST, Office, kinds, new_office
from tests.fakes.slack import Message
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.telling.playbook import NOTHING, Push, done
from tests.telling.story import ANN

PROD = Push(target="prod")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


async def asked_for_prod(office: Office, user: str = "ana") -> tuple[Message, Message]:
    """Somebody asks for it, and there is the card."""
    office.model.answers(PROD)
    asked = await office.slack.mention("deploys", user, "push to prod")
    return asked, await office.says("May decide", asked)


# Being spoken to


async def test_a_mention_is_answered_in_its_thread_which_is_followed_from_then_on(office: Office) -> None:
    office.model.answers(done("Hello."), done("Still here."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        answer = await office.says("Hello.", asked)
        assert answer.thread == asked.ts
        await office.slack.say("deploys", "ben", "and now?", asked)
        await office.says("Still here.", asked)
    first, second = kinds(await office.thread(asked), MessageReceived)
    assert isinstance(first, MessageReceived)
    assert isinstance(second, MessageReceived)
    ana = office.slack.workspace.user("ana")
    assert (first.text, first.sender.address, first.sender.trust) == ("are you there?", ana.id, "verified")
    assert second.text == "and now?"
    assert len(office.model.prompts) == 2, "the mention came as two events, and was one message"


async def test_a_direct_message_needs_no_mention(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        said = await office.slack.dm("ana", "are you there?")
        await office.says("Hello.", said)
        await office.until(said, "done")
        await office.slack.wait_for(lambda: office.slack.session_status(said.channel, said) == "active")
        titles = await office.slack.wait_for(lambda: office.slack.calls_of("assistant.threads.setTitle"))
    assert titles[0].args["title"] == "are you there?"


async def test_what_is_said_to_others_wakes_nobody(office: Office) -> None:
    async with office.open():
        alone = await office.slack.say("deploys", "ana", "lunch?")
        await office.slack.say("deploys", "ben", "yes", alone)
        other = office.slack.workspace.add_user("robot", is_bot=True)
        robot = await office.slack.post_as_bot("deploys", other, f"<@{office.slack.workspace.bot.id}> build failed")
        joined = await office.slack.join("random", "ben")
        for message in (alone, robot):
            await office.slack.acknowledged(message)
        assert joined is None or joined
    assert await thread_ids(office.store) == []


async def test_what_was_said_before_the_mention_is_read_and_vouched_for_by_nobody(office: Office) -> None:
    office.model.answers(done("I see."))
    async with office.open():
        began = await office.slack.say("deploys", "ben", "v7 is broken, roll it back")
        await office.slack.say("deploys", "ben", "really", began)
        asked = await office.slack.mention("deploys", "ana", "what do you think?", began)
        await office.says("I see.", asked)
    prompt = office.model.prompts[0]
    ben = office.slack.workspace.user("ben")
    assert f"({'third party'})\ntext: v7 is broken, roll it back" in prompt
    assert prompt.index("v7 is broken") < prompt.index("really") < prompt.index("what do you think?")
    senders = [e.sender.address for e in kinds(await office.thread(asked), MessageReceived)]
    assert senders == [ben.id, ben.id, office.slack.workspace.user("ana").id]


async def test_a_text_file_is_read_and_any_other_is_told_by_its_name(office: Office) -> None:
    office.model.answers(done("I see."))
    async with office.open():
        files = {"error.log": b"readiness probe failed", "cat.png": b"\x89PNG"}
        asked = await office.slack.mention("deploys", "ana", "look at these", files=files)
        await office.says("I see.", asked)
    assert "readiness probe failed" in office.model.prompts[0]
    assert "cat.png" in office.model.prompts[0]
    assert "PNG\n" not in office.model.prompts[0].replace("cat.png", "")


async def test_a_message_that_was_edited_in_time_counts_as_edited(office: Office) -> None:
    office.model.answers(done("v2, then."))
    async with office.listens():
        asked = await office.slack.mention("deploys", "ana", "deploy v1")
        await office.slack.acknowledged(asked)
        edited = await office.slack.edit(asked, "deploy v2")
        await office.slack.acknowledged(edited)
        async with office.works():
            await office.says("v2, then.", asked)
    assert "text: deploy v2\n" in office.model.prompts[0]
    assert "deploy v1" not in office.model.prompts[0]
    assert len(office.model.prompts) == 1


async def test_a_message_that_was_deleted_in_time_is_not_read(office: Office) -> None:
    office.model.answers(NOTHING)
    async with office.listens():
        asked = await office.slack.mention("deploys", "ana", "deploy v1")
        await office.slack.acknowledged(asked)
        await office.slack.delete(asked)
        await office.slack.wait_for(lambda: len(office.slack.deliveries.all) >= 3)
        for delivery in list(office.slack.deliveries.all):
            await office.slack.acknowledged(delivery)
        async with office.works():
            await office.until(asked, "done")
    assert "deploy v1" not in office.model.prompts[0]


# Deciding


async def test_an_approval_runs_exactly_what_the_card_showed(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        assert "newest for prod" in office.slack.text_of(card)
        office.model.answers(done("It is out."))
        await office.slack.click("ben", card, "Approve")
        await office.says("It is out.", asked)
        assert office.desk.ran == ["push(target: prod)"]
        now = office.slack.now(card)
        assert "✅ approved by" in office.slack.text_of(now)
        assert office.slack.buttons_of(now) == []


async def test_a_rejection_takes_a_reason_which_the_model_reads(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("As you wish."))
        await office.slack.click("ben", card, "Reject")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
        await office.slack.submit("ben", view, {"reason": "not on a Friday"})
        await office.says("As you wish.", asked)
        await office.slack.wait_for(lambda: not office.slack.views)
    assert "not on a Friday" in office.model.prompts[-1]
    assert "— not on a Friday" in office.slack.text_of(office.slack.now(card))
    assert office.desk.ran == []


async def test_a_reason_may_be_empty(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("As you wish."))
        await office.slack.click("ben", card, "Reject")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
        await office.slack.submit("ben", view, {})
        await office.says("As you wish.", asked)


async def test_whoever_comes_late_is_told_so_alone(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("It is out."))
        await office.slack.click("ben", card, "Approve")
        await office.says("It is out.", asked)
        await office.slack.click("ana", card, "Reject")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
        await office.slack.submit("ana", view, {"reason": "too late?"})
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
    assert "Already approved by" in told[0].args["text"]
    assert told[0].args["user"] == office.slack.workspace.user("ana").id
    assert office.desk.ran == ["push(target: prod)"]


async def test_the_same_click_three_times_is_one_approval(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("It is out."))
        clicks = [await office.slack.click("ben", card, "Approve") for _ in range(2)]
        await office.slack.redeliver(clicks[0])
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    assert [e.kind for e in thread.events].count("approval_decided") == 1
    assert office.desk.ran == ["push(target: prod)"]


async def test_two_people_at_the_same_moment_and_one_wins(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("It is out."))
        await asyncio.gather(office.slack.click("ana", card, "Approve"), office.slack.click("ben", card, "Approve"))
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
        await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
    assert [e.kind for e in thread.events].count("approval_decided") == 2
    assert office.desk.ran == ["push(target: prod)"]


async def test_whoever_may_not_decide_is_told_so_and_it_is_on_record(office: Office) -> None:
    async with office.open():
        asked, _ = await asked_for_prod(office)
        before = await office.until(asked, "waiting_for_approval")
        assert before.pending
        stranger = Person(name="Mallory", address="U0OTHER", trust="unverified")
        result = await office.inbox.decide(
            before.id,
            stranger,
            approved=True,
            step_id=before.pending.step,
            digest=before.pending.digest[:16],
        )
        after = await office.until(asked, "waiting_for_approval")
    assert result.text.startswith("You may not decide on this request")
    assert result.text.endswith(" Your attempt is on record.")
    assert after.events[-1].kind == "approval_decided"
    assert office.desk.ran == []


async def test_a_guest_can_approve_nothing(office: Office) -> None:
    office.slack.workspace.change_user("ben", is_guest=True)
    async with office.open():
        asked, card = await asked_for_prod(office)
        await office.slack.click("ben", card, "Approve")
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        thread = await office.until(asked, "waiting_for_approval")
    assert "You may not decide on this request" in told[0].args["text"]
    assert thread.pending
    assert office.desk.ran == []


async def test_without_slacks_word_on_who_clicked_nothing_is_recorded(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LOOK_UP_MAX", timedelta(0))
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.slack.fail("users.info", times=9)
        await office.slack.click("ben", card, "Approve")
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        thread = await office.until(asked, "waiting_for_approval")
    assert "click again" in told[0].args["text"]
    assert "approval_decided" not in [event.kind for event in thread.events]


async def test_an_approval_of_a_request_that_was_replaced_changes_nothing(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(Push(target="staging"))
        await office.slack.say("deploys", "ana", "to staging, I mean", asked)
        await office.says("newest for staging", asked)
        await office.until(asked, "waiting_for_approval")
        await office.slack.click("ben", card, "Approve")
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        assert "superseded" in told[0].args["text"]
        assert "⏹ superseded" in office.slack.text_of(office.slack.now(card))
    assert office.desk.ran == []


# Questions


async def test_a_question_is_answered_by_a_button_which_then_goes(office: Office) -> None:
    office.model.answers(as_question("Really?", "It is Friday.", yes_no=True, urgent=True), done("Good."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push")
        question = await office.says("Really?", asked)
        assert office.slack.buttons_of(question) == ["yes", "no"]
        assert "Urgent" in office.slack.text_of(question)
        await office.slack.click("ben", question, "no")
        await office.says("Good.", asked)
        await office.until(asked, "done")
        assert office.slack.buttons_of(office.slack.now(question)) == []
        assert "answered by" in office.slack.text_of(office.slack.now(question))
        await office.slack.click("ana", question, "yes")
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
    assert "no open question" in told[0].args["text"] or "no longer needs an answer" in told[0].args["text"]
    assert "text: no" in office.model.prompts[-1] or 'text: "no"' in office.model.prompts[-1]


async def test_a_question_may_be_answered_in_words(office: Office) -> None:
    office.model.answers(as_question("Really?", "", yes_no=True), done("Good."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push")
        question = await office.says("Really?", asked)
        await office.slack.say("deploys", "ana", "only the backend", asked)
        await office.says("Good.", asked)
        await office.until(asked, "done")
        assert office.slack.buttons_of(office.slack.now(question)) == []


async def test_of_two_answers_at_the_same_moment_one_counts(office: Office) -> None:
    office.model.answers(as_question("Really?", "", yes_no=True), done("Good."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push")
        question = await office.says("Really?", asked)
        await office.until(asked, "waiting_for_answer")
        await asyncio.gather(office.slack.click("ana", question, "yes"), office.slack.click("ben", question, "no"))
        told = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        thread = await office.until(asked, "done")
    assert "no longer needs an answer" in told[0].args["text"]
    assert len([e for e in kinds(thread, MessageReceived) if e.answers]) == 1


# App Home, the stop button, what it is doing


async def test_home_shows_what_waits_and_what_one_asked_for(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        hello = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", hello)
        await asked_for_prod(office)
        await office.slack.open_home("ana")
        await office.slack.wait_for(lambda: office.slack.home_of("ana"))
        home = office.slack.home_of("ana")
        assert home
        text = office.slack.text_of(home)
        await office.slack.open_home("ben")
        await office.slack.wait_for(lambda: office.slack.home_of("ben"))
        bens = office.slack.home_of("ben")
        assert bens
    waits, _, rest = text.partition("Requested by you")
    assert "push target=prod: waiting for approval" in waits
    assert "are you there?" in rest
    assert "push" not in office.slack.text_of(bens), "it may be held where he cannot look"


async def test_the_stop_button_ends_what_is_under_way(office: Office) -> None:
    thinking = asyncio.Event()

    async def thinks(_: str) -> Step:
        await thinking.wait()
        return PROD

    office.model.answers(thinks)
    async with office.open():
        said = await office.slack.dm("ana", "push to prod")
        await office.slack.wait_for(lambda: office.slack.session_status(said.channel, said) == "processing")
        stopped = await office.slack.stop_session("ana", said.channel, said)
        assert stopped
        await office.slack.acknowledged(stopped)
        thinking.set()
        await office.says("Stopped by ana", said)
        thread = await office.until(said, "done")
        assert thread.state.steps == {}
        office.model.answers(done("Hello again."))
        await office.slack.say(said.channel, "ana", "are you there?", said)
        await office.says("Hello again.", said)
    assert office.desk.ran == []


async def test_the_stop_button_withdraws_a_request_in_a_channel_too(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        await office.slack.wait_for(lambda: office.slack.session_status(asked.channel, asked) == "suspended")
        thinking = asyncio.Event()

        async def thinks(_: str) -> Step:
            await thinking.wait()
            return done("Not said.")

        office.model.answers(thinks)
        await office.slack.say("deploys", "ana", "hm", asked)
        await office.slack.wait_for(lambda: office.slack.session_status(asked.channel, asked) == "processing")
        stopped = await office.slack.stop_session("ana", "deploys", asked)
        assert stopped
        await office.slack.acknowledged(stopped)
        thinking.set()
        await office.says("Withdrawn, and not run: push", asked)
        thread = await office.until(asked, "done")
        await office.slack.wait_for(lambda: "withdrawn" in office.slack.text_of(office.slack.now(card)))
    assert [step.status for step in thread.state.steps.values()] == ["withdrawn"]
    assert not any("Not said." in text for text in office.of_bot(asked))


async def test_a_stop_that_slack_delivers_again_does_not_end_what_was_asked_since(office: Office) -> None:
    office.model.answers(done("Hello."), PROD)
    async with office.open():
        said = await office.slack.dm("ana", "are you there?")
        await office.says("Hello.", said)
        thread = await office.until(said, "done")
        stop = Stopped(said.channel, said.ts, "U1", "17.4")
        await office.inbox.stop(thread.id, ANN, channel="slack", event_id=stop.id)
        await office.slack.say(said.channel, "ana", "push to prod", said)
        await office.says("May decide", said)
        await office.inbox.stop(thread.id, ANN, channel="slack", event_id=stop.id)
    assert (await office.thread(said)).status == "waiting_for_approval"


class _Refusing(Inbox):
    async def stop(
        self, thread_id: str, by: Person, *, channel: str = "", event_id: str = "", clicked: ClickArrived | None = None
    ) -> Thread:
        raise Refused(f"{by.name} may not steer this thread. Nothing was changed.", "not_entitled")


async def test_who_may_not_steer_the_thread_cannot_stop_it_and_is_told_so(office: Office) -> None:
    thinking = asyncio.Event()

    async def thinks(_: str) -> Step:
        await thinking.wait()
        return done("Hello.")

    office.inbox = _Refusing(office.store)
    office.model.answers(thinks, done("Hello."))
    async with office.open():
        said = await office.slack.dm("ana", "are you there?")
        await office.slack.wait_for(lambda: office.slack.session_status(said.channel, said) == "processing")
        stopped = await office.slack.stop_session("ana", said.channel, said)
        assert stopped
        await office.slack.acknowledged(stopped)
        thinking.set()
        await office.says("Hello.", said)
        (told,) = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
    assert told.args["text"] == "ana may not steer this thread. Nothing was changed."
    assert not (await office.thread(said)).state.cancelled


async def test_a_session_that_waits_for_a_person_is_suspended(office: Office) -> None:
    office.model.answers(PROD)
    async with office.open():
        said = await office.slack.dm("ana", "push to prod")
        await office.says("May decide", said)
        await office.slack.wait_for(lambda: office.slack.session_status(said.channel, said) == "suspended")


async def test_it_is_shown_what_the_agent_is_doing(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        await office.slack.wait_for(lambda: office.slack.calls_of("assistant.threads.setStatus"))
    assert office.slack.calls_of("assistant.threads.setStatus")[0].args["status"] == "is thinking…"


# Trouble


class _AwayStore(MemoryStore):
    away = False

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().post(thread_id, *events, opens=opens)


async def test_without_the_store_nothing_is_acknowledged_and_slack_brings_it_again(office: Office) -> None:
    store = _AwayStore()
    office.store, office.inbox = store, type(office.inbox)(store)
    office.model.answers(done("Hello."))
    async with office.open():
        store.away = True
        office.slack.acknowledge_seconds = 0.2
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        first = office.slack.deliveries_of(asked)[0]
        await office.slack.wait_for(lambda: len(first.attempts) >= 2)
        assert first.state == "waiting"
        store.away, office.slack.acknowledge_seconds = False, PATIENCE_SECONDS
        await office.says("Hello.", asked)
    assert office.of_bot(asked) == ["Hello."]


async def test_slack_in_trouble_at_the_first_event_loses_nothing(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        office.slack.fail("auth.test", times=9)
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)


async def test_a_deletion_that_overtakes_its_message_counts(office: Office) -> None:
    async with office.open():
        office.slack.delay(2, until=0.5)
        asked = await office.slack.mention("deploys", "ana", "deploy v1")
        await office.slack.delete(asked)
        await office.slack.wait_for(lambda: len(office.slack.deliveries.all) >= 3)
        for delivery in list(office.slack.deliveries.all):
            await office.slack.acknowledged(delivery)
    assert await thread_ids(office.store) == []


async def test_files_and_edits_that_take_too_much_room_lose_no_message(office: Office) -> None:
    controls = "\x01" * 20_000
    place = place_of(office.slack.workspace.team_id, "C1", "1795000000.000100")
    files = tuple(Attachment(name=f"{n}.log", text=controls) for n in range(3))
    await office.inbox.message(place, InboundMessage(ANN, "look at these", "C1:1", attachments=files), agent="ops")
    await office.inbox.edited(thread_id_of(place), "slack", event_id="C1:1", text=controls * 3, edit_id="2")
    _, message, edit = (await office.store.load(thread_id_of(place))).events
    assert isinstance(message, MessageReceived)
    assert message.text == "look at these"
    assert [(file.name, file.text) for file in message.attachments] == [("0.log", ""), ("1.log", ""), ("2.log", "")]
    assert edit.kind == "message_edited"


async def test_who_is_no_user_of_slack_is_told_nothing_there(office: Office) -> None:
    place = place_of(office.slack.workspace.team_id, "C1", "1795000000.000100")
    channel = SlackChannel(office.client)
    assert channel.place_for(Person(name="nobody"), place) is None
    assert channel.place_for(Person(name="Ana", address="ana@team.example"), place) is None
    assert channel.place_for(Person(name="Ana", address="U0ANA"), place) == place_of("", "U0ANA", "")


async def test_an_alert_is_a_message_of_its_own_in_the_channel_that_is_named_once(office: Office) -> None:
    deploys = office.slack.workspace.channel("deploys").id
    place, channel = places.parse(f"slack:{deploys}", Alerts()), SlackChannel(office.client)
    assert place
    for since in (None, datetime.now(UTC)):
        await channel.send(place, Notice("Something could not be said."), key="t1/s1/say/undelivered", since=since)
    [told] = office.slack.messages("deploys")
    assert "Something could not be said." in office.slack.text_of(told)
    assert told.thread in ("", told.ts), "it hangs from no other message"


async def test_a_sweep_that_goes_wrong_ends_nothing(office: Office) -> None:
    office.model.answers(done("Hello."))

    async def wrong(*_: object, **__: object) -> Page:
        raise AssertionError("a mistake of ours")

    office.store.page = wrong  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logs:
        async with office.open():
            asked = await office.slack.mention("deploys", "ana", "are you there?")
            await office.says("Hello.", asked)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["sweep_failed"]


async def test_an_answer_of_slack_that_was_lost_doubles_nothing(office: Office) -> None:
    office.model.answers(done("Hello."))
    fault = office.slack.fail("chat.postMessage", after_effect=True, cut=True)
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        thread = await office.until(asked, "done")
    assert fault.met
    assert office.of_bot(asked) == ["Hello."]
    assert len(kinds(thread, MessageSent)) == 1


async def test_slack_is_obeyed_when_it_asks_to_slow_down(office: Office) -> None:
    office.model.answers(done("Hello."))
    office.slack.fail("chat.postMessage", "ratelimited", status=429, retry_after_seconds=1)
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        thread = await office.until(asked, "done")
    (failed,) = kinds(thread, MessageFailed)
    assert isinstance(failed, MessageFailed)
    assert failed.retry_at
    assert failed.retry_at - failed.at >= timedelta(seconds=1)
    assert datetime.now(UTC) >= failed.retry_at


async def test_one_channel_that_is_slowed_down_does_not_stop_the_others(office: Office) -> None:
    office.slack.workspace.add_channel("ops", members=["ana", "deploybot"])
    slowed = office.slack.workspace.channel("deploys").id
    office.slack.fail(
        "chat.postMessage", "ratelimited", status=429, retry_after_seconds=3, when=lambda a: a["channel"] == slowed
    )
    office.model.answers(done("Hello."), done("Hello."))
    async with office.open():
        first = await office.slack.mention("deploys", "ana", "are you there?")
        await office.slack.wait_for(lambda: office.slack.calls_of("chat.postMessage"))
        second = await office.slack.mention("ops", "ana", "are you there?")
        await office.says("Hello.", second)
        assert office.of_bot(first) == []


async def test_who_asked_hears_of_it_elsewhere_when_the_channel_refuses(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.listens():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.slack.acknowledged(asked)
        office.slack.workspace.change_channel("deploys", archived=True)
        async with office.works():
            told = await office.slack.said("is_archived", office.slack.workspace.im("ana"))
    assert "I could not send a message" in office.slack.text_of(told)
    (failed,) = kinds(await office.thread(asked), MessageFailed)
    assert isinstance(failed, MessageFailed)
    assert failed.retry_at is None


async def test_what_was_said_during_downtime_is_found_afterwards(office: Office) -> None:
    office.model.answers(done("Hello."), done("I was away."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
        await office.until(asked, "done")
    office.slack.drop(100)
    missed = await office.slack.say("deploys", "ben", "and now?", asked)
    async with office.open():
        await office.says("I was away.", asked)
        thread = await office.thread(asked)
    assert [e.text for e in kinds(thread, MessageReceived)] == ["are you there?", "and now?"]
    assert missed.ts in kinds(thread, MessageReceived)[-1].id


async def test_a_socket_that_slack_refreshes_is_opened_again(office: Office) -> None:
    office.model.answers(done("Hello."))
    async with office.open():
        await office.slack.disconnect("refresh_requested")
        await office.slack.connected()
        asked = await office.slack.mention("deploys", "ana", "are you there?")
        await office.says("Hello.", asked)
    assert office.of_bot(asked) == ["Hello."]


async def test_two_processes_share_the_work_without_doubling(office: Office) -> None:
    other = Office(office.slack, office.store, office.inbox)
    for each in (office, other):
        each.model.otherwise = lambda _: done("Hello.")
    async with office.open(), other.open():
        await office.slack.connected(2)
        asked = [await office.slack.mention("deploys", "ana", f"are you there? {n}") for n in range(10)]
        for message in asked:
            await office.says("Hello.", message)
            await office.until(message, "done")
    assert [office.of_bot(message) for message in asked] == [["Hello."]] * 10


async def test_no_mention_of_a_model_goes_out_live(office: Office) -> None:
    office.model.answers(done("<!channel> **now** <@U000000003> & @here"))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "tell everybody")
        answer = await office.says("<!channel>", asked)
    assert "<!channel>" not in answer.text
    assert "&lt;!channel&gt;" in answer.text
    said = [block for block in answer.blocks if block["type"] == "rich_text"]
    types = {element["type"] for block in said for part in block["elements"] for element in part["elements"]}
    assert types == {"text"}


@pytest.mark.parametrize(
    ("url", "is_slacks_own"),
    [
        ("https://files.slack.com/files-pri/T1-F1/a.txt", True),
        ("https://files.slack-gov.com/files-pri/T1-F1/a.txt", True),
        ("http://127.0.0.1:8100/files-pri/a.txt", True),
        ("http://127.0.0.1:8101/a.txt", False),
        ("https://evil.example/a.txt", False),
        ("https://files.slack.com.evil.example/a.txt", False),
        ("https://files.slack.com@evil.example/a.txt", False),
        ("http://files.slack.com/a.txt", False),
        ("https://[bad/a.txt", False),
        ("", False),
    ],
)
def test_our_token_is_shown_to_slack_alone(url: str, is_slacks_own: bool) -> None:
    assert is_slack_url(url, "http://127.0.0.1:8100/api/") is is_slacks_own


# The manifest


def test_the_manifest_asks_for_what_the_code_needs_and_for_nothing_else() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == SCOPES
    assert set(manifest["settings"]["event_subscriptions"]["bot_events"]) == {
        "agent_session_stopped",
        "app_home_opened",
        "app_mention",
        "member_joined_channel",
        "message.channels",
        "message.groups",
        "message.im",
        "message.mpim",
    }
    assert manifest["settings"]["interactivity"]["is_enabled"]
    assert manifest["settings"]["socket_mode_enabled"]
    assert manifest["features"]["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    assert 1 <= len(manifest["features"]["agent_view"]["suggested_prompts"]) <= 4
