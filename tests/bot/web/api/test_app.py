"""The HTTP API over a socket: threads from the first word to the last, what people do, and where it is on."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
import structlog.testing
from pydantic import SecretStr, ValidationError

from bot.app import App
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from bot.team.people import Member, People
from bot.web.api import shapes as shapes
from bot.web.listen import listen
from channels.terminal import TerminalChannel
from store.events import ApprovalDecided, MessageReceived, ThreadCancelled, ThreadForked, WorkStopped
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Place
from tests.bot.web.api.client import (
    ANA,
    BEN,
    CAT,
    MACHINE,
    PEOPLE,
    Client,
    Rules,
    StoreThatMayBeAway,
    closed,
    new_world,
    requested,
    serve,
    streamed,
    token_of,
)
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import thread_ids
from tests.telling.playbook import Push, ask, done


async def test_a_thread_from_the_first_word_to_the_last(client: Client) -> None:
    """What a program does: open, look, approve, look."""
    world = client.world
    opened = await client.post("/api/threads", {"text": "push, please"})
    assert opened.status == 202
    shapes.Opened.model_validate(opened.body)
    link = opened.body["links"]["self"]
    assert opened.headers["Location"] == link == f"/api/threads/{opened.body['id']}"
    world.thread = await world.store.load(opened.body["id"])
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.run()
    shown = await client.get(link)
    pending = shapes.ShownWhole.model_validate(shown.body).pending
    assert (shown.body["status"], shown.body["turn"]) == ("waiting_for_approval", "human")
    assert pending
    body = {"request": pending.request, "digest": pending.digest, "approved": True, "comment": "go"}
    refused = await client.post(opened.body["links"]["decisions"], body)
    assert (refused.status, refused.detail.partition(":")[0]) == (403, "Only people may decide")
    decided = await client.post(opened.body["links"]["decisions"], body, token=ANA)
    assert (decided.status, decided.body["outcome"]) == (200, "settled")
    shapes.Decided.model_validate(decided.body)
    await world.run()
    assert "ran: push(target: prod)" in world.lines
    shown = await client.get(link)
    assert (shown.body["status"], shown.body["turn"], shown.body["pending"]) == ("done", "nobody", None)
    assert [event["kind"] for event in shown.body["events"]] == world.kinds
    decision = next(event for event in world.thread.events if isinstance(event, ApprovalDecided))
    assert (decision.by.name, decision.comment, decision.proof) == ("Ana Lee", "go", "API token ana of ana")


# Threads


async def test_a_thread_can_be_held_elsewhere(client: Client) -> None:
    place = {"channel": "terminal", "address": "desk"}
    opened = await client.post("/api/threads", {"text": "hello", "place": place, "agent": "ops"})
    thread = await client.world.store.load(opened.body["id"])
    assert thread.place == Place(channel="terminal", address="desk")
    for same in (place, "terminal:desk"):
        assert (await client.post("/api/threads", {"text": "more", "place": same})).body == opened.body
    for wrong, known in (
        ({"agent": "nobody"}, "there are: ops"),
        ({"place": {"channel": "pager", "address": "x"}}, "there are: terminal"),
        ({"place": "pager:x"}, "there are: terminal"),
    ):
        reply = await client.post("/api/threads", {"text": "hello", **wrong})
        assert (reply.status, known in reply.detail) == (422, True)


async def test_threads_are_listed(client: Client) -> None:
    ids = [(await client.post("/api/threads", {"text": text})).body["id"] for text in ("one", "two", "three")]
    await client.post(f"/api/threads/{ids[0]}/cancel", {"reason": "enough"})

    async def listed(query: str) -> list[str]:
        reply = await client.get(f"/api/threads{query}")
        return [each.id for each in shapes.Listed.model_validate(reply.body).threads]

    assert await listed("") == [ids[0], ids[2], ids[1]]
    assert await listed("?limit=2") == [ids[0], ids[2]]
    assert await listed("?status=cancelled") == [ids[0]]
    assert await listed("?status=done") == []
    for query in ("?status=dead", "?limit=0", "?limit=501", "?limit=many"):
        assert (await client.get(f"/api/threads{query}")).status == 422


async def test_what_is_not_there(client: Client) -> None:
    shown = await client.get("/api/threads/t0")
    assert (shown.status, shown.detail) == (404, "There is no thread t0.")
    for path, body in (
        ("messages", {"text": "a"}),
        ("answers", {"text": "a"}),
        ("decisions", {"request": "s1", "digest": "0" * 64, "approved": True}),
        ("edit", {"request": "s1", "digest": "0" * 64, "arguments": {"a": "b"}}),
        ("stop", None),
        ("pause", None),
        ("resume", None),
        ("cancel", None),
        ("fork", {"at": 1}),
    ):
        assert (await client.post(f"/api/threads/t0/{path}", body, token=ANA)).status == 404
    assert (await client.get("/api/threads/t0/events")).status == 404
    for path in ("/api", "/api/nowhere", "/api/threads/", "/api/threads/t0/nowhere", "/api/threads/%00%ff%0a"):
        assert (await client.get(path)).status == 404
    wrong = await client.ask("DELETE", "/api/threads")
    assert wrong.status == 405
    assert set(wrong.headers["Allow"].split(", ")) <= {"GET", "POST"}
    for page in ("/docs", "/redoc"):
        async with client.session.get(client.url + page) as it:
            assert it.status == 404


async def test_the_store_may_be_away(client: Client) -> None:
    store = client.world.store.real
    assert isinstance(store, StoreThatMayBeAway)
    opened = await client.post("/api/threads", {"text": "hello"})
    link = opened.body["links"]["self"]
    store.away = True
    for reply in (
        await client.get(link),
        await client.get(f"{link}/events"),
        await client.post("/api/threads", {"text": "a"}),
        await client.post(f"{link}/messages", {"text": "a"}),
        await client.post(f"{link}/pause"),
    ):
        assert (reply.status, reply.detail) == (503, "Redis is away.")
        assert int(reply.headers["Retry-After"]) > 0


async def test_a_mistake_of_ours_is_told_without_its_words() -> None:
    class Broken(StoreThatMayBeAway):
        async def load(self, thread_id: str) -> Thread:
            raise RuntimeError("hunter2")

    async with serve(new_world(store=Broken())) as client:
        reply = await client.get("/api/threads/t0")
    assert (reply.status, "hunter2" in reply.detail) == (500, False)


# What people do


async def test_a_question_is_answered_once(client: Client) -> None:
    world = client.world
    world.model.answers(ask("Which tag?"), done("Thanks."))
    await world.say("deploy, please")
    await world.run()
    shown = await client.get(client.here)
    question = shapes.ShownWhole.model_validate(shown.body).question
    assert question
    other = await client.post(f"{client.here}/answers", {"text": "v3", "question": "s99"})
    assert other.status == 409
    for _ in range(2):
        answered = await client.post(f"{client.here}/answers", {"text": "v3", "question": question["step"]})
        assert answered.status == 202
    given = [event for event in await client.log() if isinstance(event, MessageReceived) and event.answers]
    assert [event.text for event in given] == ["v3"]
    late = await client.post(f"{client.here}/answers", {"text": "v4"})
    assert (late.status, "no open question" in late.detail) == (409, True)


async def test_pause_resume_cancel(client: Client) -> None:
    await client.world.say("hello")

    async def do(what: str, body: Any = None) -> tuple[int, str]:
        reply = await client.post(f"{client.here}/{what}", body)
        if reply.status == 200:
            shapes.Shown.model_validate(reply.body)
        return reply.status, reply.body["status"] if reply.status == 200 else reply.detail

    assert await do("pause") == (200, "paused")
    assert (await do("pause"))[0] == 409
    assert await do("resume") == (200, "working")
    assert (await do("resume"))[0] == 409
    assert await do("cancel", {"reason": "enough"}) == (200, "cancelled")
    assert (await do("cancel"))[0] == 409
    assert (await do("messages", {"text": "wait"}))[0] == 409
    event = (await client.log())[-1]
    assert isinstance(event, ThreadCancelled)
    assert (event.reason, event.by.name) == ("enough", "api")
    assert await do("resume") == (200, "done"), "it was reopened, and begins nothing by itself"
    assert (await do("resume"))[0] == 409
    assert (await client.post(f"{client.here}/messages", {"text": "wait"})).status == 202


async def test_stop_ends_what_waits_and_the_next_words_go_on() -> None:
    async with requested() as client:
        assert client.world.thread.pending
        stopped = await client.post(f"{client.here}/stop")
        assert (stopped.status, stopped.body["status"], stopped.body["pending"]) == (200, "done", None)
        shapes.Shown.model_validate(stopped.body)
        assert [event.by.name for event in await client.log() if isinstance(event, WorkStopped)] == ["api"]
        assert (await client.post(f"{client.here}/messages", {"text": "go on"})).status == 202
        await client.post(f"{client.here}/cancel")
        assert (await client.post(f"{client.here}/stop")).status == 409


async def test_a_cancel_needs_no_reason(client: Client) -> None:
    await client.world.say("hello")
    assert (await client.post(f"{client.here}/cancel")).body["status"] == "cancelled"


async def test_a_fork_is_a_thread_of_its_own(client: Client) -> None:
    await client.world.say("hello")
    await client.world.say("more")
    forked = await client.post(f"{client.here}/fork", {"at": 2}, key="f1")
    assert forked.status == 201
    thread_id = forked.body["id"]
    assert forked.headers["Location"] == f"/api/threads/{thread_id}"
    assert thread_id != client.world.thread.id
    kinds = [type(event) for event in await client.log(thread_id)]
    assert kinds[-2:] == [MessageReceived, ThreadForked]
    again = await client.post(f"{client.here}/fork", {"at": 2}, key="f1")
    assert (again.status, again.body) == (201, forked.body)
    assert (await client.post(f"{client.here}/fork", {"at": 1})).body["id"] != thread_id
    for at in (0, -1, 4, 2**80, 1.0, "1", True, None):
        assert (await client.post(f"{client.here}/fork", {"at": at})).status == 422
    assert len(await thread_ids(client.world.store)) == 3


# Where it is on


async def test_it_is_on_where_somebody_has_a_token() -> None:
    world = new_world()

    async def listening(token: str, team: Team, stack: contextlib.AsyncExitStack) -> list[str]:
        setup, channels = Setup(Settings(bot_api_token=SecretStr(token), port=0), team), {"terminal": TerminalChannel()}
        bot = App(setup, world.store.real, world.inbox, world.roster, channels, people=People(team.people))
        with structlog.testing.capture_logs() as logs:
            await listen(bot, stack, always=False)
        return [line["text"] for line in logs]

    async with contextlib.AsyncExitStack() as stack, aiohttp.ClientSession() as session:
        assert await listening("", Team(people={"dan": Member(name="Dan")}), stack) == []
        for machine, token in ((MACHINE, MACHINE), ("", ANA)):
            team = Team() if machine else Team(people=dict(PEOPLE.members), tokens={"ana": token_of(ANA, "ana")})
            (told,) = await listening(machine, team, stack)
            assert told.endswith(" with the API under /api.")
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(f"{told.split()[1]}/api/threads", json={"text": "hello"}, headers=headers) as it:
                assert it.status == 202
                thread = await world.store.load((await it.json())["id"])
            assert thread.agent == "ops"


def test_it_costs_nothing_where_it_is_off() -> None:
    program = "import sys, bot.cli.main, bot.web.listen, bot.web.server; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_SECONDS).returncode == 0


def test_a_token_of_the_machine_that_is_too_short_is_none() -> None:
    with pytest.raises(ValidationError, match="16 characters or more"):
        Settings(bot_api_token=SecretStr("short"))


# On Redis


async def test_the_same_on_redis(redis_store: RedisStore) -> None:
    world = new_world(Rules(group="release", quorum=2), redis_store)
    async with serve(world) as client:
        replies = await asyncio.gather(*(client.post("/api/threads", {"text": "push"}, key="k") for _ in range(5)))
        assert {reply.status for reply in replies} == {202}
        assert await thread_ids(redis_store) == [replies[0].body["id"]]
        assert (await client.post("/api/threads", {"text": "pull"}, key="k")).status == 422
        world.thread = await redis_store.load(replies[0].body["id"])
        world.model.answers(Push(target="prod"), done("It is out."))
        await world.run()
        async with streamed(client, **{"Last-Event-ID": str(world.thread.version - 1)}) as stream:
            decided = await asyncio.gather(*(client.decide(True, token=token) for token in (ANA, BEN)))
            assert sorted(reply.body["outcome"] for reply in decided) == ["counted", "settled"]
            for number in range(2):
                index, event = await stream.next()
                assert (index, event["kind"]) == (world.thread.version + number, "approval_decided")
        await closed(client)
        assert (await client.decide(True, token=CAT)).status == 404, "the thread is not hers, and she is not asked"
        forks = [await client.post(f"{client.here}/fork", {"at": 2}, key="f") for _ in range(2)]
        assert [fork.status for fork in forks] == [201, 201]
        assert forks[0].body == forks[1].body
        assert (await client.get("/api/threads/t0")).status == 404
        assert len((await client.get("/api/threads")).body["threads"]) == 2
