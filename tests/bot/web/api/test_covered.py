"""What a token covers: its scopes, its agents, its threads, its time. What it does not cover is not there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
import structlog.testing
from multidict import CIMultiDict

from bot.team.file import ApiTable, Team
from bot.web.refusals import REFUSALS_MAX, WINDOW_SECONDS
from channels.inbound import InboundMessage
from store.events import ThreadForked
from store.values import Person, Place
from tests.bot.web.api.client import (
    ANA,
    AUDIT,
    BEN,
    CAT,
    MACHINE,
    PEOPLE,
    TOKENS,
    Client,
    Rules,
    closed,
    new_world,
    serve,
    streamed,
    token_of,
)
from tests.store.threads import thread_ids
from tests.telling.playbook import Push
from tests.telling.story import message, opened, trigger

CI, OTHER = "ci-token-0123456789", "other-token-0123456789"
DIRECT = Place(channel="slack", address="T1/D0ANA/17.4")
"""Ana's direct messages with the bot."""
MAILED = Place(channel="email", address="<1@team.example>")
SESSION = Place(channel="terminal", address="cli-0123")
OF_ANA = {
    DIRECT: Person(name="Ana", address="U0ANA", trust="verified"),
    MAILED: Person(name="Ana", address="Ana@team.example", trust="verified"),
    SESSION: Person(name="ana", address="ana", trust="verified"),
}
PRIVATE = Team(people=dict(PEOPLE.members))
"""It names no place but those of its people."""
BODIES: dict[str, Any] = {
    "messages": {"text": "a"},
    "answers": {"text": "a"},
    "decisions": {"request": "s1", "digest": "0" * 64, "approved": True},
    "edit": {"request": "s1", "digest": "0" * 64, "arguments": {"a": "b"}},
    "stop": None,
    "pause": None,
    "resume": None,
    "cancel": None,
    "fork": {"at": 1},
}


async def held(client: Client, place: Place, by: Person, agent: str = "ops") -> str:
    """A thread there, begun by this person."""
    thread_id = f"t{place.channel}"
    await client.world.store.real.post(thread_id, opened(agent, place), message(by=by))
    return thread_id


async def listed(client: Client, token: str) -> list[str]:
    reply = await client.get("/api/threads", token=token)
    assert reply.status == 200
    return sorted(each["id"] for each in reply.body["threads"])


@contextlib.asynccontextmanager
async def with_tokens(**tokens: Any) -> AsyncIterator[Client]:
    async with serve(new_world(), tokens=TOKENS | tokens) as client:
        yield client


# Private conversations


@pytest.mark.parametrize("place", OF_ANA, ids=lambda place: place.channel)
@pytest.mark.parametrize("token", [MACHINE, BEN, OTHER])
async def test_a_private_conversation_is_there_for_nobody_else(place: Place, token: str) -> None:
    async with with_tokens(other=token_of(OTHER, "ben", threads="own")) as client:
        thread_id = await held(client, place, OF_ANA[place])
        before = await client.log(thread_id)
        path = f"/api/threads/{thread_id}"
        told = (await client.get("/api/threads/t0", token=token)).detail
        replies = [await client.get(path, token=token), await client.get(f"{path}/events", token=token)]
        replies += [
            await client.post(f"{path}/{part}", body, token=token)
            for part, body in BODIES.items()
            if token != MACHINE or part not in ("decisions", "edit")
        ]
        assert {reply.status for reply in replies} == {404}
        assert {reply.detail for reply in replies} == {told.replace("t0", thread_id)}
        assert await listed(client, token) == []
        assert await client.log(thread_id) == before
        assert await thread_ids(client.world.store) == [thread_id]


@pytest.mark.parametrize("place", OF_ANA, ids=lambda place: place.channel)
async def test_whoever_takes_part_sees_it_with_a_token_of_their_own(client: Client, place: Place) -> None:
    thread_id = await held(client, place, OF_ANA[place])
    assert await listed(client, ANA) == [thread_id]
    assert (await client.get(f"/api/threads/{thread_id}", token=ANA)).status == 200
    assert (await client.post(f"/api/threads/{thread_id}/cancel", token=ANA)).body["status"] == "cancelled"


async def test_everything_is_seen_only_by_who_is_said_to(client: Client) -> None:
    thread_id = await held(client, DIRECT, OF_ANA[DIRECT])
    assert await listed(client, AUDIT) == [thread_id]
    assert (await client.get(f"/api/threads/{thread_id}", token=AUDIT)).status == 200
    assert (await client.post(f"/api/threads/{thread_id}/cancel", token=AUDIT)).status == 403


