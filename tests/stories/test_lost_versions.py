"""Workers of different versions on one store, as in the middle of an upgrade: real processes with set-ups of their own.

What one of them does not know, it leaves to the other, says so, and swallows nothing and hands nothing over.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.worker import UNSERVED_RETRY_AFTER
from store.base import boot_seconds
from store.redis.keys import Keys
from store.thread import Thread
from tests.fakes.servers import Server
from tests.stories.program import Running
from tests.stories.yard import Yard, until, until_status, working, yard_at

pytestmark = pytest.mark.slow


@pytest.fixture
async def yard(tmp_path: Path, server: Server) -> AsyncIterator[Yard]:
    async with yard_at(tmp_path, server.url) as yard:
        yard.let_go()
        yield yard


def lines_about(worker: Running, thread_id: str) -> int:
    return sum("cannot_serve" in line and thread_id in line for line in worker.err.splitlines())


def looks_since(began: float) -> int:
    """How often it may have looked at one thread since then: at once, and then from time to time."""
    return 1 + int((boot_seconds() - began) / UNSERVED_RETRY_AFTER.total_seconds())


@pytest.mark.parametrize("knows_agent", [False, True], ids=["no such agent", "no such tool"])
async def test_an_approved_call_is_run_by_the_one_that_can(
    yard: Yard, server: Server, tmp_path: Path, knows_agent: bool
) -> None:
    other = yard.another_bot(tmp_path / "other", knows_agent=knows_agent)
    async with yard.bot.started("run", "worker") as able:
        await working(able)
        thread_id = await yard.asks()
        await until_status(server, thread_id, "waiting_for_approval")
        able.signal(signal.SIGTERM)
        assert await able.ends() == 0
    began = boot_seconds()
    async with other.started("run", "worker") as unable:
        await working(unable)
        await yard.approves(thread_id)
        await unable.told("cannot_serve")
        before = await until_status(server, thread_id, "working")
        async with yard.bot.started("run", "worker") as able:
            thread = await until_status(server, thread_id, "done")
            assert yard.shipped_once, yard.ledger
            assert 1 <= lines_about(unable, thread_id) <= looks_since(began)
            assert lines_about(able, thread_id) == 0
    grown = [event.kind for event in thread.events[before.version :]]
    assert not {"thread_unserved", "handed_to_human", "step_refused"} & {*grown}, grown


async def test_both_at_once_swallow_nothing(yard: Yard, server: Server, tmp_path: Path) -> None:
    began = boot_seconds()
    other = yard.another_bot(tmp_path / "other", knows_agent=False)
    async with other.started("run", "worker") as unable, yard.bot.started("run", "worker") as able:
        await working(unable, able)
        thread_id = await yard.asks()
        await until_status(server, thread_id, "waiting_for_approval")
        await yard.approves(thread_id)
        await until_status(server, thread_id, "done")
        assert yard.shipped_once, yard.ledger
        threads = await asyncio.gather(*(yard.asks() for _ in range(8)))
        for each in threads:
            await until_status(server, each, "done")
            assert lines_about(unable, each) <= looks_since(began)


async def test_nothing_is_done_on_a_log_with_an_event_of_a_newer_version(yard: Yard, server: Server) -> None:
    began = boot_seconds()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await yard.asks()
        asked = await until_status(server, thread_id, "waiting_for_approval")
        await until(server, thread_id, lambda thread: not thread.state.outbox, "that people were asked")
        add_newer_event(server, asked)
        approved = await yard.bot.approve(thread_id)
        await worker.told("A newer version of me wrote to this thread.")
        assert yard.ledger == []
        assert 1 <= lines_about(worker, thread_id) <= looks_since(began)
        # It goes on with others.
        await until_status(server, await yard.asks(), "waiting_for_approval")
        async with yard.bot.started("run", "worker") as later:
            await later.told("cannot_serve")
            assert yard.ledger == []
        assert approved.code == 0, approved


def add_newer_event(server: Server, thread: Thread) -> None:
    """As its worker would have appended it."""
    line = f'{{"v":1,"kind":"approval_delegated","id":"x/delegated","at":"{thread.events[-1].at.isoformat()}"}}'
    keys = Keys("bot")
    server.command("RPUSH", keys.log(thread.id), line)
    server.command("SADD", keys.ids(thread.id), "x/delegated")
