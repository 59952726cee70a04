"""Decisions over the API: the policies judge them, as everywhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.web.api import shapes as shapes
from store.events import ApprovalDecided, StepChosen
from tests.bot.web.api.client import ANA, BEN, CAT, MACHINE, Rules, new_world, requested, serve
from tests.telling.playbook import Push


async def test_a_rejection_says_why() -> None:
    async with requested() as client:
        reply = await client.decide(False, comment="not on Friday")
        assert (reply.status, reply.body["outcome"]) == (200, "settled")
        decision = (await client.log())[-1]
        assert isinstance(decision, ApprovalDecided)
        assert (decision.approved, decision.comment) == (False, "not on Friday")
        assert (decision.by.member, decision.proof) == ("ana", "API token ana of ana")


async def test_what_is_settled_stays() -> None:
    async with requested() as client:
        client.world.clock.advance(60)
        assert (await client.decide(True, token=BEN, comment="go")).status == 200
        late = await client.decide(False)
        assert late.status == 409
        told = shapes.NotDecided.model_validate(late.body)
        assert (told.outcome, told.standing and told.standing.by) == ("too_late", "Ben")
        assert late.body["standing"] == {
            "approved": True,
            "by": "Ben",
            "at": "2026-11-20T09:01:00Z",
            "comment": "go",
        }


@pytest.mark.parametrize("body", [{"digest": "0" * 64}, {"request": "s99"}])
async def test_another_request_is_not_decided(body: dict[str, str]) -> None:
    async with requested() as client:
        before = await client.log()
        reply = await client.decide(True, **body)
        assert reply.status == 409
        shapes.NotDecided.model_validate(reply.body)
        assert await client.log() == before


async def test_two_at_the_same_moment_do_not_both_settle() -> None:
    async with requested() as client:
        replies = await asyncio.gather(client.decide(True, token=ANA), client.decide(False, token=BEN))
        assert sorted(reply.status for reply in replies) == [200, 409]
        (lost,) = [reply for reply in replies if reply.status == 409]
        (won,) = [reply for reply in replies if reply.status == 200]
        step = client.world.thread.pending
        assert step
        settled = (await client.world.store.load(client.world.thread.id)).state.steps[step.step].request
        assert settled
        assert settled.decision
        assert lost.body["standing"]["by"] == settled.decision.by.name
        assert won.body["pending"] is None


async def test_two_who_are_needed_are_both_counted() -> None:
    async with requested(group="release", quorum=2) as client:
        replies = await asyncio.gather(client.decide(True, token=ANA), client.decide(True, token=BEN))
        assert [reply.status for reply in replies] == [200, 200]
        assert sorted(reply.body["outcome"] for reply in replies) == ["counted", "settled"]


async def test_a_token_gives_no_right_that_the_policy_does_not() -> None:
    async with requested(group="release") as client:
        assert (await client.decide(True, token=MACHINE)).status == 403
        reply = await client.decide(True, token=CAT)
        assert (reply.status, reply.body["outcome"], reply.body["standing"]) == (403, "not_entitled", None)
        assert (await client.get(client.here)).body["pending"]
        assert (await client.decide(True, token=ANA)).status == 200


async def test_who_asked_for_it_over_the_api_may_be_kept_from_approving_it() -> None:
    world = new_world(Rules(requester_may=False))
    async with serve(world) as client:
        opened = await client.post("/api/threads", {"text": "push"}, token=ANA)
        world.thread = await world.store.load(opened.body["id"])
        world.model.answers(Push(target="prod"))
        await world.run()
        assert (await client.decide(True, token=ANA)).status == 403
        assert (await client.decide(True, token=BEN)).status == 200


async def test_after_its_time_nothing_is_decided() -> None:
    async with requested(expires_at=timedelta(hours=1)) as client:
        client.world.clock.advance(3600)
        reply = await client.decide(True)
        assert (reply.status, reply.body["outcome"]) == (410, "expired")


async def test_after_its_time_nothing_is_changed_either() -> None:
    async with requested(expires_at=timedelta(hours=1)) as client:
        step = client.world.thread.pending
        assert step
        body = {"request": step.step, "digest": step.digest, "arguments": {"target": "staging"}}
        client.world.clock.advance(3600)
        assert (await client.post(f"{client.here}/edit", body, token=ANA)).status == 410
        await client.world.run()
        assert client.world.thread.state.steps[step.step].status == "expired"
        assert (await client.post(f"{client.here}/edit", body, token=ANA)).status == 410


async def test_a_call_is_changed_instead_of_approved() -> None:
    async with requested(group="release") as client:
        step = client.world.thread.pending
        assert step
        body = {"request": step.step, "digest": step.digest, "arguments": {"target": "staging"}}
        path = f"{client.here}/edit"
        for wrong, token, status in (
            (body, CAT, 403),
            (body | {"digest": "0" * 64}, ANA, 409),
            (body | {"arguments": {"force": "yes"}}, ANA, 409),
            (body | {"arguments": {"target": "prod"}}, ANA, 409),
        ):
            assert (await client.post(path, wrong, token=token)).status == status
        for wrong in (body | {"arguments": {}}, body | {"arguments": {"target": 1}}, body | {"arguments": ["target"]}):
            assert (await client.post(path, wrong, token=ANA)).status == 422
        edited = await client.post(path, body, token=ANA)
        assert edited.status == 200
        chosen = (await client.log())[-1]
        assert isinstance(chosen, StepChosen)
        assert (chosen.arguments, chosen.edits, chosen.by) == ({"target": "staging"}, step.step, "person")
        await client.world.run()
        shown = await client.get(client.here)
        assert shown.body["pending"]["arguments"] == {"target": "staging"}
        assert shown.body["pending"]["digest"] != step.digest
