"""`bot threads`: whatever is asked for is found, however many threads are newer, and pages leave nothing out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store.events import Event
from store.redis.keys import SHARDS
from store.redis.store import RedisStore
from store.values import Place
from tests.fakes.servers import Server, opened_store
from tests.store.threads import LONG, claimed
from tests.stories.program import Bot
from tests.telling.story import ANN, BOB, asked, chosen, done, message, opened, requested

pytestmark = pytest.mark.slow


@pytest.fixture
def bot(tmp_path: Path, server: Server) -> Bot:
    return Bot(tmp_path, {"REDIS_URL": server.url})


async def rested(store: RedisStore, thread_id: str, *events: Event, agent: str = "deploy", ago: timedelta) -> None:
    at = datetime.now(UTC) - ago
    place = Place(channel="terminal", address=f"desk-{thread_id}")
    await store.post(thread_id, *(e.model_copy(update={"at": at}) for e in (opened(agent, place), *events)))
    assert await store.release(await claimed(store, LONG, thread_id), await store.load(thread_id))


async def filled(store: RedisStore, newer: int = 60) -> None:
    await rested(store, "old", message(), asked("s2"), ago=timedelta(days=9))
    await rested(store, "asks", message(by=BOB), chosen("s2", acts=True), requested("s2"), ago=timedelta(hours=2))
    for number in range(newer):
        await rested(store, f"new{number:02}", message(), done("s2"), agent="rollback", ago=timedelta(minutes=1))


async def test_where_nothing_matches_the_command_says_what_was_asked_for(bot: Bot, server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await rested(store, "t1", message(), done("s2"), ago=timedelta(minutes=1))
    hint = " An agent and a place have to be written as the list shows them."
    agent, place, status, as_json = await bot.all(
        ("threads", "--agent", "deplyo"),
        ("threads", "--place", "slak:", "--turn", "human"),
        ("threads", "--status", "cancelled"),
        ("threads", "--agent", "deplyo", "--json"),
    )
    assert (agent.code, agent.out, agent.err) == (0, "", f"There are none with --agent deplyo.{hint}\n")
    assert place.err == f"There are none with --turn human --place slak:.{hint}\n"
    assert status.err == "There are none with --status cancelled.\n"
    assert (as_json.document, as_json.err) == ([], f"There are none with --agent deplyo.{hint}\n")


async def test_what_waits_behind_many_newer_threads_is_listed(bot: Bot, server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await filled(store)
    answer, turn, agent, by, old, place, as_json = await bot.all(
        ("threads", "--status", "waiting_for_answer"),
        ("threads", "--turn", "human"),
        ("threads", "--agent", "deploy"),
        ("threads", "--requester", "bob"),
        ("threads", "--older-than", "7d"),
        ("threads", "--place", "terminal:desk-old"),
        ("threads", "--turn", "human", "--newer-than", "3h", "--json"),
    )
    assert "waiting_for_answer" in answer.succeeded().out
    for listed, expected in (
        (answer, ["old"]),
        (turn, ["asks", "old"]),
        (agent, ["asks", "old"]),
        (by, ["asks"]),
        (old, ["old"]),
        (place, ["old"]),
    ):
        assert [line.split()[0] for line in listed.succeeded().out.splitlines()] == expected
        assert listed.err == ""
    (shown,) = as_json.succeeded().document
    assert (shown["id"], shown["requested_by"], shown["title"]) == ("asks", "Bob", "push")
    assert shown["pending"]["request"] == "s2"


async def test_pages_follow_one_another_and_leave_nothing_out(bot: Bot, server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await filled(store)
    found: list[str] = []
    more: tuple[str, ...] = ()
    for _ in range(3):
        page = await bot.run("threads", "--limit", "25", *more)
        assert page.code == 0
        found += [line.split()[0] for line in page.out.splitlines()]
        more = ("--after", page.err.split()[-1]) if page.err else ()
    assert len(found) == len(set(found)) == 62
    assert found[-2:] == ["asks", "old"]
    assert more == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--turn", "mine"), ["'mine'", "human"]),
        (("--after", "nonsense"), ["--after"]),
        (("--older-than", "soon"), ["--older-than", "'soon'", "2d"]),
        (("--newer-than", "-1d"), ["--newer-than"]),
    ],
)
async def test_what_cannot_be_asked_for_is_said(bot: Bot, options: tuple[str, str], words: list[str]) -> None:
    (await bot.run("threads", *options)).failed(*words, code=2)


async def test_a_list_says_who_asked_and_where(bot: Bot, server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await rested(store, "t1", message(by=ANN), done("s2"), ago=timedelta())
    async with bot.terminal("threads") as ann:
        await ann.sees("REQUESTER")
        await ann.sees("terminal:desk-t1")
    (row,) = (await bot.run("threads")).succeeded().out.splitlines()
    assert row.split()[:5] == ["t1", "done", "deploy", "Ann", "terminal:desk-t1"]


async def test_the_index_is_computed_anew_from_the_logs(bot: Bot, server: Server) -> None:
    async with opened_store(server.url, "bot") as store:
        await filled(store, newer=3)
        for shard in range(SHARDS):
            server.command("DEL", store.keys.rows(shard))
        assert "5 threads" in (await bot.run("store", "reindex")).succeeded().out
        assert sum(server.command("HLEN", store.keys.rows(shard)) for shard in range(SHARDS)) == 5
    as_json, listed = await bot.all(("store", "reindex", "--json"), ("threads", "--turn", "human"))
    assert as_json.succeeded().document == {"threads": 5}
    assert len(listed.succeeded().out.splitlines()) == 2
