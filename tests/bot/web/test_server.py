"""The HTTP side: whether it is alive and ready, and that only Slack is heard there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime

import aiohttp
import pytest

from bot.desks.slack import SlackDesk
from bot.team.named_places import NamedPlaces
from bot.team.people import People
from bot.team.tokens import Tokens, with_machine
from bot.web.api.app import Api
from bot.web.server import BODY_BYTES_MAX, application, serving
from channels.slack.connection import identify, listening
from store.base import StoreUnavailable
from store.memory import MemoryStore
from tests.bot.desks.office import Office, new_office
from tests.store.threads import thread_ids

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


class _Store(MemoryStore):
    away = False

    async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().due_in_seconds(skip)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        it.store = _Store()
        it.inbox = type(it.inbox)(it.store)
        yield it


@contextlib.asynccontextmanager
async def served(office: Office, *, with_api: bool = False) -> AsyncIterator[str]:
    tokens = Tokens(with_machine({}, "a token for tests"))
    api = Api(
        office.store,
        office.inbox,
        People(),
        tokens,
        agents=("ops",),
        agent="ops",
        reach={"slack": None},
        places=NamedPlaces(),
        now=lambda: datetime.now(UTC),
    ).app()
    me, _ = await identify(office.client)
    desk = SlackDesk(office.store, lambda _: "ops", me)
    async with (
        listening(office.client, me, office.inbox, desk, app_token="", signing_secret=SECRET) as slack,
        serving(application(office.store, slack, api=api if with_api else None), "127.0.0.1", 0) as url,
    ):
        yield url


def body_of(office: Office, text: str = "hello") -> bytes:
    user, channel = office.slack.workspace.user("ana"), office.slack.workspace.channel("deploys")
    event = {"type": "app_mention", "user": user.id, "channel": channel.id, "ts": "1795000000.000100", "text": text}
    return json.dumps({"type": "event_callback", "event_id": "Ev1", "event": event}).encode()


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    timestamp = str(int(at or time.time()))
    digest = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest}",
        "Content-Type": "application/json",
    }


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/slack/events", data=body, headers=headers) as it,
    ):
        return it.status


@pytest.mark.parametrize("with_api", [False, True])
async def test_what_slack_signed_is_heard(office: Office, with_api: bool) -> None:
    async with served(office, with_api=with_api) as url:
        body = body_of(office)
        assert await post(url, body, signed(body)) == 200
        (thread_id,) = await thread_ids(office.store)
    assert "hello" in str((await office.store.load(thread_id)).events[-1])


@pytest.mark.parametrize("with_api", [False, True])
async def test_nobody_else_is_heard(office: Office, with_api: bool) -> None:
    async with served(office, with_api=with_api) as url:
        body = body_of(office)
        assert await post(url, body, {"Content-Type": "application/json"}) == 401
        assert await post(url, body, signed(body, secret="another")) == 401
        assert await post(url, body, signed(body, at=time.time() - 600)) == 401
        assert await post(url, body_of(office, "altered"), signed(body)) == 401
        assert await post(url, b"\xff\xfe", signed(b"x")) == 401
    assert await thread_ids(office.store) == []


STRANGE = (b'{"type":"event_callback","authorizations":"x"}', b"\xff\xfe", b"payload=%7B", b"{", b"[]", b"")


@pytest.mark.parametrize("body", STRANGE)
async def test_what_nobody_signed_is_refused_before_it_is_parsed(
    office: Office, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    strange = {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=\u00e9"}
    async with served(office) as url:
        for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
            for headers in ({}, strange, signed(b"other")):
                assert await post(url, body, {**headers, "Content-Type": content_type}) == 401
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("body", STRANGE[:4])
async def test_what_is_signed_and_makes_no_sense_is_an_error_of_the_caller(
    office: Office, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(office) as url:
        assert await post(url, body, signed(body)) == 400
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_more_than_slack_ever_sends_is_not_read(office: Office, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 100_000 + 2):
            yield b"x" * 100_000

    async with served(office) as url, aiohttp.ClientSession() as session:
        whole = b"x" * (BODY_BYTES_MAX + 1)
        data = pieces() if chunked else whole
        async with session.post(f"{url}/slack/events", data=data, headers=signed(b"x")) as answer:
            assert answer.status == 413


@pytest.mark.parametrize("with_api", [False, True])
async def test_who_goes_in_the_middle_of_a_body_leaves_no_traceback(
    office: Office, with_api: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(office, with_api=with_api) as url:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\n{")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        body = body_of(office)
        assert await post(url, body, signed(body)) == 200
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_challenge_is_answered(office: Office) -> None:
    body = json.dumps({"type": "url_verification", "token": "t", "challenge": "abc"}).encode()
    async with (
        served(office) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/slack/events", data=body, headers=signed(body)) as answer,
    ):
        assert (answer.status, "abc" in await answer.text()) == (200, True)


@pytest.mark.parametrize("with_api", [False, True])
async def test_it_tells_whether_it_is_alive_and_ready(office: Office, with_api: bool) -> None:
    store = office.store
    assert isinstance(store, _Store)
    async with served(office, with_api=with_api) as url, aiohttp.ClientSession() as session:
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/elsewhere", 404)):
            async with session.get(url + path) as answer:
                assert answer.status == status
        store.away = True
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["store"] == "Redis is away."
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
