"""A click is durable before it is looked up who clicked, counts for nothing until then, and then once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from agent.loop import due_now
from agent.steps import as_question
from bot.clicks import CLICKS_MAX
from bot.views.transcript import entries
from channels.inbound import Click
from channels.slack.channel import SlackChannel
from store.arrivals import ClickArrived, ClickRead, MessageArrived
from store.events import ApprovalDecided, MessageReceived, WorkStopped
from store.thread import Thread
from store.values import Person
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Hold, Message
from tests.telling.playbook import Push, done
from tests.telling.story import AT, chosen, message, opened, requested

PROD = Push(target="prod")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


async def asked_for_prod(office: Office) -> tuple[Message, Message]:
    office.model.answers(PROD)
    asked = await office.slack.mention("deploys", "ana", "push to prod")
    card = await office.says("May decide", asked)
    await office.until(asked, "waiting_for_approval")
    return asked, card


def silent(office: Office) -> Hold:
    """Slack does not say who anybody is."""
    return office.slack.hold("users.info", after_effect=False)


async def decided(office: Office, asked: Message) -> list[bool]:
    return [event.approved for event in kinds(await office.thread(asked), ApprovalDecided)]


async def told_in_private(office: Office, number: int) -> str:
    """What somebody was told alone, after so many other such messages."""
    (told, *_) = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral")[number:])
    return str(told.args["text"])


async def test_an_approval_is_durable_and_acknowledged_while_slack_does_not_say_who_it_was(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("It is out."))
        async with silent(office) as gate:
            await office.slack.acknowledged(await office.slack.click("ben", card, "Approve"))
            await gate.reached()
            thread = await office.thread(asked)
            assert [event.act for event in kinds(thread, ClickArrived)] == ["decides"]
            assert (thread.pending is not None, office.desk.ran) == (True, []), "nothing counts yet"
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    assert await decided(office, asked) == [True]
    assert office.desk.ran == ["push(target: prod)"]
    assert [event.told for event in kinds(thread, ClickRead)] == [""]


async def test_an_approval_that_nobody_lived_to_judge_is_judged_by_a_worker(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
    async with silent(office) as gate:
        async with office.listens():
            await office.slack.acknowledged(await office.slack.click("ben", card, "Approve"))
        async with office.works():
            await gate.reached()
        await gate.abandoned()
        assert await decided(office, asked) == []
    office.model.answers(done("It is out."))
    async with office.works():
        await office.says("It is out.", asked)
    assert await decided(office, asked) == [True]
    assert office.desk.ran == ["push(target: prod)"]


async def test_a_click_is_judged_later_where_slack_does_not_answer_at_first(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.model.answers(done("It is out."))
        office.slack.fail("users.info", times=2)
        await office.slack.click("ben", card, "Approve")
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    assert [event.told for event in kinds(thread, ClickRead)] == [""]
    assert office.slack.calls_of("chat.postEphemeral") == []
    assert office.desk.ran == ["push(target: prod)"]


async def test_an_approval_by_another_way_does_not_outrun_a_rejection_that_was_clicked_before(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        await office.slack.click("ben", card, "Reject")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
        office.model.answers(done("As you wish."))
        pending = (await office.thread(asked)).pending
        assert pending
        ana = Person(name="ana", address=office.slack.workspace.user("ana").id, trust="verified")
        async with silent(office) as gate:
            await office.slack.acknowledged(await office.slack.submit("ben", view, {"reason": "not on a Friday"}))
            await gate.reached()
            approves = asyncio.create_task(
                office.inbox.decide(
                    (await office.thread(asked)).id,
                    ana,
                    approved=True,
                    digest=pending.digest,
                    step_id=pending.step,
                    proof="test",
                )
            )
        assert (await approves).outcome == "too_late"
        await office.says("As you wish.", asked)
    assert await decided(office, asked) == [False, True]
    assert office.desk.ran == []


async def test_a_rejection_with_its_reason_is_durable_while_slack_is_silent(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        await office.slack.click("ben", card, "Reject")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
        office.model.answers(done("As you wish."))
        async with silent(office) as gate:
            await office.slack.acknowledged(await office.slack.submit("ben", view, {"reason": "not on a Friday"}))
            await gate.reached()
            assert await decided(office, asked) == []
        await office.says("As you wish.", asked)
    (decision,) = kinds(await office.thread(asked), ApprovalDecided)
    assert (decision.approved, decision.comment) == (False, "not on a Friday")


async def test_an_answer_and_a_stop_are_durable_while_slack_is_silent(office: Office) -> None:
    office.model.answers(as_question("Really?", "", yes_no=True), done("Good."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "push")
        question = await office.says("Really?", asked)
        await office.until(asked, "waiting_for_answer")
        async with silent(office) as gate:
            await office.slack.acknowledged(await office.slack.click("ben", question, "yes"))
            await gate.reached()
            assert [e.answers for e in kinds(await office.thread(asked), MessageReceived)] == [""]
        await office.says("Good.", asked)
        await office.until(asked, "done")
        office.slack.set_session(asked.channel, asked.ts, "processing")
        async with silent(office):
            office.slack.workspace.add_user("cy")
            office.slack.workspace.change_channel(
                "deploys",
                members=office.slack.workspace.channel("deploys").members | {office.slack.workspace.user("cy").id},
            )
            stopped = await office.slack.stop_session("cy", asked.channel, asked)
            assert stopped
            await office.slack.acknowledged(stopped)
            thread = await office.thread(asked)
            assert [event.act for event in kinds(thread, ClickArrived)] == ["answers", "stops"]
            assert kinds(thread, WorkStopped) == []
        await office.says("Stopped by cy", asked)


async def test_an_edit_by_somebody_unknown_is_durable_and_judged_later(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        await office.slack.click("ben", card, "Edit…")
        view = (await office.slack.wait_for(lambda: office.slack.views))[-1]
    async with office.open(), silent(office) as gate:
        await office.slack.acknowledged(await office.slack.submit("ben", view, {"target": "staging"}))
        assert not office.slack.all_views[view.id].is_open
        await gate.reached()
        assert [e.act for e in kinds(await office.thread(asked), ClickArrived)] == ["edits"]
        gate.release()
        await office.says("newest for staging", asked)
    assert office.desk.ran == []


async def test_who_may_not_decide_never_counts_and_is_told_once(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.slack.workspace.change_user("ben", is_guest=True)
        async with silent(office) as gate:
            await office.slack.acknowledged(await office.slack.click("ben", card, "Approve"))
            await gate.reached()
            assert (await office.thread(asked)).pending
        (told,) = await office.slack.wait_for(lambda: office.slack.calls_of("chat.postEphemeral"))
        thread = await office.until(asked, "waiting_for_approval")
    assert "You may not decide on this request" in told.args["text"]
    assert thread.pending
    assert office.desk.ran == []
    assert len(office.slack.calls_of("chat.postEphemeral")) == 1
    assert len(kinds(thread, ClickRead)) == 1


async def test_clicks_of_a_stranger_are_kept_only_so_often_and_then_judged_at_once(office: Office) -> None:
    async with office.open():
        asked, card = await asked_for_prod(office)
        office.slack.workspace.change_user("ben", is_guest=True)
        for number in range(CLICKS_MAX + 3):
            await office.slack.acknowledged(await office.slack.click("ben", card, "Approve"))
            assert "You may not decide on this request" in await told_in_private(office, number)
        thread = await office.until(asked, "waiting_for_approval")
    assert len(kinds(thread, ClickArrived)) == len(kinds(thread, ClickRead)) == CLICKS_MAX
    assert await decided(office, asked) == [True], "the same attempt is recorded once"
    office.slack.workspace.change_user("ben", is_guest=False)
    office.model.answers(done("It is out."))
    async with office.open():  # The listener asks Slack again who that is.
        await office.slack.click("ben", card, "Approve")
        await office.says("It is out.", asked)
        thread = await office.until(asked, "done")
    assert len(kinds(thread, ClickArrived)) == CLICKS_MAX
    assert office.desk.ran == ["push(target: prod)"]


def test_a_click_in_time_is_judged_before_the_request_expires() -> None:
    expires = AT + timedelta(hours=1)
    before = (opened(), message(), chosen("s1", acts=True), requested("s1", expires_at=expires))
    click = ClickArrived(id="c1/arrived", at=AT, channel="slack", act="decides", payload={})
    late = click.model_copy(update={"at": expires + timedelta(seconds=1)})
    after = datetime(2100, 1, 1, tzinfo=UTC)
    kinds_of = [
        [key.kind for key in due_now(Thread("t1").extended((*before, *clicks)), after)]
        for clicks in ((), (click,), (late,))
    ]
    assert kinds_of == [["expire"], [], ["expire"]]


async def test_a_click_of_a_newer_version_is_told_in_the_thread_and_holds_up_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.perform.unserved.UNSERVED_SECONDS_MAX", 0.0)
    monkeypatch.setattr("bot.worker.UNSERVED_RETRY_AFTER", timedelta(seconds=0.05))
    async with office.listens():
        async with office.works():
            asked, card = await asked_for_prod(office)
        newer = Click("slack", "U1:delegates", "decides", {"delegate": {"to": "U2"}}, by="U1", about="s2")
        assert await office.inbox.clicked((await office.thread(asked)).id, newer) == "kept"
        office.model.answers(done("It is out."))
        async with office.works():
            await office.says("I cannot read what arrived in this conversation", asked)
            await office.slack.click("ben", card, "Approve")
            await office.says("It is out.", asked)
    thread = await office.thread(asked)
    assert office.desk.ran == ["push(target: prod)"]
    assert [one.id for one in thread.aside] == ["from/slack/U1:delegates/arrived"]
    entries_of = [entry.text for entry in entries(thread) if "I cannot read" in entry.text]
    assert entries_of, "people see it in the log"


@pytest.mark.parametrize("payload", [{}, {"delegate": {}}, {"approve": {"by": "U1"}}])
def test_what_is_no_payload_of_this_version_is_not_understood(office: Office, payload: dict[str, JsonValue]) -> None:
    reader = SlackChannel(office.client).reader
    message = MessageArrived(id="m/arrived", at=AT, channel="slack", becomes="m", text="", payload=payload)
    assert not reader.understands(message)
    assert not reader.understands(ClickArrived(id="c/arrived", at=AT, channel="slack", act="decides", payload=payload))
