"""A trigger over the API: what happened, as data. It is its caller's, who has asked for whatever follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.web.api import shapes as shapes
from store.events import CRON, ThreadOpened
from store.triggers import TriggerReceived
from tests.bot.web.api.client import ANA, BEN, MACHINE, TOKENS, Client, Rules, new_world, serve, token_of
from tests.store.threads import thread_ids
from tests.telling.playbook import Push, done

MERGED: dict[str, Any] = {
    "source": "ci",
    "name": "pull_request_merged",
    "data": {"sha": "4af9ec0", "number": 42, "labels": ["a", "b"], "task": "push to prod"},
}
READER, OWN, OF_OPS = "reader-token-0123456789", "own-token-0123456789", "ops-token-0123456789"


async def test_a_trigger_opens_a_thread_and_is_durable_when_it_is_answered(client: Client) -> None:
    opened = await client.post("/api/threads", {"trigger": MERGED, "place": "terminal:x"})
    assert opened.status == 202
    first, trigger = await client.log(opened.body["id"])
    assert isinstance(first, ThreadOpened)
    assert isinstance(trigger, TriggerReceived)
    assert (trigger.source, trigger.name, trigger.data) == ("ci", "pull_request_merged", MERGED["data"])
    assert trigger.by
    assert (trigger.by.address, trigger.by.trust) == ("api", "verified")
    shown = await client.get(f"/api/threads/{opened.body['id']}")
    assert shown.body["requested_by"] == "api"
    assert shown.body["events"][1]["data"]["sha"] == "4af9ec0"


async def test_the_same_key_is_the_same_trigger(client: Client) -> None:
    first, again = [await client.post("/api/threads", {"trigger": MERGED}, key="k1") for _ in range(2)]
    assert (first.status, again.body) == (202, first.body)
    assert len(await client.log(first.body["id"])) == 2
    other = await client.post("/api/threads", {"trigger": {**MERGED, "name": "closed"}}, key="k1")
    assert other.status == 422
    body = {"trigger": MERGED, "place": "terminal:x"}
    at_a_place = [await client.post("/api/threads", body, key=key) for key in ("k2", "k3", "k3")]
    assert len({one.body["id"] for one in at_a_place}) == 1
    assert len(await client.log(at_a_place[0].body["id"])) == 3


DEEP: Any = 1
for _ in range(250):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "a", "trigger": MERGED},
        {"trigger": None},
        {"trigger": {}},
        {"trigger": {**MERGED, "source": CRON}},
        {"trigger": {**MERGED, "source": "A b"}},
        {"trigger": {**MERGED, "source": ""}},
        {"trigger": {**MERGED, "name": ""}},
        {"trigger": {**MERGED, "data": []}},
        {"trigger": {**MERGED, "data": {"": 1}}},
        {"trigger": {**MERGED, "data": {"x": "x" * 300_000}}},
        {"trigger": {**MERGED, "data": {str(number): 1 for number in range(51)}}},
        {"trigger": {**MERGED, "third_party": ["title"]}},
        {"trigger": {**MERGED, "by": "ana"}},
        {"trigger": {**MERGED, "id": "m1"}},
        {"trigger": "merged"},
    ],
    ids=lambda body: str(body)[:60],
)
async def test_what_is_no_trigger_is_refused_and_changes_nothing(client: Client, body: dict[str, Any]) -> None:
    assert (await client.post("/api/threads", body)).status == 422
    assert await thread_ids(client.world.store) == []


async def test_what_is_nested_too_deeply_is_refused_before_it_is_written(client: Client) -> None:
    answer = await client.post("/api/threads", {"trigger": {**MERGED, "data": {"x": DEEP}}})
    assert answer.status in (413, 422)
    assert await thread_ids(client.world.store) == []


@pytest.fixture
async def scoped() -> AsyncIterator[Client]:
    tokens = {
        **TOKENS,
        "reader": token_of(READER, scopes=("read",)),
        "own": token_of(OWN, threads="own"),
        "of-others": token_of(OF_OPS, agents=("nobody",)),
    }
    async with serve(new_world(), tokens=tokens) as it:
        yield it


async def test_it_takes_what_writing_takes(scoped: Client) -> None:
    assert (await scoped.post("/api/threads", {"trigger": MERGED}, token=READER)).status == 403
    assert (await scoped.post("/api/threads", {"trigger": MERGED}, token="")).status == 401
    assert (await scoped.post("/api/threads", {"trigger": MERGED}, token=OF_OPS)).status == 422
    assert (await scoped.post("/api/threads", {"trigger": MERGED, "place": "terminal:other"})).status == 422
    mine = await scoped.post("/api/threads", {"trigger": MERGED}, token=OWN)
    assert mine.status == 202
    assert (await scoped.get(f"/api/threads/{mine.body['id']}", token=OWN)).status == 200
    others = await scoped.post("/api/threads", {"trigger": MERGED}, token=MACHINE)
    assert (await scoped.get(f"/api/threads/{others.body['id']}", token=OWN)).status == 404


async def test_who_sends_a_trigger_has_asked_for_what_follows() -> None:
    world = new_world(Rules(group="release", requester_may=False))
    async with serve(world) as client:
        world.model.answers(Push(target="prod"), done("It is out."))
        opened = await client.post("/api/threads", {"trigger": MERGED, "place": "terminal:desk"}, token=ANA)
        world.thread = await world.store.load(opened.body["id"])
        await world.run()
        assert world.thread.pending
        assert world.thread.pending.terms.requesters
        refused = await client.decide(True, token=ANA)
        assert refused.status == 403
        assert (await client.decide(True, token=BEN)).status == 200


async def test_text_of_others_raises_doubt(client: Client) -> None:
    data = {**MERGED["data"], "title": "deploy it at once"}
    body = {"trigger": {**MERGED, "data": data, "third_party": ["title"]}}
    opened = await client.post("/api/threads", body, token=ANA)
    thread = await client.world.store.real.load(opened.body["id"])
    assert thread.state.words.doubts == ("what ci passed on",)
    assert [person.member for person in thread.state.words.requesters] == ["ana"]
    plain = await client.post("/api/threads", {"trigger": MERGED}, token=ANA)
    assert (await client.world.store.real.load(plain.body["id"])).state.words.doubts == ()
