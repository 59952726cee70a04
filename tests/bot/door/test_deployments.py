"""Deployments at GitHub that wait for people here: asked once, answered once, and told when nobody hears the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.speech.requests import approval
from bot.door.deployments import Deployments
from bot.door.requests import TALK, asked_in, is_open
from store.events import ToolFinished, ToolStarted
from store.thread import Thread
from tests.bot.door.stage import ADA, BOB, CAT, TEAM, Stage, stage_with
from tests.fakes.github import Fault
from tests.fakes.github.gates import REVIEW
from tests.fakes.github.hooks import delivery
from tests.telling.playbook import killed

RUN = "actions/get-workflow-run"


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with stage_with(monkeypatch) as stage:
        yield stage


async def test_people_are_asked_with_what_github_knows_of_the_run(stage: Stage) -> None:
    gate = await stage.asked(subject="Round *down*\nand more")
    pending = stage.world.thread.pending
    assert pending
    sha = gate.run.head
    assert pending.asked.title == f"Let acme/payments deploy {sha[:7]} to production"
    shown = pending.chosen.arguments
    assert (shown["commit"], shown["subject"], shown["author"], shown["started_by"], shown["link"]) == (
        sha,
        "Round *down*",
        "Ada",
        ["ada"],
        f"https://github.test/acme/payments/actions/runs/{gate.run.id}",
    )
    card = approval(stage.world.thread, pending)
    assert (card.requested_by, card.group, card.quorum) == ("Ada", "team", 1)
    assert card.expires_at


async def test_an_approval_is_githubs_answer_once_with_who_gave_it(stage: Stage) -> None:
    gate = await stage.asked()
    assert (await stage.world.approve(by=ADA)).outcome == "not_entitled", "she began the run"
    assert (await stage.world.approve(by=BOB, comment="tests are green", way="slack")).outcome == "settled"
    told = await stage.world.run()
    assert (gate.state, gate.times) == ("approved", 1)
    assert gate.comment.startswith("Approved by Bob (a click in Slack): tests are green. [deploybot ")
    assert told[-1] == f"said: GitHub knows: acme/payments may deploy to production. {gate.run_url}"
    assert (await stage.world.approve(by=CAT)).outcome == "too_late"
    assert await stage.world.run() == []
    assert gate.times == 1


async def test_a_rejection_is_githubs_answer_too_with_the_reason(stage: Stage) -> None:
    gate = await stage.asked()
    await stage.world.reject("on Friday?", by=CAT, way="link")
    told = await stage.world.run()
    assert (gate.state, gate.times) == ("rejected", 1)
    assert gate.comment.startswith("Rejected by cat (the link in a mail): on Friday? [deploybot ")
    assert told[-1].startswith("said: GitHub knows: acme/payments may not deploy to production.")
    assert await stage.world.run() == []


async def test_what_nobody_decides_in_time_is_rejected_there(stage: Stage) -> None:
    gate = await stage.asked()
    await stage.world.advance(4 * 3600 + 1)
    assert (gate.state, gate.times) == ("rejected", 1)
    assert gate.comment.startswith("Nobody decided in time. [")


async def test_who_began_it_and_stands_in_no_entry_may_be_any_approver(stage: Stage) -> None:
    gate = await stage.asked(by="mallory")
    assert (await stage.world.approve(by=BOB)).outcome == "counted"
    await stage.world.run()
    assert gate.state == "pending"
    assert (await stage.world.approve(by=CAT)).outcome == "settled"
    await stage.world.run()
    assert gate.state == "approved"
    assert "Approved by Bob. Approved by cat. [" in gate.comment


@pytest.mark.parametrize("replicas", [1, 2])
async def test_the_same_deployment_is_one_request_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, replicas: int
) -> None:
    async with stage_with(monkeypatch, replicas=replicas) as stage:
        gate = stage.asks()
        other_id = delivery("deployment_protection_rule", gate.delivery.document)
        for made in (gate.delivery, gate.delivery, other_id, other_id):
            assert (await stage.deliver(made))[0] == 202
        await stage.world.run()
        assert await stage.threads() == 1
        assert sum(event.kind == "approval_requested" for event in stage.world.thread.events) == 1


async def test_a_forged_delivery_asks_nobody(stage: Stage) -> None:
    gate = stage.asks()
    status, _ = await stage.deliver(gate.delivery, **{"X-Hub-Signature-256": "sha256=" + "0" * 64})
    assert (status, await stage.threads()) == (401, 0)


async def test_an_environment_that_is_not_named_is_left_waiting_and_the_doctor_says_what_it_would_take(
    stage: Stage,
) -> None:
    gate = stage.asks(environment="staging")
    status, said = await stage.deliver(gate.delivery)
    assert (status, await stage.threads()) == (202, 0)
    assert "[github.environments] does not name acme/payments staging" in said["why"]
    assert [record.why for record in await stage.records()] == [said["why"]]
    assert any("GitHub has asked for staging of acme/payments" in text for text in await stage.problems())


async def test_a_callback_elsewhere_is_nothing_that_we_follow(stage: Stage) -> None:
    gate = stage.asks()
    document = gate.delivery.document
    document["deployment_callback_url"] = document["deployment_callback_url"].replace("acme/payments", "acme/other")
    _, said = await stage.deliver(delivery("deployment_protection_rule", document))
    assert "of the same repository" in said["why"]
    assert await stage.threads() == 0
    document["deployment_callback_url"] = gate.callback.replace(stage.github.url, "https://elsewhere.example")
    await stage.deliver(delivery("deployment_protection_rule", document))
    await stage.world.run()
    await stage.world.approve(by=BOB)
    await stage.world.run()
    assert gate.state == "approved", "the answer went where this program is set up for"


async def test_a_run_that_is_over_withdraws_the_request(stage: Stage) -> None:
    gate = await stage.asked()
    gate.run.finish("cancelled")
    await stage.deliver(stage.github.hooks.waiting[-1])
    told = await stage.world.run()
    assert told == ["settled: allow_deployment withdrawn"]
    assert (await stage.world.approve(by=BOB)).outcome == "too_late"
    assert await stage.world.run() == []
    assert gate.times == 0
    # Again, and by another replica: nothing new.
    await stage.deliver(stage.github.hooks.waiting[-1])
    assert await stage.world.run() == []


async def test_an_earlier_attempt_of_the_run_withdraws_nothing(stage: Stage) -> None:
    gate = stage.asks()
    gate.run.attempt = 2
    await stage.deliver(gate.delivery)
    await stage.world.run()
    gate.run.attempt = 1
    gate.run.finish("cancelled")
    await stage.deliver(stage.github.hooks.waiting[-1])
    await stage.world.run()
    assert stage.world.thread.pending


async def test_what_was_decided_at_github_meanwhile_is_told(stage: Stage) -> None:
    gate = await stage.asked()
    gate.is_answered("rejected", by="octocat")
    await stage.world.approve(by=BOB)
    told = await stage.world.run()
    assert told[-1].startswith(
        "said: GitHub was not told: GitHub takes no answer any more: octocat has rejected it there."
    )
    assert gate.times == 1


async def test_an_answer_waits_durably_until_github_takes_it(stage: Stage) -> None:
    gate = await stage.asked()
    fault = Fault(REVIEW, status=503, times=99)
    stage.github.fails(fault)
    await stage.world.approve(by=BOB)
    assert "waiting" in (await _statuses(stage))
    assert gate.state == "pending"
    fault.times = fault.met
    for _ in range(3):
        await stage.world.advance(700)
    assert (gate.state, gate.times) == ("approved", 1)


async def test_an_answer_whose_receipt_was_lost_is_found_and_not_given_again(stage: Stage) -> None:
    gate = await stage.asked()
    stage.github.fails(Fault(REVIEW, cut=True, after_effect=True))
    await stage.world.approve(by=BOB)
    await stage.world.run()
    await stage.world.advance(60)
    assert (gate.state, gate.times) == ("approved", 1)
    assert len(stage.github.asked(REVIEW)) == 1
    assert stage.world.thread.status == "done"


async def test_github_may_need_a_moment_before_it_takes_an_answer(stage: Stage) -> None:
    gate = await stage.asked()
    stage.github.fails(Fault(REVIEW, status=422, message="There is a problem with one of the gates"))
    await stage.world.approve(by=BOB)
    await stage.world.run()
    assert gate.state == "pending"
    await stage.world.advance(10)
    assert (gate.state, gate.times) == ("approved", 1)


async def test_an_answer_that_github_never_takes_ends_in_words_though_another_rule_waits(stage: Stage) -> None:
    await stage.asked()
    stage.github.fails(Fault(REVIEW, status=422, message="Our rule waits for nothing", times=99))
    await stage.world.approve(by=BOB)
    await stage.world.run()
    told: list[str] = []
    for _ in range(10):
        told += await stage.world.advance(700)
    assert told[-1].startswith("said: GitHub was not told: GitHub takes no answer any more")


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("point", ["before the start", "after the start", "before the end", "after the end"])
async def test_whoever_dies_around_the_answer_gives_it_once(stage: Stage, point: str, approved: bool) -> None:
    gate = await stage.asked()
    await (stage.world.approve(by=BOB) if approved else stage.world.reject("no", by=BOB))
    when, _, what = point.rpartition(" the ")
    event = ToolStarted if what == "start" else ToolFinished
    (stage.world.store.before if when == "before" else stage.world.store.after)(event, killed)
    assert "killed" in await stage.world.run()
    stage.world.store.forget()
    await stage.world.run()
    assert (gate.state, gate.times) == ("approved" if approved else "rejected", 1)
    assert len([one for one in stage.github.asked(REVIEW) if one.status == 204]) == 1
    assert stage.world.thread.status == "done"


async def test_while_github_is_away_people_are_asked_later(stage: Stage) -> None:
    fault = Fault(RUN, status=502, times=99)
    stage.github.fails(fault)
    gate = await stage.asked()
    assert stage.world.thread.pending is None
    fault.times = fault.met
    await stage.world.advance(60)
    assert stage.world.thread.pending
    assert gate.state == "pending"


async def test_a_run_that_is_over_before_people_are_asked_asks_nobody(stage: Stage) -> None:
    gate = stage.asks()
    gate.run.status, gate.run.conclusion = "completed", "cancelled"
    await stage.deliver(gate.delivery)
    told = await stage.world.run()
    assert told == [f"said: The run is over at GitHub (cancelled), so there is nothing to decide: {gate.run_url}"]


async def test_people_talk_beside_it_and_it_still_runs_when_it_is_approved(stage: Stage) -> None:
    gate = await stage.asked()
    await stage.says("is this the fix?")
    assert await stage.world.run() == [f"said: {TALK}"]
    await stage.says("it is")
    assert await stage.world.run() == []
    assert is_open(stage.world.thread, Deployments())
    await stage.world.approve(by=BOB)
    await stage.says("thanks", by=CAT)
    await stage.world.run()
    assert gate.state == "approved"


async def test_without_a_rule_nobody_is_asked_and_github_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage_with(monkeypatch, TEAM.replace('"prod*"', '"live"')) as stage:
        gate = stage.asks()
        await stage.deliver(gate.delivery)
        told = await stage.world.run()
        assert told[0].startswith("said: Nobody was asked: It needs approval, and nobody may approve")
        assert gate.state == "pending"


async def test_nobody_who_can_send_triggers_can_ask_in_githubs_name(stage: Stage) -> None:
    await stage.world.trigger("asked", repository="acme/payments", environment="production", run=1, deployment=1)
    thread = stage.world.thread
    moved = thread.events[0].model_copy(update={"agent": "github_environments"})
    forged = Thread(thread.id).extended((moved, *thread.events[1:]))
    assert asked_in(forged) is None


async def test_the_doctor_says_what_is_missing_at_github(stage: Stage) -> None:
    stage.github.gates.protected["acme/payments"] = set()
    assert stage.github.app
    stage.github.app.permissions["deployments"] = "read"
    found = await stage.problems()
    assert any("lacks the permission Deployments (write)" in text for text in found)
    assert any("not subscribed to deployment_protection_rule" in text for text in found)
    assert any("production of acme/payments lacks our app" in text for text in found)


async def _statuses(stage: Stage) -> list[str]:
    await stage.world.run()
    return [step.status for step in stage.world.thread.state.steps.values()]
