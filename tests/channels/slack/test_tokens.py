"""Tokens that Slack rotates: refreshed in time, by one process, kept encrypted, begun anew when a refresh was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from slack_sdk.errors import SlackClientError

from channels.slack.connection import rotating_client
from channels.slack.tokens import NOTE, Installations, RotatingClient, Rotation
from store.base import StoreUnavailable
from store.memory import MemoryStore

HOURS = 3_600
FIRST = "xoxe-1-first"


class Slack:
    """Slack's `oauth.v2.access` and `auth.test`: each refresh token is good once, as docs.slack.dev says."""

    def __init__(self) -> None:
        self.refreshes = 0
        self.lasts_seconds = 12 * HOURS
        self.good_refresh_token = FIRST
        self.url = ""

    async def access(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert (form["grant_type"], form["client_id"], form["client_secret"]) == ("refresh_token", "17.4", "hush")
        if form["refresh_token"] != self.good_refresh_token:
            return web.json_response({"ok": False, "error": "invalid_refresh_token"})
        self.refreshes += 1
        self.good_refresh_token = f"xoxe-1-{self.refreshes}"
        return web.json_response(
            {
                "ok": True,
                "access_token": f"xoxe.xoxb-1-{self.refreshes}",
                "token_type": "bot",
                "expires_in": self.lasts_seconds,
                "refresh_token": self.good_refresh_token,
                "team": {"id": "T1", "name": "Acme"},
                "enterprise": None,
                "is_enterprise_install": False,
            }
        )

    async def test(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "team": request.headers["Authorization"]})


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    it = Slack()
    app = web.Application()
    app.router.add_post("/oauth.v2.access", it.access)
    app.router.add_post("/auth.test", it.test)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield it
    await runner.cleanup()


def client_of(slack: Slack, store: MemoryStore, *, first: str = FIRST) -> RotatingClient:
    async def secrets() -> Sequence[str]:
        return ["k" * 16]

    client = rotating_client(Rotation("17.4", "hush", first), store, secrets, slack.url)
    assert isinstance(client, RotatingClient)
    return client


async def token_of(client: RotatingClient) -> str:
    answer = await client.auth_test()
    return str(answer["team"]).removeprefix("Bearer ")


async def test_the_token_is_refreshed_once_and_used_until_shortly_before_its_end(slack: Slack) -> None:
    store = MemoryStore()
    client = client_of(slack, store)
    assert [await token_of(client) for _ in range(3)] == ["xoxe.xoxb-1-1"] * 3
    assert await token_of(client_of(slack, store)) == "xoxe.xoxb-1-1", "another process, or a later one"
    assert slack.refreshes == 1


async def test_a_token_that_ends_soon_is_refreshed(slack: Slack) -> None:
    store = MemoryStore()
    slack.lasts_seconds = 1 * HOURS
    assert await token_of(client_of(slack, store)) == "xoxe.xoxb-1-1"
    assert await token_of(client_of(slack, store)) == "xoxe.xoxb-1-2"


async def test_of_several_processes_one_refreshes(slack: Slack) -> None:
    store = MemoryStore()
    clients = [client_of(slack, store) for _ in range(5)]
    assert set(await asyncio.gather(*map(token_of, clients))) == {"xoxe.xoxb-1-1"}
    assert slack.refreshes == 1


async def test_what_is_kept_cannot_be_read_without_the_key(slack: Slack) -> None:
    store = MemoryStore()
    await token_of(client_of(slack, store))
    note = await store.get_note(NOTE)
    assert note
    assert "xoxe" not in note

    async def other() -> Sequence[str]:
        return ["another key, as long"]

    assert await Installations(store, other).async_find_bot(enterprise_id=None, team_id=None) is None


async def test_a_refresh_that_fails_leaves_a_token_that_is_still_good(slack: Slack) -> None:
    store = MemoryStore()
    slack.lasts_seconds = 1 * HOURS
    await token_of(client_of(slack, store))
    slack.good_refresh_token = "revoked meanwhile"
    assert await token_of(client_of(slack, store)) == "xoxe.xoxb-1-1"


async def test_a_refresh_token_that_slack_refuses_says_what_to_do_and_a_new_one_begins_anew(slack: Slack) -> None:
    store = MemoryStore()
    with pytest.raises(SlackClientError, match="Generate new ones under OAuth & Permissions"):
        await token_of(client_of(slack, store, first="xoxe-1-lost"))
    assert await token_of(client_of(slack, store)) == "xoxe.xoxb-1-1"


class _Away(MemoryStore):
    async def get_note(self, name: str) -> str:
        raise StoreUnavailable("It is away.")


async def test_without_the_store_there_is_no_token_and_the_call_fails_as_calls_do(slack: Slack) -> None:
    with pytest.raises(SlackClientError, match="It is away"):
        await token_of(client_of(slack, _Away()))