async def test_a_thread_of_a_machine_is_there_for_no_other_machine() -> None:
    async with with_tokens(ci=token_of(CI), other=token_of(OTHER)) as client:
        opened = await client.post("/api/threads", {"text": "hello"}, token=CI)
        assert (await client.log(opened.body["id"]))[1].sender == Person(  # type: ignore[union-attr]
            name="api:ci", address="api:ci", trust="verified"
        )
        assert await listed(client, CI) == [opened.body["id"]]
        assert await listed(client, OTHER) == await listed(client, MACHINE) == []
        assert (await client.get(opened.body["links"]["self"], token=OTHER)).status == 404


async def test_what_is_said_at_a_place_of_the_team_is_everybodys(client: Client) -> None:
    await client.world.say("hello")
    for token in (MACHINE, ANA, CAT):
        assert await listed(client, token) == [client.world.thread.id]
        assert (await client.get(client.here, token=token)).status == 200


async def test_a_token_for_its_own_threads_sees_no_other() -> None:
    async with with_tokens(ci=token_of(CI, threads="own"), other=token_of(OTHER, "ana", threads="own")) as client:
        await client.world.say("hello")
        own = (await client.post("/api/threads", {"text": "mine"}, token=CI)).body["id"]
        hers = await held(client, DIRECT, OF_ANA[DIRECT])
        assert await listed(client, CI) == [own]
        assert await listed(client, OTHER) == [hers], "her own, by whatever way she opened it"
        assert (await client.get(client.here, token=CI)).status == 404
        place = {"channel": "terminal", "address": "desk"}
        assert (await client.post("/api/threads", {"text": "let me in", "place": place}, token=CI)).status == 404
        assert len(await client.log()) == 2


async def test_what_a_schedule_began_is_nobodys_own() -> None:
    async with with_tokens(other=token_of(OTHER, "ana", threads="own")) as client:
        store = client.world.store.real
        await store.post("t1", opened("ops", SESSION), trigger(), message(by=OF_ANA[SESSION]))
        assert await listed(client, OTHER) == []
        assert await listed(client, ANA) == ["t1"], "she takes part"


async def test_whoever_only_clicks_at_a_card_does_not_take_part() -> None:
    """A card of a private thread may be shown in a channel."""
    world = new_world(Rules(group="release"))
    world.model.answers(Push(target="prod"))
    await world.say("push, please")
    await world.run()
    result = await world.approve(Person(name="Cat", address="cat", token="cat", trust="verified"))
    assert result.outcome == "not_entitled"
    async with serve(world, team=PRIVATE) as client:
        assert await listed(client, CAT) == []
        assert (await client.get(client.here, token=CAT)).status == 404


async def test_a_token_for_an_agent_sees_and_opens_nothing_of_another() -> None:
    async with with_tokens(ci=token_of(CI, agents=("deploy",), threads="all"), other=token_of(OTHER)) as client:
        of_ops = await held(client, DIRECT, OF_ANA[DIRECT])
        of_deploy = await held(client, SESSION, OF_ANA[SESSION], "deploy")
        assert await listed(client, CI) == [of_deploy]
        assert (await client.get(f"/api/threads/{of_ops}", token=CI)).status == 404
        for body in ({"text": "a"}, {"text": "a", "agent": "ops"}):
            refused = await client.post("/api/threads", body, token=CI)
            assert (refused.status, refused.detail) == (422, "There is no agent 'ops'; there are: none.")
        assert len(await thread_ids(client.world.store)) == 2


async def test_a_fork_is_its_makers_and_nobody_elses() -> None:
    async with with_tokens(ci=token_of(CI), other=token_of(OTHER)) as client:
        await client.world.say("hello")
        forked = (await client.post(f"{client.here}/fork", {"at": 2}, token=CI)).body["id"]
        assert isinstance((await client.log(forked))[-1], ThreadForked)
        assert forked in await listed(client, CI)
        assert (await client.get(f"/api/threads/{forked}", token=CI)).status == 200
        assert forked not in await listed(client, OTHER)
        assert (await client.get(f"/api/threads/{forked}", token=OTHER)).status == 404


# Who is asked to approve


