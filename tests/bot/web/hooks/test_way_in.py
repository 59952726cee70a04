"""What a hook answers over HTTP: who proves nothing is heard nowhere, and nothing of theirs is parsed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest

from bot.web.hooks import way_in
from bot.web.hooks.way_in import BODY_BYTES_MAX, refused_note
from store.base import StoreUnavailable
from store.memory import MemoryStore
from store.redis.store import RedisStore
from tests.bot.web.hooks.gate import GENERIC_HOOK, MERGED, Gate, at_once, clock_at
from tests.channels.hooks.samples import sample
from tests.channels.hooks.signing import ANOTHER, SECRET, SIGNS, github
from tests.fakes.clock import Clock

ALL = (
    MERGED
    + GENERIC_HOOK
    + """
[[hooks.generic.on]]
place = "terminal:status"
[hooks.alertmanager]
[[hooks.alertmanager.on]]
event = "alert_firing"
place = "terminal:alerts"
"""
)
MERGE = sample("github/pull_request_merged")


@pytest.fixture
async def gate(redis_store: RedisStore) -> AsyncIterator[Gate]:
    async with Gate(redis_store, clock_at(), ALL).open() as it:
        yield it


async def test_a_signed_delivery_is_durable_when_it_is_answered(gate: Gate) -> None:
    answer = await gate.deliver(MERGE)
    assert answer.said == (202, "opened")
    assert answer.headers["Cache-Control"] == "no-store"
    (trigger,) = await gate.triggers()
    assert (trigger.source, trigger.name) == ("github", "pull_request_merged")
    assert trigger.data["task"] == f"deploy SHA {trigger.data['sha']} to live"


async def test_who_has_no_secret_is_refused_and_nothing_of_theirs_is_kept(gate: Gate) -> None:
    body, headers = MERGE.body, MERGE.headers
    other_body = body.replace(b"Pay by invoice", b"Pay by Invoice")
    assert other_body != body
    for data, signed in (
        (body, {}),
        (body, github(body, ANOTHER, gate.clock())),
        (other_body, github(body, SECRET, gate.clock())),
        (body, {"X-Hub-Signature-256": "sha256=" + "0" * 64}),
        (body, {"X-Hub-Signature": "sha1=" + "0" * 40}),
    ):
        answer = await gate.post("github", data, {**headers, **signed})
        assert answer.status == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert SECRET not in str(answer.body)
    assert await gate.threads() == []
    assert await gate.records("github") == []
    noted = json.loads(await gate.store.get_note(refused_note("github")))
    assert noted["why"] == "there is no X-Hub-Signature-256 header"


ODD = (b"{", b"[]", b"", b"\xff\xfe", b'{"action": "closed"', b"payload=%7B%7D")


@pytest.mark.parametrize("body", ODD, ids=repr)
async def test_what_nobody_signed_is_refused_before_it_is_parsed(gate: Gate, body: bytes) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        headers = {"Content-Type": content_type, "X-Hub-Signature-256": "sha256=" + "1" * 64}
        assert (await gate.post("github", body, headers)).status == 401
        assert (await gate.post("alertmanager", body, {**headers, "Authorization": "Bearer x"})).status == 401


@pytest.mark.parametrize("body", ODD, ids=repr)
async def test_what_is_signed_and_makes_no_sense_is_said_to_its_sender(gate: Gate, body: bytes) -> None:
    headers = {**MERGE.headers, **github(body, SECRET, gate.clock())}
    assert (await gate.post("github", body, headers)).status == 400
    assert await gate.records("github") == []


async def test_another_type_of_body_is_refused_with_the_one_that_is_meant(gate: Gate) -> None:
    body = b"payload=%7B%7D"
    headers = {**MERGE.headers, **github(body, SECRET, gate.clock())}
    for content_type in ("application/x-www-form-urlencoded", "text/plain", ""):
        answer = await gate.post("github", body, {**headers, "Content-Type": content_type})
        assert answer.status == 415
        assert "application/json" in answer.body["detail"]
    assert (await gate.deliver(MERGE, **{"Content-Type": "application/vnd.github+json; charset=utf-8"})).status == 202


async def test_what_was_signed_long_ago_is_refused(gate: Gate) -> None:
    body = json.dumps({"type": "down"}).encode()
    for seconds in (-400, 400):
        old = SIGNS["generic"](body, SECRET, gate.clock() + timedelta(seconds=seconds))
        answer = await gate.post("generic", body, {"Content-Type": "application/json", **old})
        assert answer.status == 401
        assert "400 s from now" in answer.body["detail"]
    assert (await gate.deliver_body("generic", {"type": "down"})).said == (202, "opened")


async def test_a_hook_that_is_not_set_up_is_not_there(gate: Gate) -> None:
    assert (await gate.deliver(MERGE, hook="gitlab")).status == 404
    async with gate.session.get(f"{gate.urls[0]}/hooks/github") as it:
        assert it.status == 405


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 250_000):
        yield b"x" * 250_000


@pytest.mark.parametrize("hook", ["github", "alertmanager"])
async def test_25_megabytes_are_not_read_with_a_length_or_without(gate: Gate, hook: str) -> None:
    headers = {**MERGE.headers, "X-Hub-Signature-256": "sha256=" + "1" * 64, "Authorization": "Bearer x"}
    for data in (b"x" * 25_000_000, pieces(25_000_000)):
        # It closes while we are still sending, and then the answer may be lost (RFC 9112, 9.6).
        with contextlib.suppress(aiohttp.ClientError, OSError):
            assert (await gate.post(hook, data, headers)).status == 413
    assert (await gate.deliver(MERGE)).status == 202


async def test_what_comes_in_pieces_without_a_length_is_one_delivery(gate: Gate) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(MERGE.body), 1_000):
            yield MERGE.body[start : start + 1_000]

    signed = github(MERGE.body, SECRET, gate.clock())
    assert (await gate.post("github", in_pieces(), {**MERGE.headers, **signed})).said == (202, "opened")


async def test_a_body_of_the_size_that_is_allowed_is_read(gate: Gate) -> None:
    document = {"type": "big", "text": ""}
    document["text"] = "x" * (BODY_BYTES_MAX - len(json.dumps(document)))
    assert (await gate.deliver_body("generic", document)).status == 202
    document["text"] += "x"
    assert (await gate.deliver_body("generic", document)).status == 413
    (record,) = await gate.records("generic")
    assert (record.size_bytes, record.body) == (BODY_BYTES_MAX, "")


async def test_who_says_a_length_and_sends_less_leaves_nothing(gate: Gate) -> None:
    url = urlsplit(gate.urls[0])
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    signed = github(MERGE.body, SECRET, gate.clock())
    lines = ["POST /hooks/github HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(MERGE.body)}"]
    lines += [f"{name}: {value}" for name, value in {**MERGE.headers, **signed}.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + MERGE.body[:-1])
    writer.write_eof()
    await reader.read()
    writer.close()
    assert await gate.records("github") == []
    assert (await gate.deliver(MERGE)).said == (202, "opened")


async def test_large_bodies_of_strangers_leave_room_for_the_others(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_in, "LARGE_BYTES_MAX", 3_000_000)
    begun, end = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * (way_in.SMALL_BYTES + 2_500_000)
        begun.set()
        await end.wait()

    headers = {**MERGE.headers, "X-Hub-Signature-256": "sha256=" + "1" * 64}
    slow = asyncio.create_task(gate.post("github", slowly(), headers))
    await begun.wait()
    refused = 0
    while not refused:  # as soon as the first one has been read so far
        answer = await gate.post("github", b"x" * 2_000_000, headers)
        assert answer.status in (401, 503)
        refused += answer.status == 503
    assert (await gate.deliver(MERGE)).status == 202
    end.set()
    assert (await slow).status == 401
    assert (await gate.post("github", b"x" * 2_000_000, headers)).status == 401


class Away(MemoryStore):
    away = True

    async def shelved(self, shelf: str, name: str) -> str:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().shelved(shelf, name)


async def test_while_the_store_is_away_it_says_later_and_takes_it_then(clock: Clock) -> None:
    store = Away(clock)
    async with Gate(store, clock, ALL).open() as gate:
        answer = await gate.deliver(MERGE)
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        store.away = False
        assert (await gate.deliver(MERGE)).said == (202, "opened")


async def test_ten_strangers_at_once_write_one_line_of_the_log(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    answers = await at_once(*(gate.post("github", MERGE.body, MERGE.headers) for _ in range(10)))
    assert {answer.status for answer in answers} == {401}
    assert sum("request_refused" in record.getMessage() for record in caplog.records) <= 1
