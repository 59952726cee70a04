"""People are asked, told and heard by a program of their own: posts go out to it, decisions come in over the API.

Whatever breaks between us and it, it has each message once.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.authority import AnyoneMay, Authority
from agent.loop import Loop
from bot.team.policies import Policies
from bot.team.rules import Rule, Rules
from channels import places
from channels.places import Command
from channels.webhook.channel import WebhookChannel
from channels.webhook.endpoints import endpoints_of
from store.deliveries import MessageSent
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.fakes.webhooks import Receiver, Reply
from tests.stories.program import Bot, token_table
from tests.telling.playbook import Push, World, done, killed
from tests.telling.story import PLACE

AT_PAGER = places.parse("webhook:pager", Command("pr-482"))
UNKNOWN = "'pagr' is no webhook that is set up; did you mean pager?"
ASKED_THERE = Policies(rules=Rules((Rule(tool="*", group="anyone", ask=("webhook:pager",)),)), channels=("webhook",))


@pytest.fixture
async def pager() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def webhook(pager: Receiver) -> AsyncIterator[WebhookChannel]:
    channel = WebhookChannel(endpoints_of(f"pager={pager.url}", f"pager={pager.secret}"), "/api/threads")
    yield channel
    await channel.aclose()


def world_with(webhook: WebhookChannel, *, authority: Authority | None = None, there: bool = True) -> World:
    """`there`: the thread is held at the webhook, and not at a terminal."""
    world = World(place=AT_PAGER if there else PLACE)
    world.loop = Loop(
        store=world.store,
        roster=world.roster,
        channels={webhook.name: webhook, world.channel.name: world.channel},
        model=world.model,
        clock=world.clock,
        authority=authority or AnyoneMay(),
    )
    return world


async def test_a_worker_that_dies_before_it_notes_what_it_sent_sends_the_same_again(
    webhook: WebhookChannel, pager: Receiver
) -> None:
    world = world_with(webhook)

    async def dies_at_the_first_time() -> None:
        world.store.before(MessageSent, dies_at_the_first_time)
        if [post.id for post in pager.posts].count(pager.posts[-1].id) == 1:
            await killed()

    world.store.before(MessageSent, dies_at_the_first_time)
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push to prod, please")
    assert [await world.run() for _ in range(2)] == [["killed"], []]
    await world.approve()
    for _ in range(3):
        await world.run()
    assert pager.types == ["request.asked", "request.settled", "text"]
    assert [post.id for post in pager.posts] == [one for one in pager.taken for _ in range(2)]
    assert all(post.body == pager.taken[post.id].body for post in pager.posts)
    receipts = [event.receipt for event in world.thread.events if isinstance(event, MessageSent)]
    assert receipts == [*pager.taken]
    asked, settled = [post.document for post in pager.taken.values()][:2]
    assert asked["about"] == settled["about"]
    assert settled["data"]["outcome"] == "approved"


async def test_what_is_not_taken_for_now_comes_when_the_endpoint_wants_it(
    webhook: WebhookChannel, pager: Receiver
) -> None:
    world = world_with(webhook)
    pager.answers(Reply(503, headers={"Retry-After": "90"}), Reply(how="cut_off"), Reply(429))
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.run()
    await world.advance(89)
    assert len(pager.posts) == 1
    for _ in range(3):
        await world.advance(91)
    assert pager.types == ["text"]
    assert len({(post.id, post.body) for post in pager.posts}) == 1
    assert len(pager.posts) == 4


async def test_where_an_endpoint_is_gone_the_thread_is_told(webhook: WebhookChannel, pager: Receiver) -> None:
    world = world_with(webhook, authority=ASKED_THERE, there=False)
    pager.answers(Reply(410))
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push to prod, please")
    requested, told = await world.run()
    assert requested == "requested: push(target: prod)"
    why, _, what = told.partition(" It said:\n\n")
    assert why == (
        "told elsewhere: I could not send a message in webhook:pager (The webhook pager wants no messages any more "
        "(410). Take it out of WEBHOOK_URLS). It was the request “push target=prod” of 2026-11-20 09:00 UTC."
    )
    assert what.startswith("push target=prod?\n    target: prod\n")
    await world.approve()
    await world.run()
    assert len(pager.posts) == 1, "nothing follows a request that is not there"


async def test_a_request_of_another_thread_is_shown_and_settled_there(webhook: WebhookChannel, pager: Receiver) -> None:
    world = world_with(webhook, authority=ASKED_THERE, there=False)
    world.model.answers(Push(target="prod"), done("It is out."))
    await world.say("push to prod, please")
    await world.run()
    await world.approve()
    await world.run()
    asked, settled = [post.document for post in pager.posts]
    assert (asked["type"], settled["type"]) == ("request.asked", "request.settled")
    assert asked["thread"] == settled["thread"] == world.thread.id
    assert asked["about"] == settled["about"] == asked["decide"]["request"]


@pytest.mark.slow
async def test_an_approval_is_asked_by_webhook_and_given_over_the_api(
    pager: Receiver, tmp_path: Path, template: Path, server: Server
) -> None:
    """The program is killed while the endpoint has taken the request and not answered; the next one asks the same."""
    token = "a-token-of-ben-0123456789"
    bot = Bot(tmp_path).with_site(template)
    bot.environment |= {
        "REDIS_URL": server.url,
        "PORT": "0",
        "BOT_LEASE_SECONDS": "1",
        "WEBHOOK_URLS": f"pager={pager.url}",
        "WEBHOOK_SECRETS": f"pager={pager.secret}",
    }
    file = tmp_path / "bot.toml"
    text = file.read_text().partition("[[rule]]")[0]
    file.write_text(
        f'{text}[people.ben]\ngroups = ["release"]\n{token_table("ben", token)}'
        '[[rule]]\ntool = "*"\ngroup = "release"\nask = ["webhook:pager"]\n'
    )
    pager.answers(Reply(how="silent"))
    step = {"intent": "deploy", "component": "backend", "environment": "production", "revision": "v1.1.0"}
    async with ModelServer(step, {"intent": "done_for_now", "message": "It is out."}) as model:
        bot.with_model(model)
        sent = (await bot.run("send", "deploy it", "--place", "webhook:pager", "--json")).succeeded().document
        async with bot.started("run") as process:
            asked = await pager.gets("request.asked")
            process.signal(signal.SIGKILL)
        async with bot.started("run") as process:
            url = await process.serves()
            decision = {"request": asked["decide"]["request"], "digest": asked["decide"]["digest"], "approved": True}
            status, _ = await _post(url + asked["decide"]["url"], decision, token)
            assert status == 200
            settled = await pager.gets("request.settled")
            assert settled["about"] == asked["about"]
            assert settled["data"]["by"]["member"] == "ben"
            assert (await pager.gets("text"))["text"] == "It is out."
            assert asked["thread"] == sent["id"]
            elsewhere = {"text": "hello", "place": {"channel": "webhook", "address": "pagr"}}
            status, told = await _post(f"{url}/api/threads", elsewhere, token)
            assert (status, told["detail"]) == (422, f"body.place: {UNKNOWN}")
    first, again = [post for post in pager.posts if post.document["type"] == "request.asked"][:2]
    assert (first.id, first.body) == (again.id, again.body)
    unknown = await bot.run("send", "deploy it", "--place", "webhook:pagr")
    unknown.failed("--place names 'webhook:pagr', and ", UNKNOWN)


async def _post(url: str, body: dict[str, Any], token: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(url, data=json.dumps(body), headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)