async def test_whoever_may_decide_sees_what_they_decide() -> None:
    world = new_world(Rules(group="release"))
    world.model.answers(Push(target="prod"))
    await world.say("push, please")
    async with serve(world, team=PRIVATE) as client:
        assert await listed(client, ANA) == [], "nobody is asked yet"
        await world.run()
        assert (await client.get(client.here, token=MACHINE)).status == 404
        assert (await client.get(client.here, token=CAT)).status == 404
        assert (await client.decide(True, token=CAT)).status == 404
        assert await listed(client, CAT) == await listed(client, MACHINE) == []
        assert await listed(client, ANA) == await listed(client, BEN) == [world.thread.id]
        request = world.thread.pending
        assert request
        assert (await client.decide(True, token=BEN)).status == 200
        late = {"request": request.step, "digest": request.digest, "approved": False}
        assert (await client.post(f"{client.here}/decisions", late, token=ANA)).status == 409
        assert (await client.get(client.here, token=ANA)).status == 200


async def test_a_machine_is_asked_nothing() -> None:
    world = new_world(Rules(group="anyone"))
    world.model.answers(Push(target="prod"))
    await world.say("push, please")
    await world.run()
    async with serve(world, team=PRIVATE) as client:
        assert await listed(client, MACHINE) == []
        assert (await client.get(client.here, token=MACHINE)).status == 404
        assert (await client.get(client.here, token=CAT)).status == 200


# Scopes


async def test_a_token_does_only_what_its_scopes_say() -> None:
    tokens = {"ci": token_of(CI, scopes=("read",)), "other": token_of(OTHER, "ana", scopes=("write",))}
    async with with_tokens(**tokens) as client:
        await client.world.say("hello")
        before = await client.log()
        for part, body in BODIES.items():
            refused = await client.post(f"{client.here}/{part}", body, token=CI)
            assert (refused.status, refused.headers["WWW-Authenticate"]) == (
                403,
                'Bearer realm="deploybot", error="insufficient_scope"',
            )
        assert (await client.post("/api/threads", {"text": "a"}, token=CI)).status == 403
        assert await client.log() == before
        for path in ("/api/threads", client.here, f"{client.here}/events"):
            refused = await client.get(path, token=OTHER)
            assert (refused.status, refused.detail) == (403, "This token may not read: its scopes are write.")
        assert (await client.post(f"{client.here}/decisions", BODIES["decisions"], token=OTHER)).status == 403
        said = await client.post(f"{client.here}/messages", {"text": "more"}, token=OTHER)
        assert (said.status, said.body) == (202, {"id": client.world.thread.id}), "what it may not read, it is not told"


@pytest.mark.parametrize("owner", ["", "nobody"])
async def test_a_machine_decides_nothing_whatever_its_scopes_say(owner: str) -> None:
    """The team file cannot say so, as it is refused at the start."""
    world = new_world(Rules(group="anyone"))
    world.model.answers(Push(target="prod"))
    await world.say("push, please")
    await world.run()
    request = world.thread.pending
    assert request
    token = token_of(CI, owner, scopes=("read", "write", "decide"), threads="all")
    async with serve(world, tokens={"ci": token}) as client:
        before = await client.log()
        assert (await client.decide(True, token=CI)).status == 403
        edit = {"request": request.step, "digest": request.digest, "arguments": {"target": "staging"}}
        assert (await client.post(f"{client.here}/edit", edit, token=CI)).status == 403
        assert await client.log() == before


# Where it may open threads


@pytest.mark.parametrize("address", ["other", "desk2", "api-0123", "cli-0123", "desk\u0000", " desk", "DESK"])
async def test_a_place_that_the_team_does_not_name_is_refused(client: Client, address: str) -> None:
    place = {"channel": "terminal", "address": address}
    refused = await client.post("/api/threads", {"text": "hello", "place": place})
    assert refused.status == 422
    assert "is not a place that the team file names" in refused.detail
    assert await thread_ids(client.world.store) == []


async def test_nothing_is_said_in_a_private_conversation_by_naming_its_place() -> None:
    team = Team(people=dict(PEOPLE.members), api=ApiTable(places=("email:ana@team.example",)))
    async with serve(new_world(), team=team) as client:
        client.api.reach = {"terminal": None, "email": None, "slack": None}
        place = Place(channel="email", address="ana@team.example")
        hers = InboundMessage(OF_ANA[MAILED], "hello", "m1")
        thread_id = await client.world.inbox.message(place, hers, agent="ops")
        before = await client.log(thread_id)
        for channel, address in (("email", "ana@team.example"), ("slack", DIRECT.address), ("email", MAILED.address)):
            body = {"text": "let me in", "place": {"channel": channel, "address": address}}
            assert (await client.post("/api/threads", body)).status in (404, 422)
        assert await client.log(thread_id) == before
        assert await thread_ids(client.world.store) == [thread_id]
        ok = {"text": "hello", "place": {"channel": "email", "address": "ana@team.example"}}
        assert (await client.post("/api/threads", ok, token=ANA)).status == 202


