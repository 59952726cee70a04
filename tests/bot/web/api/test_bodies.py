"""Hostile bodies: what is not read, not taken for a yes, not repeated and not logged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog.testing
from starlette.types import Message, Receive, Scope, Send

from bot.team.tokens import Tokens
from bot.web.api import shapes as shapes
from bot.web.callers import BODY_BYTES_MAX, Authentication, Door
from bot.web.refusals import Refusals
from store.events import TEXT_CHARS_MAX, MessageReceived
from tests.bot.web.api.client import ANA, MACHINE, PEOPLE, TOKENS, Client, requested
from tests.store.threads import thread_ids

DEEP = 100_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"text=a",
    "half": b'{"text": "a"',
    "deep list": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"text":' * DEEP + b"1" + b"}" * DEEP,
    "deep inside": b'{"text":"a","place":' + b"[" * 900 + b"]" * 900 + b"}",
    "not UTF-8": b'{"text": "\xff\xfe"}',
    "raw NUL": b'{"text": "a\x00"}',
    "half surrogate": rb'{"text": "\ud800"}',
    "half surrogate as a name": rb'{"text": "a", "\udfff\n": 1}',
    "huge number": b'{"text": ' + b"9" * 100_000 + b"}",
    "infinity": b'{"text": Infinity}',
    "list": b"[]",
    "text": b'"a"',
    "null": b"null",
    "a number for a text": b'{"text": 5}',
    "null for a text": b'{"text": null}',
    "a list for a text": b'{"text": ["a"]}',
    "empty": b'{"text": ""}',
    "blank": b'{"text": " \\n\\t "}',
    "missing": b"{}",
    "unknown": b'{"text": "a", "role": "admin"}',
    "place without its channel": b'{"text": "a", "place": "ops"}',
    "place as a number": b'{"text": "a", "place": 7}',
    "place without an address": b'{"text": "a", "place": {"channel": "terminal"}}',
    "place with an empty address": b'{"text": "a", "place": {"channel": "terminal", "address": ""}}',
    "agent as a number": b'{"text": "a", "agent": 1}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_none(client: Client, name: str) -> None:
    assert (await client.raw("/api/threads", BODIES[name])).status in (400, 422)
    assert await thread_ids(client.world.store) == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
async def test_only_json_is_read(client: Client, content_type: str) -> None:
    assert (await client.raw("/api/threads", b'{"text": "a"}', content_type)).status in (400, 422)
    assert await thread_ids(client.world.store) == []


@pytest.mark.parametrize("approved", ["true", "yes", 1, 0, None, [], {}])
async def test_nothing_but_yes_is_a_yes(approved: Any) -> None:
    async with requested() as client:
        before = await client.log()
        assert (await client.decide(approved)).status == 422
        for digest in ("", "1234567", "0" * 65, None):
            assert (await client.decide(True, digest=digest)).status == 422
        assert await client.log() == before


@pytest.mark.parametrize("chunked", [False, True])
async def test_more_than_a_body_may_have_is_not_read(client: Client, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 100_000 + 2):
            yield b" " * 100_000

    data = pieces() if chunked else b" " * (BODY_BYTES_MAX + 1)
    reply = await client.ask("POST", "/api/threads", data=data, headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert await thread_ids(client.world.store) == []


async def test_a_text_is_taken_whole_or_not_at_all(client: Client) -> None:
    opened = await client.post("/api/threads", {"text": "a"})
    link = opened.body["links"]["self"]
    for text in ("x" * TEXT_CHARS_MAX, "\U0001f680" * TEXT_CHARS_MAX, "a\x00b\u202e", "\x01" * 39_000):
        assert (await client.post(f"{link}/messages", {"text": text})).status == 202
        event = (await client.log(opened.body["id"]))[-1]
        assert isinstance(event, MessageReceived)
        assert (event.text == text, event.clipped_from) == (True, 0)
    before = await client.log(opened.body["id"])
    for text in ("x" * (TEXT_CHARS_MAX + 1), "\x01" * 45_000):
        for path, body in (
            ("/api/threads", {"text": text}),
            (f"{link}/messages", {"text": text}),
            (f"{link}/answers", {"text": text}),
            (f"{link}/cancel", {"reason": text}),
            (f"{link}/decisions", {"request": "s1", "digest": "0" * 8, "approved": True, "comment": text}),
        ):
            reply = await client.post(path, body, token=ANA)
            assert reply.status == 422
            assert len(reply.detail) < 200
    assert await client.log(opened.body["id"]) == before


async def test_what_is_wrong_is_told_by_name_and_not_repeated(client: Client) -> None:
    reply = await client.post("/api/threads", {"text": ["hunter2"], "\u202ename" * 40: "hunter3"})
    assert reply.detail.startswith("body.text: Input should be a valid string; body.\\u{202e}name")
    assert "hunter" not in reply.detail


async def test_nothing_of_a_request_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as logs:
        await client.get("/api/threads", token="wrong-token-hunter2")
        await client.post("/api/threads", {"text": ["hunter2"]})
        await client.post("/api/threads", {"text": "hunter2"}, key="hunter2")
        await client.raw("/api/threads", b"hunter2")
    refused, *accepted = [line["event"] for line in logs]
    assert refused == "api_refused"
    assert accepted == ["thread_opened", "message_received"], "of the one that was accepted"
    assert "hunter2" not in str(logs)
    assert "hunter2" not in caplog.text
    assert MACHINE not in caplog.text


async def test_a_body_that_was_cut_off_is_no_request_however_whole_it_looks() -> None:
    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise AssertionError("half a request reached the API")

    messages: list[Message] = [
        {"type": "http.request", "body": b'{"text": "deploy v1"}', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"nobody is there to read {message}")

    headers = [(b"authorization", f"Bearer {ANA}".encode()), (b"content-length", b"100")]
    guarded = Authentication(app, Door(Tokens(TOKENS), PEOPLE, Refusals(), lambda: datetime.now(UTC)))
    await guarded({"type": "http", "path": "/api/threads", "headers": headers}, receive, send)
    assert messages == []
