"""The list of threads over HTTP: filters that miss nothing, and pages that follow one another."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from bot.web.api import shapes as shapes
from store.values import Place
from tests.bot.web.api.client import AUDIT, Client
from tests.telling.story import BOB, asked, done, message, opened


async def filled(client: Client) -> None:
    store = client.world.store.real
    for number in range(70):
        place = Place(channel="terminal", address=f"desk{number}")
        waits = (message(by=BOB), asked("s2")) if number == 0 else (message(), done("s2"))
        await store.post(f"t{number}", opened("ops" if number % 2 else "deploy", place), *waits)


async def listed(client: Client, query: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        reply = await client.get(f"/api/threads?{query}{after}", token=AUDIT)
        assert reply.status == 200
        page = shapes.Listed.model_validate(reply.body)
        found += reply.body["threads"]
        if page.next is None:
            return found
        after = f"&after={quote(page.next)}"


async def test_what_waits_behind_many_newer_threads_is_found(client: Client) -> None:
    await filled(client)
    for query in (
        "status=waiting_for_answer",
        "turn=human",
        "requester=bob",
        "place=terminal:desk0",
        "limit=1&turn=human",
    ):
        (found,) = await listed(client, query)
        assert (found["id"], found["title"], found["requested_by"]) == ("t0", "Which tag?", "Bob")
        assert found["question"]["question"] == "Which tag?"


async def test_pages_leave_nothing_out(client: Client) -> None:
    await filled(client)
    assert [found["id"] for found in await listed(client, "limit=7")] == [
        f"t{number}" for number in reversed(range(70))
    ]
    assert len(await listed(client, "limit=10&agent=deploy")) == 35
    assert len(await listed(client, "changed_after=2026-01-01T00:00:00Z&place=terminal")) == 70
    assert await listed(client, "changed_before=2026-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query", ["after=nonsense", "turn=mine", "changed_after=yesterday", "changed_after=2026-01-01T00:00"]
)
async def test_what_cannot_be_asked_for_is_refused(client: Client, query: str) -> None:
    assert (await client.get(f"/api/threads?{query}")).status == 422