# Its time


async def test_a_token_ends() -> None:
    world = new_world()
    until = world.clock() + timedelta(seconds=60)
    async with serve(world, tokens={"ci": token_of(CI, until=until)}) as client:
        assert (await client.get("/api/threads", token=CI)).status == 200
        world.clock.advance(60)
        refused = await client.get("/api/threads", token=CI)
        assert (refused.status, refused.detail.partition(".")[0]) == (401, "The token has ended")


async def test_a_stream_ends_with_its_token() -> None:
    world = new_world()
    await world.say("hello")
    tokens = {"ci": token_of(CI, until=world.clock() + timedelta(seconds=60))}
    async with serve(world, tokens=tokens, heartbeat_seconds=0.01) as client, streamed(client, token=CI) as stream:
        await stream.next()
        world.clock.advance(60)
        await world.say("not for you")
        assert b"not for you" not in await stream.rest()
        await closed(client)


# Refusals


async def test_two_authorization_headers_are_refused(client: Client) -> None:
    for first, second in ((MACHINE, "wrong"), ("wrong", MACHINE), (MACHINE, MACHINE)):
        headers = CIMultiDict([("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")])
        async with client.session.get(f"{client.url}/api/threads", headers=headers) as it:
            assert it.status == 400


async def test_every_refusal_is_a_line_without_the_token() -> None:
    async with with_tokens(ci=token_of(CI, scopes=("read",)), ended=token_of(OTHER, until=date(2020, 1, 1))) as client:
        private = await held(client, DIRECT, OF_ANA[DIRECT])
        place = {"channel": "terminal", "address": "nowhere"}
        with structlog.testing.capture_logs() as logs:
            await client.get("/api/threads", token="")
            await client.get("/api/threads", token="a-wrong-token-0123456789")
            await client.get("/api/threads", token=OTHER)
            await client.get(f"/api/threads/{private}", token=CI)
            await client.post("/api/threads", {"text": "a"}, token=CI)
            await client.post("/api/threads", {"text": "a", "place": place})
        told = [(line["reason"], line["token"], line["address"], line["log_level"]) for line in logs]
        assert told == [
            ("no_token", "", "127.0.0.1", "warning"),
            ("wrong_token", "", "127.0.0.1", "warning"),
            ("token_ended", "ended", "127.0.0.1", "warning"),
            ("thread", "ci", "127.0.0.1", "warning"),
            ("scope", "ci", "127.0.0.1", "warning"),
            ("place", "api", "127.0.0.1", "warning"),
        ]
        assert {line["event"] for line in logs} == {"api_refused"}
        assert "0123456789" not in str(logs)


async def test_guessing_comes_to_an_end(client: Client) -> None:
    assert (await client.get("/api/threads", token=ANA)).status == 200
    for _ in range(REFUSALS_MAX):
        assert (await client.get("/api/threads", token="a-wrong-token")).status == 401
    for token in ("a-wrong-token", "", BEN):
        refused = await client.get("/api/threads", token=token)
        assert (refused.status, int(refused.headers["Retry-After"])) == (429, WINDOW_SECONDS)
    assert (await client.get("/api/threads", token=ANA)).status == 200, "she was let in there before"
    client.world.clock.advance(WINDOW_SECONDS)
    assert (await client.get("/api/threads", token=BEN)).status == 200


async def test_behind_a_proxy_of_this_machine_each_address_counts_for_itself(client: Client) -> None:
    guessing, other = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "192.0.2.8"}
    with structlog.testing.capture_logs() as logs:
        for _ in range(REFUSALS_MAX):
            await client.get("/api/threads", token="a-wrong-token", headers=guessing)
    assert {line["address"] for line in logs} == {"192.0.2.7"}
    assert (await client.get("/api/threads", token=ANA, headers=guessing)).status == 429
    assert (await client.get("/api/threads", token=ANA, headers=other)).status == 200


async def test_a_token_that_looks_for_what_it_may_not_see_is_stopped() -> None:
    async with with_tokens(ci=token_of(CI), other=token_of(OTHER)) as client:
        private = await held(client, DIRECT, OF_ANA[DIRECT])
        for _ in range(REFUSALS_MAX):
            assert (await client.get(f"/api/threads/{private}", token=CI)).status == 404
            assert (await client.get("/api/threads/t0", token=OTHER)).status == 404
        for token in (CI, OTHER):
            assert (await client.get("/api/threads", token=token)).status == 429, "and cannot tell what there is"
        assert (await client.get("/api/threads", token=ANA)).status == 200
