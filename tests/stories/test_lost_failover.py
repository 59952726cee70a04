"""A failover to a replica that lacks the last writes: real servers, real workers, and a ledger outside of the bot.

What the workers remember is written back before anybody acts on the log that lost it, and people are told. What a
worker that died would have remembered is confirmed by the replica first, where DURABLE_BEFORE_ACTING says so.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.events import EventsLost, ToolFinished, ToolInterrupted, ToolStarted
from store.thread import Thread
from tests.patience import eventually
from tests.stories.yard import TOLD_OF_LOSS, Pair, Yard, pair, pass_time, until, until_status, working, yard_at

pytestmark = pytest.mark.slow

LEASE_SECONDS = 3


@pytest.fixture
async def servers() -> AsyncIterator[Pair]:
    async with pair() as servers:
        yield servers


@pytest.fixture
async def yard(tmp_path: Path, servers: Pair) -> AsyncIterator[Yard]:
    async with yard_at(tmp_path, servers.url) as yard:
        yard.bot.environment["BOT_LEASE_SECONDS"] = str(LEASE_SECONDS)
        yield yard


async def asked(yard: Yard, servers: Pair) -> str:
    """The thread waits for approval, on both servers; from now on the replica learns nothing."""
    thread_id = await yard.asks()
    await until_status(servers.primary, thread_id, "waiting_for_approval")
    servers.replicate()
    servers.cut_replication()
    return thread_id


def has_lost(thread: Thread) -> bool:
    return any(isinstance(event, EventsLost) for event in thread.events)


def endings(thread: Thread) -> int:
    return sum(isinstance(event, ToolFinished) for event in thread.events)


async def ends_well(yard: Yard, servers: Pair, thread_id: str) -> None:
    """People were told and can go on, and the call ran once."""
    assert TOLD_OF_LOSS in await yard.shown(thread_id)
    refused = await yard.bot.run("approve", thread_id)
    assert refused.code != 0, refused
    await yard.says(thread_id, "What now?")
    thread = await until_status(servers.replica, thread_id, "done")
    assert yard.shipped_once, yard.ledger
    assert endings(thread) == 1
    assert not any(isinstance(event, ToolInterrupted) for event in thread.events)


async def test_what_a_worker_did_is_written_back_and_an_approval_has_no_effect_any_more(
    yard: Yard, servers: Pair
) -> None:
    yard.let_go()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        servers.fail_over()
        await worker.told("another_server")
        await worker.told("events_lost")
        await until(servers.replica, thread_id, has_lost, "the loss in the log")
        await ends_well(yard, servers, thread_id)


async def test_an_approval_of_the_log_that_lost_it_runs_nothing(yard: Yard, servers: Pair) -> None:
    """It counts: nobody there knows yet. The worker reaches the other server while the thread is due."""
    yard.let_go()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        worker.signal(signal.SIGSTOP)
        servers.fail_over()
        await yard.approves(thread_id)
        worker.signal(signal.SIGCONT)
        await until(servers.replica, thread_id, has_lost, "the loss in the log")
        await ends_well(yard, servers, thread_id)


async def test_another_worker_lets_the_one_that_remembers_write_first(yard: Yard, servers: Pair) -> None:
    yard.bot.environment["BOT_LEASE_SECONDS"] = "10"
    yard.let_go()
    async with yard.bot.started("run", "worker") as knows:
        await working(knows)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        async with yard.bot.started("run", "worker") as other:
            await working(other)
            for worker in (knows, other):
                worker.signal(signal.SIGSTOP)
            servers.fail_over()
            await yard.approves(thread_id)
            other.signal(signal.SIGCONT)
            await other.told("another_server")
            knows.signal(signal.SIGCONT)
            await until(servers.replica, thread_id, has_lost, "the loss in the log")
            await ends_well(yard, servers, thread_id)


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_is_running_goes_on_and_its_outcome_lands(yard: Yard, servers: Pair, workers: int) -> None:
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        if workers == 1:
            await loses(yard, servers, thread_id)
        else:
            async with yard.bot.started("run", "worker") as other:
                await working(other)
                await loses(yard, servers, thread_id)


async def loses(yard: Yard, servers: Pair, thread_id: str) -> None:
    servers.fail_over()
    thread = await until(servers.replica, thread_id, has_lost, "the loss in the log")
    assert any(isinstance(event, ToolStarted) for event in thread.events)
    refused = await yard.bot.run("approve", thread_id)
    assert refused.code != 0, refused
    await pass_time(2 * LEASE_SECONDS + 1)  # Another worker claims by then what is free.
    yard.let_go()
    await until(servers.replica, thread_id, lambda thread: endings(thread) == 1, "the outcome")
    await ends_well(yard, servers, thread_id)
